"""Arrays to save after a run on image data: predictions on the test split, and some images.

Figures are drawn from these arrays alone, so that they can be drawn without the data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.learning.environments.batched_lanes import can_batch, flattened
from rlbench.learning.evaluation.image_sweep import PATIENCE
from rlbench.rows import TestPredictions

if TYPE_CHECKING:
    from rlbench.learning.core.agent_core import AgentCore

SHOWN, PATHS = 60, 12  # images that are kept: often wrong ones, and some with what was looked at


def gallery(agent: AgentCore, rows: Sequence[TestPredictions]) -> dict[str, np.ndarray]:
    """Return arrays by name.

    Predictions (S, n) and labels (n,) of the test split, `shown` (m,) indices of the images most
    seeds got wrong and their `images`, and the paths of a moving window if there is one.
    """
    assert agent.make_env is not None
    env: Any = agent.make_env()
    inner = env.unwrapped
    images = inner.batch([0], 1, "test")
    labels = images.truth
    predictions = np.array([row.predictions for row in rows])  # (S, n)
    wrong = (predictions != labels).sum(0)
    hardest = np.argsort(-wrong, kind="stable")[: min(SHOWN, int((wrong > 0).sum()))]
    arrays = {
        "seeds": np.array([row.seed for row in rows]),
        "predictions": predictions.astype(np.int16),
        "labels": labels.astype(np.int16),
        "class_names": np.array(images.class_names),
        "shown": hardest,
        "images": images.pictures[hardest],
    }
    if images.windows is not None and can_batch(env):
        arrays |= _paths(agent, inner, rows[0].seed)
    return arrays


def _paths(agent: AgentCore, env: Any, seed: int) -> dict[str, np.ndarray]:
    """Return where the first seed's policy looks in some test images."""
    count = min(PATHS, len(env.data.splits["test"].labels))
    batch, policy = env.batch([0], count, "test"), agent.policy(seed)
    index = np.linspace(0, len(batch.truth) - 1, count).astype(np.int64)  # own data may be sorted
    obs = batch.begin(index[None])
    scenes = batch.scene()[0]
    first, windows = np.ones((1, count), bool), []
    for _ in range(PATIENCE * batch.steps):  # all lanes answer at the same step
        windows.append(batch.windows[0].copy())
        action = policy.act(flattened(obs, env.observation_space), first)
        first = np.zeros_like(first)
        out = batch.step(action)
        obs = out.obs
        if out.answered.any():
            break
    else:
        return {}
    return {
        "path_images": scenes,
        "paths": np.stack(windows, 1).astype(np.int16),  # (p, T, 2)
        "path_predictions": action[0].astype(np.int16),
        "path_labels": out.label[0].astype(np.int16),
        "window": np.array(batch.window),
    }
