"""Axes of images, and numbers that float32 does not hold."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlbench import agents
from rlbench.agents import DQN, PPO
from rlbench.experiments.planning import plan
from rlbench.experiments.preflight import preflight
from rlbench.learning.data.normalization import Normalizer
from rlbench.learning.environments.lanes import EnvLanes
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.evaluation.episodes import evaluate

F64 = np.float64


def box(*shape: int, dtype: Any = np.uint8) -> spaces.Box:
    return spaces.Box(0, 255 if dtype == np.uint8 else 1, shape, dtype)


@pytest.mark.parametrize(
    ("shape", "channels", "image", "last"),
    [
        ((10, 10, 12), "auto", (12, 10, 10), True),
        ((12, 10, 10), "auto", (12, 10, 10), False),
        ((10, 10, 10), "auto", (10, 10, 10), True),
        ((16, 16, 20), "auto", (20, 16, 16), True),
        ((10, 10, 4), "auto", (4, 10, 10), True),
        ((10, 10, 7), "auto", (7, 10, 10), True),
        ((3, 64, 64), "auto", (3, 64, 64), False),
        ((64, 64, 3), "auto", (3, 64, 64), True),
        ((4, 84, 84), "auto", (4, 84, 84), False),
        ((84, 84, 4), "auto", (4, 84, 84), True),
        ((210, 160, 3), "auto", (3, 210, 160), True),
        ((3, 210, 160), "auto", (3, 210, 160), False),
        ((4, 84, 84, 3), "auto", (12, 84, 84), True),
        ((4, 10, 10, 12), "auto", (48, 10, 10), True),
        ((4, 3, 84, 84), "auto", (12, 84, 84), False),
        ((10, 10, 12), "first", (10, 10, 12), False),
        ((10, 10, 10), "first", (10, 10, 10), False),
        ((12, 10, 10), "last", (10, 12, 10), True),
        ((64, 64), "auto", (1, 64, 64), False),
    ],
)
def test_axes_of_images(
    shape: tuple[int, ...], channels: Any, image: tuple[int, int, int], last: bool
) -> None:
    """Which axis is which, alone and as a part of a Dict; and every pixel is where it belongs."""
    space = box(*shape)
    rng = np.random.default_rng(0)
    obs = rng.integers(0, 256, shape, dtype=np.uint8)
    for spec, seen in (
        (ObsSpec(space, channels=channels), obs),
        (
            ObsSpec(spaces.Dict(a=spaces.Discrete(2), b=space), channels=channels),
            {"a": 1, "b": obs},
        ),
    ):
        part = spec.parts[-1]
        assert (part.image, part.channels_last) == (image, last)
        stored = torch.from_numpy(np.asarray(spec.array(seen)).reshape(1, 1, *spec.shape))
        pixels = spec.picture(stored, part)[0, 0].numpy() * 255
        expected = np.moveaxis(obs, -1, -3) if last else obs
        np.testing.assert_allclose(pixels, expected.reshape(image), atol=1e-4)


class Bits(gymnasium.Env[Any, Any]):
    """The bit to answer is what one channel of the image shows; ten steps, so that 10 is best."""

    action_space = spaces.Discrete(2)

    def __init__(self, shape: tuple[int, ...] = (10, 10, 12)) -> None:
        self.shape, self.observation_space = shape, box(*shape)

    def seen(self) -> Any:
        self.bit = int(self.np_random.integers(2))
        obs = np.zeros(self.shape, np.uint8)
        obs[..., 3] = 255 * self.bit
        return obs

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        reward, self.t = float(action == self.bit), self.t + 1
        return self.seen(), reward, self.t >= 10, False, {}


def test_the_first_line_says_how_images_are_read() -> None:
    def said(**parameters: Any) -> str:
        env = "test_observation_spaces:Bits"
        return preflight(plan("dqn", env, [0], parameters={"buffer_size": 50, **parameters}))

    assert ", image 10x10, 12 channels, channels last" in said()
    assert ", image 10x12, 10 channels, channels first" in said(channels="first")
    assert ", image 10x10, 12 channels, 3 frames, channels last" in said(frame_stack=3)
    assert "channels" not in said(encoder="mlp")


class Shape(torch.nn.Module):
    """Remembers what it was given."""

    given: list[Any] = []

    def __init__(self, space: Any) -> None:
        super().__init__()
        self.given.append(space.shape)
        self.layer = torch.nn.Linear(int(np.prod(space.shape)), 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.given.append(tuple(x.shape[1:]))
        return self.layer(x.flatten(1))


def test_modules_policies_and_saved_agents_read_as_they_were_told(tmp_path: Path) -> None:
    choices: list[tuple[Literal["auto", "first"], tuple[int, ...]]]
    choices = [("auto", (12, 10, 10)), ("first", (10, 10, 12))]
    for channels, shape in choices:
        Shape.given.clear()
        agent = DQN(Bits, channels=channels, encoder=Shape, buffer_size=50, device="cpu")
        obs = np.random.default_rng(0).integers(0, 256, (10, 10, 12), dtype=np.uint8)
        file = agent.save(tmp_path / "agent.npz", replay=False)
        loaded = DQN.load(file, trust=True)
        assert loaded.spec.parts[0].image == shape
        assert agent.predict(obs, deterministic=True) == loaded.predict(obs, deterministic=True)
        assert set(Shape.given) == {shape}


@pytest.mark.parametrize("shape", [(10, 10, 12), (10, 10, 10), (12, 11, 10)])
@pytest.mark.parametrize("channels", ["auto", "first", "last"])
def test_peers_read_images_as_ours_do(shape: tuple[int, ...], channels: Any) -> None:
    """Their convolutions see the same pixels in training and in evaluation, ours' reading."""
    from stable_baselines3.common.vec_env import DummyVecEnv

    from rlbench.peers.sb3 import networks

    config: Any = agents.SB3DQN.Config.build("sb3-dqn", {"channels": channels, "cnn": "small"})
    spec = ObsSpec.of(box(*shape), config)
    if spec.parts[0].image is None:
        return
    env = networks.channels_first(DummyVecEnv([partial(Bits, shape)]), spec, config)
    assert env.observation_space.shape == spec.parts[0].image
    env.seed(3)
    training = env.reset()
    raw = Bits(shape).reset(seed=3)[0][None]

    class Library:
        def predict(self, obs: Any, *_: Any) -> Any:
            return obs, None

    seen = networks.ObservationAwarePolicy(Library(), {}, networks.turned(spec, config)).predict(
        raw
    )[0]
    np.testing.assert_array_equal(seen, training)
    own = spec.picture(torch.from_numpy(raw[None]), spec.parts[0])[0].numpy() * 255
    np.testing.assert_allclose(own, training, atol=1e-4)


class Offset(Bits):
    """A number around 1.7e9 whose last bit names the right action."""

    def __init__(self, dtype: Any = F64, nested: bool = False) -> None:
        low, high = (-np.inf, np.inf) if dtype == F64 else (0, 2**40)
        self.number = spaces.Box(low, high, (1,), dtype)
        self.observation_space = spaces.Dict(n=self.number) if nested else self.number

    def seen(self) -> Any:
        self.bit = int(self.np_random.integers(2))
        obs = np.array([1_700_000_000 + self.bit], self.number.dtype)
        return obs if self.observation_space is self.number else {"n": obs}


PPO_SHORT: dict[str, Any] = {
    "n_steps": 64, "batch_size": 64, "n_epochs": 8, "learning_rate": 3e-3, "net_arch": 16,
}  # fmt: skip
DQN_SHORT: dict[str, Any] = {
    "learning_starts": 100, "batch_size": 32, "train_freq": 2, "learning_rate": 3e-3,
    "net_arch": 16, "buffer_size": 5000, "gamma": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("cls", "parameters", "make"),
    [
        (PPO, {**PPO_SHORT, "gamma": 0.0}, Offset),
        (DQN, DQN_SHORT, Offset),
        (DQN, {**DQN_SHORT, "frame_stack": 2}, partial(Offset, np.int64, nested=True)),
    ],
)
def test_large_numbers_are_normalised_before_they_are_cut(
    cls: Any, parameters: Any, make: Any
) -> None:
    """The optimum of 10 is reached, in the sealed evaluation and by what was saved."""
    agent = cls(make, normalize_obs=True, device="cpu", **parameters)
    agent.learn(1500)
    scores = [s.ret for s in evaluate(agent.policy(), make, "final", 10) if s]
    assert scores == [10.0] * 10


def test_without_normalising_they_are_cut_as_before() -> None:
    """Negative control: chance is 5."""
    agent = PPO(Offset, device="cpu", gamma=0.0, **PPO_SHORT)
    agent.learn(500)
    scores = [s.ret for s in evaluate(agent.policy(), Offset, "final", 20) if s]
    assert 3 < np.mean(scores) < 7


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.float32, np.int16])
def test_normalised_is_what_float64_says(dtype: Any) -> None:
    """Arrays and tensors, against float64 arithmetic; what float32 holds is kept in float32."""
    space = spaces.Box(-1000, 1000, (3,), dtype)
    spec = ObsSpec(space, exact=True)
    wide = dtype in (np.float64, np.int64)
    assert spec.raw == (F64 if wide else np.float32)
    rng = np.random.default_rng(0)
    obs = (rng.standard_normal((2, 50, 3)) * 100).astype(dtype)
    normalizer = Normalizer(2, spec)
    normalizer.update(obs.astype(spec.raw))
    mean = obs.astype(F64).mean(1, keepdims=True)
    expected = (obs - mean) / np.sqrt(obs.astype(F64).var(1, keepdims=True) + 1e-8)
    for seen in (
        normalizer.array(obs.astype(spec.raw)),
        normalizer.tensor(torch.from_numpy(obs.astype(spec.raw)), 2).numpy(),
    ):
        assert seen.dtype == np.float32
        np.testing.assert_allclose(seen, expected, atol=1e-6 if wide else 1e-4)


def test_lanes_and_policies_of_others_have_exact_numbers() -> None:
    spec = ObsSpec(Offset().observation_space, exact=True)
    lanes = EnvLanes(Offset, (0,), 2, spec)
    obs = lanes.reset()
    assert obs.dtype == F64
    assert set((obs - 1_700_000_000).ravel()) <= {0.0, 1.0}
    assert EnvLanes(Offset, (0,)).reset().dtype == np.float32
