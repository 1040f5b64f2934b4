"""The self-test: what it counts, what it refuses, and that the course's own questions can't be
guessed from their form.
"""

import re
from collections import Counter
from pathlib import Path

import pytest
import traitlets

from dgmcourse.widgets.quiz import Question, Quiz, Score, quiz_text
from dgmcourse.widgets.self_test import QUESTIONS

SOURCES = Path(__file__).parents[1] / "notebooks" / "source"


def question(notebook="07_vae", right=1, text="1 < 2?"):
    return Question(
        notebook, text, (("no", "It is."), ("yes", "Indeed & <so>."), ("perhaps", "Always.")), right
    )


@pytest.mark.parametrize(
    ("given", "there"), [({}, "Indeed &amp; &lt;so&gt;."), ({"text": "<p>no</p>"}, "<p>no</p>")]
)
def test_the_text_stands_in_the_place_of_the_widget(given, there):
    data, _ = Quiz([question()], **given)._repr_mimebundle_()
    assert there in data["text/html"] and "application/vnd.jupyter.widget-view+json" in data


def test_the_score_counts_first_answers_by_topic():
    quiz = Quiz(
        [
            question(),
            question(text="again?"),
            question("08_reparameterization", 0),
            question("09_normalizing_flows", 2),
        ]
    )
    assert quiz.score == Score(
        0, 0, 4, {"07_vae": (0, 2), "08_reparameterization": (0, 1), "09_normalizing_flows": (0, 1)}
    )
    quiz.answers = [1, 0, 0, -1]
    assert quiz.score == Score(
        2, 3, 4, {"07_vae": (1, 2), "08_reparameterization": (1, 1), "09_normalizing_flows": (0, 1)}
    )
    assert str(quiz.score) == "2 of 3 answered are right, 4 questions in all"


@pytest.mark.parametrize("answers", [[0], [0, 1, 2], [3, 0], [-2, 0], ["a", 0]])
def test_answers_that_are_none_are_refused(answers):
    quiz = Quiz([question(), question(text="again?")])
    with pytest.raises(traitlets.TraitError):
        quiz.answers = answers
    assert quiz.answers == [-1, -1]


def test_questions_that_are_none_are_refused():
    for choices, right in (
        ((("a", "b"),), 0),
        ((("a", "x"), ("a", "y")), 0),
        ((("a", "x"), ("b", " ")), 0),
        ((("a", "x"), ("b", "y")), 2),
        ((("a", "x"), ("b", "y")), -1),
    ):
        with pytest.raises(ValueError, match="question|right"):
            Question("07_vae", "what?", choices, right)
    with pytest.raises(ValueError, match="a question"):
        Quiz([])


def test_the_text_has_everything_with_the_answers_folded():
    html = quiz_text([question(), question(right=0, text="again?")])
    shown = re.sub(r"<details>.*?</details>", "", html, flags=re.DOTALL)
    assert (
        "1 &lt; 2?" in shown
        and "again?" in shown
        and "perhaps" in shown
        and "Indeed" not in shown
        and "Right" not in shown
    )
    folded = re.findall(r"<details>(.*?)</details>", html, flags=re.DOTALL)
    assert [len(re.findall("<b>Right", part)) for part in folded] == [1, 1]
    assert (
        "<b>Right.</b> Indeed &amp; &lt;so&gt;." in folded[0]
        and "<b>Right.</b> It is." in folded[1]
    )
    assert html.count("<details>") == html.count("</details>") == 2


# ---- the course's own questions


def test_there_are_twenty_on_all_notebooks_of_the_spine():
    assert len(QUESTIONS) == 20 and len({q.text for q in QUESTIONS}) == 20
    there = [path.stem for path in sorted(SOURCES.glob("*.py")) if "01" <= path.stem[:2] <= "11"]
    assert sorted({q.notebook for q in QUESTIONS}) == there
    assert [q.notebook for q in QUESTIONS] == sorted(q.notebook for q in QUESTIONS)


def test_every_choice_is_answered_in_its_own_words():
    for q in QUESTIONS:
        assert len(q.choices) == 4
        assert len({why for _, why in q.choices}) == 4
        assert all(len(why.split()) >= 6 and why.endswith((".", "?")) for _, why in q.choices), (
            q.text
        )


def test_the_right_one_is_at_no_place_and_of_no_length_that_could_be_guessed():
    places = Counter(q.right for q in QUESTIONS)
    assert set(places) == {0, 1, 2, 3} and max(places.values()) <= 7
    lengths = [[len(choice) for choice, _ in q.choices] for q in QUESTIONS]
    longest = sum(sizes[q.right] == max(sizes) for q, sizes in zip(QUESTIONS, lengths, strict=True))
    shortest = sum(
        sizes[q.right] == min(sizes) for q, sizes in zip(QUESTIONS, lengths, strict=True)
    )
    assert 2 <= longest <= 8 and 2 <= shortest <= 9, (longest, shortest)
    ways = [q.right for q in QUESTIONS]
    assert not any(a == b == c for a, b, c in zip(ways, ways[1:], ways[2:], strict=False))
