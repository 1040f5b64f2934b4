"""What runs in the sandbox: `python -m dgmcourse.classroom.student`.

A warm process, which has imported what takes long, and for each submission a copy of itself, which
has its limits, defines the student's functions and calls them when the judge asks. The warm process
has neither judges nor truth nor solutions, and never sees a notebook. Into a copy come what the judge
gives to the functions, with the code of its networks and densities, and in place of an earlier
exercise that is not right, where a later one uses it, the course's own: after such a copy the judge
ends the warm process, too.
"""

import contextlib
import ctypes
import io
import os
import pickle
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FunctionType

import torch

from dgmcourse.classroom import cells
from dgmcourse.classroom.channel import ENDED, FINE, LATE, READY, Channel, Gone, Writer, as_bytes
from dgmcourse.classroom.sandbox import SCRATCH

MEMORY_OF_FILES = 1 << 20
WHOLE = 4  # times an exercise's seconds has a whole notebook, of which none has more exercises
PR_SET_DUMPABLE = 4  # of <sys/prctl.h>
PROCESSES = 64
KEPT = 4  # calls whose gradients can still be asked for


def main() -> None:
    warm_up()
    channel = Channel(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):  # what a student prints goes nowhere
        os.dup2(nothing, fd)
    if sys.platform == "linux":
        # no copy looks into its memory, or its pipes
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    alone = "alone" in sys.argv  # in a process namespace of its own: whoever is left is ours
    ends = int(sys.argv[-1])  # where it is said how a copy has ended
    os.write(ends, READY)
    while True:
        try:
            limits = pickle.loads(channel.receive()[0])
        except Gone:
            return  # the judge has ended
        if (pid := os.fork()) == 0:
            try:
                os.close(ends)
                submission(channel, limits)
            finally:
                os._exit(0)
        _, status, used = os.wait4(pid, 0)
        if alone:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)  # what it has started; init and we are spared
        os.write(ends, how(status, used.ru_utime + used.ru_stime, limits["seconds"]))
        if SCRATCH.exists() and os.listdir(SCRATCH):
            return  # it has left something, which the next one is not to find


def submission(channel: Channel, limits: dict) -> None:
    """What a copy does. That it is the right one it says before anything of the student's runs."""
    order = pickle.loads(channel.receive()[0])
    limit(**limits)
    channel.send(order["token"].encode())
    Session(channel, **order).serve()


def how(status: int, used: float, seconds: int) -> bytes:
    """How a copy has ended: one that does not heed SIGXCPU is killed when its time is used up."""
    code = os.waitstatus_to_exitcode(status)
    killed = code == -signal.SIGKILL and used >= WHOLE * seconds
    return LATE if code == -signal.SIGXCPU or killed else ENDED if code else FINE


def warm_up() -> None:
    """Import what answers use, and leave no way to the judges."""
    import cloudpickle  # noqa: F401
    import numpy  # noqa: F401
    import torch.distributions
    import torch.nn.functional  # noqa: F401

    import dgmcourse.models
    import dgmcourse.train  # noqa: F401

    torch.set_num_threads(1)
    x = torch.ones(1, requires_grad=True)
    torch.autograd.grad([2 * x], [x], [x.detach()])  # the first one imports for two seconds
    sys.meta_path.insert(0, Hidden())


class Hidden:
    """An importer that says why the judges are not there."""

    def find_spec(self, name, path=None, target=None):
        if name.startswith("dgmcourse.check"):
            raise ImportError("dgmcourse.check is not there while an answer is judged")


def limit(memory: int, seconds: int) -> None:
    """The kernel's limits on this process: bytes beyond what it has (Linux alone says how much that
    is), seconds of a core for an exercise, no file of more than a megabyte, few processes (of which
    it counts none for root).
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    limits = {
        resource.RLIMIT_CPU: WHOLE * seconds + 1,  # a second after SIGXCPU: see define
        resource.RLIMIT_FSIZE: MEMORY_OF_FILES,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_NPROC: PROCESSES,
        resource.RLIMIT_CORE: 0,
    }
    if pages:
        limits[resource.RLIMIT_AS] = pages * os.sysconf("SC_PAGE_SIZE") + memory
    for which, n in limits.items():
        resource.setrlimit(which, (n, n))


class Session:
    """One submission: what it defines, and the calls that the judge makes of it."""

    def __init__(self, channel: Channel, texts: list[str], token: str):
        self.channel, self.token = channel, token
        self.notebook = cells.Notebook(texts)
        self.space = {"__name__": "__main__"}
        self.answer = None
        self.calls = {}

    def serve(self) -> None:
        while True:
            order, *rest = self.channel.receive()
            verb, *arguments = pickle.loads(order)
            if verb == "end":
                return
            try:
                said, data = getattr(self, verb)(*arguments, *rest)
            except Exception as error:  # whatever a student's code can raise
                said, data = {"error": type(error).__name__, "text": told(error)}, b""
            self.channel.send(as_bytes(said | {"token": self.token}), data)

    def uses(self, name: str, known: list[str], others: list[str]):
        """Which of other exercises' functions this one's uses."""
        needed = self.notebook.needed(name, [*known, *others])
        names = set().union(*(one.uses for one in needed))
        return {"uses": [other for other in others if other in names]}, b""

    def define(self, name: str, known: list[str], seconds: int):
        """Run what defines a function, which with its calls has so many seconds of a core."""
        most = resource.getrlimit(resource.RLIMIT_CPU)[1]
        until = min(int(time.process_time()) + 1 + seconds, most - 1)
        resource.setrlimit(resource.RLIMIT_CPU, (until, most))
        self.space.pop(name, None)
        trouble = self.notebook.define(name, self.space, known)
        self.answer = self.space.get(name)
        callable_or_kind = True if callable(self.answer) else type(self.answer).__name__
        return {"trouble": trouble, "callable": callable_or_kind}, b""

    def carry(self, name: str, source: str, called: str):
        """The course's own function in place of one that was not right."""
        space = {}
        if trouble := cells.Notebook([source]).define(called, space):
            raise ImportError(trouble)
        self.space[name] = space[called]
        return {}, b""

    def call(self, number: int, random: torch.Tensor, payload: bytes):
        given, arguments = load(payload)
        torch.set_rng_state(random)
        torch.set_grad_enabled(True)
        before = [x.detach().clone().numpy().tobytes() for x, _ in given]
        result = self.answer(*arguments)
        enabled = torch.is_grad_enabled()
        torch.set_grad_enabled(True)
        known = {id(x): {"known": f"tensor {i}"} for i, (x, _) in enumerate(given)}
        known |= {
            id(x): {"known": f"argument {i}"}
            for i, x in enumerate(arguments)
            if not isinstance(x, torch.Tensor | int | float | str | bool | None)
        }
        writer = Writer(known)
        said = {"result": writer.value(result)}
        said["states"] = [self.state(x, writer) for x in arguments]
        self.calls[number] = list(writer.tensors), [leaf for _, leaf in given]
        self.calls = dict(list(self.calls.items())[-KEPT:])
        said |= {"enabled": enabled, "random": writer.array(torch.get_rng_state(), "tensor")}
        writer.known = {}
        said["changed"] = {
            i: writer.value(x.detach())
            for i, ((x, _), old) in enumerate(zip(given, before, strict=True))
            if x.detach().numpy().tobytes() != old
        }
        said["slopes"] = {
            i: writer.value(x.grad)
            for i, (x, _) in enumerate(given)
            if x.is_leaf and x.requires_grad
        }
        return said, bytes(writer.bytes)

    def state(self, x, writer: Writer) -> dict:
        """What the judge's stand-in keeps of its use: the codes that were drawn, for instance."""
        if isinstance(x, torch.Tensor | FunctionType) or not hasattr(x, "__dict__"):
            return {}
        return {name: writer.value(value) for name, value in vars(x).items()}

    def slopes(self, number: int, arriving: list):
        outputs, leaves = self.calls[number]
        with_grad = [i for i, leaf in enumerate(leaves) if leaf.requires_grad]
        found = torch.autograd.grad(
            outputs,
            [leaves[i] for i in with_grad],
            [torch.from_numpy(a) for a in arriving],
            retain_graph=True,
            allow_unused=True,
        )
        writer = Writer({})
        named = zip(with_grad, found, strict=True)
        return {"slopes": {i: writer.value(x) for i, x in named if x is not None}}, bytes(
            writer.bytes
        )

    def beside(self, random: torch.Tensor, payload: bytes):
        """What a part of the judge that needs no truth makes of the answer."""
        _, (function, answered) = load(payload)
        torch.set_rng_state(random)
        writer = Writer({})
        return {"result": writer.value(function(answered(self.answer)))}, bytes(writer.bytes)


def load(payload: bytes) -> tuple[list[tuple], list]:
    """The judge's tensors, each with the leaf that its gradient is for, and the arguments."""
    arrays, pickled = pickle.loads(payload)
    given = []
    for array, leaf, parameter, grad in arrays:
        start = torch.from_numpy(array)
        start = torch.nn.Parameter(start) if parameter else start.requires_grad_(leaf is not None)
        if grad is not None:
            start.grad = torch.from_numpy(grad)
        given.append((start.clone() if leaf is False else start, start))

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, i):
            return given[i][0]

    return given, Unpickler(io.BytesIO(pickled)).load()


def told(error: Exception) -> str:
    """The error in one line, with the line of the student's code that it came from."""
    said = str(error).partition("\n")[0][:200]
    frames = traceback.extract_tb(error.__traceback__)
    line = next((f.line for f in frames if f.filename.startswith("<cell") and f.line), "")[:80]
    if isinstance(error, NotImplementedError) and not said:
        return ""
    return (said or "no message") + (f" at `{line}`" if line else "")


if __name__ == "__main__":
    main()
