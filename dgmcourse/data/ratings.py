"""Ratings of films by people: MovieLens 100K where it is, and ratings of known make elsewhere."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dgmcourse.data import source
from dgmcourse.graph_networks import SparseMatrix, messages
from dgmcourse.settings import check_number, check_whole


class Ratings:
    """Ratings M_ij of items j by users i, from 1 to R. As data they are to be predicted from
    themselves: `fit(model, ratings)`.

    >>> Ratings([0, 0, 1], [0, 1, 1], [5, 3, 4], (2, 3))
    Ratings(3 by 2 users of 3 items)

    Args:
        users, items, values: (n,) whole numbers; users and items count from 0, values from 1.
        shape: how many users and items there are; some may have no rating.
        levels: R.
        titles: of the items.

    Raises:
        ValueError: for a rating outside 1 to R, an unknown user or item, or two ratings of one item
            by one user.
    """

    def __init__(
        self,
        users: Tensor,
        items: Tensor,
        values: Tensor,
        shape: tuple[int, int],
        levels: int = 5,
        titles: tuple[str, ...] = (),
    ):
        self.shape, self.levels, self.titles = tuple(shape), levels, tuple(titles)
        check_whole(users=shape[0], items=shape[1])
        check_whole(2, levels=levels)
        users, items, values = (torch.as_tensor(part) for part in (users, items, values))
        if not users.shape == items.shape == values.shape == (len(users),):
            raise ValueError(
                "a rating is a user, an item and a value, (n,) each, got shapes"
                f" {tuple(users.shape)}, {tuple(items.shape)} and {tuple(values.shape)}"
            )
        for name, part, low, high in (
            ("users", users, 0, shape[0] - 1),
            ("items", items, 0, shape[1] - 1),
            ("ratings", values, 1, levels),
        ):
            if part.is_floating_point() and len(part):
                raise ValueError(f"{name} are whole numbers, got {part.dtype}")
            if len(part) and not (low <= part.min() and part.max() <= high):
                raise ValueError(
                    f"{name} are from {low} to {high}, got {int(part.min())} to {int(part.max())}"
                )
        self.users, self.items, self.values = users.long(), items.long(), values.long()
        pairs = self.users * shape[1] + self.items
        if twice := len(pairs) - len(pairs.unique()):
            raise ValueError(f"{twice} items are rated twice by the same user: keep one rating")
        self._messages = {}

    def messages(self, stack: bool, symmetric: bool) -> tuple[SparseMatrix, SparseMatrix]:
        """`graph_networks.messages` to users and to items, computed once."""
        key = stack, symmetric
        if key not in self._messages:
            level = self.values - 1
            self._messages[key] = tuple(
                messages(to, of, level, shape, self.levels, stack, symmetric)
                for to, of, shape in (
                    (self.users, self.items, self.shape),
                    (self.items, self.users, self.shape[::-1]),
                )
            )
        return self._messages[key]

    def counts(self) -> tuple[Tensor, Tensor]:
        """How many ratings each user gave, and each item got."""
        return (
            torch.bincount(self.users, minlength=self.shape[0]),
            torch.bincount(self.items, minlength=self.shape[1]),
        )

    def __getitem__(self, index: Tensor) -> "Ratings":
        """Some of the ratings, by their numbers or a mask."""
        some = object.__new__(Ratings)  # these were checked with the others
        some.shape, some.levels, some.titles, some._messages = (
            self.shape,
            self.levels,
            self.titles,
            {},
        )
        some.users, some.items, some.values = (
            part[index] for part in (self.users, self.items, self.values)
        )
        return some

    def __len__(self) -> int:
        return len(self.users)

    def batches(self, size: int, shuffle: bool = True) -> Iterator[tuple["Ratings", "Ratings"]]:
        """Pairs: all ratings, from which, and some of them, which are to be predicted."""
        return Asked(self, self).batches(size, shuffle)

    def to(self, device: torch.device) -> "Ratings":
        if torch.device(device) == self.users.device:
            return self
        parts = (part.to(device) for part in (self.users, self.items, self.values))
        return Ratings(*parts, self.shape, self.levels, self.titles)

    def fingerprint(self) -> str:
        """What tells these ratings from others: their number, and a hash."""
        parts = torch.stack([self.users, self.items, self.values]).cpu().numpy().tobytes()
        return f"{self!r}, {hashlib.sha256(parts).hexdigest()[:12]}"

    def __repr__(self) -> str:
        return f"Ratings({len(self):,} by {self.shape[0]:,} users of {self.shape[1]:,} items)"


class Asked(NamedTuple):
    """Ratings to be predicted, `asked`, from others that are `known`, as data for a model."""

    known: Ratings
    asked: Ratings

    def __len__(self) -> int:
        return len(self.asked)

    def batches(self, size: int, shuffle: bool = True) -> Iterator[tuple[Ratings, Ratings]]:
        n, device = len(self.asked), self.asked.users.device
        if n and size >= n:
            yield self.known, self.asked
            return
        order = torch.randperm(n).to(device) if shuffle else torch.arange(n, device=device)
        for part in order.split(size) if n else ():
            yield self.known, self.asked[part]

    def to(self, device: torch.device) -> "Asked":
        return Asked(self.known.to(device), self.asked.to(device))

    def fingerprint(self) -> str:
        return f"{self.known.fingerprint()}; {self.asked.fingerprint()}"


class RatingSplit(NamedTuple):
    """Ratings to train on and to test on; of generated ones, the probabilities (n, R) from which the
    latter were drawn.
    """

    train: Ratings
    test: Ratings
    truth: Tensor | None = None


def hold_out(ratings: Ratings, share: float = 0.1, seed: int = 0) -> RatingSplit:
    """Divide ratings at random."""
    check_number(above=0, below=1, share=share)
    check_whole(None, seed=seed)
    order = torch.randperm(len(ratings), generator=torch.Generator().manual_seed(seed))
    n = int(share * len(ratings))
    if not 0 < n < len(ratings):
        raise ValueError(f"a share of {share:g} of {len(ratings)} ratings leaves one part empty")
    order = order.to(ratings.users.device)
    return RatingSplit(ratings[order[n:]], ratings[order[:n]])


MOVIELENS = source.DataSet(
    title="MovieLens 100K",
    folder="ml-100k",
    files=(
        source.File("u1.base", 0xA71B8D28, "4325f44281c9f8c119a3694662d63fc2"),
        source.File("u1.test", 0xBFE7BE2C, "62d5d837e7c8e36550cc956b09c2ecc8"),
    ),
    mirrors=("https://files.grouplens.org/datasets/movielens/ml-100k/",),
)
# Films and people, in copies with a first line that names the columns; the originals have other bytes.
TITLES = source.DataSet(
    title="MovieLens 100K titles",
    folder="ml-100k",
    files=(source.File("u.item", 0xBB70E50E, "0d3aedfc34f574082b722f0da81ef15e"),),
    mirrors=(),
)
PEOPLE = TITLES._replace(
    title="MovieLens 100K people",
    files=(source.File("u.user", 0x71A8094B, "3599826d96587aa898e0dab4aefa78e8"),),
)
USERS, FILMS, GENRES = 943, 1682, 19


def movielens(download: bool | str = True) -> RatingSplit:
    """100,000 ratings of 1,682 films by 943 users, in the published division u1: 80,000 to train on,
    and 20,000 by 459 of the users to test.

    Harper & Konstan, The MovieLens Datasets: History and Context, 2015. The licence does not allow
    passing the files on: the course never contains them, each user's machine fetches them. Where
    they cannot be had, one line says so, and the ratings are `generated`.
    """
    files, where = source.find(MOVIELENS, download)
    if files is None:
        source.say(f"MovieLens 100K: not here ({where}); in its place ratings of known make")
        return generated()
    titles = film_titles()
    parts = []
    for name in ("u1.base", "u1.test"):
        rows = np.array(files[name].tobytes().split(), dtype=np.int64).reshape(-1, 4)
        users, items, values, _ = torch.from_numpy(rows.T.copy())
        parts.append(Ratings(users - 1, items - 1, values, (USERS, FILMS), titles=titles))
    source.say(f"MovieLens 100K: {len(parts[0]):,} and {len(parts[1]):,} ratings from {where}")
    return RatingSplit(*parts)


def table(dataset: source.DataSet) -> list[list[str]] | None:
    """The rows of a data set's one file, without the line that names the columns; None: not here."""
    files, _ = source.find(dataset, download=False)
    if files is None:
        return None
    (content,) = files.values()
    rows = [line.split("|") for line in content.tobytes().decode("latin1").splitlines()]
    return [row for row in rows if row[0].strip().isdigit()]


def film_titles() -> tuple[str, ...]:
    """The films' titles, if they are here, else "film 1", "film 2", ..."""
    rows = table(TITLES)
    return tuple(row[1] for row in rows) if rows else tuple(f"film {i + 1}" for i in range(FILMS))


def movielens_features() -> tuple[Tensor, Tensor] | None:
    """What is known of MovieLens's people and films beside the ratings, if it is here.

    Returns:
        of each person the age as a share of the highest one, 1 for a woman, and a 1 among the
        occupations, in alphabetical order: (943, 23); of each film a 1 for each of its genres:
        (1682, 19).
    """
    people, films = table(PEOPLE), table(TITLES)
    if not people or not films:
        return None
    _, ages, sexes, occupations, _ = zip(*people, strict=True)
    ages, kinds = [int(age) for age in ages], sorted(set(occupations))
    of_people = [
        [age / max(ages), sex == "F", *(occupation == kind for kind in kinds)]
        for age, sex, occupation in zip(ages, sexes, occupations, strict=True)
    ]
    of_films = [[int(genre) for genre in row[-GENRES:]] for row in films]
    return torch.tensor(of_people, dtype=torch.float), torch.tensor(of_films, dtype=torch.float)


def generated(
    users: int = 300,
    items: int = 200,
    ratings: int = 12_000,
    rank: int = 3,
    spread: float = 1.0,
    test: float = 0.2,
    seed: int = 0,
) -> RatingSplit:
    r"""Ratings of known make, with the probabilities of those to be tested: no prediction can have a
    smaller expected squared error than their means.

    $$s_{ij} = b_j + u_i^T v_j / \sqrt{K}, \quad p(M_{ij} = r) \propto \exp(-(r - 3 - s_{ij})^2 / 2),
      \quad r = 1, ..., 5$$

    u and v are N(0, I) with K = `rank`, times `spread`; b_j is N(0, 1/4). Which items a user rates is
    random, how many is not: a few users rate much, many little.

    Raises:
        ValueError: for a setting out of its range, or more than half of all pairs rated.
    """
    check_whole(users=users, items=items, ratings=ratings, rank=rank)
    check_number(least=0, spread=spread)
    check_number(above=0, below=1, test=test)
    check_whole(None, seed=seed)
    if ratings > users * items // 2:
        raise ValueError(f"{ratings} ratings are more than half of {users} x {items} pairs")
    random = torch.Generator().manual_seed(seed)
    activity = torch.rand(users, generator=random) ** 3 + 0.05
    found = torch.empty(0, dtype=torch.long)
    while len(found) < ratings:
        n = ratings - len(found) + 100
        user = torch.multinomial(activity, n, replacement=True, generator=random)
        item = torch.randint(items, (n,), generator=random)
        found = torch.cat([found, user * items + item]).unique()
    found = found[torch.randperm(len(found), generator=random)[:ratings]]
    u, v = (spread**0.5 * torch.randn(n, rank, generator=random) for n in (users, items))
    b = torch.randn(items, generator=random) / 2
    i, j = found // items, found % items
    s = b[j] + (u[i] * v[j]).sum(1) / rank**0.5
    p = torch.softmax(-((torch.arange(1, 6) - 3 - s[:, None]) ** 2) / 2, 1)
    values = torch.multinomial(p, 1, generator=random).squeeze(1) + 1
    both, n = Ratings(i, j, values, (users, items)), int(test * ratings)
    return RatingSplit(both[torch.arange(n, ratings)], both[torch.arange(n)], p[:n])
