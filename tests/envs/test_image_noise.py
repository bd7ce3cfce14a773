"""Noise in rewards and labels of images, and that evaluation is free of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from image_oracle import known
from scipy.stats import chisquare, kstest

from rlbench.envs.images import batch
from rlbench.envs.images.classify import Classify, Retry
from rlbench.envs.images.env import VARIANTS
from rlbench.envs.images.imbalanced import Imbalanced


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "load", known)


def test_wrong_labels_are_those_of_the_data() -> None:
    """A share of them, for every seed the same; more noise keeps what less noise has wrong."""
    truth = Classify("digits").truth
    few, many, all_of_them = (Classify("digits", label_noise=p) for p in (0.1, 0.4, 1.0))
    for made, share in ((few, 0.1), (many, 0.4), (all_of_them, 1.0)):
        assert made.truth is truth
        assert (made.labels != truth).sum() == round(share * len(truth))
    wrong = few.labels != truth
    assert np.array_equal(few.labels[wrong], many.labels[wrong])
    assert chisquare(np.bincount((all_of_them.labels - truth) % 10)[1:]).pvalue > 1e-4
    assert np.array_equal(few.labels, Classify("digits", streams=(7,), label_noise=0.1).labels)
    rare = Imbalanced("digits", label_noise=0.1)
    assert (rare.labels != rare.truth)[rare.pool].sum() == round(0.1 * len(rare.pool))


def test_rewards_follow_the_wrong_label_and_right_the_true_one() -> None:
    made = Classify("toy", lanes=41, label_noise=0.5)
    for guess, reward_is_right in ((made.labels, True), (made.truth, False)):
        made.begin(np.arange(41)[None])
        out = made.step(guess[None])
        assert np.array_equal(out.label[0], made.labels)
        assert np.array_equal(out.right[0], guess == made.truth)
        assert (out.reward == 1).all() == reward_is_right
    retry = Retry("toy", lanes=41, label_noise=0.5)
    retry.begin(np.arange(41)[None])
    out = retry.step(retry.labels[None])
    assert out.terminated.all()  # as far as the reward says
    assert np.array_equal(out.right[0], retry.labels == retry.truth)


def test_noise_of_rewards_is_normal_and_scaled() -> None:
    """reward = scale * (clean + noise); right, label and images stay as they are."""
    clean, noise, both = (
        Classify("digits", "train", (4,), 50, **options)
        for options in ({}, {"reward_noise": 0.3}, {"reward_noise": 0.3, "reward_scale": 30})
    )
    excess = []
    for made in (clean, noise, both):
        made.reset()
    for action in np.random.default_rng(0).integers(10, size=(300, 1, 50)):
        a, b, c = (made.step(action) for made in (clean, noise, both))
        assert np.array_equal(a.obs, b.obs)
        assert np.array_equal(a.right, b.right)
        np.testing.assert_allclose(c.reward, 30 * b.reward, rtol=1e-6)
        excess.append(b.reward - a.reward)
    assert kstest(np.ravel(excess) / 0.3, "norm").pvalue > 1e-4


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("kind", list(VARIANTS))
def test_evaluation_knows_no_noise(kind: str, split: str) -> None:
    options: dict[str, Any] = {"reward_noise": 3.0, "reward_scale": 7.0, "label_noise": 0.5}
    made, clean = VARIANTS[kind]("digits", split, **options), VARIANTS[kind]("digits", split)
    made.reset()
    clean.reset()
    assert made.labels is made.truth
    for action in np.random.default_rng(0).integers(2, size=(40, 1, 1)):
        assert np.array_equal(made.step(action).reward, clean.step(action).reward)
