"""Data sets of recorded episodes for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lockstep import make

from rlbench.learning.data import write_episodes
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
