"""A picture shows the state that its action was chosen in, and all of an image's saliency."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image

from rlbench.errors import UserError
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.policies.policy import Policy
from rlbench.video.drawing import CAPTION, HEAT, TITLE, Bounds, FilmPanel, _heat, draw
from rlbench.video.film import film
from rlbench.video.scene import Scene, pace


class Clock(gymnasium.Env[Any, Any]):
    """An episode of `length` steps, drawn in the shade of grey of its step."""

    observation_space: Any = spaces.Box(0, 1, (1,), np.float32)
    action_space: Any = spaces.Discrete(2)

    def __init__(self, length: int) -> None:
        self.length = length

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return np.zeros(1, np.float32), 1.0, self.t == self.length, False, {}

    def render(self) -> Any:
        return np.full((240, 300, 3), 40 * self.t, np.uint8)


class Still(Policy):
    def step(self, obs: Any, carry: Any, first: Any, deterministic: bool) -> Any:
        return np.zeros(obs.shape[:2], np.int64), None


def scene(seed: int, length: int) -> Scene:
    return Scene(Clock(length), Still([seed], ObsSpec(Clock.observation_space)), 100)


def test_pictures_are_of_the_state_before_the_step() -> None:
    """And a shorter episode shows its last one until the longer has ended."""
    ends: list[tuple[int, float]] = []
    scenes = [scene(0, 2), scene(1, 4)]
    pictures = list(
        film("x", scenes, [5], ended=lambda it: ends.append((it.policy.seeds[0], it.total)))
    )
    shades = [[np.asarray(each)[CAPTION + 9, x, 0] // 40 for x in (9, 320)] for each in pictures]
    assert shades == [[0, 0], [1, 1], [1, 2], [1, 3]]
    assert ends == [(0, 2.0), (1, 4.0)]


def test_saliency_is_drawn_to_its_last_row() -> None:
    image, strength = np.zeros((10, 10)), np.zeros((10, 10))
    strength[9] = 1.0
    drawn = np.asarray(_heat(image, strength, 240))
    red = (drawn == HEAT.astype(np.uint8)).all(-1)
    assert red.any(1).sum() == (240 - TITLE) // 10


def test_a_probability_of_one_fills_the_width() -> None:
    from rlbench.video.choices import ActionChoice

    picture = Image.new("RGB", (300, 240))
    widths = []
    for share in (0.25, 0.5):
        choice = ActionChoice("probability", np.array([share, 0.0]), frozenset({0}))
        drawn = np.asarray(draw(FilmPanel(picture, "", choice), Bounds()))
        blue = (drawn == (24, 104, 183)).all(-1)
        widths.append(blue.any(0).sum())
    assert abs(widths[1] - 2 * widths[0]) <= 2


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((4, 4, 3)), r"float64 \(4, 4, 3\), not uint8 of \(H, W, 3\)"),
        (np.zeros((4, 4), np.uint8), r"uint8 \(4, 4\), not"),
        (np.zeros((4, 4, 7), np.uint8), r"uint8 \(4, 4, 7\), not"),
        ([[1], [2, 3]], "list , not"),
        (None, "NoneType , not"),
    ],
)
def test_what_is_no_picture_is_refused(
    pixels: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "render", lambda _: pixels)
    with pytest.raises(UserError, match=said):
        scene(0, 2).picture()


def test_a_grey_picture_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "render", lambda _: np.full((4, 5, 1), 9, np.uint8))
    assert np.asarray(scene(0, 2).picture()).tolist() == [[9] * 5] * 4


@pytest.mark.parametrize(
    ("said", "used"),
    [(50, 50), (0.5, 0.5), (None, 30), ("fast", 30), (0, 30), (math.nan, 30), (-1, 30)],
)
def test_frames_per_second(said: Any, used: float) -> None:
    env = Clock(1)
    env.metadata = {"render_fps": said}
    assert pace(env) == used
