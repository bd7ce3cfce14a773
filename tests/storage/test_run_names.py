"""Names of runs: made of run.json, and found by what a person types."""

from __future__ import annotations

import json

import pytest
from commands import ROOT

from rlbench.storage.run_names import run_name, steps_text


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (0, "0"),
        (1_500, "1500"),
        (2_000, "2k"),
        (2_500, "2.5k"),
        (21_580, "21580"),
        (50_000, "50k"),
        (100_000, "100k"),
        (250_165, "250165"),
        (1_000_000, "1M"),
        (1_500_000, "1.5M"),
        (1_000_660, "1000660"),
        (15_400_000, "15.4M"),
        (2**63 - 1, str(2**63 - 1)),
    ],
)
def test_steps_keep_all_their_digits(steps: int, text: str) -> None:
    assert steps_text(steps) == text


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ("CartPole-v1", "dqn-CartPole-v1-50k"),
        ("CartPole-v1+mask-velocity+blank:0.3", "dqn-CartPole-v1+mask-velocity+blank:0.3-50k"),
        ("rlbench/Catch-v0", "dqn-Catch-v0-50k"),
        ("mine.worlds:Maze", "dqn-Maze-50k"),
        ("mine.worlds:mine/Maze-v2", "dqn-Maze-v2-50k"),
    ],
)
def test_a_name_drops_the_namespace(env: str, name: str) -> None:
    assert run_name({"agent": "dqn", "env": env, "total_timesteps": 50_000}) == name


def test_runs_of_the_reference_have_names() -> None:
    files = (ROOT / "results" / "reference").glob("*/*/run.json")
    names = {run_name(json.loads(file.read_text("utf-8"))) for file in files}
    assert {"dqn-CartPole-v1-50k", "ppo-CartPole-v1+mask-velocity-400k"} < names
    assert "supervised-Classify-MNIST-v0-550k" in names
