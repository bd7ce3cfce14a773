"""Runs of peers on disk: rows, parts, failures, stops, one-line errors."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import arrays, eager, here, run_folder, table, tables, wait_for

import rlbench
from rlbench import agents
from rlbench.errors import UserError
from rlbench.learning.rng import evaluation_seeds
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.reporting.tables.summaries import overall

TINY = ["-p", "learning_starts=50", "-p", "buffer_size=300", "-p", "batch_size=8",
        "-p", "train_freq=4", "-p", "gradient_steps=1", "-p", "net_arch=16",
        "--eval-episodes", "2"]  # fmt: skip


def part_of(out: Path, agent: str = "sb3-dqn") -> dict[str, Any]:
    (file,) = run_folder(out, agent).glob("seeds-*/part.json")
    return dict(json.loads(file.read_text()))


def test_a_run_is_as_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows, folders, plots, tables and a second evaluation, and what it took in seconds."""
    args = [
        "sb3-dqn",
        "--env",
        "CartPole-v1",
        "--seeds",
        "2",
        "-n",
        "500",
        *TINY,
        "--out",
        tmp_path,
    ]
    assert here("run", *args) == 0
    assert "sb3-dqn cannot: loss=mse" in capsys.readouterr().err
    folder, part = run_folder(tmp_path, "sb3-dqn"), part_of(tmp_path)
    assert (folder / "curve.png").is_file()
    assert json.loads((folder / "run.json").read_text())["cannot"] == {"loss": "mse"}
    assert part["versions"]["stable_baselines3"]
    evaluations = table(folder, "evaluations")
    grid = [int(row["step"]) for row in evaluations if (row["seed"], row["phase"]) == ("0", "grid")]
    assert grid == [step for step in range(0, 501, 50) for _ in range(2)]
    finals = [int(row["eval_seed"]) for row in evaluations if row["phase"] == "final"]
    assert finals == 2 * evaluation_seeds("final", 100)
    keys = {row["key"] for row in table(folder, "metrics")}
    assert {"train/loss", "train/n_updates", "rollout/ep_rew_mean"} <= keys
    episodes = [row for row in table(folder, "episodes") if row["seed"] == "1"]
    assert [int(row["episode"]) for row in episodes] == list(range(len(episodes)))
    assert sum(float(row["length"]) for row in episodes) <= 500
    samples = [int(row["samples"]) for row in evaluations if row["seed"] == "1"]
    assert samples[-1] == 8 * (500 - 52) // 4 + 8
    results = rlbench.load(folder)
    assert set(results.runs["lockstep"]) == {1}
    assert results.runs["seconds"].sum() == pytest.approx(part["seconds"], abs=0.01)
    assert overall(results)["seconds"].item() == pytest.approx(part["seconds"], abs=0.01)
    last = results.evaluations.groupby("seed")["time"].max()
    assert np.allclose(last, results.runs.set_index("seed")["seconds"], atol=0.01)
    assert here("eval", folder) == 0
    assert "equal to the recorded" in capsys.readouterr().out
    for command in (["show", folder], ["show", "sb3-dqn"], ["compare", folder], ["plot", folder]):
        assert here(*command, "--out", tmp_path) == 0
    assert "loss = huber" in capsys.readouterr().out
    assert here("run", *args, "--quiet") == 0  # nothing is left to do
    assert part_of(tmp_path) == part


@pytest.mark.parametrize(
    ("env", "status", "reason"),
    [
        ("peers:Second", "failed", "RuntimeError: a wheel came off at step 50"),
        ("peers:Unrewarded", "diverged", "reward became NaN or infinite at step 50"),
        ("peers:Unseen", "diverged", "observation became NaN or infinite at step 50"),
    ],
)
def test_a_seed_that_breaks_leaves_the_others(
    env: str, status: str, reason: str, tmp_path: Path
) -> None:
    args = ["--env", env, "--seeds", "3", "-n", "100", *TINY, "--out", tmp_path, "--quiet"]
    assert here("run", "sb3-dqn", *args) == 1
    part = part_of(tmp_path)
    assert part["status"] == {"0": "done", "1": status, "2": "done"}
    assert part["reason"] == {"1": reason}
    seeds = [row["seed"] for row in table(run_folder(tmp_path, "sb3-dqn"), "evaluations")]
    assert seeds.count("0") == seeds.count("2") == 22 + 100
    assert 0 < seeds.count("1") < 22
    ends = [row for row in table(run_folder(tmp_path, "sb3-dqn"), "episodes") if row["seed"] == "1"]
    assert 20 < sum(int(row["length"]) for row in ends) <= 50
    assert here("eval", run_folder(tmp_path, "sb3-dqn"), "--episodes", "2") == 0


def test_weights_that_run_away_are_divergence(tmp_path: Path) -> None:
    args = ["--env", "CartPole-v1", "--seeds", "1", "-n", "3000", "--out", tmp_path, "--quiet"]
    wild = ["-p", "learning_rate=1e30", "-p", "max_grad_norm=none", "--eval-episodes", "1"]
    assert here("run", "sb3-ppo", *args, *wild) == 1
    part = part_of(tmp_path, "sb3-ppo")
    assert part["status"] == {"0": "diverged"}
    assert "NaN or infinite at step" in part["reason"]["0"]


LONG = ["run", "sb3-dqn", "--env", "CartPole-v1", "--seeds", "3", "-n", "700", *TINY]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that was never interrupted."""
    out = tmp_path_factory.mktemp("whole")
    assert here(*LONG, "--out", out, "--quiet") == 0
    return out


def test_terminated_inside_a_seed_and_resumed(tmp_path: Path, whole: Path) -> None:
    """Seeds that ended are kept, the one under way begins anew, and it is said."""

    def second_has_begun() -> bool:
        files = list(tmp_path.glob("*/sb3-dqn-*/seeds-*/episodes.csv"))
        return bool(files) and "\n1,1" in files[0].read_text()

    child = eager(*LONG, "--out", tmp_path, cwd=tmp_path)
    wait_for(second_has_begun, child)
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == 143
    part = part_of(tmp_path)
    assert part["status"] == {"0": "done", "1": "running", "2": "running"}
    (episodes,) = tmp_path.glob("*/sb3-dqn-*/seeds-*/episodes.csv")
    first = [line for line in episodes.read_text().splitlines() if line.startswith("0,")]
    child = eager("resume", run_folder(tmp_path, "sb3-dqn"), "--out", tmp_path, cwd=tmp_path)
    assert child.wait(60) == 0
    log = (tmp_path / "log").read_text()
    assert "the seed under way began anew" in log
    assert "Traceback" not in log
    assert [line for line in episodes.read_text().splitlines() if line[:2] == "0,"] == first
    one, two = run_folder(tmp_path, "sb3-dqn"), run_folder(whole, "sb3-dqn")
    assert tables(one) == tables(two)
    (mine,), (its,) = (list(folder.glob("seeds-*/agent.npz")) for folder in (one, two))
    assert arrays(mine) == arrays(its)
    assert part_of(tmp_path)["restarts"] == 1


def test_stopped_by_the_clock(tmp_path: Path, whole: Path) -> None:
    args = [*LONG, "--out", tmp_path, "--quiet"]
    assert here(*args, "--max-seconds", "0.3") == 124
    assert part_of(tmp_path)["status"]["2"] == "running"
    assert here(*args) == 0
    assert tables(run_folder(tmp_path, "sb3-dqn")) == tables(run_folder(whole, "sb3-dqn"))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["sb3-dqn", "--env", "CartPole-v1", "-p", "loss=mse"], "should be 'huber'"),
        (["sb3-dqn", "--env", "CartPole-v1", "-p", "double=true"], "no Double DQN; leave it out"),
        (["sb3-dqn", "--env", "CartPole-v1", "-p", "dropout=0.1"], "dropout=0.1"),
        (["sb3-dqn", "--env", "CartPole-v1", "-p", "burn_in=4"], "burn_in=4"),
        (["sb3-dqn", "--env", "CartPole-v1", "--encoder", "lstm"], "'auto', 'mlp' or 'cnn'"),
        (["sb3-ppo-lstm", "--env", "CartPole-v1", "--encoder", "mlp"], "'mlp+lstm'"),
        (["sb3-dqn", "--env", "CartPole-v1", "-p", "bufer_size=9"], "Did you mean 'buffer_size'"),
        (["sb3-dqn", "--env", "CartPole-v1", "--n-envs", "3"], "must be a multiple or a divisor"),
        (["sb3-dqn", "--env", "Pendulum-v1"], "Agents that can: a2c"),
        (["sb3-dqn", "--env", "rlbench/Classify-Digits-v0"], "not images of a data set"),
        (["sb3-dqn", "--env", "rlbench/Catch-v0", "-p", "settings=defaults"], "36 pixels"),
        (["sb3-dqn", "--env", "worlds:World", "--env-kwargs", "action=offset"], "count from 0"),
        (["sb3-dqn", "--env", "worlds:World", "--env-kwargs", "obs=mixed"], "not Dict"),
        (["sb3-ppo", "--env", "worlds:World", "--env-kwargs", "action=free"], "bounded actions"),
        (["sb3-dqn", "--env", "CartPole-v1", "-p", "buffer_size=1e13"], "would take"),
    ],
)
def test_mistakes_are_one_line(
    args: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("run", *args, "-n", "100", "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    for given in ([], ["-p", "settings=defaults"]):
        args = ["sb3-qrdqn", "--env", "CartPole-v1", "-n", "100", *given, "--out", tmp_path]
        assert here("run", *args) == 2
        assert "pip install 'rlbench-workbench[contrib]'" in capsys.readouterr().err


def test_a_run_that_is_stopped_before_it_begins(tmp_path: Path) -> None:
    agent = agents.SB3A2C("CartPole-v1")
    agent.set_horizon(10)
    agent.trainer(TrainingSchedule(10)).close()
    with pytest.raises(UserError, match="call learn"):
        agent.save(tmp_path / "agent.npz")
