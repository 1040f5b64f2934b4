"""The traversal widget's Python half: what it sends, what it refuses, and the static grid. The
other half is tested in tests/browser.
"""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import traitlets
from torch import nn

from dgmcourse.densities import BernoulliConditional, GaussianConditional, StandardGaussian
from dgmcourse.models import VAE, ConvVAE, DensityNetwork, LatentVariableModel
from dgmcourse.models.gan import ImageGAN
from dgmcourse.networks import BatchNormRows
from dgmcourse.widgets.latent import LatentTraversal, export, latent_grid, latent_traversal

X, Y = torch.rand(60, 784, generator=torch.Generator().manual_seed(1)), torch.arange(60) % 10


def linear_model(spread, pixels=784):
    """An encoder whose k-th mean varies by `spread[k]` over the data, and a decoder for its codes."""
    d = len(spread)
    encoder = nn.Linear(pixels, 2 * d)
    encoder.weight.data.zero_()
    encoder.weight.data[range(d), range(d)] = torch.tensor(spread)
    decoder = BernoulliConditional(nn.Sequential(nn.Linear(d, pixels)))
    return LatentVariableModel(StandardGaussian(d), GaussianConditional(encoder), decoder)


def part(widget, name, dtype=np.float32):
    start, end = widget._spec["parts"][name]
    return np.frombuffer(widget._numbers[start:end], dtype)


def test_what_is_sent():
    model = VAE(5, hidden=20)
    w = latent_traversal(model, (X, Y))
    assert len(w._numbers) == w._spec["total"] and not w._spec["half"]
    weights = part(w, "weights")
    first = model.decoder.net[0]
    at = w._spec["decoder"][0]
    assert np.array_equal(
        weights[at["weight"] :][: first.weight.numel()], first.weight.detach().flatten()
    )
    last, at = model.encoder.net[-1], w._spec["encoder"][-2]  # before the one that takes the mean
    assert np.array_equal(
        weights[at["weight"] :][: last.weight.numel()], last.weight.detach().flatten()
    )
    assert np.allclose(part(w, "codes").reshape(60, 5), model.encoder(X).mean.detach(), atol=1e-6)
    assert np.array_equal(part(w, "digits", np.uint8).reshape(60, 784), (X * 255).round().byte())
    assert w._spec["labels"] == Y.tolist() and w.z == [0] * 5


def test_a_model_without_an_encoder_gets_the_posterior_means_and_no_paper():
    torch.manual_seed(0)
    model = DensityNetwork(2, hidden=8, samples=5)
    for p in model.decoder.parameters():
        p.data *= 0.3  # so that a posterior is wide enough to be had by sampling
    w = latent_traversal(model, (X, Y))
    assert w._spec["encoder"] is None and len(w._numbers) == w._spec["total"]
    assert w._numbers == latent_traversal(model, (X, Y))._numbers
    axis = torch.linspace(-6, 6, 121)
    z = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        x = (X > 0.5).float()
        joint = torch.stack([model.decoder(z).log_prob(row) for row in x]) + model.prior.log_prob(z)
    means = torch.softmax(joint, -1) @ z
    assert means.std(0).max() > 0.2  # they do differ
    assert np.allclose(part(w, "codes").reshape(60, 2), means, atol=0.1)


def test_a_gan_has_no_codes_of_digits_and_its_dimensions_stand_in_order_of_what_they_change():
    torch.manual_seed(0)
    model = ImageGAN(latent_dim=3, hidden=8)
    model.generator[0].weight.data *= torch.tensor([1.0, 0.0, 4.0])
    before = torch.get_rng_state()
    w = latent_traversal(model, (X, Y))
    assert torch.equal(torch.get_rng_state(), before)
    spec = w._spec
    assert (
        spec["encoder"] is None
        and spec["labels"] == []
        and spec["decoder"][-1] == {"kind": "sigmoid"}
    )
    assert (
        spec["order"] == [2, 0, 1]
        and w.dims == [0, 2]
        and spec["variance"][1] == 0
        and "picture" in spec["of"]
    )
    assert len(part(w, "codes")) == len(part(w, "digits")) == 0 and len(part(w, "prior")) == 300
    assert len(w._numbers) == spec["total"] and 3 <= spec["extent"] <= 5
    z = torch.zeros(50, 3)
    z[:, 2] = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0))[:50, 2]
    with torch.no_grad():
        assert np.allclose(spec["variance"][2], model.generator(z).var(0).sum(), rtol=1e-4)
    fig = latent_grid(model, (X, Y), n=5, rows=2)
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["$z_{3}$", "$z_{1}$"]
    plt.close(fig)


def test_half_precision_only_where_it_is_exact():
    assert latent_traversal(VAE(2, hidden=20).half().float(), (X, Y))._spec["half"]
    assert not latent_traversal(VAE(2, hidden=20), (X, Y))._spec["half"]
    large = VAE(2, hidden=20).half().float()
    large.decoder.net[0].weight.data[0, 0] = 1e6  # beyond float16
    assert not latent_traversal(large, (X, Y))._spec["half"]


@pytest.mark.parametrize("name", ["vae_2d", "vae_40d"])
def test_shipped_weights_go_at_half_the_bytes(name):
    w = latent_traversal(name, (X, Y))
    assert w._spec["half"] and len(w._numbers) < 2.5e6


def test_dimensions_stand_in_order_of_activity():
    w = latent_traversal(linear_model([1.0, 0.1, 3.0, 0.5]), (X, Y))
    assert w._spec["order"] == [2, 0, 3, 1] and w.dims == [0, 2]
    both = latent_traversal(linear_model([0.1, 3.0]), (X, Y))
    assert both._spec["order"] == [0, 1]


def test_the_model_and_the_notebooks_randomness_are_left_alone():
    model = VAE(3, hidden=20).double().train()
    before = torch.get_rng_state()
    latent_traversal(model, (X, Y))
    assert model.training and next(model.parameters()).dtype == torch.float64
    assert torch.equal(torch.get_rng_state(), before)


def test_z_and_dims_are_read_and_set():
    w = latent_traversal(VAE(3, hidden=20), (X, Y))
    w.z = torch.tensor([[0.5, -1.0, 2.0]])
    assert w.z == [0.5, -1.0, 2.0]
    for wrong in ([1.0, 2.0], [1.0, 2.0, float("nan")], torch.zeros(4)):
        with pytest.raises(traitlets.TraitError, match="z is a list of 3 finite numbers"):
            w.z = wrong
    w.dims = [2, 1]
    for wrong in ([0, 3], [0], [-1, 0]):
        with pytest.raises(traitlets.TraitError, match="dims are two"):
            w.dims = wrong


def test_a_page_loaded_again_gets_the_numbers_by_the_slice(monkeypatch):
    w = latent_traversal(VAE(3, hidden=20), (X, Y))
    assert w.comm is not None and w.get_state()["_numbers"] == b""
    sent = []
    monkeypatch.setattr(
        LatentTraversal, "send", lambda self, content, buffers: sent.append((content, *buffers))
    )
    for at in range(0, w._spec["total"], 10_000):
        w._handle_custom_msg({"at": at, "slice": 10_000}, [])
    assert b"".join(buffer for _, buffer in sent) == w._numbers
    assert sent[1][0]["at"] == 10_000


def test_data_without_labels_and_images_of_another_shape():
    assert latent_traversal(VAE(3, hidden=20), X)._spec["labels"] == []
    faces = VAE(3, hidden=20, likelihood="gaussian", data_dim=560)
    w = latent_traversal(faces, torch.rand(60, 560), shape=(28, 20))
    assert w._spec["encoder"] is None and w._spec["decoder"][-1] == {"kind": "take", "n": 560}


class Shifted(BernoulliConditional):
    def forward(self, given):
        return super().forward(given + 1)


@pytest.mark.parametrize(
    "model, data, error, words",
    [
        (ConvVAE(3), X, TypeError, "cannot run .* latent_grid"),
        (linear_model([1.0]), X, ValueError, "at least two latent dimensions"),
        (VAE(3, hidden=20), torch.rand(60, 100), ValueError, "expected vectors of 784"),
        (
            VAE(3, hidden=20, data_dim=100),
            torch.rand(60, 100),
            ValueError,
            "28 x 28, but the data have 100 pixels",
        ),
        (VAE(3, hidden=20), X * float("nan"), ValueError, "not finite"),
        (
            LatentVariableModel(StandardGaussian(3), VAE(3).encoder, Shifted(VAE(3).decoder.net)),
            X,
            TypeError,
            "does more",
        ),
    ],
    ids=[
        "convolution",
        "one dimension",
        "other pixels",
        "other shape",
        "not finite",
        "more than a net",
    ],
)
def test_what_cannot_be_shown_says_why(model, data, error, words):
    with pytest.raises(error, match=words):
        latent_traversal(model, data)


def test_export_follows_nested_nets_and_offsets():
    net = nn.Sequential(
        nn.Sequential(nn.Linear(2, 3, bias=False), nn.Tanh()), nn.Dropout(), nn.Linear(3, 4)
    ).eval()
    layers, arrays = export(BernoulliConditional(net), torch.randn(5, 2), offset=7)
    assert [layer["kind"] for layer in layers] == ["linear", "tanh", "linear", "sigmoid"]
    assert (layers[0]["weight"], layers[0]["bias"], layers[2]["weight"]) == (7, 13, 16)
    assert [len(array) for array in arrays] == [6, 3, 12, 4] and not arrays[1].any()


def trained_norm(kind, units, **options):
    """A batch normalisation as training leaves it: nothing at 0 or 1."""
    norm = kind(units, **options).eval()
    for tensor in norm.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(units) + 0.5)
    return norm


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, BatchNormRows])
@pytest.mark.parametrize("options", [{}, {"affine": False}, {"eps": 0.3}], ids=str)
def test_a_trained_batch_normalisation_goes_as_a_factor_and_a_shift(kind, options):
    torch.manual_seed(0)
    norm = trained_norm(kind, 4, **options)
    net = nn.Sequential(nn.Linear(2, 4), norm, nn.ReLU(), nn.Linear(4, 3)).eval()
    given = torch.randn(5, 2)
    layers, arrays = export(BernoulliConditional(net), given)
    assert [layer["kind"] for layer in layers] == ["linear", "affine", "relu", "linear", "sigmoid"]
    sizes = [len(array) for array in arrays]  # none of the normalisation's
    assert layers[3]["weight"] == 12 and sizes == [8, 4, 12, 3]
    with torch.no_grad():
        x = net[0](given)
        assert torch.allclose(
            x * torch.tensor(layers[1]["scale"]) + torch.tensor(layers[1]["shift"]),
            norm(x),
            atol=1e-6,
        )


def test_a_bidirectional_gan_is_taken_as_it_is_at_half_the_bytes():
    w = latent_traversal("bigan", (X, Y))
    kinds = ["linear", "affine", "relu"] * 2 + ["linear"]
    assert [layer["kind"] for layer in w._spec["decoder"]] == [*kinds, "sigmoid"]
    assert [layer["kind"] for layer in w._spec["encoder"]] == kinds
    assert w._spec["half"] and len(w._numbers) < 3.5e6


def test_a_batch_normalisation_that_keeps_nothing_cannot_be_run_for_one_code():
    net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4, track_running_stats=False)).eval()
    with pytest.raises(TypeError, match="cannot run BatchNorm1d"):
        export(BernoulliConditional(net), torch.randn(5, 2))


def test_grid_of_the_plane_has_the_second_dimension_upwards():
    model = linear_model([1.0, 1.0])
    decoder = model.decoder.net[0]
    decoder.weight.data.zero_()
    decoder.bias.data.zero_()
    decoder.weight.data[:, 1] = 1  # brightness is sigmoid(z[1])
    fig = latent_grid(model, (X, Y), n=4)
    picture = fig.axes[0].images[0].get_array()
    quantiles = torch.special.ndtri(torch.tensor([0.875, 0.625, 0.375, 0.125])).sigmoid()
    assert np.allclose(picture[14::28, 14::28], quantiles[:, None].expand(4, 4), atol=1e-6)
    plt.close(fig)


def test_grid_of_many_dimensions_has_a_row_for_each_of_the_most_active():
    model = linear_model([1.0, 0.1, 3.0, 0.5])
    fig = latent_grid(model, (X, Y), n=5, rows=3)
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == [
        "$z_{3}$",
        "$z_{1}$",
        "$z_{4}$",
    ]
    with torch.no_grad():
        expected = model.decoder(torch.tensor([[0.0, 0.0, 1.5, 0.0]])).mean.reshape(28, 28)
    assert np.allclose(fig.axes[0].images[0].get_array()[:28, 84:112], expected)
    plt.close(fig)


def test_grid_draws_a_convolutional_model_too():
    fig = latent_grid(ConvVAE(3).train(), (X, Y))
    assert fig.axes[0].images[0].get_array().shape == (3 * 28, 13 * 28)
    plt.close(fig)
