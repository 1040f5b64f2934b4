"""What one submission can do to another, or to the judge: nothing, and the grader's own failures cost
nobody a point. With one sandbox at a time.
"""

import os
import signal
import struct
import subprocess
import sys

import pytest

from dgmcourse import files
from dgmcourse.classroom import grade as grading
from dgmcourse.classroom import sandbox
from dgmcourse.classroom.channel import ENDED, FINE, LATE, Channel, Gone
from dgmcourse.classroom.grade import Asked, Grader, Handed
from dgmcourse.classroom.student import how

WELCOME = Asked("welcome", "log_bernoulli")
RIGHT = "return (x * logits - torch.nn.functional.softplus(logits)).sum(-1)"
KL = "def kl(mean, log_var):\n    return 0.5 * (log_var.exp() + mean**2 - 1 - log_var).sum(-1)"
ELBO = """def elbo(x, encoder, decoder):
    q = encoder(x)
    reconstruction, regulariser = decoder(q.rsample()).log_prob(x), kl(q.mean, q.log_var)
    return reconstruction - regulariser, reconstruction, regulariser"""
SAMPLE = "def sample(n, prior, decoder):\n    return decoder(prior.sample((n,))).sample()"


@pytest.fixture(scope="module")
def grader():
    one = Grader(sandbox.best(), seed=3, seconds=5)
    yield one
    one.close()


def with_bubblewrap(grader):
    if grader.kind != "bwrap":
        pytest.skip("bubblewrap is not here or does not work: apt install bubblewrap")


def judged(grader, body):
    """The verdict on one function of notebook 00, `body` its lines."""
    lines = body.replace("\n", "\n    ")
    cell = f"import torch\ndef log_bernoulli(x, logits):\n    {lines}"
    return grader.grade([cell], [WELCOME])[0]


FORGED = """\
import pickle
from dgmcourse.classroom.channel import Channel
receive = Channel.receive
def forge(self):
    got = receive(self)
    if got == [pickle.dumps(("end",))]:
        self.send({parts})
    return got
Channel.receive = forge
"""


@pytest.mark.parametrize("parts", ["b'done', b'0'", "b'{}', b''"])
def test_an_end_that_is_forged_costs_the_next_one_nothing(grader, parts):
    assert judged(grader, FORGED.format(parts=parts) + RIGHT).passed
    assert judged(grader, RIGHT).passed


def test_a_process_that_has_died_meanwhile_is_begun_again(grader):
    assert judged(grader, RIGHT).passed
    grader.student.process.kill()
    assert judged(grader, RIGHT).passed


def test_what_is_left_is_not_there_for_the_next_one(grader):
    with_bubblewrap(grader)
    leave = "import os, tempfile\nplace = tempfile.mkdtemp()\nopen(place + '/x', 'w').close()\n"
    look = "import os, tempfile\nassert not os.listdir(tempfile.gettempdir())\n"
    assert judged(grader, leave + "os.chmod(place, 0)\n" + RIGHT).passed
    assert judged(grader, look + RIGHT).passed
    assert not judged(grader, leave + look + RIGHT).passed  # which would have seen it


@pytest.mark.parametrize("what", ["mem", "fd/0"])
def test_nobody_looks_into_the_warm_process(grader, what):
    with_bubblewrap(grader)
    found = judged(grader, f"import os\nopen(f'/proc/{{os.getppid()}}/{what}')")
    assert "PermissionError" in found.sentence, found.sentence


def test_a_long_word_is_cut(grader):
    found = judged(grader, "raise ValueError('x' * 5000)")
    assert "ValueError: xxx" in found.sentence and len(found.sentence) < 400


def test_whoever_does_not_heed_the_limit_is_late():
    assert how(signal.SIGXCPU, 3.0, 20) == how(signal.SIGKILL, 81.0, 20) == LATE
    assert how(signal.SIGKILL, 3.0, 20) == how(3 << 8, 3.0, 20) == ENDED
    assert how(0, 81.0, 20) == FINE


def test_time_that_is_used_up_is_said_so():
    one = Grader(sandbox.best(), seed=3, seconds=1)
    ignored = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True:\n    pass"
    try:
        assert "ran longer than it may" in judged(one, ignored).sentence
    finally:
        one.close()


# ---- the course's own in place of what is not right


def test_a_crash_does_not_take_what_was_right_before(grader):
    """The next exercise defines again, in a new process, what it uses of the right ones."""
    crash = SAMPLE.split("\n")[0] + "\n    import os\n    os.abort()"
    cells = ["import torch", KL, crash, ELBO]
    asked = [Asked("vae", name) for name in ("kl", "sample", "elbo")]
    kl, sample, elbo = grader.grade(cells, asked)
    assert kl.passed and elbo.passed, elbo
    assert "ended its process" in sample.sentence


def test_the_courses_own_is_sent_where_it_is_used_and_nobody_comes_after_it(grader):
    wrong = KL.replace("0.5 *", "")
    asked = [Asked("vae", name) for name in ("kl", "elbo")]
    assert [one.passed for one in grader.grade([wrong, ELBO], asked)] == [False, True]
    assert grader.student is None
    asked = [Asked("vae", name) for name in ("kl", "sample")]
    assert [one.passed for one in grader.grade([wrong, SAMPLE], asked)] == [False, True]
    assert grader.student is not None  # no answer uses kl: nothing was sent


# ---- the grader's own failures


@pytest.fixture
def handed(tmp_path):
    path = tmp_path / "07_vae.ipynb"
    path.write_text('{"cells": [{"cell_type": "code", "source": "x = 1"}]}')
    return Handed("ada", "07_vae", path, (Asked("vae", "kl"),))


def test_a_sandbox_that_does_not_start_is_nobodys_fault(handed, monkeypatch):
    one = Grader("none", 0)
    monkeypatch.setattr(grading, "grader", one, raising=False)
    monkeypatch.setattr(sandbox, "command", lambda kind: ["sh", "-c", "echo no room >&2; exit 3"])
    (row,) = grading.work(handed)
    assert row["verdict"] == "error" and "does not start: no room" in row["sentence"]


def test_why_bubblewrap_does_not_work_is_said(monkeypatch, tmp_path):
    """Installed but refused, as on Ubuntu 24.04."""
    (tmp_path / "bwrap").write_text(
        "#!/bin/sh\necho a warning >&2\necho not permitted >&2\nexit 1\n"
    )
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert sandbox.refused("bwrap") == "not permitted" and sandbox.best() != "bwrap"
    assert "not permitted" in sandbox.named("unshare") and "it says" not in sandbox.named("bwrap")
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert sandbox.best() == "none" and sandbox.named("none") == sandbox.KINDS["none"]


def mark(one):
    """A grader's work in its place: of one hand-in, its process dies."""
    if one.student == "eva":
        os._exit(9)
    return [{"student": one.student, "verdict": "fail"}]


def test_who_ends_the_graders_process_is_named_and_the_others_are_graded(handed, monkeypatch):
    monkeypatch.setattr(grading, "work", mark)
    class_of = [handed._replace(student=name) for name in ("ada", "eva", "fay")]
    found = {one.student: rows for one, rows in grading.judged(class_of, 2, ("none", 0, 5))}
    assert {name: rows[0]["verdict"] for name, rows in found.items()} == {
        "ada": "fail",
        "eva": "error",
        "fay": "fail",
    }
    assert "the grader's process was ended" in found["eva"][0]["sentence"]


def test_two_graders_do_not_write_one_table(handed, tmp_path):
    out = tmp_path / "grades.csv"
    with files.alone(out.with_suffix(".journal")):
        command = (
            "import sys; from pathlib import Path; from dgmcourse.classroom.grade import grade\n"
        )
        command += "grade(Path(sys.argv[1]), Path(sys.argv[2]), kind='none')"
        words = [sys.executable, "-c", command, handed.path.parent, out]
        ran = subprocess.run(words, capture_output=True, text=True)
    assert "is being written by process" in ran.stderr and not out.exists()


def test_what_was_graded_otherwise_is_graded_again(monkeypatch, tmp_path):
    found = {grading.version(kind, s) for kind in ("bwrap", "none") for s in (5, 20)}
    monkeypatch.setattr(sandbox, "PACKAGE", tmp_path)  # another course's code
    (tmp_path / "one.py").write_text("x = 1")
    assert len(found | {grading.version("none", 5)}) == 5


def test_a_table_holds_what_can_be_written_and_no_formula():
    row = dict.fromkeys(grading.COLUMNS, 1.0)
    row |= {"student": "=HYPERLINK(A1)", "sentence": "a \ud800 \x1b[2J\r\nb", "exercise": "\udcff"}
    line = grading.table([row]).decode().splitlines()[1]
    assert line.startswith("'=HYPERLINK(A1),") and "a \ufffd \ufffd[2J b" in line


def test_a_cells_word_can_be_printed(grader):
    cell = "log_bernoulli = int('\\ud800\\x1b[2J')"
    (found,) = grader.grade([cell], [WELCOME])
    assert "ValueError" in found.sentence and found.sentence.isprintable()


def test_a_head_that_is_too_large_is_not_read():
    (read, write), (ends, _) = os.pipe(), os.pipe()
    os.write(write, struct.pack("<B2Q", 2, 2 << 20, 0))
    with pytest.raises(Gone, match="more than can be sent"):
        Channel(read, write, ends).receive()
