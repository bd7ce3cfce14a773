"""Environments captured in the middle of an episode go on exactly as they would have."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from probes import Noise, Opaque
from stepping import go_on

from rlbench.learning import checkpoint
from rlbench.learning.environments import snapshot

CLASSIC = ["CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Acrobot-v1", "Pendulum-v1"]


@pytest.mark.parametrize("name", CLASSIC)
def test_classic_control_goes_on_bit_for_bit(name: str, tmp_path: Any) -> None:
    """300 steps of the original and of the restored one, through a file, after 150 of its own."""
    env, other = (gymnasium.make(name, max_episode_steps=110) for _ in range(2))
    space = gymnasium.make(name).action_space  # not `env`'s own: that one must not draw
    space.seed(0)
    actions = [space.sample() for _ in range(450)]
    env.reset(seed=3)
    go_on(env, actions[:150])
    saved = snapshot.capture(env)
    assert saved is not None
    file = checkpoint.save(tmp_path / "state.npz", {"env": saved})
    other.reset(seed=0)
    snapshot.reinstate(other, checkpoint.load(file)["env"])
    expected = go_on(env, actions[150:])
    assert go_on(other, actions[150:]) == expected
    assert any(
        isinstance(said, bytes) for said in expected
    )  # the clock ended an episode: it counts


def test_a_wrong_dtype_would_be_noticed() -> None:
    """Negative control: MountainCarContinuous continued in float64 goes elsewhere."""
    env, other = (gymnasium.make("MountainCarContinuous-v0") for _ in range(2))
    env.reset(seed=3)
    actions = [np.array([np.sin(i / 7)], np.float32) for i in range(200)]
    go_on(env, actions)
    saved = snapshot.capture(env)
    assert saved is not None
    saved[-1]["state"] = saved[-1]["state"].astype(np.float64) + 1e-9
    other.reset(seed=0)
    snapshot.reinstate(other, saved)
    assert go_on(other, actions) != go_on(env, actions)


def test_a_space_that_drew_is_not_forgotten() -> None:
    """An environment whose action space has a random stream in use counts as opaque."""
    env = gymnasium.make("CartPole-v1")
    env.reset(seed=0)
    assert snapshot.capture(env) is not None
    env.action_space.sample()
    assert snapshot.capture(env) is None


def test_capture_is_a_copy() -> None:
    """Steps after the capture leave it as it was."""
    env = Noise()
    env.reset(seed=1)
    saved = snapshot.capture(env)
    assert saved is not None
    first = go_on(env, [0] * 50)
    other = Noise()
    other.reset(seed=2)
    snapshot.reinstate(other, saved)
    assert go_on(other, [0] * 50) == first


class Keeps(Noise):
    """Keeps one more thing."""

    def __init__(self, kept: Any) -> None:
        super().__init__()
        self.kept = kept


class Counter:
    """An object with a memory, which can be called."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        return self.count


def _twice() -> dict[str, Any]:
    numbers = [1, 2]
    return {"a": numbers, "b": numbers}


@pytest.mark.parametrize(
    "kept",
    [object(), np.array([object()]), np.random.RandomState(0), _twice(), {1: "a key"}, iter([1])],
    ids=["object", "object array", "RandomState", "met twice", "integer keys", "iterator"],
)
def test_what_cannot_be_written_down_is_never_half_captured(kept: Any) -> None:
    env = Keeps(kept)
    env.reset(seed=0)
    assert snapshot.capture(env) is None
    opaque = Opaque()
    opaque.reset(seed=0)
    assert snapshot.capture(opaque) is None


def test_an_environment_inside_an_environment_is_not_forgotten() -> None:
    """One kept under any name but a wrapper's `env` is captured too, or not at all."""
    inner = gymnasium.make("CartPole-v1").unwrapped
    env = Keeps(inner)
    env.reset(seed=0)
    inner.reset(seed=0)
    saved = snapshot.capture(env)
    assert saved is None or "kept" in saved[0]


def test_an_object_that_can_be_called_is_not_forgotten() -> None:
    env = Keeps(Counter())
    env.reset(seed=0)
    saved = snapshot.capture(env)
    assert saved is None or "kept" in saved[0]


def test_views_of_one_array_are_not_torn_apart() -> None:
    """A view shows what its array holds, also after it was restored; or it is not captured."""
    grid = np.zeros((2, 3))
    env, other = Keeps((grid, grid[1])), Keeps((grid.copy(), None))
    env.reset(seed=0)
    other.reset(seed=0)
    saved = snapshot.capture(env)
    if saved is not None:
        snapshot.reinstate(other, saved)
        other.kept[0][1] = 7
        assert other.kept[1].tolist() == [7, 7, 7]


def test_every_plain_kind_of_value_comes_back(tmp_path: Any) -> None:
    """Through a file, with the types that they had."""
    import collections

    kept: dict[str, Any] = {
        "list": [1, 2.5, None], "tuple": (1, (2, "x")), "set": {3, 4}, "flag": np.bool_(True),
        "deque": collections.deque([1, 2], maxlen=2), "half": np.float16(0.5), "empty": (),
        "array": np.arange(6, dtype=np.int16).reshape(2, 3), "generator": np.random.default_rng(5),
    }  # fmt: skip
    env, other = Keeps(kept), Keeps({})
    env.reset(seed=0)
    other.reset(seed=0)
    saved = snapshot.capture(env)
    assert saved is not None
    file = checkpoint.save(tmp_path / "state.npz", {"env": saved})
    snapshot.reinstate(other, checkpoint.load(file)["env"])
    for name, value in kept.items():
        came = other.kept[name]
        assert type(came) is type(value), name
        if name == "generator":
            assert came.random() == np.random.default_rng(5).random()
        elif name == "array":
            assert came.dtype == value.dtype
            np.testing.assert_array_equal(came, value)
        else:
            assert came == value, name
