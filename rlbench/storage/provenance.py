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
    # Unlike `git describe --dirty`, it writes nothing: a lock of the index could stay behind.
    command = ["git", "--no-optional-locks", "status", "--porcelain=2", "--branch", "-uno"]
    try:
        process = subprocess.run(
            command, cwd=here, capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    first, *lines = process.stdout.splitlines()  # "# branch.oid HASH", other headers, changes
    changed = not all(line.startswith("#") for line in lines)
    return first.split()[-1][:12] + "+" * changed
