"""Evaluation on image data: every image of a split once, whatever lanes and wrappers there are."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import rlbench.envs  # registers
from rlbench.envs.data.splits import load
from rlbench.learning.environments.batched_lanes import (
    BatchedLanes,
    CountedLanes,
    can_batch,
    lanes_for,
)
from rlbench.learning.environments.image_metrics import ImageMetrics
from rlbench.learning.environments.lanes import EnvLanes
from rlbench.learning.environments.make import env_factory
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.evaluation.image_sweep import SplitPredictions, sweep_split
from rlbench.learning.policies.policy import Policy

assert rlbench.envs
CLASSIFY = "rlbench/Classify-Digits-v0"
SAME = "+test_image_sweep:Same"
TEST = load("digits").splits["test"]


class Same(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Changes nothing, which nobody can know."""


class Formula(Policy):
    """Answers by what it sees: the sum of all that was seen so far, plus its seed, modulo 10."""

    def __init__(self, env: str, seeds: tuple[int, ...], classes: int = 10, **kwargs: Any) -> None:
        super().__init__(seeds, ObsSpec(gymnasium.make(env, **kwargs).observation_space))
        self.classes = classes

    def step(self, obs: Any, carry: Any, first: Any, deterministic: bool) -> tuple[Any, Any]:
        own = obs.reshape(*obs.shape[:2], -1).astype(np.int64).sum(-1)
        total = own if carry is None else np.where(first, own, carry[0] + own)
        return (total + np.array(self.seeds)[:, None]) % self.classes, (total,)


def visited(policy: Policy, env: str, split: str = "test", **kwargs: Any) -> SplitPredictions:
    *_, made = sweep_split(policy, env_factory(env, kwargs), split)
    assert made is not None
    return made


@pytest.mark.parametrize("env", ["Classify", "Stream", "Rows", "Retry", "Imbalanced"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_every_image_once(env: str, split: str) -> None:
    """The oracle goes through the data set by itself."""
    name, seeds = f"rlbench/{env}-Digits-v0", (0, 3, 7)
    classes = 2 if env == "Imbalanced" else 10
    images, labels = load("digits").splits[split]
    policy = Formula(name, seeds, classes)
    made = visited(policy, name, split)
    sums = images.reshape(len(images), -1).astype(np.int64).sum(-1)
    truth = (labels == 2).astype(np.int64) if env == "Imbalanced" else labels
    assert made.right.shape == (3, len(images))
    np.testing.assert_array_equal(made.labels, truth)
    if env == "Retry":  # what was tried is seen too: one more at each try
        tries = np.array([[(s + seed + np.arange(3) * 0) % 10 for s in sums] for seed in seeds])
        assert tries.shape[2] == 3
        assert (made.lengths <= 3).all()
        return
    expected = np.array([(sums + seed) % classes for seed in seeds])
    np.testing.assert_array_equal(made.predictions, expected)
    np.testing.assert_array_equal(made.right, expected == truth)
    if env != "Imbalanced":
        np.testing.assert_array_equal(made.returns, 2.0 * made.right - 1)
    assert (made.lengths == (8 if env == "Rows" else 1)).all()


def test_a_constant_answer_is_as_good_as_its_class_is_frequent() -> None:
    """A closed form, and a negative control: the formula above is about chance."""
    policy = Formula(CLASSIFY, (0, 4), classes=1)  # always 0
    made = visited(policy, CLASSIFY)
    assert made.right.mean() == (TEST.labels == 0).mean()
    assert abs(visited(Formula(CLASSIFY, (0,)), CLASSIFY).right.mean() - 0.1) < 0.06


@pytest.mark.parametrize("env", ["Classify", "Rows", "Retry", "Glimpse"])
def test_wrapped_environments_are_visited_alike(env: str) -> None:
    """A wrapper that changes nothing, but takes the way of single environments."""
    name = f"rlbench/{env}-Digits-v0"
    policy = Formula(name, (1, 2))
    batched, single = visited(policy, name), visited(policy, name + SAME)
    assert not can_batch(env_factory(name + SAME)())
    for one, other in zip(batched, single, strict=True):
        np.testing.assert_array_equal(one, other)


def test_lanes_are_batched_where_nothing_is_around() -> None:
    kinds = {
        CLASSIFY: BatchedLanes,
        CLASSIFY + SAME: CountedLanes,
        "CartPole-v1": EnvLanes,
    }
    for name, kind in kinds.items():
        assert type(lanes_for(env_factory(name), (0,), 2)) is kind


def test_counted_lanes_count_as_batched_ones_do() -> None:
    """One lane of one seed, the same stream: the same images, answers, returns and sums."""
    made = [lanes_for(env_factory(name), (5,), 1) for name in (CLASSIFY, CLASSIFY + SAME)]
    steps: list[Any] = [[], []]
    for lanes, taken in zip(made, steps, strict=True):
        lanes.reset()
        for t in range(70):
            taken.append(lanes.step(np.array([[t % 10]])))
    for one, other in zip(*steps, strict=True):
        np.testing.assert_array_equal(one.obs, other.obs)
        np.testing.assert_array_equal(one.reward, other.reward)
        for a, b in zip(one.answer, other.answer, strict=True):
            np.testing.assert_array_equal(a, b)
    assert not any(lanes.finished for lanes in made)
    one, other = (dict(lanes.tally.take(0, True)) for lanes in made if lanes.tally)
    assert one == other
    rewards = np.concatenate([step.reward.ravel() for step in steps[0]])
    assert one["rollout/ep_rew_mean"] == pytest.approx(rewards.mean())
    assert one["rollout/regret"] == pytest.approx((1 - rewards).mean())
    assert one["rollout/accuracy"] == pytest.approx((rewards > 0).mean())
    assert one["rollout/mistakes"] == (rewards < 0).sum()


def test_tally_begins_anew_when_it_was_read_and_is_cut_with_its_seeds() -> None:
    tally = ImageMetrics(3)
    everywhere = np.ones((3, 2), bool)
    tally.answers(everywhere, np.array([[True, True], [True, False], [False, False]]))
    tally.keep_seeds([0, 2])
    keys = ("rollout/accuracy", "rollout/regret", "rollout/mistakes")
    assert dict(tally.take(0, True)) == dict(zip(keys, (1.0, 0.0, 0.0), strict=True))
    assert dict(tally.take(1, True)) == dict(zip(keys, (0.0, 2.0, 2.0), strict=True))
    assert not dict(tally.take(1, True))
    assert tally.images.tolist() == [2, 2]
    other = ImageMetrics(2)
    other.restore(tally.state())
    assert other.images.tolist() == [2, 2]
    other.answers(everywhere[:2], ~everywhere[:2])
    assert [dict(other.take(row, True))["rollout/mistakes"] for row in (0, 1)] == [2.0, 4.0]


def test_mistakes_of_an_older_file_are_not_known() -> None:
    """Its checkpoint does not count them: no number is better than one that begins at 0."""
    tally, other = ImageMetrics(1), ImageMetrics(1)
    tally.answers(np.array([[True]]), np.array([[False]]))
    state = tally.state()
    del state["mistakes"]
    other.restore(state)
    assert set(dict(other.take(0, True))) == {"rollout/accuracy", "rollout/regret"}


def test_images_seen_and_uses_are_counted() -> None:
    """Rows of dqn: images are steps, samples are batches times updates."""
    from rlbench.agents import DQN
    from rlbench.learning.training.schedule import TrainingSchedule
    from rlbench.learning.training.trainer import Trainer
    from rlbench.rows import Episode, Evaluation, TestPredictions

    agent = DQN(CLASSIFY, seeds=2, n_envs=4, device="cpu", batch_size=16, train_freq=8,
                learning_starts=40, gamma=0.0, net_arch=(8,), encoder="mlp")  # fmt: skip
    agent.set_horizon(400)
    rows = list(Trainer(agent, TrainingSchedule(400, 200)).rows())
    assert not [row for row in rows if isinstance(row, Episode)]
    found = [row for row in rows if isinstance(row, Evaluation) and row.seed == 1]
    assert [(r.step, r.split, r.items) for r in found] == [
        (0, "validation", len(load("digits").splits["validation"].labels)),
        (200, "validation", found[0].items),
        (400, "validation", found[0].items),
        (400, "test", len(TEST.labels)),
    ]
    assert [r.images for r in found] == [0, 200, 400, 400]
    updates = [0, (200 - 40) // 8, (400 - 40) // 8, (400 - 40) // 8]
    assert [r.samples for r in found] == [16 * n for n in updates]
    tested = [row for row in rows if isinstance(row, TestPredictions)]
    for row in tested:
        final = next(r for r in rows if isinstance(r, Evaluation) and r.phase == "final"
                     and r.seed == row.seed)  # fmt: skip
        assert final.accuracy == np.mean(np.array(row.predictions) == TEST.labels)


class Wrong(gymnasium.Wrapper[Any, Any, Any, Any]):
    """What `how` says, at the second step of the lane that was made as number `victim`."""

    made = 0

    def __init__(self, env: Any, how: str, victim: int) -> None:
        super().__init__(env)
        self.how, self.victim = how, Wrong.made == victim
        Wrong.made += 1
        self.observation_space = gymnasium.spaces.Box(0, 255, env.observation_space.shape)

    def step(self, action: Any) -> Any:
        obs, *rest = self.env.step(action)
        if self.victim and self.how == "exit":
            raise SystemExit(0)
        return np.full(obs.shape, np.nan) if self.victim else obs, *rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)


@pytest.mark.parametrize(
    ("how", "ended"),
    [
        ("exit", ("failed", "SystemExit in evaluation: 0")),
        ("nan", ("diverged", "observation became NaN or infinite in evaluation")),
    ],
)
def test_a_lane_that_breaks_ends_its_seed_alone(how: str, ended: tuple[str, str]) -> None:
    """Number 14 is the second seed's (the first asks for labels); the others' answers stand."""
    name, seeds = "rlbench/Stream-Digits-v0", (0, 3, 7)
    expected = visited(Formula(name, seeds), name)
    policy = Formula(name, seeds)
    policy.spec = ObsSpec(Wrong(gymnasium.make(name), how, -1).observation_space)
    Wrong.made = 0
    *_, made = sweep_split(policy, lambda: Wrong(gymnasium.make(name), how, 14), "test")
    assert made is not None
    assert made.broken == {1: ended}
    for row in (0, 2):
        np.testing.assert_array_equal(made.predictions[row], expected.predictions[row])
