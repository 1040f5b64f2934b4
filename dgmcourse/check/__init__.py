"""Checks of the students' answers, one module per notebook: `from dgmcourse.check import vae as
check`.
"""
