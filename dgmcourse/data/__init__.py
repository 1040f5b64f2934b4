"""Data sets: what they are (images, toy), and where their files come from (source)."""


def datasets():
    """Every `source.DataSet` there is: the constants of this folder's modules."""
    from importlib import import_module
    from pkgutil import iter_modules

    from dgmcourse.data.source import DataSet

    modules = [import_module(f"dgmcourse.data.{module.name}") for module in iter_modules(__path__)]
    return [
        value for module in modules for value in vars(module).values() if isinstance(value, DataSet)
    ]
