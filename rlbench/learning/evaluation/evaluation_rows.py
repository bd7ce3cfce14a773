"""Evaluations as rows: one per episode, or one per sweep over the images of a split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.evaluation.episodes import Playing, evaluate
from rlbench.learning.evaluation.image_sweep import SPLITS, SplitPredictions, sweep_split
from rlbench.learning.policies.policy import Policy
from rlbench.rows import Evaluation, Heartbeat, Metric, Row, TestPredictions

if TYPE_CHECKING:
    from rlbench.learning.core.agent_core import AgentCore

Broken = dict[int, tuple[str, str]]  # row of a seed -> status, reason


class Evaluable(Protocol):
    """Interface of agents that evaluation needs; all seeds have trained equally long."""

    seeds: tuple[int, ...]
    num_timesteps: int

    @property
    def setting_of(self) -> tuple[int, ...]:
        """Setting of each row."""

    @property
    def make_env(self) -> Callable[[], Any] | None:
        """What makes an environment; None if the agent has none."""

    @property
    def samples(self) -> int:
        """Number of steps learned from per seed, with repetition."""

    def policy(self) -> Policy:
        """Return the policies of all seeds as they are now."""


def episode_rows(
    agent: Evaluable, phase: str, count: int, seconds: float, broken: Broken, limit: StepLimit
) -> Iterator[Row]:
    """Play the sealed episodes of a phase; seeds that fail are added to `broken`."""
    policy = agent.policy()
    assert agent.make_env is not None  # lanes exist, so there is one
    playing = Playing("episodes")
    for score in evaluate(policy, agent.make_env, phase, count, limit, playing):
        if score is None:
            yield Heartbeat(agent.num_timesteps, can_checkpoint=False, doing=str(playing))
            continue
        if score.error or not math.isfinite(score.ret):
            reason = score.error or "the return of an evaluation episode is NaN or infinite"
            broken[score.row] = (score.status, reason)
            continue
        yield Evaluation(
            agent.seeds[score.row],
            agent.num_timesteps,
            phase,
            score.episode,
            score.ret,
            score.length,
            score.eval_seed,
            policy.deterministic,
            policy.epsilon,
            round(seconds, 3),
            samples=agent.samples,
            cut=int(score.cut),
            setting=agent.setting_of[score.row],
        )


def split_rows(
    agent: AgentCore,
    phase: str,
    seconds: float,
    images: np.ndarray,
    broken: Broken,
    limit: StepLimit,
) -> Iterator[Row]:
    """Sweep over the phase's split: validation on the grid, test once at the end.

    `images` (S,) have been seen in training. The agent is told its validation accuracy, so that it
    can keep its best weights. Seeds that fail are added to `broken`.
    """
    policy, sweep = agent.policy(), None
    assert agent.make_env is not None
    playing = Playing("images")
    for sweep in sweep_split(policy, agent.make_env, SPLITS[phase], limit, playing):
        if sweep is None:
            yield Heartbeat(agent.num_timesteps, can_checkpoint=False, doing=str(playing))
    assert sweep is not None
    accuracy, rows = sweep.right.mean(-1), len(sweep.right)
    broken |= sweep.broken
    for row, seed in enumerate(agent.seeds):
        if row in broken:
            continue
        yield Evaluation(
            seed,
            agent.num_timesteps,
            phase,
            0,
            float(sweep.returns[row].mean()),
            round(float(sweep.lengths[row].mean())),
            0,
            policy.deterministic,
            policy.epsilon,
            round(seconds, 3),
            SPLITS[phase],
            sweep.right.shape[1],
            float(accuracy[row]),
            int(images[row]),
            agent.samples,
            int(sweep.cut[row].sum()),
            agent.setting_of[row],
        )
        if phase == "final":
            for tested in _tested(sweep, row, seed, agent.num_timesteps):
                yield tested._replace(setting=agent.setting_of[row])
    if phase == "grid":
        agent.on_validation(
            accuracy, np.array([np.mean(_recalls(sweep, row)) for row in range(rows)])
        )


def _tested(
    sweep: SplitPredictions, row: int, seed: int, step: int
) -> Iterator[Metric | TestPredictions]:
    """Make the rows of the test split only: all predictions, and the recalls' geometric mean."""
    recalls = _recalls(sweep, row)
    yield Metric(seed, step, "test/balanced_accuracy", float(np.mean(recalls)))
    yield Metric(seed, step, "test/g_mean", float(np.prod(recalls)) ** (1 / len(recalls)))
    yield TestPredictions(seed, step, tuple(sweep.predictions[row].tolist()))


def _recalls(sweep: SplitPredictions, row: int) -> list[float]:
    """Return the recall of each class, for one seed."""
    classes = np.unique(sweep.labels)
    return [float(sweep.right[row][sweep.labels == label].mean()) for label in classes]
