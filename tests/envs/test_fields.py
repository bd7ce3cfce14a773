"""Labelled data of other fields: what is in it, and what the best rules and blind ones score."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter, defaultdict
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy.special import i0e, logsumexp
from scipy.stats import norm
from sklearn.datasets import load_breast_cancer
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import rlbench.envs
from rlbench.envs.data import made_sets
from rlbench.envs.data.splits import load

assert rlbench.envs
NAMES = [
    f"rlbench/{name}-v0"
    for name in ("Classify-BreastCancer", "Imbalanced-BreastCancer", "Classify-Tones",
                 "Rows-Tones", "Rows-NextValue", "Rows-Series", "Rows-Texts")
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_checkers_accept_them(name: str) -> None:
    env: Any = gymnasium.make(name).unwrapped
    check_env(env)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The minimal resolution for an image is 36x36")
        check_env_sb3(env)
    env.use("test")
    assert env.reset(seed=0)[0] in env.observation_space


def test_measurements_are_standardised_by_the_training_cases() -> None:
    """Test cases are not looked at: a shift of theirs would show."""
    data, bunch = load("breast-cancer"), load_breast_cancer()
    assert data.class_names == ("benign", "malignant")
    sizes = {name: len(split.labels) for name, split in data.splits.items()}
    assert sizes == {"train": 341, "validation": 114, "test": 114}
    numbers = {name: split.images[:, 0, :, 0] / 42.5 - 3 for name, split in data.splits.items()}
    assert np.abs(numbers["train"].mean(0)).max() < 0.12  # but for what is cut
    assert np.abs(np.median(numbers["train"].std(0)) - 1) < 0.1
    assert np.abs(numbers["test"].mean(0)).max() > 0.12
    raw = {tuple(row): label for row, label in zip(bunch.data.tolist(), bunch.target.tolist())}
    assert len(raw) == 569
    malignant = sum(int(split.labels.sum()) for split in data.splits.values())
    assert malignant == sum(label == 0 for label in raw.values()) == 212


def test_a_missed_malignant_case_costs_five_false_alarms() -> None:
    env: Any = gymnasium.make("rlbench/Imbalanced-BreastCancer-v0").unwrapped
    assert env.class_names == ("not malignant", "malignant")
    env.reset(seed=0)
    costs: dict[tuple[int, int], set[float]] = defaultdict(set)
    for action in itertools.islice(itertools.cycle([0, 1, 1]), 300):
        _, reward, *ended, _ = env.step(action)
        costs[env.answer[0], action].add(round(reward, 6))
        if any(ended):
            env.reset()
    assert costs == {(1, 1): {1.0}, (1, 0): {-1.0}, (0, 1): {-0.2}, (0, 0): {0.2}}


def tone_rule(shown: np.ndarray, power: float) -> np.ndarray:
    """Classes by the posterior of a tone of this power, from bytes (n, frames, bins, 1)."""
    each = (shown[..., 0] / made_sets.LEVELS) ** 2
    root = 2 * np.sqrt(power * each)
    factor = -power + np.log(i0e(root)) + root  # log of a tone's likelihood, over that of noise
    scores = []
    for path in made_sets.PATHS.values():
        starts = made_sets.LOWEST + np.arange(made_sets.STARTS)
        if path is None:
            scores.append(np.zeros(len(shown)))
        else:
            frames = np.arange(made_sets.FRAMES)
            paths = [factor[:, frames, start + path].sum(1) for start in starts]
            scores.append(logsumexp(paths, axis=0) - np.log(len(starts)))
    return np.argmax(scores, 0)


def test_the_best_rule_for_tones_is_what_is_said() -> None:
    """Negative controls: frames in another order, and the loudest frequency alone."""
    shown, labels = load("tones").splits["test"]
    assert load("tones").class_names == tuple(made_sets.PATHS)
    assert (tone_rule(shown, made_sets.POWER) == labels).mean() == pytest.approx(0.973)
    shuffled = shown[:, np.random.default_rng(0).permutation(made_sets.FRAMES)]
    assert (tone_rule(shuffled, made_sets.POWER) == labels).mean() < 0.7
    noise = shown[labels == 1][:, :, 1:, 0] / made_sets.LEVELS
    assert (noise**2).mean() == pytest.approx(1, abs=0.01)


def series_rule(shown: np.ndarray) -> np.ndarray:
    """Classes by the largest likelihood, from bytes (n, length, 1, 1)."""
    values = (shown[..., 0, 0] - 128.0) / made_sets.UNIT
    scores = []
    for lag, factor in made_sets.PROCESSES.values():
        error, variance = values[:, lag:] - factor * values[:, :-lag], 1 - factor**2
        late = (error**2 / variance + np.log(variance)).sum(1)
        scores.append(-late - (values[:, :lag] ** 2).sum(1))
    return np.argmax(scores, 0)


def test_the_best_rule_for_series_is_what_is_said() -> None:
    """And a single value says nothing: all classes have the same mean and variance at all times."""
    assert load("series").class_names == tuple(made_sets.PROCESSES)
    shown, labels = load("series").splits["test"]
    assert (series_rule(shown) == labels).mean() == pytest.approx(0.976)
    shuffled = shown[:, np.random.default_rng(0).permutation(made_sets.LENGTH)]
    assert (series_rule(shuffled) == labels).mean() < 0.5
    shown, labels = load("series").splits["train"]
    values = (shown[..., 0, 0] - 128.0) / made_sets.UNIT
    for label in range(5):
        here = values[labels == label]
        assert np.abs(here.mean(0)).max() < 4.5 / np.sqrt(600)
        assert np.abs(here.var(0) - 1).max() < 4.5 * np.sqrt(2 / 600)


def next_rule(shown: np.ndarray, lags: tuple[float, ...], deviation: float) -> np.ndarray:
    """Fifths of largest probability where the next value is normal around a sum of the last."""
    values = (shown[..., 0, 0] - 128.0) / made_sets.UNIT
    mean = sum(lag * values[:, -1 - i] for i, lag in enumerate(lags))
    edges = norm.ppf(np.arange(6) / 5)
    chances = np.diff(norm.cdf((edges - np.asarray(mean)[:, None]) / deviation), axis=1)
    return chances.argmax(1)


def test_the_best_rule_for_the_next_value_is_what_is_said() -> None:
    """It needs the last two values, in their order; fifths are equally likely."""
    assert load("next-value").class_names == made_sets.FIFTH_NAMES
    shown, labels = load("next-value").splits["test"]
    best = next_rule(shown, made_sets.LAGS, float(made_sets.NOISE))
    assert (best == labels).mean() == pytest.approx(0.569)
    one = next_rule(shown, (2 / 3,), np.sqrt(5 / 9))
    assert (one == labels).mean() == pytest.approx(0.403)
    assert (next_rule(shown[:, ::-1], made_sets.LAGS, 0.5) == labels).mean() < 0.35
    shown, labels = load("next-value").splits["train"]
    values = (shown[..., 0, 0] - 128.0) / made_sets.UNIT
    assert np.abs(values.mean(0)).max() < 4.5 / np.sqrt(3000)
    assert np.abs(values.var(0) - 1).max() < 4.5 * np.sqrt(2 / 3000)
    for lag, expected in ((1, 2 / 3), (2, 0.0), (3, 1.2 * 0 - 0.8 * 2 / 3)):
        found = (values[:, lag:] * values[:, :-lag]).mean(0)
        assert np.abs(found - expected).max() < 4.5 * np.sqrt(2 / 3000)
    counts = np.bincount(labels)
    assert np.abs(counts - 600).max() < 4.5 * np.sqrt(3000 * 0.2 * 0.8)


def test_the_label_of_a_text_needs_the_order_of_its_words() -> None:
    """A seventh of the grammar, by all words that are about an opinion, and by the last row."""
    by_words: dict[Any, Counter[str]] = defaultdict(Counter)
    by_last: dict[Any, Counter[str]] = defaultdict(Counter)
    for number in range(0, made_sets.TEXTS, 7):
        line, label = made_sets.text(number)
        words = line.split()
        neutral = {*made_sets.NOUNS, *made_sets.ADVERBS}
        by_words[tuple(sorted(word for word in words if word not in neutral))][label] += 1
        by_last[words[-1]][label] += 1
    assert made_sets.TEXTS == 248_832
    for found, share in ((by_words, 0.625), (by_last, 0.519)):
        best = sum(max(counts.values()) for counts in found.values())
        assert best / len(range(0, made_sets.TEXTS, 7)) == pytest.approx(share, abs=0.01)


def test_texts_say_what_their_labels_are() -> None:
    """Read back from the rows, with a rule written anew; none comes twice over all splits."""
    data, seen = load("texts"), []
    for shown, labels in data.splits.values():
        for picture, label in zip(shown, labels):
            assert (picture.sum(1) == 255).all()
            words = [made_sets.VOCABULARY[number] for number in picture[..., 0].argmax(1)]
            seen.append(" ".join(words))
            text = seen[-1].rstrip(" .")
            if text.startswith("although"):
                main = text.partition(",")[2]
            elif " but " in text:
                main = text.partition(" but ")[2]
            else:
                main = text.partition(" although ")[0]
            good = any(word in made_sets.PRAISE for word in main.split())
            assert data.class_names[label] == (
                "praise" if good != ("not" in main) else "complaint"
            ), text
    assert len(set(seen)) == len(seen) == 4500


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("breast-cancer", "d3fb177c"),
        ("next-value", "aafc388e"),
        ("series", "41e55a60"),
        ("texts", "ca706c6b"),
        ("tones", "ce81956a"),
    ],
)
def test_data_never_changes(name: str, digest: str) -> None:
    """A part of each run's identity."""
    assert load(name).digest == digest
