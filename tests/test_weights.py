"""Weights: rounding, damage, and that a file builds a model of the course and runs nothing else."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dgmcourse import weights
from dgmcourse.models import VAE
from dgmcourse.models.gated_pixelcnn import GatedPixelNet
from dgmcourse.models.pixelcnn import PixelCNN

TINY = weights.constructor(VAE, latent_dim=2, hidden=8, data_dim=9)


@pytest.fixture
def write(monkeypatch, tmp_path):
    """Writes a tiny VAE as the weight "tiny", with this in its header."""
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path / "weights")
    tensors = weights.packed(weights.build(TINY).state_dict())
    path = weights.WEIGHTS / "tiny.safetensors"
    return lambda model=TINY, **facts: weights.write(tensors, {"model": model} | facts, path)


# ---- a constructor, and what it may name


def test_a_constructor_is_plain_data_and_builds_the_model():
    nested = weights.constructor(PixelCNN, net=weights.constructor(GatedPixelNet, width=3))
    assert nested == {
        "class": "pixelcnn:PixelCNN",
        "arguments": {"net": {"class": "gated_pixelcnn:GatedPixelNet", "arguments": {"width": 3}}},
    }
    torch.manual_seed(3)
    built = weights.build(nested).state_dict()
    torch.manual_seed(3)
    direct = PixelCNN(GatedPixelNet(width=3)).state_dict()
    assert built.keys() == direct.keys() and all(torch.equal(built[k], direct[k]) for k in built)


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "evil:Evil",
        "vae:nn",
        "vae:pixels",  # a function
        "vae:LatentVariableModel",  # defined in another file
        "vae:LIKELIHOODS",
        "vae:",
        "vae",
        ":VAE",
        "vae.VAE",
        "models.vae:VAE",
        ".vae:VAE",
        "..densities:BernoulliConditional",
        "/tmp/evil:Evil",
        "no_such_model:Model",
        "vae:VAE.objective",
    ],
)
def test_a_file_that_names_anything_but_a_model_is_refused(name, write, monkeypatch, tmp_path):
    """On its own, and deep within a model; no module outside is even imported."""
    (tmp_path / "evil.py").write_text("raise SystemExit('code from a weight was run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    bad = {"class": name, "arguments": {}}
    for model in (bad, weights.constructor(PixelCNN, net=bad)):
        write(model)
        with pytest.raises(ValueError, match="no model of dgmcourse.models") as error:
            weights.load("tiny")
        assert repr(name) in str(error.value) and "\n" not in str(error.value)
    assert "evil" not in sys.modules


@pytest.mark.parametrize(
    "model",
    [
        weights.constructor(VAE, latent_dim=3, hidden=8, data_dim=9),  # other shapes
        weights.constructor(VAE, latent_dim=2, hidden=8, data_dim=9, depth=3),  # no such argument
        weights.constructor(VAE, likelihood="poisson"),
        {"class": "vae:VAE"},
        "vae:VAE",
    ],
)
def test_a_header_that_does_not_fit_its_parameters_is_refused(model, write):
    write(model)
    with pytest.raises(ValueError, match="tiny.safetensors is damaged") as error:
        weights.load("tiny")
    assert "\n" not in str(error.value)


def test_loading_leaves_random_numbers_alone(write):
    write()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    weights.load("tiny")
    assert torch.equal(torch.rand(2), expected)


def test_loading_needs_no_recipe_and_no_training():
    code = "import sys; from dgmcourse import load; load('pixelcnn'); print(*sys.modules)"
    run = [sys.executable, "-c", code]
    ran = subprocess.run(
        run, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    ours = {name for name in ran.stdout.split() if name.startswith("dgmcourse.")}
    assert "dgmcourse.models.pixelcnn" in ours
    others = ("recipes", "measure", "train", "play", "data", "studies", "models.gan")
    assert not [name for name in ours if name.removeprefix("dgmcourse.").startswith(others)]


def test_what_is_not_there_says_how_to_make_it(write):
    write()
    with pytest.raises(FileNotFoundError, match="python -m dgmcourse train vae_3d makes it") as no:
        weights.load("vae_3d")
    assert str(no.value).endswith("There are: tiny")
    with pytest.raises(FileNotFoundError, match="python -m dgmcourse.studies no_such makes it"):
        weights.study("no_such")


# ---- the bytes


def test_eight_bits_round_each_block_to_its_own_scale():
    """Against quantising number by number in numpy; vectors, zeros, very small and very unequal
    numbers among them.
    """
    generator = torch.Generator().manual_seed(1)
    parameters = {
        "matrix": torch.randn(7, 13, generator=generator) * torch.logspace(-3, 2, 7)[:, None],
        "block": torch.randn(2, 32, generator=generator),
        "image": torch.randn(3, 2, 5, 5, generator=generator),
        "zeros": torch.zeros(4, 20),
        "vector": torch.randn(9, generator=generator),
    }
    tensors = weights.packed(parameters, 8)
    back = weights.unpacked(tensors)
    assert back.keys() == parameters.keys() and all(p.dtype == torch.float32 for p in back.values())
    assert (
        torch.equal(back["vector"], parameters["vector"].half().float()) and not back["zeros"].any()
    )
    for name in ("matrix", "block", "image"):
        assert tensors[name].dtype == torch.int8 and back[name].shape == parameters[name].shape
        flat, seen = parameters[name].numpy().ravel(), back[name].numpy().ravel()
        for at in range(0, len(flat), 32):
            part = flat[at : at + 32]
            scale = np.float32(np.float16(np.abs(part).max() / 127))
            whole = np.clip(np.round(part / scale), -127, 127)
            np.testing.assert_allclose(seen[at : at + 32], whole * scale, rtol=1e-6)
            assert (
                np.abs(seen[at : at + 32] - part).max() <= 0.5 * scale + 1e-3 * np.abs(part).max()
            )
    whole = weights.packed(parameters)
    assert all(
        torch.equal(p, parameters[name].half().float())
        for name, p in weights.unpacked(whole).items()
    )


@pytest.mark.parametrize("bits", [8, 16])
def test_channels_last_in_memory_are_as_others_in_the_file(bits):
    image = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(1))
    plain = weights.packed({"image": image}, bits)
    last = weights.packed({"image": image.to(memory_format=torch.channels_last)}, bits)
    for name, values in last.items():
        assert values.is_contiguous() and torch.equal(values, plain[name])


def test_no_damage_goes_unnoticed(write):
    """One byte flipped, anywhere among the parameters or in what describes them; or the end
    missing.
    """
    path = write(about="a tiny VAE")
    whole = path.read_bytes()
    good = weights.load("tiny").state_dict()
    header = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    for at in [*range(0, header, 3), *range(header, len(whole), 97), len(whole) - 1]:
        for flip in (1, 128):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            try:
                loaded = weights.load("tiny").state_dict()
            except ValueError as error:
                refused += 1
                assert "tiny.safetensors is damaged" in str(error) and "\n" not in str(error)
            else:
                assert at < header and all(torch.equal(loaded[k], v) for k, v in good.items())
    assert refused > 100
    for part in (b"", whole[:5], whole[:header], whole[:-1]):
        path.write_bytes(part)
        with pytest.raises(ValueError, match="is damaged"):
            weights.load("tiny")
    path.write_bytes(whole)
    assert all(torch.equal(weights.load("tiny").state_dict()[k], v) for k, v in good.items())
