"""One policy in one environment that draws itself: episodes, and a picture of each step."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rlbench.errors import UserError
from rlbench.learning.environments.make import env_factory
from rlbench.learning.environments.masks import ActionMask
from rlbench.user_code.calls import UserCodeError, guarded

if TYPE_CHECKING:
    from PIL.Image import Image

    from rlbench.learning.policies.policy import Policy

T = TypeVar("T")
FRAMES_PER_SECOND = 30.0  # of an environment that does not say


def has_display() -> bool:
    """Return whether there is a screen for a window."""
    linux = sys.platform.startswith("linux")
    return not linux or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def draw_without_display() -> None:
    """Let pygame and MuJoCo draw to memory, unless the user chose how."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    if not has_display():
        os.environ.setdefault("MUJOCO_GL", "egl")


def drawn_environment(env: str, kwargs: dict[str, Any], mode: str = "rgb_array") -> Any:
    """Make an environment in a render mode.

    Raises:
        UserError: It cannot be drawn in that mode.
    """
    try:
        made = env_factory(env, {**kwargs, "render_mode": mode})()
    except UserError as error:
        raise UserError(f"{env} cannot be drawn: {error}") from None
    if made.render_mode != mode:
        made.close()
        raise UserError(f"{env} cannot be drawn: its render_mode is {made.render_mode}")
    return made


def pace(env: Any) -> float:
    """Return the frames per second at which an environment is shown."""
    try:
        said = float(env.metadata.get("render_fps"))
    except (TypeError, ValueError):
        return FRAMES_PER_SECOND
    return said if 0.1 <= said <= 1_000 else FRAMES_PER_SECOND


class Scene:
    """An episode that is played step by step; `total` and `length` are its return and steps."""

    def __init__(self, env: Any, policy: Policy, limit: int) -> None:
        """Take a policy of one seed, and the steps after which an episode is cut."""
        masked = policy is not None and policy.spec.mask is not None
        self.env = ActionMask(env) if masked else env
        self.policy, self.limit = policy, limit
        self.action: Any = None
        self.over = True

    def begin(self, reset_seed: int) -> None:
        """Begin an episode."""
        self._obs, _ = _called(self.env.reset, seed=reset_seed)
        self._state, self._start = None, True
        self.total, self.length, self.over = 0.0, 0, False

    def step(self) -> None:
        """Act once."""
        policy = self.policy
        self.action, self._state = policy.predict(
            self._obs, self._state, self._start, deterministic=policy.deterministic
        )
        self._obs, reward, terminated, truncated, _ = _called(self.env.step, self.action)
        self._start = False
        self.total, self.length = self.total + float(reward), self.length + 1
        self.over = bool(terminated or truncated or self.length >= self.limit)

    def picture(self) -> Image:
        """Draw the environment as it is now.

        Raises:
            UserError: It returns no picture.
        """
        from PIL.Image import fromarray

        pixels = _called(self.env.render)
        what = f"{getattr(pixels, 'dtype', type(pixels).__name__)} {getattr(pixels, 'shape', '')}"
        if getattr(pixels, "dtype", None) != np.uint8 or pixels.ndim != 3:
            raise UserError(f"{self.env}: render() returned {what}, not uint8 of (H, W, 3)")
        try:
            return fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        except (TypeError, ValueError):
            raise UserError(
                f"{self.env}: render() returned {what}, not uint8 of (H, W, 3)"
            ) from None


def _called(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call the environment; what it raises becomes a UserError."""
    try:
        return guarded(function, *args, **kwargs)
    except UserCodeError as error:
        raise UserError(f"the environment fails in {function.__name__}: {error.reason()}") from None
