"""Find: who knows where the image is gets 1, who stays in the middle what is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rlbench.envs.images.env import ImageEnv
from rlbench.envs.images.find import CELLS, MOVES, Find


def play(made: Find, moves: Any, answer: np.ndarray) -> Any:
    """Outcome of the answer after `moves` (steps, S, N) on the images that are shown."""
    for move in moves:
        assert not made.step(move).answered.any()
    return made.step(answer)


def towards(made: Find) -> np.ndarray:
    """Moves of all but the last look, straight to the images: (steps, S, N)."""
    cell, moves = made.cell.copy(), []
    place = (made.home[made.index] % np.uint64(CELLS**2)).astype(np.int64)
    home = np.stack(np.divmod(place, CELLS), -1)
    for _ in range(made.steps - 1):
        away = np.sign(home - cell)
        away[..., 1] *= away[..., 0] == 0  # rows first
        moves.append((away[..., None, :] == MOVES).all(-1).argmax(-1))
        cell += away
    assert (cell == home).all()
    return np.array(moves)


@pytest.mark.parametrize("looks", [5, 10])
def test_who_knows_the_place_and_the_class_gets_one(looks: int) -> None:
    """And -1 with another class, at the same place; what is seen in the end is the image."""
    made = Find("digits", "test", (0,), 359, looks=looks, clutter=0)
    for shift, reward in ((0, 1.0), (1, -1.0)):
        made.reset()
        truth, picture = made.truth[made.index], made.pictures[made.index]
        out = play(made, towards(made), (truth + shift) % 10)
        assert out.reward.tolist() == [[reward] * 359]
        assert (out.right == (shift == 0)).all()
        assert np.array_equal(out.next_obs["view"], picture)


def test_staying_in_the_middle_is_worth_what_is_said() -> None:
    """Exactly over all 25 places, and nearly over the images of a split; moving away is worth 0."""
    made = Find("digits", "train", (0,), 1079)
    made.reset()
    still = np.zeros((9, 1, 1079), np.int64)
    rewards = play(made, still, made.truth[made.index]).reward[0]
    assert rewards.mean() == pytest.approx(0.116, abs=4.5 * rewards.std() / np.sqrt(1079))
    place = (made.home % np.uint64(CELLS**2)).astype(np.int64)
    assert np.bincount(place, minlength=CELLS**2).min() > 20
    made.begin(np.arange(1079)[None])
    each = made.overlap()[0]
    values = [each[place == p].mean() for p in range(CELLS**2)]
    assert np.mean(values) == pytest.approx((1 + 4 / 3 + 4 / 7) / 25)


def test_canvases_have_clutter_and_do_not_depend_on_seeds() -> None:
    one, two = (Find("digits", "train", (seed,), 50) for seed in (1, 2))
    plain = Find("digits", "train", (1,), 50, clutter=0)
    for made in (one, two, plain):
        made.begin(np.arange(50)[None])
    assert one.canvas.shape == (1, 50, 24, 24, 1)
    assert np.array_equal(one.canvas, two.canvas)
    assert (one.canvas >= plain.canvas).all()
    assert (one.canvas > plain.canvas).sum() > 50 * 10
    assert np.array_equal(plain.canvas.sum((2, 3, 4)), one.pictures[:50].sum((1, 2, 3))[None])


def test_overlap_is_said_at_the_end_and_the_canvas_is_drawn() -> None:
    env = ImageEnv("Find", "digits", "test", render_mode="rgb_array")
    env.reset(seed=0)
    picture: Any = env.render()
    assert picture.shape == (216, 216, 3)
    assert np.array_equal(picture[4::9, 4::9], env.lane.scene()[0, 0].repeat(3, 2))
    assert (picture == [255, 64, 0]).all(2).sum() == 4 * 2 * (72 - 2)  # the window's frame
    overlaps, infos = set(), []
    for _ in range(60):
        for look in range(10):
            infos.append(env.step(0)[4])
            assert bool(infos[-1]) == (look == 9)
        overlaps.add(infos[-1]["overlap"])
        env.reset()
    assert overlaps == {100, 33, 14, 0}
