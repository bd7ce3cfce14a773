"""Environments for workers: they fail in one lane of training, or cannot be sent or saved."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from typing import Any

import numpy as np
from probes import Noise

from rlbench.errors import UserError
from rlbench.learning.rng import lane_seed


class Faulty(Noise):
    """Fails in the 30th step of training in the second lane of seed 8, in one of several ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.left = how, -1

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.left = 30 if seed == lane_seed(8, 1) else -1
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        self.left -= 1
        out = super().step(action)
        if self.left:
            return out
        if self.how == "raise":
            raise ValueError("no such door")
        if self.how == "exit":
            raise SystemExit(4)
        if self.how == "nan":
            return (np.full(4, np.nan, np.float32), *out[1:])
        if self.how == "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        while True:  # hang
            time.sleep(0.1)


raises, exits, nan, dies, hangs = (
    partial(Faulty, how) for how in ("raise", "exit", "nan", "die", "hang")
)


class Draws(Noise):
    """Draws from the generator of all of numpy."""

    def step(self, action: Any) -> Any:
        obs, *rest = super().step(action)
        obs[0] = np.random.random()  # noqa: NPY002
        return (obs, *rest)


class Sealed(Noise):
    """Holds something that cannot be saved."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = object()


def only_in(pid: int) -> Noise:
    if os.getpid() != pid:
        raise UserError("no such door")
    return Noise()
