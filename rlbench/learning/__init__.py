"""Agents' machinery: S seeds train in lockstep, every array carries the seed axis first.

Never imports pandas, `storage`, `experiments` or `reporting`.
Start with `training/trainer.py`, then `agents/dqn.py`.
"""

import contextlib
import ctypes

import numpy  # noqa: F401  # its BLAS has to be there to be told
import torch
from threadpoolctl import threadpool_limits

torch.set_num_threads(1)
# numpy's BLAS has threads of its own, which wait for each other by spinning: beside other work
# products of 64 x 784 and 784 x 256 took 10 to 26 times as long as on one thread.
threadpool_limits(1, user_api="blas")
# glibc gives tensors of some megabytes back to the system as soon as they are let go, and gets
# every page of the next one anew: a quarter of the time of ten CNNs went there. Kept from then on
# are pieces of up to 256 MB; larger ones, replay memories above all, take pages when first used.
with contextlib.suppress(AttributeError, OSError, TypeError):  # other C libraries
    _libc = ctypes.CDLL(None)
    _libc.mallopt(-3, 1 << 28)  # M_MMAP_THRESHOLD
    _libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: never
