"""Checks of the students' answers, one module per notebook: `from dgmcourse.check import vae as
check`. `check.progress()` shows what has been tried.

`check.kl(kl)` tells a student what is wrong and goes on. For a grader, `check.kl.grade(kl)` returns a
`Verdict`, and `check.kl(kl, strict=True)` raises `NotRight`.
"""

from dgmcourse.check._exercise import Blank, Exercise, NotRight, Verdict, Wrong, answered
from dgmcourse.check._progress import progress

__all__ = ["Blank", "Exercise", "NotRight", "Verdict", "Wrong", "answered", "progress"]
