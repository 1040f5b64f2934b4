"""The handwriting widget's Python half: what it sends, what it refuses, and the static picture. The
other half is tested in tests/browser.
"""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from dgmcourse.densities import CategoricalConditional, GaussianConditional
from dgmcourse.models.semi_supervised_vae import M1M2, M2
from dgmcourse.models.vae import VAE
from dgmcourse.networks import Added
from dgmcourse.widgets.handwriting import handwriting, handwriting_picture, in_every_class
from dgmcourse.widgets.networks import export

X, Y = torch.rand(30, 784, generator=torch.Generator().manual_seed(1)), torch.arange(30) % 10


@pytest.fixture
def model():
    torch.manual_seed(2)
    return M2(latent_dim=3, hidden=7)


def run(layers, numbers, x):
    """The layers as networks.js runs them, in numpy."""
    for layer in layers:
        if layer["kind"] == "linear":
            weight = numbers[layer["weight"] :][: layer["out"] * layer["in"]]
            bias = numbers[layer["bias"] :][: layer["out"]]
            x = x @ weight.reshape(layer["out"], layer["in"]).T + bias
        elif layer["kind"] == "take":
            x = x[:, : layer["n"]]
        else:
            x = {
                "glu": lambda a: np.split(a, 2, -1)[0] / (1 + np.exp(-np.split(a, 2, -1)[1])),
                "softplus": lambda a: np.logaddexp(0, a),
                "softmax": lambda a: np.exp(a) / np.exp(a).sum(-1, keepdims=True),
                "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
            }[layer["kind"]](x)
    return x


def test_what_is_sent_is_the_three_networks(model):
    w = handwriting(model, X, Y, start=4)
    spec = w._spec
    assert (spec["classes"], spec["d"], spec["start"], spec["labels"]) == (10, 3, 4, Y.tolist())
    assert len(w._numbers) == spec["total"] and not spec["half"]
    numbers = np.frombuffer(w._numbers[slice(*spec["parts"]["weights"])], np.float32)
    labels, z = torch.eye(10)[Y], torch.randn(30, 3)
    with torch.no_grad():
        for name, given, expected in (
            ("classifier", X, model.encoder.y(X).mean),
            ("encoder", torch.cat([X, labels], 1), model.encoder.given_label(X, labels).mean),
            ("decoder", torch.cat([labels, z], 1), model.decoder(torch.cat([labels, z], 1)).mean),
        ):
            np.testing.assert_allclose(run(spec[name], numbers, given.numpy()), expected, atol=1e-4)
    digits = np.frombuffer(w._numbers[slice(*spec["parts"]["digits"])], np.uint8)
    assert np.array_equal(digits.reshape(30, 784), (X * 255).round().byte())


def test_shipped_weights_go_at_half_the_bytes(model):
    whole = handwriting(model, X, Y)
    half = handwriting(model.half().float(), X, Y)
    assert half._spec["half"] and len(half._numbers) < len(whole._numbers)


def test_the_model_and_the_notebooks_randomness_are_left_alone(model):
    model = model.double().train()
    before = torch.get_rng_state()
    handwriting(model, X, Y)
    assert model.training and next(model.parameters()).dtype == torch.float64
    assert torch.equal(torch.get_rng_state(), before)


def test_other_images_and_other_layers_are_refused(model):
    with pytest.raises(ValueError, match="28 x 28 pixels, the digits have 100"):
        handwriting(model, X[:, :100], Y)
    model.encoder.y.net.append(nn.Softmin(-1))
    with pytest.raises(TypeError, match="cannot run Softmin"):
        handwriting(model, X, Y)


def test_every_class_gets_the_same_z(model):
    written = in_every_class(model, X[:4], Y[:4])
    assert written.shape == (4, 10, 784)
    with torch.no_grad():
        z = model.encoder.given_label(X[2:3], torch.eye(10)[Y[2:3]]).mean
        for y in range(10):
            expected = model.given(y).decoder(z).mean[0]
            torch.testing.assert_close(written[2, y], expected)


def test_with_m1_below_the_code_is_classified_and_decoded():
    torch.manual_seed(4)
    m1, m2 = VAE(5, 6), M2(latent_dim=12, hidden=7, likelihood="gaussian", data_dim=5)
    model = M1M2(m1, m2)
    spec = handwriting(model, X, Y)._spec
    numbers = np.frombuffer(
        handwriting(model, X, Y)._numbers[slice(*spec["parts"]["weights"])], np.float32
    )
    with torch.no_grad():
        codes = m1.encoder(X).mean
        for name, given, expected in (
            ("to_code", X, codes),
            ("classifier", codes, m2.encoder.y(codes).mean),
            ("from_code", codes, m1.decoder(codes).mean),
        ):
            np.testing.assert_allclose(run(spec[name], numbers, given.numpy()), expected, atol=1e-4)
        spread = m2.encoder.given_label(codes, torch.eye(10)[Y]).mean.std(0)
        assert len(spec["sliders"]) == 8 and not {*spec["sliders"]} & {
            *spread.argsort()[:4].tolist()
        }
        z = m2.encoder.given_label(codes, torch.eye(10)[Y]).mean[3:4]
        written = m1.decoder(m2.given(7).decoder(z).mean).mean[0]
    torch.testing.assert_close(in_every_class(model, X, Y)[3, 7], written)


def test_a_first_layer_of_two_inputs_is_sent_as_one():
    torch.manual_seed(0)
    net = Added((3, 2), 4, nn.Sequential(nn.Tanh(), nn.Linear(4, 6)))
    layers, arrays = export(GaussianConditional(net), torch.randn(5, 5), offset=2)
    assert [layer["kind"] for layer in layers] == ["linear", "tanh", "linear", "take"]
    assert (layers[0]["in"], layers[0]["weight"], layers[0]["bias"]) == (5, 2, 22)
    weight = torch.cat([net.a.weight, net.b.weight], 1).detach()
    assert np.array_equal(arrays[0], weight.numpy().ravel())


def test_a_categorical_ends_in_a_softmax():
    layers, _ = export(CategoricalConditional(nn.Sequential(nn.Linear(2, 3))), torch.randn(4, 2))
    assert [layer["kind"] for layer in layers] == ["linear", "softmax"]


def test_the_picture_has_a_row_for_each_digit(model):
    fig = handwriting_picture(model, X[:3])
    assert len(fig.axes) == 9
    with torch.no_grad():
        q = model.encoder.y(X[1:2]).mean[0]
    heights = [bar.get_height() for bar in fig.axes[4].patches]
    np.testing.assert_allclose(heights, q, atol=1e-6)
    plt.close(fig)
