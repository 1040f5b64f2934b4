"""Checks of the students' answers, one module per notebook: `from dgmcourse.check import vae as
check`.

`check.kl(kl)` tells a student what is wrong and goes on. For a grader, `check.kl.grade(kl)` returns a
`Verdict`, and `check.kl(kl, strict=True)` raises `NotRight`.
"""

from dgmcourse.check._exercise import Exercise, NotRight, Verdict

__all__ = ["Exercise", "NotRight", "Verdict"]
