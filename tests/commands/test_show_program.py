"""`rlbench show RUN --program` prints the program that replays a run's updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import TINY, here, process

from rlbench.agents import DQN, PPO, SAC, Random
from rlbench.errors import UserError
from rlbench.learning.training.traced_updates import programs

SMALL: dict[str, Any] = {"net_arch": (8,), "batch_size": 16, "device": "cpu"}
CASES: dict[str, tuple[Any, str, dict[str, Any], list[str]]] = {
    "dqn": (DQN, "CartPole-v1", {"learning_starts": 20}, ["DQN.objective"]),
    "ppo": (PPO, "CartPole-v1", {"n_steps": 32}, ["PPO.objective"]),
    "sac": (SAC, "Pendulum-v1", {"learning_starts": 20},
            ["SAC.objective", "OffPolicyActorCritic.critic_objective"]),
}  # fmt: skip


def printed(case: str, **more: Any) -> dict[str, str]:
    kind, env, parameters, _ = CASES[case]
    agent = kind(env, **SMALL, **{**parameters, **more})
    agent.set_horizon(400)
    return programs(agent)


@pytest.mark.parametrize("case", CASES)
def test_every_update_has_a_program_with_stable_names(case: str) -> None:
    texts = printed(case)
    assert [*texts] == CASES[case][-1]
    assert texts == printed(case)
    for text in texts.values():
        assert ": float32 (1, 16, " in text.partition("# constants")[0]
        assert "rlbench_weight_grad(" in text
        compile(text, case, "exec")
        assert not any(len(word) > 9 for word in text.split("_") if word.isdigit())  # addresses


@pytest.mark.parametrize(
    ("parameters", "reason"), [({"record": False}, "record=false"), ({"dropout": 0.2}, "dropout")]
)
def test_the_reason_is_shown_where_updates_are_not_recorded(
    parameters: dict[str, Any], reason: str
) -> None:
    (text,) = printed("dqn", **parameters).values()
    assert text.startswith("# not recorded: ")
    assert reason in text
    assert len(text.splitlines()) == 1


def test_agents_without_updates_are_refused() -> None:
    agent = Random("CartPole-v1")
    agent.set_horizon(100)
    with pytest.raises(UserError, match="random has no updates"):
        programs(agent)


def test_a_horizon_without_updates_is_refused() -> None:
    agent = PPO("CartPole-v1", n_steps=64, **SMALL)
    agent.set_horizon(20)
    with pytest.raises(UserError, match="makes no update within 20 steps"):
        programs(agent)


def test_a_run_has_one_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same in this process and in another, for a run whose updates begin late."""
    train = ["run", "dqn", "--env", "CartPole-v1", "--seeds", "1", "-n", "60", "--eval-freq", "0",
             "--final-episodes", "1", "-q", "--out", tmp_path, *TINY]  # fmt: skip
    assert here(*train) == 0
    (run,) = (tmp_path / "CartPole-v1").glob("dqn-*")
    capsys.readouterr()
    show = ["show", run, "--program", "--out", tmp_path]
    assert here(*show) == 0
    text = capsys.readouterr().out
    assert text.startswith("# dqn on CartPole-v1: DQN.objective, for one seed on a CPU\n")
    assert "def update(obs, reward, action, next_obs, terminated):" in text
    assert process(*show, cwd=tmp_path).stdout == text
    assert here(*show, "--time") == 2
