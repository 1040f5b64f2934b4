"""`python -m dgmcourse.studies NAME` is `python -m dgmcourse study NAME`."""

import sys

from dgmcourse.__main__ import main

sys.exit(main(["study", *sys.argv[1:]]))
