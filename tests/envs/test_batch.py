"""Batches of image environments: what plain Python says, row by row, and from any state on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_oracle import CASES, NOISE_OPTIONS, TOY, Naive, batch, case_id, known, lane_of, same
from scipy.stats import chisquare, kstest

from rlbench.envs.images import batch as batch_module
from rlbench.envs.images.classify import Classify, Retry, Stream
from rlbench.envs.images.rng import BLOCK, ImageStream, Passes
from rlbench.learning import checkpoint

Case = tuple[str, dict[str, Any]]
every_case = pytest.mark.parametrize("case", CASES, ids=case_id)


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "load", known)


def guesses(made: batch_module.ImageBatch, steps: int) -> np.ndarray:
    """(steps, S, N) actions."""
    shape = (steps, len(made.streams), made.lanes)
    return np.random.default_rng(steps).integers(int(made.action_space.n), size=shape)


def helped(made: batch_module.ImageBatch, action: np.ndarray) -> np.ndarray:
    """The action, and the right one where it is even: some guesses are right in every variant."""
    return np.where(action % 2 == 0, made.truth[made.index], action)


def play(made: batch_module.ImageBatch, actions: np.ndarray) -> list[Any]:
    """Outcomes and counts of images of a batch that has been reset."""
    return [(made.step(helped(made, action)), made.images) for action in actions]


def rows_of(played: list[Any], rows: Any) -> list[Any]:
    return [(tuple(lane_of(part, rows) for part in out), seen[rows]) for out, seen in played]


@every_case
@pytest.mark.parametrize(
    ("split", "rows", "noise"),
    [
        ("train", 1, NOISE_OPTIONS),
        ("train", 5, {}),
        ("train", 5, NOISE_OPTIONS),
        ("validation", 5, NOISE_OPTIONS),
    ],
)
def test_a_batch_is_what_plain_python_says(
    case: Case, split: str, rows: int, noise: dict[str, Any]
) -> None:
    """Everything that is returned, with its dtype, over several passes, through resets."""
    seeds, ends = [10 + row for row in range(rows)], 0
    made = batch(case, "toy", split, seeds, 3, **noise)
    naive = [Naive(made, seed, **case[1], **noise) for seed in seeds]
    for start, count in (("reset", 97), ("reset", 45), ("begin", 20)):
        index = np.random.default_rng(1).integers(11, size=(rows, 3))
        obs = made.reset() if start == "reset" else made.begin(index)
        for r, row in enumerate(naive):
            first = row.reset(index[r].tolist() if start == "begin" else None)
            assert all(same(lane_of(obs, r, lane), first[lane]) for lane in range(3))
        for action in guesses(made, count):
            action = helped(made, action)
            out = made.step(action)
            for r, row in enumerate(naive):
                for lane, expected in enumerate(row.step(action[r].tolist())):
                    assert same(tuple(lane_of(part, r, lane) for part in out[1:]), expected)
                    assert same(lane_of(out.obs, r, lane), row.observe(lane))
                assert made.index[r].tolist() == row.image
            ends += int((out.terminated | out.truncated).sum())
    assert ends > 3 * rows


@every_case
def test_a_row_does_not_know_of_others(case: Case) -> None:
    """Row r of five is the same row alone, bit for bit; another seed is another row."""
    seeds = [3, 1, 4, 15, 9]
    together = batch(case, "digits", "train", seeds, 4, **NOISE_OPTIONS)
    first, actions = together.reset(), guesses(together, 300)
    everyone = play(together, actions)
    for row, seed in enumerate(seeds):
        alone = batch(case, "digits", "train", [seed], 4, **NOISE_OPTIONS)
        assert same(lane_of(alone.reset(), 0), lane_of(first, row))
        assert same(rows_of(play(alone, actions[:, [row]]), 0), rows_of(everyone, row))
    alone.reset([2])
    assert not same(rows_of(play(alone, actions[:, [0]]), 0), rows_of(everyone, 0))
    alone.reset([seeds[0]])
    assert same(rows_of(play(alone, actions[:, [0]]), 0), rows_of(everyone, 0))


@every_case
def test_going_on_with_some_rows(case: Case) -> None:
    made, fewer = (batch(case, "toy", "train", [5, 6, 7, 8], 3, **NOISE_OPTIONS) for _ in "ab")
    actions = guesses(made, 400)
    for one in (made, fewer):
        one.reset()
        play(one, actions[:133])
    fewer.keep_seeds([3, 1])
    assert fewer.streams == (8, 6)
    assert same(fewer.obs, lane_of(made.obs, [3, 1]))
    expected = rows_of(play(made, actions[133:]), [3, 1])
    assert same(rows_of(play(fewer, actions[133:, [3, 1]]), [0, 1]), expected)


@every_case
@pytest.mark.parametrize("steps", [0, 256, 301])
def test_going_on_from_a_file(case: Case, steps: int, tmp_path: Path) -> None:
    """Within episodes and at the borders of blocks: all rows, and some of them."""
    made = batch(case, "toy", "train", [5, 6, 7], 3, **NOISE_OPTIONS)
    actions = guesses(made, steps + 290)
    made.reset()
    play(made, actions[:steps])
    checkpoint.save(tmp_path / "state.npz", made.state())
    state, obs = checkpoint.load(tmp_path / "state.npz"), made.obs
    expected = play(made, actions[steps:])

    other = batch(case, "toy", "train", [1, 2, 3], 3, **NOISE_OPTIONS)
    other.reset()
    assert not same(play(other, actions[steps:]), expected)
    other.restore(state)
    assert same(other.obs, obs)
    assert same(play(other, actions[steps:]), expected)
    other.restore(checkpoint.select(state, [2, 0]))
    assert same(rows_of(play(other, actions[steps:, [2, 0]]), [0, 1]), rows_of(expected, [2, 0]))


@every_case
def test_what_was_handed_out_stays_as_it_was(case: Case) -> None:
    """A replay may hold on to every array; and none of them is the data set's memory."""
    made = batch(case, "toy", "train", [5, 6], 3)
    handed = [made.reset()]
    for action in guesses(made, 30):
        out = made.step(action)
        handed += [out.obs, out.next_obs]
    copies = [
        {k: v.copy() for k, v in o.items()} if isinstance(o, dict) else o.copy() for o in handed
    ]
    play(made, guesses(made, 100))
    assert same(handed, copies)
    for obs in handed:
        for part in obs.values() if isinstance(obs, dict) else [obs]:
            assert not np.shares_memory(part, made.pictures)


def test_nothing_is_copied_that_need_not_be() -> None:
    zeros = np.zeros((2, 3), np.int64)
    classify, stream, retry = (
        kind("toy", "train", [1, 2], 3) for kind in (Classify, Stream, Retry)
    )
    first = classify.reset()
    assert classify.step(zeros).next_obs is first
    stream.reset()
    out = stream.step(zeros)
    assert out.next_obs is out.obs
    retry.reset()
    image = retry.obs["image"]
    wrong = (retry.truth[retry.index] + 1) % 4
    out = retry.step(wrong)
    assert out.next_obs is out.obs
    assert out.obs["image"] is image
    for part in (classify.pictures, classify.labels):
        assert part is TOY.splits["train"].images or part is TOY.splits["train"].labels


@pytest.mark.parametrize("lanes", [1, 3, 41, 100])
def test_a_pass_shows_every_image_once(lanes: int) -> None:
    """Whole passes, in an order of their own for each row and pass; other splits in their order."""
    for split, size in (("train", 41), ("validation", 11), ("test", 13)):
        made = Classify("toy", split, [1, 2], lanes)
        made.reset()
        shown = [made.index]
        while made.images[0] < 5 * size:
            made.step(np.zeros((2, lanes), np.int64))
            shown.append(made.index)
        assert made.images.tolist() == [lanes * len(shown)] * 2
        passes = np.concatenate(shown, 1)[:, : 5 * size].reshape(10, size)
        assert np.array_equal(np.sort(passes, 1), np.tile(np.arange(size), (10, 1)))
        orders = len({tuple(order) for order in passes.tolist()})
        assert orders == (10 if split == "train" else 1)
        if split != "train":
            assert np.array_equal(passes[0], np.arange(size))


def test_orders_are_uniform() -> None:
    """All 24 orders of four images are as likely, from stream to stream and from pass to pass."""
    for many, few in ((4800, 1), (1, 4800)):
        passes = Passes(range(many), np.arange(4), True)
        taken = [passes.take(np.ones((many, 4), bool)).reshape(many, 4) for _ in range(few)]
        codes = np.concatenate(taken) @ [64, 16, 4, 1]
        found, counts = np.unique(codes, return_counts=True)
        assert len(found) == 24
        assert chisquare(counts).pvalue > 1e-4


def test_numbers_are_what_they_are_said_to_be() -> None:
    """Over the border of a block: normal and uniform, and no number comes again."""
    draws = ImageStream([1, 2], 5)
    steps = 2 * BLOCK + 10
    normal = np.stack([draws.normal() for _ in range(steps)])
    looks = np.stack([draws.below(9) for _ in range(steps)])
    assert len(np.unique(normal)) > 0.99 * normal.size  # float32 has equal ones at times
    assert kstest(normal.ravel(), "norm").pvalue > 1e-4
    assert chisquare(np.bincount(looks.ravel())).pvalue > 1e-4
    assert abs(np.corrcoef(normal[:, 0].ravel(), normal[:, 1].ravel())[0, 1]) < 0.1
    assert draws.counts == {"noise": steps, "look": steps}
