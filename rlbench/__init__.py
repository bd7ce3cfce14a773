"""Benchmark deep-reinforcement-learning agents: many seeds at once, honest statistics.

Imports nothing heavy, and changes no setting of the process: see `configure_process`.
Start with `cli/main.py`, or with docs/architecture.md.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # as that of typing, whose import is half the time before Ctrl-C is handled
if TYPE_CHECKING:
    from typing import Any

    from rlbench.api import RunComparison as RunComparison
    from rlbench.api import bench as bench
    from rlbench.api import compare as compare
    from rlbench.api import plot as plot
    from rlbench.api import report as report
    from rlbench.api import run as run
    from rlbench.process import configure_process as configure_process
    from rlbench.reporting.tables.load import Results as Results
    from rlbench.reporting.tables.load import load as load

__version__ = "0.1.0"
__all__ = [
    "Results",
    "RunComparison",
    "__version__",
    "bench",
    "compare",
    "configure_process",
    "load",
    "plot",
    "report",
    "run",
]

_HOMES = {
    **dict.fromkeys(["RunComparison", "bench", "compare", "plot", "report", "run"], "rlbench.api"),
    "Results": "rlbench.reporting.tables.load",
    "configure_process": "rlbench.process",
    "load": "rlbench.reporting.tables.load",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rlbench' has no attribute '{name}'")
