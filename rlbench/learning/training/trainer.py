"""Training loop as a generator of rows: agent, lanes and the sealed evaluation."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rlbench.learning.core.agent_core import AgentCore, Metrics
from rlbench.learning.environments.batched_lanes import Lanes
from rlbench.learning.environments.lanes import SeedFailure
from rlbench.learning.evaluation import evaluation_rows
from rlbench.learning.evaluation.episodes import PULSE_SECONDS
from rlbench.learning.evaluation.frozen_point import FrozenPoint
from rlbench.learning.hardware import transfer
from rlbench.learning.policies.network_policies import NetworkPolicy
from rlbench.learning.training.held_rows import HeldRows
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.time_profile import TimeProfile
from rlbench.rows import Episode, Heartbeat, Metric, Row, SeedEnded

_LOG = logging.getLogger("rlbench")

CHECK_EVERY = 1000  # env steps per seed between looks for NaN in the weights
Id = tuple[int, int]  # seed and setting of a row
WINDOW = 100  # training episodes that rollout/ep_rew_mean averages over


class Trainer:
    """Lockstep program of several seeds, from the first to the last step."""

    seed_seconds: dict[int, float] | None = None
    resume_note = "open episodes began anew: this environment cannot be restored"

    def __init__(
        self, agent: AgentCore, plan: TrainingSchedule, lanes: Lanes | None = None
    ) -> None:
        self.agent, self.plan = agent, plan
        self.lanes: Lanes = lanes or agent.lanes()
        self.started = False
        self.seconds = 0.0  # of training, evaluation excluded
        self.split = TimeProfile()
        self.episodes = dict.fromkeys(self.ids(), 0)
        self.recent: dict[Id, deque[tuple[float, int]]] = {
            each: deque(maxlen=WINDOW) for each in self.ids()
        }
        self.unwanted: set[int] = set()  # settings that are dropped at the next safe point
        self.held = HeldRows(self)

    def ids(self) -> list[Id]:
        """Seed and setting of each row that is trained."""
        return list(zip(self.agent.seeds, self.agent.setting_of, strict=True))

    @property
    def step(self) -> int:
        """Env steps per seed so far."""
        return self.agent.num_timesteps

    def rows(self) -> Iterator[Row]:
        """Train to the end. State may be saved only when a safe Heartbeat is yielded."""
        beside = self.plan.eval_workers or self.held.queue
        return self.held.ordered(self._rows()) if beside else self._rows()

    def _rows(self) -> Iterator[Row]:
        agent, plan = self.agent, self.plan
        every, log_every = plan.every(), max(plan.total_timesteps // plan.log_points, 1)
        self.split.start()
        if not self.started:
            try:
                self.lanes.reset()
            except SeedFailure as error:
                yield from self._drop_seeds(error.broken)
            self.started = True
            if every and agent.seeds:
                yield from self._evaluate("grid", plan.eval_episodes)
            if agent.seeds:
                yield Heartbeat(0, can_checkpoint=True)
        clock = last_tick = time.perf_counter()
        metrics: Metrics = {}
        while agent.seeds and agent.num_timesteps < plan.total_timesteps:
            if self.unwanted:
                yield from self._cut_unwanted()
                continue
            start = time.perf_counter()
            action = agent.act(self.lanes.obs)
            action_time = time.perf_counter()
            try:
                step = self.lanes.step(action)
            except SeedFailure as error:
                rows = [r for r in range(len(agent.seeds)) if r not in error.broken]
                yield from self._drop_seeds(error.broken)
                if not rows or error.step is None:
                    break
                step = error.step.rows(rows)
            env_time, updating = time.perf_counter(), agent.update_seconds()
            metrics = agent.observe(step)
            self.split.step(start, action_time, env_time, agent.update_seconds() - updating)
            if self.lanes.finished:
                yield from self._finished(self.seconds + time.perf_counter() - clock)
            logging, looking = (
                agent.intervals_crossed(log_every),
                agent.intervals_crossed(CHECK_EVERY),
            )
            evaluating = every and agent.intervals_crossed(every)
            now = time.perf_counter()
            if logging or looking or evaluating or now - last_tick > PULSE_SECONDS:
                self.seconds += now - clock
                if logging:
                    yield from self._metrics(metrics)
                if looking or evaluating:
                    yield from self._cut_diverged()
                    if not agent.seeds:
                        break
                if evaluating:
                    if self.held.workers is not None:
                        yield from self._evaluate_beside()
                    else:
                        yield from self._evaluate("grid", plan.eval_episodes)
                    if not agent.seeds:
                        break
                yield Heartbeat(agent.num_timesteps, can_checkpoint=True)
                clock = last_tick = time.perf_counter()
        self.seconds += time.perf_counter() - clock
        yield from self.held.settle()
        yield from self._cut_diverged()
        yield from self._cut_unwanted()
        if plan.final_episodes and agent.seeds:
            agent.before_final_evaluation()
            yield Heartbeat(agent.num_timesteps, can_checkpoint=True, force_checkpoint=True)
            yield from self._evaluate("final", plan.final_episodes)
        for seed, setting in self.ids():
            yield SeedEnded(seed, agent.num_timesteps, "done", "", setting)

    def drop(self, settings: Iterable[int]) -> None:
        """Train these settings no further: their rows are cut out of the program before a step.

        May be called between two rows of `rows`, which yields an end of each seed.
        """
        self.unwanted |= set(settings)

    def _finished(self, seconds: float) -> Iterator[Row]:
        for end in self.lanes.finished:
            seed, setting = each = self.agent.seeds[end.row], self.agent.setting_of[end.row]
            count = self.episodes[each]
            self.episodes[each] = count + 1
            self.recent[each].append((end.ret, end.length))
            step, spent = self.agent.num_timesteps, round(seconds, 3)
            yield Episode(seed, step, count, end.ret, end.length, spent, setting)

    def _metrics(self, metrics: Metrics) -> Iterator[Row]:
        tensors = {key: value for key, value in metrics.items() if isinstance(value, Tensor)}
        values: dict[str, Any] = dict(metrics)
        if tensors:  # by one copy, for which a GPU is waited for
            arrays = transfer.fetch(torch.stack([value.detach() for value in tensors.values()]))
            values |= zip(tensors, arrays, strict=True)
        fps = self.agent.num_timesteps * len(self.agent.seeds) / max(self.seconds, 1e-9)
        times = {"fps": round(fps, 1), "time_elapsed": round(self.seconds, 3), **self.split.read()}
        for row, each in enumerate(self.ids()):
            numbers = {
                key: float(value[row] if key in tensors else value) for key, value in values.items()
            }
            for metric in self._metrics_of(row, each, numbers, times):
                yield metric._replace(setting=each[1]) if each[1] else metric

    def _metrics_of(
        self, row: int, each: Id, numbers: dict[str, float], times: dict[str, float]
    ) -> Iterator[Metric]:
        step, seed, recent = self.agent.num_timesteps, each[0], self.recent[each]
        for key, number in numbers.items():
            yield Metric(seed, step, key, number)
        if self.lanes.tally is not None:
            for key, value in self.lanes.tally.take(row, self.agent.predicts_labels):
                yield Metric(seed, step, key, value)
        elif recent:
            for i, key in enumerate(("rollout/ep_rew_mean", "rollout/ep_len_mean")):
                yield Metric(seed, step, key, sum(end[i] for end in recent) / len(recent))
        for part, amount in times.items():
            yield Metric(seed, step, f"time/{part}", amount)

    def _evaluate(self, phase: str, episodes: int) -> Iterator[Row]:
        broken: evaluation_rows.Broken = {}
        limit = self.plan.limit
        clock = time.perf_counter()
        self.agent.before_evaluation()
        self.seconds += time.perf_counter() - clock
        with self.split.evaluation():
            if self.lanes.tally is not None:
                images = self.lanes.tally.images
                yield from evaluation_rows.split_rows(
                    self.agent, phase, self.seconds, images, broken, limit
                )
            else:
                yield from evaluation_rows.episode_rows(
                    self.agent, phase, episodes, self.seconds, broken, limit
                )
        yield from self._drop_seeds(broken)

    def _evaluate_beside(self) -> Iterator[Row]:
        """Let another process play a point of the grid."""
        clock = time.perf_counter()
        self.agent.before_evaluation()
        self.seconds += time.perf_counter() - clock
        with self.split.evaluation():
            policy = self.agent.policy()
            assert isinstance(policy, NetworkPolicy)
            numbers = self.step, self.agent.samples, self.seconds
            yield from self.held.evaluate(self.point(policy, self.ids(), *numbers))

    def point(
        self, policy: NetworkPolicy, ids: Sequence[Id], step: int, samples: int, seconds: float
    ) -> FrozenPoint:
        """Make a point of the grid from its policies and numbers."""
        seeds, settings = (tuple(each) for each in zip(*ids, strict=True))
        episodes, make = self.plan.eval_episodes, self.agent.make_env
        return FrozenPoint(
            seeds, settings, step, samples, seconds, episodes, self.plan.limit, policy, make
        )

    def _cut_diverged(self) -> Iterator[Row]:
        reasons = self.agent.diverged() if self.agent.seeds else {}
        yield from self._drop_seeds({row: ("diverged", reason) for row, reason in reasons.items()})

    def _cut_unwanted(self) -> Iterator[Row]:
        unwanted, self.unwanted = self.unwanted, set()
        rows = [row for row, each in enumerate(self.agent.setting_of) if each in unwanted]
        yield from self._drop_seeds(dict.fromkeys(rows, ("dropped", "its setting was dropped")))

    def _drop_seeds(self, broken: dict[int, tuple[str, str]]) -> Iterator[Row]:
        """End the seeds in these rows, and continue with the others."""
        if not broken:
            return
        for row, (status, reason) in sorted(broken.items()):
            step, (seed, setting) = self.agent.num_timesteps, self.ids()[row]
            yield SeedEnded(seed, step, status, f"{reason} at step {step}", setting)
        self.keep([r for r in range(len(self.agent.seeds)) if r not in broken])

    def keep(self, rows: list[int]) -> None:
        """Continue with these rows."""
        if len(rows) == len(self.agent.seeds):
            return
        if rows:
            self.agent.keep_seeds(rows)
            self.lanes.keep_seeds(rows)
        else:
            self.agent.seeds = ()

    def close(self) -> None:
        """Close the environments of training and evaluation."""
        self.held.close()
        self.lanes.close()
        if self.agent.make_env is not None:
            self.agent.make_env.close()

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        settings = {"settings": list(self.agent.setting_of)} if self.agent.settings else {}
        return {
            "seeds": list(self.agent.seeds),
            **settings,
            **({"held": self.held.state()} if self.held.queue else {}),
            "agent": self.agent.state(),
            "lanes": self.lanes.state(),
            "seconds": self.seconds,
            "split": self.split.state(),
            "episodes": [self.episodes[each] for each in self.ids()],
            "recent": [list(self.recent[each]) for each in self.ids()],
        }

    def restore(self, state: dict[str, Any]) -> bool:
        """Continue from a `state`; False if open episodes had to be restarted."""
        there = state["seeds"], state.get("settings", [0] * len(state["seeds"]))
        ids = list(zip(*there, strict=True))
        alive = [self.ids().index(each) for each in ids]
        if "held" in state:
            self.held.restore(state["held"])
        if len(alive) < len(self.agent.seeds):
            self.agent.keep_seeds(alive)
            self.lanes.keep_seeds(alive)
        self.agent.restore(state["agent"])
        self.seconds, self.started = state["seconds"], True
        if "split" in state:  # older files do not say
            self.split.restore(state["split"])
        self.episodes = dict(zip(ids, state["episodes"], strict=True))
        self.recent = {
            each: deque((tuple(end) for end in recent), WINDOW)
            for each, recent in zip(ids, state["recent"], strict=True)
        }
        went_on = self.lanes.restore(state["lanes"])
        if not went_on:
            self.agent.on_env_reset()
        return went_on
