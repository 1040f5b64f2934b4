"""How an exercise is judged: try the answer on cases whose truth is known otherwise, and say what
is likely wrong.

An exercise never stops a notebook: what is not done, or wrong, is replaced by the course's own
solution, and said so.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape

from IPython.display import display

from dgmcourse.check._progress import note

STYLES = {
    "pass": ("#009E73", "Right"),
    "blank": ("#777777", "Not done yet"),
    "fail": ("#D55E00", "Not yet right"),
}


class Wrong(Exception):  # noqa: N818 - it reads as a sentence: raise Wrong("you averaged ...")
    """An answer failed a check; the message names the likely mistake and what to do."""


class Blank(Exception):  # noqa: N818
    """The exercise was not filled in."""


@dataclass
class Verdict:
    """What the student sees: a coloured box in a notebook, a line of text elsewhere."""

    kind: str
    text: str

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
    with.

    Args:
        name: as the student calls the function.
        solution: the course's own.
        judge: calls the answer on cases and raises Wrong; returns the words of praise, with a
            number if there is one.
        hints: given one at a time by `exercise.hint()`, from a nudge to nearly the answer.
    """

    name: str
    solution: Callable
    judge: Callable[[Callable], str]
    hints: list[str]
    given: int = field(default=0, init=False)
    last: Verdict | None = field(default=None, init=False)

    def __call__(self, answer: Callable) -> Callable:
        # the check's cell run a second time gets what it returned the first time: our solution is
        # not the student's
        again = answer is self.solution and self.last and self.last.kind != "pass"
        self.last, result = (self.last, answer) if again else self.verdict(answer)
        if not again:
            note(self)
        display(self.last)
        return result

    def verdict(self, answer: Callable) -> tuple[Verdict, Callable]:
        more = (
            f" Stuck? check.{self.name}.hint() has {len(self.hints)} hints." if self.hints else ""
        )
        going_on = " Until then the notebook goes on with the course's own solution."
        if not callable(answer):
            return (
                Verdict(
                    "fail",
                    f"{self.name} is {type(answer).__name__}, not a function. Run its cell again.",
                ),
                self.solution,
            )
        try:
            return Verdict("pass", self.judge(answered(answer))), answer
        except Blank:
            return (
                Verdict(
                    "blank",
                    f"write {self.name} in the cell above and run both again.{more}{going_on}",
                ),
                self.solution,
            )
        except Wrong as wrong:
            return Verdict("fail", f"{wrong}{more}{going_on}"), self.solution
        except Exception as error:  # whatever a student's code can raise
            return (
                Verdict("fail", f"{self.name} stopped with {where(error)}.{more}{going_on}"),
                self.solution,
            )

    def hint(self) -> None:
        """Show the next hint."""
        text = self.hints[min(self.given, len(self.hints) - 1)]
        self.given = min(self.given + 1, len(self.hints))
        print(f"Hint {self.given} of {len(self.hints)}: {text}")


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

    return call


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
