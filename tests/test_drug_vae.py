"""PertVAE and Dr.VAE against joint Gaussians in closed form, and sums over y."""

import math

import pytest
import torch
from oracles import assert_mean, close, oracle_tests
from torch import distributions as td
from torch import nn

from dgmcourse.data.drugs import simulated
from dgmcourse.densities import (
    Categorical,
    CategoricalConditional,
    FullGaussian,
    Gaussian,
    GaussianConditional,
)
from dgmcourse.models import drug_vae
from dgmcourse.models.drug_vae import (
    DrVAE,
    Moved,
    PairedModel,
    PertVAE,
    Response,
    Transition,
    Twice,
)
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.train import fit

pytestmark = pytest.mark.usefixtures("float64")
d, D, C, S = 2, 3, 3, 2  # dimensions of z_1, of x_1, classes, dimensions of z_3

CONTRACT = {
    PertVAE: {"make": lambda: PertVAE(1, 6, 1), "dim": 2, "kind": "real"},
    DrVAE: {"make": lambda: DrVAE(2, 6, 2, 1, 4, 3), "dim": 4, "kind": "real"},
    PairedModel: None,  # what the two share
}


# --- linear models, whose expected bounds are sums of quadratic forms ----------------------------


def shaken(model):
    for p in model.parameters():
        nn.init.normal_(p, std=0.6)
    return model.requires_grad_(False)


def normal(mean, log_var):
    return td.Independent(td.Normal(mean, (log_var / 2).exp()), 1)


def linear_pert(module):
    return shaken(module.PertVAE(d, None, D))


def q_of(model, x):
    """The encoder, from its parameters alone."""
    W, w = model.state.net.parameters()
    mean, log_var = (x @ W.T + w).chunk(2, -1)
    return mean, log_var.clamp(-6, 2)


def p_of_expression(model, z):
    return normal(z @ model.expression.weight.T + model.expression.bias, model.expression.log_var)


def p_of_move(model, z1):
    t = model.transition
    return normal(z1 + z1 @ t.move.weight.T + t.move.bias, t.log_var)


def over(n, f):
    """The mean of f(noise) over points with the mean and covariance of N(0, I) in n dimensions:
    exact for what is quadratic in the noise.
    """
    points = math.sqrt(n) * torch.cat([torch.eye(n), -torch.eye(n)])
    return torch.stack([f(point) for point in points]).mean(0)


def expected_pair(model, x1, x2, log_prior):
    """E_q[log p(x_1, x_2, z_1, z_2) - log q(z_1) - log q(z_2)] with p(z_1) given; without x_2 of
    x_1 and z_1 alone.
    """
    (m1, v1), (m2, v2) = q_of(model, x1), q_of(model, x1 if x2 is None else x2)

    def at(noise):
        z1, z2 = (m + (v / 2).exp() * e for m, v, e in ((m1, v1, noise[:d]), (m2, v2, noise[d:])))
        value = log_prior(z1) + p_of_expression(model, z1).log_prob(x1)
        value = value - normal(m1, v1).log_prob(z1)
        if x2 is None:
            return value
        value = value + p_of_move(model, z1).log_prob(z2) - normal(m2, v2).log_prob(z2)
        return value + p_of_expression(model, z2).log_prob(x2)

    return over(2 * d, at)


def standard(z):
    return normal(torch.zeros_like(z), torch.zeros_like(z)).log_prob(z)


def joint(model, mean1, cov1):
    """p(x_1, x_2) and the posterior's mean (a function of x) and covariance of [z_1, z_2], of a
    z_1 ~ N(mean1, cov1).
    """
    t, A = model.transition, model.expression.weight
    M = torch.eye(d) + t.move.weight
    mean = torch.cat([mean1, M @ mean1 + t.move.bias])
    below = M @ cov1
    cov = torch.cat(
        [
            torch.cat([cov1, below.T], 1),
            torch.cat([below, below @ M.T + t.log_var.exp().diag()], 1),
        ]
    )
    A2 = torch.block_diag(A, A)
    cov_x = A2 @ cov @ A2.T + model.expression.log_var.exp().repeat(2).diag()
    mean_x = A2 @ mean + model.expression.bias.repeat(2)
    gain = cov @ A2.T @ torch.linalg.inv(cov_x)
    posterior = cov - gain @ A2 @ cov
    return (
        td.MultivariateNormal(mean_x, cov_x),
        lambda x: mean + (x - mean_x) @ gain.T,
        (posterior + posterior.T) / 2,
    )


def some_x(n=4):
    x = 1.5 * torch.randn(n, 2 * D)
    single = x.clone()
    single[:, D:] = torch.nan
    return x, single


def draws(model, x, n=6000, **more):
    """Many values of the bound of each x."""
    many = x.repeat(n, 1)
    y = more.pop("y", None)
    given = () if y is None else (y.repeat(n),)
    return model.objective(many, *given, **more)[1]["elbo"].view(n, len(x))


def check_pair_bound(module):
    """The bound of pairs has the expectation of the closed form, and lies below log p(x_1, x_2)."""
    model, (x, _) = linear_pert(module), some_x()
    expected = expected_pair(model, x[:, :D], x[:, D:], standard)
    assert_mean(draws(model, x), expected)
    log_p, _, _ = joint(model, torch.zeros(d), torch.eye(d))
    assert (log_p.log_prob(x) - expected > 1e-2).all()


def check_exact_posterior(module):
    """With p(z_1, z_2|x_1, x_2) for an encoder each log-weight is log p(x_1, x_2)."""
    model, (x, _) = linear_pert(module), some_x()
    p, mean, cov = joint(model, torch.zeros(d), torch.eye(d))
    exact = LatentVariableModel(
        model.prior, lambda x: FullGaussian(mean(x), torch.linalg.cholesky(cov)), model.decoder
    )
    close(exact.log_weight(x, (7,)), p.log_prob(x).expand(7, -1))


def check_missing(module):
    """Without x_2 the bound is that of a VAE of x_1, and `before` has the marginal of the joint."""
    model, (x, single) = linear_pert(module), some_x()
    x1 = x[:, :D]
    expected = expected_pair(model, x1, None, standard)
    assert_mean(draws(model, single), expected)
    mixed = torch.where(torch.tensor([[True], [False], [True], [False]]), x, single)
    whole = expected_pair(model, x1, x[:, D:], standard)
    assert_mean(draws(model, mixed), torch.where(mixed[:, -1].isnan(), expected, whole))
    p, mean, cov = joint(model, torch.zeros(d), torch.eye(d))
    marginal = td.MultivariateNormal(p.mean[:D], p.covariance_matrix[:D, :D])
    A, noise = model.expression.weight, model.expression.log_var.exp()
    precision = torch.eye(d) + A.T @ (A / noise[:, None])
    root = torch.linalg.cholesky(torch.linalg.inv(precision))

    def exact(x1):
        mean = torch.linalg.solve(precision, A.T @ ((x1 - model.expression.bias) / noise).T).T
        return FullGaussian(mean, root)

    before = LatentVariableModel(model.before.prior, exact, model.before.decoder)
    close(before.log_weight(x1, (7,)), marginal.log_prob(x1).expand(7, -1))
    close(model.before.encoder(x1).mean, q_of(model, x1)[0])


def check_some_genes_missing(module):
    """NaN in a part of x_2 stays visible in its row, and in no other."""
    model, (x, _) = linear_pert(module), some_x()
    x[1, D + 1] = torch.nan
    value = model.objective(x)[0]
    assert value.isnan().tolist() == [False, True, False, False]


def check_warm_up(module):
    """beta weighs the KLs, and what is watched does not depend on it."""
    model, (x, _) = linear_pert(module), some_x()

    def value(beta):
        torch.manual_seed(3)
        return model.objective(x, beta)

    (half, parts), (whole, same) = value(0.5), value(1.0)
    (m1, v1), (m2, v2) = q_of(model, x[:, :D]), q_of(model, x[:, D:])
    torch.manual_seed(3)
    z1 = m1 + (v1 / 2).exp() * torch.randn(len(x), d)
    KL = td.kl_divergence(normal(m2, v2), p_of_move(model, z1))
    KL = KL + td.kl_divergence(normal(m1, v1), normal(torch.zeros_like(m1), torch.zeros_like(v1)))
    close(half - whole, 0.5 * KL)
    close(parts["elbo"], same["elbo"])
    close(same["elbo"], whole)


def check_after(module):
    model, (x, _) = linear_pert(module), some_x()
    mean, _ = q_of(model, x[:, :D])
    close(model.after(x[:, :D]), p_of_expression(model, p_of_move(model, mean).mean).base_dist.mean)


# --- Dr.VAE --------------------------------------------------------------------------------------


class Affine(nn.Module):
    """N(W z_3 + b_y, diag), given [one-hot y, z_3]: p(z_1|y, z_3)."""

    def __init__(self):
        super().__init__()
        self.W = torch.linalg.qr(torch.randn(d, S)).Q * torch.tensor([1.3, 0.6])
        self.b, self.s = torch.randn(C, d), 0.4

    def forward(self, yz):
        mean = yz[..., :C] @ self.b + yz[..., C:] @ self.W.T
        return Gaussian(mean, torch.full_like(mean, math.log(self.s)))

    def of_class(self):
        """p(z_1|y), (C,) Gaussians."""
        cov = self.W @ self.W.T + self.s * torch.eye(d)
        return td.MultivariateNormal(self.b, cov.expand(C, d, d))


class Exact(nn.Module):
    """The mean and log-variance of p(z_3|z_1, y), since W's columns are orthogonal."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, z1, y):
        variance = 1 / (1 + (self.p.W**2).sum(0) / self.p.s)
        mean = variance * ((z1 - y @ self.p.b) @ self.p.W) / self.p.s
        return torch.cat([mean, variance.log().expand_as(mean)], -1)


def linear_dr(module, q_y=None):
    """A Dr.VAE with linear p(z_1|y, z_3) and the exact q(z_3|z_1, y); q(y|z_1) as given, or that of
    Bayes' rule.
    """
    model = shaken(module.DrVAE(d, None, D, S, 4, C))
    p = Affine()
    model.prior.below.state = p
    model.encoder.top.encoder.z = Exact(p)
    model.encoder.top.encoder.log_var_range = (-9.0, 9.0)

    bayes = Told(lambda z1: p.of_class().log_prob(z1.unsqueeze(-2)))
    model.encoder.top.encoder.y = q_y or bayes
    return model, p


class Told(nn.Module):
    """q(y|z_1) by a function of z_1 that gives its logits."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, z1):
        return Categorical(self.logits(z1))


def constant(probabilities):
    return Told(lambda z1: probabilities.log().expand(*z1.shape[:-1], C))


def expected_of_class(model, p, x1, x2, y):
    of_class = p.of_class()
    one = td.MultivariateNormal(of_class.loc[y], of_class.covariance_matrix[y])
    return expected_pair(model, x1, x2, lambda z: one.log_prob(z) - math.log(C))


def check_labelled(module):
    """With its response known, of pairs and singles: E over q(z_1|x_1) of log p(z_1, y) is exact,
    and z_3 comes from the z_1 that was drawn.
    """
    model, p = linear_dr(module)
    x, single = some_x(3)
    for y in range(C):
        label = torch.full((3,), y)
        for given, x2 in ((x, x[:, D:]), (single, None)):
            expected = expected_of_class(model, p, x[:, :D], x2, y)
            assert_mean(draws(model, given, y=label), expected)


def check_unlabelled(module):
    """The sum over y is exact: sum_y q(y) (L_y - log q(y)) of a q that is the same for all z_1, and
    log sum_y exp L_y of the best.
    """
    q = torch.tensor([0.2, 0.5, 0.3])
    model, p = linear_dr(module, constant(q))
    x, single = some_x(3)
    none = torch.full((3,), -1)
    for given, x2 in ((x, x[:, D:]), (single, None)):
        each = [expected_of_class(model, p, x[:, :D], x2, y) for y in range(C)]
        expected = (q * (torch.stack(each, -1) - q.log())).sum(-1)
        assert_mean(draws(model, given, y=none), expected)
    model, p = linear_dr(module)
    z1 = torch.randn(5, d)
    log_p = p.of_class().log_prob(z1[:, None]) - math.log(C)
    both = model._of_response(z1.expand(4000, 5, d), torch.full((4000, 5), -1))[0]
    assert_mean(both, torch.logsumexp(log_p, -1))


def check_weights(module):
    """log w of pairs and of x_1 alone is log p(x, y, z_3, z_1, z_2) - log q, term by term."""
    q = torch.tensor([0.2, 0.5, 0.3])
    model, p = linear_dr(module, constant(q))
    x, exact = some_x(3)[0], Exact(p)
    x1, x2 = x[:, :D], x[:, D:]
    for part, given in ((model, x), (model.before, x1)):
        torch.manual_seed(1)
        found = part.log_weight(given, (5,))
        torch.manual_seed(1)
        y, z3, z1, *z2 = (
            part.encoder(given)
            .rsample_and_log_prob((5,))[0]
            .split([C, S, d] + [d] * (part is model), -1)
        )
        mean3, log_var3 = exact(z1, y).chunk(2, -1)
        log_w = standard(z3) + normal(y @ p.b + z3 @ p.W.T, math.log(p.s) * torch.ones(d)).log_prob(
            z1
        )
        log_w = log_w - math.log(C) - (y @ q.log()) - normal(mean3, log_var3).log_prob(z3)
        log_w = log_w + p_of_expression(model, z1).log_prob(x1)
        log_w = log_w - normal(*q_of(model, x1)).log_prob(z1)
        for z in z2:
            log_w = log_w + p_of_move(model, z1).log_prob(z) - normal(*q_of(model, x2)).log_prob(z)
            log_w = log_w + p_of_expression(model, z).log_prob(x2)
        close(found, log_w)
    z = model.prior.sample((4000,))
    z1, z2 = z[:, C + S : C + S + d], z[:, C + S + d :]
    assert_mean(z2 - p_of_move(model, z1).base_dist.mean, torch.zeros(d))


def check_alpha(module):
    """alpha log q(y|z_1) is added where y is known, to nothing else; its mean there is watched."""
    q = torch.tensor([0.2, 0.5, 0.3])
    model, _ = linear_dr(module, constant(q))
    x, y = some_x(4)[0], torch.tensor([1, -1, 0, -1])

    def value(alpha):
        model.alpha = alpha
        torch.manual_seed(2)
        return model.objective(x, y)

    (with_it, parts), (without, _) = value(3.0), value(0.0)
    expected = torch.tensor([math.log(0.5), 0.0, math.log(0.2), 0.0])
    close(with_it - without, 3 * expected)
    close(parts["log q(y|x)"], torch.full((4,), expected.sum() / 2))
    close(parts["elbo"], without)
    torch.manual_seed(2)
    close(model.objective(x)[1]["elbo"][[1, 3]], without[[1, 3]])


def check_response(module):
    """p(y|x_1) is a mean of probabilities over states, which it is told as `reads` says."""
    for reads in ("state", "shift", "both"):
        model = shaken(module.DrVAE(d, None, D, S, 4, C, reads))
        x1 = some_x(3)[0][:, :D]
        t, logits = model.transition, model.encoder.top.encoder.y.net.logits

        def told(z, reads=reads, t=t):
            shift = z @ t.move.weight.T + t.move.bias
            parts = {"state": [z], "shift": [shift], "both": [z, shift]}[reads]
            return torch.cat(parts, -1)

        mean, log_var = q_of(model, x1)
        z = mean + (log_var / 2).exp() * torch.randn(20_000, 3, d)
        p = torch.softmax(told(z) @ logits.weight.T + logits.bias, -1)
        found = torch.stack([model.response(x1, 50) for _ in range(400)])
        assert_mean(torch.cat([found, -found]), torch.zeros(3, C))
        close(found.mean(0), p.mean(0), 0, 0.02)


def check_direction(module):
    """A drug's planted direction is found within 15 degrees from 60 pairs."""
    torch.set_default_dtype(torch.float32)
    data = simulated(200, 60, 0, states=3, genes=30, noise=0.5, seed=1)
    torch.manual_seed(0)
    model = module.PertVAE(3, None, 30)
    fit(model, data.train, epochs=80, batch_size=50, lr=1e-2, anneal=30, progress=False)
    x1, x2 = data.test.x.chunk(2, -1)
    moved = model.after(x1) - model.expression(model.state(x1).mean).mean
    cosine = (moved.mean(0) @ data.direction / moved.mean(0).norm()).item()
    assert cosine > math.cos(math.radians(15)), f"{math.degrees(math.acos(cosine)):.0f} degrees"
    unmoved = ((x2 - model.expression(model.state(x1).mean).mean) ** 2).mean()
    assert ((x2 - model.after(x1)) ** 2).mean() < 0.8 * unmoved
    torch.set_default_dtype(torch.float64)


MUTANTS = {
    check_pair_bound: """
        z1, z2 = q1.rsample(), q2.rsample() => z1, z2 = q1.rsample(), q1.rsample()
        self.state(x1), self.state(x2) => self.state(x1), self.state(x1)
        kl(q2, self.transition(z1)) => kl(self.transition(z1), q2)
        kl(q2, self.transition(z1)) => kl(q2, self.transition(q1.mean))
        log_p1 + torch.where(paired, log_p2, none) => log_p1
        kl(q1, self.prior.top) + moved => moved
        kl(q1, self.prior.top) + moved => kl(q1, self.prior.top)
        mean = z1 + self.shift(z1) => mean = self.shift(z1)
    """,
    check_exact_posterior: """
        mean = z1 + self.shift(z1) => mean = self.shift(z1)
        Gaussian(mean, self.log_var.expand_as(mean)) => Gaussian(mean, 0 * mean)
        Gaussian(p.mean.flatten(-2), p.log_var.flatten(-2)) => \
            Gaussian(p.mean.flip(-2).flatten(-2), p.log_var.flip(-2).flatten(-2))
    """,
    check_missing: """
        torch.where(paired, log_p2, none) => log_p2
        torch.where(paired, moved, none) => moved
        paired = ~x2.isnan().all(-1) => paired = x2.isnan().all(-1)
    """,
    check_some_genes_missing: "x2.isnan().all(-1) => x2.isnan().any(-1)",
    check_warm_up: """
        beta * regulariser, elbo_parts => regulariser, elbo_parts
        reconstruction - beta * regulariser, elbo_parts(reconstruction, regulariser) => \
            reconstruction - beta * regulariser, elbo_parts(reconstruction, beta * regulariser)
    """,
    check_after: """
        self.transition(self.state(x1).mean).mean).mean => self.state(x1).mean).mean
    """,
    check_labelled: """
        q1.log_prob(z1) - log_p + moved => -log_p + moved
        torch.where(known, (one_hot * joint).sum(-1), unlabelled) => unlabelled
        m2.encoder.y(z1), m2.log_joint(z1) => m2.encoder.y(z1), m2.log_joint(self.transition(z1).mean)
        q1.log_prob(z1) - log_p + moved => q1.log_prob(z1) - log_p
    """,
    check_unlabelled: """
        (q.mean * joint).sum(-1) + q.entropy() => (q.mean * joint).sum(-1)
        (q.mean * joint).sum(-1) => joint.mean(-1)
        (q.mean * joint).sum(-1) => joint.sum(-1)
    """,
    check_weights: """
        self.encoder(z[..., : self.dim]) => self.encoder(z[..., self.dim :])
        Ancestral(p, self.transition, p.mean.shape[-1]) => \
            Ancestral(p, lambda z: self.transition(0 * z), p.mean.shape[-1])
    """,
    check_alpha: """
        + self.alpha * log_q => + self.alpha * log_q.mean()
        + self.alpha * log_q => - self.alpha * log_q
        torch.where(known, log_q, torch.zeros_like(log_q)) => log_q
        / known.sum().clamp_min(1) => / len(known)
    """,
    check_response: """
        .mean.mean(0) => .log_probs.mean(0).softmax(-1)
        torch.cat([z1, shift], -1) => torch.cat([shift, z1], -1)
        self.logits(shift if self.reads == "shift" => self.logits(z1 if self.reads == "shift"
    """,
    check_direction: """
        mean = z1 + self.shift(z1) => mean = z1 + 0 * self.shift(z1)
        torch.where(paired, moved, none) => none
    """,
}
test_oracle, test_mutant_is_caught = oracle_tests((drug_vae, MUTANTS))


# --- what else is promised -----------------------------------------------------------------------


def test_the_closed_kl_of_z1_is_a_looser_bound():
    """As in the authors' code: log p(z_1'|y, z_3) over another z_1' than z_3 was drawn from."""
    model, p = linear_dr(drug_vae)
    x1 = some_x(3)[0][:, :D]
    mean, log_var = q_of(model, x1)
    y = torch.eye(C)[0].expand(3, C)
    q = normal(mean, log_var)

    def at_one(same):
        z1 = q.sample((20_000,))
        z3 = model.encoder.top.encoder.given_label(z1, y).rsample()
        other = z1 if same else q.sample((20_000,))
        return p(torch.cat([y.expand(*z1.shape[:-1], C), z3], -1)).log_prob(other)

    assert (at_one(True).mean(0) - at_one(False).mean(0) > 0.01).all()


def test_no_drug_and_no_change_is_a_vae_seen_twice():
    """W = 0, b = 0, x_2 = x_1: the shift is 0, and both halves are alike."""
    model = linear_pert(drug_vae)
    model.transition.move.weight.zero_(), model.transition.move.bias.zero_()
    x1 = torch.randn(3, D)
    x = torch.cat([x1, x1], -1)
    close(model.transition.shift(torch.randn(4, d)), torch.zeros(4, d))
    close(model.reconstruct(x)[:, :D], model.reconstruct(x)[:, D:])
    close(model.after(x1), model.before.reconstruct(x1))
    moved = model.prior.sample((20_000,))
    assert_mean((moved[:, d:] - moved[:, :d]) ** 2, model.transition.log_var.exp())


def test_what_does_not_fit_is_said_in_words():
    with pytest.raises(ValueError, match="reads is one of 'state', 'shift', 'both', got 'all'"):
        DrVAE(reads="all")
    model = DrVAE(2, None, 3)
    with pytest.raises(ValueError, match="even number of dimensions, got 5"):
        model.objective(torch.zeros(4, 5), torch.zeros(4).long())
    with pytest.raises(ValueError, match="labels are from 0 to 1, got 0 to 2"):
        model.objective(torch.zeros(4, 6), torch.tensor([0, 1, 2, -1]))
    with pytest.raises(ValueError, match=r"a label for each x, .* \(4,\)"):
        model.objective(torch.zeros(4, 6), torch.zeros(3).long())
    with pytest.raises(ValueError, match="expected vectors of 2 dimensions"):
        Transition(2)(torch.zeros(3, 1))


def test_parts_are_what_they_are_called():
    model = DrVAE(2, 5, 3)
    assert isinstance(model.transition, Transition) and isinstance(model.state, GaussianConditional)
    assert isinstance(model.prior.below, Moved) and isinstance(model.encoder.below, Twice)
    y = model.m2.encoder.y
    assert isinstance(y, CategoricalConditional) and isinstance(y.net, Response)
    assert y.net.transition is model.transition
    names = [name for name in model.state_dict() if name.endswith("log_var")]
    assert 1 <= len(names) <= 2  # the classifier reads the transition, too
