"""The problems of images: what guessing is worth, what the best is, and what options change."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from image_oracle import CASES, TOY, batch, case_id, known

from rlbench.envs.images import batch as batch_module
from rlbench.envs.images.classify import Classify, Retry, Stream
from rlbench.envs.images.env import VARIANTS
from rlbench.envs.images.glimpse import Glimpse
from rlbench.envs.images.imbalanced import Imbalanced
from rlbench.envs.images.row_by_row import Rows

SIGMAS = 4.5  # a sound test fails once in 100,000


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "load", known)


def returns(made: batch_module.ImageBatch, index: Any, plans: np.ndarray) -> np.ndarray:
    """(lanes,) returns of fixed sequences of actions (lanes, steps) on an image, or on one each."""
    lanes = len(plans)
    made.begin(np.broadcast_to(index, (1, lanes)))
    total, going = np.zeros(lanes), np.ones(lanes, bool)
    for action in plans.T:
        out = made.step(action[None])
        total += out.reward[0] * going
        going &= ~(out.terminated | out.truncated)[0]
    assert not going.any()
    return total


def plans(actions: int, steps: int) -> np.ndarray:
    """All sequences of so many actions: (actions ** steps, steps)."""
    return np.array(list(itertools.product(range(actions), repeat=steps)))


@pytest.mark.parametrize(
    ("kind", "options", "steps", "expected"),
    [
        (Classify, {}, 1, 2 / 4 - 1),
        (Stream, {"length": 1}, 1, 2 / 4 - 1),
        (Retry, {"tries": 1}, 1, 2 / 4 - 1),
        (Retry, {"tries": 3}, 3, (2 - 4) * (1 - (1 - 1 / 4) ** 3)),
        (Retry, {"tries": 5}, 5, (2 - 4) * (1 - (1 - 1 / 4) ** 5)),
        (Rows, {}, 6, 2 / 4 - 1),
        (Glimpse, {"glimpses": 2, "window": 4, "places": 3}, 2, 2 / 9 - 1),
        (Glimpse, {"glimpses": 3, "places": 1}, 3, 2 / 4 - 1),
    ],
)
def test_uniform_guessing_is_worth_what_is_said(
    kind: Any, options: dict[str, Any], steps: int, expected: float
) -> None:
    """The mean over all sequences of actions: exact, and the same for every image."""
    every = plans(int(kind("toy", **options).action_space.n), steps)
    made = kind("toy", "train", (0,), len(every), **options)
    for index in (0, 1, 17, 40):
        values = returns(made, index, every)
        assert values.mean() == pytest.approx(expected, abs=1e-6)
        assert values.std() > 0.1


def test_guessing_for_ten_classes() -> None:
    """The numbers of the docstrings."""
    assert returns(Classify("digits", lanes=10), 3, plans(10, 1)).mean() == pytest.approx(-0.8)
    assert returns(Retry("digits", lanes=1000), 3, plans(10, 3)).mean() == pytest.approx(-2.168)
    actions = {data: int(Glimpse(data).action_space.n) for data in ("digits", "large")}
    assert {data: 2 / n - 1 for data, n in actions.items()} == {"digits": -0.8, "large": -0.875}
    never_twice = [p for p in plans(10, 3) if len(set(p)) == 3]
    made = Retry("digits", lanes=len(never_twice))
    assert returns(made, 3, np.array(never_twice)).mean() == pytest.approx(
        0.1 - 0.1 - 0.8 * 3 + 0.3
    )


def test_guessing_in_a_stream() -> None:
    """By chance, as images differ from lane to lane: 100 times what one step is worth."""
    made = Stream("digits", lanes=500)
    made.reset()
    actions = np.random.default_rng(0).integers(10, size=(100, 1, 500))
    total = np.sum([made.step(action).reward for action in actions], 0)
    assert abs(total.mean() + 80) < SIGMAS * np.sqrt(100 * 4 * 0.1 * 0.9 / 500)


@pytest.mark.parametrize("ends", [True, False])
def test_uniform_guessing_among_rare_ones_is_worth_nothing(ends: bool) -> None:
    """Every step is worth 0 by itself, so whatever ends the episode cannot change that."""
    made = Imbalanced("toy", ratio=0.1, end_on_error=ends, lanes=2)
    for _ in range(200):
        made.begin(np.full((1, 2), made.passes.take(made.everyone[:, :1])[0]))
        assert made.step(np.array([[0, 1]])).reward.sum() == 0


@pytest.mark.parametrize("case", [case for case in CASES if case[0] != "Find"], ids=case_id)
def test_who_knows_the_label_gets_the_optimum(case: tuple[str, dict[str, Any]]) -> None:
    made = batch(case, "toy", "test", (0,), 5)
    best = {"Stream": 5.0, "Imbalanced": None}.get(case[0], 1.0)
    if best is None:
        weight = case[1]["ratio"]
        positives = int(made.truth.sum())
        best = positives + weight * (13 - positives)
    made.reset()
    total, totals = np.zeros(5), []
    for _ in range(60):
        out = made.step(made.truth[made.index])
        assert out.right.tolist() == out.answered.tolist()
        total += out.reward[0]
        ended = (out.terminated | out.truncated)[0]
        totals += total[ended].tolist()
        total[ended] = 0
    assert totals
    assert totals == pytest.approx([best] * len(totals), rel=1e-6)


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_every_image_of_a_split_is_visited_once(case: tuple[str, dict[str, Any]]) -> None:
    """Accuracy is a proportion of images: who is right about these five scores 5 of 13."""
    made = batch(case, "toy", "test", (0,), 13)
    made.begin(np.arange(13)[None])
    waiting, right = np.ones(13, bool), np.zeros(13, bool)
    for _ in range(made.steps):
        truth = made.truth[np.arange(13)]
        out = made.step(np.where(np.arange(13) < 5, truth, (truth + 1) % 2)[None])
        assert np.array_equal(out.label[0][waiting], truth[waiting])
        right |= out.right[0] & waiting
        waiting &= ~out.answered[0]
    assert not waiting.any()
    assert right.tolist() == [True] * 5 + [False] * 8


@pytest.mark.parametrize(("ratio", "positives"), [(0.01, 9), (0.05, 45), (0.111, 100), (0.001, 1)])
def test_few_positives_are_left(ratio: float, positives: int) -> None:
    """round(ratio * negatives), chosen by the data alone; the others all stay."""
    made = Imbalanced("large", ratio=ratio)
    kept = made.truth[made.pool]
    assert (kept.sum(), (kept == 0).sum()) == (positives, 900)
    assert np.array_equal(made.truth, made.data.splits["train"].labels == 2)
    assert np.array_equal(made.pool, Imbalanced("large", streams=(8, 9), ratio=ratio).pool)
    assert set(made.pool) <= set(Imbalanced("large", ratio=0.111).pool)
    for split in ("validation", "test"):
        assert np.array_equal(Imbalanced("large", split, ratio=ratio).pool, np.arange(10))
    published = {0.01: 540, 0.002: 108, 0.001: 54, 0.0005: 27}  # of 54,042, Lin et al. 2019
    assert {r: round(r * 54_042) for r in published} == published


def test_the_first_missed_positive_ends_it() -> None:
    """Saying no to everything: every positive ends the episode, in training and if asked to."""
    training, lenient, test = (
        Imbalanced("toy", split, ratio=0.1, end_on_error=ends)
        for split, ends in (("train", True), ("train", False), ("test", True))
    )
    assert training.class_names == ("not class 2", "class 2")
    for made, ends in ((training, True), (lenient, False), (test, False)):
        made.reset()
        steps = 0
        for _ in range(200):
            label = made.truth[made.index[0, 0]]
            out = made.step(np.array([[0]]))
            steps += 1
            assert out.terminated[0, 0] == (ends and label == 1)
            assert out.truncated[0, 0] == (steps == len(made.pool) and not out.terminated[0, 0])
            expected = -1 if label else np.float32(0.1)
            assert out.reward[0, 0] == expected
            if out.terminated[0, 0] or out.truncated[0, 0]:
                steps = 0


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("Classify", {"split": "dev"}, "split must be train or validation or test, got 'dev'"),
        ("Classify", {"data": "digit"}, "no data set or file 'digit'. Did you mean 'digits'"),
        ("Classify", {"lanes": 0}, "lanes must be at least 1, got 0"),
        ("Classify", {"tries": 2}, "Classify has no option 'tries': it has reward_noise"),
        ("Classify", {"reward_noise": -1}, "reward_noise must be at least 0, got -1"),
        ("Classify", {"reward_noise": True}, "reward_noise must be a finite number, got True"),
        ("Classify", {"reward_scale": float("nan")}, "reward_scale must be a finite number"),
        ("Classify", {"label_noise": 1.5}, "label_noise must be from 0 to 1, got 1.5"),
        ("Classify", {"label_noise": "much"}, "label_noise must be a finite number, got 'much'"),
        ("Stream", {"length": 0}, "length must be at least 1, got 0"),
        ("Retry", {"tries": 1.5}, "tries must be a whole number, got 1.5"),
        ("Retry", {"tries": True}, "tries must be a whole number, got True"),
        ("Glimpse", {"glimpses": 0}, "glimpses must be at least 1, got 0"),
        ("Glimpse", {"window": 9}, "window must be from 1 to 8, got 9"),
        ("Glimpse", {"places": 0}, "places must be at least 1, got 0"),
        ("Glimpse", {"look": "around"}, "look must be 'agent' or 'random' or 'scan', got 'around'"),
        ("Glimpse", {"canvas": 1}, "canvas must be False or True, got 1"),
        ("Find", {"looks": 0}, "looks must be at least 1, got 0"),
        ("Find", {"clutter": -1}, "clutter must be at least 0, got -1"),
        ("Find", {"data": "breast-cancer"}, "Find needs images of at least 2x2, got 1x30"),
        ("Imbalanced", {"positive": 10}, "positive must be from 0 to 9, got 10"),
        ("Imbalanced", {"ratio": 2}, "ratio must be from 0 to 1, got 2"),
        ("Imbalanced", {"data": "large", "ratio": 1e-4}, "asks for 0 positives to 900 negatives, "
         "and large has 100 to train on: take a ratio from 0.0012 to 0.1111"),
        ("Imbalanced", {"data": "large", "ratio": 0.112}, "asks for 101 positives"),
        ("Imbalanced", {"end_on_error": None}, "end_on_error must be True or False, got None"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        VARIANTS[kind](**options)
    assert type(caught.value) is ValueError
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_that_are_not_there() -> None:
    made = Classify("toy", "test", (0,), 2)
    with pytest.raises(ValueError, match="no image 13: the test split of toy has 0 to 12"):
        made.begin(np.array([[0, 13]]))
    with pytest.raises(ValueError, match=r"index must have shape \(1, 2\), got \(2,\)"):
        made.begin(np.array([0, 1]))
    assert TOY.classes == 4
