"""Environments of other packages by their names alone."""

from __future__ import annotations

import numpy as np
import pytest

from rlbench import agents
from rlbench.errors import UserError
from rlbench.learning.environments.make import env_factory, full_name, registered
from rlbench.learning.environments.packages import PACKAGES, packages_of
from rlbench.learning.environments.spaces import ObsSpec

IDS = {
    "minatar": "MinAtar/Breakout",
    "minigrid": "MiniGrid-Empty-5x5",
    "popgym": "popgym-RepeatPreviousEasy",
    "ale_py": "ALE/Pong",
}


def test_only_the_suite_that_a_name_may_belong_to_is_asked() -> None:
    always = [package.module for package in PACKAGES if not package.ids]
    assert always == ["gymnasium", "rlbench.envs", "ale_py"]
    assert [package.module for package in packages_of("CartPole-v1")] == always
    assert [package.module for package in packages_of("BabyAI-X-v0")][2] == "minigrid"
    assert len(packages_of("")) == len(PACKAGES)


@pytest.mark.parametrize("package", IDS)
def test_a_name_is_enough(package: str) -> None:
    pytest.importorskip(package)
    newest = full_name(IDS[package])
    assert newest.startswith(f"{IDS[package]}-v")
    env = env_factory(newest)()
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)


def test_minatar_is_found_with_its_module_too() -> None:
    """The module registers nothing when it is imported."""
    pytest.importorskip("minatar")
    assert env_factory("minatar.gym:MinAtar/Breakout-v1")().action_space.n == 3
    assert full_name("minatar.gym:MinAtar/Breakout") == "MinAtar/Breakout-v1"
    with pytest.raises(UserError, match="Did you mean 'MinAtar/Breakout-v1'"):
        env_factory("MinAtar/Breakot")


def test_minatar_is_kept_in_bytes_and_has_its_network() -> None:
    pytest.importorskip("minatar")
    agent = agents.DQN("MinAtar/Breakout-v1", cnn="minatar", device="cpu")
    assert (agent.spec.dtype, agent.spec.parts[0].scale) == (np.uint8, 1.0)
    assert agent.config.describe(agent.spec) == "cnn minatar 128"


@pytest.mark.parametrize(
    ("wraps", "side", "scale"),
    [("", 7, 0.1), ("+minigrid.wrappers:ImgObsWrapper", 7, 0.1),
     ("+minigrid.wrappers:RGBImgPartialObsWrapper", 56, 1 / 255),
     ("+minigrid.wrappers:OneHotPartialObsWrapper", 7, 1 / 255),
     ("+minigrid.wrappers:OneHotPartialObsWrapper+image-max:1", 7, 1.0)],
)  # fmt: skip
def test_symbols_of_minigrid_are_divided_by_the_largest(
    wraps: str, side: int, scale: float
) -> None:
    """Its Box says 255, and its symbols are numbers up to 10; pictures are divided by 255."""
    pytest.importorskip("minigrid")
    env = env_factory(f"MiniGrid-DoorKey-5x5-v0{wraps}")()
    image = next(part for part in ObsSpec(env.observation_space).parts if part.image)
    assert (image.image or ())[1:] == (side, side)
    assert image.scale == pytest.approx(scale)
    assert env.observation_space.contains(env.reset(seed=0)[0])


def test_registering_again_changes_nothing() -> None:
    pytest.importorskip("minatar")
    import gymnasium

    assert registered("MinAtar/Breakout-v1")
    before = gymnasium.registry["MinAtar/Breakout-v1"]
    assert registered("MinAtar/Breakout-v1")
    assert gymnasium.registry["MinAtar/Breakout-v1"] is before
