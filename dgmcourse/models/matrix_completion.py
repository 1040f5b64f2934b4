r"""Graph convolutional matrix completion: who will like what, from a graph of ratings.

van den Berg, Kipf & Welling, Graph Convolutional Matrix Completion, 2017, arXiv:1706.02263.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.densities import Categorical, Gaussian, Point, StandardGaussian, kl
from dgmcourse.settings import check_number, check_whole

SPARE = 40  # pairs of a user and an item that a matrix product may compute for each that is asked


class SideInformation(nn.Module):
    r"""What is known of users and of items beside their ratings, as parts of their codes:

    $$W_2\, \mathrm{relu}(W_1 f_i + b)$$

    W_1 and b are others for users than for items, W_2 is the same.

    Args:
        features: f of the users, (users, F), and of the items, (items, G).
        hidden: units of the relu.
        outputs: numbers of a code.
    """

    def __init__(self, features: tuple[Tensor, Tensor], hidden: int, outputs: int):
        super().__init__()
        for name, f in zip(("users", "items"), features, strict=True):
            self.register_buffer(name, f)
        self.first = nn.ModuleList(nn.Linear(f.shape[1], hidden) for f in features)
        self.last = nn.Linear(hidden, outputs, bias=False)
        nn.init.xavier_uniform_(self.last.weight)

    def forward(self) -> tuple[Tensor, Tensor]:
        both = zip((self.users, self.items), self.first, strict=True)
        return tuple(self.last(torch.relu(first(f))) for f, first in both)


class RatingEncoder(nn.Module):
    r"""From known ratings to Densities of the users' and of the items' codes.

    Each user hears from the items he rated, in one way for each level of rating, and each item from
    its users:

    $$h_i = \mathrm{relu}\Big(\mathrm{accum}_r \sum_{j \in N_{i,r}} \frac{1}{c_{ij}} w_{r,j}\Big), \quad
      u_i = W h_i$$

    accum puts the levels beside one another ("stack"), or adds them ("sum"); then
    w_r = t_1 + ... + t_r, so that levels that lie near each other say nearly the same. Users and
    items have a vector w for each level, and share W. With features, `SideInformation` is added to a
    code.

    In training whole nodes are left out with probability `dropout`, with all they say, and the rest
    is scaled by 1 / (1 - dropout); so are units of h.

    Args:
        users, items, levels: how many there are.
        hidden: units of h; "stack" gives each level an equal part of them.
        latent_dim: of the codes.
        noise: codes are Gaussian, N(mu, diag sigma^2), with (mu, log sigma) = W h; else points.
        features, side: of `SideInformation`, or None; its hidden units.
    """

    def __init__(
        self,
        users: int,
        items: int,
        levels: int,
        hidden: int,
        latent_dim: int,
        dropout: float,
        accumulate: str,
        symmetric: bool,
        noise: bool,
        features: tuple[Tensor, Tensor] | None = None,
        side: int = 10,
    ):
        super().__init__()
        self.shape, self.levels = (users, items), levels
        self.stack, self.symmetric, self.noise = accumulate == "stack", symmetric, noise
        width = hidden // levels if self.stack else hidden
        self.table = nn.Parameter(torch.empty(levels, users + items, width))
        bound = (6 / (users + items + width)) ** 0.5  # Glorot & Bengio's, for each level
        nn.init.uniform_(self.table, -bound, bound)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(
            width * (levels if self.stack else 1), (1 + noise) * latent_dim, False
        )
        nn.init.xavier_uniform_(self.dense.weight)
        self.side = features and SideInformation(features, side, self.dense.out_features)

    def weights(self) -> Tensor:
        """w, (R, users + items, D)."""
        if self.stack:
            return self.table
        up_to = self.table.new_ones(self.levels, self.levels).tril()
        return torch.einsum("rs,snd->rnd", up_to, self.table)  # in half the time of a cumsum

    def forward(self, known) -> tuple[Gaussian | Point, Gaussian | Point]:
        if known.shape != self.shape or known.levels != self.levels:
            raise ValueError(
                f"this model is of {self.shape[0]} users, {self.shape[1]} items and {self.levels}"
                f" levels, the ratings of {known.shape[0]}, {known.shape[1]} and {known.levels}"
            )
        kept = self.dropout(self.table.new_ones(self.table.shape[1], 1))
        users, items = (kept * self.weights()).split(self.shape, 1)
        heard = zip(known.messages(self.stack, self.symmetric), (items, users), strict=True)
        beside = self.side() if self.side else (0, 0)
        return tuple(
            self.code(matrix @ table.flatten(0, 1), n, more)
            for (matrix, table), n, more in zip(heard, self.shape, beside, strict=True)
        )

    def code(self, heard: Tensor, n: int, more: Tensor | float = 0) -> Gaussian | Point:
        """Densities of n codes, given what their nodes heard, and what is added to it."""
        h = self.dropout(torch.relu(heard.reshape(n, self.dense.in_features)))
        output = self.dense(h) + more
        if not self.noise:
            return Point(output)
        mean, log_std = output.chunk(2, -1)
        return Gaussian(mean, 2 * log_std)


class BilinearDecoder(nn.Module):
    r"""p(M_ij = r|u_i, v_j): a Categorical over the levels.

    $$\mathrm{softmax}_r\big((u_i + c)^T Q_r (v_j + d) + b_r\big), \quad Q_r = \sum_s a_{sr} P_s$$

    The paper has none of b, c and d. c and d are what all users and all items have in common: with
    them a user of whom nothing is known, whose code is 0, gets what an average user thinks of each
    item, and the training needs fewer epochs.

    Args:
        latent_dim: of the codes.
        levels: R.
        bases: the number of matrices P_s.
    """

    def __init__(self, latent_dim: int, levels: int, bases: int):
        super().__init__()
        self.bases = nn.Parameter(torch.empty(bases, latent_dim, latent_dim))
        for matrix in self.bases.data:
            nn.init.orthogonal_(matrix)
        self.mix = nn.Parameter(nn.init.xavier_uniform_(torch.empty(bases, levels)))
        self.offset = nn.Parameter(torch.zeros(levels))
        self.common = nn.Parameter(0.3 * torch.randn(2, latent_dim))  # c and d

    def forward(self, u: Tensor, v: Tensor, users: Tensor, items: Tensor) -> Categorical:
        """Of each pair (users[n], items[n]), given all codes, (..., users, K) and (..., items, K)."""
        u, v = u + self.common[0], v + self.common[1]
        everyone = [u @ P for P in self.bases]
        if u.shape[-2] * v.shape[-2] <= SPARE * len(
            users
        ):  # all pairs take less time than to gather
            place = users * v.shape[-2] + items
            products = [(t @ v.mT).flatten(-2).index_select(-1, place) for t in everyone]
        else:
            v = v.index_select(-2, items)
            products = [(t.index_select(-2, users) * v).sum(-1) for t in everyone]
        products = torch.stack(products, -1)
        return Categorical(products @ self.mix + self.offset)


class GraphMatrixCompletion(nn.Module):
    r"""GC-MC: an auto-encoder of a graph of ratings. No code is random; it maximises the likelihood.

    $$\mathcal{L} = \log p(M_{ij} \mid u_i, v_j), \quad (u, v) \text{ from all known ratings}$$

    That the rating to be predicted is itself among the known ones makes this easier than predicting
    a new one; leaving nodes out is what keeps it from being copied.

    Objectives are given the `known` ratings and those that are `asked`, objects such as
    `data.ratings.Ratings`. The settings are the authors' for MovieLens 100K.

    Args:
        users, items, levels: how many there are.
        hidden, latent_dim: units of the layers.
        bases: matrices from which those of the levels are mixed.
        dropout: the share of nodes, and of hidden units, that are left out in training.
        accumulate: "stack" or "sum", see `RatingEncoder`.
        symmetric: messages are divided by the root of both numbers of ratings, not by the
            receiver's.
        features: of the users, (users, F), and of the items, (items, G), where they have some.
        side: hidden units for the features.

    Raises:
        ValueError: for a setting out of its range, or ratings or features of another number of users
            or items.
    """

    parts = {"log_prob": "log p(rating)"}
    noise = False

    def __init__(
        self,
        users: int,
        items: int,
        levels: int = 5,
        hidden: int = 500,
        latent_dim: int = 75,
        bases: int = 2,
        dropout: float = 0.7,
        accumulate: str = "stack",
        symmetric: bool = False,
        features: tuple[Tensor, Tensor] | None = None,
        side: int = 10,
    ):
        super().__init__()
        check_whole(users=users, items=items, latent_dim=latent_dim, bases=bases, side=side)
        check_whole(2, levels=levels)
        check_whole(levels, hidden=hidden)
        check_number(least=0, below=1, dropout=dropout)
        if accumulate not in ("stack", "sum"):
            raise ValueError(f"accumulate is 'stack' or 'sum', got {accumulate!r}")
        for name, n, f in zip(("users", "items"), (users, items), features or (), strict=False):
            if f.dim() != 2 or len(f) != n or not f.is_floating_point():
                raise ValueError(
                    f"features of {name} are floats, ({n}, F), got {f.dtype} of shape"
                    f" {tuple(f.shape)}"
                )
        self.levels = levels
        self.prior = StandardGaussian(latent_dim)
        self.encoder = RatingEncoder(
            *(users, items, levels, hidden, latent_dim, dropout, accumulate, symmetric),
            *(self.noise, features, side),
        )
        self.decoder = BilinearDecoder(latent_dim, levels, bases)

    def objective(self, known, asked, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        r"""What to maximise, for each rating that is asked, (B,), nats, and its parts.

        With random codes their KL is shared out among the n known ratings, so that n times the mean
        is a bound on the log-probability of all:

        $$\log p(M_{ij} \mid u_i, v_j) - \frac{\beta}{n} \Big(\sum_i \mathrm{KL}[q(u_i) \,\|\, p(u)]
          + \sum_j \mathrm{KL}[q(v_j) \,\|\, p(v)]\Big)$$
        """
        q_u, q_v = self.encoder(known)
        p = self.decoder(q_u.rsample(), q_v.rsample(), asked.users, asked.items)
        log_p = p.log_prob(F.one_hot(asked.values - 1, self.levels))
        if not self.noise:
            return log_p, {"log_prob": log_p}
        shared = (kl(q_u, self.prior).sum() + kl(q_v, self.prior).sum()) / max(1, len(known))
        regulariser = shared.expand_as(log_p)
        parts = {"elbo": log_p - regulariser, "log_prob": log_p, "kl": regulariser}
        return log_p - beta * regulariser, parts

    @torch.no_grad()
    def predict(self, known, users: Tensor, items: Tensor, samples: int = 50) -> Categorical:
        """The distributions of ratings of these pairs, (n,) each; of random codes, averaged over
        `samples` of them. Call it in `eval()` mode: else nodes are left out.
        """
        q_u, q_v = self.encoder(known)
        if not self.noise:
            return self.decoder(q_u.mean, q_v.mean, users, items)
        check_whole(samples=samples)
        p = 0
        for _ in range(samples):
            p = p + self.decoder(q_u.sample(), q_v.sample(), users, items).mean / samples
        return Categorical(p.log())

    @torch.no_grad()
    def new_user(self, items: Tensor, values: Tensor, shrinkage: float = 0.0) -> Gaussian | Point:
        """q(u) of somebody who gave these ratings, (n,) each: a Density of one code, (1, K). Call it
        in `eval()` mode.

        With `shrinkage`, so many ratings that say nothing are added. The code of somebody who rated
        little is then near that of nobody, mu = log sigma = 0, and not that of a person all of whose
        ratings are like these few.
        """
        check_number(least=0, shrinkage=shrinkage)
        if len(items) and not (1 <= values.min() and values.max() <= self.levels):
            raise ValueError(
                f"ratings are from 1 to {self.levels}, got {int(values.min())} to"
                f" {int(values.max())}"
            )
        if self.encoder.symmetric:
            raise ValueError("a new user changes his items' messages: symmetric=False")
        if self.encoder.side:
            raise ValueError("of a new user no features are known: features=None")
        encoder, n = self.encoder, max(1, len(items) + shrinkage)
        said = encoder.weights()[values - 1, encoder.shape[0] + items] / n
        heard = said.new_zeros(self.levels, said.shape[-1]).index_add_(0, values - 1, said)
        return encoder.code(heard if encoder.stack else heard.sum(0), 1)


def expected_rating(p: Categorical) -> Tensor:
    """The mean rating, sum_r r p(r), of each row: (B,). It has the smallest expected squared error."""
    return p.mean @ torch.arange(1, p.mean.shape[-1] + 1).to(p.mean)


class VariationalMatrixCompletion(GraphMatrixCompletion):
    r"""GC-MC with random codes: a variational auto-encoder of a graph of ratings.

    $$p(u_i) = p(v_j) = \mathcal N(0, I), \quad q(u_i \mid M) = \mathcal N(\mu_i, \mathrm{diag}\,\sigma_i^2)$$

    A rating's distribution is then averaged over codes, so that little knowledge of a user can show.
    Arguments as for `GraphMatrixCompletion`.
    """

    parts = {"elbo": "ELBO for a rating", "log_prob": "log p(rating)", "kl": "KL for a rating"}
    noise = True
