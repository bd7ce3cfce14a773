"""Read array files that may be damaged: those of runs, which know nothing of data sets.

The code is beside the readers of data sets, which import nothing of rlbench.
"""

from __future__ import annotations

from rlbench.envs.data.npz import Damaged, Npz, opened

__all__ = ["Damaged", "Npz", "opened"]
