"""What JavaScript computes is what torch computes: the shipped architecture, every kind of layer;
and what that catches.
"""

import base64
import json

import numpy as np
import pytest
import torch
from torch import nn

from dgmcourse.densities import BernoulliConditional, GaussianConditional
from dgmcourse.models import VAE
from dgmcourse.networks import BatchNormRows
from dgmcourse.widgets import esm, latent

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def page(browser):
    """An empty page with latent.js in it as `window.latent`."""
    page = browser.new_page()
    source = base64.b64encode(esm("networks", "latent").encode()).decode()
    page.evaluate(
        f"async () => {{ window.latent = await import('data:text/javascript;base64,{source}'); }}"
    )
    yield page
    page.close()


def encoded(array):
    return base64.b64encode(
        np.ascontiguousarray(array).tobytes()
    ).decode()  # lists would take Playwright seconds


BYTES = "const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));"


def in_browser(page, layers, numbers, points):
    """The layers at the points (n, in), as latent.js computes them: (n, out)."""
    result = page.evaluate(
        f"""([layers, numbers, half, points, n]) => {{ {BYTES}
            const net = window.latent.compile(layers, window.latent.floats(bytes(numbers), half));
            const x = window.latent.floats(bytes(points)), rows = Array.from({{ length: n }}, (_, k) => k * x.length / n);
            const y = Float32Array.from(rows.flatMap((at) => Array.from(net(x.subarray(at, at + x.length / n)))));
            let text = "";
            for (const byte of new Uint8Array(y.buffer)) text += String.fromCharCode(byte);
            return btoa(text);
        }}""",
        [
            layers,
            encoded(numbers),
            numbers.dtype == np.float16,
            encoded(points.numpy()),
            len(points),
        ],
    )
    return np.frombuffer(base64.b64decode(result), np.float32).reshape(len(points), -1)


def assert_parity(page, conditional, points, change=lambda layers, numbers: (layers, numbers)):
    """The mean of the Conditional agrees to 1e-4; `change` may put a bug into what the browser is
    sent.
    """
    with torch.no_grad():
        expected = conditional(points).mean.numpy()
    layers, arrays = latent.export(conditional, points)
    layers, numbers = change(json.loads(json.dumps(layers)), np.concatenate(arrays))
    assert np.abs(in_browser(page, layers, numbers, points) - expected).max() < TOLERANCE


def shipped_architecture(dim=40):
    """The VAE's 40-600-GLU-600-GLU-784, untrained, with parameters that float16 holds exactly, as
    the shipped ones.
    """
    torch.manual_seed(3)
    model = VAE(dim)
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)  # the biases, too: they begin at 0
    return model.half().float()


@pytest.mark.parametrize("dim", [2, 40])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_decoder_and_encoder(page, dim, dtype):
    model = shipped_architecture(dim)
    send = lambda layers, numbers: (layers, numbers.astype(dtype))  # noqa: E731
    assert_parity(page, model.decoder, torch.randn(100, dim) * 2, send)
    assert_parity(page, model.encoder, torch.rand(100, 784), send)


@pytest.mark.parametrize(
    "layer",
    [
        nn.GLU(),
        nn.ReLU(),
        nn.LeakyReLU(0.2),
        nn.ELU(0.7),
        nn.SiLU(),
        nn.Tanh(),
        nn.Sigmoid(),
        nn.Softplus(),
        nn.Identity(),
        nn.Dropout(),
    ],
)
@pytest.mark.parametrize("conditional", [BernoulliConditional, GaussianConditional])
def test_every_kind_of_layer(page, layer, conditional):
    torch.manual_seed(0)
    middle = 20 if isinstance(layer, nn.GLU) else 40
    net = nn.Sequential(
        nn.Sequential(nn.Linear(6, 40), layer), nn.Linear(middle, 30, bias=False)
    ).eval()
    assert_parity(page, conditional(net), torch.randn(100, 6) * 3)


def normalised(units=40):
    """6 -> `units`, normalised -> 30, as training leaves it: no statistic at 0 or 1."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(6, units), BatchNormRows(units), nn.ReLU(), nn.Linear(units, 30)
    ).eval()
    for tensor in net[1].state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(units) + 0.5)
    return BernoulliConditional(net)


def test_batch_normalisation(page):
    assert_parity(page, normalised(), torch.randn(100, 6) * 3)


@pytest.mark.parametrize("part", ["scale", "shift"])
def test_parity_catches_a_unit_normalised_as_its_neighbour(page, part):
    def turned(layers, numbers):
        layers[1][part] = layers[1][part][1:] + layers[1][part][:1]
        return layers, numbers

    with pytest.raises(AssertionError):
        assert_parity(page, normalised(), torch.randn(100, 6) * 3, turned)


def swapped_halves(layers, numbers):
    rows, columns, at = layers[0]["out"], layers[0]["in"], layers[0]["weight"]
    weight = numbers[at : at + rows * columns].reshape(2, -1)
    numbers[at : at + rows * columns] = weight[::-1].ravel()
    return layers, numbers


def transposed(layers, numbers):
    rows, columns, at = layers[0]["out"], layers[0]["in"], layers[0]["weight"]
    numbers[at : at + rows * columns] = (
        numbers[at : at + rows * columns].reshape(rows, columns).T.ravel()
    )
    return layers, numbers


def bias_of_the_layer_before(layers, numbers):
    layers[2]["bias"] = layers[0]["bias"]
    return layers, numbers


def logits_as_means(layers, numbers):
    return layers[:-1], numbers


def rounded(layers, numbers):
    return layers, numbers.astype(np.float16)


BUGS = [swapped_halves, transposed, bias_of_the_layer_before, logits_as_means, rounded]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_parity_catches(page, bug):
    model = shipped_architecture()
    for parameter in model.decoder.parameters():
        parameter.data *= (
            1.7  # no longer what float16 holds, and logits as large as a trained network's
        )
    points = torch.randn(100, 40)
    assert_parity(page, model.decoder, points)
    with pytest.raises(AssertionError):
        assert_parity(page, model.decoder, points, bug)


def test_half_precision_is_read_exactly(page):
    every = np.arange(65536, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)]
    read = page.evaluate(
        f"(text) => {{ {BYTES} return Array.from(window.latent.floats(bytes(text), true)); }}",
        encoded(every),
    )
    assert np.array_equal(np.array(read), every.astype(np.float64))


def test_a_drawing_becomes_an_mnist_image(page):
    """Fits 20 x 20, centre of mass in the centre, soft edges; the same wherever and however large
    it was drawn.
    """

    def normalise(strokes):
        return np.array(
            page.evaluate("(strokes) => Array.from(window.latent.normalise(strokes))", strokes)
        ).reshape(28, 28)

    seven = [[0.2, 0.1], [0.8, 0.1], [0.4, 0.9]]
    x = normalise([seven])
    rows, columns = np.nonzero(x > 0.1)
    assert 18 <= np.ptp(rows) + 1 <= 21 and x.min() == 0 and x.max() == 1
    centre = (
        (x * (np.arange(28) + 0.5)).sum() / x.sum(),
        (x * (np.arange(28) + 0.5)[:, None]).sum() / x.sum(),
    )
    assert np.allclose(centre, 14, atol=0.1)
    grey = ((x > 0.05) & (x < 0.95)).sum() / (x > 0.05).sum()
    assert 0.2 < grey < 0.8  # MNIST: 0.57
    assert 30 < x.sum() < 160  # MNIST's 7: 90 on average, from 25 to 200
    small = normalise([[[0.55 + 0.4 * u, 0.5 + 0.4 * v] for u, v in seven]])
    assert np.abs(small - x).max() < 0.05
    assert normalise([[[0.5, 0.5]]]).sum() > 3  # one tap is a dot
