"""Flows: log-determinants against autograd's Jacobian, inverses, masks by gradient, densities by
quadrature; each oracle against mutants.
"""

import math

import pytest
import torch
from oracles import check_samples_follow, close, oracle_tests
from torch import nn
from torch.autograd.functional import jacobian

from dgmcourse import networks
from dgmcourse.densities import BernoulliConditional, Gaussian, StandardGaussian, kl
from dgmcourse.models import (
    householder_flow,
    inverse_autoregressive_flow,
    normalizing_flow,
    planar_flow,
)
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.normalizing_flow import (
    Affine,
    FlowConditional,
    FlowDensity,
    FlowPosterior,
    Flows,
)

pytestmark = pytest.mark.usefixtures("float64")
KINDS = ["planar", "householder", "autoregressive", "affine", "all of them"]
B, D, H = 5, 4, 3


def shaken(flow, scale=0.7):
    """The flow with parameters far from where they begin."""
    with torch.no_grad():
        for p in flow.parameters():
            p.add_(scale * torch.randn_like(p))
    return flow


MODULES = {
    "planar": planar_flow,
    "householder": householder_flow,
    "autoregressive": inverse_autoregressive_flow,
}


def made(kind, dim=D, given_dim=0, module=None):
    """A flow of this kind, or of a mutant of its module, away from where it begins."""
    if kind == "all of them":
        return Flows(*(made(k, dim, given_dim) for k in KINDS[:4]))
    module = module or MODULES.get(kind)
    flow = {
        "planar": lambda: module.PlanarFlow(dim, 3, given_dim),
        "householder": lambda: module.HouseholderFlow(dim, 3, given_dim),
        "autoregressive": lambda: module.autoregressive_flows(dim, 3, (16, 16), given_dim),
        "affine": lambda: Affine(dim),
    }[kind]()
    return shaken(flow, 0.1 if kind == "autoregressive" else 0.7)


# --- oracles -------------------------------------------------------------------------------------


def check_log_det(flow, given_dim):
    z, given = torch.randn(B, D) * 1.5, torch.randn(B, H) if given_dim else None
    out, log_det = flow(z, given)
    assert out.shape == (B, D) and log_det.shape == (B,)
    rows = [(lambda row, i=i: flow(row, None if given is None else given[i])[0]) for i in range(B)]
    jacobians = torch.stack([jacobian(f, row) for f, row in zip(rows, z, strict=True)])
    close(log_det, torch.linalg.slogdet(jacobians).logabsdet, 1e-9, 1e-9)
    many = torch.randn(2, B, D)  # samples of z for each x
    close(flow(many, given)[0][1], flow(many[1], given)[0])
    close(flow(many, given)[1][1], flow(many[1], given)[1])
    return jacobians


def check_inverse(flow, given_dim):
    z, given = torch.randn(2, B, D) * 2, torch.randn(B, H) if given_dim else None
    close(flow.inverse(flow(z, given)[0], given), z, 1e-7, 1e-7)
    close(flow(flow.inverse(z, given), given)[0], z, 1e-7, 1e-7)


def check_planar(module):
    for given_dim in (0, H):
        flow = made("planar", given_dim=given_dim, module=module)
        check_log_det(flow, given_dim)
        check_inverse(flow, given_dim)


def check_planar_constraint(module):
    """w^T u-hat > -1 whatever the parameters, and only the part of u along w was changed."""
    for scale in (0.1, 1.0, 30.0):
        flow = shaken(module.PlanarFlow(D, 200), scale)
        w, u_hat, _, slope = flow.parts(None)
        assert ((w * u_hat).sum(-1) > -1).all() and (slope > -1).all()
        close((w * u_hat).sum(-1), slope, 1e-7, 1e-7)
        u = flow.start[:, D : 2 * D]
        moved = u_hat - u
        along = w * ((moved * w).sum(-1, keepdim=True) / (w * w).sum(-1, keepdim=True))
        close(moved, along, 1e-8, 1e-8 * scale)
    # the paper's m but for where its zero is: as steep as a softplus, above -1
    flow, a = module.PlanarFlow(1, 7), torch.linspace(-3, 3, 7)
    with torch.no_grad():
        flow.start.copy_(torch.stack([torch.ones(7), a, torch.zeros(7)], -1))
    close(flow.parts(None)[3], torch.log(1 + (math.e - 1) * torch.exp(a)) - 1, 1e-3, 1e-3)


def check_householder(module):
    for given_dim in (0, H):
        flow = made("householder", given_dim=given_dim, module=module)
        for Q in check_log_det(flow, given_dim):
            close(Q @ Q.T, torch.eye(D), 1e-6, 1e-6)
            close(torch.linalg.det(Q), torch.tensor(-1.0))  # three mirrors
        check_inverse(flow, given_dim)


def check_householder_chain(module):
    """v_1 from what is given, each further v from the one before; one mirror after another."""
    flow, h, z = shaken(module.HouseholderFlow(D, 3, H)), torch.randn(H), torch.randn(D)
    v, expected = h, z
    for linear in flow.next:
        v = linear.weight @ v + linear.bias
        expected = (torch.eye(D) - 2 * torch.outer(v, v) / (v @ v)) @ expected
    close(flow(z, h)[0], expected)


def check_autoregressive(module):
    for given_dim in (0, H):
        flow = made("autoregressive", given_dim=given_dim, module=module)
        check_log_det(flow, given_dim)
        check_inverse(flow, given_dim)
        z, given = torch.randn(D), torch.randn(H) if given_dim else None
        for t, step in enumerate(flow.flows):
            J = jacobian(lambda z: step(z, given)[0], z)  # noqa: B023
            J = J.flip(0, 1) if t % 2 else J  # every second one in the opposite order
            assert (J.triu(1) == 0).all() and (J.tril().abs() > 1e-12).sum() == D * (D + 1) / 2


def check_masks(module):
    """By gradient: output d knows the dimensions before d, all of them, and everything that is
    given.
    """
    for reverse in (False, True):
        for given_dim in (0, H):
            for hidden in ([16], [12, 16], []):
                net = module.MaskedMLP(D, hidden, 3, given_dim, reverse)
                z, given = torch.randn(D), torch.randn(H) if given_dim else None
                J = jacobian(lambda z: net(z, given), z).unflatten(0, (3, D))  # noqa: B023
                knows = torch.ones(D, D).tril(-1)
                assert torch.equal(J != 0, (knows.T if reverse else knows).bool().expand(3, D, D))
                if given_dim:
                    assert (jacobian(lambda g: net(z, g), given) != 0).all()  # noqa: B023


def check_samples(module):
    flow = Flows(shaken(Affine(2), 0.3), made("householder", 2))
    density = module.FlowDensity(StandardGaussian(2), flow)
    base = Gaussian(torch.tensor([0.5, -0.3]), torch.tensor([-0.4, 0.3]))
    posterior = module.FlowPosterior(base, made("planar", 2))
    for p in (density, posterior):
        check_samples_follow(p.log_prob, p.sample, False)


def check_posterior(module):
    """The density of a draw in one pass is that of any z, through the inverse."""
    for kind in KINDS:
        for given_dim in (0, H):
            net = shaken(nn.Linear(6, 2 * D + given_dim), 0.3)
            q = module.FlowConditional(net, made(kind, D, given_dim), given_dim)(torch.randn(B, 6))
            z, log_q = q.rsample_and_log_prob((7,))
            assert z.shape == (7, B, D) and log_q.shape == (7, B)
            close(q.log_prob(z), log_q, 1e-7, 1e-7)
            close(q.mean, q.flow(q.base.mean, q.given)[0])  # the centre's image


# --- tests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("given_dim", [0, H])
@pytest.mark.parametrize("kind", ["affine", "all of them"])
def test_log_det_and_inverse_of_the_others(kind, given_dim):
    check_log_det(made(kind, D, given_dim), given_dim)
    check_inverse(made(kind, D, given_dim), given_dim)


PLANAR_FLOW = {
    check_planar: """
        1 - h * h)).sum => 1 - h)).sum
        1 - h * h)).sum => 1 - (h * h).mean(-1, keepdim=True))).sum
        torch.log1p(slope => torch.log(slope.abs()
        in steps: => in steps:\\n            z = z.flip(-1)
        return w, u + (slope - along) * (w / size) => return w, u
    """,
    check_planar_constraint: """
        (1 - MARGIN) * (F.softplus(along + SHIFT) - 1) => along
        (w / size) => w
        + SHIFT =>
    """,
}
HOUSEHOLDER_FLOW = {
    check_householder: """
        z - 2 * v => z - v
        reversed(self.mirrors(given)) => self.mirrors(given)
        dim=-1, eps => p=1, dim=-1, eps
    """,
    check_householder_chain: "v = apply(linear, v) => v = apply(linear, v).tanh()",
}
INVERSE_AUTOREGRESSIVE_FLOW = {
    check_autoregressive: """
        F.logsigmoid(s) => F.logsigmoid(-s)
        torch.lerp(m, z, => torch.lerp(z, m,
        1 + torch.exp(-s) => torch.exp(-s)
        t % 2 == 1 => False
        torch.sigmoid(s) => torch.sigmoid(s - OPEN)
    """,
}
NETWORKS = {
    check_masks: """
        .unsqueeze(1) >= seen => .unsqueeze(1) > seen
        place.unsqueeze(1) > seen => place.unsqueeze(1) >= seen
        self.weight * self.mask => self.weight
        torch.arange(dim, 0, -1) if reverse => torch.arange(1, dim + 1) if reverse
        .repeat(outputs, 1) => .repeat_interleave(outputs, 0)
    """,
}
NORMALIZING_FLOW = {
    check_posterior: "return z, log_q0 - log_det => return z, log_q0 + log_det",
    check_samples: """
        self.base.log_prob(noise) + log_det => self.base.log_prob(noise) - log_det
        - self.flow(z0, self.given)[1] => + self.flow(z0, self.given)[1]
    """,
}
test_oracle, test_mutant_is_caught = oracle_tests(
    (planar_flow, PLANAR_FLOW),
    (householder_flow, HOUSEHOLDER_FLOW),
    (inverse_autoregressive_flow, INVERSE_AUTOREGRESSIVE_FLOW),
    (networks, NETWORKS),
    (normalizing_flow, NORMALIZING_FLOW),
)


def test_planars_root_carries_the_gradient():
    flow, given = made("planar", D, H), torch.randn(B, H, requires_grad=True)
    z = torch.randn(B, D, requires_grad=True)
    assert torch.autograd.gradcheck(flow.inverse, (z, given), eps=1e-6, atol=1e-6)


def test_the_bound_with_a_flow():
    """log w is log p(x|z) + log p(z) - log q(z|x) at the flow's end; and the KL is no closed one of
    q(z0|x) and p(z).
    """
    for kind in KINDS[:3]:
        encoder = FlowConditional(shaken(nn.Linear(6, 2 * D + H), 0.3), made(kind, D, H), H)
        decoder = BernoulliConditional(nn.Linear(D, 6))
        model = LatentVariableModel(StandardGaussian(D), encoder, decoder)
        x = torch.bernoulli(torch.rand(B, 6))
        torch.manual_seed(1)
        value, parts = model.objective(x)
        torch.manual_seed(1)
        q = encoder(x)
        z0 = q.base.rsample()
        z, log_det = q.flow(z0, q.given)
        reconstruction = model.decoder(z).log_prob(x)
        close(value, reconstruction + log_det + model.prior.log_prob(z) - q.base.log_prob(z0))
        close(parts["kl"], q.log_prob(z) - model.prior.log_prob(z), 1e-7, 1e-7)
        torch.manual_seed(1)
        close(model.log_weight(x), value)
        with pytest.raises(TypeError, match="no closed form"):
            kl(q, model.prior)
        value.sum().backward()
        assert all(p.grad.any() for p in encoder.parameters())  # of net and flow


def test_a_flow_that_reaches_the_posterior_closes_the_bound():
    """A linear-Gaussian model: Householder and affine flows of the right Gaussian give log p(x)
    with every single draw.
    """
    z_given_x = torch.distributions.MultivariateNormal(
        torch.tensor([0.3, -1.0]), torch.tensor([[1.0, 0.6], [0.6, 0.8]])
    )
    values, Q = torch.linalg.eigh(z_given_x.covariance_matrix)
    flow = householder_flow.HouseholderFlow(2, 1)
    # det Q = -1 is a reflection, and +1 with a column's sign turned
    Q = Q if torch.linalg.det(Q) < 0 else Q * torch.tensor([1.0, -1.0])
    with torch.no_grad():
        flow.v.copy_(torch.linalg.eigh(Q).eigenvectors[:, :1].T)  # the eigenvector of -1
    posterior = FlowPosterior(Gaussian(Q.T @ z_given_x.mean, values.log()), flow)
    z, log_q = posterior.rsample_and_log_prob((50,))
    close(log_q, z_given_x.log_prob(z))


def test_steps_begin_as_the_identity():
    z = torch.randn(B, D)
    for given_dim in (0, H):
        given = torch.randn(B, H) if given_dim else None
        out, log_det = planar_flow.PlanarFlow(D, 3, given_dim)(z, given)
        close(out, z, 1e-3, 1e-3)
        close(log_det, torch.zeros(B), 1e-3, 1e-3)


def test_extremes_in_float32():
    """Zero vectors, huge ones and closed gates: finite, and still invertible where float32 can
    tell.
    """
    flow = planar_flow.PlanarFlow(D, 4).float()
    z = torch.randn(B, D).float()
    for w, u in [(0.0, 5.0), (1e-30, 1.0), (1e3, -1e3), (3.0, -300.0), (1.0, 1e4)]:
        with torch.no_grad():
            flow.start.copy_(torch.tensor([w] * D + [u] * D + [0.0]))
        out, log_det = flow(z * 1e-3)
        assert out.isfinite().all() and log_det.isfinite().all()
        log_det.sum().backward()
        assert flow.start.grad.isfinite().all()
    mirror = householder_flow.HouseholderFlow(D, 1).float()
    for size in (0.0, 1e-40, 1e-30, 1.0, 1e30):
        with torch.no_grad():
            mirror.v.copy_(size * torch.arange(1.0, D + 1))
        out, _ = mirror(z)
        close(out.norm(dim=-1), z.norm(dim=-1), 1e-6, 1e-6)
        assert (out == z).all() == (size == 0)
        if size != 1e-40:  # where the gradient itself, of the size of 1 / |v|, is beyond float32
            mirror.v.grad = None
            out.sum().backward()
            assert mirror.v.grad.isfinite().all()
    gate = inverse_autoregressive_flow.InverseAutoregressiveFlow(D).float()
    with torch.no_grad():
        gate.net.layers[-1].bias[D:] = torch.tensor([-1000.0, 1000.0, -200.0, 0.0])
    out, log_det = gate(z)
    assert out.isfinite().all() and log_det.isfinite().all() and log_det.max() < -1100


def test_a_second_kind_of_density_of_data():
    """Fitted by the course's loop, a flow finds a sheared Gaussian's entropy."""
    from dgmcourse.train import fit

    L = torch.tensor([[1.5, 0.0], [1.2, 0.4]])
    x = (torch.randn(2000, 2) @ L.T + torch.tensor([3.0, -1.0])).float()
    flow = Flows(Affine(2), inverse_autoregressive_flow.autoregressive_flows(2, 2, (16,)))
    p = FlowDensity(StandardGaussian(2), flow).float()
    fit(p, x, epochs=12, lr=2e-2, anneal=6, progress=False)
    exact = torch.distributions.MultivariateNormal(torch.tensor([3.0, -1.0]), L @ L.T)
    gap = exact.log_prob(x.double()) - p.double().log_prob(x.double())
    assert gap.mean() < 0.05


@pytest.mark.parametrize("kind", KINDS[:3])
def test_what_does_not_fit_is_named(kind):
    flow, conditional = made(kind), made(kind, D, H)
    with pytest.raises(ValueError, match="given_dim = 0, and"):
        flow(torch.randn(B, D), torch.randn(B, H))
    with pytest.raises(ValueError, match="given_dim = 3, and"):
        conditional(torch.randn(B, D))
    with pytest.raises(ValueError, match=f"expected vectors of {D} dimensions"):
        flow(torch.randn(B, D + 1))
    with pytest.raises(ValueError, match="given|expected vectors of 3 numbers"):
        conditional(torch.randn(B, D), torch.randn(B, H + 1))


def test_flows_of_no_steps():
    z = torch.randn(B, D)
    for none in (householder_flow.HouseholderFlow(D, 0)(z), Flows()(z)):
        close(none[0], z)
        close(none[1], torch.zeros(B))


def test_no_inverse_says_so():
    class Square(normalizing_flow.Flow):
        def forward(self, z, given=None):
            return z**3, torch.log(3 * z**2).sum(-1)

    with pytest.raises(NotImplementedError, match="Square has no inverse"):
        Square().inverse(torch.ones(1))
