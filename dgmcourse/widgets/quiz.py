"""A self-test in the notebook: questions with four choices each, an explanation for every choice,
and a score by topic.

    quiz = Quiz(QUESTIONS)
    quiz.score  # Score(right=3, answered=4, of=20, topics={"07_vae": (1, 2), ...})

Only the first answer to a question counts. The test runs in the browser and reports the answers to
the kernel. Where none runs, the questions stand in its place as text, with the answers folded.
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
        choices: four pairs (choice, explanation of why it is right or wrong).
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
        words = [self.text, *(text for pair in self.choices for text in pair)]
        if not all(text.strip() for text in words):
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
    """The number of right first answers, of answered questions and of all questions, and by topic:
    {notebook: (right, of)}.
    """

    right: int
    answered: int
    of: int
    topics: dict[str, tuple[int, int]]

    def __str__(self):
        return f"{self.right} of {self.answered} answered are right, {self.of} questions in all"


class Quiz(anywidget.AnyWidget):
    """The self-test as a widget. `answers` holds the first choice for each question, or -1 where
    there is none yet; `score` counts them.

    Args:
        text: HTML that stands in its place where no kernel runs; by default `quiz_text` of the
            questions.
    """

    _esm = esm("quiz")
    _css = HERE / "quiz.css"
    _questions = traitlets.List(traitlets.Dict()).tag(sync=True)
    answers = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(self, questions: list[Question], text: str = ""):
        if not questions:
            raise ValueError("a self-test needs a question")
        self.questions, self.text = list(questions), text or quiz_text(questions)
        # Pairs as lists, as they come back from the browser.
        rows = [vars(q) | {"choices": [list(pair) for pair in q.choices]} for q in questions]
        super().__init__(_questions=rows, answers=[-1] * len(questions))

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
        right = sum(right for right, _ in topics.values())
        answered = sum(answer >= 0 for answer in self.answers)
        return Score(right, answered, len(self.questions), topics)

    def _repr_mimebundle_(self, **kwargs) -> tuple[dict, dict]:
        data, metadata = super()._repr_mimebundle_(**kwargs)
        return data | {"text/html": self.text}, metadata

    def __repr__(self):
        return f"A self-test of {len(self.questions)} questions: run this cell to take it."


def quiz_text(questions: list[Question]) -> str:
    """Write the same as HTML for readers without a kernel: each question with its choices, the
    answers folded.
    """
    parts = []
    for i, question in enumerate(questions, 1):
        choices, answers = "", ""
        for k, (choice, why) in enumerate(question.choices):
            choices += f"<li>{escape(choice)}</li>"
            answers += f"<li>{'<b>Right.</b> ' if k == question.right else ''}{escape(why)}</li>"
        text, topic = escape(question.text), escape(question.notebook[:2])
        listed = '<ol type="a" style="margin: .2em 0">'
        parts.append(
            f'<div style="max-width: 48em; margin: 0 0 .9em"><b>{i}.</b> {text}'
            f' <span style="opacity: .7">({topic})</span>{listed}{choices}</ol>'
            f"<details><summary>Answers to {i}</summary>{listed}{answers}</ol></details></div>"
        )
    return "\n".join(parts)
