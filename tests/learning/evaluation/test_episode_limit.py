"""Evaluation ends, whatever the environment does; what was cut is marked and told."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import TINY, here, run_folder, table
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import TimeLimit

from rlbench.agents import DQN, SB3DQN
from rlbench.console import progress
from rlbench.envs.images.classify import Classify
from rlbench.envs.images.env import VARIANTS, ImageEnv
from rlbench.experiments.planning import baseline_limit, plan
from rlbench.experiments.preflight import preflight
from rlbench.experiments.suite import loads
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.evaluation import episodes as evaluation
from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.evaluation.episodes import play
from rlbench.learning.evaluation.image_sweep import PATIENCE, sweep_split
from rlbench.learning.policies.policy import Policy
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.reporting.tables.load import load
from rlbench.reporting.tables.row_files import EVALUATIONS, LATER
from rlbench.reporting.tables.summaries import overall
from rlbench.rows import Evaluation


class Endless(gymnasium.Env[Any, Any]):
    """Ends an episode after `length` steps, or never; the reward is 1."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, length: float = np.inf) -> None:
        self.length, self.t = length, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return np.zeros(2, np.float32), 1.0, self.t >= self.length, False, {}


class Swallows(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Hides that the environment inside was cut, as trials of several episodes do."""

    def step(self, action: Any) -> Any:
        obs, reward, ended, _, info = self.env.step(action)
        return obs, reward, ended, False, info


class Registered(Endless):
    spec = EnvSpec("Registered-v0", entry_point="test_episode_limit:Endless", max_episode_steps=30)


class Still(Policy):
    """Always the first action."""

    def step(self, obs: Any, carry: Any, first: Any, deterministic: bool) -> Any:
        return np.zeros(obs.shape[:2], np.int64), None


def still(make: Any) -> Still:
    return Still((0, 1), ObsSpec(make().observation_space))


@pytest.mark.parametrize(
    ("make", "usual", "steps"),
    [
        (Endless, 40, 40),
        (Registered, 40, 30),
        (lambda: TimeLimit(Endless(), 30), 40, 40),  # which ends episodes itself
        (lambda: Swallows(TimeLimit(Endless(), 30)), 40, 40),
        (lambda: Swallows(TimeLimit(Endless(), 50)), 40, 50),
        (partial(gymnasium.make, "CartPole-v1"), 40, 500),
        (partial(gymnasium.make, "CartPole-v1"), 1000, 1000),
        (lambda: gymnasium.make("CartPole-v1").unwrapped, 40, 40),
        (partial(gymnasium.make, "CliffWalking-v1"), 27_000, 27_000),
    ],
)
def test_where_the_limit_comes_from(make: Any, usual: int, steps: int) -> None:
    assert StepLimit(None, usual).of(make()) == steps
    assert StepLimit(7, usual).of(make()) == 7


@pytest.mark.parametrize(
    ("length", "limit", "steps", "cut"),
    [(np.inf, 20, 20, True), (30, 20, 20, True), (20, 20, 20, False), (5, 20, 5, False)],
)
def test_episodes_are_cut_at_the_limit(length: float, limit: int, steps: int, cut: bool) -> None:
    """Marked where the environment did not end them in that very step itself."""
    make = partial(Endless, length)
    scores = [s for s in play(still(make), make, range(23), StepLimit(limit)) if s is not None]
    assert len(scores) == 2 * 23
    assert {(s.ret, s.length, s.cut) for s in scores} == {(steps, steps, cut)}


def test_limits_of_the_environment_are_not_marked() -> None:
    make = partial(TimeLimit, Endless(), 30)
    scores = [s for s in play(still(make), make, range(3)) if s is not None]
    assert {(s.length, s.cut) for s in scores} == {(30, False)}


@pytest.mark.parametrize("agent", [DQN, SB3DQN])
def test_learning_in_an_environment_without_end(agent: Any) -> None:
    """The default is a tenth of the steps trained, 1,000 at least; peers have the same."""
    for given, steps in ((None, 1000), (9, 9)):
        rows: list[Any] = []
        agent(Endless, device="cpu").learn(
            4, rows.append, eval_freq=None, eval_episodes=2, eval_max_steps=given
        )
        found = [row for row in rows if isinstance(row, Evaluation)]
        assert {(row.ret, row.length, row.cut) for row in found} == {(steps, steps, 1)}
    assert TrainingSchedule(20_000).limit.of(Endless()) == 2_000
    assert TrainingSchedule(10_000_000).limit.of(Endless()) == 27_000


RUN = ["run", "dqn", "--env", "test_episode_limit:Endless", "-n", "60", "--seeds", "2",
       "--eval-episodes", "3", "--final-episodes", "12", *TINY]  # fmt: skip


def test_a_run_in_an_environment_without_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said before, marked in rows, told after, in reports too; and played again to the same end."""
    assert here(*RUN, "--eval-max-steps", "20", "--out", tmp_path) == 0
    said = capsys.readouterr()
    assert "has no step limit: evaluation cuts episodes after 20" in said.err
    assert "24 of 24 final episodes did not end within the step limit" in said.out
    run = run_folder(tmp_path)
    saved = json.loads((run / "run.json").read_text())
    assert saved["eval_max_steps"] == saved["identity"]["eval_max_steps"] == 20
    assert saved["final_episodes"] == 12
    rows = table(run, "evaluations")
    assert {(row["length"], row["return"], row["cut"]) for row in rows} == {("20", "20.0", "1")}
    assert sum(row["phase"] == "final" for row in rows) == 24
    assert here("eval", run, "--out", tmp_path) == 0
    said = capsys.readouterr()
    assert "over 12 episodes" in said.out
    assert "equal to the recorded final evaluation" in said.out
    assert here("report", run, "--out", tmp_path) == 0
    page = (run / "report.md").read_text()
    assert "24 of 24 final episodes did not end within the limit of 20 steps" in page


def test_only_a_limit_that_is_another_is_a_part_of_the_identity() -> None:
    def planned(env: str, **given: Any) -> dict[str, Any]:
        return plan("dqn", env, (0,), total_timesteps=60, preset=False, **given).identity()

    for env, usual in (("test_episode_limit:Endless", 1000), ("CartPole-v1", 1000)):
        assert planned(env) == planned(env, eval_max_steps=usual)
        assert planned(env, eval_max_steps=7) == {**planned(env), "eval_max_steps": 7}
    assert baseline_limit(EnvSource("CartPole-v1"), 60) is None
    assert baseline_limit(EnvSource("test_episode_limit:Endless"), 60) == 1000
    assert baseline_limit(EnvSource("test_episode_limit:Endless"), None) == 27_000


def test_planning_says_where_no_limit_is_known() -> None:
    assert "has no step limit" not in preflight(
        plan("dqn", "CartPole-v1", (0,), total_timesteps=60)
    )
    told = preflight(plan("dqn", "CliffWalking-v1", (0,), total_timesteps=50_000))
    assert "CliffWalking-v1 has no step limit: evaluation cuts episodes after 5,000" in told


def test_guests_have_the_limit_too(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["eval", "--agent", "test_episode_limit:guest", "--env", "test_episode_limit:Endless"]
    assert here(*args, "--episodes", "4", "--eval-max-steps", "15") == 0
    said = capsys.readouterr().out
    assert "mean return 15.0 +- 0.0" in said
    assert "4 of 4 episodes did not end and were cut after 15 steps" in said
    assert here("eval", "somewhere", "--eval-max-steps", "15") == 2
    assert "a RUN is evaluated with its own step limit" in capsys.readouterr().err


class Guest:
    def predict(self, obs: Any, *_: Any) -> Any:
        return np.zeros(len(obs), np.int64), None


guest = Guest()


def test_suites_say_it_too() -> None:
    text = 'name = "a"\nagents = ["dqn", "random"]\nfinal_episodes = 7\neval_max_steps = 30\n'
    read = loads(text + '[[env]]\nid = "CartPole-v1"\n', "a.toml")
    assert (read.final_episodes, read.eval_max_steps) == (7, 30)


def test_long_evaluations_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line now and then, and never "0 s left" while there is something left to do."""
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    monkeypatch.setattr(evaluation, "PULSE_SECONDS", 0.0)
    assert here(*RUN, "--eval-max-steps", "40", "--out", tmp_path) == 0
    said = capsys.readouterr().err
    assert "evaluating 0 of 3 episodes, " in said
    assert "evaluating 10 of 12 episodes, " in said
    assert ", 0 s left" not in said
    assert " s left" in said


def test_rows_of_older_files_were_not_cut(tmp_path: Path) -> None:
    """Columns were added at the end, twice; any other first line is refused."""
    assert list(EVALUATIONS)[-len(LATER) :] == list(LATER)
    reference = Path(__file__).resolve().parents[3] / "results/reference/CartPole-v1"
    folder = next(iter(sorted(reference.glob("dqn-*"))))
    assert "cut" not in (next(folder.glob("*/evaluations.csv"))).read_text().partition("\n")[0]
    results = load(folder)
    assert len(results.evaluations)
    assert not results.evaluations["cut"].any()
    assert not overall(results)["cut"].any()


class Never(Classify):
    """An image is looked at for ever, unless it is the first."""

    def step(self, action: np.ndarray) -> Any:
        out = super().step(action)
        kept = self.asked == 0
        return out._replace(answered=kept & out.answered, right=kept & out.right)

    def begin(self, index: Any) -> Any:
        self.asked = np.asarray(index)
        return super().begin(index)


class NeverEnv(ImageEnv):
    """Never answers but for image 0 of a sweep."""

    def __init__(self) -> None:
        super().__init__("Never")

    def step(self, action: Any) -> Any:
        out = super().step(action)
        self.answer = (self.answer[0], False, False)
        return out


@pytest.mark.parametrize("wrapped", [False, True])
def test_sweeps_end_where_images_are_never_answered(
    wrapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not answered is wrong, has no answer, and is counted."""
    monkeypatch.setitem(VARIANTS, "Never", Never)
    make: Any = (lambda: Swallows(NeverEnv())) if wrapped else NeverEnv
    *_, made = sweep_split(still(make), make, "test", StepLimit(3) if wrapped else StepLimit())
    assert made is not None
    answered = 0 if wrapped else 1
    assert (~made.cut).sum(1).tolist() == [answered] * 2
    assert not made.right[made.cut].any()
    assert (made.predictions[made.cut] == -1).all()
    assert set(made.lengths[made.cut].tolist()) == {3 if wrapped else PATIENCE}
