"""A function that lives in a student's process, as the judge sees it: called like any other, and
gradients pass through it.

What it is given goes there by value, networks and densities with their code, but nothing else of the
judge. Its result comes back as data, and what it has changed in what it was given. The gradients of
the result are asked for when the judge's autograd arrives there.
"""

import builtins
import contextlib
import io
import itertools
import json
import os
import pickle
import subprocess
import time

import torch
from torch.autograd.function import once_differentiable

from dgmcourse.check import Blank, Wrong, answered
from dgmcourse.classroom.cells import source_of
from dgmcourse.classroom.channel import FINE, READY, Channel, Gone, Reader

MOST_WORDS = 300  # characters of what a student's process says went wrong


class Student:
    """The process in the sandbox, of which each submission gets a copy.

    Args:
        command: that starts it.
        memory: bytes that a submission may take; seconds: of a core, for each exercise.
    """

    def __init__(self, command: list[str], memory: int = 2 << 30, seconds: int = 20):
        self.limits = {"memory": memory, "seconds": seconds}
        self.ends, theirs = os.pipe()
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        try:
            self.process = subprocess.Popen([*command, str(theirs)], pass_fds=[theirs], **pipes)
        except OSError:
            os.close(self.ends)
            raise
        finally:
            os.close(theirs)
        read, write = self.process.stdout.fileno(), self.process.stdin.fileno()
        self.channel = Channel(read, write, self.ends)
        self.channel.until = time.monotonic() + 120
        try:
            ready = self.channel.end() == READY
        except Gone:
            ready = False
        if not ready:
            self.process.kill()
            said = self.process.stderr.read().decode(errors="replace").strip() or "no word"
            self.close()
            raise OSError(f"the sandbox does not start: {said.splitlines()[-1]}")

    def close(self) -> None:
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()
        os.close(self.ends)
        self.process.wait()


class Submission:
    """One submission in a student's process. Called, it is the function that was defined last.

    Args:
        token: that nobody has seen: what has it is this submission's, and not left by one before.

    Raises:
        Gone: if the process is not as it was when it was warm, which is not this submission's fault.
    """

    def __init__(self, student: Student, cells: list[str], token: str):
        self.channel, self.token, self.numbers = student.channel, token, itertools.count()
        self.there = []  # exercises whose function is there, the student's or the course's own
        self.carried = False  # whether one of them is the course's own
        self.channel.until = time.monotonic() + 120
        self.channel.send(pickle.dumps(student.limits))
        self.channel.send(pickle.dumps({"texts": cells, "token": token}))
        if self.channel.receive() != [token.encode()]:
            raise Gone("said something that nobody had asked for")

    def ask(self, verb: str, *arguments, payload: tuple[bytes, ...] = ()) -> tuple[dict, bytes]:
        self.channel.send(pickle.dumps((verb, *arguments)), *payload)
        try:
            header, data = self.channel.receive()
            said = json.loads(header)
            if said["token"] != self.token:
                raise ValueError
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Gone("wrote where only the grader may") from None
        if "error" in said:
            raise as_exception(str(said["error"]), str(said["text"]))
        return said, data

    def prepare(self, name: str, wrong: dict, seconds: int) -> None:
        """Let there be what an exercise uses of the others.

        Args:
            wrong: exercises that are not right -> the course's own, which takes their place.
        """
        self.channel.until = time.monotonic() + 10 * seconds
        own = {other: wrong[other] for other in wrong if other not in self.there}
        with broken():
            uses, _ = self.ask("uses", name, self.there, list(own))
            for other in own.keys() & set(uses["uses"]):
                self.ask("carry", other, source_of(own[other]), own[other].__name__)
                self.there.append(other)
                self.carried = True

    def define(self, name: str, seconds: int) -> str:
        """Define a function there; what is wrong if that fails. It and all calls of it have so many
        seconds of a core, and ten times as many by the clock, since a machine may be busy.
        """
        self.channel.until = time.monotonic() + 10 * seconds
        with broken():
            said, _ = self.ask("define", name, self.there, seconds)
            self.kind = said["callable"] is True or printable(str(said["callable"]))
            return printable(str(said["trouble"]))

    def end(self) -> None:
        """Let it end. Whoever it has started has ended, too, where the sandbox keeps them apart."""
        self.channel.until = time.monotonic() + 60
        self.channel.send(pickle.dumps(("end",)))
        if self.channel.end() != FINE or not self.channel.silent():
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


@contextlib.contextmanager
def broken():
    try:
        yield
    except Exception:  # whatever it has made of its process
        raise Gone("broke the process that it runs in") from None


def printable(text: str) -> str:
    return "".join(c for c in text[: 2 * MOST_WORDS] if c.isprintable())[:MOST_WORDS]


def as_exception(name: str, text: str) -> Exception:
    """An error of the student's process, of the same kind and words."""
    text = printable(text)
    if name in ("Wrong", "WrongShape"):
        return Wrong(text)
    if name == "Blank":
        return Blank()
    kind = getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)) or "Unicode" in name:
        kind = type(name[:40], (Exception,), {})
    return kind(text) if text else kind()
