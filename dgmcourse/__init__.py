"""Deep generative models as a course: the equation is the code."""

__version__ = "0.1.0"

_WHERE = {"load": "dgmcourse.weights", "fit": "dgmcourse.train", "mnist": "dgmcourse.data.images"}


def __getattr__(name):
    """Import on first use: `import dgmcourse` itself costs nothing."""
    if name not in _WHERE:
        raise AttributeError(f"module 'dgmcourse' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_WHERE[name]), name)


def __dir__():
    return sorted([*globals(), *_WHERE])
