"""Warnings of the trial of an environment, where other processes compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import here
from gymnasium import spaces

ENV = "test_trial_notes:Unseeded"
NOTE = "reset with the same seed gave other observations"


class Unseeded(gymnasium.Env[Any, Any]):
    """Takes no seed."""

    observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.t = 0
        return np.random.default_rng().random(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return np.zeros(2, np.float32), 0.0, self.t >= 5, False, {}


@pytest.mark.parametrize("jobs", [1, 2])
def test_run(jobs: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Once, with any number of jobs."""
    args = ["run", "random", "--env", ENV, "--seeds", "2", "-n", "20", "--final-episodes", "2"]
    assert here(*args, "--jobs", jobs, "--out", tmp_path) == 0
    assert capsys.readouterr().err.count(NOTE) == 1


@pytest.mark.slow
def test_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Once for each cell."""
    file = tmp_path / "suite.toml"
    file.write_text(f'name = "trial"\nseeds = 2\nagents = ["random", "dqn"]\n'
                    f'[[env]]\nid = "{ENV}"\nsteps = 20\n')  # fmt: skip
    assert here("bench", file, "--jobs", "2", "--no-report", "--out", tmp_path / "out") == 0
    assert capsys.readouterr().err.count(NOTE) == 2
