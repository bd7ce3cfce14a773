"""Data sets of recorded episodes for tests."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from lockstep import make

from rlbench.learning.core.device_trial import random_observations
from rlbench.learning.data import recorded_episodes, write_episodes
from rlbench.learning.data.recorded_episodes import RecordedEpisodes
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.evaluation.recording import PlayedEpisode, record_episodes
from rlbench.learning.rng import recording_seeds

LIMIT = StepLimit(7)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Minari keeps its data sets in."""
    pytest.importorskip("minari")
    pytest.importorskip("h5py")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def recorded(
    env: Callable[[], Any], kind: Any, episodes: int = 5, **given: Any
) -> list[PlayedEpisode]:
    """Episodes of an untrained agent, seed 3."""
    agent = make(kind, env, (3,), **given)
    masks = agent.env_facts.masked
    return record_episodes(agent.policy(), env, masks, recording_seeds(3, episodes), LIMIT)


def write(env: Callable[[], Any], kind: Any, name: str = "tests/a-v0", **given: Any) -> str:
    """Write such episodes as a data set; returns the source that names it."""
    about = {"algorithm_name": "tests", "description": "episodes of a test"}
    write_episodes.write(name, recorded(env, kind, **given), env(), about)
    return f"minari:{name}"


def invented(
    spec: ObsSpec, space: spaces.Space[Any], lengths: tuple[int, ...] = (7, 1, 12, 5)
) -> RecordedEpisodes:
    """Episodes of random numbers, made without Minari; rewards are 1 - the mean square of actions.

    Every other episode is truncated at its end.
    """
    rng, steps = np.random.default_rng(0), sum(lengths)
    obs = random_observations(spec, (1, steps + len(lengths)), rng)[0]
    inner = copy.deepcopy(space)
    inner.seed(0)
    action = np.stack([inner.sample() for _ in range(steps)])
    reward = (1.0 - np.square(action.reshape(steps, -1)).mean(-1)).astype(np.float32)
    last = np.cumsum(lengths) - 1
    ends = np.zeros((2, steps), bool)
    ends[0, last[::2]] = ends[1, last[1::2]] = True
    place = np.arange(steps) + np.repeat(np.arange(len(lengths)), lengths)
    if isinstance(space, spaces.Discrete):
        action = action - space.start
    return RecordedEpisodes(obs, place, action, reward, ends[0], ends[1], np.array(lengths))


@pytest.fixture
def inventing(monkeypatch: pytest.MonkeyPatch) -> str:
    """A source that agents read such episodes from."""
    monkeypatch.setattr(
        recorded_episodes, "read", lambda source, spec, space: invented(spec, space)
    )
    return "minari:tests/invented-v0"
