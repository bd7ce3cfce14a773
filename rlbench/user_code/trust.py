"""Which modules may be imported because a file names them: see docs/reliability.md."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path

VARIABLE = "RLBENCH_TRUST"  # of the environment, so that worker processes have it too


def trusted() -> bool:
    """Whether the user trusts whatever files name."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


@contextmanager
def trusting(on: bool) -> Iterator[None]:
    """Trust whatever files name within the block; with `on=False` nothing changes."""
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
    """The file that importing a module would run, if it is not an installed one; else None.

    Installed is what Python finds without looking in the current folder: the standard library,
    site-packages and PYTHONPATH. A folder without `__init__.py` is never installed. Nothing is
    imported.
    """
    top = module.partition(".")[0]
    if top == "rlbench" or not top:
        return None
    found = _find(top, search_path())
    if found is None:
        return None
    here = os.path.realpath(os.curdir)
    others = [
        entry for entry in sys.path if Path(entry).is_absolute() and os.path.realpath(entry) != here
    ]
    installed = _find(top, others)
    if found.origin and installed and installed.origin == found.origin:
        return None
    return found.origin or str(next(iter(found.submodule_search_locations or ()), top))


def search_path() -> list[str]:
    """Where modules that a user names are looked for: in the current folder too."""
    return sys.path if "" in sys.path or "." in sys.path else ["", *sys.path]


def _find(name: str, path: Sequence[str]) -> ModuleSpec | None:
    """Where a top-level module would come from."""
    for finder in sys.meta_path:
        look = getattr(finder, "find_spec", None)
        if look and (spec := look(name, path)) is not None:
            return spec
    return None
