"""The game of two players: what the loop promises, and each oracle against loops that break the
promise.
"""

import contextlib
import copy
import io
import itertools
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import pytest
import torch
from oracles import close, survives
from torch import nn

from dgmcourse import loop, optim, play
from dgmcourse.data.images import Data
from dgmcourse.data.toy import ring_of_gaussians
from dgmcourse.densities import Density, StandardGaussian
from dgmcourse.models.auxiliary_classifier_gan import AuxiliaryClassifierGAN
from dgmcourse.models.bidirectional_gan import BidirectionalGAN
from dgmcourse.models.dcgan import DCGAN
from dgmcourse.models.gan import GAN, ImageGAN, leaky
from dgmcourse.models.vae import VAE
from dgmcourse.models.wasserstein_autoencoder import AdversarialWAE
from dgmcourse.models.wasserstein_gan import WassersteinGAN
from dgmcourse.networks import mlp

pytestmark = pytest.mark.usefixtures("float64")

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()


def seeded(make, seed=1):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def tiny(seed=1):
    return seeded(lambda: GAN(StandardGaussian(2), mlp([2, 6, 2]), mlp([2, 6, 1], leaky)), seed)


def busy(seed=1):
    """Everything that has a state or draws at random: batch normalisation, power iteration, units
    left out.
    """
    return seeded(
        lambda: GAN(
            StandardGaussian(2),
            mlp([2, 6, 9], batch_norm=True),
            mlp([9, 6, 1], leaky, spectral=True, dropout=0.2),
        ),
        seed,
    )


def digits(n=37, seed=5):
    """Tiny images as bytes, binarised at every visit: the loop's own randomness has work to do."""
    generator = torch.Generator().manual_seed(seed)
    return Data(
        torch.randint(0, 256, (n, 9), generator=generator).to(torch.uint8), binarise="dynamic"
    )


class Scripted(nn.Module):
    """Each side climbs one number, whatever x is; what is asked of it is written down, and a script
    may spoil it.
    """

    def __init__(self, script=None):
        super().__init__()
        self.discriminator = nn.Module()
        self.discriminator.theta, self.theta = (
            nn.Parameter(torch.zeros(())),
            nn.Parameter(torch.zeros(())),
        )
        self.script, self.turns, self.given = script or {}, [], []

    def turn(self, name, theta, x, *labels):
        assert not labels, "nobody asked for labels"
        self.turns.append(name)
        self.given.append(x)
        value = theta + torch.full(x.shape[:-1], float(len(self.turns)))
        value = self.script.get(len(self.turns), lambda value: value)(value)
        return value, {name: value.detach()}

    def discriminator_objective(self, *x):
        return self.turn("discriminator", self.discriminator.theta, *x)

    def generator_objective(self, *x):
        assert not self.discriminator.theta.requires_grad and self.training
        return self.turn("generator", self.theta, *x)

    def constrain(self):
        self.turns.append("constrain")


class Labelled(Scripted):
    """Each x has its label written in it."""

    labelled = True

    def turn(self, name, theta, x, y):
        assert y.shape == x.shape[:1] and torch.equal(x[:, 0], y.double()), (
            "labels of other examples"
        )
        return super().turn(name, theta, x)


class Decided(Density):
    """Draws that are decided beforehand, handed out in order: x of shape (steps, ..., D)."""

    def __init__(self, x):
        self.x, self.given = x, 0

    def log_prob(self, x):
        raise NotImplementedError

    def sample(self, shape=()):
        self.given += 1
        assert self.x[self.given - 1].shape[:-1] == tuple(shape)
        return self.x[self.given - 1]


class Codes(Decided, nn.Module):
    """The same as a prior."""

    def __init__(self, z):
        nn.Module.__init__(self)
        Decided.__init__(self, z)


def same(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(p, q) for p, q in pairs)


def finite(game):
    return all(p.isfinite().all() for p in game.parameters())


def raising(error):
    def spoil(value):
        raise error

    return spoil


def quietly(function, *given, **settings):
    """What the function returns, and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        return function(*given, **settings), out.getvalue()


quiet = {"progress": False, "batch_size": 10}

# --- oracles -------------------------------------------------------------------------------------


def check_steps_by_hand(play):
    """Both players' steps are torch.optim's, up each one's own objective; a gradient that the
    discriminator's objective should have kept from the generator does no harm.
    """

    class Leaking(GAN):
        def make(self, x):
            with torch.enable_grad():
                return super().make(x)

    x = torch.randn(7, 2) + 1
    for name, optimiser in (
        ("adam", lambda p, lr: torch.optim.Adam(p, lr, betas=(0.5, 0.999))),
        ("rmsprop", torch.optim.RMSprop),
    ):
        for kind in (GAN, Leaking):
            ours = tiny()
            ours.__class__ = kind
            theirs = copy.deepcopy(ours)
            players = play.Players(ours, (0.03, 0.02), name)
            for_d = optimiser(theirs.discriminator.parameters(), 0.03)
            for_g = optimiser(theirs.generator.parameters(), 0.02)
            for step in range(3):
                for mine, side, objective, by_hand in (
                    (
                        players.discriminator_step,
                        theirs.discriminator,
                        theirs.discriminator_objective,
                        for_d,
                    ),
                    (players.generator_step, theirs.generator, theirs.generator_objective, for_g),
                ):
                    torch.manual_seed(step)
                    parts = mine(x)
                    torch.manual_seed(step)
                    value, expected = objective(x)
                    gradients = torch.autograd.grad(-value.mean(), list(side.parameters()))
                    for p, gradient in zip(side.parameters(), gradients, strict=True):
                        p.grad = gradient
                    by_hand.step()
                    assert parts.keys() == expected.keys()
                    for key in expected:
                        close(parts[key], expected[key])
                    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
                        close(p, q)


def check_each_side_moves_alone(play):
    game, x = tiny(), torch.randn(7, 2)
    players = play.Players(game, 0.01)
    before = copy.deepcopy(game)
    players.discriminator_step(x)
    assert same(game.generator, before.generator) and not same(
        game.discriminator, before.discriminator
    )
    assert all(p.grad is None for p in game.generator.parameters())
    before, kept = copy.deepcopy(game), [p.grad.clone() for p in game.discriminator.parameters()]
    players.generator_step(x)
    assert same(game.discriminator, before.discriminator) and not same(
        game.generator, before.generator
    )
    for p, gradient in zip(game.discriminator.parameters(), kept, strict=True):
        assert p.grad is not None and torch.equal(p.grad, gradient), (
            "a gradient in the discriminator that nobody needs"
        )
    assert all(p.requires_grad for p in game.parameters())


def check_frozen(play):
    """No gradient in there, the old state afterwards: after an error, too, and of what was frozen
    before.
    """
    learns, rests = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()), requires_grad=False)
    for error in (None, KeyboardInterrupt):
        with contextlib.suppress(KeyboardInterrupt), play.frozen([learns, rests]):
            assert not learns.requires_grad and not rests.requires_grad
            if error:
                raise error
        assert learns.requires_grad and not rests.requires_grad


def check_turns(play):
    """Every batch a turn of the discriminator, then its constraint; after each third the
    generator's, over the epochs' ends, at the same batch.
    """
    game = Scripted()
    history = play.play(game, torch.randn(25, 2), epochs=3, discriminator_steps=4, **quiet)
    turn = ["discriminator", "constrain"]
    assert game.turns == (turn * 4 + ["generator"]) * 2 + turn
    fourth, eighth = game.given.pop(4), game.given.pop(8)
    assert torch.equal(fourth, game.given[3]) and torch.equal(eighth, game.given[7])
    assert [len(x) for x in game.given] == [10, 10, 5] * 3
    assert [len(torch.cat(game.given[at : at + 3]).unique(dim=0)) for at in (0, 3, 6)] == [25] * 3
    assert [row["epoch"] for row in history.epochs] == [1, 2, 3] and history.stopped == "finished"
    assert not game.training and all(row["seconds"] >= 0 for row in history.epochs)


def check_ends(play):
    """`epochs`, or `steps` alone, or what ends first; of a Density `steps`."""
    x = torch.randn(25, 2)
    for settings, expected in (
        ({}, 3),
        ({"epochs": 2}, 6),
        ({"steps": 2}, 2),
        ({"steps": 8}, 8),
        ({"steps": 8, "epochs": 2}, 6),
        ({"steps": 5, "epochs": 2}, 5),
        ({"steps": 6}, 6),
    ):
        game = Scripted()
        play.play(game, x, **settings, **quiet)
        assert game.turns.count("discriminator") == game.turns.count("generator") == expected, (
            settings,
            expected,
        )
    game = Scripted()
    history = play.play(game, ring_of_gaussians(), steps=7, progress=False, batch_size=(4, 5))
    assert game.turns.count("generator") == 7 and len(history.epochs) == 1
    assert {tuple(x.shape) for x in game.given} == {(4, 5, 2)} and not torch.equal(
        game.given[0], game.given[2]
    )


def check_learning_rates(play):
    """Where the gradient never changes, each step of Adam has the size of the learning rate: one
    for each side.
    """
    for lr, expected in ((0.1, (0.1, 0.1)), ((0.1, 0.02), (0.1, 0.02)), ([0.3, 0.1], (0.3, 0.1))):
        game = Scripted()
        play.play(game, torch.zeros(20, 1), steps=6, discriminator_steps=2, lr=lr, **quiet)
        close(
            [game.discriminator.theta.item(), game.theta.item()],
            [6 * expected[0], 3 * expected[1]],
            rtol=1e-6,
        )


def check_averages(play):
    """A row for every window, in which both have had a turn: each part averaged over its own
    turns.
    """
    game = Scripted()  # its n-th turn has the value n: with lr 0, at constrain's turns, too
    with mock.patch.object(play, "CURVE_POINTS", 2):
        history = play.play(
            game, torch.zeros(40, 1), steps=14, discriminator_steps=3, lr=0.0, **quiet
        )
    assert [row["step"] for row in history.steps] == [6, 12]  # 14 // 2 = 7 is no whole round
    values = [n for n, turn in enumerate(game.turns) if turn != "constrain"]
    values = {
        turn: [n + 1 for n in values if game.turns[n] == turn]
        for turn in ("discriminator", "generator")
    }
    mean = lambda values: sum(values) / len(values)  # noqa: E731
    d, g = values["discriminator"], values["generator"]
    close([row["discriminator"] for row in history.steps], [mean(d[:6]), mean(d[6:12])])
    close([row["generator"] for row in history.steps], [mean(g[:2]), mean(g[2:4])])
    history = play.play(Scripted(), torch.zeros(40, 1), steps=20, discriminator_steps=5, **quiet)
    assert all("generator" in row for row in history.steps) and len(history.steps) == 4


def check_repeatable(play, device="cpu"):
    """The seed alone decides, whatever was drawn before; and what is drawn afterwards does not
    depend on the game.
    """
    for train, make, settings in (
        (digits(), busy, {"epochs": 2}),
        (ring_of_gaussians(), tiny, {"steps": 6, "optimiser": "rmsprop"}),
    ):
        games = []
        for outside, seed in ((7, 0), (8, 0), (7, 1)):
            torch.manual_seed(outside)
            expected = torch.rand(3), torch.rand(3, device=device)
            torch.manual_seed(outside)
            games.append(make())
            play.play(games[-1], train, seed=seed, device=device, **settings, **quiet)
            assert torch.equal(torch.rand(3), expected[0]) and torch.equal(
                torch.rand(3, device=device), expected[1]
            )
            assert {p.device.type for p in games[-1].parameters()} == {torch.device(device).type}
        assert same(games[0], games[1]) and not same(games[0], games[2])


def check_live_changes_nothing(play):
    """What is drawn at random in between, and by networks in evaluation mode, leaves no trace."""

    def live(game, history):
        calls.append(history)
        assert not game.training and game.sample(5).shape == (5, 9)
        game.logit(game.sample(5))
        torch.manual_seed(3)

    calls, games = [], [busy(), busy()]
    play.play(games[0], digits(), epochs=2, **quiet)
    clock = (
        7.0**k for k in itertools.count()
    )  # at each look it is later by far than at the one before
    with mock.patch.object(time, "perf_counter", clock.__next__):
        history = play.play(games[1], digits(), epochs=2, live=live, **quiet)
    assert len(calls) == 8 + 1 and calls[-1] is history and not games[1].training
    assert same(*games)


def check_resume(play, device="cpu"):
    """Interrupted in the middle of an epoch, going on gives bit for bit what the unbroken game
    gives.
    """
    data = digits(40)
    for optimiser in ("adam", "rmsprop"):
        settings = quiet | {
            "epochs": 7,
            "discriminator_steps": 3,
            "lr": (0.03, 0.02),
            "optimiser": optimiser,
            "seed": 3,
            "device": device,
        }
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(play, "CURVE_POINTS", 4):
            unbroken, state = busy(), Path(folder, "runs", "state.pt")
            expected = play.play(unbroken, data, **settings)
            assert [row["step"] for row in expected.steps] == [
                6,
                12,
                18,
                24,
            ]  # of 28; an epoch has 4

            broken, left = busy(), 10  # in the middle of the third epoch

            def interrupting(x, broken=broken):
                nonlocal left
                left -= 1
                if left < 0:
                    raise KeyboardInterrupt
                return GAN.discriminator_objective(broken, x)

            broken.discriminator_objective = interrupting
            history = play.play(broken, data, checkpoint=state, **settings)
            assert (
                history.stopped == "interrupted"
                and len(history.epochs) == 2
                and not broken.training
            )
            went_on = busy(seed=99)
            torch.manual_seed(4)
            history = play.play(went_on, data, checkpoint=state, resume=True, **settings)
            assert same(went_on, unbroken), "other parameters"
            assert history.steps == expected.steps, "another running curve"
            assert [row["epoch"] for row in history.epochs] == list(
                range(1, 8)
            ) and history.stopped == "finished"


def check_going_on(play):
    """What is finished is not repeated; with more epochs it goes on as if it had never stopped."""
    with tempfile.TemporaryDirectory() as folder:
        for train, first, more in (
            (digits(), {"epochs": 2}, {"epochs": 4}),
            (digits(), {"steps": 6}, None),  # in the middle of an epoch of 4
            (Decided(torch.randn(9, 10, 9)), {"steps": 9}, None),
        ):
            state = Path(folder, f"{len(list(Path(folder).iterdir()))}.pt")
            settings = quiet | {"checkpoint": state}
            game, again, unbroken = busy(), busy(9), busy()
            play.play(game, train, **first, **settings)
            history = play.play(again, train, resume=True, **first, **settings)
            assert same(game, again) and history.stopped == "finished"
            if more:
                play.play(again, train, resume=True, **more, **settings)
                play.play(unbroken, train, **more, **quiet)
                assert same(again, unbroken)


def check_other_settings(play):
    """A state of another game is refused: it would go on to numbers nobody gets by one game."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder, "state.pt")
        settings = quiet | {"epochs": 1, "checkpoint": state}
        play.play(busy(), digits(), **settings)
        for other in (
            {"lr": 0.1},
            {"seed": 4},
            {"optimiser": "rmsprop"},
            {"discriminator_steps": 2},
            {"batch_size": 20},
            {"mixed_precision": True},
            {"epochs": None, "steps": 6},
        ):
            try:
                play.play(busy(), digits(), resume=True, **(settings | other))
            except ValueError as error:
                assert "state.pt was written with" in str(error) and str(error).endswith(
                    ": remove it"
                )
            else:
                raise AssertionError(f"goes on with {other}")
        play.play(busy(), digits(), **(settings | {"lr": 0.1}))  # not resumed: started anew


def check_interruption(play):
    """The Stop button, in either one's turn: no error, the history so far, a game that is ready to
    use and to go on.
    """
    for turn, thetas in (
        (13, (0.4, 0.4)),
        (15, (0.5, 0.4)),
    ):  # the discriminator's and the generator's fifth
        game = Scripted({turn: raising(KeyboardInterrupt)})
        history = play.play(game, torch.zeros(20, 1), epochs=9, lr=0.1, **quiet)
        assert (history.stopped, len(history.epochs), len(history.steps)) == ("interrupted", 2, 4)
        close([game.discriminator.theta.item(), game.theta.item()], thetas, rtol=1e-6)
        assert not game.training and all(p.requires_grad for p in game.parameters())
        game.script = {}
        assert play.play(game, torch.zeros(20, 1), epochs=1, **quiet).stopped == "finished"


def check_divergence(play):
    """Caught, said in one line, and nothing that is not finite gets into the parameters: at a
    value, and at a slope.
    """
    steep = lambda value: value + torch.sqrt(value - value.detach())  # noqa: E731  # sqrt at 0
    for spoil, message in (
        (lambda value: value * math.nan, "the objective is nan"),
        (steep, "the gradient's norm is "),
    ):
        for turn, thetas in ((10, (0.3, 0.3)), (12, (0.4, 0.3))):  # the fourth step
            game, calls = Scripted({turn: spoil}), []
            live = lambda game, history: calls.append(history.stopped)  # noqa: B023, E731
            history, said = quietly(
                play.play, game, torch.zeros(20, 1), epochs=9, lr=0.1, live=live, **quiet
            )
            assert history.stopped.startswith(f"diverged at step 4: {message}"), history.stopped
            assert (
                said.startswith(f"The game {history.stopped}. ")
                and said.count("\n") == 1
                and said.endswith(".\n")
            )
            assert (
                len(history.steps) == 3
                and len(history.epochs) == 1
                and calls[-1] == history.stopped
            )
            close([game.discriminator.theta.item(), game.theta.item()], thetas, rtol=1e-6)
            assert not game.training and all(p.requires_grad for p in game.parameters())


COPIES = 20


def many_and_alone(play, optimiser, clip=None, spectral=False, steps=12):
    """Twenty games in one, and each of them by itself: the same initial weights, data and codes."""
    x, z = 2 * torch.randn(steps, COPIES, 5, 2) + 1, torch.randn(2 * steps, COPIES, 5, 3)

    def make(copies, z):
        networks = (
            mlp([3, 6, 2], copies=copies),
            mlp([2, 6, 1], leaky, copies=copies, spectral=spectral),
        )
        if clip or spectral:
            return WassersteinGAN(Codes(z), *networks, clip=clip)
        return GAN(Codes(z), *networks)

    settings = {"steps": steps, "lr": (0.02, 0.01), "optimiser": optimiser, "progress": False}
    many = make(COPIES, z)
    start = {name: value.clone() for name, value in many.state_dict().items()}
    play.play(many, Decided(x), batch_size=(COPIES, 5), **settings)
    for k in range(COPIES):
        alone = make(None, z[:, k])
        alone.load_state_dict({name: value[k] for name, value in start.items()})
        play.play(alone, Decided(x[:, k]), batch_size=5, **settings)
        yield many, alone, k


def check_copies(play):
    """Twenty copies at once are twenty games: no copy's step depends on how many there are."""
    for settings in (
        {"optimiser": "adam"},
        {"optimiser": "rmsprop", "clip": 0.3},
        {"optimiser": "adam", "spectral": True},
    ):
        for many, alone, k in many_and_alone(play, **settings):
            for name, value in alone.state_dict().items():
                close(
                    many.state_dict()[name][k], value, rtol=1e-9, atol=1e-9
                )  # a step amplifies rounding


def check_labels(play):
    """A labelled game is given each example's own label; another is given none."""
    y = torch.arange(25)
    data = Data(torch.stack([y.double(), torch.randn(25)], -1), y)
    game = Labelled()
    play.play(game, data, epochs=2, discriminator_steps=2, **quiet)
    assert (game.turns.count("discriminator"), game.turns.count("generator")) == (6, 3)
    play.play(Scripted(), data, epochs=1, **quiet)


def check_progress(play):
    """The bar shows where it is, both objectives and the time left."""
    for train, settings, place in (
        (digits(), {"epochs": 2}, "epoch 2/2"),
        (ring_of_gaussians(), {"steps": 5}, "training"),
    ):
        _, said = quietly(
            play.play,
            busy() if train is not None and place != "training" else tiny(),
            train,
            batch_size=10,
            **settings,
        )
        last = said.strip().split("\r")[-1]
        for text in (place, "100%", "left, discriminator -", "generator -", "real 0.", "fake 0."):
            assert text in last, last
        assert ", ," not in last
    assert quietly(play.play, busy(), digits(), epochs=1, progress=False)[1] == ""


@mock.patch.object(loop, "has_bfloat16", lambda device: True)
def check_mixed_precision(play):
    """Products in bfloat16, objectives in the data's precision: near to the exact game, and
    not it.
    """
    x, results = torch.rand(60, 9, dtype=torch.float32), []
    for mixed in (False, True):
        game, dtypes = busy().float(), set()

        def watched(x, game=game, dtypes=dtypes):
            value, parts = GAN.discriminator_objective(game, x)
            dtypes.update({value.dtype, *(p.dtype for p in parts.values())})
            return value, parts

        game.discriminator_objective = watched
        play.play(game, x, epochs=3, mixed_precision=mixed, **quiet)
        assert dtypes == {torch.float32}
        results.append(torch.cat([p.detach().flatten() for p in game.parameters()]))
    assert 0 < (results[1] - results[0]).norm() / results[0].norm() < 0.1


CHECKS = [
    check_steps_by_hand,
    check_each_side_moves_alone,
    check_frozen,
    check_turns,
    check_ends,
    check_learning_rates,
    check_averages,
    check_repeatable,
    check_live_changes_nothing,
    check_resume,
    check_going_on,
    check_other_settings,
    check_interruption,
    check_divergence,
    check_copies,
    check_labels,
    check_progress,
    check_mixed_precision,
]


@pytest.mark.parametrize("check", CHECKS)
def test_oracle(check):
    check(play)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("check", [check_repeatable, check_resume])
def test_oracle_on_every_device_here(check, device):
    check(play, device)


MUTANTS = {
    "descends": (
        "return value.reshape",
        "return -value.reshape",
        check_steps_by_hand,
        check_learning_rates,
    ),
    "both move in the discriminator's turn": (
        "maximise(over_copies(value, x[0]), self.optimisers[0])",
        "maximise(over_copies(value, x[0]), self.optimisers[0])\n        self.optimisers[1].step()",
        check_steps_by_hand,
    ),
    "one optimiser for all": (
        "self.generator = [p for p in game.parameters() if id(p) not in known]",
        "self.generator = list(game.parameters())",
        check_each_side_moves_alone,
    ),
    "Adam's usual memory": ("betas=(0.5, 0.999)", "betas=(0.9, 0.999)", check_steps_by_hand),
    "momentum": (
        "return RMSprop(list(parameters), lr=lr)",
        "return RMSprop(list(parameters), lr=lr, momentum=0.5)",
        check_steps_by_hand,
    ),
    "rates swapped": (
        "zip((self.discriminator, self.generator), rates",
        "zip((self.discriminator, self.generator), rates[::-1]",
        check_steps_by_hand,
        check_learning_rates,
    ),
    "one rate": (
        "rates = lr if isinstance(lr, tuple | list) else (lr, lr)",
        "rates = [lr[0]] * 2 if isinstance(lr, tuple | list) else (lr, lr)",
        check_learning_rates,
    ),
    "not frozen": ("with frozen(self.discriminator):", "if True:", check_each_side_moves_alone),
    "stays frozen": (
        "p.requires_grad_(True)",
        "p.requires_grad_(False)",
        check_frozen,
        check_each_side_moves_alone,
    ),
    "stays frozen after an error": (
        "    try:\n        yield\n    finally:\n        for p in learn:",
        "    yield\n    if True:\n        for p in learn:",
        check_frozen,
        check_divergence,
        check_interruption,
    ),
    "thaws what was frozen": (
        "[p for p in parameters if p.requires_grad]",
        "list(parameters)",
        check_frozen,
    ),
    "mean over copies": ("value.shape[-1]).sum(0)", "value.shape[-1]).mean(0)", check_copies),
    "no constraint": ("self.game.constrain()", "pass", check_turns),
    "the generator first": (
        "if (run.steps + 1) % discriminator_steps == 0",
        "if run.steps % discriminator_steps == 0",
        check_turns,
    ),
    "the generator always": (
        "if (run.steps + 1) % discriminator_steps == 0",
        "if True",
        check_turns,
    ),
    "ends with an epoch": (
        "if run.steps == total:\n                    break",
        "",
        check_ends,
    ),
    "one epoch, whatever the steps": (
        "(math.ceil(steps / per_epoch) if steps else 1)",
        "1",
        check_ends,
    ),
    "steps beyond the epochs": (
        "total = min(steps or math.inf, per_epoch * epochs)",
        "total = steps or per_epoch * epochs",
        check_ends,
    ),
    "last batch dropped": (
        "math.ceil(len(train) / batch_size)",
        "len(train) // batch_size",
        check_ends,
    ),
    "drawn once": (
        "((train.sample(shape).to(device),) for _ in range(total - run.steps))",
        "[(train.sample(shape).to(device),)] * (total - run.steps)",
        check_ends,
    ),
    "rows without the generator": (
        "discriminator_steps * max(1, total // (CURVE_POINTS * discriminator_steps))",
        "max(1, total // CURVE_POINTS)",
        check_averages,
    ),
    "averaged over all turns": (
        "value.item() / self.counts[name]",
        "value.item() / 6",
        check_averages,
    ),
    "sums pile up": ("self.sums, self.counts = {}, {}\n        return", "return", check_averages),
    "no seed": ("own_randomness(device, seed)", "own_randomness(device)", check_repeatable),
    "the caller's random numbers": (
        "with own_randomness(device, seed), run.going(resume):",
        "torch.manual_seed(seed)\n    with run.going(resume):",
        check_repeatable,
    ),
    "live in training mode": (
        "self.model.eval()\n                self.live",
        "self.live",
        check_live_changes_nothing,
    ),
    "evaluation mode after live": (
        "self.model.train(training)",
        "",
        check_live_changes_nothing,
    ),
    "training mode after live": (
        "self.model.train(training)",
        "self.model.train()",
        check_live_changes_nothing,
    ),
    "one optimiser restored twice": (
        'zip(self.optimisers, saved["optimisers"], strict=True)',
        'zip(self.optimisers[:1], saved["optimisers"][:1])',
        check_resume,
    ),
    "buffers not kept": (
        '"model": self.model.state_dict()',
        (
            '"model": self.model.state_dict() | {name: 0 * value for name, value '
            'in self.model.named_buffers() if "running" in name}'
        ),
        check_resume,
    ),
    "step not restored": (
        'saved["step"], saved',
        "0, saved",
        check_resume,
        check_going_on,
    ),
    "goes on within an epoch": ('settings["steps"] = steps', "pass", check_other_settings),
    "any state will do": (
        'if saved["settings"] != self.settings:',
        "if False:",
        check_other_settings,
    ),
    "interrupted in silence": ('self.history.stopped = "interrupted"', "pass", check_interruption),
    "divergence not said": ('print(f"The game', 'str(f"The game', check_divergence),
    "another step": (
        "diverged at step {self.steps + 1}",
        "diverged at step {self.steps}",
        check_divergence,
    ),
    "labels for all": (
        "batches = batches_of(game, train, batch_size)",
        "batches = train.batches(batch_size, labels=True)",
        check_labels,
    ),
    "always a bar": ("disable=not self.progress", "disable=False", check_progress),
    "never mixed": ("(device, mixed_precision)", "(device, False)", check_mixed_precision),
    "always mixed": ("(device, mixed_precision)", "(device, True)", check_mixed_precision),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name):
    old, new, *checks = MUTANTS[name]
    for check in checks:
        assert not survives(check, play, old, new, optim, loop), f"{check.__name__} does not notice"


# --- the games of the course ---------------------------------------------------------------------


def critics(**settings):
    return lambda: WassersteinGAN(
        StandardGaussian(3),
        mlp([3, 8, 784]),
        mlp([784, 8, 1], leaky, spectral=not settings),
        **settings,
    )


GAMES = {
    "GAN": lambda: ImageGAN(3, 8),
    "saturating": lambda: ImageGAN(3, 8, saturating=True),
    "clipped": critics(clip=0.01),
    "penalised": critics(penalty=10.0),
    "spectral": critics(),
    "DCGAN": lambda: DCGAN(3, 2),
    "ACGAN": lambda: AuxiliaryClassifierGAN(3, channels=2),
    "BiGAN": lambda: BidirectionalGAN(3, 8),
    "adversarial auto-encoder": lambda: AdversarialWAE(3, channels=2, hidden=4),
}


@pytest.mark.parametrize("name", GAMES)
def test_every_game_of_the_course_is_played(name):
    """All weights of both sides move, to finite numbers; samples come out; and it is the same
    again.
    """
    torch.set_default_dtype(torch.float32)
    data, ends = Data(torch.randint(0, 256, (40, 784)).to(torch.uint8), torch.arange(40) % 10), []
    for _ in range(2):
        game = seeded(GAMES[name])
        before = copy.deepcopy(game.state_dict())
        history = play.play(
            game,
            data,
            epochs=1,
            batch_size=16,
            discriminator_steps=2 - (name == "DCGAN"),
            progress=False,
        )
        assert history.stopped == "finished" and finite(game)
        assert all(
            not torch.equal(p, before[key]) for key, p in game.named_parameters() if p.dim() > 1
        )
        assert all(math.isfinite(value) for row in history.steps for value in row.values())
        assert set(history.steps[0]) - {"step"} == set(history.labels)
        assert game.sample(5).shape == (5, 784)
        ends.append(game)
    assert same(*ends)


def test_a_trained_discriminator_knows_the_ratio_of_the_densities():
    """In one dimension, N(0, 1) against N(1.2, 0.7^2), by the players' own steps: D = p / (p
    + q).
    """
    from scipy import stats

    p, q = stats.norm(0.0, 1.0), stats.norm(1.2, 0.7)
    x, fakes = (torch.from_numpy(of.ppf((torch.arange(500) + 0.5) / 500))[:, None] for of in (p, q))

    class Curve(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 1)

        def forward(self, x):
            return self.linear(torch.cat([x, x**2, x**3], -1))

    game = GAN(Codes(fakes.expand(300, 500, 1)), nn.Linear(1, 1), Curve())
    game.generator.weight.data.fill_(1.0), game.generator.bias.data.zero_()
    players = play.Players(game, 0.1)
    for _ in range(300):
        players.discriminator_step(x)
    at = torch.linspace(-2, 2.5, 40)[:, None]
    with torch.no_grad():
        close(
            game.logit(at).sigmoid(),
            torch.from_numpy(p.pdf(at) / (p.pdf(at) + q.pdf(at)))[:, 0],
            rtol=0,
            atol=0.01,
        )


def test_a_learning_rate_too_large_by_far_ends_in_a_sentence():
    """A real game: objectives and parameters stay finite up to the last step before."""
    game = tiny()
    history, said = quietly(
        play.play, game, ring_of_gaussians(), steps=2000, lr=1e155, progress=False
    )
    assert (
        history.stopped.startswith("diverged at step")
        and said.count("\n") == 1
        and "1e+155" in said
    )
    assert finite(game)


def test_nan_in_the_data_ends_in_a_sentence():
    x = torch.randn(40, 2)
    x[7, 1] = math.nan
    game = tiny()
    history, said = quietly(play.play, game, x, epochs=3, **quiet)
    assert history.stopped.startswith("diverged") and "NaN in the data" in said and finite(game)
    assert game.sample(9).isfinite().all()


# --- what a reader does wrong --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"train": ring_of_gaussians()}, ValueError, "a Density never ends: say how many steps"),
        ({"train": torch.zeros(0, 2)}, ValueError, "the training data are empty"),
        (
            {"game": lambda: GAN(StandardGaussian(2), nn.Identity(), mlp([2, 1]))},
            ValueError,
            "a side of GAN has no parameters",
        ),
        ({"game": lambda: tiny().requires_grad_(False)}, ValueError, "no parameter that learns"),
        (
            {"batch_size": (20, 4)},
            ValueError,
            r"only a Density is drawn in batches of shape \(20, 4\)",
        ),
        ({"optimiser": "sgd"}, ValueError, "optimiser is one of 'adam', 'rmsprop', got 'sgd'"),
        (
            {"lr": (0.1, 0.1, 0.1)},
            ValueError,
            r"\(the discriminator's, the generator's\): got \(0.1, 0.1, 0.1\)",
        ),
        ({"device": "cuda"}, ValueError, "device 'cuda' is not available on this machine"),
        (
            {"game": lambda: VAE(2, 4, data_dim=2)},
            TypeError,
            "VAE is no game of two players, it has no discriminator and no .* trained by fit",
        ),
        ({"game": Labelled}, ValueError, "these examples have no labels: Data\\(x, y\\) has"),
        (
            {"game": Labelled, "train": ring_of_gaussians(), "steps": 2},
            ValueError,
            "wants labels, and a Density has none",
        ),
        (
            {"train": torch.zeros(20, 3)},
            ValueError,
            "expected vectors of 2 numbers on the last axis",
        ),
        ({"train": torch.zeros(20, 2, dtype=torch.int64)}, ValueError, "expected bytes"),
        (
            {"game": lambda: Scripted({1: lambda value: value.mean()})},
            ValueError,
            r"one value for each example, shape \(10,\), not \(\): sum over dimensions",
        ),
        (
            {"game": lambda: Scripted({3: lambda value: value[:, None]})},
            ValueError,
            r"shape \(10,\), not \(10, 1\)",
        ),
    ],
)
def test_what_cannot_be_played_is_one_sentence(given, error, said, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    given = {"game": tiny, "train": torch.zeros(20, 2), **quiet} | given
    game = given.pop("game")()
    before = copy.deepcopy(game.state_dict())
    with pytest.raises(error, match=said) as raised:
        play.play(game, given.pop("train"), **given)
    assert "\n" not in str(raised.value)
    if (
        given.get("lr", 1)
        and game.state_dict().keys() == before.keys()
        and not getattr(game, "script", None)
    ):
        assert all(torch.equal(value, before[name]) for name, value in game.state_dict().items())


def test_a_checkpoint_of_another_game_or_other_data_is_refused(tmp_path):
    settings = quiet | {"checkpoint": tmp_path / "state.pt", "resume": True}
    x = torch.randn(20, 2)
    play.play(tiny(), x, epochs=1, **settings)
    with pytest.raises(ValueError, match="other data"):
        play.play(tiny(), x + 1, epochs=2, **settings)
    with pytest.raises(
        ValueError, match="another model: its class is GAN, this one's WassersteinGAN"
    ):
        game = tiny()
        play.play(
            WassersteinGAN(game.prior, game.generator, game.discriminator), x, epochs=2, **settings
        )
    assert len(play.play(tiny(), x, epochs=2, **settings).epochs) == 2


def test_rmsprop_is_torchs():
    """The same parameters to the last bit, its state saved and restored half-way."""
    ends, x = [], torch.randn(20, 5)
    for make in (play.rmsprop, lambda p, lr: torch.optim.RMSprop(p, lr=lr)):
        w = torch.ones(5, requires_grad=True)
        optimiser = make([w], lr=0.1)
        for step in range(20):
            if step == 10:
                saved, optimiser = optimiser.state_dict(), make([w], lr=0.1)
                optimiser.load_state_dict(saved)
            optimiser.zero_grad()
            (x @ w).exp().mean().backward()
            optimiser.step()
        ends.append(w.detach())
    assert torch.equal(*ends)


def test_a_game_leaves_the_compiler_out():
    """torch.optim's own imports all of torch.compile, 170 MB, at its first step."""
    code = """
import sys
from dgmcourse.play import play
from dgmcourse.data.toy import ring_of_gaussians
from dgmcourse.densities import StandardGaussian
from dgmcourse.models.gan import GAN
from dgmcourse.networks import mlp
for optimiser in ("adam", "rmsprop"):
    game = GAN(StandardGaussian(2), mlp([2, 4, 2]), mlp([2, 4, 1]))
    play(game, ring_of_gaussians(), steps=3, optimiser=optimiser, progress=False)
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
