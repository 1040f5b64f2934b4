"""Weights: the files of trained parameters, and the models built from them.

A weight is a .safetensors file in dgmcourse/weights. It holds parameters in half precision, or in 8
bits where that is too large, and in its header, as JSON, the weight's card: the model's class and
arguments, settings, seed, data, training curve, results (measured after rounding) and a hash of the
parameters. Loading needs no recipe. The tables of studies are JSON files in the same folder.
"""

import contextlib
import hashlib
import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dgmcourse.files import write_atomically

WEIGHTS = Path(__file__).parent / "weights"
MODELS = "dgmcourse.models"
BLOCK, SCALE = 32, ".scale"  # 8-bit numbers that share a scale, and the suffix of its tensor


def load(name: str) -> nn.Module:
    """The trained model of that name, in evaluation mode, float32, on the CPU.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged: its hash differs, or its header describes no model of
            `dgmcourse.models` with these parameters.
    """
    tensors, facts = read(name)
    try:
        with torch.random.fork_rng(devices=[]):  # the initial parameters are not kept
            model = build(facts["model"])
        model.load_state_dict(unpacked(tensors))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path_of(name)} is damaged: its header describes no model with its parameters"
            f" ({str(error).splitlines()[0]})"
        ) from error
    return model.eval()


def card(name: str) -> dict:
    """The card in the weight's header: model, settings, seed, data, curve, results (nats), hash.

    Raises:
        FileNotFoundError, ValueError: as `load`.
    """
    return read(name)[1]


def study(name: str) -> dict:
    """The table of a study (`dgmcourse.studies`): its "rows", dictionaries, and the settings used.

    Raises:
        FileNotFoundError: if there is none of that name.
    """
    path = WEIGHTS / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: python -m dgmcourse.studies {name} makes it")
    return json.loads(path.read_text())


def claims() -> list[dict]:
    """The lecture's claims as the notebooks measured them: rows {notebook, claim, cell, lecture,
    measured}, where `cell` is the id of the measuring cell. `notebooks/build.py` collects them from
    the closing tables.
    """
    return json.loads((WEIGHTS / "claims.json").read_text(encoding="utf-8"))


def notebooks() -> list[dict]:
    """What each notebook says of itself: rows {notebook, title, about, slides, minutes, exercises};
    where it has them, part and question of the course's map, and weights, {name: family}.

    `notebooks/build.py` collects them from the headers of the notebooks' sources.
    """
    return json.loads((WEIGHTS / "notebooks.json").read_text(encoding="utf-8"))


def constructor(model: type[nn.Module], **arguments) -> dict:
    """A model's class and arguments as plain data, for a recipe and a header; `build` is the inverse.

    `constructor(VAE, latent_dim=2)` is {"class": "vae:VAE", "arguments": {"latent_dim": 2}}. An
    argument that is a module itself is given as its constructor.
    """
    module = model.__module__.removeprefix(f"{MODELS}.")
    return {"class": f"{module}:{model.__name__}", "arguments": arguments}


def build(constructor: dict) -> nn.Module:
    """The model of a `constructor`, with initial parameters.

    Raises:
        ValueError: unless the class is an nn.Module defined in a file of `dgmcourse.models`: a
            weight's header must not run other code.
    """
    module, _, name = constructor["class"].partition(":")
    place = f"{MODELS}.{module}"
    if module.isidentifier() and find_spec(place):
        model = getattr(import_module(place), name, None)
        defined = isinstance(model, type) and model.__module__ == place
        if defined and issubclass(model, nn.Module):
            arguments = constructor["arguments"].items()
            return model(**{k: build(v) if isinstance(v, dict) else v for k, v in arguments})
    raise ValueError(
        f"{constructor['class']!r} is no model of {MODELS}: only classes defined there are built"
    )


def packed(parameters: dict[str, Tensor], bits: int = 16) -> dict[str, Tensor]:
    """The tensors of a file: half precision, or 8-bit integers for matrices.

    With 8 bits each block of 32 numbers is stored as integers up to 127 and one scale, 8.5 bits a
    number in all; that cost the VAEs of 07 and 11 between 0.00 and 0.02 nats.
    """
    tensors = {}
    for name, values in parameters.items():
        values = values.detach().cpu().contiguous()  # as a file has them
        if bits == 16 or values.dim() < 2:
            tensors[name] = values.half()
            continue
        blocks = nn.functional.pad(values.flatten(), (0, -values.numel() % BLOCK)).view(-1, BLOCK)
        scale = (blocks.abs().amax(1, keepdim=True) / 127).clamp(min=1e-7).half()
        whole = (blocks / scale.float()).round().clamp(-127, 127).to(torch.int8)
        tensors[name] = whole.flatten()[: values.numel()].view(values.shape)
        tensors[name + SCALE] = scale.flatten()
    return tensors


def unpacked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parameters that a file's tensors stand for, float32."""
    parameters = {}
    for name in (name for name in tensors if not name.endswith(SCALE)):
        parameters[name] = values = tensors[name].float()
        if name + SCALE in tensors:
            scale = tensors[name + SCALE].float().repeat_interleave(BLOCK)[: values.numel()]
            parameters[name] = values * scale.view(values.shape)
    return parameters


def write(tensors: dict[str, Tensor], facts: dict, path: Path) -> Path:
    """Write tensors and their card, to which the hash is added.

    Raises:
        OSError: as `files.write_atomically`.
    """
    card = json.dumps(facts | {"hash": digest(tensors)})
    write_atomically(path, save(tensors, {"card": card}))
    return path


def read(name: str) -> tuple[dict[str, Tensor], dict]:
    """A file's tensors, checked against its hash, and its card. Errors as `load`."""
    path, whole = path_of(name), False
    with contextlib.suppress(SafetensorError, ValueError, KeyError, TypeError):  # a damaged header
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
            facts = json.loads(file.metadata()["card"])
        whole = digest(tensors) == facts["hash"]
        whole &= all(t.dtype in (torch.half, torch.int8) for t in tensors.values())
    if not whole:
        raise ValueError(
            f"{path} is damaged: its parameters do not have the hash in its header. Fetch the file"
            " again."
        )
    return tensors, facts


def path_of(name: str) -> Path:
    """The weight's file. A FileNotFoundError says which weights there are, and how one is made."""
    path = WEIGHTS / f"{name}.safetensors"
    if not path.exists():
        there = ", ".join(sorted(path.stem for path in WEIGHTS.glob("*.safetensors")))
        raise FileNotFoundError(
            f"{path} is not there: python -m dgmcourse train {name} makes it, if there is such a"
            f" recipe. There are: {there or 'none'}"
        )
    return path


def digest(tensors: dict[str, Tensor]) -> str:
    """sha256 over the parameters' names, shapes and bytes."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(f"{name} {tuple(tensors[name].shape)}".encode())
        total.update(tensors[name].contiguous().numpy().tobytes())
    return total.hexdigest()
