"""Ratings: what they may be, how they are divided, where they come from, and the generator's truth."""

import hashlib
import zlib

import pytest
import torch
from oracles import assert_mean, oracle_tests

from dgmcourse.data import ratings, source
from dgmcourse.data.ratings import Asked, Ratings, generated, hold_out

pytestmark = pytest.mark.usefixtures("float64")


def some_ratings(n=20, shape=(6, 7), seed=0):
    random = torch.Generator().manual_seed(seed)
    pairs = torch.randperm(shape[0] * shape[1], generator=random)[:n]
    values = torch.randint(1, 6, (n,), generator=random)
    return Ratings(pairs // shape[1], pairs % shape[1], values, shape)


def triples(part):
    return set(zip(part.users.tolist(), part.items.tolist(), part.values.tolist(), strict=True))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([0], [0], [6]), "ratings are from 1 to 5, got 6 to 6"),
        (([0], [0], [0]), "ratings are from 1 to 5, got 0 to 0"),
        (([2], [0], [1]), "users are from 0 to 1, got 2 to 2"),
        (([0], [-1], [1]), "items are from 0 to 2, got -1 to -1"),
        (([0, 1], [0], [1]), "a user, an item and a value"),
        (([0, 0], [1, 1], [1, 2]), "1 items are rated twice by the same user"),
        (([0], [0], [2.5]), "ratings are whole numbers"),
    ],
)
def test_what_are_no_ratings_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Ratings(*given, (2, 3))


def test_batches_hold_every_rating_once_beside_all():
    data = some_ratings()
    ((known, asked),) = data.batches(100)
    assert known is data and triples(asked) == triples(data)
    parts = list(data.batches(8))
    assert [len(asked) for _, asked in parts] == [8, 8, 4] and len(data) == 20
    assert set.union(*(triples(asked) for _, asked in parts)) == triples(data)
    split = hold_out(data, 0.3)
    for shuffle in (True, False):
        pairs = list(Asked(*split[:2]).batches(4, shuffle))
        assert all(known is split.train for known, _ in pairs)
        assert set.union(*(triples(asked) for _, asked in pairs)) == triples(split.test)
    assert len(Asked(*split[:2])) == 6
    fingerprints = {part.fingerprint() for part in (data, split.train, split.test)}
    assert len(fingerprints) == 3 and data.fingerprint() == some_ratings().fingerprint()


def check_hold_out(module):
    data = some_ratings()
    split = module.hold_out(data, 0.3, seed=4)
    assert (len(split.train), len(split.test)) == (14, 6)
    assert triples(split.train) | triples(split.test) == triples(data)
    assert not triples(split.train) & triples(split.test)


def check_generated(module):
    """Ratings follow the probabilities that are said to be theirs: the mean squared error of their
    means is the mean variance, and that of anything else is larger; each pair is rated once.
    """
    split = module.generated(seed=1)
    levels = torch.arange(1.0, 6.0)
    p = split.truth
    assert p.shape == (2400, 5) and len(split.train) == 9600
    mean = p @ levels
    variance = p @ levels**2 - mean**2
    error = (split.test.values - mean) ** 2
    assert_mean(error - variance, torch.tensor(0.0))
    one_hot = torch.nn.functional.one_hot(split.test.values - 1, 5).double()
    assert_mean(one_hot - p, torch.zeros(5))
    plain = split.train.values.double().mean()
    assert ((split.test.values - plain) ** 2).mean() > 1.5 * error.mean()
    pairs = torch.cat([part.users * 200 + part.items for part in (split.train, split.test)])
    assert len(pairs.unique()) == 12_000
    counts = split.train.counts()[0].sort().values
    assert counts[-30:].sum() > 5 * counts[:30].sum()  # some users rate much more than others


test_oracle, test_mutant_is_caught = oracle_tests(
    (
        ratings,
        {
            check_hold_out: """
                ratings[order[n:]] => ratings
                int(share * len(ratings)) => int(share * len(ratings)) + 1
            """,
            check_generated: """
                torch.multinomial(p, 1, => torch.multinomial(p.flip(1), 1,
                p[:n]) => p[-n:])
                both[torch.arange(n, ratings)] => both
                torch.rand(users, generator=random) ** 3 + 0.05 => torch.ones(users)
            """,
        },
    ),
)


def test_the_generator_is_repeatable_and_refuses_what_it_cannot_do():
    a, b = generated(seed=3), generated(seed=3)
    assert a.train.fingerprint() == b.train.fingerprint() and torch.equal(a.truth, b.truth)
    with pytest.raises(ValueError, match="more than half of 10 x 10 pairs"):
        generated(10, 10, 51)
    with pytest.raises(ValueError, match="leaves one part empty"):
        hold_out(some_ratings(), 0.01)


def test_what_is_known_of_people_and_films_is_read_if_it_is_here(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "ml-100k"
    folder.mkdir(parents=True)
    genres = ["0|" * k + "1" + "|0" * (18 - k) for k in (0, 17)]
    files = {
        "PEOPLE": ("u.user", "user|age|x\n1|20|M|writer|85\n2|40|F|artist|T8\n3|10|F|writer|0\n"),
        "TITLES": ("u.item", f"movie|more\n1|A (1995)|x||y|{genres[0]}\n2|B|x||y|{genres[1]}\n"),
    }
    monkeypatch.setenv("DGMCOURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DGMCOURSE_CACHE", str(tmp_path / "cache"))
    for dataset, (name, text) in files.items():
        assert ratings.movielens_features() is None  # while one of them is missing
        (folder / name).write_text(text)
        sums = zlib.crc32(text.encode()), hashlib.md5(text.encode()).hexdigest()
        listed = getattr(ratings, dataset)._replace(files=(source.File(name, *sums),))
        monkeypatch.setattr(ratings, dataset, listed)
    people, films = ratings.movielens_features()
    assert people.tolist() == [[0.5, 0, 0, 1], [1, 1, 1, 0], [0.25, 1, 0, 1]]
    assert films.shape == (2, 19) and films.nonzero().tolist() == [[0, 0], [1, 17]]


def test_movielens_is_read_as_it_is_and_known_ratings_stand_in(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "data" / "ml-100k"
    folder.mkdir(parents=True)
    files = {
        "u1.base": b"1\t1\t5\t874965758\n943\t1682\t1\t1\n",
        "u1.test": b"1\t2\t3\t876893171\n",
        "u.item": b"movie id | movie title | more\n1|Toy Story (1995)|x\n2|Caf\xe9|y\n",
    }
    listed = {}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        sums = zlib.crc32(content), hashlib.md5(content).hexdigest()
        listed[name] = source.File(name, *sums)
    both = (listed["u1.base"], listed["u1.test"])
    monkeypatch.setattr(ratings, "MOVIELENS", ratings.MOVIELENS._replace(files=both))
    monkeypatch.setattr(ratings, "TITLES", ratings.TITLES._replace(files=(listed["u.item"],)))
    monkeypatch.setattr(source, "_said", set())
    monkeypatch.setenv("DGMCOURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DGMCOURSE_CACHE", str(tmp_path / "cache"))
    split = ratings.movielens(download=False)
    assert triples(split.train) == {(0, 0, 5), (942, 1681, 1)} and split.truth is None
    assert triples(split.test) == {(0, 1, 3)} and split.train.shape == (943, 1682)
    assert split.train.titles == ("Toy Story (1995)", "Café")
    (folder / "u.item").unlink()
    assert ratings.film_titles()[9] == "film 10"
    (folder / "u1.test").write_bytes(b"1\t2\t4\t876893171\n")  # another rating
    monkeypatch.setattr(source, "_said", set())
    assert ratings.movielens(download=False).truth is not None
    said = capsys.readouterr()
    assert "in its place ratings of known make" in said.out and "damaged" in said.err
