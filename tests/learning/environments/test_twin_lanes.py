"""Lanes of a twin against lanes of single environments: same steps, episodes and states."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from twin_cases import KINDS, actions

from rlbench.envs.classic.cartpole import CartPole
from rlbench.learning import checkpoint
from rlbench.learning.environments import twins
from rlbench.learning.environments.batched_lanes import lanes_for
from rlbench.learning.environments.lanes import EnvLanes, SeedFailure
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.environments.twin_lanes import TwinLanes
from rlbench.learning.environments.twins import batched

SEEDS, N = (3, 8, 5), 2
NAMES = [name for name in KINDS if name != "CartPole-v0"]


def pair(name: str) -> tuple[TwinLanes, EnvLanes]:
    lanes = lanes_for(EnvSource(name), SEEDS, N)
    with batched(on=False):
        singles = lanes_for(EnvSource(name), SEEDS, N)
    assert type(lanes) is TwinLanes
    assert type(singles) is EnvLanes
    return lanes, singles


def chosen(lanes: Any, generator: np.random.Generator) -> np.ndarray:
    obs = lanes.obs.reshape(-1, lanes.obs.shape[-1])
    flat = actions(EnvSpaces.of(lanes), obs, generator)
    return flat.reshape(*lanes.obs.shape[:2], *flat.shape[1:])


class EnvSpaces:
    """The action space of lanes of either kind."""

    @staticmethod
    def of(lanes: Any) -> spaces.Space[Any]:
        env = lanes.twin.env if isinstance(lanes, TwinLanes) else lanes.envs[0]
        space: spaces.Space[Any] = env.action_space
        return space


def bits(value: Any) -> Any:
    """A state or step with arrays as dtype and bytes, for comparison."""
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.str, np.shape(value), value.tobytes()
    if isinstance(value, dict):
        return {key: bits(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [bits(each) for each in value]
    return value


def same_steps(one: Any, other: Any, count: int, seed: int = 0) -> int:
    """Step both by the same actions; return how many episodes ended."""
    generator, ends = np.random.default_rng(seed), 0
    for _ in range(count):
        action = chosen(one, generator)
        assert bits(one.step(action)) == bits(other.step(action))
        assert one.finished == other.finished
        assert bits(one.obs) == bits(other.obs)
        ends += len(one.finished)
    return ends


@pytest.mark.parametrize("wrap", ["+TimeLimit:40", "+mask-velocity+TimeLimit:40"])
@pytest.mark.parametrize("name", NAMES)
def test_steps_and_episodes_are_those_of_single_environments(name: str, wrap: str) -> None:
    one, other = pair(name + wrap)
    assert bits(one.reset()) == bits(other.reset())
    assert same_steps(one, other, 90) >= 2 * len(SEEDS) * N


@pytest.mark.parametrize("name", NAMES)
def test_either_form_goes_on_from_the_state_of_the_other(name: str, tmp_path: Path) -> None:
    """Through a file, in the first step of an episode and within one, and over its end."""
    one, other = pair(name + "+TimeLimit:9")
    one.reset()
    other.reset()
    for before in (1, 5, 3):  # the last is the first step of an episode
        same_steps(one, other, before)
        single, batch = (
            checkpoint.load(checkpoint.save(tmp_path / "state.npz", lanes.state()))
            for lanes in (other, one)
        )
        again, others = pair(name + "+TimeLimit:9")
        assert again.restore(single)
        assert others.restore(batch)
        assert same_steps(again, others, 20, seed=1) >= 12
        again, others = pair(name + "+TimeLimit:9")
        assert again.restore(batch)
        assert others.restore(single)
        assert same_steps(again, others, 20, seed=1) >= 12
        assert bits(one.state()["returns"]) == bits(other.state()["returns"])


def plain(lanes: Any) -> Any:
    """The state of lanes, but for what wrappers keep of a question that somebody asked."""
    state = lanes.state()
    for layer in [layer for env in state["envs"] for layer in env]:
        layer.pop("_cached_spec", None)
    return bits(state)


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_states_are_equal(name: str) -> None:
    one, other = pair(name)
    one.reset()
    other.reset()
    assert plain(one) == plain(other)
    same_steps(one, other, 30)
    assert plain(one) == plain(other)


def test_kept_seeds_go_on_as_they_are() -> None:
    one, other = pair("CartPole-v1+TimeLimit:11")
    one.reset()
    other.reset()
    same_steps(one, other, 10)
    for lanes in (one, other):
        lanes.keep_seeds([2, 0])
    assert one.seeds == other.seeds == (5, 3)
    assert same_steps(one, other, 30) > 4


@pytest.mark.parametrize("at", [4, 9])  # in an episode, and at its end
def test_a_bad_action_ends_its_seed_only(at: int) -> None:
    for name, bad, status in (
        ("Pendulum-v1", np.nan, "diverged"),
        ("CartPole-v1", 2, "failed"),
        ("CartPole-v1", -1, "failed"),
        ("MountainCar-v0", 7, "failed"),
        ("Acrobot-v1", 3, "failed"),
    ):
        pairs = pair(f"{name}+TimeLimit:10")
        reasons, steps = [], []
        for lanes in pairs:
            lanes.reset()
            generator = np.random.default_rng(0)
            for _ in range(at):
                lanes.step(chosen(lanes, generator))
            action = chosen(lanes, generator)
            action[1, 1] = bad
            with pytest.raises(SeedFailure) as error:
                lanes.step(action)
            assert error.value.step is not None
            reasons.append(error.value.broken)
            steps.append(bits(error.value.step.rows([0, 2])._replace(action=action[[0, 2]])))
            lanes.keep_seeds([0, 2])
        assert reasons[0] == reasons[1]
        assert reasons[0][1][0] == status
        assert set(reasons[0]) == {1}
        assert steps[0] == steps[1]
        assert pairs[0].finished == pairs[1].finished
        same_steps(*pairs, 12)


def test_a_negative_action_counts_from_the_end_where_the_environment_says_so() -> None:
    """Acrobot looks its torque up in a list."""
    one, other = pair("Acrobot-v1")
    one.reset()
    other.reset()
    action = np.full((len(SEEDS), N), -1)
    assert bits(one.step(action)) == bits(other.step(action))


class Mine(CartPole):
    """No twin of anything: see `test_where_bits_differ_...`."""

    def constants(self, env: Any) -> None:
        super().constants(env)
        self.tau = np.nextafter(self.tau, 1)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    twins.same_here.cache_clear()
    yield tmp_path / "rlbench" / "twins"
    twins.same_here.cache_clear()


def test_where_bits_differ_single_environments_are_used(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, "rlbench"):
        patched.setattr(twins, "twin_class", lambda _: Mine)
        assert type(lanes_for(EnvSource("CartPole-v1"), SEEDS, N)) is EnvLanes
        assert type(lanes_for(EnvSource("CartPole-v1"), SEEDS, N)) is EnvLanes
    (record,) = caplog.records
    assert "one by one" in record.getMessage()
    (file,) = own_cache.iterdir()
    assert file.read_text() == "false"


def test_the_self_check_is_done_once_on_a_machine(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type(lanes_for(EnvSource("CartPole-v1"), SEEDS, N)) is TwinLanes
    (file,) = own_cache.iterdir()
    assert file.read_text() == "true"
    twins.same_here.cache_clear()
    monkeypatch.setattr(twins, "comparison", None)  # not called again
    assert type(lanes_for(EnvSource("CartPole-v1"), SEEDS, N)) is TwinLanes
    with monkeypatch.context() as patched:  # by other versions
        twins.same_here.cache_clear()
        patched.setattr(np, "__version__", "1.0")
        patched.setattr(twins, "comparison", lambda _: False)
        assert type(lanes_for(EnvSource("CartPole-v1"), SEEDS, N)) is EnvLanes


def test_a_cache_that_cannot_be_written_or_read_is_done_without(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_cache.parent.mkdir()
    own_cache.write_text("no folder")
    assert type(lanes_for(EnvSource("CartPole-v1"), SEEDS, N)) is TwinLanes


def test_environments_that_have_no_twin() -> None:
    for name, kwargs in (
        ("CartPole-v1", {"sutton_barto_reward": True}),
        ("Pendulum-v1", {"g": 12.0}),
        ("CartPole-v1", {"render_mode": "rgb_array"}),
        ("CartPole-v1+blank:0.3", {}),
        ("Pendulum-v1+RescaleAction:min_action=-1,max_action=1", {}),
        ("rlbench/Cue-v0", {}),
        ("gymnasium.envs.classic_control:CartPoleEnv", {}),
    ):
        assert type(lanes_for(EnvSource(name, kwargs), SEEDS, N)) is EnvLanes, (name, kwargs)
    made = EnvSource("CartPole-v1")()
    for env in (made, lambda: EnvSource("CartPole-v1")()):
        assert type(lanes_for(EnvSource(env), SEEDS, N)) is EnvLanes
    assert type(lanes_for(EnvSource("gymnasium:CartPole-v1"), SEEDS, N)) is TwinLanes
    assert type(lanes_for(EnvSource("CartPole"), SEEDS, N)) is TwinLanes


def test_too_few_lanes_are_stepped_one_by_one() -> None:
    assert type(lanes_for(EnvSource("CartPole-v1"), (0,), CartPole.fewest - 1)) is EnvLanes
    assert type(lanes_for(EnvSource("CartPole-v1"), (0,), CartPole.fewest)) is TwinLanes
