"""Models of sequences: against a Kalman filter, all sequences of two steps, quadrature over z, and
the same chorales one by one.
"""

import itertools
import math
from unittest import mock

import pytest
import torch
from oracles import assert_mean, close, oracle_tests
from torch import nn

from dgmcourse import densities
from dgmcourse.densities import Categoricals, CategoricalsMixture, Gaussian
from dgmcourse.models import vrnn
from dgmcourse.models.vrnn import RNN, VRNN, ChoraleRNN, ChoraleVRNN, SequenceModel

pytestmark = pytest.mark.usefixtures("float64")

# they take sequences and lengths, and are asked here
CONTRACT = {c: None for c in (SequenceModel, RNN, VRNN, ChoraleRNN, ChoraleVRNN)}
SIZES = (2, 3)


def shaken(model, scale=0.4):
    for p in model.parameters():
        p.data += scale * torch.randn_like(p)
    return model


def small(module=vrnn, latent_dim=1):
    model = shaken(module.ChoraleVRNN(SIZES, latent_dim, 4, 6))
    model.prior.log_var_range = (-1.0, 0.5)  # a grid is fine enough for it
    model.decoder.net[0].weight.data[:, :latent_dim] *= 3  # z matters
    model.encoder.net[-1].weight.data *= 0.2
    model.encoder.log_var_range = (0.8, 1.2)  # wider than the posterior, and about where it is
    return model


def recurrent(module=vrnn, components=None):
    return shaken(module.ChoraleRNN(SIZES, 4, 6, components))


STEPS = torch.tensor(
    [[a, 1 - a, *(float(c == k) for k in range(3))] for a in (1.0, 0.0) for c in range(3)],
    dtype=torch.float64,
)  # all six of one step
PAIRS = torch.stack([torch.stack(two) for two in itertools.product(STEPS, STEPS)])  # (36, 2, 5)


def chords(*shape):
    """Random steps, (*shape, 5)."""
    return STEPS[torch.randint(6, shape)]


# ---- a linear-Gaussian model

A, Q = 0.9, 0.5
R, C = torch.tensor([[0.3, 0.8], [1.0, -0.7]], dtype=torch.float64)


class Seen(Gaussian):
    """A density of the first two numbers of a step; what follows is for the encoder."""

    def log_prob(self, x):
        return super().log_prob(x[..., :2])


class LinearPrior(nn.Module):
    """z_t ~ N(A z_{t-1}, Q), where the state is z_{t-1}."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(A))

    def forward(self, h):
        return Gaussian(self.scale * h, torch.full_like(h, math.log(Q)))


def linear_decoder(given):
    return Seen(given[..., :1] * C, R.log().expand(*given.shape[:-1], 2))


def read_posterior(given):
    """q(z_t) of the numbers that `with_future` writes behind x_t: offset, slope, log-variance."""
    _, _, offset, slope, log_var, h = given.unbind(-1)
    return Gaussian((offset + slope * h)[..., None], log_var[..., None])


def kalman(x):
    """log p(x) of each sequence, (B, T, 2), by Kalman's filter."""
    mean, variance, total = torch.zeros(len(x)), torch.tensor(0.0), torch.zeros(len(x))
    for t in range(x.shape[1]):
        mean, variance = A * mean, A**2 * variance + Q
        S = variance * torch.outer(C, C) + torch.diag(R)
        total = total + normal(x[:, t] - mean[:, None] * C, S)
        gain = variance * C @ S.inverse()
        mean = mean + (x[:, t] - mean[:, None] * C) @ gain
        variance = variance - variance * gain @ C
    return total


def joint(x):
    """The same by the covariance of all steps at once."""
    T = x.shape[1]
    z = torch.zeros(T, T)
    for t, s in itertools.product(range(T), range(T)):
        z[t, s] = Q * sum(A ** (t + s - 2 * k) for k in range(min(t, s) + 1))
    covariance = torch.kron(z, torch.outer(C, C)) + torch.diag(R.repeat(T))
    return normal(x.flatten(1), covariance)


def normal(x, covariance):
    """log N(x | 0, covariance) of rows."""
    square = (x @ covariance.inverse() * x).sum(-1)
    return -0.5 * (square + torch.logdet(2 * math.pi * covariance))


def with_future(x, exact=True):
    """Steps with the numbers of p(z_t|z_{t-1}, x_t, ..., x_T), or of another q, behind them."""
    rows, precision, s = [], 0.0, torch.zeros(len(x))
    for t in reversed(range(x.shape[1])):  # of what follows: exp(-precision z^2 / 2 + s z)
        precision, s = precision + (C**2 / R).sum(), s + x[:, t] @ (C / R)
        variance = 1 / (1 / Q + precision)
        offset, slope = variance * s, variance * A / Q * torch.ones(len(x))
        rows.insert(0, torch.stack([offset, slope, torch.full_like(s, variance.log())], -1))
        precision, s = A**2 / Q * (1 - variance / Q), A / Q * variance * s
    numbers = torch.stack(rows, 1)
    if not exact:
        numbers = numbers * torch.tensor([0.8, 0.9, 1.0]) + torch.tensor([0.1, 0.0, 0.3])
    return torch.cat([x, numbers], -1)


def linear(module):
    parts = (LinearPrior(), read_posterior, linear_decoder, lambda f, z, h: z, nn.Identity())
    return module.VRNN(*parts, 1)


def sequences(B=3, T=5):
    return 1.2 * torch.randn(B, T, 2)


def many_bounds(model, x, n=1000):
    """The objective n times: (n, B)."""
    return model.objective(x.repeat(n, 1, 1), None)[0].detach().view(n, len(x))


def check_kalman(module):
    """With the exact posterior each weight is log p(x); with another the bound is below, its mean
    weight is p(x), and the estimate of many particles, resampled or not, is log p(x).
    """
    x, lengths = sequences(), torch.tensor([5, 5, 5])
    truth, model = kalman(x), linear(module)
    close(truth, joint(x))
    close(model.log_weight(with_future(x), lengths, (7,)).detach(), truth.expand(7, 3))
    assert_mean(many_bounds(model, with_future(x)), truth)
    rough = with_future(x, exact=False)
    log_w = model.log_weight(rough, lengths, (3000,)).detach()
    assert (log_w.mean(0) < truth - 0.05).all()
    assert_mean((log_w - truth).exp(), torch.ones(3))
    assert_mean(many_bounds(model, rough) - log_w.mean(0), torch.zeros(3))
    for resample in (False, True):
        errors = [
            (model.log_likelihood(rough, lengths, S, resample) - truth).abs().max()
            for S in (10, 3000)
        ]
        assert errors[1] < 0.1


def check_shorter_sequences(module):
    """Of a batch of different lengths each has what it has alone, whatever stands behind its end."""
    lengths, x = torch.tensor([4, 1, 3]), chords(3, 4)
    other = torch.where(torch.arange(4)[:, None] < lengths[:, None, None], x, STEPS[2])
    model = small(module)
    asked = (
        lambda x, n: model.objective(x, n)[0],
        lambda x, n: model.log_weight(x, n, (2,)).mean(0),
        lambda x, n: model.log_likelihood(x, n, 3),
        recurrent(module).log_prob,
        recurrent(module, 2).log_prob,
    )
    no_noise = {"standard_noise": lambda shape, like: torch.zeros(*shape_of(shape), *like.shape)}
    with mock.patch.multiple(densities, **no_noise):
        for ask in asked:
            together = ask(x, lengths).detach()
            alone = [ask(x[i : i + 1, :n], None)[0].detach() for i, n in enumerate(lengths)]
            close(together, torch.stack(alone), 1e-10, 1e-10)
            close(ask(other, lengths).detach(), together)


def shape_of(shape):
    return (shape,) if isinstance(shape, int) else shape


def check_causality(module):
    """The prior of a step sees what went before, and neither this step nor a later one; so does an
    RNN's prediction.
    """
    x = chords(2, 4).requires_grad_()
    model, plain = small(module), recurrent(module)
    path, _ = model.unroll(x)
    for t in range(4):
        (slope,) = torch.autograd.grad(path.prior.mean[:, t].sum(), x, retain_graph=True)
        assert not slope[:, t:].any() and (slope[:, :t] != 0).any() == (t > 0)
        (slope,) = torch.autograd.grad(plain.each_log_prob(x)[:, t].sum(), x)
        assert not slope[:, t + 1 :].any() and (slope[:, :t] != 0).any() == (t > 0)


# ---- all sequences of two steps


def by_quadrature(model, points=161, reach=14.0):
    """log p(x) of all 36 sequences: a VRNN's with z_1 and z_2 on a grid, written as the equations
    are.
    """
    z = torch.linspace(-reach, reach, points)[:, None]
    cell_size = math.log(z[1] - z[0])
    h0 = torch.zeros(points, 4)
    first = model.decoder(torch.cat([z, h0], -1)).log_prob(STEPS[:, None]) + model.prior(
        h0
    ).log_prob(z)
    found = []
    for x1, log_1 in zip(STEPS, first, strict=True):
        h1 = model.cell(model.phi_x(x1).expand(points, -1), z, h0)  # of each z_1
        h1, z2 = h1[:, None].expand(-1, points, -1), z.expand(points, points, 1)
        log_z2 = model.prior(h1).log_prob(z2)
        p = model.decoder(torch.cat([z2, h1], -1))
        for x2 in STEPS:
            log_2 = torch.logsumexp(p.log_prob(x2) + log_z2, -1) + cell_size
            found.append(torch.logsumexp(log_1 + log_2, 0) + cell_size)
    return torch.stack(found).detach()


def by_steps(model):
    """log p(x) of all 36 sequences of an RNN, step by step as it is drawn."""
    found = []
    for x1, x2 in PAIRS:
        p1, _ = model.predict(h := model.start((1,)))
        p2, _ = model.predict(model.advance(h, x1[None], None))
        found.append((p1.log_prob(x1) + p2.log_prob(x2))[0])
    return torch.stack(found).detach()


def truth_of(model):
    return by_quadrature(model) if hasattr(model, "encoder") else by_steps(model)


def check_frequencies(drawn, values, p):
    """Each value was drawn as often as its probability says, up to five standard errors."""
    which = (drawn[:, None] == values).all(-1).double()
    assert (which.sum(-1) == 1).all()
    off = (which.mean(0) - p).abs()
    assert (off < 5 * (p * (1 - p) / len(drawn)).sqrt() + 1e-3).all(), off.max()


class AsPrior(nn.Module):
    """q(z_t|x_t, h) that is the prior: for a decoder that does not use z."""

    def __init__(self, prior):
        super().__init__()
        self.prior = prior

    def forward(self, given):
        return self.prior(given[..., 6:])


def check_all_sequences(module):
    """Probabilities sum to 1; the RNN's likelihood is exact, the VRNN's estimate converges, and
    its bound lies below; draws come as often as they should.
    """
    for model in (recurrent(module), recurrent(module, 3), small(module)):
        log_p = truth_of(model)
        close(log_p.exp().sum(), 1.0, 1e-6, 1e-6)
        if hasattr(model, "encoder"):
            log_w = model.log_weight(PAIRS, None, (2000,)).detach()
            assert_mean((log_w - log_p).exp(), torch.ones(36), 5)
            assert (log_w.mean(0) < log_p + 0.02).all()
            for resample in (False, True):
                found = model.log_likelihood(PAIRS, None, 2000, resample)
                close(found, log_p, 0, 0.2)
        else:
            close(model.log_prob(PAIRS).detach(), log_p)
        drawn = model.sample((6000,), steps=2)
        check_frequencies(drawn.flatten(1), PAIRS.flatten(1), log_p.exp())


def check_continuation(module):
    """After a given first step the next one is drawn from p(x_2|x_1)."""
    for model in (recurrent(module), small(module)):
        if hasattr(model, "encoder"):  # q(z_1|x_1) as the posterior: here x_1 tells nothing of z_1
            model.decoder.net[0].weight.data[:, 0] = 0
            model.encoder = AsPrior(model.prior)
        table = truth_of(model).exp().view(6, 6)
        drawn = model.sample((6000,), steps=1, beginning=STEPS[4:5])[:, 0]
        assert drawn.shape == (6000, 5)
        check_frequencies(drawn, STEPS, table[4] / table[4].sum())


def check_completion(module):
    """Given the first voice: its probability without bias, and the second drawn given it."""
    known = torch.tensor([True, True, False, False, False])
    x = torch.stack([STEPS[1], STEPS[5]])
    fits = (PAIRS[..., :2] == x[:, :2]).all(-1).all(-1)
    for model in (recurrent(module), recurrent(module, 3), small(module)):
        p = truth_of(model).exp() * fits
        estimates = torch.stack([model.complete(x, known, 30)[1].exp() for _ in range(60)])
        assert_mean(estimates, p.sum())
        drawn, log_p = model.complete(x, known, 8000)
        close(log_p, p.sum().log(), 0, 0.05)
        assert (drawn[..., :2] == x[:, :2]).all()
        which = (drawn.flatten(1)[:, None] == PAIRS.flatten(1)).all(-1).double()
        close(which.mean(0), p / p.sum(), 0, 0.04)


test_oracle, test_mutant_is_caught = oracle_tests(
    (
        vrnn,
        {
            check_kalman: """
                h = self.cell(f, z, h)\\n        past => h = self.cell(f, q.mean, h)\\n        past
                + path.prior.log_prob(path.z) => + 0 * path.prior.log_prob(path.z)
                - path.q.log_prob(path.z) => + path.q.log_prob(path.z)
                self.prior(past), decoder => self.prior(0 * past), decoder
                kl(path.q, path.prior), lengths => kl(path.prior, path.q), lengths
                + self.prior(h).log_prob(z) => + self.prior(0 * h).log_prob(z)
                x.new_full((S, B), -math.log(S)) => x.new_zeros(S, B)
                h[:, b] = h[draw_index(log_w[:, b].exp(), S), b] => h[:, b] = h[:1, b]
            """,
            check_shorter_sequences: """
                sum_over_steps(path.decoder.log_prob(x), lengths) => path.decoder.log_prob(x).sum(-1)
                sum_over_steps(kl(path.q, path.prior), lengths) => kl(path.q, path.prior).sum(-1)
                torch.where(t < lengths, step, 0.0) => step
                sum_over_steps(self.each_log_prob(x), lengths) => self.each_log_prob(x).sum(-1)
            """,
            check_causality: """
                self.prior(past), decoder => self.prior(torch.stack([*states[1:], h], -2)), decoder
                torch.cat([self.start((len(x), 1)), states[:, :-1]], 1) => states.roll(-1, 1)
            """,
            check_all_sequences: """
                torch.cat([self.start((len(x), 1)), states[:, :-1]], 1) => states
                h = self.advance(h, drawn[-1], z) => h = self.advance(h, p.mean, z)
                z = self.prior(h).sample() => z = self.prior(h).mean
            """,
            check_continuation: """
                h = self.read(many).reshape(*shape, self.hidden) => h = self.start(shape)
            """,
            check_completion: """
                h, drawn = h[kept] => h, drawn = h
                - math.log(particles) => - math.log(particles + 1)
                [past[kept] for past in (*drawn, step)] => [*drawn, step]
            """,
        },
    )
)


# ---- densities of several voices


def test_voices_against_torch():
    logits, x = torch.randn(4, 3, 5), chords(4, 3)
    p = Categoricals(logits, SIZES)
    parts = [
        torch.distributions.OneHotCategorical(logits=part).log_prob(given)
        for part, given in zip(logits.split(SIZES, -1), x.split(SIZES, -1), strict=True)
    ]
    close(p.each_log_prob(x), torch.stack(parts, -1))
    close(p.log_prob(x), parts[0] + parts[1])
    M = CategoricalsMixture(torch.randn(4, 3), torch.randn(4, 3, 5), SIZES)
    each = torch.stack([M.log_prob(step.expand(4, 5)) for step in STEPS])
    close(each.exp().sum(0), torch.ones(4))
    weights = M.weights.mean
    by_hand = sum(
        weights[:, m] * Categoricals(M.components.log_probs[:, m], SIZES).log_prob(STEPS[2]).exp()
        for m in range(3)
    )
    close(each[2].exp(), by_hand)
    close(M.mean, torch.einsum("sb,sd->bd", each.exp(), STEPS))


def test_voices_refuse():
    p = Categoricals(torch.zeros(5), SIZES)
    with pytest.raises(ValueError, match="variables of .2, 3. classes have 5 logits, got shape"):
        Categoricals(torch.zeros(4), SIZES)
    with pytest.raises(ValueError, match="expected one-hot vectors"):
        p.log_prob(torch.tensor([1.0, 0, 0, 0, 0]))  # a voice without a class
    with pytest.raises(ValueError, match="one weight for each component"):
        CategoricalsMixture(torch.zeros(1), torch.zeros(2, 5), SIZES)


# ---- shapes, and what is refused


@pytest.mark.parametrize("make", [small, recurrent, lambda: recurrent(vrnn, 2)])
def test_shapes_and_gradients(make):
    model, x, lengths = make(), chords(3, 4), torch.tensor([4, 1, 2])
    value, parts = model.objective(x, lengths, 0.5)
    assert all(part.shape == (3,) for part in (value, *parts.values()))
    value.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    for shape in ((), 3, (2, 3), 0):
        lead = shape if isinstance(shape, tuple) else (shape,)
        for beginning in (None, STEPS[:2]):
            drawn = model.sample(shape, 3, beginning)
            assert drawn.shape == (*lead, 3, 5) and not drawn.requires_grad
    torch.manual_seed(1)
    a = model.sample(4)
    torch.manual_seed(1)
    assert torch.equal(a, model.sample((4,), steps=64))


def test_one_step_is_a_vae_with_a_learned_prior():
    model, x = small(latent_dim=2), chords(3, 1)
    h = model.start((3,))
    q = model.encoder(torch.cat([model.phi_x(x[:, 0]), h], -1))
    torch.manual_seed(3)
    z = q.rsample()
    torch.manual_seed(3)
    log_w = model.log_weight(x, torch.ones(3, dtype=torch.long))
    p = model.decoder(torch.cat([z, h], -1)).log_prob(x[:, 0])
    close(log_w, p + model.prior(h).log_prob(z) - q.log_prob(z))


@pytest.mark.parametrize(
    ("x", "lengths", "words"),
    [
        (torch.zeros(3, 5), None, r"expected sequences of at least one step, .B, T, D., got"),
        (torch.zeros(3, 0, 5), None, "expected sequences of at least one step"),
        (STEPS[None], torch.tensor([7]), "lengths: expected whole numbers from 1 to 6, got 7"),
        (STEPS[None], torch.tensor([0]), "lengths: expected whole numbers from 1 to 6, got 0"),
        (STEPS[None], torch.tensor([2.0]), "expected a length, a whole number, for each of 1"),
        (STEPS[None], torch.tensor([2, 2]), "expected a length, a whole number, for each of 1"),
        (STEPS[None], torch.tensor(2), "expected a length, a whole number, for each of 1"),
        (0 * STEPS[None], None, "expected one-hot vectors"),
    ],
)
def test_what_is_no_sequence_is_refused(x, lengths, words):
    for model in (small(), recurrent()):
        with pytest.raises(ValueError, match=words):
            model.objective(x, lengths)


def test_no_steps_and_no_particles_are_refused():
    for model in (small(), recurrent()):
        with pytest.raises(ValueError, match="^steps: expected a positive whole number, got 0"):
            model.sample(2, steps=0)
        with pytest.raises(ValueError, match="^particles: expected a positive whole number"):
            model.complete(STEPS, torch.ones(5, dtype=torch.bool), particles=0)
        with pytest.raises(ValueError, match="expected sequences of at least one step"):
            model.sample(2, beginning=STEPS[:0])
        for known in (torch.ones(5), torch.ones(3, dtype=torch.bool)):
            with pytest.raises(
                ValueError, match="^known: expected 5 booleans, one for each number"
            ):
                model.complete(STEPS, known)
    with pytest.raises(ValueError, match="^sizes: expected a positive whole number, got 0"):
        ChoraleRNN((2, 0))
