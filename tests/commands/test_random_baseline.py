"""The random policy beside a run: once for an environment, bounded, shown, and without a price."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import TINY, here
from gymnasium import spaces
from store_files import write_part, write_run

from rlbench.commands import train
from rlbench.commands.random_baseline import baseline_of
from rlbench.commands.report import floor_runs
from rlbench.execution.stopping import StopSignal
from rlbench.experiments.planning import plan
from rlbench.experiments.suite import loads
from rlbench.experiments.suite_cells import cells
from rlbench.reporting.figures.learning_curves import learning_curve
from rlbench.reporting.tables.load import load

ENV = "test_random_baseline:Short"
RUN = ["run", "dqn", "--env", ENV, "-n", "60", "--seed", "0", "--eval-episodes", "2", *TINY]


class Short(gymnasium.Env[Any, Any]):
    """Five steps; the reward is the action, times `scale`. Broken where its file `broken` is."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)
    broken: Path | None = None

    def __init__(self, scale: float = 1.0, length: int = 5) -> None:
        self.scale, self.length, self.t = scale, length, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        if self.broken is not None and self.broken.exists():
            raise RuntimeError("out of paper")
        self.t += 1
        return np.zeros(2, np.float32), self.scale * action, self.t >= self.length, False, {}


def floors(out: Path) -> dict[str, bytes]:
    """The files of random runs, with their content."""
    files = [f for f in out.glob("*/random-*/**/*") if f.is_file() and f.name != "lock"]
    return {str(file): file.read_bytes() for file in files}


def identities(out: Path) -> list[dict[str, Any]]:
    found = sorted(out.glob("*/random-*/run.json"))
    return [json.loads(file.read_text())["identity"] for file in found]


def test_the_floor_is_shown_and_computed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here(*RUN, "--out", tmp_path) == 0
    assert (
        "scoring the random policy as a floor (skip it with --no-floor" in capsys.readouterr().err
    )
    before = floors(tmp_path)
    assert before
    assert here(*RUN, "-p", "gamma=0.5", "--out", tmp_path) == 0
    assert "random policy" not in capsys.readouterr().err
    assert floors(tmp_path) == before
    assert here(*RUN, "--final-episodes", "120", "--out", tmp_path) == 0  # it needs a better one
    assert "random policy" in capsys.readouterr().err
    assert [i.get("final_episodes") for i in identities(tmp_path)].count(120) == 1


def test_the_floor_can_be_left_out(tmp_path: Path) -> None:
    assert here(*RUN, "--no-floor", "-q", "--out", tmp_path) == 0
    assert not floors(tmp_path)


SUITE = """
name = "a"
agents = ["random"]
seeds = 2
eval_episodes = 3
eval_freq = 20
preset = false
[[env]]
id = "{env}"
steps = 60
{more}
"""


@pytest.mark.parametrize(
    ("env", "more", "given"),
    [
        (ENV, "", {}),
        (ENV, "kwargs = {{ scale = 2.0 }}", {"env_kwargs": {"scale": 2.0}}),
        (ENV, 'wraps = ["test_random_baseline:Same"]', {"wraps": ["test_random_baseline:Same"]}),
        ("CartPole-v1", "", {}),
        ("rlbench/Classify-Digits-v0", "", {}),
    ],
)
def test_run_and_bench_plan_one_floor(
    env: str, more: str, given: dict[str, Any], tmp_path: Path
) -> None:
    """Whatever grid, presets and number of environments either of them has."""
    suite = loads(SUITE.format(env=env, more=more.format()), "a.toml")
    (cell,) = cells(suite, (0, 1), "cpu", tmp_path)
    planned = plan("dqn", env, (0,), total_timesteps=60, n_envs=2, eval_freq=30, **given)
    assert cell.run
    assert cell.run.identity() == baseline_of(planned).identity()


@pytest.mark.slow
@pytest.mark.parametrize("first", ["run", "bench"])
def test_run_and_bench_share_one_floor(first: str, tmp_path: Path) -> None:
    file = tmp_path / "suite.toml"
    file.write_text(SUITE.format(env=ENV, more="kwargs = { scale = 2.0 }"))
    commands: dict[str, list[Any]] = {
        "run": [*RUN, "--env-kwargs", "scale=2.0", "--n-envs", "2", "--eval-freq", "30", "-q"],
        "bench": ["bench", file, "--no-report", "-q", "--jobs", "1"],
    }
    for name in sorted(commands, key=lambda name: name != first):
        assert here(*commands[name], "--out", tmp_path / "out") == 0
    assert len(identities(tmp_path / "out")) == 1
    results = load(tmp_path / "out")
    assert (results.runs["status"] == "done").all()
    assert results.runs.query("agent == 'random'")["seed"].tolist() == [0, 1]


class Same(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Changes nothing."""


class Once(StopSignal):
    """Says stop, and breaks the environment, once the floor has begun."""

    def __init__(self, out: Path, code: int) -> None:
        super().__init__()
        self.out, self.chosen = out, code

    def __call__(self) -> int:
        if list(self.out.glob("*/random-*/*/part.json")):
            if self.chosen:
                self.code = self.chosen
            elif Short.broken is not None:
                Short.broken.touch()
        return super().__call__()


@pytest.mark.parametrize("code", [124, 130])
def test_a_floor_that_is_stopped_costs_the_run_nothing(
    code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run ends as it would have, and nothing that looks like a run is left behind."""
    planned = plan("dqn", ENV, (0,), total_timesteps=60, preset=False, device="cpu",
                   final_episodes=2, env_kwargs={"length": 400})  # fmt: skip
    exit_code = code if code > 128 else 0  # a signal shows, a time limit costs the run nothing
    assert train.train(planned, tmp_path, 1, Once(tmp_path, code), quiet=False) == exit_code
    said = capsys.readouterr()
    assert "stopped before the random policy was scored" in said.err
    assert "curve" in said.out
    runs = load(tmp_path).runs
    assert runs[["agent", "status"]].to_numpy().tolist() == [["dqn", "done"]]
    assert train.train(planned, tmp_path, 1, StopSignal(), quiet=True) == 0  # now it is made
    assert load(tmp_path).runs["agent"].tolist() == ["dqn", "random"]


def test_a_floor_that_fails_costs_the_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Short, "broken", tmp_path / "broken")
    planned = plan("dqn", ENV, (0,), total_timesteps=60, preset=False, device="cpu",
                   final_episodes=2, env_kwargs={"length": 400})  # fmt: skip
    assert train.train(planned, tmp_path / "out", 1, Once(tmp_path / "out", 0), quiet=True) == 0
    assert (tmp_path / "broken").exists()
    runs = load(tmp_path / "out").runs.set_index("agent")["status"].to_dict()
    assert runs == {"dqn": "done", "random": "failed"}


def test_no_time_is_left_for_the_floor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Over(StopSignal):
        def __call__(self) -> int:
            return 124 if list(tmp_path.glob("*/dqn-*/*/agent.npz")) else 0

    planned = plan("dqn", ENV, (0,), total_timesteps=60, preset=False, device="cpu")
    assert train.train(planned, tmp_path, 1, Over(), quiet=False) == 0
    assert "the random baseline is not scored" in capsys.readouterr().err
    assert not floors(tmp_path)


def test_the_floor_has_the_limit_of_its_run(tmp_path: Path) -> None:
    """Where episodes never end; and where the run was given one."""
    args = [*RUN, "--env-kwargs", "length=1000000", "--final-episodes", "2", "-q"]
    assert here(*args, "--eval-max-steps", "30", "--out", tmp_path) == 0
    (identity,) = identities(tmp_path)
    assert identity["eval_max_steps"] == 30
    rows = load(tmp_path).evaluations.query("agent == 'random'")
    assert set(rows["length"]) == {30}
    assert rows["cut"].all()


def test_a_random_forest_is_no_floor(tmp_path: Path) -> None:
    """Its folder begins with the same word."""
    run = write_run(tmp_path, agent="dqn", digest="11112222")
    forest = write_run(tmp_path, agent="random-forest", digest="33334444")
    write_part(forest, {0: {0: [1.0]}})
    assert floor_runs(run) == []
    floor = write_run(tmp_path, agent="random", digest="00000000", total_timesteps=0)
    write_part(floor, {0: {0: [1.0]}})
    assert floor_runs(run) == [floor]


def test_one_line_for_the_floor_is_drawn(tmp_path: Path) -> None:
    """Of several random runs the one with the most seeds."""
    assert here(*RUN, "-q", "--out", tmp_path) == 0
    more = ["run", "random", "--env", ENV, "--seeds", "3", "--eval-episodes", "4", "-q",
            "--eval-max-steps", "1000"]  # fmt: skip
    assert here(*more, "--out", tmp_path) == 0
    (run,) = tmp_path.glob("*/dqn-*")
    (floor,) = floor_runs(run)
    assert len(load(floor).runs) == 3
    (axes,) = learning_curve(load(tmp_path)).axes
    assert sum(text.get_text().startswith("random policy") for text in axes.texts) == 1
