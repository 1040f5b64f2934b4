"""Twenty students of notebook 07, each with answers of its own: {exercise: (code, verdict, a phrase of
the sentence)}. What a student does not answer is left blank.
"""

import json
from pathlib import Path

from dgmcourse.classroom.cells import source_of

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


def fill(released: Path, into: Path, answers: dict[str, str], edited: str = "") -> None:
    """Write answers, {exercise: code}, into a released notebook, as a person would; and into the
    output of the cells that have `edited` in them, as a person should not, full marks.
    """
    nb = json.loads(released.read_text(encoding="utf-8"))
    code = [cell for cell in nb["cells"] if cell["cell_type"] == "code"]
    for name, answer in answers.items():
        cell = next(c for c in code if f"def {name}(" in "".join(c["source"]))
        cell["source"] = answer
    for cell in code:
        if edited and edited in "".join(cell["source"]):
            out = {"output_type": "execute_result", "data": {"text/plain": "1.0"}}
            cell["outputs"] = [out | {"metadata": {}, "execution_count": 1}]
    into.parent.mkdir(parents=True, exist_ok=True)
    into.write_text(json.dumps(nb), encoding="utf-8")


def work(released: Path, into: Path, student: str) -> None:
    """Write the answers of one of the STUDENTS; one edits an output."""
    answers = {name: code for name, (code, _, _) in STUDENTS[student].items()}
    fill(released, into, answers, "check.kl" if student == "gus" else "")


# ---- of every notebook

DAMAGED = """def damaged(x):
    if isinstance(x, tuple):
        return (damaged(x[0]), *x[1:])
    return 1 - x if isinstance(x, torch.Tensor | float) else [x]
"""


def answers_of(kind: str, asked) -> dict[str, str]:
    """The answers of one who has all "right", the first output of all "wrong", or all "blank"."""
    answers = {}
    for exercise in [one.exercise for one in asked if kind != "blank"]:
        name, own = exercise.name, exercise.solution.__name__
        made = f"{name} = {own}" if kind == "right" else f"def {name}(*given):"
        made += f"\n    return damaged({own}(*given))" * (kind == "wrong")
        answers[name] = f"import torch\n{source_of(exercise.solution)}\n{DAMAGED}\n\n{made}\n"
    return answers
