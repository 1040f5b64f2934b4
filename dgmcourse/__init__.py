"""Deep generative models as a course: the equation is the code."""

__version__ = "0.1.0"
