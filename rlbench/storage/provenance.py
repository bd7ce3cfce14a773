"""With what, when and how results were made."""

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
    """What was typed."""
    program = Path(sys.argv[0])
    ours = program.name == "rlbench" or program.parts[-2:] == ("rlbench", "__main__.py")
    return shlex.join(["rlbench", *sys.argv[1:]]) if ours else "from Python"


def machine(libraries: Sequence[str] = ()) -> dict[str, Any]:
    """Versions and commit that results were made with."""
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
    """Commit of the checkout that this code runs from, `+` where it has changes; else None."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
