"""The page on GPUs: up to date, and its counting against models whose operations are known."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dgmcourse import recipes, weights
from dgmcourse.models.dcgan import DCGAN
from dgmcourse.networks import MaskedConv2d, pixel_mask
from dgmcourse.play import Players

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("gpu_cost", ROOT / "tools" / "gpu_cost.py")
gpu_cost = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gpu_cost)
FOUND = json.loads(gpu_cost.COUNTS.read_text())
SETTINGS = {"batch_size": 4}


class Squares(nn.Module):
    """-|f(x)|^2, of which the backward pass needs f(x)."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def objective(self, x, beta):
        return -self.f(x).flatten(1).square().sum(1), {}


class LastState(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.rnn = nn.GRU(*sizes, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0][:, -1]


def of(f, *shape):
    return gpu_cost.count(Squares(f), (torch.randn(4, *shape),), SETTINGS)


def test_the_page_is_what_the_counts_and_headers_say():
    assert gpu_cost.PAGE.read_text(encoding="utf-8") == gpu_cost.text(FOUND), (
        "docs/gpu.md is out of date: python tools/gpu_cost.py"
    )


def test_every_recipe_is_counted_as_it_is_now():
    counted = {name: step for name, step in FOUND["recipes"].items() if name != gpu_cost.DECODER}
    assert counted.keys() == recipes.all_recipes().keys()
    for name, recipe in recipes.all_recipes().items():
        step, settings = counted[name], recipe.settings
        assert step["parameters"] == gpu_cost.size_of(weights.build(recipe.model)), name
        assert step["batch"] == settings["batch_size"]
        assert step["mixed"] == settings.get("mixed_precision", False)
        assert weights.card(name)["data"].startswith(f"{step['examples']:,} training")


@pytest.mark.parametrize("name", ["vae_40d", "vamp_conv_hvae", "pixelcnn", "dcgan", "chorale_rnn"])
def test_a_recipe_is_counted_again(name):
    recipe, expected = recipes.recipe(name), FOUND["recipes"][name]
    if name.startswith("chorale"):
        model, batch, settings, game, _ = gpu_cost.setting(name)
    else:  # digits are not everywhere
        model, settings, game = weights.build(recipe.model), recipe.settings, recipe.game
        batch = (torch.rand(settings["batch_size"], 784).round(),)
    found = gpu_cost.count(model, batch, settings, game)
    assert found.products == expected["products"]
    assert found.live == pytest.approx(expected["live"], rel=0.1)  # other versions of torch
    assert found.operations == pytest.approx(expected["operations"], rel=0.1)


def test_linear_layers():
    """Each product of 4 rows: forward, for the weight, and for the input of the second."""
    found = of(nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3)), 7)
    assert found.products == 2 * 4 * (2 * 7 * 5 + 3 * 5 * 3)
    assert found.live == 4 * 4 * (7 + 5 + 3)  # each float, of x and of both layers, once


def test_what_two_operations_keep_is_kept_once():
    """The sigmoid keeps what it returns, and the square what it is given."""
    assert of(nn.Sequential(nn.Linear(7, 5), nn.Sigmoid()), 7).live == 4 * 4 * (7 + 5)


def test_masked_convolutions():
    """The mask's rows 0 and 1 of 3 are computed; the first one's input needs no gradient."""
    first, second = (MaskedConv2d(i, o, pixel_mask(3, "B")) for i, o in ((2, 5), (5, 3)))
    found = of(nn.Sequential(first, second), 2, 8, 6)
    rows = 4 * 8 * 6 * first.weight[0, 0].numel()
    assert first.weight.shape[2:] == (2, 3)
    assert found.products == 2 * rows * (2 * 2 * 5 + 3 * 5 * 3)


def test_a_recurrent_layer_is_one_operation_each_way():
    """Of T steps, each has six products, with the input and with the state. Neither the first input
    nor the first state needs a gradient.
    """
    i, h = 3, 7
    short, long = (of(LastState(i, h), T, i) for T in (5, 50))
    assert short.operations == long.operations < 60
    for found, T in ((short, 5), (long, 50)):
        assert found.products == 2 * 4 * 3 * h * (2 * T * i + (3 * T - 1) * h)


def test_an_operation_counts_and_a_view_does_not():
    plain = of(nn.Linear(6, 6), 6)
    viewed = of(nn.Sequential(nn.Linear(6, 6), nn.Unflatten(1, (2, 3)), nn.Flatten()), 6)
    rectified = of(nn.Sequential(nn.Linear(6, 6), nn.ReLU()), 6)
    assert viewed == plain
    assert rectified.operations == plain.operations + 2  # forward and backward
    assert rectified.products == plain.products


def test_a_layer_more_is_four_operations_more():
    """Forward, its weight, its bias, and the next one's input. Adam is one for all, and its averages
    are there from the first step.
    """
    more = of(nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6)), 6)
    assert more.operations == of(nn.Linear(6, 6), 6).operations + 4


def test_both_players_of_a_game_are_counted():
    x = torch.rand(4, 784)
    with FlopCounterMode(display=False) as expected:
        players = Players(DCGAN(3, 4))
        players.discriminator_step(x)
        players.generator_step(x)
    found = gpu_cost.count(DCGAN(3, 4), (x,), SETTINGS, game=True)
    assert found.products == expected.get_total_flops()


def test_a_product_without_a_formula_is_refused():
    class Row(nn.Linear):
        def forward(self, x):
            return x @ self.weight[0]

    with pytest.raises(NotImplementedError, match="no formula for the operations of aten.mv"):
        of(Row(3, 2), 3)


def test_a_bound_is_the_slowest_of_launches_products_and_memory():
    gpu = gpu_cost.GPU("one", 1e12, 2e12, 4e12, 1e9, 1e6, "")
    step = {"parameters": 1e6, "live": 5e6, "products": 8e9, "operations": 100, "mixed": True}
    found = gpu_cost.bounds(step, gpu)
    assert found == pytest.approx({"launches": 5e-4, "products": 2e-3, "memory": 32e-3})
    assert gpu_cost.least(step, gpu) == found["memory"]
    assert not gpu_cost.bound_by_launches(step, gpu)
    small = step | {"parameters": 10, "live": 10, "mixed": False}
    assert gpu_cost.bounds(small, gpu) == pytest.approx(
        {"launches": 5e-4, "products": 4e-3, "memory": 0}
    )


def test_the_papers_decoder_is_counted_and_bound_as_the_page_says():
    decoder = FOUND["recipes"][gpu_cost.DECODER]
    bounds = [gpu_cost.bounds(decoder, gpu) for gpu in gpu_cost.GPUS]
    assert [max(b, key=b.get) for b in bounds] == ["products"] * 3 + ["launches"]
    pixels, channels = decoder["batch"] * 28 * 28, 64
    forward = 9 * 2 * channels * (1 + 3 * channels) + channels
    backward = 2 * forward - 9 * 2 * channels  # its input needs no gradient here
    assert decoder["products"] == 2 * pixels * (forward + backward)
