"""How an exercise is judged: try the answer on cases whose truth is known otherwise, and say what
is likely wrong.

An exercise never stops a notebook: what is not done, or wrong, is replaced by the course's own
solution, and said so. A class may be given the exercises without the solutions: then the cells that
need the answer stop, and say so. `Exercise.grade` judges for a grader, and `strict=True` for a test.
"""

import re
import secrets
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from IPython.display import display

from dgmcourse.check._progress import note

STYLES = {
    "pass": ("#009E73", "Right"),
    "blank": ("#777777", "Not done yet"),
    "fail": ("#D55E00", "Not yet right"),
}


class Wrong(Exception):  # noqa: N818 - it reads as a sentence: raise Wrong("you averaged ...")
    """An answer failed a check; the message names the likely mistake and what to do.

    Args:
        right: which share of the exercise's parts is right nevertheless.
    """

    def __init__(self, message: str = "", right: float = 0.0):
        super().__init__(message)
        self.right = right


class Blank(Exception):  # noqa: N818
    """The exercise was not filled in."""


class NotRight(AssertionError):
    """What a strict check raises; `verdict` is the Verdict, the message its sentence."""

    def __init__(self, verdict: "Verdict"):
        super().__init__(repr(verdict))
        self.verdict = verdict


@dataclass
class Verdict:
    """What a check says: a coloured box in a notebook, a line of text elsewhere.

    Args:
        kind: "pass", "blank" or "fail".
        text: what the student reads.
        exercise: its name.
        sentence: the praise or the mistake alone, without hints at what to do next.
        slip: the message of the typical mistake that was recognised, if one was.
        points: of a graded answer, those of its right parts; out_of: those of the whole.
    """

    kind: str
    text: str
    exercise: str = ""
    sentence: str = ""
    slip: str = ""
    points: float = 0.0
    out_of: float = 0.0

    @property
    def passed(self) -> bool:
        return self.kind == "pass"

    @property
    def mistake(self) -> str:
        """A name for the mistake, the same for all who made it: the slip, or the sentence without
        its numbers; "" if there is none. The digits of a name, as 07_vae, stay.
        """
        number = r"(?<![\w.])-?\d([\d.e+-]*\d)?(?!\w)"
        return "" if self.passed else self.slip or re.sub(number, "#", self.sentence)

    def __repr__(self):
        return f"{STYLES[self.kind][1]}: {self.text}"

    def _repr_html_(self):
        colour, word = STYLES[self.kind]
        return (
            f'<div role="status" style="border-left: 4px solid {colour}; padding: .4em .8em;'
            f' max-width: 44em; margin: .3em 0"><b style="color: {colour}">{word}.</b>'
            f" {escape(self.text)}</div>"
        )


@dataclass
class Exercise:
    """One exercise: `answer = exercise(answer)` judges it and returns what the notebook goes on
    with. `exercise(answer, strict=True)` raises NotRight instead if it is not right.

    Args:
        name: as the student calls the function.
        solution: the course's own; None where a class is not to have it.
        judge: calls the answer on cases and raises Wrong; returns the words of praise, with a
            number if there is one.
        hints: given one at a time by `exercise.hint()`, from a nudge to nearly the answer.
    """

    name: str
    solution: Callable | None = None
    judge: Callable[[Callable], str] = None
    hints: list[str] = field(default_factory=list)
    given: int = field(default=0, init=False)
    last: Verdict | None = field(default=None, init=False)

    def __post_init__(self):
        self.going_on = self.solution or unsolved(self.name)

    @property
    def parts(self) -> int:
        """Of how many parts a right answer consists: as many points it has by default."""
        return len(getattr(self.judge, "names", [self.name]))

    def __call__(self, answer: Callable, strict: bool = False) -> Callable:
        if strict:
            found = self.grade(answer)
            if not found.passed:
                raise NotRight(found)
            display(found)
            return answer
        # the check's cell run a second time gets what it returned the first time: our solution is
        # not the student's
        again = answer is self.going_on and self.last and self.last.kind != "pass"
        self.last, result = (self.last, answer) if again else self.verdict(answer)
        if not again:
            note(self)
        display(self.last)
        return result

    def verdict(self, answer: Callable) -> tuple[Verdict, Callable]:
        """What the student is told, and the function that the notebook goes on with."""
        found = self.judged(answer, self.judge)
        if found.passed:
            return found, answer
        if callable(answer):
            hints = len(self.hints)
            found.text += f" Stuck? check.{self.name}.hint() has {hints} hints." if hints else ""
            found.text += (
                " Until then the notebook goes on with the course's own solution."
                if self.solution
                else f" Until then the cells that need {self.name} stop."
            )
        return found, self.going_on

    def grade(
        self, answer: Callable, points: float | None = None, seed: int | None = None
    ) -> Verdict:
        """The verdict for a grader: on fresh numbers, with points; the course's own solution does not
        count.

        Args:
            points: for a right answer; by default one for each of its parts.
            seed: of the numbers; by default another one each time.
        """
        points = self.parts if points is None else points
        if ours(answer) or answer is self.going_on:
            sentence = f"{self.name} is the course's own, not yours."
            return Verdict("fail", sentence, self.name, sentence, "", 0.0, points)
        seed = secrets.randbits(31) if seed is None else seed
        found = self.judged(answer, fresh(self.judge, seed))
        found.points, found.out_of = round(points * found.points, 2), points
        if found.kind == "blank":
            found.text = found.sentence = f"{self.name} was not filled in."
        return found

    def judged(self, answer: Callable, judge: Callable) -> Verdict:
        """The verdict of one judge, with the share of right parts for its points."""

        def found(kind, text, points=0.0):
            slips = [slip.message for slip in getattr(judge, "slips", ())] if kind == "fail" else []
            told = [message for message in slips if message.rstrip(".") in text]
            return Verdict(kind, text, self.name, text, max(told, key=len, default=""), points)

        if not callable(answer):
            kind = type(answer).__name__
            return found("fail", f"{self.name} is {kind}, not a function. Run its cell again.")
        try:
            return found("pass", judge(answered(answer)), 1.0)
        except Blank:
            return found("blank", f"write {self.name} in the cell above and run both again.")
        except Wrong as wrong:
            return found("fail", str(wrong), wrong.right)
        except Exception as error:  # whatever a student's code can raise
            return found("fail", f"{self.name} stopped with {where(error)}.")

    def hint(self) -> None:
        """Show the next hint."""
        text = self.hints[min(self.given, len(self.hints) - 1)]
        self.given = min(self.given + 1, len(self.hints))
        print(f"Hint {self.given} of {len(self.hints)}: {text}")


def unsolved(name: str) -> Callable:
    """What stands for an answer that is not there."""

    def missing(*args, **kwargs):
        raise NotRight(Verdict("blank", f"{name} is not there yet: go back to its exercise.", name))

    return missing


def ours(answer: Callable) -> bool:
    """Whether a function was written in dgmcourse.check, as solutions and truths are."""
    code = getattr(answer, "__code__", None)
    return code is not None and Path(code.co_filename).parent == Path(__file__).parent


def fresh(judge: Callable, seed: int) -> Callable:
    """The judge with other numbers, if it can be had with others."""
    return judge.fresh(seed) if hasattr(judge, "fresh") else judge


def answered(answer: Callable) -> Callable:
    """The answer, made to raise Blank where it returns nothing or says NotImplementedError: the
    cell as it was given. One that has something to say is torch's, of a mean of booleans for
    instance, and the answer's mistake.
    """

    def call(*args, **kwargs):
        try:
            result = answer(*args, **kwargs)
        except NotImplementedError as error:
            if str(error):
                raise
            raise Blank from None
        if result is None or result is ...:
            raise Blank
        return result

    call.answer = answer
    return call


def beside(answer: Callable, function: Callable):
    """`function(answer)`; for an answer that lives in another process, worked out there. A judge
    that looks at how an answer goes about it, by hooks for instance, asks by this.
    """
    remote = getattr(getattr(answer, "answer", answer), "beside", None)
    return remote(function) if remote else function(answer)


def where(error: Exception) -> str:
    """The error in one line with the line of the student's code it came from."""
    frames = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if f.filename != __file__ and "dgmcourse" not in f.filename
    ]
    line = f" at `{frames[0].line}`" if frames and frames[0].line else ""
    return (
        f"{type(error).__name__}:"
        f" {str(error).splitlines()[0] if str(error) else 'no message'}{line}"
    )
