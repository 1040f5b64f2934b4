"""Judge an answer on cases whose truth is known otherwise, and say what is likely wrong.

To write an exercise:

1. `truth(...)` takes what the answer takes and returns what it should return, by other means than
   the formula that is asked for: an integral, an enumeration, a loop. Never the solution. Its
   gradients come from autograd, or from finite differences if it carries none.
2. `cases` are ordinary inputs, with no two rows and no two sizes alike. `edges` are those at the edge
   of the domain (0, tiny, huge, negative, D = 1), a flat list: where this is, what likely goes wrong
   there, the inputs. A batch of one is made of the inputs that `rows` names.
3. `slips` are typical wrong answers as functions of what the answer takes, a flat list: message,
   function. The tests run each as an answer, which must be told its own message, so none is written
   again in the tests. Leave out what `relation` and `terms` can say.
4. `given(...)` makes the answer's arguments of a case's inputs where these differ: networks and
   densities of these parameters, or `log_softmax` for weights that sum to 1. Gradients are compared
   with respect to the inputs, so only along directions in which the arguments can move.
5. For several outputs, `outputs` is a tuple of names, and `slips`, `shapes` and `terms` are dicts by
   name. A slip returns its own output alone. Outputs are judged in the order of `slips`.
6. `Draws` judges averages over random answers likewise; `Every` joins several judges.

A judge of another kind raises `Wrong` itself; `called`, `tensor` and `Estimate` serve it, too.
"""

import copy
import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dgmcourse.check._diagnosis import Estimate, combination, numbers, relation, shape_hint
from dgmcourse.check._exercise import Blank, Wrong, fresh, where

STEP = 1e-4  # of finite differences
MOVED = 0.1  # by what share fresh numbers differ from the declared ones, at most
ERRORS = {  # part of an error of torch's: what the student did
    "is invalid for input of size": "a length is fixed in your code: take it from a shape"
}
CUT = "something cuts it off (.detach(), .item(), .numpy() or torch.no_grad())"


def randn(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    """Standard Gaussian numbers in float64, the same at each call."""
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes]


def reals(*rows) -> list[Tensor]:
    """Numbers and nested lists of them as float64 tensors."""
    return [torch.tensor(row, dtype=torch.float64) for row in rows]


def grouped(flat: list, n: int = 2) -> list[tuple]:
    """[a, b, c, d] as [(a, b), (c, d)]."""
    return list(zip(*(flat[i::n] for i in range(n)), strict=True))


# ---- what an answer gives, and what is right


class WrongShape(Wrong):
    """Why a case goes wrong that way is no matter of its numbers."""


class Case(NamedTuple):
    inputs: list
    at: str = ""  # where this is, of an edge
    why: str = ""


class Slip(NamedTuple):
    message: str
    function: Callable
    output: int = 0  # which it returns
    of: int = 1  # how many


class Trial(NamedTuple):
    """What an answer gives in a case, and the truth: the outputs, and each one's gradients by input."""

    case: Case
    found: list[Estimate]
    slopes: list[dict[str, Estimate]]
    truth: list[Estimate]
    true_slopes: list[dict[str, Estimate]]

    @property
    def off(self) -> float:
        """The largest difference from the truth."""
        both = zip(self.found, self.truth, strict=True)
        return max((found.value - truth.value).abs().max().item() for found, truth in both)


def called(answer: Callable, arguments: dict, errors: dict[str, str] | None = None):
    """What the answer returns.

    Raises:
        Wrong: if it changes an argument in place, or stops with an error that has one of the
            `errors` in it, {part of what torch says: what the student did}.
    """
    before = {k: v.detach().clone() for k, v in arguments.items() if isinstance(v, Tensor)}

    def changed() -> str:
        return next((k for k, v in before.items() if not torch.equal(v, arguments[k])), "")

    try:
        with torch.enable_grad():  # whatever the answer leaves behind
            result = answer(*arguments.values())
            watched = torch.is_grad_enabled()
    except Blank:
        if x := changed():
            raise Wrong(
                f"your function changes {x} and returns nothing: end it with return."
            ) from None
        raise
    except Exception as error:  # whatever a student's code can raise
        for part, mistake in ((errors or {}) | ERRORS).items():
            if part in str(error):
                raise Wrong(f"{mistake}.") from None
        raise
    if not watched:
        raise Wrong(
            "your function turns autograd off for all that follows: with torch.no_grad(): ends with"
            " its block."
        )
    if x := changed():
        raise Wrong(
            f"your function changes {x} in place, and so the caller's tensor: {x} += 1, {x}[0] = 1 or"
            f" {x}.relu_() overwrite it. Begin with a copy, {x}.clone()."
        )
    return result


def tensor(value, name: str) -> Tensor:
    """The value, if it is a tensor of floating-point numbers."""
    if not isinstance(value, Tensor):
        raise Wrong(f"{name} should be a tensor, it is {type(value).__name__}.")
    if not value.is_floating_point():
        kind = "True and False" if value.dtype == torch.bool else f"whole numbers ({value.dtype})"
        raise Wrong(f"{name} holds {kind}: return floating-point numbers, with .float().")
    return value


def mask(value, name: str) -> Tensor:
    """The value, if it is a tensor: a mask may be of any type of number."""
    return value.double() if isinstance(value, Tensor) else tensor(value, name)


def number(value, name: str) -> Tensor:
    """The value, if it is one number, in a tensor or not."""
    if isinstance(value, Tensor):
        return tensor(value, name)
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise Wrong(f"{name} should be one number, it is {type(value).__name__}.")
    return torch.tensor(float(value), dtype=torch.float64)


# ---- the judges


@dataclass
class Function:
    """A judge of a deterministic function of tensors, numbers, densities and networks.

    Args:
        outputs: what the answer returns, by the words that speak of it; a tuple if several.
        truth: computes it in another way. Its parameters' names are those of the arguments.
        cases: inputs of ordinary cases.
        edges: [where, why it likely goes wrong, inputs, where, ...].
        slips: [message, function, message, ...].
        given: makes the arguments of the inputs, a tuple; by default they are the inputs.
        learn: the inputs whose gradients are compared; by default all floating-point ones.
        learn_through: the outputs whose gradients are compared; by default all.
        moved: the inputs that fresh numbers differ in; by default those of `learn`.
        rows: the inputs whose first axis is the batch, "z v".
        shapes: [shape in the first case, what it likely means, shape, ...].
        terms: {words: function}: the right value is a linear combination of them, and the answer's
            may have other factors. A term that does not belong in it at all may be among them.
        errors: {part of an error of torch's: what the student did}.
        nan: what NaN or infinity in an ordinary case likely comes from.
        kind: `tensor`, `mask` or `number`.
        random: whether the answer draws. The truth is then asked with the very arguments that the
            answer was given, which know what was drawn.
        rtol: the relative error that is allowed.
        unit: of the numbers that messages quote.
        praise: the words for a right answer, a format string of the first `trial`.
    """

    outputs: str | tuple[str, ...]
    truth: Callable
    cases: list
    edges: Sequence = ()
    slips: Sequence | dict[str, Sequence] = ()
    given: Callable = lambda *inputs: inputs
    learn: tuple[str, ...] | None = None
    learn_through: tuple[str, ...] | None = None
    moved: tuple[str, ...] | None = None
    rows: str = ""
    shapes: Sequence | dict[str, Sequence] = ()
    terms: dict | tuple = ()
    errors: dict[str, str] | None = None
    nan: str = ""
    kind: Callable = tensor
    random: bool = False
    rtol: float = 1e-4
    unit: str = ""
    praise: str = "value and gradients are right in all cases, to {trial.off:.0e}."

    def __post_init__(self):
        single = isinstance(self.outputs, str)
        self.names = (self.outputs,) if single else self.outputs
        self.arguments = list(inspect.signature(self.truth).parameters)
        inputs = list(inspect.signature(self.given).parameters)
        self.inputs = self.arguments if inputs == ["inputs"] else inputs
        self.plain = [Case(inputs) for inputs in self.cases]
        edges = [Case(inputs, at, why) for at, why, inputs in grouped(self.edges, 3)]
        inputs = zip(self.inputs, self.cases[0], strict=True)
        batch = [len(x) for name, x in inputs if name in self.rows.split()]
        self.alone = [Case(self.row(i)) for i in range(min(batch, default=0))]
        self.edges = edges + [case._replace(at="for a batch of one") for case in self.alone[:1]]
        self.known = {}  # the truth in each of these cases
        self.slipped = {}  # what each slip gives there
        self.seed = 0  # of what answers draw
        tables = self.slips, self.shapes, self.terms
        self.slips, self.shapes, self.terms = (
            {self.outputs: table} if single else dict(table) for table in tables
        )
        first = [self.names.index(name) for name in self.slips]
        self.order = [*first, *(k for k in range(len(self.names)) if k not in first)]
        self.slips = [
            Slip(*slip, self.names.index(name), len(self.names))
            for name in self.slips
            for slip in grouped(self.slips[name])
        ]

    def __call__(self, answer: Callable) -> str:
        with torch.random.fork_rng(devices=[]):
            trials, trouble = [], ""
            for case in [*self.plain, *self.edges]:
                try:
                    trials.append(self.trial(answer, case))
                except Exception as error:  # whatever a student's code can raise
                    if not trials or not (case.at or isinstance(error, Blank)):
                        raise
                    said = error if isinstance(error, Wrong) else f"it stops with {where(error)}."
                    said = "it returns nothing." if isinstance(error, Blank) else said
                    at = case.at or "in another case"
                    about = case.why if not isinstance(error, WrongShape) else ""
                    why = about and f" {about[0].upper()}{about[1:]}."
                    trouble = trouble or f"right elsewhere, but not {at}: {said}{why}"
            self.check_order(trials)
            for k in self.order:
                if not all(self.right(trial, k) for trial in trials):
                    right = 0.0 if trouble else self.share(trials)
                    raise Wrong(self.sentence(k, self.diagnosis(answer, k, trials)), right)
            if trouble:
                raise Wrong(trouble)
            for k in self.order:
                if fault := self.gradient_fault(k, trials):
                    raise Wrong(self.sentence(k, fault), self.share(trials))
            self.repeat(answer)
            return self.praise.format(trial=trials[0])

    def fresh(self, seed: int) -> "Function":
        """The judge with other numbers: in ordinary cases the inputs that are `moved` are scaled by
        one factor, so that signs and the order of sizes stay; and answers draw other numbers.
        """
        random = torch.Generator().manual_seed(seed)

        def inputs(case) -> list:
            factor = 1 + MOVED * (2 * torch.rand((), generator=random).item() - 1)
            named = list(zip(self.inputs, case, strict=True))
            floating = [n for n, x in named if isinstance(x, Tensor) and x.is_floating_point()]
            moved = self.learn if self.moved is None else self.moved
            moved = floating if moved is None else moved
            return [factor * x if name in moved else x for name, x in named]

        other = copy.copy(self)
        other.seed, other.known, other.slipped = seed, {}, {}
        other.cases = [inputs(case) for case in self.cases]
        other.plain = [Case(case) for case in other.cases]
        other.alone = [Case(other.row(i)) for i in range(len(self.alone))]
        return other

    def share(self, trials: list[Trial]) -> float:
        """Which share of the outputs is right, gradients included."""
        right = [
            all(self.right(trial, k) for trial in trials) and not self.gradient_fault(k, trials)
            for k in range(len(self.names))
        ]
        return sum(right) / len(right)

    # -- one case

    def row(self, i: int) -> list:
        """The first case's inputs, of whose rows only the i-th is left."""
        inputs = zip(self.inputs, self.cases[0], strict=True)
        return [x[i : i + 1] if name in self.rows.split() else x for name, x in inputs]

    def setting(self, inputs: list, times: int = 1) -> tuple[dict[str, Tensor], dict]:
        """The inputs that gradients are for, and the arguments, made of copies of the inputs."""
        torch.manual_seed(self.seed)
        inputs = {
            n: x.clone() if isinstance(x, Tensor) else x
            for n, x in zip(self.inputs, inputs, strict=True)
        }
        floating = [n for n, x in inputs.items() if isinstance(x, Tensor) and x.is_floating_point()]
        leaves = {
            n: inputs[n].requires_grad_() for n in (floating if self.learn is None else self.learn)
        }
        return leaves, self.made_of([x.clone() if n in leaves else x for n, x in inputs.items()])

    def made_of(self, inputs: list) -> dict:
        return dict(zip(self.arguments, self.given(*inputs), strict=True))

    def trial(self, answer: Callable, case: Case) -> Trial:
        # before the answer can change what an argument holds, but for what it draws
        known = None if self.random else self.expected(case, *self.setting(case.inputs))
        leaves, arguments = self.setting(case.inputs)
        outputs = self.parts(called(answer, arguments, self.errors))
        truth, true_slopes = known or self.expected(case, leaves, arguments)
        self.check_shapes(outputs, [tuple(t.value.shape) for t in truth], arguments, case)
        return Trial(case, *self.measured(outputs, leaves), truth, true_slopes)

    def parts(self, result) -> list[Tensor]:
        """The outputs in what an answer returns."""
        if isinstance(self.outputs, str):
            return [self.kind(result, self.outputs)]
        many, n = isinstance(result, tuple | list), len(self.names)
        if not many or len(result) != n:
            got = f"{len(result)} things" if many else f"one {type(result).__name__}"
            raise Wrong(
                f"return {('two', 'three')[n - 2]} tensors: {', '.join(self.names)}. You returned {got}."
            )
        return [self.kind(part, name) for part, name in zip(result, self.names, strict=True)]

    def true_parts(self, arguments: dict) -> list[Tensor]:
        truth = self.truth(*arguments.values())
        return [truth] if isinstance(truth, Tensor) else list(truth)

    def expected(self, case: Case, leaves: dict, arguments: dict) -> tuple[list, list[dict]]:
        """The truth in a case, and its gradients."""
        if self.random or id(case) not in self.known:
            truth = self.true_parts(arguments)
            slopes = self.slopes(truth, leaves)
            if leaves and not all(t.requires_grad for t in truth):
                steps = self.finite_differences(case, leaves, truth)
                slopes = [slopes[k] if t.requires_grad else steps[k] for k, t in enumerate(truth)]
            slopes = [{name: Estimate(x) for name, x in slope.items()} for slope in slopes]
            self.known[id(case)] = [Estimate(t.detach()) for t in truth], slopes
        return self.known[id(case)]

    def measured(self, outputs: list[Tensor], leaves: dict) -> tuple[list, list[dict]]:
        """An answer's outputs and their gradients."""
        slopes = self.slopes(outputs, leaves)
        return [Estimate(output.detach()) for output in outputs], [
            {name: Estimate(x) for name, x in slope.items()} for slope in slopes
        ]

    def slopes(self, outputs: list[Tensor], leaves: dict) -> list[dict[str, Tensor]]:
        """The gradients of each output's weighted sum by the inputs."""
        slopes = []
        for output in outputs:
            slopes.append({name: torch.zeros_like(leaf) for name, leaf in leaves.items()})
            if leaves and output.requires_grad:
                total, inputs = (self.weights(output) * output).sum(), list(leaves.values())
                arriving = torch.autograd.grad(total, inputs, None, True, materialize_grads=True)
                slopes[-1] = dict(zip(leaves, arriving, strict=True))
        return slopes

    def weights(self, output: Tensor) -> Tensor:
        """The weights of an output's entries in the sum: no two are equal, so no two errors cancel."""
        n = torch.arange(output.numel(), dtype=output.dtype)
        return (1 + 0.5 * torch.cos(n)).view(output.shape)

    def finite_differences(self, case: Case, leaves: dict, truth: list) -> list[dict[str, Tensor]]:
        """The gradients of a truth that carries none."""
        slopes = [{n: torch.zeros_like(leaf).double() for n, leaf in leaves.items()} for _ in truth]
        start = [
            x.double() if isinstance(x, Tensor) and x.is_floating_point() else x
            for x in case.inputs
        ]
        for name in leaves:
            inputs, i = list(start), self.inputs.index(name)
            x = inputs[i]
            step = STEP * min(1.0, x.abs().nan_to_num(0.0, 0.0, 0.0).max().item() or 1.0)
            for j in range(x.numel()):
                ends = []
                for change in (step, -step):
                    inputs[i] = x.clone()
                    inputs[i].view(-1)[j] += change
                    ends.append(self.true_parts(self.made_of(inputs)))
                for slope, a, b in zip(slopes, *ends, strict=True):
                    rise = torch.where(a == b, 0.0, a - b)  # two of -inf differ by 0
                    slope[name].view(-1)[j] = (self.weights(a) * rise).sum() / (2 * step)
        return slopes

    def check_shapes(self, outputs: list, right: list[tuple], arguments: dict, case: Case) -> None:
        shapes = [tuple(output.shape) for output in outputs]
        for order in itertools.permutations(range(len(shapes))):
            if shapes != right and [shapes[i] for i in order] == right:
                raise Wrong(self.in_order(order))
        for shape, expected, name in zip(shapes, right, self.names, strict=True):
            if shape != expected:
                hint = dict(grouped(self.shapes.get(name, []))).get(shape)
                hint = hint or shape_hint(shape, expected, list(arguments.values()))
                if case.at:
                    hint = "is a length fixed in the code, or an axis of 1 squeezed?"
                hint = f": {hint}" if hint else ""
                raise WrongShape(
                    self.sentence(0, f"{name} has shape {shape}, expected {expected}{hint}")
                )

    # -- what is wrong

    def sentence(self, k: int, text: str) -> str:
        """The text as a sentence; of several outputs it says which one it speaks of."""
        named = len(self.names) == 1 or any(name in text for name in self.names)
        text = text if named else f"{self.names[k]}: {text}"
        return text if text.endswith((".", "?")) else f"{text}."

    def same(self, a: Estimate, b: Estimate) -> bool:
        return a.agrees(b, self.rtol, self.rtol / 10)

    def right(self, trial: Trial, k: int) -> bool:
        return self.same(trial.found[k], trial.truth[k])

    def in_order(self, order: tuple[int, ...]) -> str:
        yours = ", ".join(self.names[order.index(i)] for i in range(len(order)))
        return f"you return them in the order {yours}. It is {', '.join(self.names)}."

    def check_order(self, trials: list[Trial]) -> None:
        """Raise Wrong if the outputs are right, but at one another's places."""
        for order in list(itertools.permutations(range(len(self.names))))[1:]:
            places = list(enumerate(order))
            if all(self.same(t.found[i], t.truth[k]) for t in trials for k, i in places):
                raise Wrong(f"the values are right, but {self.in_order(order)}")

    def of_slip(self, slip: Slip, case: Case) -> tuple[Estimate, dict]:
        key = id(slip), id(case)
        if self.random or key not in self.slipped:
            leaves, arguments = self.setting(case.inputs)
            values, slopes = self.measured([slip.function(*arguments.values())], leaves)
            self.slipped[key] = values[0], slopes[0]
        return self.slipped[key]

    def diagnosis(self, answer: Callable, k: int, trials: list[Trial]) -> str:
        """Why output k is wrong."""
        plain = [trial for trial in trials if not trial.case.at]
        wrong = next(trial for trial in trials if not self.right(trial, k))
        for group in (trials,) if wrong.case.at else (trials, plain, [wrong]):
            for slip in (slip for slip in self.slips if slip.output == k):
                if all(self.same(t.found[k], self.of_slip(slip, t.case)[0]) for t in group):
                    return slip.message
        name, place, why = self.names[k], self.place(wrong, k), wrong.case.why
        if wrong.case.at:
            return f"{name} is right elsewhere, but {wrong.case.at} it {place}{why and ': '}{why}"
        if wrong.found[k].value.isfinite().all() < wrong.truth[k].value.isfinite().all():
            return f"{name} is not finite: {self.nan or f'it {place}'}"
        sizes = [
            {n for x in t.case.inputs for n in getattr(x, "shape", (x,)) if type(n) is int}
            for t in plain
        ]
        return (
            self.in_calls(answer, k, plain[0])
            or self.of_terms(k, plain)
            or relation([t.found[k] for t in plain], [t.truth[k] for t in plain], sizes)
            or self.ignored(k, wrong)
            or f"{name} {place}"
        )

    def in_calls(self, answer: Callable, k: int, batch: Trial) -> str:
        """What only further calls tell: whether it is random, and whether each row alone is right that
        is not in the batch.
        """
        try:
            self.repeat(answer)
            trials = [self.trial(answer, case) for case in self.alone]
        except Wrong as fault:
            return str(fault)
        except Exception:  # one row may be too few for what the student does
            return ""
        if trials and not self.right(batch, k) and all(self.right(trial, k) for trial in trials):
            return (
                "each row is right alone, but not in a batch: rows must not mix, so nothing may be"
                " summed, averaged or compared over axis 0"
            )
        return ""

    def repeat(self, answer: Callable) -> None:
        """Raise Wrong if a second call gives another answer, or if a seed was set within it."""
        values, states = [], []
        for seed in (1, 2):
            arguments = self.setting(self.cases[0])[1]
            torch.manual_seed(self.seed + seed)
            values.append(self.parts(called(answer, arguments, self.errors)))
            states.append(torch.get_rng_state())
        for name, a, b in zip(self.names, *values, strict=True):
            if not self.random and not Estimate(a).agrees(Estimate(b)):
                raise Wrong(
                    f"called twice, your function gives two values of {name}: draw nothing."
                )
        if self.random and torch.equal(*states):
            raise Wrong("two calls draw the same numbers: set no seed within your function.")

    def of_terms(self, k: int, trials: list[Trial]) -> str:
        """The wrong factors of the terms of which a value is made, if it is."""

        def flat(parts) -> Tensor:
            return torch.cat([torch.as_tensor(part).detach().flatten() for part in parts])

        terms = self.terms.get(self.names[k])
        if not terms:
            return ""
        made = {  # each is given arguments of its own, which draw what the answer's drew
            words: flat(term(*self.setting(t.case.inputs, 1)[1].values()) for t in trials)
            for words, term in terms.items()
        }
        error = flat(
            torch.as_tensor(f.error).expand_as(f.value) for f in (t.found[k] for t in trials)
        )
        found = Estimate(flat(t.found[k].value for t in trials), error)
        return combination(made, found, flat(t.truth[k].value for t in trials))

    def ignored(self, k: int, trial: Trial) -> str:
        """The inputs that a wrong value should depend on, and does not."""
        slopes, right = trial.slopes[k], trial.true_slopes[k]
        none = [n for n in slopes if right[n].value.any() and not slopes[n].value.any()]
        few = 0 < len(none) < sum(bool(x.value.any()) for x in right.values())
        has = "have" if len(none) > 1 else "has"
        return f"{' and '.join(none)} {has} no influence on it, and should have" if few else ""

    def place(self, trial: Trial, k: int) -> str:
        """Where a value is farthest off, in numbers."""
        found, truth = trial.found[k].value, trial.truth[k].value
        off = torch.where(found == truth, 0.0, (found - truth).abs()).nan_to_num(math.inf)
        row = int(off.flatten(1).amax(-1).argmax() if off.dim() > 1 else off.argmax())
        found, truth = (numbers(x[row] if x.dim() else x) for x in (found, truth))
        which = f" (row {row} of the test)" if off.dim() else ""
        return f"is {found}{self.unit and ' '}{self.unit} where {truth} is right{which}"

    # -- gradients

    def same_slopes(self, found: dict, right: dict) -> bool:
        """Whether gradients are the same, where the second ones are finite."""
        for name, b in right.items():
            finite = b.value.isfinite()
            a = Estimate(torch.where(finite, found[name].value, b.value), found[name].error)
            size = max(1.0, b.value[finite].abs().max().item() if finite.any() else 0.0)
            if not a.agrees(b, self.rtol, self.rtol / 10 * size):
                return False
        return True

    def gradient_fault(self, k: int, trials: list[Trial]) -> str:
        """What is wrong with an output's gradients; "" if nothing, or if they don't matter."""
        if self.learn_through is not None and self.names[k] not in self.learn_through:
            return ""
        wrong = [t for t in trials if not self.same_slopes(t.slopes[k], t.true_slopes[k])]
        if not wrong:
            return ""
        for slip in (slip for slip in self.slips if slip.output == k):
            made = [(trial, *self.of_slip(slip, trial.case)) for trial in trials]
            if all(
                self.same(v, t.found[k]) and self.same_slopes(s, t.slopes[k]) for t, v, s in made
            ):
                return slip.message
        name, trial = self.names[k], wrong[0]
        at, why = trial.case.at and f" {trial.case.at}", trial.case.why and f": {trial.case.why}"
        if not any(x.value.any() for x in trial.slopes[k].values()):
            return f"{name} has no gradient{at}: {CUT}"
        for leaf, right in trial.true_slopes[k].items():
            found, so = trial.slopes[k][leaf], f"the value of {name} is right"
            if self.same_slopes({leaf: found}, {leaf: right}):
                continue
            if not found.value.isfinite().all():
                return f"{so}, but its gradient with respect to {leaf} is not finite{at}{why}"
            if not right.value.any():
                return f"{name} sends a gradient to {leaf}, where none belongs: .detach() it"
            if not found.value.any():
                return f"{so}, but no gradient reaches {leaf}{at}: {CUT}"
            return (
                f"{so}, its gradient with respect to {leaf} is not{at}: is part of it cut off"
                " (.detach(), .data, torch.no_grad())?"
            )


@dataclass
class Draws(Function):
    """A judge of random answers: their averages, and those of their gradients, are compared with the
    exact expectations, within standard errors, and slips by their averages likewise.

    A case has a few rows, all different, of each of which the answer is given many copies. Without
    `rows` it draws as many as it is told: `given(n, ...)`. The first output must be random.

    Args:
        event: the shape of one draw, or of one row's value.
        copies: how many of each row.
        moments: makes of an output what is averaged, row by row.
        shared: the message if one draw serves all rows.
    """

    event: tuple[int, ...] = ()
    copies: int = 5000
    moments: Callable = lambda output: output
    shared: str = "one draw serves the whole batch: each row needs its own"

    def __post_init__(self):
        if not self.rows:  # the number of draws is an input, too
            self.cases = [[1, *inputs] for inputs in self.cases]
            self.edges = [[1, *x] if i % 3 == 2 else x for i, x in enumerate(self.edges)]
        super().__post_init__()

    def setting(self, inputs: list, times: int = 0) -> tuple[dict[str, Tensor], dict]:
        """As in `Function`, with so many copies of each row, one batch of rows after the other."""
        times, rows = times or self.copies, self.rows.split()
        if not rows:
            return super().setting([times, *inputs[1:]])
        named = zip(self.inputs, inputs, strict=True)
        return super().setting([torch.cat([x] * times) if n in rows else x for n, x in named])

    def trial(self, answer: Callable, case: Case) -> Trial:
        truth, true_slopes = self.expected(case, *self.setting(case.inputs, 1))
        for times in (1, self.copies) if self.rows else (5, 1, self.copies):
            leaves, arguments = self.setting(case.inputs, times)
            outputs = self.parts(called(answer, arguments, self.errors))
            n = times * (len(truth[0].value) if self.rows else 1)
            one = case if times > 1 or self.rows else case._replace(at="for one")
            self.check_shapes(outputs, [(n, *self.event)] * len(outputs), arguments, one)
        return Trial(case, *self.measured(outputs, leaves), truth, true_slopes)

    def measured(self, outputs: list[Tensor], leaves: dict) -> tuple[list, list[dict]]:
        averaged = [self.moments(output) for output in outputs]
        return [self.average(output.detach()) for output in averaged], [
            {name: self.average(x) for name, x in slope.items()}
            for slope in self.slopes(averaged, leaves)
        ]

    def average(self, value: Tensor) -> Estimate:
        value = value.reshape(self.copies, -1, *value.shape[1:]) if self.rows else value
        return Estimate(value.mean(0), value.std(0) / self.copies**0.5)

    def weights(self, output: Tensor) -> Tensor:
        return torch.ones_like(output)

    def place(self, trial: Trial, k: int) -> str:
        found, truth = numbers(trial.found[k].value), numbers(trial.truth[k].value)
        return f"averages {found}{self.unit and ' '}{self.unit} where {truth} is right"

    def repeat(self, answer: Callable) -> None:
        """Raise Wrong if nothing is random, or if rows or calls share what they draw."""
        for inputs in self.cases:
            settings = [self.setting(inputs)[1] for _ in range(6)]
            calls = (self.parts(called(answer, given, self.errors))[0] for given in settings)
            first, second = next(calls), next(calls)
            rows = first.reshape(self.copies, -1)
            if rows.allclose(rows[0]):
                same = all(torch.equal(first, other) for other in (second, *calls))
                constant = "the same input gives the same value every time: draw it"
                raise Wrong(constant if same else self.shared)
            if torch.equal(first, second):
                raise Wrong("two calls draw the same numbers: set no seed within your function.")


class Every:
    """Several judges of one exercise, of this library or functions, one after the other. The last one
    praises.
    """

    def __init__(self, *judges):
        self.judges = judges
        self.slips = [slip for judge in judges for slip in getattr(judge, "slips", [])]

    def __call__(self, answer: Callable) -> str:
        return [judge(answer) for judge in self.judges][-1]

    def fresh(self, seed: int) -> "Every":
        return type(self)(*(fresh(judge, seed) for judge in self.judges))
