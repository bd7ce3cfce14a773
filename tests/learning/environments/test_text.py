"""Text in observations: hashed words, and spaces of strings that are not Gymnasium's."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlbench import agents
from rlbench.learning.environments.observations import BadObservation
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.environments.text import WIDTH, hashed


class Phrases(spaces.Space[str]):
    """A space of strings as MiniGrid defines one."""

    def __init__(self) -> None:
        super().__init__(dtype=str)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        return "get the red ball"

    def contains(self, x: Any) -> bool:
        return isinstance(x, str)

    @property
    def is_np_flattenable(self) -> bool:
        return False


class Errand(gymnasium.Env[Any, Any]):
    """The mission names the action that is rewarded."""

    observation_space: Any = spaces.Dict({"mission": Phrases(), "place": spaces.Discrete(3)})
    action_space: Any = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.look(), {}

    def look(self) -> dict[str, Any]:
        self.right = int(self.np_random.integers(2))
        self.t = 0
        return {"mission": ("open the door", "close the door")[self.right], "place": 1}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(action == self.right)
        return self.look(), reward, bool(self.np_random.random() < 0.2), False, {}


def naive(text: str) -> np.ndarray:
    columns = np.zeros(WIDTH)
    words = text.split()
    for i, word in enumerate(words):
        for feature in [word] + ([f"{word} {words[i + 1]}"] if i + 1 < len(words) else []):
            code = crc32(feature.encode("utf-8"))
            columns[code % WIDTH] += 1 if code >= 2**31 else -1
    return columns


@pytest.mark.parametrize("text", ["", "ball", "put the red ball next to the red box", "ß 7 ß"])
def test_hashed_text_adds_words_and_pairs(text: str) -> None:
    assert hashed(text).tolist() == naive(text).tolist()


def test_hashed_text_knows_order_but_not_case_or_punctuation() -> None:
    assert not np.array_equal(hashed("red ball, green box"), hashed("green ball, red box"))
    assert np.array_equal(hashed("Red ball!"), hashed("red  ball"))
    assert not hashed("red").flags.writeable  # one array for all who ask


def test_text_is_one_part_of_an_observation() -> None:
    spec = ObsSpec(Errand.observation_space)
    assert spec.shape == (WIDTH + 3,)
    assert [part.shape for part in spec.parts] == [(WIDTH,), (3,)]
    assert [part.hot for part in spec.parts] == [False, True]
    stored = spec.array({"mission": "open the door", "place": 2})
    assert np.array_equal(stored[:WIDTH], hashed("open the door"))
    assert stored[WIDTH:].tolist() == [0, 0, 1]
    with pytest.raises(BadObservation, match=r"'mission'.* is of type int, not a text"):
        spec.array({"mission": 5, "place": 2})


@pytest.mark.parametrize("space", [spaces.Text(20), Phrases()])
def test_text_alone_is_an_observation(space: Any) -> None:
    assert np.array_equal(ObsSpec(space).array("a b"), hashed("a b"))


def test_an_agent_reads_its_mission_after_loading_too(tmp_path: Path) -> None:
    """One that could not read would earn a half."""
    agent = agents.PPO(Errand, n_envs=4, n_steps=32, learning_rate=3e-3, device="cpu")
    agent.learn(4_000)
    loaded = agents.PPO.load(agent.save(tmp_path / "agent"))
    for right, mission in enumerate(("open the door", "close the door")):
        obs = {"mission": mission, "place": 1}
        for each in (agent, loaded):
            assert int(each.predict(obs, deterministic=True)[0]) == right


@pytest.mark.parametrize("env", ["MiniGrid-DoorKey-5x5-v0", "BabyAI-GoToRedBallGrey-v0"])
def test_minigrid_is_read_whole(env: str) -> None:
    """Its 7x7 cells by convolutions, its direction and its mission beside them."""
    pytest.importorskip("minigrid")
    agent = agents.PPO(env, n_envs=2, n_steps=8, device="cpu").learn(16)
    assert [part.image for part in agent.spec.parts] == [None, (3, 7, 7), None]
    assert agent.spec.pictures() == "image 7x7, 3 channels, channels last"
