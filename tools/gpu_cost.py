"""What each recipe would cost on a GPU, from counted operations: writes docs/gpu.md.

    python tools/gpu_cost.py         count a training step of every recipe again, into gpu_cost.json
    python tools/gpu_cost.py cpu     and time some of them on one core of this machine
    python tools/gpu_cost.py page    the page alone, from gpu_cost.json and the weights' headers
    torchrun --nproc-per-node 2 tools/gpu_cost.py together    two steps of each recipe on the CPU

Counting needs the data that the weights were trained on.
"""

import contextlib
import json
import math
import re
import statistics
import sys
import time
from datetime import date
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.flop_counter import flop_registry

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from benchmarks.run import processor  # noqa: E402
from dgmcourse import distributed, recipes, weights  # noqa: E402
from dgmcourse.files import write_atomically  # noqa: E402
from dgmcourse.loop import batches_of  # noqa: E402
from dgmcourse.play import play  # noqa: E402
from dgmcourse.train import fit  # noqa: E402

PAGE = ROOT / "docs" / "gpu.md"
COUNTS = Path(__file__).with_suffix(".json")


class GPU(NamedTuple):
    """Peaks of dense products, operations a second, of the memory, bytes a second, and its second
    cache, bytes. 0: it has no units for that.
    """

    name: str
    float32: float
    tf32: float
    bfloat16: float
    bandwidth: float
    cache: float
    source: str

    def peak(self, mixed: bool) -> float:
        """Of a training in float32, or with products in bfloat16."""
        return max(self.float32, self.tf32, self.bfloat16 if mixed else 0)


GPUS = (
    GPU("T4", 8.1e12, 0, 0, 320e9, 4e6, "NVIDIA T4 data sheet"),
    GPU("RTX 3060", 12.7e12, 12.7e12, 25.5e12, 360e9, 3e6, "its cores and clock, see below"),
    GPU("A100", 19.5e12, 156e12, 312e12, 2039e9, 40e6, "NVIDIA A100 data sheet, 80 GB SXM"),
    GPU("H100", 67e12, 494.5e12, 989.5e12, 3350e9, 50e6, "NVIDIA H100 data sheet, SXM"),
)
ENDS = GPUS[0], GPUS[-1]  # the slowest and the fastest
LAUNCH = 5e-6  # seconds from one operation of PyTorch to the next: assumed
ADAM = 3 * 4  # bytes of a parameter with its two averages

PAPER_EPOCHS = 2000  # at most, of the VampPrior paper: it stops when validation does
PAPER = ("vae_40d", "vamp_vae", "hvae", "vamp_hvae", "conv_hvae", "vamp_conv_hvae")
SMALLER = {"conv_hvae", "vamp_conv_hvae"}  # than the paper's networks
DECODER = "paper_decoder"
TIMED = ("vae_40d", "vamp_vae", "conv_hvae", "dcgan", "pixelcnn", "gated_pixelcnn", "m2")


class PaperDecoder(nn.Module):
    """The VampPrior paper's convolutional decoder from 28x28 numbers on: four gated convolutions of
    64 channels at full size, and a logit for each pixel.
    """

    def __init__(self, channels: int = 64):
        super().__init__()
        layers = []
        for i in (1, channels, channels, channels):
            layers += [nn.Conv2d(i, 2 * channels, 3, padding=1), nn.GLU(dim=1)]
        self.layers = nn.Sequential(
            nn.Unflatten(1, (1, 28, 28)), *layers, nn.Conv2d(channels, 1, 1)
        )

    def objective(self, x: Tensor, beta: float) -> tuple[Tensor, dict[str, Tensor]]:
        return self.layers(x).flatten(1).mean(1), {}


# --- counting -------------------------------------------------------------------------------------


class Count(NamedTuple):
    """A training step, both players of a game together.

    products: floating-point operations of matrix products and convolutions; a multiplication and an
        addition are two. live: bytes that the forward pass keeps for the backward pass, without
        parameters; of a game, the larger of the two. operations: of PyTorch, without views, a
        recurrent layer as one each way.
    """

    products: int
    live: int
    operations: int


class Counter(TorchDispatchMode):
    """Counts what runs inside.

    Raises:
        NotImplementedError: at a product of which it has no formula.
    """

    PRODUCT = re.compile(r"(mm|mv)_?$|dot|conv|linear|rnn|lstm|gru")
    NO_KERNEL = re.compile(r"empty|promote_types|_local_scalar|scalar_tensor|_?unsafe_")

    def __init__(self, model: nn.Module):
        super().__init__()
        self.products = self.operations = self.live = 0
        self.fused, self.kept = False, {}
        self.own = {x.untyped_storage().data_ptr() for x in [*model.parameters(), *model.buffers()]}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        space, name = func._schema.name.split("::")
        if formula := flop_registry.get(func._overloadpacket):
            self.products += formula(*args, **kwargs, out_val=made)
        elif self.PRODUCT.search(name):
            raise NotImplementedError(f"no formula for the operations of {func}")
        if name == "_fused_adam_":
            self.live, self.kept = max(self.live, self.bytes_kept()), {}
        kernel = space == "aten" and not func.is_view and not self.NO_KERNEL.match(name)
        self.operations += kernel and not self.fused
        return made

    def keep(self, x: Tensor) -> Tensor:
        """A hook of what autograd saves: each piece of memory once, as much of it as is read."""
        storage = x.untyped_storage()
        if storage.data_ptr() not in self.own:
            size = min(x.numel() * x.element_size(), storage.nbytes())
            before, _ = self.kept.get(storage.data_ptr(), (0, None))
            self.kept[storage.data_ptr()] = (
                max(before, size),
                x,
            )  # x: so that no other gets its place
        return x

    def bytes_kept(self) -> int:
        return sum(size for size, _ in self.kept.values())

    @contextlib.contextmanager
    def one_operation(self):
        self.operations, self.fused = self.operations + 1, True
        try:
            yield
        finally:
            self.fused = False

    @contextlib.contextmanager
    def recurrent_layers_fused(self):
        """On a CPU a recurrent layer is many operations, on a GPU a few: here one each way."""
        with contextlib.ExitStack() as stack:
            for name in ("gru", "lstm", "gru_cell", "lstm_cell"):
                f = getattr(torch._VF, name)

                def fused(*given, f=f):
                    leaves, shape = tree_flatten(given)
                    made = Fused.apply(self, f, shape, *leaves)
                    return made if len(made) > 1 else made[0]

                stack.enter_context(mock.patch.object(torch._VF, name, fused, create=True))
            yield


class Fused(torch.autograd.Function):
    """f of what it is given, as one operation of the counter, and one backward."""

    @staticmethod
    def forward(ctx, counter, f, shape, *leaves):
        with counter.one_operation(), torch.enable_grad():
            own = [
                x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x
                for x in leaves
            ]
            made = f(*tree_unflatten(own, shape))
        ctx.set_materialize_grads(False)
        ctx.counter, ctx.made = counter, made if isinstance(made, tuple) else (made,)
        ctx.learn = [isinstance(x, Tensor) and x.requires_grad for x in own]
        ctx.own = [x for x, learns in zip(own, ctx.learn, strict=True) if learns]
        return tuple(x.detach() for x in ctx.made)

    @staticmethod
    def backward(ctx, *gradients):
        with ctx.counter.one_operation():
            made, given = zip(
                *((x, g) for x, g in zip(ctx.made, gradients, strict=True) if g is not None),
                strict=True,
            )
            found = iter(torch.autograd.grad(made, ctx.own, given, allow_unused=True))
        return None, None, None, *(next(found) if learns else None for learns in ctx.learn)


class Same:
    """One batch several times over, data of as many steps; `at_step` is called before each.

    The first step makes the optimiser's averages, and what begins a step ends the one before.
    """

    def __init__(self, batch: tuple, size: int, steps: int, at_step):
        self.batch, self.size, self.steps, self.at_step = batch, size, steps, at_step

    def __len__(self):
        return self.size * self.steps

    def batches(self, size, shuffle):
        for _ in range(self.steps):
            self.at_step()
            yield self.batch

    def to(self, device):
        return self


def training(model: nn.Module, batch: tuple, settings: dict, game: bool, steps: int, at_step):
    """Train by one batch, with a call before each step."""
    data = Same(batch, settings["batch_size"], steps, at_step)
    (play if game else fit)(model, data, **(settings | {"epochs": 1, "progress": False}))


def count(model: nn.Module, batch: tuple, settings: dict, game: bool = False) -> Count:
    """Count the second step of a training."""
    counter, seen = Counter(model), []
    hooks = torch.autograd.graph.saved_tensors_hooks(counter.keep, lambda x: x)
    as_on_a_gpu = mock.patch("dgmcourse.loop.has_bfloat16", return_value=True)
    with as_on_a_gpu, counter.recurrent_layers_fused(), hooks, counter:
        at_step = lambda: seen.append((counter.products, counter.operations))  # noqa: E731
        training(model, batch, settings, game, 3, at_step)
    products, operations = (after - before for before, after in zip(*seen[1:], strict=True))
    return Count(products, counter.live, operations)


def seconds(model: nn.Module, batch: tuple, settings: dict, game: bool = False) -> float:
    """The median processor time of a step here, after five steps."""
    at = []
    training(model, batch, settings, game, 26, lambda: at.append(time.process_time()))
    return statistics.median(b - a for a, b in zip(at[5:-1], at[6:], strict=True))


def setting(name: str) -> tuple[nn.Module, tuple, dict, bool, int]:
    """Of a recipe: its model, untrained; the middle one of a pass's batches by size; the settings;
    whether it is a game; and the number of training examples.

    Raises:
        ValueError: if these are not the data that its weight was trained on.
    """
    recipe = recipes.recipe(name)
    data, model = recipe.data(), weights.build(recipe.model)
    n, told = len(data.train), weights.card(name)["data"]
    if not told.startswith(f"{n:,} training"):
        raise ValueError(f"{name} was trained on {told}, and here are {n:,} to train on")
    batches = batches_of(model, data.train, recipe.settings["batch_size"])
    batches = sorted(batches, key=lambda batch: batch[0].numel())
    return model, batches[len(batches) // 2], recipe.settings, recipe.game, n


def counted() -> dict:
    """Name of a recipe -> its counts, and of the paper's decoder with conv_hvae's settings."""
    found = {}
    for name in recipes.all_recipes():
        model, batch, settings, game, n = setting(name)
        print(name, flush=True)
        found[name] = {
            "parameters": size_of(model),
            "batch": settings["batch_size"],
            "mixed": settings.get("mixed_precision", False),
            "examples": n,
            "shared": not game and can_be_shared(batch),
            **count(model, batch, settings, game)._asdict(),
        }
    like, decoder = found["conv_hvae"], PaperDecoder()
    settings = recipes.recipe("conv_hvae").settings
    batch = (torch.rand(like["batch"], 784),)
    paper = count(decoder, batch, settings)._asdict()
    return found | {DECODER: like | {"parameters": size_of(decoder)} | paper}


def can_be_shared(batch: tuple) -> bool:
    """Whether several processes can train on it."""
    try:
        distributed.share(batch, 0, 2)
    except TypeError:
        return False
    return True


def size_of(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def timed() -> dict:
    """What one core of this machine does: products of large matrices, operations a second, and
    steps of some recipes, processor seconds.
    """
    torch.set_num_threads(1)
    peaks = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b, times = torch.rand(2048, 2048, dtype=dtype), torch.rand(2048, 2048, dtype=dtype), []
        for _ in range(7):
            began = time.process_time()
            a @ b
            times.append(time.process_time() - began)
        peaks[str(dtype).removeprefix("torch.")] = 2 * 2048**3 / statistics.median(times)
    steps = {}
    for name in TIMED:
        model, batch, settings, game, _ = setting(name)
        steps[name] = seconds(model, batch, settings, game)
    return {"machine": processor(), "date": str(date.today()), "peaks": peaks, "steps": steps}


def together(of: dict) -> None:
    """Train two steps of each recipe that several processes can train."""
    distributed.join(torch.device("cpu"))
    for name in recipes.all_recipes():
        if of[name]["shared"]:
            model, batch, settings, game, _ = setting(name)
            training(model, batch, settings, game, 2, lambda: None)
            print(f"{name}: trained by {torch.distributed.get_world_size()} processes", flush=True)
    distributed.leave()


# --- bounds ---------------------------------------------------------------------------------------


def bounds(step: dict, gpu: GPU) -> dict[str, float]:
    """What a step takes at least, seconds: its launches, its products, its traffic with the memory.

    What is live when the forward pass ends and does not fit into the cache was written to the
    memory, and is read again.
    """
    live = ADAM * step["parameters"] + step["live"]
    return {
        "launches": LAUNCH * step["operations"],
        "products": step["products"] / gpu.peak(step["mixed"]),
        "memory": 2 * max(0, live - gpu.cache) / gpu.bandwidth,
    }


def least(step: dict, gpu: GPU) -> float:
    return max(bounds(step, gpu).values())


def bound_by_launches(step: dict, gpu: GPU) -> bool:
    return least(step, gpu) == bounds(step, gpu)["launches"]


def steps_of(step: dict) -> int:
    """In an epoch."""
    return math.ceil(step["examples"] / step["batch"])


# --- the page -------------------------------------------------------------------------------------

HEAD = """# On a GPU

Each recipe is made to train on a GPU with one option, and most on several. This page says how, and what that would
cost at least. **No GPU was at hand when it was written, and nothing here was measured on one.** The times are bounds,
worked out from counted operations and the makers' data sheets.

## How to run

```
python -m dgmcourse train vae_40d --device cuda
torchrun --nproc-per-node 2 -m dgmcourse train vae_40d
```

Without `--device` a training takes the GPU if there is one. `torchrun` starts one process for each GPU, and each takes
its share of every batch ([more](cluster.md)). With `--device cpu` its processes are on the CPU. So it was tried, by
`torchrun --nproc-per-node 2 tools/gpu_cost.py together`: two steps of each recipe, without those that train in one
process only, as games of two players or because a batch holds more than tensors. They are
{alone}.

## The GPUs

| GPU | float32, Tflop/s | TF32 | bfloat16 | memory, GB/s | cache (L2), MB | source |
| --- | --- | --- | --- | --- | --- | --- |
{gpus}

These are peaks of dense products, without sparsity. They were recalled, and held against pages that repeat the data
sheets. The T4 has float16 (65 Tflop/s) and no bfloat16, which is what the recipes' mixed precision uses, so it is held
to float32. For the RTX 3060 (12 GB) the maker states 13 Tflop/s in float32; the numbers here are those of its 28
multiprocessors at 1.78 GHz. A recipe in float32 is held to TF32 where there is any, though PyTorch computes matrix
products in it only when told to: the bound is true with and without.

## A training step, counted

Counted by `python tools/gpu_cost.py`, on a CPU with torch {torch}, in the real training loop: forward,
backward and Adam, and in a game both players.

- *Products* are the floating-point operations of matrix products and convolutions. A multiplication and an addition
  are two. A masked weight counts where it is computed.
- *Kept* is what the forward pass keeps for the backward pass.
- *Operations* are PyTorch's, without views. A GPU launches about one kernel for each, and for some several. A recurrent
  layer is one each way, since a GPU has kernels of its own for it.

| recipe | parameters | batch | precision | products, Gflop | kept, MB | operations | steps an epoch | epochs |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{counts}

## The least a step takes

A step takes at least the largest of three times:

- launches: operations x {launch:.0f} microseconds, about what PyTorch needs on the host for a small kernel. That
  number is an assumption. CUDA graphs and `torch.compile`, which the course does not use, get below it.
- products: their number / the peak.
- memory: twice what is live when the forward pass ends and exceeds the cache / the bandwidth. Live are parameters,
  Adam's averages and what is kept.

In microseconds, and in bold what exceeds the launches:

| recipe | launches | products, {products} | memory, {memory} |
| --- | --- | {rules} | {rules} |
{steps}

**Launches bound {launched[0]} of {all} recipes on the {end[0]}, and {launched[1]} on the {end[1]}.** The course's
models are small: a GPU waits for the host, and a faster GPU gains nothing. Larger batches would use it better, and are
another training.

## The shipped trainings

These are the bounds of whole trainings, without validation. Beside them is the time in the weight's header, with
validation, on CPU cores that were shared with other work. The last column is that time / the bound on the {end[1]}:
a ceiling of what it gains. A low ceiling says something. A high one says little, since a real step takes longer than
its bound.

| recipe | steps | {ends} | CPU, measured | gain, at most |
| --- | --- | --- | --- | --- | --- |
{trainings}

## At the paper's scale

The VampPrior paper trains for at most {epochs:,} epochs and stops when validation does. The feed-forward networks are
the paper's. Our convolutional ones are smaller, so the last row is the paper's decoder alone: four gated convolutions
of 64 channels at full size, which both of the paper's convolutional models contain. There the products decide, but on
the {end[1]}, where launches still do. The CPU's time is the header's, scaled to {epochs:,} epochs.

| recipe | {names} | CPU, scaled |
| --- | {rules} | --- |
{paper}

For the other recipes we do not know how many epochs the papers trained, or the paper's data are others.

## How near a CPU comes to its peak

One core, {machine}, {date}, processor time, by `python tools/gpu_cost.py cpu`. A product of two matrices of
2,048 x 2,048 runs at {float32:.0f} Gflop/s in float32 and at {bfloat16:.0f} in bfloat16. The share is that of the
product in the recipe's precision.

| recipe | step, ms | products, Gflop | Gflop/s | share |
| --- | --- | --- | --- | --- |
{shares}

## Not tried

Nothing was trained, tested or timed on a GPU, on Apple's GPU, or on several GPUs with NCCL. In their place, each model
takes a step on PyTorch's device without memory, `meta`, so that no tensor strays to another device, and two processes
on a CPU train to the numbers of one (`tests/test_distributed.py`). Some tests use a GPU where there is one, and
`make bench ARGS="gpu"` times a step and an epoch there.
"""


def row(*cells) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def amount(x: float) -> str:
    """Two digits that count, at least."""
    return f"{x:,.0f}" if x >= 10 else f"{x:.2g}" if x >= 0.1 else f"{x:.1g}"


def duration(s: float) -> str:
    for unit, name in ((3600, "h"), (60, "min")):
        if s >= unit:
            return f"{amount(s / unit)} {name}"
    return f"{amount(s)} s"


def line_of_step(name: str, step: dict) -> str:
    """Microseconds, in bold what is more than the launches."""
    found = [bounds(step, gpu) for gpu in GPUS]
    launches = found[0]["launches"]
    cells = [amount(1e6 * launches)]
    for what in ("products", "memory"):
        for one in found:
            shown = amount(1e6 * one[what])
            cells.append(f"**{shown}**" if one[what] > launches else shown)
    return row(name, *cells)


def durations(step: dict, steps: int, gpus: tuple[GPU, ...] = GPUS) -> list[str]:
    return [duration(steps * least(step, gpu)) for gpu in gpus]


def text(found: dict) -> str:
    """The page, of what `gpu_cost.json` holds."""
    of, cpu = dict(found["recipes"]), found["cpu"]
    decoder, cards = of.pop(DECODER), {name: weights.card(name) for name in recipes.all_recipes()}
    counts, trainings, paper, shares = [], [], [], []
    for name, step in of.items():
        epochs = cards[name]["epochs_trained"]
        counts.append(
            row(
                name,
                f"{step['parameters']:,}",
                step["batch"],
                "bfloat16" if step["mixed"] else "float32",
                amount(step["products"] / 1e9),
                amount(step["live"] / 1e6),
                f"{step['operations']:,}",
                f"{steps_of(step):,}",
                f"{epochs:,}",
            )
        )
        steps = epochs * steps_of(step)
        measured = cards[name]["seconds"]
        gain = f"{amount(measured / steps / least(step, ENDS[1]))} times"
        there = durations(step, steps, ENDS)
        trainings.append(row(name, f"{steps:,}", *there, duration(measured), gain))
        if name in PAPER:
            steps = PAPER_EPOCHS * steps_of(step)
            shown = f"{name}, our smaller network" if name in SMALLER else name
            there = duration(measured / epochs * PAPER_EPOCHS)
            paper.append(row(shown, *durations(step, steps), there))
    steps = PAPER_EPOCHS * steps_of(decoder)
    paper.append(row("the paper's decoder alone", *durations(decoder, steps), "not known"))
    for name, took in cpu["steps"].items():
        rate = of[name]["products"] / took
        peaks = cpu["peaks"]  # where bfloat16 is emulated, float32 is what a training uses
        peak = max(peaks.values()) if of[name]["mixed"] else peaks["float32"]
        gflop = amount(of[name]["products"] / 1e9)
        shares.append(
            row(name, amount(1e3 * took), gflop, amount(rate / 1e9), f"{rate / peak:.0%}")
        )
    gpus = [
        row(
            gpu.name,
            *(f"{x / 1e12:g}" if x else "none" for x in gpu[1:4]),
            f"{gpu.bandwidth / 1e9:,.0f}",
            f"{gpu.cache / 1e6:.0f}",
            gpu.source,
        )
        for gpu in GPUS
    ]
    return HEAD.format(
        alone=", ".join(name for name, step in of.items() if not step["shared"]),
        gpus="\n".join(gpus),
        counts="\n".join(counts),
        steps="\n".join(line_of_step(name, step) for name, step in of.items()),
        trainings="\n".join(trainings),
        paper="\n".join(paper),
        shares="\n".join(shares),
        names=" | ".join(gpu.name for gpu in GPUS),
        rules=" | ".join("---" for _ in GPUS),
        products=" | products, ".join(gpu.name for gpu in GPUS),
        memory=" | memory, ".join(gpu.name for gpu in GPUS),
        ends=" | ".join(gpu.name for gpu in ENDS),
        launch=1e6 * LAUNCH,
        launched=[sum(bound_by_launches(step, gpu) for step in of.values()) for gpu in ENDS],
        all=len(of),
        end=[gpu.name for gpu in ENDS],
        torch=found["torch"],
        epochs=PAPER_EPOCHS,
        machine=cpu["machine"],
        date=cpu["date"],
        **{name: peak / 1e9 for name, peak in cpu["peaks"].items()},
    )


def main(what: list[str]) -> None:
    found = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    if what == ["together"]:
        return together(found["recipes"])
    if what == ["cpu"]:
        found["cpu"] = timed()
    elif what != ["page"]:
        found |= {"torch": torch.__version__, "recipes": counted()}
    write_atomically(COUNTS, (json.dumps(found, indent=1) + "\n").encode())
    if "cpu" in found and "recipes" in found:
        write_atomically(PAGE, text(found).encode())
        print(PAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
