"""Checks of the students' answers, one module per notebook: `from dgmcourse.check import vae as
check`. `check.progress()` shows what has been tried.
"""

from dgmcourse.check._progress import progress as progress
