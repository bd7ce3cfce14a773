"""Provenance of results: command, time, versions and machine."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rlbench import __version__


def now() -> str:
    """Return the time in UTC as ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def command() -> str:
    """Return the command line, or "from Python"."""
    program = Path(sys.argv[0])
    ours = program.name == "rlbench" or program.parts[-2:] == ("rlbench", "__main__.py")
    return shlex.join(["rlbench", *sys.argv[1:]]) if ours else "from Python"


def machine(libraries: Sequence[str] = ()) -> dict[str, Any]:
    """Return the versions, commit and platform that results are made with."""
    names = ("torch", "numpy", "gymnasium", *libraries)
    versions = {"rlbench": __version__, "python": platform.python_version()}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    settings = {"MKL_CBWR": os.environ.get("MKL_CBWR", "")}
    return {
        "versions": versions,
        "environment": settings,
        "commit": _commit(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def _commit() -> str | None:
    """Return the commit of this checkout, with `+` if it has changes; None without a checkout."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        commit = _git(here, "rev-parse", "--short=12", "HEAD")
        changes = _git(here, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + "+" * bool(changes)


def _git(checkout: Path, *arguments: str) -> str:
    """Return what git prints. It writes nothing: `git describe --dirty` would lock the index."""
    command = ["git", "--no-optional-locks", *arguments]
    return subprocess.run(
        command, cwd=checkout, capture_output=True, text=True, timeout=5, check=True
    ).stdout.strip()
