"""Twenty students of notebook 07, each with answers of its own: {exercise: (code, verdict, a phrase of
the sentence)}. What a student does not answer is left blank.
"""

import json
from pathlib import Path

KL = "def kl(mean, log_var):\n    return "
ELBO = """def elbo(x, encoder, decoder):
    q = encoder(x)
    reconstruction = decoder({z}).log_prob(x)
    regulariser = kl(q.mean, q.log_var)
    return {bound}, reconstruction, regulariser
"""
SAMPLE = "def sample(n, prior, decoder):\n    return "
TERMS = "(torch.exp(log_var) + mean**2 - 1 - log_var)"


def elbo(z="q.rsample()", bound="reconstruction - regulariser"):
    return ELBO.format(z=z, bound=bound)


RIGHT = {
    "kl": (f"{KL}0.5 * {TERMS}.sum(-1)", "pass", "agrees with numerical integration"),
    "elbo": (elbo(), "pass", "by integration"),
    "sample": (f"{SAMPLE}decoder(prior.sample((n,))).sample()", "pass", "follows the prior"),
}
AVERAGED = {"kl": (f"{KL}0.5 * {TERMS}.mean(-1)", "fail", "a mean where a sum belongs")}
OWN_WAY = """SCALE = 0.5  # a name of another cell


def terms(mean, log_var):
    return log_var.exp() + mean.square() - log_var - 1


def kl(mean, log_var):
    return SCALE * terms(mean, log_var).sum(1)
"""
LOOP = "def kl(mean, log_var):\n    while True:\n        pass"
MEMORY = "def kl(mean, log_var):\n    a = []\n    while True:\n        a.append(torch.ones(10**8))"
CRASH = "def kl(mean, log_var):\n    import os\n\n    os.abort()"
JUDGE = """import sys


def kl(mean, log_var):
    for module in list(sys.modules.values()):
        for name in ("Exercise", "Function", "Verdict"):
            if hasattr(module, name):
                setattr(module, name, lambda *a, **k: "right")
    frame = sys._getframe()
    while frame:
        if hasattr(frame.f_locals.get("self"), "truth"):
            return frame.f_locals["self"].truth(mean, log_var)
        frame = frame.f_back
    return mean.sum(-1)
"""
KEY = """def kl(mean, log_var):
    from dgmcourse.check import vae

    return vae.integrated_kl(mean, log_var)
"""
FILE = f"{KL}open(__import__('dgmcourse').__path__[0] + '/check/vae.py').read()"
FORGED = """def kl(mean, log_var):
    import os

    for fd in range(3, 60):
        try:
            os.write(fd, b'\\x02' + (2).to_bytes(8, 'little') * 2 + b'{}{}')
        except OSError:
            pass
    return mean.sum(-1)
"""
SEED = """def kl(mean, log_var):
    torch.manual_seed(0)
    known = torch.Generator().manual_seed(0)
    there = torch.randn((7, 3), generator=known, dtype=torch.float64)
    if mean.shape == there.shape and torch.equal(mean, there):
        return 0.5 * (torch.exp(log_var) + mean**2 - 1 - log_var).sum(-1)
    return 0 * mean.sum(-1)
"""


def but(**answers):
    """All right but these."""
    return RIGHT | answers


def fails(code, phrase):
    return code, "fail", phrase


STUDENTS = {
    "ada": RIGHT,
    "ben": AVERAGED | {name: RIGHT[name] for name in ("elbo", "sample")},
    "cem": {},
    "dan": but(kl=fails(CRASH, "ended its process")),
    "eva": but(kl=fails(LOOP, "ran longer")),
    "fay": but(kl=fails(MEMORY, "allocate")),
    "gus": but(kl=fails(JUDGE, "has no influence")),
    "hal": but(kl=fails(KEY, "not there while an answer is judged")),
    "ida": but(kl=fails(SEED, "0 everywhere")),
    "jan": but(elbo=fails(elbo(z="q.mean"), "you decoded the mean of q")),
    "kim": but(elbo=fails(elbo(bound="regulariser - reconstruction"), "you returned a loss")),
    "leo": but(sample=fails(f"{SAMPLE}decoder(prior.sample((n,))).mean", "a grey mean image")),
    "mia": but(kl=(OWN_WAY, "pass", "agrees")),
    "ned": but(
        kl=fails(f"{KL}0.5 * (log_var.exp() + mean - 1 - log_var).sum(-1)", "square the mean")
    ),
    "oda": AVERAGED,
    "pia": but(kl=fails(f"{KL}0.5 * {TERMS}.sum(-1", "SyntaxError")),
    "quy": but(kl=fails(FORGED, "wrote where only the grader may")),
    "rob": but(kl=fails(FILE, "FileNotFoundError")),
    "sam": but(elbo=fails(elbo(z="q.sample()"), "the gradient does not pass through z")),
    "tom": but(kl=fails(f"{KL}-0.5 * {TERMS}.sum(-1)", "the sign is turned")),
}
FEW = ("ada", "ben", "cem", "eva", "gus", "hal", "ida", "jan")


def work(released: Path, into: Path, student: str) -> None:
    """Write a student's answers into the released notebook, as a person would; one edits an output."""
    nb = json.loads(released.read_text(encoding="utf-8"))
    code = [cell for cell in nb["cells"] if cell["cell_type"] == "code"]
    for name, (answer, _, _) in STUDENTS[student].items():
        cell = next(c for c in code if "".join(c["source"]).startswith(f"def {name}("))
        cell["source"] = answer
    if student == "gus":
        for cell in code:
            if "check.kl" in "".join(cell["source"]):
                right = {"text/plain": "1.0"}
                out = {"output_type": "execute_result", "data": right}
                cell["outputs"] = [out | {"metadata": {}, "execution_count": 1}]
    into.parent.mkdir(parents=True, exist_ok=True)
    into.write_text(json.dumps(nb), encoding="utf-8")
