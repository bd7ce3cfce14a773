"""Settings of the whole process: what exact repetition and speed need of torch, BLAS and malloc.

Importing rlbench changes none of them. The command line and its workers call `configure_process`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os


def set_mkl_rounding() -> None:
    """Make MKL round alike wherever in memory its arguments lie, unless the user chose a mode.

    MKL reads the variable at its first product. It costs nothing measurable.
    """
    os.environ.setdefault("MKL_CBWR", "AUTO")


def configure_process() -> None:
    """Prepare this process for training that is exact and fast on CPUs.

    Sets one thread for torch and for the BLAS of numpy, `MKL_CBWR=AUTO` in the environment, and
    malloc to keep freed memory. Call it once, before the first product of matrices:

        import rlbench
        from rlbench.agents import DQN

        rlbench.configure_process()
        agent = DQN("CartPole-v1", seeds=5).learn(50_000)

    The lockstep guarantee needs it: that seed k trained beside others is seed k trained alone, bit
    for bit, and that a run repeats. With several threads, or with MKL's usual rounding, a product
    may round differently in a larger stack of networks. Without it agents train as well, rounded
    otherwise.
    """
    set_mkl_rounding()
    import numpy  # noqa: F401  # its BLAS must be loaded to be limited
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    # Threads of numpy's BLAS wait for each other by spinning: beside other work products of
    # 64 x 784 and 784 x 256 took 10 to 26 times as long as on one thread.
    threadpool_limits(1, user_api="blas")
    # glibc returns tensors of some megabytes to the system as soon as they are freed, and fetches
    # every page of the next one anew: a quarter of the time of ten CNNs went there. Pieces of up
    # to 256 MB are kept; larger ones, replay buffers above all, take pages when first used.
    with contextlib.suppress(AttributeError, OSError, TypeError):  # other C libraries
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 28)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: never
