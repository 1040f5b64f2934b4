"""A self-test in the notebook: questions with four choices each, every choice answered by a
sentence, a score by topic.

    quiz = Quiz(QUESTIONS)
    quiz.score  # Score(right=3, answered=4, of=20, topics={"07_vae": (1, 2), ...})

The first answer to a question counts; trying again is free. All of it runs in the browser, the
kernel only hears of it.
"""

from dataclasses import dataclass
from html import escape

import anywidget
import traitlets

from dgmcourse.widgets import HERE, esm


@dataclass(frozen=True)
class Question:
    """One question about one notebook.

    Args:
        notebook: its file's stem, "07_vae".
        text: the question, plain text.
        choices: four pairs (choice, what to say to one who takes it).
        right: the index of the right one.

    Raises:
        ValueError: for fewer than two choices, two alike, an empty answer, or a right one that is
            none of them.
    """

    notebook: str
    text: str
    choices: tuple[tuple[str, str], ...]
    right: int

    def __post_init__(self):
        if len(self.choices) < 2 or len({choice for choice, _ in self.choices}) < len(self.choices):
            raise ValueError(f"a question has different choices, two at least: {self.text}")
        if not self.text.strip() or not all(
            choice.strip() and why.strip() for choice, why in self.choices
        ):
            raise ValueError(
                f"a question, its choices and what is said to each are words: {self.text!r}"
            )
        if not 0 <= self.right < len(self.choices):
            raise ValueError(
                f"which of the {len(self.choices)} choices is right, counted from 0? Not"
                f" {self.right}"
            )


@dataclass(frozen=True)
class Score:
    """How many first answers were right, of how many given and how many questions; and {notebook:
    (right, of)}.
    """

    right: int
    answered: int
    of: int
    topics: dict[str, tuple[int, int]]

    def __str__(self):
        return f"{self.right} of {self.answered} answered are right, {self.of} questions in all"


class Quiz(anywidget.AnyWidget):
    """The widget. `answers` are the first choices, one for each question, -1 where there is none
    yet; `score` counts them.
    """

    _esm = esm("quiz")
    _css = HERE / "quiz.css"
    _questions = traitlets.List(traitlets.Dict()).tag(sync=True)
    answers = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(self, questions: list[Question]):
        if not questions:
            raise ValueError("a self-test needs a question")
        self.questions = list(questions)
        super().__init__(
            _questions=[
                {
                    "notebook": q.notebook,
                    "text": q.text,
                    "right": q.right,
                    "choices": [list(pair) for pair in q.choices],
                }
                for q in questions
            ],
            answers=[-1] * len(questions),
        )

    @traitlets.validate("answers")
    def _one_for_each(self, proposal):
        if len(proposal.value) != len(self._questions):
            raise traitlets.TraitError(
                f"one answer for each of {len(self._questions)} questions, got"
                f" {len(proposal.value)}"
            )
        for answer, question in zip(proposal.value, self._questions, strict=True):
            if not -1 <= answer < len(question["choices"]):
                raise traitlets.TraitError(
                    f"an answer is the index of a choice, or -1 for none, got {answer}"
                )
        return proposal.value

    @property
    def score(self) -> Score:
        topics = {}
        for question, answer in zip(self.questions, self.answers, strict=True):
            right, of = topics.get(question.notebook, (0, 0))
            topics[question.notebook] = right + (answer == question.right), of + 1
        answered = sum(answer >= 0 for answer in self.answers)
        return Score(
            sum(right for right, _ in topics.values()), answered, len(self.questions), topics
        )

    def __repr__(self):
        return f"A self-test of {len(self.questions)} questions: run this cell to take it."


def quiz_text(questions: list[Question]) -> str:
    """The same as HTML for readers without a kernel: each question with its choices, the answers
    folded.
    """
    parts = []
    for i, question in enumerate(questions, 1):
        choices = "".join(f"<li>{escape(choice)}</li>" for choice, _ in question.choices)
        said = "".join(
            f"<li>{'<b>Right.</b> ' if k == question.right else ''}{escape(why)}</li>"
            for k, (_, why) in enumerate(question.choices)
        )
        parts.append(
            f'<div style="max-width: 48em; margin: 0 0 .9em"><b>{i}.</b> {escape(question.text)}'
            f' <span style="opacity: .7">({escape(question.notebook[:2])})</span><ol type="a"'
            f' style="margin: .2em 0">{choices}</ol><details><summary>Answers to {i}</summary><ol'
            f' type="a" style="margin: .2em 0">{said}</ol></details></div>'
        )
    return "\n".join(parts)
