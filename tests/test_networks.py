"""Networks against their formulas."""

import pytest
import torch
from oracles import close, oracle_tests

from dgmcourse import networks

pytestmark = pytest.mark.usefixtures("float64")


def check_gated_layer(networks):
    """h = (A x + a) * sigmoid(B x + b), twice, then C h + c; any leading axes."""
    net = networks.gated_mlp([5, 4, 3, 2])
    for p in net.parameters():
        torch.nn.init.normal_(p)
    A1, a1, A2, a2, C, c = net.parameters()
    x = h = torch.randn(3, 7, 5)
    for weight, bias, width in ((A1, a1, 4), (A2, a2, 3)):
        A, B = weight[:width], weight[width:]
        h = (h @ A.T + bias[:width]) / (1 + torch.exp(-(h @ B.T + bias[width:])))
    close(net(x), h @ C.T + c)


def check_initialisation(networks):
    """Weights of mean 0 and variance 2 / inputs, within four standard errors; biases 0."""
    convolutional = networks.conv_encoder(10, channels=16), networks.conv_decoder(10, channels=16)
    for net in (networks.gated_mlp([784, 300, 300, 80]), *convolutional):
        for layer in net:
            if not hasattr(layer, "weight"):
                continue
            w = layer.weight
            inputs = w[0].numel()
            assert abs(w.var() * inputs / 2 - 1) < 4 * (2 / w.numel()) ** 0.5
            assert abs(w.mean()) < 4 * (2 / inputs / w.numel()) ** 0.5
            assert not layer.bias.any()


def check_convolutional_rows(networks):
    """(S, B, D) in, (S, B, D') out, and each row by itself: no pixel of one image reaches another's
    result."""
    for net, given, out in (
        (networks.conv_encoder(6, 4, 8), 784, 6),
        (networks.conv_decoder(3, 2, 4, 8), 3, 1568),
    ):
        for p in net.parameters():
            torch.nn.init.normal_(p, std=0.3)
        x = torch.randn(3, 2, given)
        y = net(x)
        assert y.shape == (3, 2, out)
        close(y[2, 1], net(x[2, 1][None])[0])
        close(y, net(x.reshape(6, given)).reshape(3, 2, out))


def check_neighbourhoods(layers, channels):
    """A pixel of 28 x 28 depends on the positions near it in the 7 x 7 picture, 4 pixels wide."""
    small = torch.randn(1, channels * 49, requires_grad=True)
    picture = layers(small).reshape(28, 28)
    for row, column in ((0, 0), (0, 27), (13, 14), (27, 5)):
        (reached,) = torch.autograd.grad(picture[row, column], small, retain_graph=True)
        there = reached.reshape(channels, 7, 7).abs().sum(0).nonzero()
        assert len(there) and (there * 4 + 1.5 - torch.tensor([row, column])).abs().max() <= 6.5


def check_convolution_sees_pictures(networks):
    check_neighbourhoods(networks.conv_decoder(2, 1, 2, 4)[4:], 4)


def randomised(net):
    for p in net.parameters():
        torch.nn.init.normal_(p)
    return net


def check_mlp(networks):
    """C relu(B relu(A x + a) + b) + c, then what comes last; another activation; any leading
    axes.
    """
    x = torch.randn(3, 7, 5)
    for settings, activation, last in (
        ({}, lambda h: h.clamp(min=0), lambda y: y),
        ({"activation": torch.nn.Tanh, "output": torch.nn.Sigmoid()}, torch.tanh, torch.sigmoid),
    ):
        net = randomised(networks.mlp([5, 4, 3, 2], **settings))
        A, a, B, b, C, c = net.parameters()
        h = activation(activation(x @ A.T + a) @ B.T + b)
        close(net(x), last(h @ C.T + c))
    assert sum(p.numel() for p in networks.mlp([5, 2]).parameters()) == 12


def check_copies(networks):
    """Many networks at once are as many separate ones: their results, and their gradients."""
    net = randomised(networks.mlp([5, 4, 2], torch.nn.Tanh, copies=6))
    x = torch.randn(6, 3, 7, 5, requires_grad=True)
    alone = [networks.mlp([5, 4, 2], torch.nn.Tanh) for _ in range(6)]
    y = net(x)
    y.square().sum().backward()
    gradient = x.grad.clone()
    for k, one in enumerate(alone):
        with torch.no_grad():
            for p, many in zip(one.parameters(), net.parameters(), strict=True):
                p.copy_(many[k])
        close(y[k], one(x[k]))
        x.grad = None
        one(x[k]).square().sum().backward()
        close(gradient[k], x.grad[k])
        for p, many in zip(one.parameters(), net.parameters(), strict=True):
            close(many.grad[k], p.grad)
    assert net(torch.zeros(6, 0, 5)).shape == (6, 0, 2)
    one = randomised(networks.ManyLinear(4, 3, None))
    x = torch.randn(2, 5, 4)
    close(one(x), x @ one.weight.T + one.bias)


def check_copies_initialised(networks):
    """Each as it would be alone: variance 2 / inputs, biases 0, and no two alike."""
    for settings in ({}, {"spectral": True}):
        for layer in networks.mlp([300, 200, 100], copies=5, **settings):
            if hasattr(layer, "weight"):
                w, inputs = layer.weight, layer.weight.shape[-1]
                assert not layer.bias.any()
                assert abs(w.var() * inputs / 2 - 1) < 4 * (2 / w.numel()) ** 0.5
                assert torch.corrcoef(w.flatten(1)).fill_diagonal_(0).abs().max() < 0.05


def check_spectral(networks):
    """After some passes in training each layer's largest singular value is 1; not before, and
    evaluation changes nothing.
    """
    for copies, i, o in ((None, 5, 4), (3, 5, 4), (None, 1, 6), (4, 6, 1)):
        layer = networks.SpectralLinear(i, o, copies)
        torch.nn.init.normal_(layer.weight, std=3.0), torch.nn.init.normal_(layer.bias)
        x = torch.randn(copies or 3, 8, i)
        start = layer.u.clone()
        layer.eval()
        assert torch.equal(layer(x), layer(x)) and torch.equal(layer.u, start)
        layer.train()
        for _ in range(300):
            layer(x)
        for _ in range(2):
            layer.eval()
            largest = torch.linalg.svdvals(layer.weight)[..., :1].unsqueeze(-1)
            close(layer.matrix(), layer.weight / largest)
            bias = layer.bias if copies is None else layer.bias.unsqueeze(1)
            close(layer(x), x @ (layer.weight / largest).mT + bias)
            layer.train()


def check_spectral_one_step(networks):
    """Each pass in training is one step of power iteration, W W^T u, and sigma = |W^T u'| for the
    new u'.
    """
    layer = networks.SpectralLinear(5, 4)
    torch.nn.init.normal_(layer.weight)
    u, W = layer.u.clone(), layer.weight.detach()
    for _ in range(3):
        found = layer.matrix()
        v = W.T @ u / (W.T @ u).norm()
        u = W @ v / (W @ v).norm()
        close(layer.u, u)
        close(found, W / (u.T @ W @ v))
    three = networks.SpectralLinear(5, 4, steps=3)
    three.weight, three.u = layer.weight, layer.u.clone()
    for _ in range(3):
        layer.matrix()
    three.matrix()
    close(three.u, layer.u)


def check_spectral_gradient(networks):
    """That of torch's own spectral_norm, where both have come to rest: the division is part of what
    is differentiated.
    """
    from torch.nn.utils import parametrizations

    ours, theirs = networks.SpectralLinear(5, 4), torch.nn.Linear(5, 4)
    torch.nn.init.normal_(ours.weight)
    with torch.no_grad():
        theirs.weight.copy_(ours.weight), theirs.bias.copy_(ours.bias)
    theirs = parametrizations.spectral_norm(theirs)
    x = torch.randn(9, 5)
    for _ in range(500):
        ours(x), theirs(x)
    for net in (ours, theirs):
        net.eval()
        (net(x) ** 3).sum().backward()
    close(ours(x), theirs(x))
    close(ours.weight.grad, theirs.parametrizations.weight.original.grad)


def check_lipschitz(networks):
    """With ReLUs no slope is above 1, for all that the layers' weights are large; without, slopes
    are.
    """
    x, y = 5 * torch.randn(200, 3), torch.randn(200, 3)

    def steepest(net):
        for _ in range(300):
            net(x)
        return ((net(x) - net(y)).norm(dim=-1) / (x - y).norm(dim=-1)).max()

    assert 0.05 < steepest(randomised(networks.mlp([3, 8, 8, 1], spectral=True))) <= 1 + 1e-6
    assert steepest(randomised(networks.mlp([3, 8, 8, 1]))) > 1


def check_batch_norm(networks):
    """torch's, over all rows, whatever their leading axes; its state is kept in the same way; none
    after the last layer.
    """
    net = networks.mlp([5, 4, 3], batch_norm=True)
    theirs = torch.nn.Sequential(
        torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 3)
    )
    assert list(net.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(net.state_dict())
    for training in (True, True, False):
        x = torch.randn(2, 6, 5) + 1
        net.train(training), theirs.train(training)
        close(net(x), theirs(x.reshape(12, 5)).reshape(2, 6, 3))
        for p, q in zip(net.state_dict().values(), theirs.state_dict().values(), strict=True):
            close(p, q)


def check_dropout(networks):
    """That share of each hidden layer's units, in training alone; the input and the output are
    whole.
    """
    net = networks.mlp([1, 4000, 1], dropout=0.3)
    for p in net.parameters():
        torch.nn.init.ones_(p)
    x = torch.ones(1, 1)
    kept = net[:-1](x)
    assert abs((kept > 0).double().mean() - 0.7) < 5 * (0.21 / 4000) ** 0.5
    assert not torch.equal(net(x), net(x))
    close(kept[kept > 0], torch.full((int((kept > 0).sum()),), 2 / 0.7))
    close(net.eval()(x), [[8001.0]])


def check_dcgan(networks):
    """Rows in, rows out, pixels in [0, 1], weights of standard deviation 0.02; in evaluation each
    row by itself. Without batch normalisation the discriminator's scores depend on no other row in
    training, either.
    """
    for net, given, out, alone in (
        (networks.dcgan_generator(5, 4), 5, 784, False),
        (networks.dcgan_discriminator(3, 4), 784, 3, False),
        (networks.dcgan_discriminator(1, 4, batch_norm=False), 784, 1, True),
    ):
        for layer in net:
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                w = layer.weight
                assert not layer.bias.any()
                assert abs(w.var() / 0.02**2 - 1) < 5 * (2 / w.numel()) ** 0.5
                torch.nn.init.normal_(w, std=0.3)
        x = torch.randn(3, 2, given)
        y = net(x)
        assert y.shape == (3, 2, out)
        assert out != 784 or (0 < y.min() and y.max() < 1 and y.std() > 0.05)
        assert torch.allclose(net(x[:, :1]), y[:, :1]) == alone
        net.eval()
        y = net(x)
        close(y[2, 1], net(x[2, 1][None])[0])
        close(y, net(x.reshape(6, given)).reshape(3, 2, out))


def check_dcgan_sees_pictures(networks):
    """And a score on all pixels, a position of the discriminator's 7 x 7 picture on those near it."""
    check_neighbourhoods(networks.dcgan_generator(2, 8).eval()[1:], 16)  # some ReLU is always open
    discriminator = networks.dcgan_discriminator(1, 2).eval()
    x = torch.rand(1, 784, requires_grad=True)
    for row, column in ((0, 0), (3, 4), (6, 1)):
        (reached,) = torch.autograd.grad(
            discriminator[:6](x).reshape(4, 7, 7)[:, row, column].sum(), x
        )
        there = reached.reshape(28, 28).nonzero()
        assert (
            len(there) >= 49 and (there - 4 * torch.tensor([row, column]) - 1.5).abs().max() <= 4.5
        )
    (reached,) = torch.autograd.grad(discriminator(x).sum(), x)
    assert reached.count_nonzero() == 784


def check_added(networks):
    """C tanh(A a + B b + bias) + c: leading axes of a and b broadcast; [a, b] in one tensor, too."""
    rest = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(4, 6))
    net = randomised(networks.Added((5, 3), 4, rest))
    A, B, bias = net.a.weight, net.b.weight, net.a.bias
    C, c = rest[1].parameters()
    a, b = torch.randn(7, 1, 5), torch.randn(2, 3)
    h = torch.einsum("bi,hi->bh", a[:, 0], A)[:, None] + torch.einsum("kj,hj->kh", b, B) + bias
    close(net(a, b), torch.tanh(h) @ C.T + c)
    both = torch.cat([a.expand(7, 2, 5), b.expand(7, 2, 3)], -1)
    close(net(both), net(a, b))
    assert net.in_features == 8 and sum(p.numel() for p in net.parameters()) == 8 * 4 + 4 + 30


MUTANTS = {
    check_added: """
        self.a(a) + self.b(b) => self.a(a) * self.b(b)
        self.a(a) + self.b(b) => self.a(a)
        a.split(self.sizes, -1) => a.roll(self.sizes[1], -1).split(self.sizes, -1)
        sizes[1], hidden, bias=False => sizes[1], hidden
    """,
    check_gated_layer: """
        GLU(dim=-1)] => Softmax(-1), nn.GLU(dim=-1)]
        nn.GLU(dim=-1)] => nn.Tanh(), nn.GLU(dim=-1)]
        nn.Linear(sizes[-2], sizes[-1])) => nn.Linear(sizes[-2], sizes[-1]), nn.Sigmoid())
    """,
    check_initialisation: """
        nonlinearity="relu" => nonlinearity="linear"
        nonlinearity="relu" => nonlinearity="relu", mode="fan_out"
        nn.init.zeros_(module.bias) => nn.init.ones_(module.bias)
    """,
    check_convolutional_rows: """
        *rows.shape[:-1], result.shape[-1] => -1, *rows.shape[:-1]).movedim(0, -1
        super().forward(flat) => super().forward(flat.cumsum(0))
    """,
    check_dcgan: """
        if std is not None: => if False:
        std=std) => std=std**0.5)
        nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1), nn.Sigmoid(), => \
            nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1),
        if batch_norm else nn.Identity() =>
    """,
    check_mlp: """
        *([output] if output else []) => activation()
        *([output] if output else []) =>
        [activation()] => [nn.ReLU()]
    """,
    check_copies: """
        bias.unsqueeze(1), x => bias[:1].unsqueeze(1), x
        x.flatten(1, -2), weight.mT) => x.flatten(1, -2), weight[:1].expand_as(weight).mT)
        x.flatten(1, -2), weight.mT => x.flatten(1, -2).flip(0), weight.mT
    """,
    check_copies_initialised: """
        (2 / module.in_features) ** 0.5 => (2 / module.weight[0].numel()) ** 0.5
        (2 / module.in_features) ** 0.5 => 2 / module.in_features
        | ManyLinear) => )
    """,
    check_spectral: """
        return weight / (u.mT @ weight @ v) => return weight
        return weight / (u.mT @ weight @ v) => return weight / weight.norm()
        self.u.copy_(u) => pass
        if self.training: self.u => if True:\\n                self.u
        (u.mT @ weight @ v)  # => (u.mT @ weight @ v).max()  #
    """,
    check_lipschitz: "if spectral: => if False:",
    check_spectral_gradient: """
        return weight / (u.mT @ weight @ v) => return weight / (u.mT @ weight @ v).detach()
    """,
    check_spectral_one_step: "range(self.steps if self.training else 1) => range(5)",
    check_batch_norm: """
        [BatchNormRows(i)] * batch_norm => []
        BatchNormRows(i)] * batch_norm + [activation() => activation(), BatchNormRows(i)
        reshape(math.prod(x.shape[:-1]), x.shape[-1])).reshape(x.shape => \
            movedim(-1, 1)).movedim(1, -1)[:1].expand_as(x
    """,
    check_dropout: """
        [nn.Dropout(dropout)] => [nn.Dropout(0.5)]
        [nn.Dropout(dropout)] => []
    """,
    check_convolution_sees_pictures: "",
    check_dcgan_sees_pictures: "",
}
test_oracle, test_mutant_is_caught = oracle_tests((networks, MUTANTS))


def test_rows_that_are_no_pictures_are_refused():
    """In a sentence that says what was expected and what came."""
    for net, shape, expected in (
        (networks.conv_encoder(4), (3, 64), 784),
        (networks.conv_encoder(4), (3, 28, 28), 784),
        (networks.conv_decoder(5), (2, 3, 4), 5),
        (networks.dcgan_generator(5, 2), (2, 3, 4), 5),
        (networks.dcgan_discriminator(1, 2), (3, 28, 28), 784),
    ):
        with pytest.raises(
            ValueError, match=f"^expected rows of {expected} numbers on the last axis, got shape "
        ) as error:
            net(torch.zeros(shape))
        assert str(error.value).endswith(str(shape))


def test_copies_say_what_they_take():
    net = networks.mlp([5, 4, 2], copies=3)
    for wrong in ((3, 5), (4, 6, 5), (3, 6, 4), (5,)):
        with pytest.raises(
            ValueError, match=r"^3 networks at once take \(3, \.\.\., 5\), got \("
        ) as error:
            net(torch.zeros(wrong))
        assert str(error.value).endswith(str(wrong))
    with pytest.raises(ValueError, match="^copies of a network have no batch normalisation here"):
        networks.mlp([5, 4, 2], copies=3, batch_norm=True)


def test_two_inputs_of_other_widths_are_refused():
    net = networks.Added((5, 3), 4, torch.nn.ReLU())
    for given, size in (((4, 3), 5), ((5, 2), 3)):
        a, b = (torch.zeros(2, n) for n in given)
        with pytest.raises(ValueError, match=f"^expected vectors of {size} numbers on the last"):
            net(a, b)
