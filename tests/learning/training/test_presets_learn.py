"""The presets learn, from the command line to the table; seeds are not those of tuning."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import here
from sampled import sampled

import rlbench
from rlbench.reporting.tables.summaries import overall

PRESETS = [
    ("dqn", "CartPole-v1", "auto", "20-25", 350.0),
    ("dqn", "Acrobot-v1", "auto", "20-23", -100.0),
    ("dqn", "rlbench/Catch-v0", "auto", "20-21", 0.7),
    ("ppo", "CartPole-v1", "auto", "20-22", 450.0),
    ("ppo", "Pendulum-v1", "auto", "20-21", -250.0),
    ("ppo", "rlbench/Cue-v0", "gru", "20-21", 0.9),
    ("reinforce", "CartPole-v1", "auto", "20-22", 400.0),
]
# CI has one of DQN, of actions that are numbers, and of a memory.
MORE = [("dqn", "Acrobot-v1"), ("dqn", "rlbench/Catch-v0"), ("ppo", "CartPole-v1"),
        ("reinforce", "CartPole-v1")]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "env", "encoder", "seeds", "at_least"),
    sampled(PRESETS, [case for case in PRESETS if case[:2] not in MORE]),
)
def test_presets_learn(
    tmp_path: Path, agent: str, env: str, encoder: str, seeds: str, at_least: float
) -> None:
    """Half-trained agents stay below: DQN about 160 on CartPole and -150 on Acrobot; on Cue an
    agent without memory has 0.5, on Catch a blind one -0.8."""
    run = ["run", agent, "--env", env, "--seeds", seeds, "--out", tmp_path, "--quiet"]
    assert here(*run, "--encoder", encoder) == 0
    results = rlbench.load(tmp_path)
    scores = overall(results).set_index("agent")["iqm"]
    assert scores[agent] >= at_least > scores["random"]
