"""The self-test in JupyterLab: taken with keys only, read by roles and names, and without a kernel
once it is there.
"""

import json

import pytest

pytestmark = pytest.mark.browser
CELL = """
from dgmcourse.widgets.quiz import Question, Quiz
four = [("first", "Said to the first."), ("second", "Said to the second."), ("third", "To the third."), ("fourth", "To the fourth.")]
quiz = Quiz([Question("07_vae", "Which one?", tuple(four), 1), Question("09_normalizing_flows", "And here?", tuple(four), 3)])
quiz
"""


@pytest.fixture(scope="module")
def page(lab):
    page = lab.open([CELL, "'a cell below'"])
    lab.run_all()
    page.wait_for_selector(".dgm-quiz")
    return page


def said(page):
    return page.locator(".dgm-quiz .said")


def button(page, name):
    return page.locator(".dgm-quiz").get_by_role("button", name=name, exact=True)


def choice(page, name):
    return page.locator(".dgm-quiz").get_by_role("radio", name=name)


def test_it_is_taken_with_the_keyboard_and_python_hears_the_first_answer(lab, page):
    assert page.get_by_role("group", name="Question 1 of 2, on notebook 07").count() == 1
    assert page.locator(".dgm-quiz").get_by_role("radio").count() == 4
    button(page, "Check").click()
    assert "Choose one" in said(page).inner_text()
    choice(page, "first").focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert choice(page, "third").is_checked()
    page.keyboard.press("Enter")
    assert (
        "Not so. To the third." in said(page).inner_text()
        and said(page).get_attribute("aria-live") == "polite"
    )
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert (
        "Right. Said to the second." in said(page).inner_text()
        and "first answer" in said(page).inner_text()
    )
    page.locator(".dgm-quiz").get_by_role("button", name="question 1, wrong").wait_for()
    page.wait_for_timeout(300)
    assert json.loads(
        lab.execute("import json; print(json.dumps([quiz.answers, quiz.score.right]))")
    ) == [[2, -1], 0]
    assert (
        page.locator(".jp-Notebook .jp-Cell").count() == 2
    )  # no key reached the notebook's own shortcuts


def test_next_and_back_keep_what_was_answered(page):
    button(page, "Next").click()
    assert page.locator(".dgm-quiz .question").inner_text() == "And here?"
    assert page.locator(".dgm-quiz input:checked").count() == 0 and said(page).inner_text() == ""
    button(page, "Back").click()
    assert choice(page, "third").is_checked() and "To the third." in said(page).inner_text()
    page.locator(".dgm-quiz").get_by_role("button", name="question 2, open").click()
    assert page.locator(".dgm-quiz .question").inner_text() == "And here?"


def test_without_a_kernel_it_goes_on_and_gives_the_result_by_topic(lab, page):
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel")
    choice(page, "fourth").check()
    button(page, "Check").click()
    assert "Right. To the fourth." in said(page).inner_text()
    assert page.locator(".dgm-quiz .count").inner_text() == "1 right of 2 answered"
    button(page, "Result").click()
    assert "1 of 2 right" in said(page).inner_text()
    rows = said(page).get_by_role("row").all_inner_texts()
    assert "0 of 1" in rows[1] and "1 of 1" in rows[2]
    links = said(page).get_by_role("link")
    assert links.count() == 1 and links.first.get_attribute("href") == "07_vae.ipynb"
    assert all(
        "Could not send widget sync message" in error for error in lab.errors
    )  # the front end's, of the kernel it lost
    lab.errors.clear()
