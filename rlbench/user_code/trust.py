"""Rules for modules that files name: which may be imported; see docs/reliability.md."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path

VARIABLE = "RLBENCH_TRUST"  # an environment variable, so that worker processes inherit it


def trusted() -> bool:
    """Return whether the user trusts all code that files name."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


@contextmanager
def trusting(on: bool) -> Iterator[None]:
    """Trust all code that files name within the block, if `on`."""
    before = os.environ.get(VARIABLE)
    if on:
        os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        if on and before is None:
            del os.environ[VARIABLE]
        elif on and before is not None:
            os.environ[VARIABLE] = before


def outside(module: str) -> str | None:
    """Return the file that importing a module would run, or None if it is an installed module.

    Installed is what Python finds without the current folder: the standard library, site-packages
    and PYTHONPATH. A folder without `__init__.py` is never installed. Nothing is imported.
    """
    top = module.partition(".")[0]
    if top == "rlbench" or not top:
        return None
    spec = _find(top, search_path())
    if spec is None:
        return None
    here = os.path.realpath(os.curdir)
    others = [
        entry for entry in sys.path if Path(entry).is_absolute() and os.path.realpath(entry) != here
    ]
    installed_spec = _find(top, others)
    if spec.origin and installed_spec and installed_spec.origin == spec.origin:
        return None
    return spec.origin or str(next(iter(spec.submodule_search_locations or ()), top))


def search_path() -> list[str]:
    """Return the search path for modules that a user names, with the current folder."""
    return sys.path if "" in sys.path or "." in sys.path else ["", *sys.path]


def _find(name: str, path: Sequence[str]) -> ModuleSpec | None:
    """Find the spec of a top-level module without importing it."""
    for finder in sys.meta_path:
        look = getattr(finder, "find_spec", None)
        if look and (spec := look(name, path)) is not None:
            return spec
    return None
