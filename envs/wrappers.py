"""Wrappers that hide information, two controls, and Atari preprocessing.

`WRAPPERS` has them by name. Their state is plain numbers, arrays and generators; none of them
changes a reward, or the random stream of the environment inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import AtariPreprocessing

# Components of the observation that are velocities, by id without version.
VELOCITIES = {
    "Acrobot": (4, 5),
    "CartPole": (1, 3),
    "LunarLander": (2, 3, 5),
    "LunarLanderContinuous": (2, 3, 5),
    "MountainCar": (1,),
    "MountainCarContinuous": (1,),
    "Pendulum": (2,),
}


class MaskVelocity(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Velocities replaced by 0, so that they must be inferred from positions over time."""

    def __init__(self, env: Any, indices: int | Sequence[int] | None = None) -> None:
        super().__init__(env)
        box = _box(env)
        if len(box.shape) != 1:
            raise ValueError(f"it needs a vector as observation, not shape {box.shape}")
        if indices is None:
            spec = env.unwrapped.spec
            name = type(env.unwrapped).__name__
            if spec:
                name = spec.id.removesuffix(f"-v{spec.version}")
            if name not in VELOCITIES:
                raise ValueError(
                    f"which of the {box.shape[0]} components of {name} are velocities? "
                    "Say it like mask-velocity:1,3"
                )
            indices = VELOCITIES[name]
        self.indices = [indices] if isinstance(indices, int | str) else list(indices)
        for index in self.indices:
            if type(index) is not int or not 0 <= index < box.shape[0]:
                raise ValueError(
                    f"indices go from 0 to {box.shape[0] - 1}, like mask-velocity:1, got {index!r}"
                )
        self.observation_space = _with_zero(box, self.indices)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        result = observation.copy()  # the environment may keep a reference
        result[self.indices] = 0
        return result


class Noisy(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Wrapper with its own random stream, seeded by the seed passed to `reset`."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.depth = 1  # so that two of them around one environment draw different numbers
        while isinstance(env, gymnasium.Wrapper):
            self.depth += isinstance(env, Noisy)
            env = env.env
        self.stream = np.random.default_rng()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            key = np.random.SeedSequence(seed, spawn_key=(self.depth,))
            self.stream = np.random.default_rng(key)
        return super().reset(seed=seed, options=options)


class BlankFrames(Noisy):
    """Observations that are zeros with some probability: flickering (Hausknecht & Stone 2015)."""

    def __init__(self, env: Any, probability: float = 0.5) -> None:
        super().__init__(env)
        number = isinstance(probability, int | float) and not isinstance(probability, bool)
        if not number or not 0 <= probability <= 1:
            raise ValueError(f"it needs a probability, like blank:0.5, got {probability!r}")
        self.probability = probability
        self.observation_space = _with_zero(_box(env), ...)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        blank = self.stream.random() < self.probability
        return np.zeros_like(observation) if blank else observation


class ShufflePixels(Noisy):
    """Observations with their pixels permuted at random: only the histogram is kept.

    A control: results here cannot come from shapes. Channels of a pixel stay together.
    """

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        shape = _box(env).shape
        if len(shape) not in (2, 3):
            raise ValueError(f"it needs an image as observation, not shape {shape}")
        self.first = len(shape) == 3 and not channels_last(shape)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        shape = observation.shape
        sides = shape[1:] if self.first else shape[:2]
        pixels = observation.reshape((shape[0], -1) if self.first else (-1, *shape[2:]))
        order = self.stream.permutation(int(np.prod(sides)))
        return np.take(pixels, order, axis=int(self.first)).reshape(shape)


class ImageMax(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Images of bytes with the largest value that they have, by which networks divide them.

    For Boxes that say 255 and hold symbols: those of MiniGrid go up to 10, and divided by 255 they
    are all nearly 0, so that nothing is learned from them in the usual time.
    """

    def __init__(self, env: Any, largest: int) -> None:
        super().__init__(env)
        if type(largest) is not int or not 1 <= largest <= 255:
            raise ValueError(f"it needs a number from 1 to 255, like image-max:10, got {largest!r}")
        if not _bytes(env.observation_space):
            raise ValueError(f"it needs images of bytes, not {env.observation_space}")
        self.observation_space = _bounded(env.observation_space, largest)


class TerminalLimit(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Time limits that terminate episodes, so that nothing is bootstrapped from there.

    A control: what libraries do that do not tell a limit from a failure (Pardo et al. 2018).
    """

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, bool(terminated or truncated), False, info


class Atari(AtariPreprocessing):
    """84 x 84 grey pixels, 4 frames per action, up to 30 no-ops at reset (Mnih et al. 2015).

    The defaults of Gymnasium's AtariPreprocessing; an episode is a whole game.
    """

    def __init__(self, env: Any) -> None:
        skip = getattr(env.unwrapped, "_frameskip", None)
        if skip is None:
            raise ValueError("it needs an Atari game, like ALE/Pong-v5")
        if skip != 1:
            raise ValueError(
                "the game skips frames itself: add --env-kwargs frameskip=1, or take an id like "
                "PongNoFrameskip-v4"
            )
        super().__init__(env)


WRAPPERS: dict[str, tuple[type[gymnasium.Wrapper[Any, Any, Any, Any]], str]] = {
    "atari": (Atari, "84x84 grey pixels, frame skip 4; the game itself must skip none"),
    "blank": (BlankFrames, "each observation is zeros with probability 0.5, or blank:P"),
    "image-max": (ImageMax, "images of bytes have values up to N, not 255: image-max:N"),
    "mask-velocity": (MaskVelocity, "velocities are 0: known ones, or mask-velocity:I,J,..."),
    "shuffle-pixels": (ShufflePixels, "pixels change places at each step; a control"),
    "terminal-limit": (TerminalLimit, "time limits end episodes as failures do; a control"),
}


def channels_last(shape: tuple[int, ...]) -> bool:
    """Return whether the channels are the last axis of an image of three axes.

    Height and width are the two equal axes; if none are, channels are the shorter outer axis.
    """
    if shape[0] == shape[1]:
        return True
    return shape[1] != shape[2] and shape[2] < shape[0]


def _box(env: Any) -> spaces.Box:
    if not isinstance(env.observation_space, spaces.Box):
        raise ValueError(f"it needs a Box as observation, not {env.observation_space}")
    return env.observation_space


def _bytes(space: Any) -> bool:
    """Return whether there is a Box of bytes in a space."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return any(map(_bytes, space.values() if isinstance(space, spaces.Dict) else space))
    return isinstance(space, spaces.Box) and space.dtype == np.uint8


def _bounded(space: Any, largest: int) -> Any:
    """Return a space whose Boxes of bytes end at `largest`."""
    if isinstance(space, spaces.Dict):
        return spaces.Dict({name: _bounded(part, largest) for name, part in space.items()})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([_bounded(part, largest) for part in space])
    if isinstance(space, spaces.Box) and space.dtype == np.uint8:
        low, high = (np.minimum(end, largest) for end in (space.low, space.high))
        return spaces.Box(low, high, dtype=np.uint8)
    return space


def _with_zero(box: spaces.Box, where: Any) -> spaces.Box:
    """Extend the bounds of a box to include 0 at some components."""
    low, high = box.low.copy(), box.high.copy()
    low[where], high[where] = np.minimum(low[where], 0), np.maximum(high[where], 0)
    return spaces.Box(low, high, dtype=box.dtype.type)
