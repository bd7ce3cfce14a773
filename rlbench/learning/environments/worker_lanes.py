"""Lanes that processes of their own step: `EnvLanes` with the same rows, for slow environments."""

from __future__ import annotations

import itertools
import logging
import pickle
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from rlbench.errors import UserError
from rlbench.learning.environments.calls import BAD_ACTION, BAD_OBSERVATION
from rlbench.learning.environments.image_metrics import ImageMetrics
from rlbench.learning.environments.lane_worker import (
    LaneTask,
    LaneWorker,
    Shape,
    SharedArrays,
    Stepped,
)
from rlbench.learning.environments.lanes import EpisodeEnd, MakeEnv, SeedFailure, Step
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.environments.worker_process import (
    STARTING,
    WorkerProcess,
    context,
    starting,
)
from rlbench.learning.environments.workers import most_seconds

_LOG = logging.getLogger("rlbench")


class WorkerLanes:
    """`EnvLanes` whose environments are in `workers` processes: the same interface and states.

    `env` is one environment, which is only looked at. Each process has as many lanes as the others,
    or one more. A process that dies or does not answer takes the seeds of its lanes with it.

    Raises:
        UserError: `make` cannot be sent to a process, or an environment cannot be made there.
    """

    tally: ImageMetrics | None = None

    def __init__(
        self,
        make: MakeEnv,
        env: Any,
        seeds: Sequence[int],
        n_envs: int,
        spec: ObsSpec | None,
        workers: int,
    ) -> None:
        self.seeds, self.n_envs, self.restart_count = tuple(seeds), n_envs, 0
        self.spec = spec or ObsSpec(env.observation_space)
        self.obs = np.zeros((len(self.seeds), n_envs, *self.spec.shape), self.spec.raw)
        self.finished: list[EpisodeEnd] = []
        self._said: set[str] = set()
        self._layout: tuple[str, tuple[int, ...]] | None = None
        ends = np.linspace(0, self._count, min(workers, self._count) + 1).round().astype(int)
        room = 8 * spaces.flatdim(env.action_space)
        with starting():
            self.workers = [
                _Worker(self._task(make, range(a, b), room))
                for a, b in itertools.pairwise(ends.tolist())
            ]
        try:
            self._gather(self.workers, STARTING)
            if dead := [worker.fault for worker in self.workers if worker.fault]:
                raise UserError(
                    f"environments cannot be stepped in processes of their own: {dead[0]}"
                )
        except BaseException:
            self.close()
            raise

    @property
    def _count(self) -> int:
        return len(self.seeds) * self.n_envs

    def _task(self, make: MakeEnv, lanes: range, room: int) -> LaneTask:
        shape = Shape(len(lanes), self.spec.shape, self.spec.raw.str, room)
        seeds = [self.seeds[lane // self.n_envs] for lane in lanes]
        numbers = [lane % self.n_envs for lane in lanes]
        return LaneTask(make, seeds, numbers, self.spec.raw == np.float64, shape)

    def reset(self) -> np.ndarray:
        """Return the first observations `(S, N, *obs)`; every lane gets its own reset seed."""
        obs = np.zeros((self._count, *self.spec.shape), self.spec.raw)
        faults: dict[int, tuple[str, str]] = {}
        for part, worker, broken in self._ask("reset", self.restart_count):
            obs[part] = worker.arrays.next_obs[: len(part)] if broken is not None else 0
            faults |= self._faults(part, worker, broken or {})
        self.obs = obs.reshape(self.obs.shape)
        if faults:
            raise SeedFailure(self._broken(faults), None)
        return self.obs

    def step(self, action: np.ndarray) -> Step:
        """Step every lane with actions `(S, N, *action)`.

        `finished` lists the episodes that ended.
        """
        count, lead = self._count, action.shape[:2]
        self._send(action.reshape(count, *action.shape[2:]))
        next_obs = np.zeros((count, *self.spec.shape), self.spec.raw)
        reward, terminated = np.zeros(count, np.float32), np.zeros(count, bool)
        truncated = np.zeros(count, bool)
        starts: list[tuple[range, np.ndarray]] = []
        faults: dict[int, tuple[str, str]] = {}
        self.finished = []
        self._gather(self.workers)
        for part, worker in zip(self._parts(), self.workers, strict=True):
            seen = slice(part.start, part.stop)
            if not worker.fault:
                arrays, size = worker.arrays, len(part)
                next_obs[seen], reward[seen] = arrays.next_obs[:size], arrays.reward[:size]
                terminated[seen] = arrays.terminated[:size]
                truncated[seen] = arrays.truncated[:size]
            told: Stepped | None = worker.value
            if told is not None and told.began:
                starts.append((part, worker.arrays.following[: len(part)]))
            if told is not None:
                self.finished += [
                    end._replace(row=(part.start + end.row) // self.n_envs) for end in told.finished
                ]
            faults |= self._faults(part, worker, told.broken if told else {})
        following = next_obs.copy() if starts else next_obs
        for part, begun in starts:
            following[part.start : part.stop] = begun
        step = Step(
            self.obs,
            action,
            reward.reshape(lead),
            terminated.reshape(lead),
            truncated.reshape(lead),
            next_obs.reshape(self.obs.shape),
        )
        self.obs = step.next_obs if not starts else following.reshape(self.obs.shape)
        if faults:
            broken = self._broken(faults)
            self.finished = [end for end in self.finished if end.row not in broken]
            raise SeedFailure(broken, step)
        return step

    def _send(self, action: np.ndarray) -> None:
        """Write actions `(L, *action)` where workers read them, and let them step."""
        layout = action.dtype.str, action.shape[1:]
        if layout != self._layout:
            self._layout = layout
            for worker in self.workers:
                worker.action = worker.arrays.actions(*layout)
            self._ask("layout", *layout)
        for part, worker in zip(self._parts(), self.workers, strict=True):
            worker.action[: len(part)] = action[part.start : part.stop]
            worker.send(b"")

    def _parts(self) -> list[range]:
        """Return the lanes of each worker."""
        ends = [0]
        for worker in self.workers:
            ends.append(ends[-1] + worker.lanes)
        return [range(a, b) for a, b in itertools.pairwise(ends)]

    def _ask(self, name: str, *args: Any) -> list[tuple[range, _Worker, Any]]:
        """Return lanes, worker and answer of all; None from one that is lost."""
        request = pickle.dumps((name, *args))
        for worker in self.workers:
            worker.send(request)
        self._gather(self.workers)
        pairs = zip(self._parts(), self.workers, strict=True)
        return [(part, worker, worker.value) for part, worker in pairs]

    def _gather(self, workers: Sequence[_Worker], least: float = 0.0) -> None:
        """Wait for the answers of workers, and log what they say.

        Raises:
            UserError: An environment cannot be used.
        """
        seconds = max(most_seconds(), least)
        until = time.monotonic() + seconds
        mistake = ""
        for worker in workers:
            answer = worker.receive(until, seconds)
            worker.value = answer.value
            for line in answer.said:
                if line not in self._said:
                    self._said.add(line)
                    _LOG.warning("%s", line)
            mistake = mistake or answer.mistake
            if answer.error:
                raise RuntimeError(answer.error)
        if mistake:
            raise UserError(mistake)

    @staticmethod
    def _faults(part: range, worker: _Worker, broken: dict[int, Any]) -> dict[int, tuple[str, str]]:
        """Return what is wrong in lanes of a worker, by lane among all."""
        if worker.fault:
            return dict.fromkeys(part, ("failed", worker.fault))
        return {part.start + lane: why for lane, why in broken.items()}

    def _broken(self, faults: dict[int, tuple[str, str]]) -> dict[int, tuple[str, str]]:
        """Return the broken rows, each with the reason that `EnvLanes` would give."""
        first = {BAD_ACTION: 0, BAD_OBSERVATION: 2}
        broken: dict[int, tuple[str, str]] = {}
        for lane in sorted(faults, key=lambda lane: (first.get(faults[lane][1], 1), lane)):
            broken.setdefault(lane // self.n_envs, faults[lane])
        return broken

    def keep_seeds(self, rows: Sequence[int]) -> None:
        """Drop all seeds but these."""
        lanes = {row * self.n_envs + number for row in rows for number in range(self.n_envs)}
        left = []
        for part, worker in zip(self._parts(), self.workers, strict=True):
            kept = [lane - part.start for lane in part if lane in lanes]
            if not kept:
                worker.close()
                continue
            left.append(worker)
            if len(kept) < len(part):
                worker.send(pickle.dumps(("keep", kept)))
                self._gather([worker])
                worker.lanes = len(kept)
        self.workers = left
        self.seeds = tuple(self.seeds[row] for row in rows)
        self.obs = self.obs[list(rows)]
        self.finished = [f._replace(row=rows.index(f.row)) for f in self.finished if f.row in rows]

    def close(self) -> None:
        """Close environments and end their processes."""
        for worker in self.workers:
            worker.pipe.close()
        for worker in self.workers:
            worker.close()

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from, as `EnvLanes` does: either restores the other's."""
        returns: list[float] = []
        lengths: list[int] = []
        envs: list[Any] = []
        for part, _, state in self._ask("state"):
            # Of a worker that was lost: its seeds are cut in the next step.
            state = state or dict.fromkeys(("returns", "lengths", "envs"), [None] * len(part))
            returns += state["returns"]
            lengths += state["lengths"]
            envs += state["envs"]
        return {
            "life": self.restart_count,
            "obs": self.obs,
            "returns": [each or 0.0 for each in returns],
            "lengths": [each or 0 for each in lengths],
            "envs": envs,
        }

    def restore(self, state: dict[str, Any]) -> bool:
        """Continue from a `state` of these lanes, or of others for the same environments."""
        self.restart_count = state["life"]
        if any(env_state is None for env_state in state["envs"]):
            self.restart_count += 1
            self.reset()
            return False
        for part, worker in zip(self._parts(), self.workers, strict=True):
            lanes = slice(part.start, part.stop)
            own = {name: state[name][lanes] for name in ("returns", "lengths", "envs")}
            obs = np.asarray(state["obs"]).reshape(self._count, 1, *self.spec.shape)[lanes]
            worker.send(pickle.dumps(("restore", {"life": state["life"], "obs": obs, **own})))
        self._gather(self.workers)
        self.obs = np.asarray(state["obs"])
        return True


class _Worker(WorkerProcess):
    """A process that steps lanes, with the memory that it shares and its latest answer."""

    def __init__(self, task: LaneTask) -> None:
        self.lanes, self.value = len(task.seeds), None
        memory = context().RawArray("c", SharedArrays.size(task.shape))
        self.arrays = SharedArrays(memory, task.shape)
        self.action = np.empty(0)
        super().__init__(LaneWorker, task, memory, "its environments")
