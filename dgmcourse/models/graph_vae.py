r"""The variational graph auto-encoder: codes of nodes from which a graph's edges are predicted.

Kipf & Welling, Variational Graph Auto-Encoders, 2016, arXiv:1611.07308.
"""

import torch
from torch import Tensor, nn

from dgmcourse.densities import Bernoulli, Gaussian, Point, StandardGaussian, kl
from dgmcourse.graph_networks import GraphConvolution
from dgmcourse.settings import check_number, check_whole

DENSE = 5000  # nodes up to which a step looks at every pair of them
BLOCK = 256  # nodes whose pairs with all others are looked at together


class GraphEncoder(nn.Module):
    r"""q(Z|A, X): two graph convolutions, from a graph to a Density with a row for each node.

    $$H = \mathrm{relu}(M X W_0), \quad (\mu, \log \sigma) = M H W_1, \quad
      q(z_i \mid A, X) = \mathcal N(\mu_i, \mathrm{diag}\,\sigma_i^2)$$

    Args:
        features: of each node; the number of nodes, if they have none.
        hidden, latent_dim: units of the first layer, and of a code.
        noise: without it, the code is a point, mu.
    """

    def __init__(self, features: int, hidden: int, latent_dim: int, noise: bool):
        super().__init__()
        self.noise = noise
        self.first = GraphConvolution(features, hidden)
        self.last = GraphConvolution(hidden, (1 + noise) * latent_dim)

    def forward(self, graph) -> Gaussian | Point:
        M = graph.normalised
        output = self.last(M, torch.relu(self.first(M, graph.x)))
        if not self.noise:
            return Point(output)
        mean, log_std = output.chunk(2, -1)
        return Gaussian(mean, 2 * log_std)


class InnerProduct(nn.Module):
    r"""p(A|Z): pairs of nodes are edges independently of one another, each unordered pair once.

    $$p(A \mid Z) = \prod_{i<j} \mathrm{Bernoulli}\big(A_{ij} \mid \sigma(z_i^T z_j + b)\big)$$

    Args:
        offset: the first value of b, which is learned; None: there is none, as in the paper. Codes
            of independent directions then have an edge with probability 1/2.
    """

    def __init__(self, offset: float | None = None):
        super().__init__()
        if offset is not None:
            check_number(offset=offset)
        self.offset = None if offset is None else nn.Parameter(torch.tensor(float(offset)))

    def logits(self, z: Tensor, pairs: Tensor) -> Tensor:
        """The logits of pairs of nodes, (2, P), given codes (..., N, K): (..., P)."""
        return self.shifted((z[..., pairs[0], :] * z[..., pairs[1], :]).sum(-1))

    def shifted(self, product: Tensor) -> Tensor:
        return product if self.offset is None else product + self.offset

    def log_prob(self, z: Tensor, edges: Tensor, pairs: int | None = None) -> Tensor:
        r"""log p(A|Z), (...), nats, of the graph of these edges, (2, E), given codes (..., N, K).

        As log sigma(l) - log sigma(-l) = l, it is the log-probability of a graph without edges, plus
        the logits of the edges:

        $$\log p(A \mid Z) = \sum_{i<j} \log \sigma(-l_{ij}) + \sum_{(i,j) \in E} l_{ij}$$

        Args:
            pairs: estimate the first sum from so many pairs drawn at random, without bias; None:
                the whole of it.
        """
        return self.log_prob_of_none(z, pairs) + self.logits(z, edges).sum(-1)

    def log_prob_of_none(self, z: Tensor, pairs: int | None = None) -> Tensor:
        """log p(A = 0|Z), (...): of the graph without edges, or an estimate from random pairs."""
        N = z.shape[-2]
        if pairs is not None:
            i = torch.randint(N, (pairs,), device=z.device)
            j = (i + torch.randint(1, N, (pairs,), device=z.device)) % N  # any other node
            return N * (N - 1) / 2 / pairs * none(self.logits(z, torch.stack([i, j])))
        if N > DENSE:
            raise ValueError(
                f"{N:,} nodes have {N * (N - 1) // 2:,} pairs: beyond {DENSE:,} nodes estimate their"
                " sum, pairs=100_000 for instance"
            )
        total = z.new_zeros(z.shape[:-2])
        for start in range(0, N, BLOCK):
            block, later = z[..., start : start + BLOCK, :], z[..., start + BLOCK :, :]
            i, j = torch.triu_indices(block.shape[-2], block.shape[-2], 1, device=z.device)
            within, across = (block @ block.mT)[..., i, j], (block @ later.mT).flatten(-2)
            total = total + none(self.shifted(within)) + none(self.shifted(across))
        return total


def none(logits: Tensor) -> Tensor:
    """The log-probability that none of these pairs, (..., P), is an edge: (...), nats."""
    return Bernoulli(logits).log_prob(logits.new_zeros(logits.shape[-1]))


def each(logits: Tensor) -> Tensor:
    """The log-probability that each of these pairs, (..., P), is an edge: (...), nats."""
    return Bernoulli(logits).log_prob(logits.new_ones(logits.shape[-1]))


class GraphAutoEncoder(nn.Module):
    r"""The graph auto-encoder (GAE): maximum likelihood of the edges, from codes without noise.

    $$\mathcal{L} = \log p(A \mid Z), \quad Z = M\, \mathrm{relu}(M X W_0)\, W_1$$

    It is trained on one graph, an object with `nodes`, `edges` (2, E), `normalised` (M) and `x`
    such as `data.graphs.Graph`; the objective has the shape (1,).

    Args:
        features: `graph.features`.
        latent_dim, hidden: units of a code, and of the layer before it.
        weighted: maximise the authors' objective instead of the bound: see `objective`.
        offset: b's first value, such as `graph.log_odds`; None: no b, as in the paper.
        pairs: a step estimates the sum over all pairs of nodes from so many; None: it takes all, up
            to 5,000 nodes.

    Raises:
        ValueError: for a setting out of its range.
    """

    parts = {"reconstruction": "log p(A|Z)"}
    noise = False

    def __init__(
        self,
        features: int,
        latent_dim: int = 16,
        hidden: int = 32,
        weighted: bool = False,
        offset: float | None = None,
        pairs: int | None = None,
    ):
        super().__init__()
        check_whole(features=features, latent_dim=latent_dim, hidden=hidden)
        check_whole(none=True, pairs=pairs)
        self.weighted, self.pairs = weighted, pairs
        self.prior = StandardGaussian(latent_dim)
        self.encoder = GraphEncoder(features, hidden, latent_dim, self.noise)
        self.decoder = InnerProduct(offset)

    def objective(self, graph, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        r"""What to maximise, (1,), and its parts, which are those of the bound in nats: (1,) each.

        The bound, with one sample of Z (without noise there is no KL):

        $$\mathcal{L} = \mathbb{E}_{q(Z|A,X)}[\log p(A \mid Z)]
          - \beta \sum_i \mathrm{KL}[q(z_i \mid A, X) \,\|\, p(z_i)] \le \log p(A \mid X)$$

        What the authors' code maximises, with `weighted`, is no bound: each edge counts
        w = (N^2 - 2 E) / 2 E times, so that edges and other pairs weigh the same. Both triangles of
        the matrix count, and its diagonal as N more edges:

        $$\frac{1}{2 (N^2 - 2E)} \sum_{i,j} \big[w (A + I)_{ij} \log \sigma(l_{ij})
          + (1 - A - I)_{ij} \log \sigma(-l_{ij})\big] - \frac{\beta}{N^2} \sum_i \mathrm{KL}_i$$

        Raises:
            ValueError: for a graph without edges, if they are weighted.
        """
        q = self.encoder(graph)
        z = q.rsample()
        absent = self.decoder.log_prob_of_none(z, self.pairs)
        edges = self.decoder.logits(z, graph.edges)
        parts = {"reconstruction": absent + edges.sum()}
        if self.noise:
            parts["kl"] = kl(q, self.prior).sum()
            parts["elbo"] = parts["reconstruction"] - parts["kl"]
        regulariser = beta * parts.get("kl", 0)
        if self.weighted:
            entries, ones = graph.nodes**2, 2 * graph.edges.shape[1]
            if not ones:
                raise ValueError("a graph without edges has none to weigh: weighted=False")
            loops = self.decoder.shifted((z * z).sum(-1))
            weighed = (entries - ones) / ones * (2 * each(edges) + each(loops))
            likelihood = weighed + 2 * (absent - none(edges))
            value = likelihood / (2 * (entries - ones)) - regulariser / entries
        else:
            value = parts["reconstruction"] - regulariser
        return value.reshape(1), {name: part.reshape(1) for name, part in parts.items()}

    @torch.no_grad()
    def codes(self, graph) -> Tensor:
        """The mean of q(Z|A, X): (N, K)."""
        return self.encoder(graph).mean

    def link_logits(self, graph, pairs: Tensor) -> Tensor:
        """The logits of an edge between pairs of nodes, (2, P), at the codes' means: (P,).

        Of a pair that is no edge of `graph`, a prediction. Those of the model with `weighted` are
        good for ranking only, since it sees many more edges than there are.
        """
        return self.decoder.logits(self.codes(graph), pairs).detach()

    @torch.no_grad()
    def link_probabilities(self, graph) -> Tensor:
        """The probability of an edge between any two nodes at the codes' means: (N, N), symmetric.
        Its diagonal is 0.

        Raises:
            ValueError: beyond 5,000 nodes.
        """
        if graph.nodes > DENSE:
            raise ValueError(
                f"beyond {DENSE:,} nodes ask for some pairs with link_logits, not for all of"
                f" {graph.nodes:,} x {graph.nodes:,}"
            )
        z = self.codes(graph)
        return self.decoder.shifted(z @ z.mT).sigmoid_().fill_diagonal_(0)


class GraphVAE(GraphAutoEncoder):
    r"""The variational graph auto-encoder (VGAE).

    $$p(z_i) = \mathcal N(0, I), \quad p(A \mid Z) = \prod_{i<j} \mathrm{Bernoulli}(A_{ij} \mid
      \sigma(z_i^T z_j + b)), \quad q(Z \mid A, X) = \prod_i \mathcal N(z_i \mid \mu_i, \mathrm{diag}\,\sigma_i^2)$$

    Arguments as for `GraphAutoEncoder`.
    """

    parts = {"elbo": "ELBO", "reconstruction": "reconstruction", "kl": "KL"}
    noise = True

    def log_weight(self, graph, samples: int = 1) -> Tensor:
        """log w = log p(A|Z) + log p(Z) - log q(Z|A, X) for Z ~ q: (samples,), nats.

        The mean of w is p(A), whatever q is.
        """
        check_whole(samples=samples)
        q = self.encoder(graph)
        z = q.rsample((samples,))
        log_p = self.decoder.log_prob(z, graph.edges, self.pairs)
        return log_p + (self.prior.log_prob(z) - q.log_prob(z)).sum(-1)

    @torch.no_grad()
    def sample(self, nodes: int) -> Tensor:
        """Draw codes of so many nodes from the prior, and a graph given them: its edges, (2, E).

        Raises:
            ValueError: beyond 5,000 nodes, or for fewer than 2.
        """
        check_whole(2, DENSE, nodes=nodes)
        z, pairs = self.prior.sample((nodes,)), torch.triu_indices(nodes, nodes, 1)
        pairs = pairs.to(z.device)
        return pairs[:, Bernoulli(self.decoder.logits(z, pairs)).sample() == 1]
