"""The answers of an exam's questions: each number in them is computed here by other means, by
enumeration, quadrature, a search or a library.
"""

import math
import re
import zlib
from itertools import product
from math import comb, exp, log

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from test_sheets import EXAMS, ROOT, build
from torch.distributions import Normal, kl_divergence


def mean_of_log(weights, probabilities, S):
    """The expected log of the mean of S draws, by enumeration."""
    cases = product(range(len(weights)), repeat=S)
    return sum(
        math.prod(probabilities[i] for i in case) * log(sum(weights[i] for i in case) / S)
        for case in cases
    )


def w1(a, b, p=None, q=None):
    return stats.wasserstein_distance(a, b, p, q)


def mixed(x, means, weights):
    return log(sum(w * stats.norm.pdf(x, m) for m, w in zip(means, weights, strict=True)))


def gaussian(x, mean, cov):
    return stats.multivariate_normal.logpdf(x, mean, cov)


def moments(f):
    """Mean and variance of f(noise), by quadrature."""
    expect = [
        integrate.quad(lambda e, k=k: f(e) ** k * stats.norm.pdf(e), -12, 12)[0] for k in (1, 2)
    ]
    return expect[0], expect[1] - expect[0] ** 2


def kl(m, s, n, t):
    return kl_divergence(Normal(m, s), Normal(n, t)).item()


def elbo(q_mean, q_sd):
    """Of the linear Gaussian model at x = 2, by quadrature."""
    q = stats.norm(q_mean, q_sd)

    def inside(z):
        return q.pdf(z) * (stats.norm.logpdf(2, z) + stats.norm.logpdf(z) - q.logpdf(z))

    return integrate.quad(inside, -12, 12)[0]


def coins():
    joint = [(0.75, 0.5), (0.25, 0.9)]
    three = sum(w * h**3 for w, h in joint)
    return three, 0.25 * 0.9**3 / three, sum(w * h**4 for w, h in joint) / three


def covariance_of_tosses():
    table = {
        (a, b): sum(
            w * (h if a else 1 - h) * (h if b else 1 - h) for w, h in ((0.75, 0.5), (0.25, 0.9))
        )
        for a in (0, 1)
        for b in (0, 1)
    }
    mean = table[1, 0] + table[1, 1]
    return table[1, 1] - mean**2


def em_step():
    """By scikit-learn's mixture, given the parameters as if it had been fitted."""
    mixture, ones = GaussianMixture(2), np.ones((2, 1, 1))
    mixture.means_, mixture.weights_ = np.array([[0.0], [2.0]]), np.array([0.5, 0.5])
    mixture.covariances_ = mixture.precisions_cholesky_ = ones
    x = np.array([0.0, 1.0, 3.0])
    r = mixture.predict_proba(x[:, None])[:, 1]
    return r @ x / r.sum(), r.mean()


def factor_analysis():
    w = np.array([2.0, 1.0])
    joint = np.block([[np.ones((1, 1)), w[None]], [w[:, None], np.outer(w, w) + np.eye(2) / 2]])
    corr = joint[1, 2] / math.sqrt(joint[1, 1] * joint[2, 2])
    return corr, float(joint[0, 1:] @ np.linalg.solve(joint[1:, 1:], [1.0, 0.0]))


def gan():
    """The discriminator's best, by a search."""
    p, g = np.array([0.7, 0.3]), np.array([0.4, 0.6])
    found = optimize.minimize(
        lambda d: -(p @ np.log(d) + g @ np.log(1 - d)),
        [0.5, 0.5],
        bounds=[(0.01, 0.99)] * 2,
        tol=1e-12,
    )
    return (*found.x, -found.fun, -log(4))


def jensen_shannon(p, g):
    p, g = np.array(p), np.array(g)
    return 0.5 * (stats.entropy(p, (p + g) / 2) + stats.entropy(g, (p + g) / 2))


def derivative_of(f, at):
    at = torch.tensor(float(at), dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(f(at), at)[0].item()


def circling():
    u = np.array([1.0, 0.0])
    for _ in range(100):
        u = u + 0.1 * np.array([u[1], -u[0]])
    return np.linalg.norm(u)


def mmd(x, y, k):
    def mean(a, b):
        return np.mean([[k(s, t) for t in b] for s in a])

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def rbf(s, t):
    return exp(-((s - t) ** 2) / 2)


def frechet(m, s, n, t):
    m, s, n, t = (np.array(v, dtype=float) for v in (m, s, n, t))
    return ((m - n) ** 2).sum() + (s**2 + t**2 - 2 * s * t).sum()


def planar_determinant():
    u, w = torch.tensor([-0.5, 3.0]), torch.tensor([1.0, 0.0])
    jacobian = torch.autograd.functional.jacobian(
        lambda z: z + u * torch.tanh(w @ z), torch.zeros(2)
    )
    return torch.linalg.det(jacobian).item()


def mirror():
    v = np.array([1.0, 1.0])
    H = np.eye(2) - 2 * np.outer(v, v) / (v @ v)
    return (*(H @ [3.0, 1.0]), abs(np.linalg.det(H)))


def reach(kernels):
    """How far up and to the left a masked stack reaches, by propagating dependence."""
    size, at = 41, 20
    seen = np.zeros((size, size), bool)
    seen[at, at] = True
    for i, k in enumerate(reversed(kernels)):
        h, more = k // 2, np.zeros_like(seen)
        for r, c in np.argwhere(seen):
            more[r - h : r, c - h : c + h + 1] = True
            more[r, c - h : c + (i < len(kernels) - 1)] = True  # mask B but for the first layer
        seen = more
    rows, columns = np.nonzero(seen)
    return at - rows.min(), at - columns[rows == at].min()


def two_pixels():
    p = np.array([[0.4 * 0.8, 0.4 * 0.2], [0.6 * 0.1, 0.6 * 0.9]])
    independent = np.outer(p.sum(1), p.sum(0))
    return log(p[1, 0]), log(independent[1, 0]), stats.entropy(p.ravel(), independent.ravel())


def aggregate():
    draws = [stats.norm(m, 0.4) for m in (-1, 1)]
    variance = np.mean([d.moment(2) for d in draws]) - np.mean([d.mean() for d in draws]) ** 2
    average = kl(1.0, 0.4, 0.0, 1.0)
    return variance, average, log(2), average - log(2)


def unlabelled():
    L, q = np.array([-100.0, -102.0, -110.0]), np.array([0.7, 0.2, 0.1])

    def less(logits):
        p = np.exp(logits - np.logaddexp.reduce(logits))
        return -(p @ L + stats.entropy(p))

    return q @ L + stats.entropy(q), -optimize.minimize(less, np.zeros(3), tol=1e-12).fun


def path_of_three():
    A = np.eye(3) + np.diag([1.0, 1.0], 1) + np.diag([1.0, 1.0], -1)
    A /= np.sqrt(np.outer(A.sum(0), A.sum(0)))
    return A[0, 1], (A @ [1.0, 0.0, 1.0])[1]


NETWORK = torch.softmax(torch.tensor([-100.0, -102.0, -110.0], dtype=torch.float64), 0)

# Notebook, then question: the fingerprint of its text, and the numbers of its answer, in their order.
TRUTH = {
    "01_motivation": {
        "Certain, and nowhere near": (
            "98497b0c",
            lambda: (
                stats.norm.logpdf(10, 1) - stats.norm.logpdf(10, -1),
                mixed(10, (-1, 1), (0.5, 0.5)),
                mixed(1, (-1, 1), (0.5, 0.5)),
            ),
        ),
        "One feature is missing": (
            "57f7063f",
            lambda: (
                sum(0.3 * 0.9 * b for b in (0.6, 0.4))
                / (sum(0.3 * 0.9 * b for b in (0.6, 0.4)) + sum(0.7 * 0.2 * b for b in (0.5, 0.5))),
            ),
        ),
        "The area under the curve, by counting": (
            "f107963b",
            lambda: (roc_auc_score([1, 1, 1, 1, 0, 0, 0], [5, 4, 3, 1, 2, 3, 0]),),
        ),
        "The sum over all images": (
            "23e6b779",
            lambda: (sum(comb(20, k) for k in range(21)), 2**24 / 2**20),
        ),
    },
    "02_latent_variable_models": {
        "A bag with two kinds of coins": ("86da5a8e", coins),
        "Dependent through a cause": ("22cdc9bb", lambda: (covariance_of_tosses(),)),
        "Factor analysis by hand": ("773729bd", factor_analysis),
        "One step of EM": ("104969db", em_step),
    },
    "03_density_network": {
        "Below what a float can hold": (
            "26b5330d",
            lambda: (
                torch.logsumexp(torch.tensor([-1000.0, -1000, -1001]).double(), 0).item() - log(3),
            ),
        ),
        "The estimate is too low on average": (
            "cf960832",
            lambda: (
                log(0.1 * 1 + 0.9 * 0.01),
                mean_of_log((1, 0.01), (0.1, 0.9), 1),
                mean_of_log((1, 0.01), (0.1, 0.9), 2),
            ),
        ),
        "How many codes must be drawn?": ("e98ae345", lambda: (1 / 0.2**2, 1 / 0.2**10)),
        "How many codes count?": (
            "5160f13b",
            lambda: (1 / np.square([0.5, 0.25, 0.125, 0.125]).sum(),),
        ),
    },
    "04_gan": {
        "The best expert": ("5810c622", gan),
        "From the game to a divergence": (
            "bb1b9d29",
            lambda: (
                jensen_shannon((0.7, 0.3), (0.4, 0.6)),
                jensen_shannon((1, 0), (0, 1)),
            ),
        ),
        "A sure expert": (
            "b76e47ef",
            lambda: (
                abs(derivative_of(lambda a: torch.log(1 - torch.sigmoid(a)), -6)),
                derivative_of(lambda a: torch.log(torch.sigmoid(a)), -6),
            ),
        ),
        "Round and round": ("a0c16df5", lambda: (circling(),)),
    },
    "05_wgan": {
        "Sorted samples": ("c4a348da", lambda: (w1([0, 1, 5], [1, 2, 3]),)),
        "Two points": ("55889008", lambda: (w1([0], [0.5]), jensen_shannon((1, 0), (0, 1)))),
        "A clipped critic": (
            "85f777e2",
            lambda: (
                np.linalg.norm(np.full(784, 0.01)),
                np.full(784, 0.01) @ np.ones(784),
            ),
        ),
        "A penalty in place of a clip": (
            "4745bc9a",
            lambda: tuple(10 * (derivative_of(lambda x, k=k: k * x, 0) - 1) ** 2 for k in (3, 0.5)),
        ),
        "Earth to be moved": ("1c4efd40", lambda: (w1([0, 1], [1, 3]),)),
    },
    "06_more_gans": {
        "A kernel that sees the mean only": (
            "4735761a",
            lambda: (mmd((0, 2), (1, 3), lambda s, t: s * t),),
        ),
        "The discrepancy, by hand": ("1e60837c", lambda: (mmd((0, 1), (0, 2), rbf),)),
        "A class that the discriminator has to name": (
            "71203dcb",
            lambda: (stats.entropy(np.full(10, 0.1)),),
        ),
        "The Fréchet distance": (
            "ecc80ee2",
            lambda: (
                frechet([0], [1], [1], [2]),
                frechet([0, 0], [1, 1], [1, 2], [2, 1]),
            ),
        ),
    },
    "07_vae": {
        "The price of a code": (
            "0de1ecb7",
            lambda: (
                kl(1.0, 1.0, 0.0, 1.0) + kl(0.0, 0.5, 0.0, 1.0),
                (kl(1.0, 1.0, 0.0, 1.0) + kl(0.0, 0.5, 0.0, 1.0)) / log(2),
            ),
        ),
        "A bound that can be computed": (
            "4dd8b1dd",
            lambda: (
                elbo(1, math.sqrt(0.5)),
                elbo(0, 1),
                kl(0.0, 1.0, 1.0, math.sqrt(0.5)),
            ),
        ),
        "One code or two": (
            "0646bc15",
            lambda: (
                np.mean([-90, -95]),
                np.logaddexp(-90, -95) - log(2),
            ),
        ),
        "A loss with a mean in it": ("f5153901", lambda: (28 * 28,)),
    },
    "08_reparameterization": {
        "Two estimators of one gradient": (
            "52ae2671",
            lambda: (
                derivative_of(lambda t: t**2 + 1, 2),
                moments(lambda e: 2 * (2 + e))[1],
                moments(lambda e: (2 + e) ** 2 * e)[1],
            ),
        ),
        "A baseline": (
            "7ea1a89d",
            lambda: (moments(lambda e: (e + 10) * e)[1], moments(lambda e: e * e)[1]),
        ),
        "A coin in the middle": (
            "72731cae",
            lambda: (derivative_of(lambda a: 3 * torch.sigmoid(a) + 1 - torch.sigmoid(a), 0),),
        ),
        "What the head gives": ("a9b018e5", lambda: (math.sqrt(exp(-1.386)), exp(-1.386))),
    },
    "09_normalizing_flows": {
        "A stretched density": ("299ca74d", lambda: (stats.lognorm.pdf(2, 1),)),
        "A planar step": ("8c31b98f", lambda: (planar_determinant(), log(planar_determinant()))),
        "A mirror": ("b57274ac", mirror),
        "A triangle": (
            "33d14333",
            lambda: (
                np.linalg.slogdet(np.diag(np.exp([0.2, -0.5, 0.1])) + np.tril(np.ones((3, 3)), -1))[
                    1
                ],
            ),
        ),
        "The weight of one sample": (
            "402ec782",
            lambda: (-80 - 3.1 - (-2.0 - 0.7), -80 - 3.1 - -2.0 - 0.7),
        ),
    },
    "10_pixelvae": {
        "What a mask lets through": (
            "6e17792f",
            lambda: ((3 * 3 - 1) / 2, (3 * 3 + 1) / 2, (5 * 5 + 1) / 2),
        ),
        "How far it sees": ("51920d7f", lambda: reach([7, 3, 3, 3, 3, 3])),
        "The product rule assumes nothing": (
            "2a4d12d4",
            lambda: (2**3 - 1, sum(2**k for k in range(3))),
        ),
        "What independence costs": ("ccef0b3a", two_pixels),
        "A decoder that need not ask": ("7e9f8a5a", lambda: (81.0 / 784 / log(2),)),
    },
    "11_priors": {
        "Two codes and a standard normal prior": ("1c74b05c", aggregate),
        "What a VampPrior has to learn": ("10560931", lambda: (500 * 784, 500 * 2 * 40)),
        "The density of a mixture": ("48708674", lambda: (mixed(0, (0, 4), (0.5, 0.5)),)),
    },
    "12_semi_supervised": {
        "A digit without a label": ("a11e82cb", unlabelled),
        "The best classifier": ("74a6c996", lambda: (NETWORK[0].item(),)),
        "What the sum costs": ("a18b85dc", lambda: (100 * 10,)),
    },
    "13a_text": {
        "Perplexity": ("d5e17c71", lambda: (exp(58 / (12 + 1)),)),
        "Shifted by one": ("e25ca036", lambda: (len("abc") + 1,)),
        "Words that the decoder does not see": ("f1674a65", lambda: (stats.binom.pmf(4, 4, 0.4),)),
        "Dilated convolutions": (
            "1b405043",
            lambda: (
                1 + sum(2 * d for d in (1, 2, 4, 8)),
                1 + sum(2 * d for d in (1, 2, 4, 8, 16)),
            ),
        ),
        "What a code of a twentieth of a nat says": ("a2b54636", lambda: (exp(0.05),)),
    },
    "13b_music": {
        "Two lengths in one batch": (
            "bacb9a1c",
            lambda: (-1 - 2 - 3, -4, np.mean([-1, -2, -3, -4])),
        ),
        "Two steps of a state": (
            "4eb6fc98",
            lambda: (
                0.8**2 * 1 + 0.36,
                gaussian([0, 0], [0, 0], np.array([[1, 0.8], [0.8, 1]]) + np.eye(2)),
            ),
        ),
        "Particles": (
            "fc451121",
            lambda: (
                np.mean([0.2, 0.2, 0.4]),
                sum((0.2, 0.2, 0.4)) ** 2 / np.square([0.2, 0.2, 0.4]).sum(),
            ),
        ),
        "Two voices": (
            "6147e0fa",
            lambda: (2 * stats.entropy([0.5, 0.5]), stats.entropy([0.5, 0, 0, 0.5])),
        ),
    },
    "14_graphs": {
        "One hearing of the neighbours": ("e9c5f825", path_of_three),
        "Codes and a link": ("84dcc89c", lambda: (1 / (1 + exp(-np.dot([1, 2], [2, -0.5]))),)),
        "The probability of a graph": (
            "6600c72b",
            lambda: (
                log(0.2) + 2 * log(0.8),
                len(list(product((0, 1), repeat=3))),
            ),
        ),
        "One number after all": (
            "fe648200",
            lambda: (
                np.dot([1, 2, 3, 4, 5], [0.1, 0.1, 0.2, 0.4, 0.2]),
                1 + int(np.argmax([0.1, 0.1, 0.2, 0.4, 0.2])),
            ),
        ),
    },
    "15_drug_response": {
        "What a shift costs": ("7fda3a66", lambda: (kl(1.5, 0.5, 0.6 + 0.5, 0.5),)),
        "A response that nobody measured": (
            "60a7815f",
            lambda: (
                np.logaddexp(-50, -51),
                exp(-50 - np.logaddexp(-50, -51)),
            ),
        ),
        "Ranked, not decided": (
            "72b00331",
            lambda: (roc_auc_score([1, 1, 0, 0, 0], [0.9, 0.4, 0.6, 0.3, 0.1]),),
        ),
        "A fair comparison": ("5d9d5472", lambda: (np.mean([0.02, -0.04, -0.03, -0.05]),)),
    },
}


def fingerprints(name):
    """{question: a number made of its text, and of the last one's where it speaks of that}."""
    made, before = {}, ""
    asked = build.parts((ROOT / "sheets/exam" / f"{name}.md").read_text(encoding="utf-8"))
    for heading, text in asked.items():
        text = " ".join(text.split())
        before = f"{before} {text}" if "the last question" in text else text
        made[re.fullmatch(build.QUESTION, heading)[1]] = f"{zlib.crc32(before.encode()):08x}"
    return made


@pytest.mark.parametrize("name", EXAMS)
def test_each_number_in_an_answer_is_right(name):
    """Bold in an answer is a number that was asked for, to all the digits that stand there."""
    answers = build.parts((ROOT / "sheets/exam/answers" / f"{name}.md").read_text(encoding="utf-8"))
    found = {}
    for heading, text in answers.items():
        if numbers := re.findall(r"\*\*(.+?)\*\*", text):
            found[heading.removeprefix("## ")] = numbers
    assert found.keys() == TRUTH[name].keys()
    for question, numbers in found.items():
        for said, true in zip(numbers, TRUTH[name][question][1](), strict=True):
            digits = len(said.partition(".")[2])
            assert abs(float(said) - true) <= 0.51 * 10**-digits, f"{question}: {said}, not {true}"


@pytest.mark.parametrize("name", EXAMS)
def test_what_is_asked_is_what_is_computed(name):
    """A question cannot change unseen by what computes its numbers."""
    found = fingerprints(name)
    for question, (known, _) in TRUTH[name].items():
        assert found[question] == known, (
            f"the text of {question!r} has changed: let TRUTH compute what it asks now, and put"
            f" {found[question]} in the place of {known}"
        )


def test_a_changed_question_has_another_fingerprint(monkeypatch, tmp_path):
    (tmp_path / "sheets" / "exam").mkdir(parents=True)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)

    def made(text):
        (tmp_path / "sheets" / "exam" / "x.md").write_text(text)
        return fingerprints("x")

    text = "## A (1 point)\n\nAt 2,\nwhat?\n\n## B (1 point)\n\nIn the last\nquestion?\n"
    first = made(text)
    assert made(text.replace("2,\n", "2, ")) == first
    second = made(text.replace("2", "3"))
    assert second["A"] != first["A"] and second["B"] != first["B"]


@pytest.mark.parametrize("name", EXAMS)
def test_an_answer_says_what_each_point_is_for(name):
    answers = build.parts((ROOT / "sheets/exam/answers" / f"{name}.md").read_text(encoding="utf-8"))
    asked = build.parts((ROOT / "sheets/exam" / f"{name}.md").read_text(encoding="utf-8"))
    for heading in asked:
        title, points = re.fullmatch(build.QUESTION, heading).groups()
        text = re.sub(r"\$[^$]+\$|`[^`]+`", "", answers[f"## {title}"])
        assert sum(map(int, re.findall(r"\((\d)\)", text))) == int(points), title
