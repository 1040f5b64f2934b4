"""The classroom: what is handed in, and how it is graded without running strangers' code unguarded.

    cells.py    which statements of a notebook an exercise needs
    sandbox.py  a process without network, files and much memory, by what the operating system has
    student.py  what runs in there: a student's functions, called by the judge
    channel.py  what the two say to one another
    remote.py   the judge's side: a function that lives in the other process, gradients included
    grade.py    `python -m dgmcourse grade`: a table and the most frequent mistakes
    feedback.py what is given back: a page for each student, and the sums

The judge and its truth never enter the student's process. What it gives to the student's functions
does, with the code of its networks and densities; and so does the course's own solution of an earlier
exercise that is not right, where a later one uses it. docs/grading.md says what that leaves open.
"""
