"""Any object with a `predict` is scored on the sealed episodes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import here
from gymnasium import spaces

from rlbench.commands import evaluate_external
from rlbench.errors import UserError
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.evaluation.episodes import evaluate
from rlbench.learning.policies.external_policy import ExternalPolicy
from rlbench.learning.rng import evaluation_seeds


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
    env, expected = gymnasium.make("CartPole-v1"), []
    for seed in evaluation_seeds("final", 12):
        obs, ended, total = env.reset(seed=seed)[0], False, 0.0
        while not ended:
            obs, reward, over, cut, _ = env.step(int(obs[2] + obs[3] > 0))
            total, ended = total + float(reward), over or cut
        expected.append(total)
    Lean.asked.clear()
    args = ["--agent", f"test_evaluate_external:{name}", "--env", "CartPole", "--episodes", "12"]
    assert here("eval", *args, "--stochastic") == 0
    said = capsys.readouterr().out
    assert f"mean return {np.mean(expected):.1f} +- {np.std(expected, ddof=1):.1f}" in said
    assert "12 episodes, stochastic" in said
    assert "no interval" in said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--agent", "test_evaluate_external:Lean"], "both of --agent"),
        ([], "give a RUN"),
        (["CartPole-v1/dqn", "--agent", "a:b", "--env", "CartPole-v1"], "give a RUN, or both"),
        (["--agent", "lean", "--env", "CartPole-v1"], "package.module:thing"),
        (["--agent", "no_such:Lean", "--env", "CartPole-v1"], "ModuleNotFoundError"),
        (["--agent", "test_evaluate_external:nothing", "--env", "CartPole-v1"], "AttributeError"),
        (["--agent", "pathlib:Path", "--env", "CartPole-v1"], "has no predict"),
        (["--agent", "test_evaluate_external:lean", "--env", "MountainCar-v0"], "IndexError"),
        (["--agent", "test_evaluate_external:Wrong", "--env", "CartPole-v1"], "shape (3,)"),
        (
            ["--agent", "test_evaluate_external:lean", "--env", "rlbench/Classify-Digits-v0"],
            "images",
        ),
    ],
)
def test_mistakes_with_external_agents_are_one_line(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert here("eval", *args, "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_guests_are_found_by_dots_too() -> None:
    assert evaluate_external.find("test_evaluate_external:lean") is not evaluate_external.find(
        "test_evaluate_external:Lean"
    )


class Always:
    """Gives the same action for every observation."""

    def __init__(self, action: Any) -> None:
        self.action = action

    def predict(self, obs: Any, *_: Any) -> Any:
        return np.array([self.action] * len(obs)), None


class Sums(gymnasium.Env[Any, Any]):
    """Five steps under any action space; the reward is the sum of the action."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.action_space, self.t = space, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return np.zeros(2, np.float32), float(np.sum(action)), self.t == 5, False, {}


TWO, PAIR = spaces.Discrete(2), spaces.MultiDiscrete([2, 3])
BITS, LOW = spaces.MultiBinary(2), spaces.Box(-1.0, 1.0, (2,), np.float32)
WHOLE = spaces.Box(0, 9, (1,), np.uint8)


@pytest.mark.parametrize(
    ("space", "action", "said"),
    [
        (TWO, 0.9, "type float64.*needs integers"),
        (TWO, 1.0, "type float64.*needs integers"),
        (TWO, 2, "the action 2, which is not in Discrete"),
        (TWO, -1, "the action -1"),
        (TWO, [1], r"shape \(1,\), and the environment needs \(\)"),
        (TWO, "1", "type <U1"),
        (spaces.Discrete(3, start=5), 4, "the action 4"),
        (PAIR, [1, 3], r"the action \[1 3\]"),
        (PAIR, [1.0, 2.0], "type float64"),
        (PAIR, [[1, 2]], r"shape \(1, 2\)"),
        (BITS, [0, 2], r"the action \[0 2\]"),
        (BITS, [0.0, 1.0], "type float64"),
        (LOW, [0.0, 1.5], r"the action \[0.*1.5\].*clip"),
        (LOW, 0.5, r"shape \(\)"),
        (WHOLE, [260], r"the action \[260\]"),
        (WHOLE, [2.5], "type float64"),
    ],
)
def test_actions_outside_of_the_space_are_refused(
    space: spaces.Space[Any], action: Any, said: str
) -> None:
    """Nothing is rounded, cut or clipped: what is scored is what was given."""
    make = partial(Sums, space)
    policy = ExternalPolicy(
        (0,), ObsSpec(make().observation_space), [Always(action)], action_space=space
    )
    with pytest.raises(UserError, match=f"predict gave .*{said}") as error:
        list(evaluate(policy, make, "final", 3))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("space", "action"),
    [
        *[(TWO, np.dtype(kind).type(1)) for kind in ("i1", "i2", "i8", "u1", "u4", "u8", "?")],
        (TWO, np.array(1)),
        (spaces.Discrete(3, start=5), 7),
        *[(PAIR, np.array([1, 2], kind)) for kind in ("i1", "u8", "i8")],
        (BITS, np.array([True, False])),
        (LOW, np.array([-1.0, 1.0])),
        (LOW, [0, 1]),
        (WHOLE, [9]),
    ],
)
def test_actions_in_the_space_are_played_as_they_are(space: spaces.Space[Any], action: Any) -> None:
    make = partial(Sums, space)
    policy = ExternalPolicy(
        (0,), ObsSpec(make().observation_space), [Always(action)], action_space=space
    )
    scores = [score for score in evaluate(policy, make, "final", 3) if score is not None]
    assert [score.ret for score in scores] == [5.0 * np.sum(action)] * 3


halves = Always(0.9)


def test_fractions_are_no_actions_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert here("eval", "--agent", "test_evaluate_external:halves", "--env", "CartPole-v1") == 2
    error = capsys.readouterr().err
    assert "predict gave actions of type float64" in error
    assert error.count("\n") == 1
