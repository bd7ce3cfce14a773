"""Every public name has a docstring: its own, or that of the interface it implements."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from commands import ROOT, environment

import rlbench
from rlbench.errors import UserError

DESCRIBED = (staticmethod, classmethod, property, functools.cached_property)


# Modules that are imported only with an extra.
OPTIONAL = re.compile(r"rlbench\.(execution\.(ray|slurm)_\w+|tracking\.to_\w+)")


def modules() -> Iterator[ModuleType]:
    """All modules of rlbench that can be imported, agents and environments among them."""
    for found in pkgutil.walk_packages(rlbench.__path__, "rlbench."):
        if found.name.endswith("__main__"):
            continue
        try:
            yield importlib.import_module(found.name)
        except (ImportError, UserError):
            assert OPTIONAL.fullmatch(found.name), found.name


def undescribed(module: ModuleType) -> list[str]:
    """Public names that are written in a module and have no docstring."""
    tree = ast.parse(inspect.getsource(module))
    written = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    missing = [] if module.__doc__ else [module.__name__]
    for name in sorted(name for name in written if not name.startswith("_")):
        value = getattr(module, name)
        if not inspect.getdoc(value) or (inspect.isclass(value) and not value.__doc__):
            missing.append(f"{module.__name__}.{name}")
        for member, found in vars(value).items() if inspect.isclass(value) else ():
            if member.startswith("_") or getattr(found, "__module__", module.__name__) != (
                module.__name__
            ):
                continue
            if (inspect.isfunction(found) or isinstance(found, DESCRIBED)) and not inspect.getdoc(
                getattr(value, member)
            ):
                missing.append(f"{module.__name__}.{name}.{member}")
    return missing


@pytest.mark.slow
def test_public_names_are_described() -> None:
    assert [name for module in modules() for name in undescribed(module)] == []


def test_a_name_without_docstring_is_found() -> None:
    """Negative control: this module's tests have none."""
    here = sys.modules[__name__]
    assert f"{__name__}.test_public_names_are_described" in undescribed(here)
    assert f"{__name__}.modules" not in undescribed(here)


@pytest.mark.exhaustive  # CI calls it, too
def test_interrogate_finds_all_that_it_looks_at() -> None:
    """As `pre-commit` calls it."""
    done = subprocess.run(
        [sys.executable, "-m", "interrogate", "-q", "rlbench", "agents", "envs"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
