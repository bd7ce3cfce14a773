"""With what, when and how results were made."""

from __future__ import annotations

import datetime
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rlbench import __version__


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def command() -> str:
    """What was typed."""
    return shlex.join(["rlbench", *sys.argv[1:]]) if "rlbench" in sys.argv[0] else "from Python"


def machine() -> dict[str, Any]:
    """Versions and commit that results were made with."""
    names = ("torch", "numpy", "gymnasium")
    versions = {"rlbench": __version__, "python": platform.python_version()}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    return {"versions": versions, "commit": _commit(), "platform": platform.platform()}


def _commit() -> str | None:
    """Commit of the checkout that this code runs from, `+` where it has changes; else None."""
    here = Path(__file__).resolve().parent.parent
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
