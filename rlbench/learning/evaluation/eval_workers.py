"""Processes that play evaluations beside training."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
import torch

from rlbench.errors import UserError
from rlbench.learning.environments.source import EnvSource, make_envs, release_envs
from rlbench.learning.environments.worker_process import (
    STARTING,
    WorkerProcess,
    context,
    starting,
)
from rlbench.learning.environments.workers import most_seconds
from rlbench.learning.evaluation.evaluation_rows import Broken
from rlbench.learning.evaluation.frozen_point import FrozenPoint, Played
from rlbench.rows import Evaluation

_LOG = logging.getLogger("rlbench")
PULSE = 1.0  # seconds between signs of life of a process that plays


class PlayTask(NamedTuple):
    """What a process needs before it plays: environments, and how torch computes."""

    make: Callable[[], Any]
    threads: int


class Player:
    """Plays points in a process of its own; its environments are kept between them."""

    def __init__(self, pulses: Connection, task: PlayTask) -> None:
        self.pulses, self.make = pulses, task.make
        torch.set_num_threads(task.threads)
        release_envs(task.make, make_envs(task.make, 1))  # says early that none can be made

    def play(self, message: bytes) -> Played:
        """Play the episodes of a point that was packed."""
        point, broken, rows = FrozenPoint.unpacked(message, self.make), Broken(), []
        told = time.monotonic()
        with np.errstate(over="ignore", invalid="ignore"):
            for row in point.rows(broken):
                if isinstance(row, Evaluation):
                    rows.append(row)
                elif time.monotonic() - told > PULSE:
                    told = time.monotonic()
                    self.pulses.send_bytes(b"alive")
        return Played(rows, broken)

    def close(self) -> None:
        """Close environments."""
        if isinstance(self.make, EnvSource):
            self.make.close()


class EvalWorkers:
    """Up to `count` processes, each of which plays one point at a time.

    Raises:
        UserError: Environments cannot be sent to a process, or not be made there.
    """

    def __init__(self, make: Callable[[], Any], count: int) -> None:
        self.task, self.count = PlayTask(make, torch.get_num_threads()), count
        self.idle: list[_PlayerProcess] = [self._start()]
        self.busy: list[tuple[_PlayerProcess, FrozenPoint]] = []

    def _start(self) -> _PlayerProcess:
        with starting():
            return _PlayerProcess(self.task)

    @property
    def room(self) -> bool:
        """Whether another point can be sent."""
        return len(self.busy) < self.count

    def send(self, point: FrozenPoint) -> None:
        """Let a process play a point."""
        worker = self.idle.pop() if self.idle else self._start()
        worker.play(point.packed())
        self.busy.append((worker, point))

    def finished(self, seconds: float = 0.0) -> list[tuple[FrozenPoint, Played | None]]:
        """Return points that have been played, within so many seconds; None from a lost process."""
        if seconds and self.busy:
            multiprocessing.connection.wait([worker.pipe for worker, _ in self.busy], seconds)
        done, still = [], []
        for worker, point in self.busy:
            if not worker.ended():
                still.append((worker, point))
                continue
            played = worker.take()
            if played is None:
                _LOG.warning(
                    "%s: the evaluation at step %s is played again in the process that trains",
                    worker.fault, point.num_timesteps,
                )  # fmt: skip
                worker.close()
            else:
                self.idle.append(worker)
            done.append((point, played))
        self.busy = still
        return done

    def close(self) -> None:
        """End all processes."""
        workers = [*self.idle, *(worker for worker, _ in self.busy)]
        for worker, _ in self.busy:
            worker.lose("closed")
        for worker in workers:
            worker.close()
        self.idle, self.busy = [], []


class _PlayerProcess(WorkerProcess):
    """A process that plays, and when it last gave a sign of life."""

    def __init__(self, task: PlayTask) -> None:
        self.pulses, theirs = context().Pipe(duplex=False)
        super().__init__(Player, task, theirs, "evaluation")
        theirs.close()
        self.ready, self.heard = False, 0.0

    def play(self, message: bytes) -> None:
        """Send a point, as soon as the process is ready for one."""
        if not self.ready:
            seconds = max(most_seconds(), STARTING)
            answer = self.receive(time.monotonic() + seconds, seconds)
            if why := answer.mistake or answer.error:
                raise UserError(f"evaluation cannot be in processes of its own: {why}")
            self._log(answer.said)
            self.ready = True
        self.send(pickle.dumps(("play", message)))
        self.heard = time.monotonic()

    def ended(self) -> bool:
        """Return whether the process has an answer, or is lost."""
        if self.fault or self.answered(0.0):
            return True
        while self.pulses.poll():
            try:
                self.pulses.recv_bytes()
            except (EOFError, OSError):
                return True
            self.heard = time.monotonic()
        if (seconds := most_seconds()) < time.monotonic() - self.heard:
            self.lose(f"{self.what} did not answer for {seconds:g} s")
        return bool(self.fault)

    def take(self) -> Played | None:
        """Return what was played; None where the process is lost.

        Raises:
            UserError: A user's mistake, in an environment.
        """
        answer = self.receive(time.monotonic() + STARTING, STARTING)
        self._log(answer.said)
        if answer.mistake:
            raise UserError(answer.mistake)
        if answer.error:
            raise RuntimeError(answer.error)
        return answer.value

    def close(self) -> None:
        """Let the process leave; kill it if it does not."""
        self.pulses.close()
        super().close()

    @staticmethod
    def _log(lines: tuple[str, ...]) -> None:
        for line in lines:
            _LOG.warning("%s", line)
