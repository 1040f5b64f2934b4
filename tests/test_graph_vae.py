"""Graph auto-encoders: against all graphs of four nodes, dense matrices, quadrature, and formulas
written another way.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from oracles import assert_mean, close, grid, oracle_tests
from sklearn import metrics
from torch import distributions as td

from dgmcourse import evaluate
from dgmcourse.data.graphs import Graph, karate_club, split_edges
from dgmcourse.models import graph_vae
from dgmcourse.models.graph_vae import GraphAutoEncoder, GraphVAE
from dgmcourse.train import fit

pytestmark = pytest.mark.usefixtures("float64")

CONTRACT = {GraphAutoEncoder: None, GraphVAE: None, graph_vae.InnerProduct: None}  # of one graph
PAIRS = torch.triu_indices(4, 4, 1)
GRAPHS = [PAIRS[:, torch.tensor([k >> i & 1 for i in range(6)]).bool()] for k in range(64)]


def random_graph(nodes=9, edges=14, features=4, seed=0):
    random = torch.Generator().manual_seed(seed)
    pairs = torch.triu_indices(nodes, nodes, 1)
    some = torch.randperm(pairs.shape[1], generator=random)[:edges]
    return Graph(pairs[:, some], nodes, torch.randn(nodes, features, generator=random))


def pairs_of(z, offset):
    """The logits, targets aside, of all pairs i < j, one after the other."""
    n = z.shape[-2]
    return [z[..., i, :] @ z[..., j, :] + offset for i in range(n) for j in range(i + 1, n)]


# ---- the decoder


def check_all_graphs_of_four_nodes(module):
    """Their probabilities sum to 1, and each is a product over its pairs, every pair once."""
    z = 0.8 * torch.randn(4, 3)
    for offset in (None, -0.7):
        decoder = module.InnerProduct(offset)
        log_p = torch.stack([decoder.log_prob(z, edges) for edges in GRAPHS]).detach()
        close(log_p.exp().sum(), 1.0)
        p = torch.stack(pairs_of_one(z, offset or 0.0))
        for k in (0, 5, 63):
            bits = torch.tensor([k >> i & 1 for i in range(6)]).double()
            close(log_p[k], (bits * p.log() + (1 - bits) * (1 - p).log()).sum())


def pairs_of_one(z, offset):
    return [torch.sigmoid((z[i] * z[j]).sum() + offset) for i in range(4) for j in range(i + 1, 4)]


def check_blocks(module):
    """Across blocks of nodes and with samples in front, what one dense matrix gives."""
    z, graph = torch.randn(2, 9, 3), random_graph()
    block, module.BLOCK = module.BLOCK, 4
    try:
        found = module.InnerProduct(0.3).log_prob(z, graph.edges).detach()
    finally:
        module.BLOCK = block
    logits, A = z @ z.mT + 0.3, graph.adjacency()
    dense = td.Bernoulli(logits=logits).log_prob(A.expand(2, 9, 9))
    close(found, dense.triu(1).sum((1, 2)))


def check_sampled_pairs(module):
    """The mean over draws is the whole sum, and the gradient's mean its gradient."""
    z, decoder = torch.randn(5, 2, requires_grad=True), module.InnerProduct(-0.5)
    whole = decoder.log_prob_of_none(z)
    (slope,) = torch.autograd.grad(whole, z)
    draws = [decoder.log_prob_of_none(z, 40) for _ in range(300)]
    assert_mean(torch.stack(draws).detach(), whole.detach())
    slopes = torch.stack([torch.autograd.grad(draw, z)[0] for draw in draws])
    assert_mean(slopes, slope)
    assert torch.stack(draws).std() < whole.abs()  # and no draw is far off


# ---- the model


def check_encoder(module):
    """Two layers by dense matrices, for both kinds of code."""
    graph = random_graph()
    for kind, noise in ((module.GraphAutoEncoder, False), (module.GraphVAE, True)):
        model = kind(4, 2, 3)
        A = graph.adjacency() + torch.eye(9)
        M = torch.diag(A.sum(0) ** -0.5) @ A @ torch.diag(A.sum(0) ** -0.5)
        hidden = torch.relu(M @ graph.x @ model.encoder.first.weight)
        output = M @ hidden @ model.encoder.last.weight
        q = model.encoder(graph)
        close(q.mean.detach(), output[:, :2].detach())
        if noise:
            close((0.5 * q.log_var).exp().detach(), output[:, 2:].exp().detach())


def check_equivariance(module):
    """Renumbering the nodes renumbers codes and links."""
    graph, order = random_graph(), torch.randperm(9)
    place = order.argsort()  # node order[k] becomes k
    other = Graph(place[graph.edges], 9, graph.x[order])
    model = module.GraphVAE(4, 2, 3, offset=-1.0)
    close(model.codes(other), model.codes(graph)[order])
    p = model.link_probabilities(graph)
    close(model.link_probabilities(other), p[order][:, order])
    assert torch.equal(p, p.mT) and not p.diagonal().any()
    logits = model.link_logits(graph, PAIRS)
    close(torch.sigmoid(logits), p[PAIRS[0], PAIRS[1]])


def check_bound(module):
    """log p(A|z) - KL with torch's distributions, at the very sample; with half of the KL, too."""
    graph, model = random_graph(), module.GraphVAE(4, 2, 3, offset=-0.4)
    for beta in (1.0, 0.5):
        torch.manual_seed(1)
        value, parts = model.objective(graph, beta)
        torch.manual_seed(1)
        q = model.encoder(graph)
        z = q.rsample()
        logits = z @ z.T + model.decoder.offset
        log_p = td.Bernoulli(logits=logits).log_prob(graph.adjacency()).triu(1).sum()
        normal = td.Normal(q.mean, (0.5 * q.log_var).exp())
        kl = td.kl_divergence(normal, td.Normal(0.0, 1.0)).sum()
        close(value.detach(), (log_p - beta * kl).detach().reshape(1))
        close(parts["elbo"].detach(), (log_p - kl).detach().reshape(1))
        close(parts["kl"].detach(), kl.detach().reshape(1))


def check_authors_objective(module):
    """norm * mean of torch's weighted cross-entropy over N^2 entries, less KL / N^2, as they have
    it; A + I are the targets, and the weight is of A alone.
    """
    graph, model = random_graph(), module.GraphVAE(4, 2, 3, weighted=True)
    torch.manual_seed(1)
    value, parts = model.objective(graph, 0.7)
    torch.manual_seed(1)
    q = model.encoder(graph)
    z, A, entries = q.rsample(), graph.adjacency(), 81
    weight, norm = (entries - A.sum()) / A.sum(), entries / (2 * (entries - A.sum()))
    costs = F.binary_cross_entropy_with_logits(
        z @ z.T, A + torch.eye(9), pos_weight=weight, reduction="mean"
    )
    log_std = 0.5 * q.log_var
    kl = -0.5 * (1 + 2 * log_std - q.mean**2 - log_std.exp() ** 2).sum(1).mean() / 9
    close(value.detach(), (-norm * costs - 0.7 * kl).detach().reshape(1))
    close(parts["kl"].detach(), 81 * kl.detach().reshape(1))


def check_log_weight(module):
    """The mean weight is p(A): quadrature over the codes of three nodes, one dimension each."""
    torch.manual_seed(3)
    graph = Graph(torch.tensor([[0], [1]]), 3, torch.randn(3, 2))
    model = module.GraphVAE(2, 1, 4, offset=-0.5)
    z, cell = grid(3, 6, 49)
    z = z.reshape(-1, 3, 1)
    log_joint = model.decoder.log_prob(z, graph.edges) + model.prior.log_prob(z).sum(-1)
    log_p = torch.logsumexp(log_joint, 0) + math.log(cell)
    log_w = model.log_weight(graph, 20_000)
    assert_mean((log_w - log_p).exp().detach(), torch.tensor(1.0))
    elbo = torch.stack([model.objective(graph)[0] for _ in range(300)]).detach()
    assert elbo.mean() < log_p  # a bound, as the weights' mean logarithm is
    assert_mean(elbo, log_w.mean().detach())


def check_gradient(module):
    """Of both objectives, by finite differences of every parameter."""
    graph = random_graph()
    for kind in (module.GraphAutoEncoder, module.GraphVAE):
        for weighted in (False, True):
            model = kind(4, 2, 3, weighted, offset=-1.0)
            names = [name for name, _ in model.named_parameters()]

            def value(*parameters, model=model, names=names):
                torch.manual_seed(0)
                given = dict(zip(names, parameters, strict=True))
                return torch.func.functional_call(Objective(model), given_to(given), (graph,))

            torch.autograd.gradcheck(value, tuple(model.parameters()))
            value(*model.parameters()).sum().backward()
            assert all(p.grad is not None and p.grad.any() for p in model.parameters())


class Objective(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, graph):
        return self.model.objective(graph)[0]


def given_to(parameters):
    return {f"model.{name}": p for name, p in parameters.items()}


test_oracle, test_mutant_is_caught = oracle_tests(
    (
        graph_vae,
        {
            check_all_graphs_of_four_nodes: """
                block.shape[-2], 1, device => block.shape[-2], 0, device
                product + self.offset => product
                self.logits(z, edges).sum(-1) => self.logits(z, edges).mean(-1)
                self.log_prob_of_none(z, pairs) + => 2 * self.log_prob_of_none(z, pairs) +
            """,
            check_blocks: """
                z[..., start + BLOCK :, :] => z[..., start:, :]
                none(self.shifted(across)) => none(across)
                (block @ later.mT).flatten(-2) => (block @ later.mT).flatten(-2)[..., 1:]
            """,
            check_sampled_pairs: """
                torch.randint(1, N, => torch.randint(0, N,
                N * (N - 1) / 2 / pairs => N * N / 2 / pairs
            """,
            check_encoder: """
                Gaussian(mean, 2 * log_std) => Gaussian(mean, log_std)
                torch.relu(self.first(M, graph.x)) => self.first(M, graph.x)
            """,
            check_equivariance: """
                output = self.last(M, => output = torch.arange(9.0)[:, None] + self.last(M,
                fill_diagonal_(0) => fill_diagonal_(1)
            """,
            check_bound: """
                kl(q, self.prior).sum() => kl(q, self.prior).mean()
                parts["reconstruction"] - regulariser => parts["reconstruction"] - parts.get("kl", 0)
                absent + edges.sum() => absent + each(edges)
            """,
            check_authors_objective: """
                (2 * each(edges) + each(loops)) => (2 * each(edges))
                2 * (absent - none(edges)) => 2 * absent
                regulariser / entries => regulariser / graph.nodes
                (entries - ones) / ones * => (entries - ones) / (ones + graph.nodes) *
            """,
            check_log_weight: """
                self.prior.log_prob(z) - q.log_prob(z) => q.log_prob(z) - self.prior.log_prob(z)
                z = q.rsample((samples,)) => z = q.mean.expand(samples, *q.mean.shape)
            """,
        },
    ),
)


def test_gradients():
    check_gradient(graph_vae)


def test_a_held_out_edge_reaches_nothing():
    """Neither codes nor objective of the training graph depend on the pairs that are held out: they
    are the same for every graph that differs in those alone.
    """
    graph = karate_club()
    split = split_edges(graph, 0.1, 0.2)
    model = GraphVAE(graph.features, 2, 8, offset=split.train.log_odds)
    kept = split.train.edges
    twin = graph.with_edges(torch.cat([kept, split.test.non_edges], 1)).with_edges(kept)
    close(model.codes(twin), model.codes(split.train))
    whole = graph.with_edges(torch.cat([kept, split.test.edges], 1))  # the leak, which shows
    assert not torch.allclose(model.codes(whole), model.codes(split.train))
    M, weight = split.train.normalised.dense(), graph.normalised.dense()
    for u, v in (*split.test.edges.T.tolist(), *split.valid.edges.T.tolist()):
        assert M[u, v] == 0 and weight[u, v] > 0


def test_the_club_is_learned_and_its_true_bound_reported():
    graph = karate_club()
    torch.manual_seed(0)
    model = GraphAutoEncoder(graph.features, 4, 16, offset=graph.log_odds)
    history = fit(model, graph, epochs=60, lr=0.02, progress=False)
    values = history["reconstruction"]
    E, p = 78, 78 / 561
    constant = E * math.log(p) + (561 - E) * math.log(1 - p)
    assert values[-1] > constant > values[0] - 200 and history.labels == GraphAutoEncoder.parts
    some = torch.tensor([[0, 0], [33, 1]])
    close(
        torch.sigmoid(model.link_logits(graph, some)),
        model.link_probabilities(graph)[some[0], some[1]],
    )


def test_sampled_pairs_train_and_large_graphs_need_them():
    graph = random_graph()
    model = GraphVAE(4, 2, 3, offset=-1.0, pairs=20)
    value, parts = model.objective(graph)
    assert value.shape == (1,) and set(parts) == {"elbo", "reconstruction", "kl"}
    large = Graph(torch.tensor([[0], [5999]]), 6000, torch.ones(6000, 1))
    model = GraphVAE(1, 2, 3, offset=-1.0)
    with pytest.raises(ValueError, match="beyond 5,000 nodes estimate their sum, pairs=100_000"):
        model.objective(large)
    with pytest.raises(ValueError, match="ask for some pairs with link_logits"):
        model.link_probabilities(large)
    model.pairs = 1000
    assert model.objective(large)[0].isfinite().all()


def test_bad_settings_get_a_sentence():
    for wrong in ({"features": 0}, {"features": 3, "hidden": 0}, {"features": 3, "pairs": 0}):
        with pytest.raises(ValueError, match="expected a positive whole number"):
            GraphVAE(**wrong)
    with pytest.raises(ValueError, match="offset: expected a"):
        GraphVAE(3, offset=math.nan)
    with pytest.raises(ValueError, match="made for 3 numbers, got 4 features"):
        GraphVAE(3).objective(random_graph())
    none = Graph(torch.zeros(2, 0, dtype=torch.long), 3, torch.ones(3, 2))
    with pytest.raises(ValueError, match="a graph without edges has none to weigh"):
        GraphVAE(2, weighted=True).objective(none)
    assert GraphVAE(2, offset=none.log_odds).objective(none)[0].isfinite().all()


def test_samples_are_graphs_of_the_model():
    """Each pair as often as the prior's codes say: by quadrature over one dimension each."""
    model = GraphVAE(3, 1, 2, offset=-0.5)
    z, cell = grid(2, 7, 141)
    p = torch.sigmoid(z[:, 0] * z[:, 1] - 0.5) * model.prior.log_prob(z[:, :1]).exp()
    p = (p * model.prior.log_prob(z[:, 1:]).exp()).sum().item() * cell
    drawn = []
    for _ in range(3000):
        i, j = model.sample(3)
        assert (i < j).all() and len(i) <= 3
        drawn.append(((i == 0) & (j == 2)).any().double())
    assert_mean(torch.stack(drawn), torch.tensor(p))
    with pytest.raises(ValueError, match="nodes: expected a whole number"):
        model.sample(1)


# ---- how well edges are told from other pairs


def check_scores(module):
    """scikit-learn's, with ties among and between both kinds."""
    random = torch.Generator().manual_seed(0)
    for P, N, top in ((7, 12, 4), (40, 25, 1000), (1, 1, 2), (30, 30, 2)):
        scores = torch.randint(top, (P + N,), generator=random) / 7
        truth = torch.arange(P + N) < P
        positive, negative = scores[:P], scores[P:]
        close(module.auc(positive, negative), metrics.roc_auc_score(truth, scores))
        expected = metrics.average_precision_score(truth, scores)
        close(module.average_precision(positive, negative), expected)


test_scores_oracle, test_scores_mutant_is_caught = oracle_tests(
    (
        evaluate,
        {
            check_scores: """
                below + 0.5 * tied => below
                below + 0.5 * tied => below + tied
                (hits / (hits + false_alarms).double()).mean() => (hits.sum() / (hits + false_alarms).double().sum())
                part.sort().values, positive) => part.sort().values, positive, right=True)
            """,
        },
    ),
)


@pytest.mark.parametrize("score", [evaluate.auc, evaluate.average_precision])
def test_scores_without_ranks_are_refused(score):
    for wrong in (torch.zeros(0), torch.zeros(2, 2), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="expected one score for each of some negative"):
            score(torch.ones(3), wrong)
    with pytest.raises(ValueError, match="1 positive scores are NaN"):
        score(torch.tensor([1.0, math.nan]), torch.zeros(2))
    assert score(torch.tensor([2, 3]), torch.tensor([1.0, math.inf])) == 0.5 or score is not (
        evaluate.auc
    )
    big = torch.tensor([2**24 + 1], dtype=torch.int64), torch.tensor([2.0**24])
    assert score(*big) <= 1
