"""What every Density and every model promises, asked of every class there is.

A new class without an entry fails here: in DENSITIES or MODELS, or, without touching this file, in
the test of its own module: tests/test_NAME.py of dgmcourse/models/NAME.py has CONTRACT = {class:
{"make": ..., "dim": ...}}, the arguments of Entry or Model, or None for what is not of this form.
Whether a formula is right is the matter of its own tests; here samples are compared with their own
log_prob, by sums over all images or a grid.
"""

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import check_samples_follow, close, grid
from torch import nn

from dgmcourse import densities, distances, evaluate, models, networks
from dgmcourse.densities import (
    Bernoulli,
    BernoulliConditional,
    Categorical,
    Categoricals,
    CategoricalsMixture,
    Density,
    FullGaussian,
    Gaussian,
    GaussianConditional,
    Mixture,
    Point,
    StandardGaussian,
)
from dgmcourse.models import (
    VAE,
    ConvVAE,
    DensityNetwork,
    FactorAnalysis,
    GenerativeClassifier,
    LatentVariableModel,
    MixtureOfFactorAnalysers,
)
from dgmcourse.models.autoregressive_prior import AutoregressivePrior
from dgmcourse.models.auxiliary_classifier_gan import AuxiliaryClassifierGAN
from dgmcourse.models.bidirectional_gan import BidirectionalGAN
from dgmcourse.models.character_model import CharacterModel
from dgmcourse.models.classifier import DigitClassifier
from dgmcourse.models.dcgan import DCGAN
from dgmcourse.models.diffusion import Diffusion, NoiseNet, linear_schedule
from dgmcourse.models.gan import GAN, ImageGAN
from dgmcourse.models.gated_pixelcnn import GatedPixelNet
from dgmcourse.models.hierarchical_vae import (
    Ancestral,
    ConvHierarchicalVAE,
    HierarchicalVAE,
    TwoLayerPrior,
)
from dgmcourse.models.householder_flow import HouseholderFlow
from dgmcourse.models.latent_variable_model import AutoEncoder, GenerativeModel
from dgmcourse.models.markov_random_field import IsingGrid
from dgmcourse.models.mixture_prior import MixturePrior
from dgmcourse.models.normalizing_flow import Affine, FlowDensity, FlowPosterior, Flows
from dgmcourse.models.pixelcnn import PixelCNN, PixelDensity
from dgmcourse.models.pixelvae import PixelVAE
from dgmcourse.models.planar_flow import PlanarFlow
from dgmcourse.models.vae import SquaredErrorVAE
from dgmcourse.models.vamp_prior import VampPrior, VampVAE
from dgmcourse.models.wasserstein_autoencoder import (
    AdversarialWAE,
    PenalisedAutoEncoder,
    WassersteinAutoEncoder,
)
from dgmcourse.models.wasserstein_gan import WassersteinGAN
from dgmcourse.networks import gated_mlp, mlp

pytestmark = pytest.mark.usefixtures("float64")


# --- what the entries are made of ----------------------------------------------------------------


class Parts:
    """The tensors and modules of a Density: the same ones whenever it is built, so that what
    depends on a tensor that has moved can be computed anew.
    """

    def __init__(self, entry: "Entry"):
        self.entry, self.kept, self.next = entry, [], 0
        self.build()

    def build(self) -> Density:
        self.next = 0
        return self.entry.make(self)

    def keep(self, make):
        if self.next == len(self.kept):
            self.kept.append(make())
        self.next += 1
        return self.kept[self.next - 1]

    def tensor(self, *shape: int) -> torch.Tensor:
        return self.keep(lambda: (0.5 * torch.randn(shape)).requires_grad_())

    def module(self, make: Callable[[], nn.Module]) -> nn.Module:
        return self.keep(lambda: shaken(make()))

    def parameters(self) -> list[torch.Tensor]:
        each = [k.parameters() if isinstance(k, nn.Module) else [k] for k in self.kept]
        return list({id(p): p for part in each for p in part}.values())


def shaken(net: nn.Module) -> nn.Module:
    """The network with parameters away from where they start."""
    for p in net.parameters():
        p.data += 0.3 * torch.randn_like(p)
    return net


def conditional(i: int, o: int) -> GaussianConditional:
    return GaussianConditional(gated_mlp([i, 4, 2 * o]), (-2.0, 1.0))


def pixel_net() -> GatedPixelNet:
    return GatedPixelNet(2, 1, 3, shape=(2, 2))


def vamp_prior(p: Parts) -> VampPrior:
    encoder = p.module(lambda: conditional(3, 2))
    return p.module(lambda: VampPrior(encoder, 3, 4, start=(0.5, 0.1)))


@dataclass
class Entry:
    """How a small one is made, of two real dimensions or four binary pixels."""

    make: Callable[[Parts], Density]
    rows: tuple = ()  # leading axes of its parameters
    pixels: bool = False
    one_hot: bool = False  # four pixels, of which one is 1

    @property
    def dim(self) -> int:
        return 2 if self.kind == "real" else 4

    @property
    def kind(self) -> str:
        return "one-hot" if self.one_hot else "pixels" if self.pixels else "real"


DENSITIES = {
    Gaussian: Entry(lambda p: Gaussian(p.tensor(3, 2), p.tensor(3, 2)), (3,)),
    FullGaussian: Entry(
        lambda p: FullGaussian(p.tensor(3, 2), p.tensor(3, 2, 2).tril(-1) + torch.eye(2)), (3,)
    ),
    StandardGaussian: Entry(lambda p: StandardGaussian(2)),
    Bernoulli: Entry(lambda p: Bernoulli(p.tensor(3, 4)), (3,), pixels=True),
    Categorical: Entry(lambda p: Categorical(p.tensor(3, 4)), (3,), one_hot=True),
    Categoricals: Entry(lambda p: Categoricals(p.tensor(3, 4), (4,)), (3,), one_hot=True),
    CategoricalsMixture: Entry(
        lambda p: CategoricalsMixture(p.tensor(3, 2), p.tensor(3, 2, 4), (4,)), (3,), one_hot=True
    ),
    Point: Entry(lambda p: Point(p.tensor(3, 2)), (3,)),
    Mixture: Entry(
        lambda p: Mixture(p.tensor(4), Gaussian(4 * p.tensor(4, 2), p.tensor(4, 2) - 1))
    ),
    MixturePrior: Entry(lambda p: p.module(lambda: MixturePrior(2, 4))),
    AutoregressivePrior: Entry(
        lambda p: p.module(lambda: AutoregressivePrior(2, (8,), 2, (-2.0, 1.0)))
    ),
    VampPrior: Entry(vamp_prior),
    Ancestral: Entry(
        lambda p: Ancestral(
            Gaussian(p.tensor(3, 1), p.tensor(3, 1)), p.module(lambda: conditional(1, 1)), 1
        ),
        (3,),
    ),
    TwoLayerPrior: Entry(
        lambda p: p.module(lambda: TwoLayerPrior(MixturePrior(1, 2), conditional(1, 1), (1, 1)))
    ),
    FlowPosterior: Entry(
        lambda p: FlowPosterior(
            Gaussian(p.tensor(3, 2), p.tensor(3, 2)), p.module(lambda: PlanarFlow(2, 2))
        ),
        (3,),
    ),
    FlowDensity: Entry(
        lambda p: p.module(
            lambda: FlowDensity(StandardGaussian(2), Flows(Affine(2), HouseholderFlow(2, 2)))
        )
    ),
    PixelDensity: Entry(
        lambda p: PixelDensity(p.module(pixel_net), p.tensor(3, 16)), (3,), pixels=True
    ),
    PixelCNN: Entry(lambda p: p.module(lambda: PixelCNN(pixel_net())), pixels=True),
    IsingGrid: Entry(lambda p: IsingGrid(2, 2, 0.4, 0.2), pixels=True),
}


@dataclass
class Model:
    """How a small one is made, and the x it is trained on: pixels, binary or grey, or real."""

    make: Callable[[], nn.Module]
    dim: int = 784
    kind: str = "pixels"
    exact: bool = False  # p(x) can be computed: four pixels, or two real dimensions

    def data(self, n: int = 6) -> torch.Tensor:
        x = torch.randn(n, self.dim) if self.kind == "real" else torch.rand(n, self.dim)
        return (x < 0.5).to(x) if self.kind == "pixels" else x


def small_latent_variable_model() -> LatentVariableModel:
    decoder = BernoulliConditional(gated_mlp([2, 5, 4]))
    return LatentVariableModel(MixturePrior(2, 3), conditional(4, 2), decoder)


MODELS = {
    LatentVariableModel: Model(small_latent_variable_model, 4, exact=True),
    VAE: Model(lambda: VAE(2, 6, data_dim=4), 4, exact=True),
    VampVAE: Model(lambda: VampVAE(2, 6, data_dim=4, components=3), 4, exact=True),
    HierarchicalVAE: Model(lambda: HierarchicalVAE(1, 6, data_dim=4, components=3), 4, exact=True),
    DensityNetwork: Model(lambda: DensityNetwork(2, 6, data_dim=4, samples=20), 4, exact=True),
    ConvVAE: Model(lambda: ConvVAE(2, 2, 8)),
    ConvHierarchicalVAE: Model(lambda: ConvHierarchicalVAE(2, 2, 8)),
    PixelVAE: Model(lambda: PixelVAE(2, 2, 1, 3, 2, 8)),
    SquaredErrorVAE: Model(lambda: SquaredErrorVAE(2), kind="grey"),
    PixelCNN: Model(lambda: PixelCNN(pixel_net()), 4, exact=True),
    FlowDensity: Model(
        lambda: FlowDensity(StandardGaussian(2), Flows(Affine(2), HouseholderFlow(2, 2))),
        2,
        "real",
        exact=True,
    ),
    FactorAnalysis: Model(lambda: FactorAnalysis(2, 1), 2, "real", exact=True),
    MixtureOfFactorAnalysers: Model(
        lambda: MixtureOfFactorAnalysers(2, 1, 3), 2, "real", exact=True
    ),
    GenerativeClassifier: Model(lambda: GenerativeClassifier(2, 2), 2, "real"),
    Diffusion: Model(lambda: Diffusion(NoiseNet(2, (8,)), 2, linear_schedule(5, 3, -3)), 2, "real"),
    DigitClassifier: Model(lambda: DigitClassifier(8, 2), kind="grey"),
    WassersteinAutoEncoder: Model(lambda: WassersteinAutoEncoder(2, 1.0, 2, 4), kind="grey"),
    AdversarialWAE: Model(lambda: AdversarialWAE(2, 1.0, 2, 4), kind="grey"),
    GAN: Model(lambda: GAN(StandardGaussian(2), mlp([2, 8, 2]), mlp([2, 8, 1])), 2, "real"),
    WassersteinGAN: Model(
        lambda: WassersteinGAN(StandardGaussian(2), mlp([2, 8, 2]), mlp([2, 8, 1])), 2, "real"
    ),
    ImageGAN: Model(lambda: ImageGAN(2, 8), kind="grey"),
    DCGAN: Model(lambda: DCGAN(2, 2), kind="grey"),
    AuxiliaryClassifierGAN: Model(lambda: AuxiliaryClassifierGAN(2, 3, 2), kind="grey"),
    BidirectionalGAN: Model(lambda: BidirectionalGAN(2, 8), kind="grey"),
    CharacterModel: None,  # of texts: it has its own tests
}
BASES = {Density, GenerativeModel, AutoEncoder, PenalisedAutoEncoder}  # none of them is made here


def entries_elsewhere(folder: Path, names: list[str]) -> dict[type, dict | None]:
    """CONTRACT of each folder/test_NAME.py that has one."""
    with_one = [n for n in names if "\nCONTRACT = " in read(folder / f"test_{n}.py")]
    modules = [importlib.import_module(f"test_{name}") for name in with_one]
    return {c: entry for module in modules for c, entry in module.CONTRACT.items()}


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def model_files() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(models.__path__)]


for c, arguments in entries_elsewhere(Path(__file__).parent, model_files()).items():
    table, kind = (DENSITIES, Entry) if issubclass(c, Density) else (MODELS, Model)
    if arguments is None and table is DENSITIES:
        BASES.add(c)  # its own test asks it all
    else:
        table[c] = arguments and kind(**arguments)


def classes() -> set[type]:
    """Every class of densities and models that is a Density, can be sampled, or can be trained."""
    files = [importlib.import_module(f"dgmcourse.models.{name}") for name in model_files()]
    found = {
        c
        for module in (densities, *files)
        for c in vars(module).values()
        if inspect.isclass(c) and c.__module__ == module.__name__
    }
    does = ("sample", "objective", "discriminator_objective", "fit_em", "log_prob")
    return {c for c in found if any(hasattr(c, name) for name in does)}


def without_entry(found: set[type]) -> list[str]:
    kinds = {c: DENSITIES if issubclass(c, Density) else MODELS for c in found - BASES}
    trained = {c: MODELS for c in found - BASES if hasattr(c, "objective")}
    missing = [(c, table) for t in (kinds, trained) for c, table in t.items() if c not in table]
    return [
        f"{c.__module__}.{c.__name__} has no entry in "
        f"{'DENSITIES' if table is DENSITIES else 'MODELS'} of tests/test_contract.py, nor in CONTRACT"
        " of its own test: add one"
        for c, table in missing
    ]


def test_every_density_and_every_model_has_an_entry():
    assert not without_entry(classes())
    new = type("New", (Gaussian,), {"__module__": "dgmcourse.models.new"})
    assert without_entry({new}) == [
        "dgmcourse.models.new.New has no entry in DENSITIES of tests/test_contract.py, nor in CONTRACT"
        " of its own test: add one"
    ]


def test_an_entry_may_stand_in_the_models_own_test(tmp_path, monkeypatch):
    text = (
        "from dgmcourse.densities import Gaussian\nCONTRACT = {Gaussian: {'dim': 4}, dict: None}\n"
    )
    (tmp_path / "test_of_a_new_model.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    found = entries_elsewhere(tmp_path, ["of_a_new_model", "without_a_test"])
    assert found == {Gaussian: {"dim": 4}, dict: None}


# --- samples: one contract for both --------------------------------------------------------------

REFUSED = [-1, (2, -1), 2.5, (2.5,), "3", ("3",), None, torch.tensor(3.0)]


def state(thing) -> list:
    """What a question may not change: parameters, buffers, gradients, modes; tensors held."""
    modules = [m for m in vars(thing).values() if isinstance(m, nn.Module)]
    modules += [thing] if isinstance(thing, nn.Module) else []
    tensors = [t for m in modules for t in (*m.parameters(), *m.buffers())]
    tensors += [t for t in vars(thing).values() if isinstance(t, torch.Tensor)]
    return [(t.detach().clone(), t.requires_grad, t.is_leaf and t.grad) for t in tensors] + [
        (torch.tensor(part.training), False, None) for m in modules for part in m.modules()
    ]


def check_samples(thing, event: tuple[int, ...], dtype=torch.float64) -> None:
    """Shapes, a number for a tuple, empty batches, refusals; no gradient, nothing else changed."""
    before = state(thing)
    for shape in ((), 3, (3,), (2, 3), 0, (0, 2), [2], np.int64(3)):
        x = thing.sample(shape)
        leading = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
        assert x.shape == (*leading, *event) and x.dtype == dtype and not x.requires_grad
    torch.manual_seed(0)
    a, after_a = thing.sample(3), torch.rand(1)
    torch.manual_seed(0)
    b, after_b = thing.sample((3,)), torch.rand(1)
    assert torch.equal(a, b) and torch.equal(after_a, after_b)
    assert thing.sample().shape == event
    for wrong in REFUSED:
        with pytest.raises(TypeError, match="^sample takes a shape, a whole number such as 5"):
            thing.sample(wrong)
    for (was, needed, grad), (t, needs, now) in zip(before, state(thing), strict=True):
        assert torch.equal(was, t) and needed == needs and grad is now


def directional(f, parameters: list[torch.Tensor]) -> None:
    """The gradient of f() along a random direction of its parameters is that of differences."""
    directions = [torch.randn_like(p) for p in parameters]
    slopes = torch.autograd.grad(f(), parameters, allow_unused=True, materialize_grads=True)
    found = sum((g * d).sum() for g, d in zip(slopes, directions, strict=True))
    values = []
    for step in (1e-5, -2e-5, 1e-5):
        for p, d in zip(parameters, directions, strict=True):
            p.data += step * d
        values.append(f().detach())
    close(found, (values[0] - values[1]) / 2e-5, 1e-5, 1e-7)
    assert found != 0


# --- every Density -------------------------------------------------------------------------------

each_density = pytest.mark.parametrize("kind", DENSITIES, ids=lambda c: c.__name__)
each_with_density = pytest.mark.parametrize(
    "kind", [c for c in DENSITIES if c is not Point], ids=lambda c: c.__name__
)


@each_density
def test_a_density_is_sampled_by_shape(kind):
    entry = DENSITIES[kind]
    check_samples(Parts(entry).build(), (*entry.rows, entry.dim))


@each_with_density
def test_samples_follow_the_density(kind):
    entry = DENSITIES[kind]
    density = Parts(entry).build()
    discrete = entry.kind != "real"
    check_samples_follow(density.log_prob, density.sample, discrete, entry.rows, entry.one_hot)


@each_with_density
def test_a_log_density_is_one_number_for_each_event(kind):
    entry = DENSITIES[kind]
    density = Parts(entry).build()
    for lead in ((), (5,), (2, 5), (0,)):
        x = density.sample(lead)
        kept = x.clone()
        log_p = density.log_prob(x)
        assert log_p.shape == (*lead, *entry.rows) and log_p.dtype == torch.float64
        assert torch.equal(x, kept)
    for width in (1, entry.dim + 1):  # 1 would broadcast
        with pytest.raises(ValueError, match="on the last axis, got|expected rows of"):
            density.log_prob(torch.zeros(*entry.rows, width))


@each_density
def test_a_density_in_single_precision_stays_there(kind):
    torch.set_default_dtype(torch.float32)
    density = Parts(DENSITIES[kind]).build()
    x = density.sample((2,))
    assert x.dtype == torch.float32
    if kind is not Point:
        assert density.log_prob(x).dtype == torch.float32


@each_with_density
def test_a_log_density_has_its_gradient(kind):
    """With respect to its parameters, and to x where that is real."""
    entry = DENSITIES[kind]
    parts = Parts(entry)
    x = parts.build().sample((4,))
    if parts.parameters():
        directional(lambda: parts.build().log_prob(x).sum(), parts.parameters())
    if entry.kind == "real":
        x.requires_grad_()
        directional(lambda: parts.build().log_prob(x).sum(), [x])


@each_density
def test_a_reparameterized_sample_is_a_sample_with_a_gradient(kind):
    parts = Parts(DENSITIES[kind])
    density = parts.build()
    if type(density).rsample is Density.rsample:
        with pytest.raises(NotImplementedError, match="no reparameterized sample.*score-function"):
            density.rsample((2,))
        return

    def draw(f):
        torch.manual_seed(0)
        return f(parts.build())

    z = draw(lambda d: d.rsample((5,)))
    close(z.detach(), draw(lambda d: d.sample((5,))))
    assert torch.equal(draw(lambda d: d.rsample(5)), z)
    if kind is not Point:
        both = draw(lambda d: d.rsample_and_log_prob((5,)))
        close(both[0], z)
        close(both[1], density.log_prob(z), 1e-7, 1e-7)
    if parts.parameters():
        directional(lambda: draw(lambda d: d.rsample((5,)).sin().sum()), parts.parameters())


@each_with_density
def test_an_equal_density_answers_equally(kind):
    """Its precomputed one, its rows one by one, and every x under every row."""
    density = Parts(DENSITIES[kind]).build()
    x = density.sample((4,))
    close(density.precomputed().log_prob(x), density.log_prob(x))
    if type(density).select is Density.select:
        with pytest.raises(NotImplementedError, match=f"rows of a {kind.__name__} can't"):
            density.select(torch.tensor([0]))
        return
    rows = torch.tensor([2, 0, 2, 1])
    close(density.select(rows).log_prob(x[:, rows]), density.log_prob(x)[:, rows])
    each = torch.stack([density.select(torch.tensor(k)).log_prob(x[:, 0]) for k in range(3)], -1)
    close(density.cross_log_prob(x[:, 0]), each)


# --- every model ---------------------------------------------------------------------------------

MADE = {c: entry for c, entry in MODELS.items() if entry}


def those_with(*names: str):
    kinds = [c for c in MADE if all(hasattr(c, name) for name in names)]
    return pytest.mark.parametrize("kind", kinds, ids=lambda c: c.__name__)


def arguments(kind, x):
    """What its objectives take of a batch."""
    return (x, torch.arange(len(x)) % 3) if getattr(kind, "labelled", False) else (x,)


@those_with("sample")
def test_a_model_is_sampled_by_shape(kind):
    model = shaken(MADE[kind].make()).eval()
    check_samples(model, (MADE[kind].dim,))
    torch.set_default_dtype(torch.float32)
    assert MADE[kind].make().eval().sample(2).dtype == torch.float32


@pytest.mark.parametrize(
    "kind", [c for c, entry in MADE.items() if entry.exact], ids=lambda c: c.__name__
)
def test_a_models_samples_follow_its_density(kind):
    """p(x) exactly, or integrated over a grid of z."""
    entry = MADE[kind]
    model = shaken(entry.make()).eval()

    def integrated(x):
        z, cell = grid(2, 8, 81)
        log_joint = model.decoder(z).cross_log_prob(x) + model.prior.log_prob(z)
        return torch.logsumexp(log_joint, -1) + torch.tensor(cell).log()

    log_prob = getattr(model, "log_prob", integrated)
    check_samples_follow(log_prob, model.sample, entry.kind == "pixels")


@pytest.mark.parametrize(
    "kind", [c for c in MADE if issubclass(c, GenerativeModel)], ids=lambda c: c.__name__
)
def test_a_sample_is_the_priors_draw_sent_through_the_decoder(kind):
    model = shaken(MADE[kind].make()).eval()
    torch.manual_seed(0)
    x = model.sample((2, 3))
    torch.manual_seed(0)
    assert torch.equal(x, model.decoder(model.prior.sample((2, 3))).sample())


def check_values(value, parts, n):
    for part in (value, *parts.values()):
        assert part.shape == (n,) and part.isfinite().all()
    assert value.dtype == torch.float64


def learns(model: nn.Module) -> set[str]:
    """The parameters that a gradient has reached."""
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


@those_with("objective")
def test_an_objective_is_one_value_for_each_example_and_trains_all(kind):
    model, x = shaken(MADE[kind].make()), MADE[kind].data()
    kept = x.clone()
    value, parts = model.objective(*arguments(kind, x))
    check_values(value, parts, len(x))
    value.sum().backward()
    assert learns(model) == {name for name, _ in model.named_parameters()}
    assert torch.equal(x, kept)
    values = []
    for beta in (1.0, 0.25):
        torch.manual_seed(0)
        values.append(model.objective(*arguments(kind, x), beta=beta))
    for name, part in values[0][1].items():
        close(part, values[1][1][name])  # what is watched does not depend on beta
    if kind is not WassersteinAutoEncoder:  # whose penalty is of a batch
        check_values(*model.objective(*arguments(kind, x[:0])), 0)


@those_with("discriminator_objective")
def test_a_game_has_two_objectives_and_each_side_its_own_parameters(kind):
    model, x = shaken(MADE[kind].make()), MADE[kind].data()
    names = {name for name, _ in model.named_parameters()}
    judges = {name for name in names if name.startswith("discriminator.")}
    value, parts = model.discriminator_objective(*arguments(kind, x))
    check_values(value, parts, len(x))
    value.sum().backward()
    assert learns(model) <= judges and len(learns(model)) >= len(judges) - 1  # a bias may cancel
    model.zero_grad()
    value, parts = model.generator_objective(*arguments(kind, x))
    check_values(value, parts, len(x))
    value.sum().backward()
    assert learns(model) >= names - judges


def test_a_model_is_trained_in_one_way():
    """An objective for `fit`, or a game for `play`: with both, `fit` would train another model."""
    for kind in MADE:
        ways = [hasattr(kind, name) for name in ("objective", "discriminator_objective")]
        em = hasattr(kind, "fit_em")  # factor analysis has a bound as well, which is exact
        assert sum(ways) == 1 or em and sum(ways) <= 1, f"{kind.__name__} has {ways}"


@those_with("reconstruct")
def test_a_reconstruction_is_the_mean_at_the_mean(kind):
    model, x = shaken(MADE[kind].make()).eval(), MADE[kind].data()
    if kind is PixelVAE:
        with pytest.raises(NotImplementedError, match="a chain of pixels has no mean"):
            model.reconstruct(x)
        return
    found = model.reconstruct(x)
    assert not found.requires_grad
    close(found, model.decoder(model.encoder(x).mean).mean.detach())


@those_with("log_weight")
def test_log_weights_are_those_of_their_draws(kind):
    model, x = shaken(MADE[kind].make()).requires_grad_(False), MADE[kind].data(3)
    assert model.elbo(x).shape == (3,) and model.log_weight(x).shape == (3,)
    torch.manual_seed(0)
    log_w = model.log_weight(x, (5, 2))
    torch.manual_seed(0)
    q = model.encoder(x)
    z, _ = q.rsample_and_log_prob((5, 2))
    expected = model.decoder(z).log_prob(x) + model.prior.log_prob(z) - q.log_prob(z)
    close(log_w, expected, 1e-7, 1e-7)


# --- the contract can fail, and the examples in docstrings are true ------------------------------


class Broken(Gaussian):
    def __init__(self):
        super().__init__(torch.zeros(2), torch.zeros(2))


class NumberRefused(Broken):
    def sample(self, shape=()):
        return super().sample((*shape,))


class Negative(Broken):
    def sample(self, shape=()):
        return super().sample(shape if isinstance(shape, tuple | list) else abs(shape))


class WithGradient(Broken):
    def sample(self, shape=()):
        return super().sample(shape).requires_grad_()


class Moves(Broken):
    def sample(self, shape=()):
        self.mean += 1e-3
        return super().sample(shape)


class OtherStream(Broken):
    def sample(self, shape=()):
        if isinstance(shape, int):
            torch.rand(1)
        return super().sample(shape)


class TooWide(Broken):
    def sample(self, shape=()):
        return 1.05 * super().sample(shape)


class NotNormalised(Broken):
    def log_prob(self, x):
        return super().log_prob(x) + 0.05


@pytest.mark.parametrize("broken", Broken.__subclasses__(), ids=lambda c: c.__name__)
def test_a_broken_contract_is_noticed(broken):
    check_samples(Broken(), (2,)), check_samples_follow(Broken().log_prob, Broken().sample, False)
    with pytest.raises((AssertionError, TypeError, RuntimeError, pytest.fail.Exception)):
        density = broken()
        check_samples(density, (2,))
        check_samples_follow(density.log_prob, density.sample, False)


@pytest.mark.parametrize(
    "module", [densities, networks, evaluate, distances, inspect.getmodule(VAE)]
)
def test_the_examples_are_true(module):
    torch.set_default_dtype(torch.float32)
    assert doctest.testmod(module).failed == 0
