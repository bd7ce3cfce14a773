"""Benchmark deep-reinforcement-learning agents: many seeds at once, honest statistics.

Imports nothing heavy: `load` and `Results` are imported when they are used.
Start with `cli/main.py`, or with docs/architecture.md.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlbench.reporting.tables.load import Results as Results
    from rlbench.reporting.tables.load import load as load

__version__ = "0.1.0"
__all__ = ["Results", "__version__", "load"]

# MKL rounds by memory position unless told not to; then seed k in a stack differs from seed k
# alone. The setting costs nothing measurable and must be there before MKL's first product.
os.environ.setdefault("MKL_CBWR", "AUTO")


def __getattr__(name: str) -> Any:
    if name in {"load", "Results"}:
        from rlbench.reporting.tables import load as load_module

        return getattr(load_module, name)
    raise AttributeError(f"module 'rlbench' has no attribute '{name}'")
