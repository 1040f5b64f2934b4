"""PixelCNN, gated PixelCNN and PixelVAE: masks by gradient, probabilities by enumeration, draws
against both.
"""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from oracles import all_images, close, grid, oracle_tests
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn

from dgmcourse import networks
from dgmcourse.densities import GaussianConditional, StandardGaussian
from dgmcourse.evaluate import log_likelihood
from dgmcourse.models import gated_pixelcnn, pixelcnn, pixelvae
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.pixelcnn import PixelCNN, PixelConditional, PixelDensity

pytestmark = pytest.mark.usefixtures("float64")
NETS = {"plain": pixelcnn, "gated": gated_pixelcnn}


def tiny(module, shape=(3, 3), width=4, layers=2, first=5, std=0.6):
    """A net of a module (or of its mutant) with random weights and biases."""
    kind = "GatedPixelNet" if hasattr(module, "GatedPixelNet") else "PixelNet"
    net = getattr(module, kind)(width, layers, first, 3, shape)
    for p in net.parameters():
        nn.init.normal_(p, std=std)
    return net


def given_for(net, *lead):
    return torch.randn(*lead, net.given_dim)


def reaches(module, shape, layers, first):
    """Which pixels (j) each logit (i) can see: the kernels' steps followed one by one on the grid:
    (D, D).
    """
    c = first // 2
    A = [(dy, dx) for dy in range(-c, 1) for dx in range(-c, c + 1) if (dy, dx) < (0, 0)]
    B = [(dy, dx) for dy in (-1, 0) for dx in (-1, 0, 1) if (dy, dx) <= (0, 0)]
    above, beside = [d for d in A if d[0] < 0], [d for d in A if d[0] == 0]
    vertical, horizontal = [(dy, dx) for dy in (-1, 0) for dx in (-1, 0, 1)], [(0, -1), (0, 0)]

    def step(places, kernel):
        moved = {(y + dy, x + dx) for y, x in places for dy, dx in kernel}
        return {(y, x) for y, x in moved if 0 <= y < shape[0] and 0 <= x < shape[1]}

    def plain(place):
        seen = {place}
        for _ in range(layers):
            seen = step(seen, B)
        return step(seen, A)

    def gated(place):  # h looks at its own row and at v in its place, which looks at whole rows
        h, v = {place}, set()
        for _ in range(layers):
            h, v = step(h, horizontal), step(v | h, vertical)
        return step(h, beside) | step(v | h, above)

    found = torch.zeros(*shape, *shape, dtype=torch.bool)
    for place in itertools.product(*map(range, shape)):
        for seen in (gated if module is gated_pixelcnn else plain)(place):
            found[(*place, *seen)] = True
    return found.flatten(2).flatten(0, 1)


def sees(net, D):
    """Whether d logits / d x and d logits / d given are 0 at all of 5 random points (ReLUs rest at
    some): (D, D), (D, G).
    """
    points = [(torch.randn(D), given_for(net)) for _ in range(5)]
    found = [torch.autograd.functional.jacobian(net, point, vectorize=True) for point in points]
    return [sum(part != 0 for part in parts) > 0 for parts in zip(*found, strict=True)]


# ---- masks


def test_masks_as_drawn_by_hand():
    drawn = {
        (3, "A"): "111 100 000",
        (3, "B"): "111 110 000",
        (5, "A"): "11111 11111 11000 00000 00000",
        (3, "A", True, False): "111 000 000",  # the rows above alone
        (3, "B", True, False): "111 111 000",
        (3, "A", False): "000 100 000",  # what stands to the left
        (3, "B", False): "000 110 000",
    }
    for arguments, rows in drawn.items():
        expected = torch.tensor([[float(c) for c in row] for row in rows.split()])
        close(networks.pixel_mask(*arguments), expected)
    for size, kind in ((4, "A"), (3, "C")):
        with pytest.raises(ValueError, match="a mask is of kind 'A' or 'B' and of odd size"):
            networks.pixel_mask(size, kind)


@pytest.mark.parametrize("kind", "AB")
@pytest.mark.parametrize("parts", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("size", [3, 5])
def test_a_masked_convolution_is_the_full_one_with_zeros(kind, parts, size):
    mask = networks.pixel_mask(size, kind, *parts)
    conv = networks.MaskedConv2d(2, 3, mask)
    full = torch.zeros(3, 2, size, size)
    full[:, :, mask.bool()] = conv.weight[:, :, conv.mask.bool()]
    x = torch.randn(2, 2, 6, 7)
    close(conv(x), nn.functional.conv2d(x, full, conv.bias, padding=size // 2))


def check_dependence(module):
    """Each logit has a gradient with respect to the pixels its kernels can reach, all of them
    earlier, and to no other; with respect to what z gives, at its own place at least, the first
    pixel not excepted.
    """
    for shape, layers, first in (((3, 3), 2, 5), ((5, 4), 1, 3), ((7, 9), 2, 3)):
        net = tiny(module, shape, width=8, layers=layers, first=first)
        D = math.prod(shape)
        by_x, by_given = sees(net, D)
        reference = gated_pixelcnn if hasattr(net, "layers") else pixelcnn
        assert torch.equal(by_x, reaches(reference, shape, layers, first))
        assert not by_x.triu().any()
        at_its_place = by_given.unflatten(1, (-1, D)).diagonal(dim1=0, dim2=2)  # (features, D)
        assert at_its_place.any(0).all()


def test_the_gated_net_sees_every_earlier_pixel_and_the_plain_one_has_a_blind_spot():
    """With kernels whose reach covers the image: all pairs j < i, against fewer, and however many
    layers there are.
    """
    shape, D = (5, 5), 25
    seen = {
        name: [sees(tiny(module, shape, 8, layers, 3), D)[0].sum().item() for layers in (4, 6)]
        for name, module in NETS.items()
    }
    assert seen["gated"] == [D * (D - 1) // 2] * 2
    assert seen["plain"][0] == seen["plain"][1] < D * (D - 1) // 2
    of_the_last_rows_middle = reaches(pixelcnn, (7, 15), 12, 3)[6 * 15 + 7]
    blind = ~of_the_last_rows_middle.unflatten(0, (7, 15))
    for up in range(1, 7):  # in the row so far above, nothing beyond as many columns to the right
        assert blind[6 - up].nonzero().flatten().tolist() == [*range(7 + up + 1, 15)]


# ---- probabilities


def check_total(module):
    """p(x) sums to 1 over all 512 images of 3x3 pixels, and p(x|z) for each z."""
    net, x = tiny(module), all_images().double()
    close(PixelCNN(net).log_prob(x).exp().sum(), 1.0)
    given = given_for(net, 4)
    close(PixelDensity(net, given).log_prob(x.unsqueeze(1)).exp().sum(0), torch.ones(4))


@pytest.mark.parametrize("module", NETS.values(), ids=NETS)
def test_the_log_likelihood_is_the_chain_of_conditionals(module):
    """log p(x) from nothing but the first pixel's logit of ever longer beginnings, whose rest is
    set to noise.
    """
    net = tiny(module)
    p, x = PixelCNN(net), torch.bernoulli(torch.full((6, 9), 0.5))
    total = torch.zeros(6)
    for i in range(9):
        beginning = torch.cat([x[:, :i], torch.randn(6, 9 - i)], 1)
        total += torch.distributions.Bernoulli(logits=net(beginning)[:, i]).log_prob(x[:, i])
    close(p.log_prob(x), total)
    close(p.objective(x)[0], total)


def test_many_z_for_an_x_are_as_one_at_a_time():
    """Leading axes of z only, of x only, of both, in every net."""
    for module in NETS.values():
        net = tiny(module)
        x = torch.bernoulli(torch.full((3, 9), 0.5))
        leads = ((3,), (5, 3)), ((3,), (3,)), ((3,), (1,)), ((1,), (4,)), ((3, 1), (4,)), ((), (2,))
        for lead_x, lead_z in leads:
            xs, given = x[: math.prod(lead_x)].reshape(*lead_x, 9), given_for(net, *lead_z)
            found = PixelDensity(net, given).log_prob(xs)
            lead = torch.broadcast_shapes(lead_x, lead_z)
            each_x = xs.expand(*lead, 9).reshape(-1, 9)
            each_z = given.expand(*lead, -1).reshape(-1, net.given_dim)
            pairs = zip(each_x, each_z, strict=True)
            expected = torch.stack([PixelDensity(net, g).log_prob(a) for a, g in pairs])
            close(found, expected.reshape(lead))


# ---- draws


def naive(p, u):
    """Pixel by pixel with a full pass for each."""
    x = torch.zeros_like(u)
    for i in range(u.shape[-1]):
        x[..., i] = (u[..., i] < torch.sigmoid(p.logits(x)[..., i])).to(u)
    return x


def check_same_noise(module):
    """The draw that computes nothing twice is the naive one, pixel for pixel; with z and without,
    several shapes.
    """
    for shape, first in (((3, 3), 5), ((6, 5), 3), ((4, 7), 7)):
        net, D = tiny(module, shape, width=5, first=first, std=0.4), math.prod(shape)
        plain, conditional = PixelCNN(net), PixelDensity(net, given_for(net, 8))
        u = torch.rand(20, D)
        drawn = plain.sample((20,), noise=u)
        assert torch.equal(drawn, naive(plain, u))
        assert 0.1 < drawn.mean() < 0.9 and len(drawn.unique(dim=0)) > 10
        u = torch.rand(3, 8, D)
        assert torch.equal(conditional.sample((3,), noise=u), naive(conditional, u))


@pytest.mark.parametrize("module", NETS.values(), ids=NETS)
def test_a_digit_is_drawn_as_the_naive_way_would(module):
    """28x28 pixels, trained sizes: x is the naive draw of its noise if every pixel is, given those
    before it. By induction one pass is enough to see it.
    """
    net = tiny(module, (28, 28), 16, 6, 7, std=0.12)
    p, u = PixelDensity(net, 0.3 * given_for(net, 2)), torch.rand(2, 784)
    x = p.sample(noise=u)
    assert torch.equal(x, (u < torch.sigmoid(p.logits(x))).to(x))
    assert 0.05 < x.mean() < 0.95


@pytest.mark.parametrize("module", NETS.values(), ids=NETS)
def test_known_pixels_stay_and_the_rest_is_drawn_given_those_before(module):
    p, x = PixelCNN(tiny(module)), all_images().double()
    start = torch.tensor([1.0, 0, 1, 1, 0, 0, 0, 0, 0])
    known = torch.arange(9) < 4
    n = 20_000
    drawn = p.sample((n,), x=start, known=known)
    assert (drawn[:, :4] == start[:4]).all()
    fits = (x[:, :4] == start[:4]).all(1)
    exact = p.log_prob(x[fits]).exp()
    found = (drawn[:, 4:].unsqueeze(1) == x[fits][:, 4:]).all(-1).double()  # (n, 32)
    expected = exact / exact.sum()
    error = (expected * (1 - expected) / n).sqrt()
    assert ((found.mean(0) - expected).abs() < 4.5 * error + 1e-12).all()
    free = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1, 0]).bool()
    images = torch.bernoulli(torch.full((50, 9), 0.5))
    assert torch.equal(p.sample((50,), x=images, known=free)[:, free], images[:, free])


@pytest.mark.parametrize("module", NETS.values(), ids=NETS)
def test_a_draw_runs_no_pass_of_the_network_and_convolves_by_rows(module, monkeypatch):
    net, calls, conv2d = tiny(module, (6, 5), layers=3), [], nn.functional.conv2d
    monkeypatch.setattr(net, "forward", None)
    monkeypatch.setattr(nn.functional, "conv2d", lambda *a: calls.append(a) or conv2d(*a))
    PixelCNN(net).sample((2,))
    assert 6 <= len(calls) <= 6 * 4 * 2  # rows, layers, stacks; 30 passes of a net have 120 or more


# ---- PixelVAE


def tiny_vae():
    """A PixelVAE of 3x3 images, whose given map is a small network of z, and whose encoder is one
    of x.
    """
    net = tiny(gated_pixelcnn, width=2, layers=1, first=3)
    given = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, net.given_dim))
    decoder = PixelConditional(net, given)
    encoder = GaussianConditional(nn.Sequential(nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 4)))
    return LatentVariableModel(StandardGaussian(2), encoder, decoder)


def test_a_pixelvaes_exact_likelihood_sums_to_one_and_is_what_importance_sampling_finds():
    model, x = tiny_vae(), all_images().double()
    z, cell = grid(2, 6.5, 31)
    with torch.no_grad():
        log_joint = model.decoder(z).log_prob(x.unsqueeze(1)) + model.prior.log_prob(z)
        log_p = torch.logsumexp(log_joint, 1) + math.log(cell)
    close(log_p.exp().sum(), 1.0, 1e-8, 1e-8)
    some = x[::64]
    runs = torch.stack([log_likelihood(model, some, 1000) for _ in range(8)])
    error = runs.std(0) / 8**0.5
    assert ((runs.mean(0) - log_p[::64]).abs() < 5 * error + 1e-3).all()
    assert (model.elbo(some).mean() < log_p[::64].mean()).item()


def test_every_pixel_of_a_pixelvae_depends_on_all_of_z():
    model = pixelvae.PixelVAE(5, 4, 1, 3, channels=4, hidden=16)
    for p in model.parameters():
        nn.init.normal_(p, std=0.3)
    x = torch.bernoulli(torch.full((1, 784), 0.3))
    logits = lambda z: model.decoder(z).logits(x)[0]  # noqa: E731
    by_z = torch.autograd.functional.jacobian(logits, torch.randn(1, 5))[:, 0]
    assert by_z.shape == (784, 5) and (by_z != 0).all()


def check_free_bits(pixelvae):
    """The bound with each dimension's mean KL raised to the threshold; what lies under it has no
    gradient.
    """
    model = tiny_vae()
    x = all_images()[::9].double()

    def parts_of(nats, beta=1.0):
        torch.manual_seed(1)
        return pixelvae.free_bits(model, nats)(x, beta)

    q = model.encoder(x)
    mean, var = q.mean, q.log_var.exp()
    of_each = 0.5 * (mean**2 + var - 1 - var.log()).mean(0)  # (2,)
    low, high = of_each.sort().values.tolist()
    between = (low + high) / 2
    value, parts = parts_of(between, 0.7)
    close((parts["reconstruction"] - value).detach(), torch.full((len(x),), 0.7 * (between + high)))
    close(parts["elbo"], parts["reconstruction"] - parts["kl"])
    close(parts["kl"].mean(), of_each.sum())
    free, without = parts_of(2 * high)[0].sum(), parts_of(2 * high)[1]["reconstruction"].sum()
    weights = list(model.encoder.parameters())
    found, expected = (torch.autograd.grad(value, weights) for value in (free, without))
    for a, b in zip(found, expected, strict=True):
        close(a, b)


# ---- each oracle holds, and fails for what is broken


PIXELCNN = {
    check_dependence: """
        pixel_mask(size, "B") => pixel_mask(size, "A")
    """,
    check_total: """
        pixel_mask(first, "A") => pixel_mask(first, "B")
    """,
    check_same_noise: """
        len(conv.mask) - 1) for => 0) for
        (yield last(h)) => 0 * (yield last(h))
    """,
}
GATED_PIXELCNN = {
    check_dependence: """
        pixel_mask(size, kind, left=False) => pixel_mask(size, "B", left=False)
        add_tiled(self.horizontal(h), self.link(v)) => self.horizontal(h)
    """,
    check_total: """
        pixel_mask(size, kind, above=False) => pixel_mask(size, "B", above=False)
    """,
    check_same_noise: """
        add_tiled(term, map_of => add_tiled(term, 0 * map_of
        [1.0] * width + [0.5] * width => [1.0] * width + [1.0] * width
        h = more if h is None else h + more => h = more
    """,
}
PIXELVAE = {
    check_free_bits: """
        of_each.mean(0), min=nats => of_each, min=nats
        of_each.mean(0), min=nats => of_each.mean(0), max=nats
    """,
}
test_oracle, test_mutant_is_caught = oracle_tests(
    (pixelcnn, PIXELCNN), (gated_pixelcnn, GATED_PIXELCNN), (pixelvae, PIXELVAE)
)


# ---- what is refused


@pytest.mark.parametrize("module", NETS.values(), ids=NETS)
def test_what_is_no_binary_image_is_named(module):
    p = PixelCNN(tiny(module))
    with pytest.raises(ValueError, match="expected a tensor on the device 'meta'"):
        copy.deepcopy(p).to("meta").log_prob(torch.zeros(2, 9))  # torch would give garbage
    with pytest.raises(ValueError, match="expected binary pixels"):
        p.log_prob(torch.full((2, 9), 0.5))
    with pytest.raises(TypeError, match="expected a tensor, got ndarray"):
        p.log_prob(np.zeros((2, 9)))
    with pytest.raises(ValueError, match="got NaN"):
        p.log_prob(torch.full((2, 9), torch.nan))
    with pytest.raises(ValueError, match=f"expected vectors of {p.net.given_dim} dimensions"):
        PixelDensity(p.net, torch.zeros(2, 5))


def test_what_a_draw_is_given_is_looked_at():
    """Neither ignored nor repeated where it does not fit; pixels that are not given may hold
    anything.
    """
    p, x, u = PixelCNN(tiny(pixelcnn)), torch.ones(2, 9), torch.rand(2, 9)
    known = torch.arange(9) < 4
    for given in ({"x": x}, {"known": known}):
        with pytest.raises(ValueError, match="give both"):
            p.sample((2,), **given)
    for noise in (u + 1, -u - 0.1, torch.full((2, 9), torch.nan)):
        with pytest.raises(ValueError, match="noise from 0 to 1"):
            p.sample((2,), noise=noise)
    for name, given in (
        ("noise", {"noise": torch.rand(3, 9)}),
        ("noise", {"noise": torch.rand(2, 1)}),
        ("x", {"x": x[:, :8], "known": known}),
        ("known", {"x": x, "known": known[:8]}),
        ("x", {"x": torch.ones(1, 2, 9), "known": known}),
    ):
        with pytest.raises(ValueError, match=rf"expected {name} of shape \(2, 9\)"):
            p.sample((2,), **given)
    with pytest.raises(ValueError, match="expected binary pixels"):
        p.sample((2,), x=x / 2, known=known)
    draws = [p.sample(2, u, a, known) for a in (x, torch.where(known, x, torch.nan))]
    assert torch.equal(*draws)


def test_small_products_are_not_shared_among_threads():
    """Two threads take up to 25 times as long where another process keeps a core busy."""
    model, seen = PixelCNN(pixelcnn.PixelNet(4, 1, shape=(2, 2))), []

    class Watched(pixelcnn.PixelNet):
        def walk(self, *given):
            info = threadpool_info()
            seen.extend(lib["num_threads"] for lib in info if lib["user_api"] == "blas")
            yield from super().walk(*given)

    model.net.__class__ = Watched
    with threadpool_limits(2, "blas"):
        model.sample((3,))
        after = {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}
    assert seen and set(seen) == {1} and after == {2}
