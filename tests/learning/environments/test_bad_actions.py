"""Actions that are no numbers end their seed, and no environment sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import here
from probes import Stepped

from rlbench.agents import PPO, SAC, TD3
from rlbench.envs.probes import Aim
from rlbench.learning.environments.lanes import EnvLanes, SeedFailure
from rlbench.learning.evaluation import episodes
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import SeedEnded


class Strict(Aim):
    """It dies of an action that is no number."""

    def step(self, action: Any) -> Stepped:
        assert np.isfinite(action).all()
        return super().step(action)


@pytest.mark.parametrize("kind", [SAC, TD3, PPO])
@pytest.mark.parametrize("encoder", ["mlp", "lstm"])
def test_actions_that_are_no_numbers_end_their_seed_alone(kind: Any, encoder: str) -> None:
    """Diverged, without the environment having seen them; the others go on, as if alone."""
    given: dict[str, Any] = {"net_arch": (8,), "batch_size": 16, "encoder": encoder}
    given |= {"n_steps": 16} if kind is PPO else {"learning_starts": 10}
    agent = kind(Strict, seeds=[0, 1, 2], n_envs=2, device="cpu", **given)
    agent.set_horizon(60)
    lanes = agent.lanes()
    assert isinstance(lanes, EnvLanes)
    obs = lanes.reset()
    for _ in range(15):
        agent.observe(lanes.step(agent.act(obs)))
        obs = lanes.obs
    agent.learner.stack.data[1] = float("nan")
    with pytest.raises(SeedFailure) as caught:
        lanes.step(agent.act(obs))
    assert caught.value.broken == {1: ("diverged", "action became NaN or infinite")}
    assert list(agent.diverged()) == [1]
    agent.keep_seeds([0, 2])
    lanes.keep_seeds([0, 2])
    step = caught.value.step
    assert step is not None
    agent.observe(step.rows([0, 2]))
    assert np.isfinite(lanes.step(agent.act(lanes.obs)).reward).all()
    lanes.close()


def test_evaluation_ends_such_seeds_too() -> None:
    agent = SAC(Strict, seeds=3, device="cpu", net_arch=(8,))
    agent.learner.stack.data[1] = float("nan")
    scores = [s for s in episodes.evaluate(agent.policy(), Strict, "grid", 4) if s is not None]
    (bad,) = [s for s in scores if s.error]
    assert (bad.row, bad.status) == (1, "diverged")
    assert len([s for s in scores if not s.error]) == 8


def test_a_seed_that_diverges_in_a_run(tmp_path: Path) -> None:
    """A learning rate beyond all reason: told as diverged, with exit code 1, no traceback."""
    args = ["sac", "--env", "rlbench.envs.probes:Aim", "--seeds", "2", "-n", "300"]
    wild = ["-p", "learning_rate=1e30", "-p", "net_arch=8", "-p", "batch_size=16"]
    assert here("run", *args, *wild, "--out", tmp_path, "--quiet") == 1


def test_rows_of_a_run_end_as_diverged() -> None:
    agent = SAC(Strict, seeds=2, device="cpu", net_arch=(8,), batch_size=16, learning_starts=10)
    agent.set_horizon(40)
    rows = []
    for row in Trainer(agent, TrainingSchedule(40, 0, 0, 0, log_points=40)).rows():
        rows.append(row)
        if agent.num_timesteps == 20 and len(agent.seeds) == 2:
            agent.learner.stack.data[0] = float("nan")
    ended = {row.seed: row.status for row in rows if isinstance(row, SeedEnded)}
    assert ended == {0: "diverged", 1: "done"}
