"""Wrappers take away what they say, as often as they say, and nothing else."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from probes import Mixed, Noise, Opaque, Seen
from scipy.stats import binomtest, chisquare
from stepping import go_on

from rlbench.envs.wrappers import (
    VELOCITIES,
    BlankFrames,
    ImageMax,
    MaskVelocity,
    ShufflePixels,
    channels_last,
)
from rlbench.learning.environments import snapshot
from rlbench.learning.environments.make import env_factory
from rlbench.learning.environments.spaces import _channels_last

# Where each keeps its velocities, read from its own state.
CLASSIC: dict[str, Any] = {
    "Acrobot-v1": lambda env: env.state[2:],
    "CartPole-v1": lambda env: np.array(env.state)[[1, 3]],
    "MountainCar-v0": lambda env: env.state[1:],
    "MountainCarContinuous-v0": lambda env: env.state[1:],
    "Pendulum-v1": lambda env: env.state[1:],
}


def watch(name: str, steps: int, seed: int = 0) -> list[np.ndarray]:
    """Observations under actions that depend on nothing that a wrapper does."""
    env, space = env_factory(name)(), env_factory(name)().action_space
    space.seed(0)
    seen = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        obs, _, terminated, truncated, _ = env.step(space.sample())
        seen.append(env.reset()[0] if terminated or truncated else obs)
    return seen


@pytest.mark.parametrize("name", CLASSIC)
def test_velocities_are_masked_and_nothing_else(name: str) -> None:
    plain, masked = np.array(watch(name, 200)), np.array(watch(f"{name}+mask-velocity", 200))
    speeds = list(VELOCITIES[name.rpartition("-v")[0]])
    rest = [i for i in range(plain.shape[1]) if i not in speeds]
    assert np.all(masked[:, speeds] == 0)
    assert np.all(plain[1:, speeds].any(0))  # they were not 0 before
    assert np.array_equal(masked[:, rest], plain[:, rest])
    env = gymnasium.make(name)
    obs, _ = env.reset(seed=1)
    assert np.allclose(obs[speeds], CLASSIC[name](env.unwrapped))


def test_lunar_lander_hides_how_it_moves() -> None:
    """Positions are integrals of what is masked: x, y and angle change by a multiple of it."""
    pytest.importorskip("Box2D")
    plain, masked = np.array(watch("LunarLander-v3", 60)), watch("LunarLander-v3+mask-velocity", 60)
    for place, speed in ((0, 2), (1, 3), (4, 5)):
        assert np.corrcoef(np.diff(plain[:, place]), plain[1:, speed])[0, 1] > 0.95
        assert np.all(np.array(masked)[:, speed] == 0)
        assert np.array_equal(np.array(masked)[:, place], plain[:, place])


def test_the_environment_keeps_its_own_observation() -> None:
    """What is masked is a copy: an environment may go on computing with what it handed out."""
    env = MaskVelocity(Seen(), 0)
    obs, _ = env.reset(seed=0)
    assert obs[0] == 0
    assert abs(env.unwrapped.obs[0]) == 1  # type: ignore[attr-defined]


def test_indices_of_ones_own() -> None:
    obs, _ = MaskVelocity(Noise(4), [0, 2]).reset(seed=0)
    assert np.flatnonzero(obs).tolist() == [1, 3]
    pair, _ = env_factory("probes:Noise+mask-velocity:0,2")().reset(seed=0)
    assert np.array_equal(obs, pair)


def test_zero_is_in_the_space() -> None:
    class Warm(Noise):
        def __init__(self) -> None:
            super().__init__(2)
            self.observation_space = spaces.Box(1.0, 2.0, (2,), np.float32)

    def bounds(env: Any) -> list[Any]:
        return [env.observation_space.low.tolist(), env.observation_space.high.tolist()]

    assert bounds(MaskVelocity(Warm(), [1])) == [[1, 0], [2, 2]]
    assert bounds(BlankFrames(Warm())) == [[0, 0], [2, 2]]
    assert bounds(Warm()) == [[1, 1], [2, 2]]


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.5, 1.0])
def test_frames_are_blank_as_often_as_said(chance: float) -> None:
    """And the others are what they would have been."""
    name = "rlbench/Catch-v0"
    plain, flicker = watch(name, 2000), watch(f"{name}+blank:{chance}", 2000)
    blank = [not frame.any() for frame in flicker]
    assert binomtest(sum(blank), len(blank), chance).pvalue > 1e-5
    assert all(
        gone or np.array_equal(a, b) for a, b, gone in zip(plain, flicker, blank, strict=True)
    )
    first = [not env_factory(name + "+blank")().reset(seed=k)[0].any() for k in range(60)]
    assert binomtest(sum(first), 60, 0.5).pvalue > 1e-5  # the first frame of an episode is one


def test_blank_frames_are_independent() -> None:
    """Of the one before, and of a second wrapper of the kind, whose stream is its own."""
    blank = np.array([not obs.any() for obs in watch("rlbench/Catch-v0+blank", 3000)])
    assert binomtest(int((blank[1:] & blank[:-1]).sum()), 3000, 0.25).pvalue > 1e-5
    twice = [not obs.any() for obs in watch("rlbench/Catch-v0+blank+blank", 3000)]
    assert binomtest(sum(twice), 3001, 0.75).pvalue > 1e-5
    assert binomtest(int(blank.sum()), 3001, 0.75).pvalue < 1e-5  # the test can fail


def test_pixels_are_shuffled_along_the_axes_that_networks_read() -> None:
    """Also with as many or more channels than rows."""
    for shape in itertools.product((3, 8, 10, 12), repeat=3):
        assert channels_last(shape) == _channels_last(shape), shape


@pytest.mark.parametrize("wrap", ["blank", "shuffle-pixels"])
def test_a_seed_determines_the_noise(wrap: str) -> None:
    name = f"rlbench/Catch-v0+{wrap}"
    one, two, other = (watch(name, 100, seed) for seed in (5, 5, 6))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_pixels_are_everywhere_alike() -> None:
    """As many lit ones as before, at places that are uniform; without the wrapper they are not."""
    plain, mixed = watch("rlbench/Catch-v0", 3000), watch("rlbench/Catch-v0+shuffle-pixels", 3000)
    assert all(
        np.count_nonzero(a) == np.count_nonzero(b) for a, b in zip(plain, mixed, strict=True)
    )
    assert chisquare(np.sum(mixed, 0).ravel() // 255).pvalue > 1e-5
    assert chisquare(np.sum(plain, 0).ravel() // 255).pvalue < 1e-20
    assert mixed[0].dtype == np.uint8


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3), (3, 5, 4), (4, 4, 4)])
def test_channels_of_a_pixel_stay_together(shape: tuple[int, ...]) -> None:
    picture = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)

    class Still(Noise):
        observation_space = spaces.Box(0, 255, shape, np.uint8)

        def __init__(self) -> None:
            self.action_space = spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return picture, {}

    last = len(shape) == 3 and channels_last(shape)

    def pixels(image: np.ndarray) -> list[Any]:
        if image.ndim == 3:
            image = image.reshape(-1, shape[2]) if last else image.reshape(shape[0], -1).T
        return [tuple(np.atleast_1d(pixel)) for pixel in image.reshape(-1, *image.shape[1:])]

    env = ShufflePixels(Still())
    one, two = env.reset(seed=0)[0].copy(), env.reset()[0].copy()
    if len(shape) == 3:
        assert sorted(pixels(one)) == sorted(pixels(two)) == sorted(pixels(picture))
    assert sorted(one.ravel()) == sorted(picture.ravel())
    assert not np.array_equal(one, two)
    assert not np.array_equal(one, picture)


@pytest.mark.parametrize(
    "name",
    [
        "CartPole-v1+mask-velocity+blank:0.3",
        "rlbench/Catch-v0+blank+shuffle-pixels",
        "rlbench/Cue-v0+blank:0.1+blank:0.1",
    ],
)
def test_wrapped_ones_go_on_where_they_were(name: str) -> None:
    """State and noise are restored bit for bit; a stream that is not makes a difference."""
    make = pickle.loads(pickle.dumps(env_factory(name)))
    env, other, third = make(), make(), make()
    for each, seed in ((env, 3), (other, 4), (third, 4)):
        each.reset(seed=seed)
    actions: list[Any] = np.random.default_rng(0).integers(2, size=300).tolist()
    go_on(env, actions[:111])
    saved = snapshot.capture(env)
    assert saved is not None
    snapshot.reinstate(other, saved)
    snapshot.reinstate(third, [{k: v for k, v in s.items() if k != "stream"} for s in saved])
    expected = go_on(env, actions[111:])
    assert go_on(other, actions[111:]) == expected
    assert go_on(third, actions[111:]) != expected


def test_what_cannot_be_captured_stays_so() -> None:
    env = BlankFrames(Opaque())
    env.reset(seed=0)
    assert snapshot.capture(env) is None


@pytest.mark.parametrize("wrap", ["mask-velocity", "blank:0.7"])
def test_rewards_and_ends_stay(wrap: str) -> None:
    env, other = env_factory("CartPole-v1")(), env_factory(f"CartPole-v1+{wrap}")()
    env.reset(seed=2)
    other.reset(seed=2)
    for step in range(300):
        one, two = env.step(step % 2), other.step(step % 2)
        assert one[1:4] == two[1:4]
        if one[2]:
            env.reset()
            other.reset()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: MaskVelocity(Noise()), "mask-velocity:1,3"),
        (lambda: MaskVelocity(Noise(), [4]), "from 0 to 3"),
        (lambda: MaskVelocity(Noise(), -1), "from 0 to 3"),
        (lambda: MaskVelocity(Noise(), [True]), "from 0 to 3"),
        (lambda: MaskVelocity(Mixed()), "Box"),
        (lambda: MaskVelocity(gymnasium.make("rlbench/Catch-v0")), "vector"),
        (lambda: BlankFrames(Noise(), 1.5), "probability"),
        (lambda: BlankFrames(Noise(), float("nan")), "probability"),
        (lambda: BlankFrames(Noise(), True), "probability"),
        (lambda: BlankFrames(Mixed()), "Box"),
        (lambda: ShufflePixels(Noise()), "image"),
        (lambda: ImageMax(Noise(), 10), "images of bytes"),
        (lambda: ImageMax(gymnasium.make("rlbench/Catch-v0"), 0), "from 1 to 255"),
        (lambda: ImageMax(gymnasium.make("rlbench/Catch-v0"), True), "from 1 to 255"),
    ],
)
def test_what_does_not_fit_is_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_a_terminal_limit_changes_nothing_but_which_end_it_is() -> None:
    """Of CartPole: falls stay terminations, and the limit becomes one."""
    plain = env_factory("CartPole-v1+TimeLimit:12")()
    ended = env_factory("CartPole-v1+TimeLimit:12+terminal-limit")()
    kinds = set()
    for seed, action in itertools.product(range(4), (None, 0)):
        assert (plain.reset(seed=seed)[0] == ended.reset(seed=seed)[0]).all()
        over, time = False, 0
        while not over:
            move = time % 2 if action is None else action
            obs, reward, terminated, truncated, _ = plain.step(move)
            same, its_reward, its_end, its_limit, _ = ended.step(move)
            over, time = terminated or truncated, time + 1
            assert (obs == same).all()
            assert (its_reward, its_end, its_limit) == (reward, over, False)
        kinds.add((terminated, truncated))
    assert kinds == {(True, False), (False, True)}


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [("PongNoFrameskip-v4+atari", {}), ("ALE/Pong-v5+atari", {"frameskip": 1})],
)
def test_atari_preprocesses_frames_silently(
    name: str, kwargs: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """84 by 84 grey pixels, four frames an action, and the emulator is silent."""
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    env = env_factory(name, kwargs)()
    obs, info = env.reset(seed=0)
    assert (obs.shape, obs.dtype, env.observation_space.shape) == ((84, 84), np.uint8, (84, 84))
    assert env.step(0)[4]["frame_number"] - info["frame_number"] == 4
    assert capfd.readouterr() == ("", "")
