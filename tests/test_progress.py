"""What a student has tried is noted in their own folder, and shown."""

import json
import os
import subprocess
import sys
from datetime import datetime
from html.parser import HTMLParser

import pytest

from dgmcourse import check
from dgmcourse.check import _progress, density_network, vae


def right_kl(mean, log_var):
    return (mean**2 + log_var.exp() - 1 - log_var).sum(-1) / 2


@pytest.fixture
def folder(tmp_path, monkeypatch, capsys):
    """A student's folder, in which attempts are noted as in a notebook."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DGMCOURSE_PROGRESS")
    return tmp_path


def notes(folder):
    return [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]


def cells(table):
    """The text of each cell of an HTML table, row by row, with its tag and scope."""
    rows = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag == "tr":
                rows.append([])
            elif tag in ("td", "th"):
                rows[-1].append([tag, dict(attributes).get("scope"), ""])

        def handle_data(self, data):
            if rows and rows[-1]:
                rows[-1][-1][2] += data

    Reader().feed(table._repr_html_())
    return rows


def test_no_test_writes_to_a_real_folder():
    assert os.environ["DGMCOURSE_PROGRESS"] == "" and _progress.place() is None


def test_each_attempt_is_a_line_and_the_courses_solution_run_again_is_none(folder):
    going_on = vae.kl(lambda mean, log_var: mean)
    assert vae.kl(going_on) is vae.kl.solution
    vae.kl(lambda *given: None)
    vae.kl(right_kl)
    found = notes(folder)
    assert [(n["notebook"], n["exercise"], n["verdict"]) for n in found] == [
        ("vae", "kl", kind) for kind in ("fail", "blank", "pass")
    ]
    seconds = (datetime.now().astimezone() - datetime.fromisoformat(found[-1]["time"])).seconds
    assert seconds < 60
    assert (folder / "progress.jsonl").stat().st_mode & 0o077 == 0  # nobody else reads it


def test_the_table_shows_every_exercise_of_a_notebook_that_was_begun(folder, capsys):
    vae.kl(lambda mean, log_var: mean)
    vae.kl(right_kl)
    vae.elbo(lambda *given: None)
    capsys.readouterr()
    check.progress()
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in shown[1:]] == [
        ["vae", n] for n in ("kl", "elbo", "sample")
    ]
    assert " right  " in shown[1] and " 2 " in shown[1]
    assert "not done yet" in shown[2] and "not done yet" in shown[3]
    table = _progress.Progress(_progress.attempts())
    head, *body = cells(table)
    assert all(tag == "th" and scope == "col" for tag, scope, _ in head)
    assert [row[1][:2] for row in body] == [["th", "row"]] * 3
    assert "<caption>1 of 3 exercises are right" in table._repr_html_()


def test_a_shared_exercise_is_right_in_both_notebooks(folder):
    """03's `sample` is that of 07."""
    density_network.sample(vae.sample.solution)
    vae.kl(lambda mean, log_var: mean)
    table = _progress.Progress(_progress.attempts())
    assert [row[:3] for row in table.rows if row[1] == "sample"] == [
        ("density_network", "sample", "right"),
        ("vae", "sample", "right"),
    ]


def test_right_once_is_right(folder):
    for answer in (right_kl, lambda mean, log_var: mean):
        vae.kl(answer)
    assert _progress.Progress(_progress.attempts()).rows[0][2:4] == ("right", 2)


def test_a_folder_that_cannot_be_written_costs_the_note_alone(folder, monkeypatch):
    """A root's tests can write anything: so a name that cannot be a file."""
    (folder / "progress.jsonl").mkdir()
    assert vae.kl(right_kl) is right_kl and vae.kl.last.kind == "pass"
    monkeypatch.setenv("DGMCOURSE_PROGRESS", str(folder / "nowhere" / "progress.jsonl"))
    assert vae.kl(right_kl) is right_kl and vae.kl.last.kind == "pass"
    assert repr(_progress.Progress(_progress.attempts())) == "No exercise has been tried here yet."


def test_a_damaged_file_is_read_as_far_as_it_goes(folder):
    good = {"notebook": "vae", "exercise": "kl", "verdict": "pass", "time": "2026-11-30T02:00:00Z"}
    lines = ["{", "[1]", "3", "{}", '{"time": 3}', json.dumps(good | {"verdict": 1})]
    other = [json.dumps(good | {"notebook": name}) for name in ("", "no_such", "../x", "a.b")]
    (folder / "progress.jsonl").write_text("\n".join([*lines, *other, json.dumps(good), "\x00"]))
    table = _progress.Progress(_progress.attempts())
    assert [row[:3] for row in table.rows] == [
        ("vae", "kl", "right"),
        ("vae", "elbo", "not done yet"),
        ("vae", "sample", "not done yet"),
    ]


def test_lines_of_two_processes_do_not_mix(folder):
    """300 notes each, at the same time: no line is lost, none is broken."""
    code = (
        "from dgmcourse.check import _progress, vae\n"
        "from dgmcourse.check._exercise import Verdict\n"
        "vae.kl.last = Verdict('pass', '')\n"
        "for _ in range(300): _progress.note(vae.kl)"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], cwd=folder) for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    assert len(notes(folder)) == 600


@pytest.mark.parametrize("name", ["vae", "density_network"])
def test_each_notebooks_check_shows_it(name):
    assert getattr(check, name).progress is check.progress
