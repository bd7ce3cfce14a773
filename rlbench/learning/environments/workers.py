"""Whether lanes are stepped and evaluations played in processes of their own, and in how many.

Settings are variables of the environment, so that processes that compute parts have them too.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

from rlbench.errors import UserError

VARIABLE = "RLBENCH_ENV_WORKERS"
EVALUATION = "RLBENCH_EVAL_WORKERS"
SECONDS = "RLBENCH_ENV_SECONDS"  # that a step or a reset may take in a worker
USUAL_SECONDS = 300.0


@contextmanager
def env_workers(count: int) -> Iterator[None]:
    """Step environments of training in so many processes within the block; 0 means in this one."""
    with _set(VARIABLE, count):
        yield


@contextmanager
def eval_workers(count: int) -> Iterator[None]:
    """Play evaluations in so many processes beside training within the block; 0: in this one."""
    with _set(EVALUATION, count):
        yield


@contextmanager
def _set(variable: str, count: int) -> Iterator[None]:
    before = os.environ.get(variable)
    os.environ[variable] = str(count)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = before


def worker_count(variable: str = VARIABLE) -> int:
    """Return in how many processes lanes are stepped; 0 means in this one.

    Raises:
        UserError: The variable is no such number.
    """
    text = os.environ.get(variable) or "0"
    if not text.isdecimal():
        raise UserError(f"{variable} must be a number from 0 up, not '{text}'")
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
