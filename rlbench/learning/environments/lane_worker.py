"""A process that steps some lanes: what runs in it, and the memory that it shares.

It answers one request at a time through a pipe. A step is an empty message; actions are in shared
memory already, and observations, rewards and flags are there before it answers. It leaves when the
other end of the pipe is closed, also by the death of the process that started it.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import signal
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from rlbench.errors import UserError
from rlbench.learning import global_generators
from rlbench.learning.environments.lanes import EnvLanes, EpisodeEnd, MakeEnv, SeedFailure
from rlbench.learning.environments.source import make_envs
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.rng import lane_seed
from rlbench.process import configure_process
from rlbench.user_code.imports import first_line

_LOG = logging.getLogger("rlbench")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ALIGNED = 64  # bytes
LEAVING = 5.0  # seconds that environments have to close


class Shape(NamedTuple):
    """What the shared arrays of L lanes are like."""

    lanes: int
    obs: tuple[int, ...]
    raw: str  # dtype of observations
    action_bytes: int  # room for the action of a lane


class LaneTask(NamedTuple):
    """Lanes of a worker, each with its seed and its number among the lanes of that seed."""

    make: MakeEnv
    seeds: Sequence[int]
    numbers: Sequence[int]
    exact: bool  # observations keep float64
    shape: Shape


class Answer(NamedTuple):
    """What a worker answers: a value, or a user's mistake, or an error; and lines to be logged."""

    value: Any = None
    mistake: str = ""
    error: str = ""
    said: tuple[str, ...] = ()


class Stepped(NamedTuple):
    """What a step gives that is not in the arrays; `row` and keys of `broken` are lanes."""

    finished: list[EpisodeEnd]
    began: bool  # an episode has begun: `following` differs from `next_obs`
    broken: dict[int, tuple[str, str]]


class SharedArrays:
    """Arrays of the lanes of one worker in memory that two processes see."""

    def __init__(self, memory: Any, shape: Shape) -> None:
        self._memory, self._lanes, self._used = memory, shape.lanes, 0
        self.next_obs = self._array(shape.obs, shape.raw)
        self.following = self._array(shape.obs, shape.raw)
        self.reward = self._array((), "float32")
        self.terminated = self._array((), "bool")
        self.truncated = self._array((), "bool")
        self._actions = self._array((shape.action_bytes,), "uint8")

    def _array(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        count = self._lanes * math.prod(shape)
        array = np.frombuffer(self._memory, dtype, count, self._used)
        self._used += -(-array.nbytes // _ALIGNED) * _ALIGNED
        return array.reshape(self._lanes, *shape)

    @staticmethod
    def size(shape: Shape) -> int:
        """Return the bytes that arrays of this shape take."""
        obs = math.prod(shape.obs) * np.dtype(shape.raw).itemsize
        return shape.lanes * (2 * obs + 6 + shape.action_bytes) + 6 * _ALIGNED

    def actions(self, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return the array of actions `(L, *shape)`, as numbers of this kind."""
        size = self._lanes * math.prod(shape)
        return self._actions.reshape(-1).view(dtype)[:size].reshape(self._lanes, *shape)


class PartLanes(EnvLanes):
    """Some lanes of several seeds: each is a row of one environment."""

    def __init__(self, task: LaneTask, envs: list[Any]) -> None:
        spec = ObsSpec(envs[0].observation_space, exact=task.exact)
        super().__init__(iter(envs).__next__, task.seeds, 1, spec)
        self.numbers = tuple(task.numbers)

    def _reset_seed(self, i: int) -> int:
        return lane_seed(self.seeds[i], self.numbers[i], self.restart_count)

    def keep_seeds(self, rows: Sequence[int]) -> None:
        super().keep_seeds(rows)
        self.numbers = tuple(self.numbers[row] for row in rows)


class LaneWorker:
    """Answers requests about some lanes; a request is the name of a method and its arguments."""

    def __init__(self, memory: Any, task: LaneTask) -> None:
        self.arrays = SharedArrays(memory, task.shape)
        self.lanes = PartLanes(task, make_envs(task.make, len(task.seeds)))
        self.action = np.empty(0)

    def reset(self, restart_count: int) -> dict[int, tuple[str, str]]:
        """Reset all lanes; return which are broken."""
        self.lanes.restart_count, broken = restart_count, {}
        try:
            self.lanes.reset()
        except SeedFailure as failure:
            broken = failure.broken
        self.arrays.next_obs[: len(self.lanes.envs)] = self.lanes.obs[:, 0]
        return broken

    def layout(self, dtype: str, shape: tuple[int, ...]) -> None:
        """Learn what actions are like."""
        self.action = self.arrays.actions(dtype, shape)

    def step(self) -> Stepped | None:
        """Step by the actions in shared memory; return None where nothing needs to be said."""
        lanes, arrays, broken = self.lanes, self.arrays, dict[int, tuple[str, str]]()
        count = len(lanes.envs)
        try:
            step = lanes.step(self.action[:count, None].copy())
        except SeedFailure as failure:
            if failure.step is None:
                raise
            step, broken = failure.step, failure.broken
        arrays.next_obs[:count] = step.next_obs[:, 0]
        arrays.reward[:count] = step.reward[:, 0]
        arrays.terminated[:count] = step.terminated[:, 0]
        arrays.truncated[:count] = step.truncated[:, 0]
        began = lanes.obs is not step.next_obs
        if began:
            arrays.following[:count] = lanes.obs[:, 0]
        return Stepped(lanes.finished, began, broken) if began or broken else None

    def keep(self, rows: list[int]) -> None:
        """Drop all lanes but these."""
        self.lanes.keep_seeds(rows)

    def state(self) -> dict[str, Any]:
        """Return returns, lengths and environments of the lanes."""
        return self.lanes.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state in which every environment is there."""
        self.lanes.restore(state)

    def close(self) -> None:
        """Close the environments."""
        self.lanes.close()


class _Ear(logging.Handler):
    """Keeps what is logged until the next answer."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def take(self) -> tuple[str, ...]:
        lines, self.lines = tuple(self.lines), []
        return lines


def serve(pipe: Connection, alive: Connection, shared: Any, told: bytes) -> None:
    """Run a worker until its pipe is closed. Signals are for the process that started it.

    `told` is its class and its task, pickled; requests are names of methods, with arguments.
    """
    for number in SIGNALS:  # not ignored: programs that an environment starts would ignore them too
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=_leave_with, args=(alive,), daemon=True).start()
    global_generators.reseed()  # processes that were forked alike would draw alike
    configure_process()
    ear = _Ear()
    _LOG.addHandler(ear)
    _LOG.propagate = False
    worker: Any = None

    def made() -> None:
        nonlocal worker
        kind, task = pickle.loads(told)
        worker = kind(shared, task)

    try:
        pipe.send_bytes(_answered(made, (), ear))
        while worker is not None:
            request = pipe.recv_bytes()
            name, *args = pickle.loads(request) if request else ("step",)
            pipe.send_bytes(_answered(getattr(worker, name), args, ear))
    except (EOFError, OSError):
        pass  # nobody asks any more
    if worker is not None:
        worker.close()
    os._exit(0)  # threads of an environment keep no process alive


def _answered(call: Any, args: Sequence[Any], ear: _Ear) -> bytes:
    """Return the answer to a request, pickled; empty where there is nothing to say."""
    try:
        answer = Answer(call(*args))
    except UserError as error:
        answer = Answer(mistake=str(error))
    except Exception as error:
        answer = Answer(error=f"{type(error).__name__}: {first_line(error)}")
    if ear.lines:
        answer = answer._replace(said=ear.take())
    return b"" if answer == Answer() else pickle.dumps(answer)


def _leave_with(alive: Connection) -> None:
    """End this process soon after the one that started it, even if an environment hangs."""
    try:
        alive.recv_bytes()
    except (EOFError, OSError):
        time.sleep(LEAVING)
        os._exit(0)
