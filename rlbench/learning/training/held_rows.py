"""Order of rows while evaluations are played in other processes: nothing overtakes them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from rlbench import rows as row_kinds
from rlbench.learning.environments.source import release_envs, twin_of
from rlbench.learning.evaluation.episodes import LANES, PULSE_SECONDS
from rlbench.learning.evaluation.evaluation_rows import Broken
from rlbench.learning.evaluation.frozen_point import FrozenPoint, Played
from rlbench.learning.policies.network_policies import NetworkPolicy
from rlbench.rows import Evaluation, Heartbeat, Row, SeedEnded

if TYPE_CHECKING:
    from rlbench.learning.evaluation.eval_workers import EvalWorkers
    from rlbench.learning.training.trainer import Id, Trainer

_LOG = logging.getLogger("rlbench")


class HeldRows:
    """Points that other processes play, and the rows of training that come after them.

    A seed whose evaluation fails is cut out of training some steps too late, which changes nothing
    for others; its own rows from there on are dropped.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.workers: EvalWorkers | None = None
        self.queue: deque[Row | FrozenPoint] = deque()  # the first is a point that is played
        self.played: dict[int, Played] = {}  # by step
        self.gone: set[Id] = set()  # ended by an evaluation

    def ordered(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield rows of training and evaluation in the order of their steps."""
        trainer = self.trainer
        self.workers = workers_for(trainer)
        for point in [each for each in self.queue if isinstance(each, FrozenPoint)]:
            yield from self._begin(point)  # of a checkpoint
        for row in rows:
            if isinstance(row, Heartbeat):
                if not row.doing:
                    with trainer.split.evaluation() if self.queue else nullcontext():
                        yield from self._collect(0.0)
                if row.can_checkpoint:
                    yield from self._release()
                    row = row._replace(can_checkpoint=bool(trainer.agent.seeds))
                yield row
            elif self.queue:
                self.queue.append(row)
            else:
                yield row

    def evaluate(self, point: FrozenPoint) -> Iterator[Heartbeat]:
        """Let a process play a point; wait where all are busy."""
        yield from self._begin(point)
        self.queue.append(point)

    def settle(self) -> Iterator[Heartbeat]:
        """Wait for all points, and let their rows go."""
        with self.trainer.split.evaluation():
            while self.workers is not None and self.workers.busy:
                yield from self._wait()
        if self.queue:
            yield Heartbeat(self.trainer.step, can_checkpoint=True)

    def _begin(self, point: FrozenPoint) -> Iterator[Heartbeat]:
        if self.workers is None:
            yield from self._play(point)
            return
        while not self.workers.room:
            yield from self._wait()
        self.workers.send(point)

    def _wait(self) -> Iterator[Heartbeat]:
        yield from self._collect(PULSE_SECONDS)
        assert self.workers is not None
        steps = ", ".join(f"{point.num_timesteps:,}" for _, point in self.workers.busy)
        doing = f"evaluating step {steps}" if steps else ""
        yield Heartbeat(self.trainer.step, can_checkpoint=False, doing=doing or "evaluating")

    def _collect(self, seconds: float) -> Iterator[Heartbeat]:
        """Take what processes have played within so many seconds."""
        for point, played in self.workers.finished(seconds) if self.workers else ():
            if played is None:
                yield from self._play(point)
            else:
                self.played[point.num_timesteps] = played

    def _play(self, point: FrozenPoint) -> Iterator[Heartbeat]:
        """Play a point in this process."""
        broken, rows = Broken(), list[Evaluation]()
        for row in point.rows(broken):
            if isinstance(row, Evaluation):
                rows.append(row)
            elif isinstance(row, Heartbeat):
                yield row._replace(step=self.trainer.step)
        self.played[point.num_timesteps] = Played(rows, broken)

    def _release(self) -> Iterator[Row]:
        """Yield rows up to the first point that is still played, and cut broken seeds.

        Call it between two steps of training.
        """
        while self.queue:
            head = self.queue[0]
            if not isinstance(head, FrozenPoint):
                self.queue.popleft()
                yield head
                continue
            step = head.num_timesteps
            if step not in self.played:
                return
            self.queue.popleft()
            rows, broken = self.played.pop(step)
            yield from (row for row in rows if (row.seed, row.setting) not in self.gone)
            ids = list(zip(head.seeds, head.setting_of, strict=True))
            ends = {ids[row]: why for row, why in sorted(broken.items())}
            ends = {each: why for each, why in ends.items() if each not in self.gone}
            for (seed, setting), (status, reason) in ends.items():
                yield SeedEnded(seed, step, status, f"{reason} at step {step}", setting)
            if ends:
                self._cut(set(ends), step)

    def _cut(self, ids: set[Id], step: int) -> None:
        """Cut seeds out of training that ended at a step, and drop their rows after it."""
        self.gone |= ids
        self.queue = deque(
            row
            for row in self.queue
            if isinstance(row, FrozenPoint | Heartbeat) or (row.seed, row.setting) not in ids
        )
        self.trainer.keep([row for row, each in enumerate(self.trainer.ids()) if each not in ids])
        if not self.trainer.agent.seeds:
            ends = [row.step for row in self.queue if isinstance(row, SeedEnded)]
            self.trainer.agent.num_timesteps = max([step, *ends])

    def close(self) -> None:
        """End the processes."""
        if self.workers is not None:
            self.workers.close()
            self.workers = None

    def state(self) -> dict[str, Any]:
        """Return points that are played, the rows after them, and seeds that have none any more."""
        queue = [
            _point_state(each)
            if isinstance(each, FrozenPoint)
            else {"kind": type(each).__name__, "fields": list(each)}
            for each in self.queue
        ]
        return {"queue": queue, "gone": [list(each) for each in sorted(self.gone)]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned, with an agent from which no seed has been cut yet."""
        self.gone = {(seed, setting) for seed, setting in state["gone"]}
        for each in state["queue"]:
            if "kind" in each:
                self.queue.append(getattr(row_kinds, each["kind"])(*each["fields"]))
                continue
            ids = list(zip(each["seeds"], each["settings"], strict=True))
            rows = [self.trainer.ids().index(one) for one in ids]
            policy = self.trainer.agent.policy_from(rows, each["policy"])
            assert isinstance(policy, NetworkPolicy)
            numbers = each["step"], each["samples"], each["seconds"]
            self.queue.append(self.trainer.point(policy, ids, *numbers))


def _point_state(point: FrozenPoint) -> dict[str, Any]:
    return {
        "seeds": list(point.seeds),
        "settings": list(point.setting_of),
        "step": point.num_timesteps,
        "samples": point.samples,
        "seconds": point.seconds,
        "policy": point.arrays(),
    }


def workers_for(trainer: Trainer) -> EvalWorkers | None:
    """Return processes that play evaluations, if they are asked for and of use.

    Raises:
        UserError: They cannot have what they need.
    """
    agent, count = trainer.agent, trainer.plan.eval_workers
    if not count or not trainer.plan.every() or not agent.seeds or agent.make_env is None:
        return None
    policy = agent.policy()
    if trainer.lanes.tally is not None or not isinstance(policy, NetworkPolicy):
        _LOG.warning("--eval-workers: this is evaluated in the process that trains, as always")
        return None
    if agent.device.type != "cpu":
        _LOG.warning("--eval-workers: agents on a GPU are evaluated in the process that trains")
        return None
    if twin := twin_of(agent.make_env, len(agent.seeds) * LANES):
        release_envs(agent.make_env, [twin.env])
        _LOG.warning(
            "evaluation steps these environments as arrays, sooner than --eval-workers could; "
            "--no-batched-envs lets workers play"
        )
        return None
    from rlbench.learning.evaluation.eval_workers import EvalWorkers

    trainer.point(policy, trainer.ids(), 0, 0, 0.0).packed()  # says early that it cannot be sent
    return EvalWorkers(agent.make_env, count)
