"""The presets learn, from the command line to the table; seeds are not those of tuning."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import here

import rlbench
from rlbench.reporting.tables import overall


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "seeds", "at_least"),
    [("CartPole-v1", "20-25", 350.0), ("Acrobot-v1", "20-23", -100.0)],
)
def test_presets_learn(tmp_path: Path, env: str, seeds: str, at_least: float) -> None:
    """Half-trained agents stay below: about 160 on CartPole, -150 on Acrobot."""
    assert here("run", "dqn", "--env", env, "--seeds", seeds, "--out", tmp_path, "--quiet") == 0
    results = rlbench.load(tmp_path)
    scores = overall(results).set_index("agent")["iqm"]
    assert scores["dqn"] >= at_least > scores["random"]
