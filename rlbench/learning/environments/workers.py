"""Whether lanes are stepped in processes of their own, in how many, and how long one may take.

Settings are variables of the environment, so that processes that compute parts have them too.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

from rlbench.errors import UserError

VARIABLE = "RLBENCH_ENV_WORKERS"
SECONDS = "RLBENCH_ENV_SECONDS"  # that a step or a reset may take in a worker
USUAL_SECONDS = 300.0


@contextmanager
def env_workers(count: int) -> Iterator[None]:
    """Step environments of training in so many processes within the block; 0 means in this one."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(count)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


def worker_count() -> int:
    """Return in how many processes lanes are stepped; 0 means in this one.

    Raises:
        UserError: The variable is no such number.
    """
    text = os.environ.get(VARIABLE) or "0"
    if not text.isdecimal():
        raise UserError(f"{VARIABLE} must be a number from 0 up, not '{text}'")
    return int(text)


def most_seconds() -> float:
    """Return how long workers may take for a step or reset of their lanes.

    Raises:
        UserError: The variable is no such number.
    """
    text = os.environ.get(SECONDS) or str(USUAL_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < math.inf:
        raise UserError(f"{SECONDS} must be a number of seconds above 0, not '{text}'")
    return seconds
