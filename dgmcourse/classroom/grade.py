"""Grade what was handed in: `python -m dgmcourse grade submissions/ --out grades.csv`.

Each notebook gets a process of its own, without network and files. The judge stays in this one and
names the verdict. A journal beside the table keeps what is done, so that an interrupted run goes on;
a notebook that has changed since is graded again, and so is all where the sandbox, the seconds or the
course's code have.
"""

import contextlib
import csv
import hashlib
import importlib
import io
import json
import math
import os
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from datetime import date, datetime, time
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dgmcourse import files
from dgmcourse.check import Exercise, Verdict
from dgmcourse.classroom import feedback, sandbox
from dgmcourse.classroom.cells import code_cells, content, defined_late
from dgmcourse.classroom.channel import Gone
from dgmcourse.classroom.feedback import plain
from dgmcourse.classroom.remote import Student, Submission
from dgmcourse.weights import notebooks

COLUMNS = ("student", "notebook", "exercise", "points", "out_of", "verdict", "sentence")
COLUMNS += ("handed_in", "minutes_late")
SECONDS = 20  # for one exercise: judged, it takes a tenth of one


class Asked(NamedTuple):
    """An exercise that is to be graded: `dgmcourse.check.MODULE.NAME`."""

    module: str
    name: str
    points: float | None = None

    @property
    def exercise(self) -> Exercise:
        return getattr(importlib.import_module(f"dgmcourse.check.{self.module}"), self.name)


class Handed(NamedTuple):
    """A notebook that was handed in."""

    student: str
    notebook: str
    path: Path
    asked: tuple[Asked, ...]

    @property
    def digest(self) -> str:
        try:
            there = content(self.path)
        except (ValueError, OSError) as error:
            there = str(error).encode()
        return hashlib.sha256(repr(self.asked).encode() + there).hexdigest()


# ---- what is to be graded


def exercises(release: Path | None = None) -> dict[str, tuple[Asked, ...]]:
    """The exercises of each notebook, with the points of a release if there is one."""
    if release:
        return asked_in(json.loads((release / "class.json").read_text()))
    listed = {row["notebook"]: row.get("exercises", []) for row in notebooks()}
    return {
        notebook: tuple(Asked(*one.split(".")) for one in names)
        for notebook, names in listed.items()
        if names
    }


def asked_in(card: dict) -> dict[str, tuple[Asked, ...]]:
    """The exercises of a release, by its class.json."""
    return {
        notebook: tuple(Asked(*one.split("."), points) for one, points in each.items())
        for notebook, each in card["points"].items()
    }


def visible(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """The paths below a folder, without what is hidden."""
    return [
        path
        for path in sorted(paths)
        if not any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
    ]


def handed_in(folder: Path, wanted: dict[str, tuple[Asked, ...]]) -> list[Handed]:
    """The notebooks below a folder, of several of one student's the newest. The student is the first
    folder's name, FOLDER/STUDENT/.../07_vae.ipynb, or what stands before the notebook's name,
    FOLDER/STUDENT_07_vae.ipynb.

    Raises:
        ValueError: if there is none.
    """
    found = {}
    for path in visible(folder, folder.rglob("*.ipynb")):
        inner = path.relative_to(folder)
        if notebook := next((name for name in wanted if name in path.stem), None):
            before = path.stem.partition(notebook)[0].strip("_- ")
            student = inner.parts[0] if len(inner.parts) > 1 else before or path.stem
            one = Handed(student, notebook, path, wanted[notebook])
            found.setdefault((student, notebook), []).append(one)
    if not found:
        names = ", ".join(wanted)
        raise ValueError(f"{folder} has no notebook whose name has one of these in it: {names}")
    return [max(ones, key=lambda one: handed_in_at(one.path)) for ones in found.values()]


def students(folder: Path, there: list[Handed]) -> list[str]:
    """All of whom something is there, be it an empty folder."""
    folders = {path.name for path in visible(folder, folder.iterdir()) if path.is_dir()}
    return sorted(folders | {one.student for one in there})


def overlooked(folder: Path, release: Path | None = None) -> Iterator[str]:
    """Sentences on what is there and is not graded."""
    wanted = exercises(release)
    there = handed_in(folder, wanted)
    for path in visible(folder, folder.rglob("*.ipynb")):
        inner = path.relative_to(folder)
        if not any(name in path.stem for name in wanted):
            yield plain(
                f"{inner} is not graded: its name has none of these in it: {', '.join(wanted)}."
            )
        elif path not in {one.path for one in there}:
            yield plain(f"{inner} is not graded: the same student's other copy is newer.")
    for student in set(students(folder, there)) - {one.student for one in there}:
        yield plain(f"{student} has handed in no notebook that is graded.")


def absent(folder: Path, there: list[Handed]) -> list[dict]:
    """Lines of 0 points for what others have handed in and a student has not."""
    asked, given = {one.notebook: one.asked for one in there}, {one[:2] for one in there}
    return [
        row(student, notebook, failed(one.exercise, one.points, "nothing handed in", "blank"))
        | {"handed_in": "", "minutes_late": ""}
        for student in students(folder, there)
        for notebook in asked
        if (student, notebook) not in given
        for one in asked[notebook]
    ]


# ---- when it was handed in


def moment(text: str) -> datetime:
    """A day, "2026-12-24", which ends at 23:59, or a day and a time, "2026-12-24 18:00". Without a
    zone, "+01:00", it is that of this machine.

    Raises:
        ValueError: if it is neither.
    """
    with contextlib.suppress(ValueError):
        return datetime.combine(date.fromisoformat(text), time(23, 59)).astimezone()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        said = f"{text!r} is no date: write it as 2026-12-24 18:00, year, month, day and time"
        raise ValueError(f"{said}, or the day alone, which ends at 23:59") from None
    return found if found.tzinfo else found.astimezone()


def due_dates(release: Path | None) -> dict[str, datetime]:
    """Those of the notebooks of a release that have one."""
    due = json.loads((release / "class.json").read_text())["due"] if release else {}
    return {notebook: moment(at) for notebook, at in due.items() if at}


def handed_in_at(path: Path) -> datetime:
    """What nbgrader's timestamp.txt beside a notebook says, else the time of its file."""
    with contextlib.suppress(OSError, ValueError, LookupError, OverflowError):
        day, clock, zone, *_ = [*content(path.with_name("timestamp.txt")).decode().split(), "UTC"]
        return datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=ZoneInfo(zone)).astimezone()
    return datetime.fromtimestamp(path.lstat().st_mtime).astimezone()


def when(one: Handed, due: datetime | None) -> dict:
    """The columns that say when it was handed in, and how many minutes late."""
    at = handed_in_at(one.path)
    late = max(0, math.ceil((at - due).total_seconds() / 60)) if due else ""
    return {"handed_in": at.isoformat(" ", "seconds"), "minutes_late": late}


# ---- one submission


class Grader:
    """Judges submissions, one after the other, and keeps a warm student's process for them."""

    def __init__(self, kind: str, seed: int, seconds: int = SECONDS):
        self.kind, self.seed, self.seconds, self.student = kind, seed, seconds, None

    def begin(self, cells: list[str]) -> Submission:
        """A submission in the warm process, or in a new one where that is not as it was: a
        submission before this one may have spoilt it, which costs this one nothing.

        Raises:
            OSError: if no process works.
        """
        for last in (False, True):
            if self.student is None:
                self.student = Student(sandbox.command(self.kind), seconds=self.seconds)
            try:
                return Submission(self.student, cells, secrets.token_hex(8))
            except Gone as gone:
                self.close()
                if last:
                    raise OSError(f"the sandbox does not work: it {gone}") from None

    def close(self) -> None:
        if self.student:
            self.student.close()
        self.student = None

    def grade(self, cells: list[str], asked: Iterable[Asked]) -> list[Verdict]:
        """The verdicts on a notebook's exercises. A later one goes on with the course's own where
        an earlier one is not right.
        """
        verdicts, session, wrong = [], None, {}  # wrong: name -> the course's own
        for one in asked:
            exercise = one.exercise
            try:
                session = self.prepared(session, cells, one.name, wrong)
                trouble = session.define(one.name, self.seconds)
                verdict = self.judge(session, exercise, one.points, trouble)
            except Gone as gone:
                verdict = failed(exercise, one.points, f"{one.name} {gone}.")
                session = self.close()
            if verdict.kind == "blank" and defined_late(cells, one.name):
                said = f"{one.name} is defined only after its check: move it above."
                verdict = failed(exercise, one.points, said, "blank")
            verdicts.append(verdict)
            if verdict.passed:
                session.there.append(one.name)
            else:
                wrong[one.name] = exercise.solution
        if session and session.carried:
            self.close()  # what was carried there is not for the next submission to look for
        elif session:
            try:
                session.end()
            except Gone:
                self.close()
        return verdicts

    def prepared(self, session, cells: list[str], name: str, wrong: dict) -> Submission:
        """The session, or a new one where an exercise before this has broken it, in which all is
        there that this one uses of the others.
        """
        if session:
            with contextlib.suppress(Gone):
                session.prepare(name, wrong, self.seconds)
                return session
            self.close()
        session = self.begin(cells)
        session.prepare(name, wrong, self.seconds)
        return session

    def judge(self, session, exercise: Exercise, points, trouble: str) -> Verdict:
        if trouble:
            there = trouble != "missing"
            said = f": its cell stopped with {trouble}" if there else " is not in the notebook"
            return failed(exercise, points, f"{exercise.name}{said}.", "fail" if there else "blank")
        if session.kind is not True:
            said = f"{exercise.name} is {session.kind}, not a function."
            return failed(exercise, points, said)
        return exercise.grade(session, points, self.seed)


def failed(exercise: Exercise, points: float | None, sentence: str, kind: str = "fail") -> Verdict:
    points = exercise.parts if points is None else points
    return Verdict(kind, sentence, exercise.name, sentence, "", 0.0, points)


def rows_of(grader: Grader, one: Handed) -> list[dict]:
    """The lines of one submission: points, verdict and sentence of each exercise."""
    try:
        cells = code_cells(one.path)
    except (ValueError, OSError) as error:
        verdicts = [failed(asked.exercise, asked.points, f"{error}.") for asked in one.asked]
    else:
        verdicts = grader.grade(cells, one.asked)
    return [row(one.student, one.notebook, verdict) for verdict in verdicts]


def row(student: str, notebook: str, verdict: Verdict) -> dict:
    """A line of the table, and what the mistake is called."""
    return {
        "student": student,
        "notebook": notebook,
        "exercise": verdict.exercise,
        "points": verdict.points,
        "out_of": verdict.out_of,
        "verdict": verdict.kind,
        "sentence": plain(verdict.sentence),
        "mistake": plain(verdict.mistake),
    }


# ---- all of them


def worker(*settings) -> None:
    """Begin a process that judges; it ends with the one that started it, however that ends."""
    global grader
    import torch

    def end() -> None:
        parent_process().join()
        os._exit(1)

    Thread(target=end, daemon=True).start()
    torch.set_num_threads(1)
    grader = Grader(*settings)


def work(one: Handed) -> list[dict]:
    try:
        return rows_of(grader, one)
    except Exception as error:  # the grader's own fault is no reason to lose the others
        grader.close()
        return not_graded(one, f"the grader stopped with {type(error).__name__}: {error}")


def not_graded(one: Handed, why: str) -> list[dict]:
    """The lines of a submission that could not be graded, which are not kept."""
    return [
        {"student": one.student, "notebook": one.notebook, "exercise": asked.name}
        | {"points": "", "out_of": "", "verdict": "error", "sentence": plain(why), "mistake": ""}
        for asked in one.asked
    ]


def judged(left: list[Handed], jobs: int, settings: tuple) -> Iterator[tuple[Handed, list[dict]]]:
    """Each of them with its lines, as they are done. Where a process of the grader's dies, for want
    of memory for instance, what was not done is done one after the other, so that it is known which
    one it dies of.
    """
    lost = []
    with processes(jobs, settings) as pool:
        running = {pool.submit(work, one): one for one in left}
        try:
            for future in as_completed(running):
                try:
                    yield running[future], future.result()
                except BrokenExecutor:
                    lost.append(running[future])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    while lost:
        with processes(1, settings) as pool:
            while lost:
                one = lost.pop(0)
                try:
                    yield one, pool.submit(work, one).result()
                except BrokenExecutor:
                    yield one, not_graded(one, "the grader's process was ended: too little memory?")
                    break


def processes(jobs: int, settings: tuple) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, get_context("spawn"), worker, settings)


class Journal:
    """What is graded already, a line a submission; a line that is not whole is not there."""

    def __init__(self, path: Path, again: bool, seed: int | None):
        lines = path.read_text().splitlines() if path.exists() and not again else []
        rows = [row for row in map(whole, lines) if row]
        self.seed = rows[0]["seed"] if rows and "seed" in rows[0] else None
        if self.seed is None or seed not in (None, self.seed):
            rows, self.seed = [], secrets.randbits(31) if seed is None else seed
        self.done = {row["digest"]: row["rows"] for row in rows if "digest" in row}
        kept = [{"seed": self.seed}]
        kept += [{"digest": digest, "rows": rows} for digest, rows in self.done.items()]
        files.write_atomically(path, "".join(json.dumps(row) + "\n" for row in kept).encode())
        self.file = path.open("a")

    def write(self, row: dict) -> None:
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()

    def add(self, digest: str, rows: list[dict]) -> None:
        self.done[digest] = rows
        self.write({"digest": digest, "rows": rows})


def whole(line: str) -> dict | None:
    try:
        return json.loads(line)
    except ValueError:
        return None


def grade(
    folder: Path,
    out: Path,
    release: Path | None = None,
    jobs: int = 2,
    due: datetime | None = None,
    seed: int | None = None,
    seconds: int = SECONDS,
    kind: str | None = None,
    again: bool = False,
    progress=lambda done, of: None,
) -> list[dict]:
    """Grade all notebooks below a folder and write the table, and that of the sums; its rows.

    Args:
        out: where the table goes; the journal lies beside it.
        release: its class.json says which notebooks, and how many points.
        jobs: processes; each needs a core and 1.5 GB.
        due: from when on a notebook is late, which costs no points; by default those of the release.
        seed: of the judges' numbers; by default drawn for this run, and kept in the journal.
        seconds: of a core, for each exercise.
        kind: of the sandbox; by default the best that works here.
        again: grade those again that are in the journal.
    """
    there, dues = handed_in(folder, exercises(release)), due_dates(release)
    kind = kind or sandbox.best()
    how = version(kind, seconds)
    keys = {one: f"{one.student}/{one.notebook}/{one.digest}/{how}" for one in there}
    kept = out.with_suffix(".journal")
    with files.alone(kept):
        journal = Journal(kept, again, seed)
        left = [one for one in there if keys[one] not in journal.done]
        progress(len(there) - len(left), len(there))
        done = judged(left, jobs, (kind, journal.seed, seconds))
        for i, (one, rows) in enumerate(done, len(there) - len(left) + 1):
            if all(row["verdict"] != "error" for row in rows):
                journal.add(keys[one], rows)
            else:
                journal.done[keys[one]] = rows
            progress(i, len(there))
        rows = [
            row | when(one, due or dues.get(one.notebook))
            for one in there
            for row in journal.done[keys[one]]
        ]
        rows += absent(folder, there)
        rows = sorted(rows, key=lambda row: (row["student"], row["notebook"]))
        files.write_atomically(out, table(rows))
        files.write_atomically(totals_of(out), feedback.totals(rows))
    return rows


def version(kind: str, seconds: int) -> str:
    """How it is graded: sandbox, seconds and all of the course's code, as a digest."""
    code = [path.read_bytes() for path in sorted(sandbox.PACKAGE.rglob("*.py"))]
    return hashlib.sha256(repr((kind, seconds)).encode() + b"".join(code)).hexdigest()[:16]


def totals_of(out: Path) -> Path:
    """Where the sums go, beside the table."""
    return out.with_suffix(".totals.csv")


def table(rows: list[dict]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: plain(v) if isinstance(v, str) else v for k, v in row.items()})
    return text.getvalue().encode(errors="replace")


def summary(rows: list[dict], most: int = 5) -> Iterator[str]:
    """For the lecturer: how many are right, exercise by exercise, and the most frequent mistakes."""
    numbers = False
    for notebook, name in dict.fromkeys((row["notebook"], row["exercise"]) for row in rows):
        of = [r for r in rows if (r["notebook"], r["exercise"]) == (notebook, name)]
        count = Counter(row["verdict"] for row in of)
        yield f"{notebook} {name}: {count['pass']} of {len(of)} right, {count['blank']} not done"
        mistakes = Counter(row["mistake"] for row in of if row["verdict"] == "fail")
        for mistake, n in mistakes.most_common(most):
            numbers = numbers or "#" in mistake
            yield f"  {n} of {len(of)}: {mistake}"
        if count["error"]:
            yield f"  {count['error']} of {len(of)} could not be graded: run the same command again"
    if numbers:
        yield "(# stands for a number.)"
    late = {(row["notebook"], row["student"]) for row in rows if row.get("minutes_late")}
    for notebook, n in Counter(notebook for notebook, _ in sorted(late)).items():
        yield f"{notebook}: {n} handed in late"


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
