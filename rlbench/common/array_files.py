"""Reader of array files that may be damaged, re-exported for runs.

The code is in `envs.data`, because environments import nothing of rlbench.
"""

from __future__ import annotations

from rlbench.envs.data.npz import Damaged, Npz, opened

__all__ = ["Damaged", "Npz", "opened"]
