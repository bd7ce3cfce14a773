"""What pip calls this project, and others that install a package of the same import name.

RLBench, the robot-learning benchmark (James et al. 2020), is imported as `rlbench` too.
"""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distribution

NAME = "rlbench-workbench"
OTHER = "rlbench"  # of RLBench, and of early versions of this project


def install(extra: str) -> str:
    """Return the command that installs one of our extras."""
    return f"pip install '{NAME}[{extra}]'"


def clash() -> str:
    """Describe another installed distribution that owns the import `rlbench`; "" if none does."""
    try:
        other: Distribution = distribution(OTHER)
    except PackageNotFoundError:
        return ""
    return (
        f"two installed distributions own the import rlbench: {NAME} and {OTHER} {other.version}; "
        f"pip uninstall {NAME} {OTHER} and install one, or give each an environment of its own"
    )
