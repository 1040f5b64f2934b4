"""What a public function accepts: any real dtype, any leading axes, any layout; or a sentence.

Every Density, Conditional, flow, model, distance and estimator is asked in seven dtypes, and its
answer is that of the same parameters in float64; or it refuses in a sentence of the course's own,
where `refused` below says so. It never passes on torch's own error, and never gives another number.
How a small one of each is made is said in tests/test_contract.py.
"""

import copy
import inspect
import math
import traceback
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from oracles import all_images
from test_contract import DENSITIES, MADE, Parts, conditional, model_files, pixel_net, shaken
from torch import Tensor, nn

import dgmcourse
from dgmcourse import densities, distances, evaluate, measure
from dgmcourse.data import toy
from dgmcourse.densities import (
    Bernoulli,
    BernoulliConditional,
    CategoricalConditional,
    CategoricalsConditional,
    Gaussian,
    GaussianConditional,
    IsotropicGaussianConditional,
    Mixture,
    Point,
    PointConditional,
    SequenceConditional,
)
from dgmcourse.models import VAE, FactorAnalysis
from dgmcourse.models.classifier import DigitClassifier
from dgmcourse.models.diffusion import Diffusion, NoiseNet, linear_schedule
from dgmcourse.models.factor_analysis import LinearGaussianConditional
from dgmcourse.models.householder_flow import HouseholderFlow
from dgmcourse.models.inverse_autoregressive_flow import InverseAutoregressiveFlow
from dgmcourse.models.markov_random_field import IsingGrid
from dgmcourse.models.normalizing_flow import Affine, FlowConditional, Flows
from dgmcourse.models.pixelcnn import PixelConditional
from dgmcourse.models.pixelvae import PixelVAE, free_bits
from dgmcourse.models.planar_flow import PlanarFlow
from dgmcourse.models.sentence_vae import RecurrentNet
from dgmcourse.models.wasserstein_autoencoder import WassersteinAutoEncoder
from dgmcourse.networks import gated_mlp

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
DTYPES = (torch.bool, torch.uint8, torch.int64, *FLOATS)
LEADS = ((), (1,), (0,), (3, 2), (4,))
OURS = Path(dgmcourse.__file__).parent

property_test = settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


# --- inputs, and what comes of them --------------------------------------------------------------


def plain(x: Tensor) -> Tensor:
    return x


def transposed(x: Tensor) -> Tensor:
    return x.mT.contiguous().mT if x.dim() > 1 else x


def strided(x: Tensor) -> Tensor:
    return torch.stack([x, 0 * x], -1)[..., 0]


def with_gradient(x: Tensor) -> Tensor:
    return x.clone().requires_grad_() if x.is_floating_point() else x


LAYOUTS = (plain, transposed, strided, with_gradient)


def inputs(kind: str, shape: tuple, dtype: torch.dtype, seed: int) -> Tensor:
    """Pixels of 0 and 1, a single 1 of them, grey ones, or real numbers, that the dtype holds without rounding."""
    random = torch.Generator().manual_seed(seed)
    if kind == "one-hot":
        y = torch.randint(shape[-1], shape[:-1], generator=random)
        return torch.nn.functional.one_hot(y, shape[-1]).to(dtype)
    if kind == "pixels" or dtype == torch.bool:
        return torch.randint(2, shape, generator=random).to(dtype)
    if not dtype.is_floating_point:  # bytes from 0, other whole numbers below it, too
        low = 0 if kind == "grey" or dtype == torch.uint8 else -2
        return torch.randint(low, 2 if kind == "grey" else 4, shape, generator=random).to(dtype)
    x = (
        torch.rand(shape, generator=random)
        if kind == "grey"
        else torch.randn(shape, generator=random)
    )
    return x.to(torch.bfloat16).to(torch.float16).to(dtype)


def cases(kind: str, dim: int, rows: tuple = (), leads=LEADS):
    """Inputs in each dtype and with each of these leading axes, in one layout after another."""
    for i, dtype in enumerate(DTYPES):
        for j, lead in enumerate(leads):
            layout = LAYOUTS[(i + j) % len(LAYOUTS)]
            yield dtype, lead, layout(inputs(kind, (*lead, *rows, dim), dtype, 10 * i + j))


def wider(dtype: torch.dtype) -> torch.dtype:
    """The dtype of an answer from parameters in float32."""
    return torch.promote_types(dtype, torch.float32)


def answer(f, *arguments):
    """What f returns, without a gradient; None if it refuses in one sentence of the course's own."""
    try:
        result = f(*arguments)
    except (ValueError, TypeError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{last.filename}:{last.lineno}: {type(error).__name__}: {error}"
        assert OURS in Path(last.filename).parents, f"not a sentence of ours, {said}"
        assert "\n" not in str(error) and len(str(error)) < 300, said
        return None
    return result


def tensors(result) -> list[Tensor]:
    """All numbers in an answer."""
    if isinstance(result, Tensor):
        return [result.detach()]
    if isinstance(result, dict):
        return [t for part in result.values() for t in tensors(part)]
    if isinstance(result, tuple | list):
        return [t for part in result for t in tensors(part)]
    return [torch.as_tensor(result)]


def same(found, expected, dtype: torch.dtype | None = None) -> None:
    """Equal numbers up to the rounding of single precision, of this dtype where one is given."""
    found, expected = tensors(found), tensors(expected)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert dtype is None or not a.is_floating_point() or a.dtype == dtype, a.dtype
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-3, atol=1e-3)


def in_float64(module):
    """The same parameters in float64."""
    return copy.deepcopy(module).double()


def pair(entry) -> tuple:
    """A density with parameters in float32, and the same with them in float64."""
    parts = Parts(entry)
    wide = Parts.__new__(Parts)
    wide.entry = entry
    wide.kept = [
        k.detach().double() if isinstance(k, Tensor) else k.double()
        for k in copy.deepcopy([k.detach() if isinstance(k, Tensor) else k for k in parts.kept])
    ]
    density = parts.build()
    torch.set_default_dtype(torch.float64)
    try:
        return density, wide.build()
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.fixture
def same_noise(monkeypatch):
    """Random numbers are the same in every dtype, and in calls of any order."""

    def draws(f, like=False):
        def drawn(*shape, dtype=None, **more):
            shape, dtype = (shape[0].shape, shape[0].dtype) if like else (shape, dtype)
            shape = shape[0] if shape and isinstance(shape[0], tuple) else shape
            wide = f(tuple(shape), dtype=torch.float64, **more)
            return wide.to(dtype or torch.get_default_dtype())

        return drawn

    randn, rand, multinomial = torch.randn, torch.rand, torch.multinomial
    monkeypatch.setattr(torch, "multinomial", lambda p, *more: multinomial(p.double(), *more))
    monkeypatch.setattr(torch, "randn", draws(randn))
    monkeypatch.setattr(torch, "rand", draws(rand))
    monkeypatch.setattr(torch, "randn_like", draws(randn, like=True))
    monkeypatch.setattr(torch, "rand_like", draws(rand, like=True))


def seeded(f, *arguments):
    torch.manual_seed(0)
    return f(*arguments)


def each(table, without=()):
    kinds = [c for c in table if c not in without]
    return pytest.mark.parametrize("kind", kinds, ids=lambda c: c.__name__)


# --- densities -----------------------------------------------------------------------------------


@each(DENSITIES, without=(Point,))
def test_a_log_density_is_that_of_float64(kind):
    entry = DENSITIES[kind]
    density, wide = pair(entry)
    for rows in {entry.rows, ()}:
        for dtype, _, x in cases(entry.kind, entry.dim, rows):
            found, lead = answer(density.log_prob, x), x.shape[:-1]
            if not fits(lead, entry.rows):
                assert found is None
                continue
            same(found, wide.log_prob(x.double()), wider(dtype))
            assert found.shape == torch.broadcast_shapes(lead, entry.rows)
    if type(density).select is not densities.Density.select:
        for dtype, _, x in cases(entry.kind, entry.dim):
            same(density.cross_log_prob(x), wide.cross_log_prob(x.double()), wider(dtype))


def fits(lead: tuple, rows: tuple) -> bool:
    try:
        torch.broadcast_shapes(lead, rows)
    except RuntimeError:
        return False
    return True


@each(DENSITIES, without=(Point, IsingGrid))  # a grid's states are counted, on no device without
def test_a_log_density_on_meta_has_its_shape_and_refuses_another_device(kind):
    entry = DENSITIES[kind]
    parts = Parts(entry)
    parts.kept = [k.to("meta") for k in parts.kept]
    with torch.device("meta"):
        density = parts.build()
        log_p = density.log_prob(torch.zeros(5, *entry.rows, entry.dim))
    assert log_p.is_meta and log_p.shape == (5, *entry.rows)
    assert answer(density.log_prob, torch.zeros(5, *entry.rows, entry.dim, device="cpu")) is None


@each(DENSITIES, without=(Point,))
def test_a_log_density_is_mapped_over_a_batch(kind):
    """torch.func.vmap, of which per-example gradients are made, can look at no value."""
    entry = DENSITIES[kind]
    density = Parts(entry).build()
    x = inputs(entry.kind, (4, *entry.rows, entry.dim), torch.float32, 0)
    same(torch.func.vmap(density.log_prob)(x), density.log_prob(x))


def test_the_gradient_of_each_example_is_mapped():
    model = VAE(2, 6, data_dim=4)
    x, z = all_images(4)[:5], torch.randn(5, 2)
    decoder = {name: p.detach() for name, p in model.decoder.named_parameters()}

    def log_p(parameters, x, z):
        return torch.func.functional_call(model.decoder, parameters, (z,)).log_prob(x)

    found = torch.func.vmap(torch.func.grad(log_p), (None, 0, 0))(decoder, x, z)
    for i in range(5):
        gradient = torch.func.grad(log_p)(decoder, x[i], z[i])
        same({name: g[i] for name, g in found.items()}, gradient)


@property_test
@example(math.inf)
@example(math.nan)
@example(1 + 2**-23)
@given(st.floats(width=32).filter(lambda value: value not in (0.0, 1.0)))
def test_what_is_no_pixel_is_refused_or_gives_nan(wrong):
    x = torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, wrong]])
    p = Bernoulli(torch.randn(3))
    for ask in (p.log_prob, Bernoulli(torch.randn(4, 3)).cross_log_prob):
        with pytest.raises(ValueError, match="expected binary pixels"):
            ask(x)
    found = torch.func.vmap(p.log_prob)(x)
    same(found[0], p.log_prob(x[0]))
    assert found[1].isnan()


@each(MADE)
def test_a_training_step_reads_no_value(kind, monkeypatch):
    """A GPU would wait for it. On meta there are no values, and who asks for one is told so here."""

    def watched(name):
        of_any = getattr(Tensor, name)

        def read(x, *more):
            assert not x.is_meta, "a value was read"
            return of_any(x, *more)

        return read

    model = MADE[kind].make().to("meta")
    x = torch.zeros(4, MADE[kind].dim, device="meta")
    y = torch.zeros(4, dtype=torch.int64, device="meta")
    for name in ("__bool__", "item", "tolist", "__float__", "__int__"):
        monkeypatch.setattr(Tensor, name, watched(name))
    for name in ("objective", "discriminator_objective", "generator_objective"):
        if hasattr(model, name):
            ask = getattr(model, name)
            value, _ = ask(x, y) if hasattr(kind, "labelled") else ask(x)
            value.sum().backward()
            assert value.is_meta and value.shape == (4,)


# --- conditionals and flows ----------------------------------------------------------------------

CONDITIONALS = {
    GaussianConditional: lambda: conditional(3, 2),
    BernoulliConditional: lambda: BernoulliConditional(gated_mlp([3, 4, 2])),
    CategoricalConditional: lambda: CategoricalConditional(gated_mlp([3, 4, 2])),
    CategoricalsConditional: lambda: CategoricalsConditional(gated_mlp([3, 4, 12]), (2, 3), 2),
    IsotropicGaussianConditional: lambda: IsotropicGaussianConditional(gated_mlp([3, 4, 2]), -1),
    PointConditional: lambda: PointConditional(gated_mlp([3, 4, 2])),
    LinearGaussianConditional: lambda: LinearGaussianConditional(3, 2),
    FlowConditional: lambda: FlowConditional(gated_mlp([3, 4, 6]), PlanarFlow(2, 2, 2), 2),
    PixelConditional: lambda: PixelConditional(pixel_net(), gated_mlp([3, 4, 16])),
    SequenceConditional: lambda: SequenceConditional(RecurrentNet(4, 3, 2, 5)),
}
CHAINS = {PixelConditional, SequenceConditional}  # have no mean
FLOWS = {
    Affine: lambda given: Affine(2),
    PlanarFlow: lambda given: PlanarFlow(2, 2, given),
    HouseholderFlow: lambda given: HouseholderFlow(2, 2, given),
    InverseAutoregressiveFlow: lambda given: InverseAutoregressiveFlow(2, (4,), given),
    Flows: lambda given: Flows(PlanarFlow(2, 1, given), InverseAutoregressiveFlow(2, (4,), given)),
}


def test_every_conditional_and_flow_is_asked():
    modules = [densities] + [
        inspect.importlib.import_module(f"dgmcourse.models.{name}") for name in model_files()
    ]
    found = {c for module in modules for c in vars(module).values() if inspect.isclass(c)}
    kinds = {c for c in found if issubclass(c, nn.Module)}
    assert {c for c in kinds if c.__name__.endswith("Conditional")} == set(CONDITIONALS)
    flow = inspect.getmodule(Flows).Flow
    assert {c for c in kinds if issubclass(c, flow)} - {flow} == set(FLOWS)


@each(CONDITIONALS)
def test_a_conditional_is_that_of_float64(kind):
    net = shaken(CONDITIONALS[kind]())
    wide = in_float64(net)

    def ask(net, given):
        p = net(given)
        return p.log_prob(all_images(4)[5]) if kind in CHAINS else p.mean

    for dtype, lead, x in cases("real", 3):
        found = answer(ask, net, x)
        same(found, ask(wide, x.double()), None if kind in CHAINS else wider(dtype))
        assert found.shape[: len(lead)] == lead
    assert answer(net, torch.zeros(2, 4)) is None and answer(net, [0.0, 1.0, 2.0]) is None
    assert answer(copy.deepcopy(net).to("meta"), torch.zeros(2, 3)) is None


@each(FLOWS)
@pytest.mark.parametrize("given_dim", [0, 3])
def test_a_flow_is_that_of_float64(kind, given_dim):
    given_dim = 0 if kind is Affine else given_dim
    flow = shaken(FLOWS[kind](given_dim))
    wide = in_float64(flow)
    for dtype, lead, z in cases("real", 2):
        h = inputs("real", (*lead, given_dim), dtype, 1) if given_dim else None
        found = answer(flow, z, h)
        same(found, wide(z.double(), None if h is None else h.double()), wider(dtype))
        assert found[1].shape == lead
        same(flow.inverse(found[0], h), z)
    assert answer(flow, torch.zeros(4, 3), h) is None and answer(flow, [0.0, 1.0], h) is None


# --- models --------------------------------------------------------------------------------------

QUESTIONS = {
    "objective": lambda model, *x: model.objective(*x),
    "discriminator_objective": lambda model, *x: model.discriminator_objective(*x),
    "generator_objective": lambda model, *x: model.generator_objective(*x),
    "noise_objective": lambda model, x: model.noise_objective(x),
    "elbo": lambda model, x, *y: model.elbo(x),
    "log_weight": lambda model, x, *y: torch.no_grad()(model.log_weight)(x, (2,)),
    "log_prob": lambda model, x, *y: model.log_prob(x),
    "log_joint": lambda model, x: model.log_joint(x),
    "reconstruct": lambda model, x, *y: model.reconstruct(x),
    "posterior_mean": lambda model, x: model.posterior_mean(x, 10),
    "features": lambda model, x, *y: model.features(x),
    "classify": lambda model, x, *y: model.classify(x),
    "complete": lambda model, x: model.complete(x, torch.tensor([True, False])),
    "denoise": lambda model, x: model.denoise(x, 2),
}
OF_BATCHES = {  # what is defined for a batch, (N, D), only
    (WassersteinAutoEncoder, "objective"),
    *((DigitClassifier, name) for name in ("objective", "features", "classify")),
}


@each(MADE)
def test_a_models_answers_are_those_of_float64(kind, same_noise):
    entry = MADE[kind]
    model = entry.make() if entry.dim == 784 else shaken(entry.make())  # large sums would cancel
    model.eval()
    wide = in_float64(model)
    asked = [name for name in QUESTIONS if hasattr(model, name)]
    asked = [name for name in asked if (kind, name) != (PixelVAE, "reconstruct")]  # has no mean
    for i, (_, lead, x) in enumerate(cases(entry.kind, entry.dim)):
        if entry.dim == 784 and (i + i // len(LEADS)) % len(LEADS):
            continue  # of large ones, one lead for each dtype
        y = (torch.zeros(lead, dtype=torch.int64),) if hasattr(kind, "labelled") else ()
        for name in asked:
            found = answer(seeded, QUESTIONS[name], model, x, *y)
            if (kind, name) in OF_BATCHES and len(lead) != 1:
                assert found is None, (name, lead)
            elif found is None:  # a discrepancy of fewer than two
                assert kind is WassersteinAutoEncoder and lead in ((0,), (1,)), (name, lead)
            else:
                same(found, seeded(QUESTIONS[name], wide, x.double(), *y))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("of_net", [torch.float32, torch.float64])
def test_a_network_of_noise_takes_any_dtype(dtype, of_net):
    net = NoiseNet(2, (8,))
    z, log_snr = inputs("real", (5, 2), dtype, 0), torch.tensor([1.5])
    expected = in_float64(net)(z.double(), log_snr.double())
    same(net.to(of_net)(z, log_snr), expected, torch.promote_types(wider(dtype), of_net))
    model = Diffusion(net, 2, linear_schedule(5, 3, -3))
    assert answer(model.objective, z) is not None


@pytest.mark.parametrize("x", [torch.tensor([[0, 255], [1, 16]]), torch.eye(2)])
def test_pixels_of_every_dtype_have_their_potential(x):
    """At 2 x - 1 bytes would wrap, and b b = b holds for none but 0 and 1 modulo 256, too."""
    grid = IsingGrid(1, 2, 0.4, 0.2)
    for dtype in DTYPES[1:]:
        found = answer(grid.log_potential, x.to(dtype))
        if x.max() > 1:
            assert found is None
        else:
            same(found, torch.tensor([-0.4, -0.4]))


def test_a_grid_is_fitted_by_gradient():
    x = all_images(4).double()
    coupling, field = (
        torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (0.4, -0.2)
    )
    for shape in ((), (2,)):
        parameters = [a.detach().expand(shape).clone().requires_grad_() for a in (coupling, field)]

        def log_p(J, h, lead=shape):
            return IsingGrid(2, 2, J, h).log_prob(x[3] if not lead else x[3].expand(*lead, 4))

        assert torch.autograd.gradcheck(log_p, parameters)


# --- toy data, distances, estimators -------------------------------------------------------------


@property_test
@given(
    st.lists(st.integers(0, 255), min_size=2, max_size=2),
    st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=2), min_size=3, max_size=3),
    st.floats(0.5, 5),
)
def test_whole_numbers_have_the_density_of_floats(point, means, std):
    """Their results were cut to whole numbers, and bytes wrapped; so were parameters."""
    mixture = toy.mixture(means, std)
    mean = torch.tensor(means, dtype=torch.float64)
    each = torch.distributions.Normal(mean, std).log_prob(torch.tensor(point)).sum(-1)
    expected = torch.logsumexp(each, 0) - math.log(3)
    for dtype in DTYPES[1:3]:
        for found in (mixture.log_prob, toy.mixture(mean.to(dtype), std).log_prob):
            assert found(torch.tensor(point).to(dtype)).item() == pytest.approx(
                expected.item(), rel=1e-4
            )
    parts = Gaussian(torch.tensor(means), torch.zeros(3, 2, dtype=torch.int64))
    assert parts.sample((0,)).shape == (0, 3, 2) and parts.sample().is_floating_point()


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_mixture_draws_nothing_where_nothing_is_asked(dtype):
    mixture = Mixture(torch.zeros(3, dtype=dtype), Gaussian(*torch.zeros(2, 3, 2, dtype=dtype)))
    assert mixture.sample((0,)).shape == (0, 2) and mixture.sample((4,)).dtype == dtype


def test_a_mixture_has_one_weight_for_each_component():
    """A single one would broadcast, and the density would integrate to 3."""
    means = [[0, 0], [1, 1], [2, 2]]
    for weights in ([1.0], [1.0, 2.0]):
        assert answer(toy.mixture, means, 1.0, weights) is None
        parts = Gaussian(torch.zeros(3, 2), torch.zeros(3, 2))
        assert answer(Mixture, torch.tensor(weights), parts) is None
    for stds in ([1.0, 2.0], [[1.0, 2.0]], -1.0, 0, math.nan):
        assert answer(toy.mixture, means, stds) is None


DISTANCES = {
    "wasserstein_1d": lambda x, y: distances.wasserstein_1d(x.mT, y.mT),
    "sliced_wasserstein": lambda x, y: distances.sliced_wasserstein(x, y, 20),
    "wasserstein": distances.wasserstein,
    "frechet": distances.frechet,
    "mmd": distances.mmd,
    "modes_found": lambda x, y: distances.modes_found(x, y[:2], 0.3),
    "precision_and_recall": evaluate.precision_and_recall,
}
each_distance = pytest.mark.parametrize("name", DISTANCES)


@each_distance
def test_a_distance_is_that_of_float64(name):
    distance = DISTANCES[name]
    for (dtype, _, x), (_, _, y) in zip(
        cases("real", 3, leads=((6,),)), [*cases("real", 3, leads=((6,),))][::-1], strict=True
    ):
        for other in (y, inputs("real", (6, 3), dtype, 5)):
            same(answer(distance, x, other), distance(x.double(), other.double()))


@each_distance
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_distance_of_what_is_no_number_is_none(name, wrong):
    """Refused, or NaN or infinity; of what counts near points, such a point is near none."""
    x, y = torch.randn(6, 3), torch.randn(6, 3)
    x[2, 1] = wrong
    found = answer(DISTANCES[name], x, y)
    if name == "modes_found":
        x[2] = 1e6
        assert found == DISTANCES[name](x, y)
    else:
        assert found is None or not all(t.isfinite().all() for t in tensors(found))


@each_distance
def test_what_are_no_sets_of_points_is_refused(name):
    x = torch.randn(6, 3)
    wrong = (x[0], x[:0], x.expand(2, 6, 3), x[:, :0], x.tolist(), x.to("meta"), x.to(torch.cfloat))
    for bad in wrong:
        if name != "wasserstein_1d" or isinstance(bad, Tensor) and bad.dim() == 2:  # transposed
            assert answer(DISTANCES[name], bad, x) is None, bad


ESTIMATORS = {
    "log_likelihood": lambda model, x: evaluate.log_likelihood(model, x, 20),
    "from_prior": lambda model, x: evaluate.log_likelihood_from_prior(model, x, 20),
    "kl_of_each_unit": evaluate.kl_of_each_unit,
    "active_units": evaluate.active_units,
}
each_estimator = pytest.mark.parametrize("name", ESTIMATORS)


@each_estimator
def test_an_estimate_is_that_of_float64(name, same_noise):
    model, estimate = VAE(2, 6, data_dim=4), ESTIMATORS[name]
    wide = in_float64(model)
    for _, _, x in cases("pixels", 4, leads=((4,),)):
        found = answer(seeded, estimate, model, x)
        same(found, seeded(estimate, wide, x.double()))


@each_estimator
def test_an_estimate_needs_a_batch_and_keeps_nan_in_its_row(name):
    """One image of 784 pixels without a batch gave 784 equal numbers."""
    model, x = VAE(2, 6, "gaussian", data_dim=4), torch.rand(3, 4)
    for wrong in (x[0], x[:0], x[:, :3], x.expand(2, 3, 4), x.tolist(), x.to("meta")):
        assert answer(ESTIMATORS[name], model, wrong) is None
    x[1, 2] = math.nan
    found = answer(ESTIMATORS[name], model, x)
    if name == "active_units":
        assert found is None
    elif name == "kl_of_each_unit":
        assert found.isnan().all()
    else:
        assert found.isnan().tolist() == [False, True, False]


def test_free_bits_and_sharpness_are_of_batches():
    model, x = VAE(2, 6, data_dim=4), torch.zeros(3, 4)
    assert answer(free_bits(model, 0.1), x)[0].shape == (3,)
    assert answer(free_bits(model, 0.1), x[0]) is None
    assert answer(measure.sharpness, torch.zeros(784)) is None
    bytes_ = torch.randint(256, (3, 784), dtype=torch.uint8)
    same(measure.sharpness(bytes_), measure.sharpness(bytes_.double()))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1.0, 0.0])
def test_em_refuses_weights_that_are_none(wrong):
    """NaN made every parameter NaN."""
    model, x = FactorAnalysis(3, 1), torch.randn(5, 3)
    before = copy.deepcopy(model.state_dict())
    weights = torch.full((5,), wrong)
    for step in (model.em_step, model.initialise):
        assert answer(step, x, weights) is None and answer(step, x[0]) is None
    same(model.state_dict(), before)


def test_em_takes_whole_numbers():
    x = torch.randint(5, (20, 3))
    values = []
    for points in (x, x.double()):
        torch.manual_seed(0)
        model = FactorAnalysis(3, 1)
        model.initialise(points)
        values.append(model.fit_em(points, 3))
    same(*values)
