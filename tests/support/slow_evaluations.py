"""Environments whose evaluation takes longer than training, fails, or ends its process."""

from __future__ import annotations

import os
import time
from typing import Any

from probes import Noise

from rlbench.errors import UserError

FIRST_OF_TRAINING = 2**30  # reset seeds below are those of evaluations


class Slow(Noise):
    """Sleeps in steps of evaluation, so that training is ahead; may fail there.

    It raises after one of nine sets of three actions, named by `salt`; it dies or hangs in any
    process but `pid`.
    """

    def __init__(self, how: str = "", pid: int = 0, salt: int = 0) -> None:
        super().__init__()
        self.how, self.pid, self.salt = how, pid, salt
        self.evaluation, self.actions = False, list[int]()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.evaluation = seed < FIRST_OF_TRAINING
        self.actions = []
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        out = super().step(action)
        if not self.evaluation:
            return out
        time.sleep(0.002)
        self.actions.append(int(action))
        if self.how == "raise" and len(self.actions) == 3:
            code = sum(3**i * each for i, each in enumerate(self.actions))
            if (7 * code + self.salt) % 9 == 0:
                raise ValueError("no such door")
        away = self.pid and os.getpid() != self.pid
        if self.how == "die" and away and len(self.actions) == 5:
            os.abort()
        if self.how == "hang" and away and len(self.actions) == 5:
            time.sleep(600)
        return out


def only_in(pid: int) -> Noise:
    if os.getpid() != pid:
        raise UserError("no such door")
    return Noise()
