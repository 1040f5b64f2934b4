"""What is given back: a page for each student, and a table of sums for the lecturer."""

import csv
import io
from html import escape
from itertools import groupby
from pathlib import Path

from dgmcourse.files import write_atomically

WORDS = {"pass": "right", "fail": "not right", "blank": "not done", "error": "not graded yet"}


def plain(text: str) -> str:
    """Text as a spreadsheet and a terminal may hold it: one line, printable, and no formula."""
    text = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)
    text = " ".join(text.split())[:500]
    return f"'{text}" if text[:1] in tuple("=+-@") else text


def added(rows: list[dict], column: str) -> float | str:
    """The sum of a column, or "" as long as a line of it could not be graded."""
    values = [row[column] for row in rows]
    return "" if "" in values else round(sum(values), 2)


def by(rows: list[dict], column: str) -> dict[str, list[dict]]:
    """The rows for each value of a column, in the order of the values."""

    def key(row):
        return row[column]

    return {value: list(found) for value, found in groupby(sorted(rows, key=key), key)}


def totals(rows: list[dict]) -> bytes:
    """A table with a line for each student: the points of each notebook and of all."""
    notebooks = sorted({row["notebook"] for row in rows})
    text = io.StringIO()
    columns = ["student", *notebooks, "points", "out_of"]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for student, own in by(rows, "student").items():
        each = {name: added(found, "points") for name, found in by(own, "notebook").items()}
        whole = {"points": added(own, "points"), "out_of": added(own, "out_of")}
        writer.writerow({"student": plain(student)} | each | whole)
    return text.getvalue().encode(errors="replace")


def of(rows: list[dict]) -> str:
    """Points in words: "3 of 5"."""
    points, out_of = (added(rows, column) for column in ("points", "out_of"))
    return "not graded yet" if "" in (points, out_of) else f"{points:g} of {out_of:g} points"


def page(student: str, rows: list[dict]) -> str:
    """What one student gets back: points and the judge's sentence for each exercise."""
    body = f"<h1>{escape(student)}: {of(rows)}</h1>\n"
    for notebook, found in by(rows, "notebook").items():
        late = found[0].get("minutes_late")
        body += f"<h2>{notebook}: {of(found)}</h2>\n"
        body += f"<p>Handed in {late} minutes late.</p>\n" if late else ""
        body += "<table>\n"
        for row in found:
            cells = (row["exercise"], of([row]), WORDS[row["verdict"]], row["sentence"])
            body += f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>\n"
        body += "</table>\n"
    head = f'<meta charset="utf-8"><title>{escape(student)}</title>'
    head += "<style>body {font-family: sans-serif; max-width: 50em; margin: 2em auto}"
    head += " td {padding: .3em 1em .3em 0; vertical-align: top}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>\n{body}</body></html>\n'


def write(folder: Path, rows: list[dict]) -> None:
    """Write FOLDER/STUDENT.html for each student."""
    for student, own in by(rows, "student").items():
        write_atomically(folder / f"{student}.html", page(student, own).encode(errors="replace"))
