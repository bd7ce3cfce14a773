"""Glimpse: what is seen through the window, where it may be, and who moves it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from image_oracle import TOY, known, made, same
from scipy.stats import chisquare

from rlbench.envs.images import batch as batch_module
from rlbench.envs.images.env import ImageEnv
from rlbench.envs.images.glimpse import Glimpse

WIDE = made("wide", (5, 12, 1), 3, 20, 10, 10)


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "load", lambda data: WIDE if data == "wide" else known(data))


def looked(batch: Glimpse, actions: Any) -> list[np.ndarray]:
    """Windows (S, N, 2) of an episode from its first look on."""
    windows = [batch.windows]
    for action in actions:
        batch.step(np.full(batch.index.shape, action))
        windows.append(batch.windows)
    return windows


@pytest.mark.parametrize(
    ("data", "options", "window", "tops", "lefts", "actions"),
    [
        ("large", {}, 8, [0, 7, 13, 20], [0, 7, 13, 20], 16),
        ("digits", {}, 3, [0, 2, 5], [0, 2, 5], 10),
        ("toy", {}, 2, [0, 1, 2, 3, 4], [0, 2, 4, 5, 7], 25),
        ("wide", {"places": 2}, 2, [0, 3], [0, 10], 4),
        ("wide", {"places": 1, "window": 5}, 5, [0], [4], 3),
        ("large", {"window": 14}, 14, [0, 14], [0, 14], 10),
        ("large", {"window": 28, "places": 2}, 28, [0, 0], [0, 0], 10),
    ],
)
def test_where_the_window_may_be(
    data: str, options: dict[str, Any], window: int, tops: Any, lefts: Any, actions: int
) -> None:
    batch = Glimpse(data, **options)
    assert batch.window == window
    assert batch.corners.tolist() == [[top, left] for top in tops for left in lefts]
    assert batch.action_space.n == actions
    assert batch.where.shape == batch.corners.shape
    assert np.abs(batch.where).max() <= 1
    if tops[-1]:
        assert np.array_equal(batch.where[[0, -1]], [[-1, -1], [1, 1]])
    if "window" not in options and "places" not in options:  # the whole image can be seen
        seen = np.zeros(batch.data.shape[:2], bool)
        for top, left in batch.corners:
            seen[top : top + window, left : left + window] = True
        assert seen.all()


def test_an_episode_by_hand() -> None:
    """Look at the corners one after the other, then answer: windows, clock, place and reward."""
    batch = Glimpse("digits", "test", (0,), 1, glimpses=4)
    obs = batch.begin(np.array([[7]]))
    image, label = batch.pictures[7], batch.truth[7]
    for time, (action, top, left) in enumerate([(0, 0, 0), (2, 0, 5), (6, 5, 0)]):
        assert obs["clock"][0, 0] == np.float32((time + 1) / 4)
        out = batch.step(np.array([[action]]))
        obs = out.obs
        assert np.array_equal(obs["glimpse"][0, 0], image[top : top + 3, left : left + 3])
        assert np.array_equal(obs["place"][0, 0], [2 * top / 5 - 1, 2 * left / 5 - 1])
        assert (out.reward[0, 0], out.terminated[0, 0], out.answered[0, 0]) == (0, False, False)
        assert out.label[0, 0] == label
        assert out.next_obs is obs
    out = batch.step(np.array([[label]]))
    assert (out.reward[0, 0], out.terminated[0, 0], out.right[0, 0]) == (1, True, True)
    assert out.next_obs is obs
    assert obs["clock"][0, 0] == 1
    assert out.obs["clock"][0, 0] == np.float32(0.25)


def test_looks_count_modulo_places_and_answers_do_not() -> None:
    """Digits have 9 places and 10 classes, large images 16 places: an answer 15 is just wrong."""
    batch = Glimpse("digits", lanes=2, glimpses=2)
    batch.reset()
    out = batch.step(np.array([[0, 9]]))
    assert np.array_equal(out.obs["place"][0, 0], out.obs["place"][0, 1])
    four = Glimpse("large", lanes=10, places=2)
    four.reset()
    four.step(np.arange(10)[None])
    assert four.place[0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    batch = Glimpse("large", "test", lanes=10, glimpses=1)
    batch.begin(np.arange(10)[None])
    out = batch.step(batch.truth[None] + 10)
    assert (out.reward == -1).all()
    assert not out.right.any()


def test_first_looks_are_uniform_and_the_rows_own() -> None:
    batch = Glimpse("toy", "train", (1, 2), 50, glimpses=1)
    batch.reset()
    places = []
    for _ in range(300):
        places.append(batch.place)
        batch.step(np.zeros((2, 50), np.int64))
    counts = np.bincount(np.ravel(places), minlength=25)
    assert chisquare(counts).pvalue > 1e-4
    assert not np.array_equal(places[0][0], places[0][1])


@pytest.mark.parametrize("look", ["agent", "random", "scan"])
def test_who_moves_the_window(look: str) -> None:
    """Random looks and the scan are the same whatever the agent wants; its own are not."""
    seen = []
    for wanted in ([0, 1, 2], [5, 5, 5]):
        batch = Glimpse("toy", "train", (3, 4), 20, look=look)
        batch.reset()
        seen.append(looked(batch, wanted))
    first, others = [windows[0] for windows in seen], [windows[1:] for windows in seen]
    assert np.array_equal(first[0], first[1])
    assert same(others[0], others[1]) == (look != "agent")
    if look == "agent":
        assert same(others[0], [np.broadcast_to(batch.corners[p], (2, 20, 2)) for p in (0, 1, 2)])
    if look == "random":
        assert len(np.unique(np.reshape(others[0], (-1, 2)), axis=0)) > 15


def test_the_scan_goes_from_the_centre_outwards() -> None:
    batch = Glimpse("digits", look="scan", glimpses=12)
    batch.reset()
    windows = np.array(looked(batch, [0] * 11))[:, 0, 0].tolist()
    near = [[0, 2], [2, 0], [2, 5], [5, 2]]
    assert windows[0] == [2, 2]
    assert windows[1:5] == near
    assert windows[5:9] == [[0, 0], [0, 5], [5, 0], [5, 5]]
    assert windows[9:] == windows[:3]  # and once more
    large = Glimpse("large", look="scan", glimpses=16)
    large.reset()
    windows = np.array(looked(large, [0] * 15))[:, 0, 0]
    assert len(np.unique(windows, axis=0)) == 16
    distance = np.square(np.searchsorted([0, 7, 13, 20], windows) - 1.5).sum(-1)
    assert (np.diff(distance) >= 0).all()


@pytest.mark.parametrize("look", ["agent", "random"])
def test_evaluation_is_fixed_by_the_image(look: str) -> None:
    """Whatever the streams, the lane and the order; but images differ."""
    one = Glimpse("digits", "test", (0,), 100, look=look)
    other = Glimpse("digits", "test", (8, 9), 50, look=look)
    one.begin(np.arange(100)[None])
    paths = np.array(looked(one, [0, 1, 2]))[:, 0]
    other.reset()
    other.begin(np.arange(100)[::-1].reshape(2, 50))
    mirrored = np.array(looked(other, [0, 1, 2])).reshape(4, 100, 2)[:, ::-1]
    assert np.array_equal(paths, mirrored)
    assert len(np.unique(paths[0], axis=0)) == 9
    assert len(np.unique(paths[3], axis=0)) == (9 if look == "random" else 1)
    shown = Glimpse("digits", "test").shown
    assert shown is not None
    counts = np.bincount(shown.ravel(), minlength=9)
    assert chisquare(counts).pvalue > 1e-4


def test_the_canvas_remembers() -> None:
    """It grows within an episode by exactly the windows, and is blank at the start of another."""
    batch = Glimpse("toy", "test", (0,), 3, canvas=True, window=3, places=3)
    plain = Glimpse("toy", "test", (0,), 3, window=3, places=3)
    obs, glimpse = batch.begin(np.array([[1, 2, 3]])), plain.begin(np.array([[1, 2, 3]]))
    assert batch.observation_space.shape == (6, 9, 4)
    expected = np.zeros((3, 6, 9, 4), np.uint8)
    for action in (0, 4, 4, 1):
        for lane, (top, left) in enumerate(plain.windows[0]):
            assert np.array_equal(batch.windows[0, lane], [top, left])
            expected[lane, top : top + 3, left : left + 3, :3] = glimpse["glimpse"][0, lane]
            expected[lane, top : top + 3, left : left + 3, 3] = 255
        assert np.array_equal(obs[0], expected)
        if action != 1:
            obs, glimpse = (b.step(np.full((1, 3), action)).obs for b in (batch, plain))
    out = batch.step(np.ones((1, 3), np.int64))
    assert np.array_equal(out.next_obs[0], expected)
    assert (out.obs[..., 3] == 255).sum() == 3 * 9
    whole = Glimpse("toy", "test", (0,), 5, canvas=True, window=3, look="scan", glimpses=9)
    obs = whole.begin(np.arange(5)[None])
    for _ in range(8):
        obs = whole.step(np.zeros((1, 5), np.int64)).obs
    assert np.array_equal(obs[0, ..., :3], TOY.splits["test"].images[:5])


def test_windows_of_all_lanes_are_known() -> None:
    batch = Glimpse("digits", "train", (1, 2, 3), 4)
    assert batch.windows.shape == (3, 4, 2)  # already before the first reset
    batch.reset()
    batch.keep_seeds([2])
    assert batch.windows.shape == (1, 4, 2)


def test_the_window_is_marked_in_pictures() -> None:
    env = ImageEnv("Glimpse", "digits", "test", render_mode="rgb_array")
    env.reset(options={"index": 3})
    env.step(8)
    picture: Any = env.render()
    marked = (picture == [255, 64, 0]).all(-1)
    expected = np.zeros((224, 224), bool)
    expected[140:224, 140:224] = True
    expected[147:217, 147:217] = False
    assert np.array_equal(marked, expected)
    assert np.array_equal(picture[14::28, 14::28, :1], env.lane.pictures[3])
    env.step(0)
    env.step(0)
    before = env.render()
    env.step(1)
    assert np.array_equal(env.render(), before)  # what was seen in the end
