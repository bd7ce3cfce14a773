"""sb3-contrib's maskable PPO as a peer: the library's own numbers, and only legal actions."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import here
from masked_worlds import Masked
from peers import equal, lanes

from rlbench import agents
from rlbench.errors import UserError
from rlbench.experiments.planning import plan
from rlbench.experiments.preflight import preflight
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.rows import SeedEnded

SHORT: dict[str, Any] = {"n_steps": 16, "batch_size": 16, "n_epochs": 2}
DOORS = "rlbench/Doors-v0"


def test_it_learns_what_the_library_learns() -> None:
    contrib = pytest.importorskip("sb3_contrib")
    masker = pytest.importorskip("sb3_contrib.common.wrappers").ActionMasker

    def make() -> Any:
        return masker(gymnasium.make(DOORS), lambda env: env.unwrapped.mask().astype(bool))

    agent = agents.SB3MaskablePPO(DOORS, settings="defaults", **SHORT).learn(64)
    model = contrib.MaskablePPO("MlpPolicy", lanes(make, 0, 1), seed=0, **SHORT)
    assert equal(agent, 0, model.learn(64))
    assert not equal(agent, 0, model.learn(16))  # negative control


@pytest.mark.parametrize("action", ["discrete", "multi", "bits"])
def test_no_illegal_action_is_taken(action: str) -> None:
    """In training, evaluation and `predict`; the environment refuses illegal ones."""
    pytest.importorskip("sb3_contrib")

    def make() -> Masked:
        return Masked("vector", action, "method")

    agent = agents.SB3MaskablePPO(make, n_envs=2, device="cpu", **SHORT)
    agent.set_horizon(64)
    rows = list(agent.trainer(TrainingSchedule(64, 32, 2, 2)).rows())
    (end,) = [row for row in rows if isinstance(row, SeedEnded)]
    assert end.status == "done", end.reason
    env = make()
    obs, _ = env.reset(seed=3)
    for _ in range(20):
        chosen, _ = agent.predict(obs, action_masks=env.legal)
        obs, _, terminated, truncated, _ = env.step(chosen)
        if terminated or truncated:
            obs, _ = env.reset()


def test_the_other_peers_say_that_they_ignore_masks(capsys: pytest.CaptureFixture[str]) -> None:
    said = preflight(plan("sb3-dqn", DOORS, [0], total_timesteps=100))
    assert said.endswith(f"sb3-dqn ignores the action masks of {DOORS}")
    assert "masks" not in preflight(plan("sb3-dqn", "FrozenLake-v1", [0], total_timesteps=100))
    assert "masks" not in preflight(plan("dqn", DOORS, [0], total_timesteps=100))
    assert here("run", "sb3-dqn", "--env", DOORS, "-p", "action_masks=false") == 2
    assert "only sb3-maskable-ppo reads action masks; leave it out" in capsys.readouterr().err


def test_it_is_refused_where_there_are_no_masks() -> None:
    pytest.importorskip("sb3_contrib")
    with pytest.raises(UserError, match="the environment gives none: use sb3-ppo"):
        agents.SB3MaskablePPO("CartPole-v1")
    assert np.isfinite(agents.SB3PPO("CartPole-v1", **SHORT).learn(16).learned_from[0])
