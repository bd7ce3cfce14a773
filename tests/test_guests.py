"""Any object with a `predict` is scored on the sealed episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import here

from rlbench import guests
from rlbench.learning.seeds import evaluation_seeds


class Lean:
    """Pushes the cart to where the pole falls, and counts how often it was asked."""

    asked: list[bool] = []

    def predict(self, obs: Any, state: Any, episode_start: Any, deterministic: bool) -> Any:
        count = np.where(episode_start, 0, 0 if state is None else state) + 1
        self.asked.append(deterministic)
        return (obs[:, 2] + obs[:, 3] > 0).astype(int), count


class Wrong(Lean):
    def predict(self, *_: Any) -> Any:
        return np.zeros(3), None


lean = Lean()


@pytest.mark.parametrize("name", ["Lean", "lean"])
def test_any_object_is_scored(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On the final episodes, which a loop of plain Gymnasium plays here."""
    import gymnasium

    env, expected = gymnasium.make("CartPole-v1"), []
    for seed in evaluation_seeds("final", 12):
        obs, ended, total = env.reset(seed=seed)[0], False, 0.0
        while not ended:
            obs, reward, over, cut, _ = env.step(int(obs[2] + obs[3] > 0))
            total, ended = total + float(reward), over or cut
        expected.append(total)
    Lean.asked.clear()
    args = ["--agent", f"test_guests:{name}", "--env", "CartPole", "--episodes", "12"]
    assert here("eval", *args, "--stochastic") == 0
    said = capsys.readouterr().out
    assert f"mean return {np.mean(expected):.1f} +- {np.std(expected, ddof=1):.1f}" in said
    assert "12 episodes, stochastic" in said
    assert "no interval" in said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--agent", "test_guests:Lean"], "both of --agent"),
        ([], "give a RUN"),
        (["CartPole-v1/dqn", "--agent", "a:b", "--env", "CartPole-v1"], "give a RUN, or both"),
        (["--agent", "lean", "--env", "CartPole-v1"], "package.module:thing"),
        (["--agent", "no_such:Lean", "--env", "CartPole-v1"], "ModuleNotFoundError"),
        (["--agent", "test_guests:nothing", "--env", "CartPole-v1"], "AttributeError"),
        (["--agent", "pathlib:Path", "--env", "CartPole-v1"], "has no predict"),
        (["--agent", "test_guests:lean", "--env", "MountainCar-v0"], "IndexError"),
        (["--agent", "test_guests:Wrong", "--env", "CartPole-v1"], "shape (3,)"),
        (["--agent", "test_guests:lean", "--env", "rlbench/Classify-Digits-v0"], "images"),
    ],
)
def test_guests_mistakes(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert here("eval", *args, "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_guests_are_found_by_dots_too() -> None:
    assert guests.find("test_guests:lean") is not guests.find("test_guests:Lean")
