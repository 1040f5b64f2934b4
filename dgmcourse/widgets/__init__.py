"""Widgets: one module each, its JavaScript beside it, with the helpers of common.js before it."""

from pathlib import Path

HERE = Path(__file__).parent


def esm(name: str) -> str:
    """The JavaScript module of a widget, its `_esm`: common.js, then NAME.js."""
    return "\n".join((HERE / f"{part}.js").read_text(encoding="utf-8") for part in ("common", name))
