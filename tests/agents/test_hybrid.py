"""Hybrid: what labels teach and what rewards teach, its loss by hand, and which labels it sees."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from lockstep import make
from torch.distributions import Categorical

from rlbench.agents import PPO, Hybrid
from rlbench.envs.data.splits import Dataset, load
from rlbench.envs.images import batch as batch_module
from rlbench.errors import UserError
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Evaluation

GLIMPSE = "rlbench/Glimpse-Digits-v0"
SMALL: dict[str, Any] = {"n_envs": 3, "encoder": "gru", "hidden_size": 4}


def trained(agent: Any, steps: int, eval_freq: int = 0) -> list[Any]:
    agent.set_horizon(steps)
    return list(Trainer(agent, TrainingSchedule(steps, eval_freq)).rows())


def test_labels_take_the_place_of_answers_alone() -> None:
    """In the rollout, step by step: looks are the agent's own, answers what they should be."""
    agent = make(Hybrid, GLIMPSE, (3, 4), **SMALL)
    told: list[Any] = []
    inner = agent.observe

    def observe(step: Any) -> Any:
        told.append((step.action.copy(), step.answer.label, step.answer.answered))
        return inner(step)

    agent.observe = observe
    trained(agent, 24)  # one rollout of 8 steps, two episodes of four looks
    stored = agent.rollout.arrays
    for t, (action, label, answered) in enumerate(told[:8]):
        assert answered.all() == answered.any() == (t % 4 == 3)
        expected = label if t % 4 == 3 else action
        np.testing.assert_array_equal(stored["action"][:, :, t, 0], expected)
        assert (stored["taught"][:, :, t] == answered).all()
    assert any((action != label).any() for action, label, _ in told[3::4])


@pytest.mark.parametrize("coef", [1.0, 2.5])
def test_the_loss_by_hand(coef: float) -> None:
    """Cross-entropy of what is answered; PPO's losses of the others; values of all."""
    given: dict[str, Any] = {
        "batch_size": 64,
        "label_coef": coef,
        "ent_coef": 0.3,
        "encoder": "mlp",
        "n_envs": 4,
    }
    agent = make(Hybrid, GLIMPSE, (3, 4), **given)
    rng = np.random.default_rng(0)
    obs = agent.spec.shape

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))

    items = {"seen": draw(2, 12, *obs), "value": draw(2, 12), "advantage": draw(2, 12),
             "log_prob": draw(2, 12) - 2.0, "clip": torch.full((2, 1), 0.2),
             "action": torch.from_numpy(rng.integers(0, 10, (2, 12, 1))),
             "taught": torch.from_numpy((rng.random((2, 12)) < 0.3) * np.float32(1))}  # fmt: skip
    loss, metrics = agent.objective(**items)
    logits, value = agent.net(items["seen"], None, None)
    for seed in range(2):
        mine = {name: tensor[seed] for name, tensor in items.items()}
        taught = mine["taught"] > 0
        assert 0 < taught.sum() < 12
        policy = Categorical(logits=logits[seed])
        log_prob = policy.log_prob(mine["action"][:, 0])
        advantage = mine["advantage"]
        advantage = (advantage - advantage.mean()) / advantage.std()
        ratio = (log_prob - mine["log_prob"]).exp()
        surrogate = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        error = (value[seed] - mine["value"] - mine["advantage"]).square()
        cross = torch.nn.functional.cross_entropy(logits[seed], mine["action"][:, 0],
                                                  reduction="none")  # fmt: skip
        expected = (
            -surrogate[~taught].mean() + coef * cross[taught].mean() + 0.5 * error.mean()
            - 0.3 * policy.entropy()[~taught].mean()
        )  # fmt: skip
        torch.testing.assert_close(loss[seed], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(metrics["train/label_loss"][seed], cross[taught].mean())
    assert torch.equal(metrics["train/loss"], loss)


@pytest.mark.parametrize("taught", [0.0, 1.0])
def test_steps_of_one_kind_alone_make_a_finite_loss(taught: float) -> None:
    agent = make(Hybrid, GLIMPSE, (3,), encoder="mlp", batch_size=64)
    zeros = torch.zeros(1, 6)
    items = {"seen": torch.zeros(1, 6, *agent.spec.shape), "value": zeros, "advantage": zeros + 0.1,
             "log_prob": zeros - 2.0, "clip": torch.full((1, 1), 0.2), "taught": zeros + taught,
             "action": torch.zeros(1, 6, 1, dtype=torch.int64)}  # fmt: skip
    loss, metrics = agent.objective(**items)
    assert torch.isfinite(loss).all()
    assert (metrics["train/label_loss"] > 0).item() == (taught > 0)
    assert (metrics["train/approx_kl"] != 0).item() == (taught == 0)


def relabelled(data: Dataset, splits: set[str]) -> Dataset:
    """The same images with every label one higher, in these splits."""
    count = len(data.class_names)
    changed = {
        name: split._replace(labels=(split.labels + 1) % count) if name in splits else split
        for name, split in data.splits.items()
    }
    return replace(data, splits=changed)


def test_labels_of_held_out_images_teach_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other labels of validation and test leave every weight as it is; of training they do not."""
    weights, accuracies = [], []
    for splits in (set(), {"validation", "test"}, {"train"}):
        monkeypatch.setattr(batch_module, "load", lambda d, s=splits: relabelled(load(d), s))
        agent = make(Hybrid, GLIMPSE, (3,), **SMALL)
        rows = trained(agent, 600, eval_freq=120)
        weights.append(agent.learner.stack.data.clone())
        accuracies.append([row.accuracy for row in rows if isinstance(row, Evaluation)])
    assert torch.equal(weights[0], weights[1])
    assert accuracies[0] != accuracies[1]  # they were scored by the other labels
    assert not torch.equal(weights[0], weights[2])


def one_place_tells(path: Path) -> str:
    """A data set of two classes that differ in one of nine places; the rest is noise."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for name, count in (("train", 600), ("val", 100), ("test", 200)):
        labels = np.arange(count) % 2
        images = rng.integers(0, 256, (count, 12, 12)).astype(np.uint8)
        images[:, 8:, 4:8] = 255 * labels[:, None, None]
        arrays |= {f"x_{name}": images, f"y_{name}": labels}
    np.savez(path, **arrays)
    return str(path)


@pytest.mark.parametrize("look", ["agent", "random"])
def test_rewards_teach_where_to_look(look: str, tmp_path: Path) -> None:
    """The second look goes to the only place that tells; who cannot choose it mostly guesses.

    The bound of random looks is 1 - (8/9)^2 / 2 = 0.605 with a memory, and less without.
    """
    data = one_place_tells(tmp_path / "one.npz")
    env = partial(gymnasium.make, "rlbench/Glimpse-v0", data=data, glimpses=2, look=look)
    agent = Hybrid(env, seeds=2, device="cpu", encoder="mlp", n_envs=16, n_steps=8, batch_size=64,
                   n_epochs=4, gamma=1.0, learning_rate=3e-3, ent_coef=0.1,
                   activation="relu")  # fmt: skip
    rows = trained(agent, 16_000)
    found = [row.accuracy for row in rows if isinstance(row, Evaluation)]
    assert len(found) == 2
    if look == "agent":
        assert min(found) > 0.95, found
    else:
        assert max(found) < 0.7, found


def test_without_labels_it_is_refused() -> None:
    with pytest.raises(UserError, match=r"hybrid needs labels: .*Classify-Digits-v0"):
        Hybrid("CartPole-v1", device="cpu")
    agent = make(PPO, GLIMPSE, (3,), **SMALL)
    assert "taught" not in agent.rollout.arrays  # others store no labels
