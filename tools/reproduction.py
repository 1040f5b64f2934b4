"""Published results beside the course's own: writes docs/reproduction.md from the shipped headers
and tables. The published side stands here, by hand; ours is read from what was measured.

    python tools/reproduction.py
"""

from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from dgmcourse import weights
from dgmcourse.files import write_atomically

PAGE = Path(__file__).parent.parent / "docs" / "reproduction.md"
HEAD = """# Published results, and ours

Each row is a published result, what the course measured for the same question, and the command that measures it
again. This page is written by `python tools/reproduction.py` from the headers of the shipped weights and from the
tables of the studies: no result of ours is typed. A number after ± is a standard error: over test examples for a
weight, over seeds, splits or sets of labels for a study. Lower is better, but for AUC and AP. A gap is ours minus
theirs, so that a positive gap is a result we do not reach (for AUC and AP: theirs minus ours).

"Recalled" marks a published number that was quoted from memory when the course was written, and not read again.
Likelihoods by importance sampling are upper bounds on the NLL and, for many of these models, come from few effective
samples: the share of digits whose estimate is not to be trusted stands in each weight's header and in notebook 16.
"""


class Row(NamedTuple):
    """A published result and where ours is: a header (`of`) or rows of a study that fit `where`."""

    what: str
    source: str
    published: float
    recalled: bool
    of: str
    key: str
    command: str
    differs: str
    where: dict = {}
    higher: bool = False


def vamp(what: str, published: float, name: str, differs: str) -> Row:
    return Row(
        f"{what}, dynamic MNIST, NLL (S = 5,000)",
        "Tomczak & Welling 2017",
        published,
        True,
        name,
        "test_nll",
        f"evaluate {name}",
        differs,
    )


def link(graph: str, method: str, key: str, published: float, recalled: bool) -> Row:
    return Row(
        f"{graph}, {method}, {key.upper()} of held-out links, %",
        "Kipf & Welling 2016",
        published,
        recalled,
        "link_prediction",
        key,
        "study link_prediction",
        "the same split sizes; ten splits of our own",
        {"graph": graph, "method": method},
        True,
    )


def labels(what: str, n: int, published: float, method: str, differs: str) -> Row:
    return Row(
        f"{what}, {n:,} labels, test error, %",
        "Kingma et al. 2014",
        published,
        True,
        "semi_supervised",
        "error",
        "study semi_supervised",
        differs,
        {"method": method, "labels": n},
    )


SHORT = "five passes in place of thousands; M1 has the VampPrior"
SMALL = "a smaller network, 120 epochs in place of up to 2,000"
ROWS = (
    vamp("VAE, N(0, I)", 84.50, "vae_40d", "800 epochs with a decaying rate"),
    vamp("VAE, VampPrior", 82.38, "vamp_vae", "1,000 epochs with a decaying rate"),
    vamp("two layers", 82.42, "hvae", "1,000 epochs with a decaying rate"),
    vamp("two layers, VampPrior", 81.24, "vamp_hvae", "1,000 epochs with a decaying rate"),
    vamp("convolutional, two layers", 80.40, "conv_hvae", SMALL),
    vamp("convolutional, two layers, VampPrior", 79.75, "vamp_conv_hvae", SMALL),
    Row(
        "PixelCNN alone, dynamic MNIST, NLL (exact)",
        "Chen et al. 2017 (VLAE)",
        87.55,
        False,
        "pixelcnn",
        "test_nll",
        "evaluate pixelcnn",
        "18 epochs; a larger network, 7 layers of 64 features",
    ),
    Row(
        "gated PixelCNN, against the same PixelCNN",
        "Chen et al. 2017 (VLAE)",
        87.55,
        False,
        "gated_pixelcnn",
        "test_nll",
        "evaluate gated_pixelcnn",
        "14 epochs; larger, with gates and no blind spot",
    ),
    Row(
        "PixelVAE, binarised MNIST, NLL",
        "Gulrajani et al. 2016",
        80.64,
        False,
        "pixelvae",
        "test_nll",
        "evaluate pixelvae",
        "theirs on fixed binary digits, ours on dynamic ones (about 2 nats apart); S = 30, an upper"
        " bound: notebook 10 says what more samples take from it",
    ),
    Row(
        "M2 on pixels, 100 labels, test error, %",
        "Kingma et al. 2014",
        11.97,
        True,
        "m2",
        "test_error",
        "evaluate m2",
        "one set of labels; the error is over test digits, theirs (± 1.71) over sets",
    ),
    Row(
        "M1+M2, 100 labels, test error, %",
        "Kingma et al. 2014",
        3.33,
        True,
        "m1_m2",
        "test_error",
        "evaluate m1_m2",
        "one set of labels; M1 has the VampPrior",
    ),
    labels("M1+M2", 100, 3.33, "M1+M2", SHORT),
    labels("M1+M2", 600, 2.59, "M1+M2", SHORT),
    labels("M1+M2", 1000, 2.40, "M1+M2", SHORT),
    labels("M1+M2", 3000, 2.18, "M1+M2, alpha = 3", f"{SHORT}; alpha = 3"),
    link("Cora", "GAE", "auc", 91.0, False),
    link("Cora", "GAE", "ap", 92.0, False),
    link("Cora", "VGAE", "auc", 91.4, False),
    link("Cora", "VGAE", "ap", 92.6, False),
    link("CiteSeer", "GAE", "auc", 89.5, True),
    link("CiteSeer", "GAE", "ap", 89.9, True),
    link("CiteSeer", "VGAE", "auc", 90.8, True),
    link("CiteSeer", "VGAE", "ap", 92.0, True),
    Row(
        "GC-MC, MovieLens 100K (u1), RMSE, no features",
        "van den Berg et al. 2017",
        0.910,
        False,
        "ratings",
        "rmse",
        "study ratings",
        "one split, five seeds; settings chosen on a tenth of the training ratings, then all used",
        {"method": "GC-MC"},
    ),
    Row(
        "GC-MC, MovieLens 100K (u1), RMSE, with features",
        "van den Berg et al. 2017",
        0.905,
        False,
        "ratings",
        "rmse",
        "study ratings",
        "one split, five seeds; settings chosen on a tenth of the training ratings, then all used",
        {"method": "GC-MC, features"},
    ),
)


def ours(row: Row) -> tuple[float, float, str]:
    """What was measured, its standard error, and over what."""
    if not row.where:
        results = weights.card(row.of)["results"]
        n = results["n_labels" if row.key == "test_error" else "n"]
        return results[row.key], results[f"{row.key}_se"], f"{n:,} test digits"
    found = [r for r in weights.study(row.of)["rows"] if row.where.items() <= r.items()]
    values = [r[row.key] for r in found]
    if len(values) < 2:
        raise ValueError(f"{row.of}: expected several rows with {row.where}, got {len(values)}")
    return mean(values), stdev(values) / len(values) ** 0.5, f"{len(values)} trainings"


def gap(row: Row) -> float:
    """By how much ours is worse."""
    value, _, _ = ours(row)
    return row.published - value if row.higher else value - row.published


def missed(row: Row) -> bool:
    """Whether ours is worse by more than two of its standard errors."""
    _, error, _ = ours(row)
    return gap(row) > 2 * error


def line(row: Row) -> str:
    value, error, over = ours(row)
    digits = 3 if row.published < 1 else 2
    theirs = f"{row.published:.{digits}f}" + (" (recalled)" if row.recalled else "")
    cells = (
        row.what,
        f"{row.source}: {theirs}",
        f"{value:.{digits}f} ± {error:.{digits}f} ({over})",
        f"{gap(row):+.{digits}f}",
        row.differs,
        f"`{row.command}`",
    )
    return f"| {' | '.join(cells)} |"


def text() -> str:
    """The page."""
    titles = {False: "Met, within two of our standard errors", True: "Not met"}
    parts, sides = [HEAD], [(row, missed(row)) for row in ROWS]
    for side, title in titles.items():
        parts += [
            f"## {title}\n",
            "| what | published | ours | gap | what differs | `python -m dgmcourse ...` |",
            "| --- | --- | --- | --- | --- | --- |",
            *(line(row) for row, of in sides if of == side),
            "",
        ]
    return "\n".join(parts)


if __name__ == "__main__":
    write_atomically(PAGE, text().encode())
    print(PAGE)
