"""Fixtures of the stand-in archive."""

from tests.dock.liar import dock_to, serve_liar

__all__ = ["dock_to", "serve_liar"]
