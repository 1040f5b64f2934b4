"""A function that lives in a student's process, as the judge sees it: called like any other, and
gradients pass through it.

What it is given goes there by value, networks and densities with their code, but nothing else of the
judge. Its result comes back as data, and what it has changed in what it was given. The gradients of
the result are asked for when the judge's autograd arrives there.
"""

import builtins
import io
import itertools
import json
import pickle
import signal
import subprocess
import time

import torch
from torch.autograd.function import once_differentiable

from dgmcourse.check import Blank, Wrong, answered
from dgmcourse.classroom.cells import source_of
from dgmcourse.classroom.channel import Channel, Gone, Reader


class Student:
    """The process in the sandbox, of which each submission gets a copy.

    Args:
        command: that starts it.
        memory: bytes that a submission may take; seconds: of a core, for each exercise.
    """

    def __init__(self, command: list[str], memory: int = 2 << 30, seconds: int = 20):
        self.limits = {"memory": memory, "seconds": seconds}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.channel = Channel(self.process.stdout.fileno(), self.process.stdin.fileno())
        self.channel.until = time.monotonic() + 120
        try:
            self.channel.receive()
        except Gone:
            said = self.process.stderr.read().decode(errors="replace").strip() or "no word"
            self.close()
            raise OSError(f"the sandbox does not start: {said.splitlines()[-1]}") from None

    def close(self) -> None:
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()
        self.process.wait()


class Submission:
    """One submission in a student's process. Called, it is the function that was defined last."""

    def __init__(self, student: Student, cells: list[str], token: str):
        self.channel, self.token, self.numbers = student.channel, token, itertools.count()
        self.channel.until = time.monotonic() + 120
        order = {"limits": student.limits, "submission": {"texts": cells, "token": token}}
        self.channel.send(pickle.dumps(order))

    def ask(self, verb: str, *arguments, payload: tuple[bytes, ...] = ()) -> tuple[dict, bytes]:
        self.channel.send(pickle.dumps((verb, *arguments)), *payload)
        reply = self.channel.receive()
        if reply[0] == b"done":
            late = reply[1:] == [b"%d" % -signal.SIGXCPU]
            raise Gone("ran longer than it may" if late else "ended its process")
        try:
            header, data = reply
            said = json.loads(header)
            if said["token"] != self.token:
                raise ValueError
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Gone("wrote where only the grader may") from None
        if "error" in said:
            raise as_exception(str(said["error"]), str(said["text"]))
        return said, data

    def define(self, name: str, known: list[str], seconds: int) -> str:
        """Define a function there; what is wrong if that fails. It and all calls of it have so many
        seconds of a core, and ten times as many by the clock, since a machine may be busy.
        """
        self.channel.until = time.monotonic() + 10 * seconds
        try:
            said, _ = self.ask("define", name, known, seconds)
            self.kind = said["callable"]
            return str(said["trouble"])
        except Exception:  # whatever it has made of its process
            raise Gone("broke the process that it runs in") from None

    def carry(self, name: str, solution) -> None:
        """Let `name` be the course's own function there."""
        try:
            self.ask("carry", name, source_of(solution), solution.__name__)
        except Exception:  # whatever it has made of its process
            raise Gone("broke the process that it runs in") from None

    def end(self) -> None:
        self.channel.until = time.monotonic() + 60
        self.channel.send(pickle.dumps(("end",)))
        if self.channel.receive() != [b"done", b"0"]:
            raise Gone("wrote where only the grader may")

    def __call__(self, *arguments):
        """The function's result, and its traces in the arguments."""
        tensors, payload = packed(arguments)
        number = next(self.numbers)
        said, data = self.ask("call", number, torch.get_rng_state(), payload=(payload,))
        known = {f"tensor {i}": x for i, x in enumerate(tensors)}
        known |= {f"argument {i}": x for i, x in enumerate(arguments)}
        reader = Reader(data, known)
        try:
            result = reader.value(said["result"])
            states = [{k: reader.value(v) for k, v in one.items()} for one in said["states"]]
            result, states = self.connected((result, states), reader.tensors, number, tensors)
            random = reader.value(said["random"])
            changed = {int(i): reader.value(x) for i, x in said["changed"].items()}
            slopes = {int(i): reader.value(x) for i, x in said["slopes"].items()}
            torch.set_rng_state(random)
            for i, x in changed.items():
                tensors[i].data = x.to(tensors[i].dtype)
            for i, x in slopes.items():
                tensors[i].grad = None if x is None else x.to(tensors[i].dtype)
            for one, state in zip(arguments, states, strict=True):
                renew(one, state)
        except Exception as error:  # whatever it has sent
            raise Gone(f"sent what cannot be read ({type(error).__name__})") from None
        if not said["enabled"]:
            torch.set_grad_enabled(False)
        return result

    def connected(self, made: tuple, values: list[torch.Tensor], number: int, tensors: list):
        """What was made of the inputs; its gradients are asked for where the function lives."""
        inputs = [(i, x) for i, x in enumerate(tensors) if x.requires_grad]
        if not values or not inputs:
            return made

        def slopes(*arriving):
            arrays = [a.detach().contiguous().numpy() for a in arriving]
            said, data = self.ask("slopes", number, arrays)
            reader = Reader(data, {})
            try:
                found = {int(i): reader.value(x) for i, x in said["slopes"].items()}
                return [found[i].view_as(x).to(x.dtype) if i in found else None for i, x in inputs]
            except Exception as error:  # whatever it has sent
                raise Gone(f"sent what cannot be read ({type(error).__name__})") from None

        outputs = There.apply(slopes, values, *(x for _, x in inputs))
        return replaced(made, dict(zip(map(id, values), outputs, strict=True)))

    def beside(self, function):
        """What `function(answer)` gives where the answer lives."""
        _, payload = packed((function, answered))
        said, data = self.ask("beside", torch.get_rng_state(), payload=(payload,))
        return Reader(data, {}).value(said["result"])


class There(torch.autograd.Function):
    """The outputs of a function elsewhere, as a node of this process's graph."""

    @staticmethod
    def forward(ctx, slopes, values, *inputs):
        ctx.slopes = slopes
        return tuple(values)

    @staticmethod
    @once_differentiable
    def backward(ctx, *arriving):
        return None, None, *ctx.slopes(*arriving)


def replaced(x, by: dict[int, torch.Tensor]):
    if isinstance(x, list | tuple):
        return type(x)(replaced(one, by) for one in x)
    if isinstance(x, dict):
        return {name: replaced(one, by) for name, one in x.items()}
    return by.get(id(x), x)


def renew(one, state: dict) -> None:
    """Set what a stand-in keeps of its use, a count or a list of draws, and nothing else."""
    there = getattr(one, "__dict__", {})
    for name in there.keys() & state.keys():
        if isinstance(there[name], list | int) and isinstance(state[name], list | int):
            there[name] = state[name]


def packed(what) -> tuple[list[torch.Tensor], bytes]:
    """The tensors in it, and all of it as bytes: of dgmcourse.check by value, else by name."""
    import cloudpickle

    import dgmcourse.check

    tensors = []

    class Pickler(cloudpickle.Pickler):
        def persistent_id(self, x):
            if not isinstance(x, torch.Tensor):
                return None
            for i, other in enumerate(tensors):
                if other is x:
                    return i
            tensors.append(x)
            return len(tensors) - 1

    cloudpickle.register_pickle_by_value(dgmcourse.check)
    file = io.BytesIO()
    Pickler(file).dump(what)
    arrays = [
        (
            x.detach().numpy().copy(),
            x.is_leaf if x.requires_grad else None,
            isinstance(x, torch.nn.Parameter),
            None if not x.is_leaf or x.grad is None else x.grad.numpy(),
        )
        for x in tensors
    ]
    return tensors, pickle.dumps((arrays, file.getvalue()))


def as_exception(name: str, text: str) -> Exception:
    """An error of the student's process, of the same kind and words."""
    text = "".join(c for c in text if c.isprintable())[:500]
    if name in ("Wrong", "WrongShape"):
        return Wrong(text)
    if name == "Blank":
        return Blank()
    kind = getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)) or "Unicode" in name:
        kind = type(name[:40], (Exception,), {})
    return kind(text) if text else kind()
