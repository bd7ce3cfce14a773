"""Jinja environment of the pages: HTML is escaped, and all text is made visible."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from rlbench.common.plain_text import plain_text


def templates() -> Environment:
    """Return the environment; undefined names are errors."""
    return Environment(
        loader=PackageLoader("rlbench.reporting.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=lambda name: str(name).endswith(".html.j2"),
        finalize=lambda value: value if hasattr(value, "__html__") else plain_text(value),
    )
