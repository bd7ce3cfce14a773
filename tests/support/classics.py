"""Classical learners on digits, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlbench.agents import KNN, SVM, LogisticRegression, Majority, RandomForest
from rlbench.envs.data.splits import load
from rlbench.learning.environments.lanes import LabelFeedback, Step
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Evaluation, Row

ENV = "rlbench/Classify-Digits-v0"
DIGITS = load("digits").splits
PASS = len(DIGITS["train"].labels)  # 1,079 images
KINDS: dict[Any, dict[str, Any]] = {
    KNN: {},
    LogisticRegression: {},
    Majority: {},
    RandomForest: {"n_estimators": 8},
    SVM: {},
}
SEEDS = (11, 12, 13)  # the position in the stack is not the seed


def start(kind: Any, seeds: Any = 1, steps: int = 300, env: Any = ENV, **given: Any) -> Trainer:
    agent = kind(env, seeds=seeds, device="cpu", **{**KINDS[kind], **given})
    agent.set_horizon(steps)
    return Trainer(agent, TrainingSchedule(steps, 100, 2, 2))


def train(kind: Any, *args: Any, **given: Any) -> tuple[Any, list[Row]]:
    trainer = start(kind, *args, **given)
    rows = list(trainer.rows())
    trainer.close()
    return trainer.agent, rows


def scores(rows: list[Row], phase: str = "grid") -> list[Evaluation]:
    return [row for row in rows if isinstance(row, Evaluation) and row.phase == phase]


def answers(agent: Any, split: str = "test", seed: int | None = None) -> np.ndarray:
    """(S, n) what its policies say to all images of a split."""
    policy = agent.policy(seed)
    images = np.stack([DIGITS[split].images] * len(policy.seeds))
    return policy.act(images, np.ones(images.shape[:2], bool))


def shown(agent: Any, images: np.ndarray, labels: Any) -> None:
    """Show a one-seed agent images with labels, all in one step."""
    step = np.zeros((1, len(images)))
    label = np.full(step.shape, labels)
    answer = LabelFeedback(label, step > 0, step == 0)
    agent.observe(Step(images[None], step, step, step > 0, step > 0, images[None], answer))
