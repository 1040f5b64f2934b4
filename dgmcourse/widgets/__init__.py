"""Widgets: one module each, its JavaScript beside it."""
