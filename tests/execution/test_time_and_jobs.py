"""Where time goes, how many processes are usual, and updates that are compiled."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import TINY, here
from lockstep import make
from worlds import World

from rlbench.agents import DQN, PPO, SAC
from rlbench.experiments import cost_estimate, planning
from rlbench.experiments.cost_estimate import CostEstimate, usual_jobs
from rlbench.learning.training.time_profile import PARTS, TimeProfile


def test_the_parts_are_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run's parts add up to what passed; each has a column of metrics and a line in the table."""
    out = ["--out", tmp_path, "--seeds", 2, "-n", 600, *TINY]
    assert here("run", "dqn", "--env", "CartPole-v1", *out, "-q") == 0
    (folder,) = tmp_path.glob("CartPole-v1/dqn-*")
    (part,) = folder.glob("seeds-*")
    told = json.loads((part / "part.json").read_text())
    assert list(told["time"]) == list(PARTS)
    assert all(spent > 0.0 for spent in told["time"].values())
    known = sum(told["time"][name] for name in ("env", "act", "replay", "update"))
    assert 0.5 * told["seconds"] < known <= 1.01 * told["seconds"]
    assert told["time"]["evaluation"] > 0.0
    metrics = pd.read_csv(next(part.glob("metrics.csv*")))
    assert {f"time/{name}" for name in PARTS} <= set(metrics["key"])
    capsys.readouterr()
    assert here("show", folder, "--time", "--out", tmp_path) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in PARTS)
    assert "1,200 env steps, those of all seeds together" in said
    assert here("show", "dqn", "--time", "--out", tmp_path) == 2


def test_a_split_goes_on_where_it_was() -> None:
    split = TimeProfile()
    split.step(0.0, 1.0, 3.0, 0.25)
    with split.evaluation():
        pass
    state = split.state()
    assert state["act"] == 1.0
    assert state["env"] == 2.0
    assert state["update"] == 0.25
    other = TimeProfile()
    other.restore(state)
    assert other.read() == pytest.approx(state, abs=0.05)


@pytest.mark.parametrize(
    ("seconds", "cores", "seeds", "jobs"),
    [(19.0, 4, 10, 1), (21.0, 4, 10, 4), (21.0, 2, 10, 2), (900.0, 7, 10, 5), (900.0, 64, 3, 3)],
)
def test_default_jobs_depend_on_cores_seeds_and_length(
    seconds: float, cores: int, seeds: int, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many processes as cores, fewer where that makes no part smaller; one for a short run."""
    monkeypatch.setattr(cost_estimate, "estimate", lambda *_: CostEstimate(seconds, "told", 0.18))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    planned = planning.plan("dqn", "CartPole-v1", range(seeds), device="cpu")
    assert usual_jobs(planned, Path("nowhere")) == jobs


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"encoder": "lstm"}, "memories have gradients"),
        ({"dropout": 0.1}, "freeze what dropout"),
        ({"encoder": "worlds:Own"}, "freeze what dropout and modules"),
        ({"agent": "sb3-dqn"}, "updates of Stable-Baselines3 are its own"),
    ],
)
def test_what_is_not_compiled(
    parameters: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    agent = parameters.get("agent", "dqn")
    given = [x for k, v in parameters.items() if k != "agent" for x in ("-p", f"{k}={v}")]
    where = ["--env", "CartPole-v1", "--compile", "--out", tmp_path]
    assert here("run", agent, *where, *given) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own
@pytest.mark.parametrize(
    ("kind", "action", "given"),
    [
        (DQN, "discrete", {"learning_starts": 20, "batch_size": 32, "train_freq": 1}),
        pytest.param(
            PPO,
            "discrete",
            {"n_steps": 16, "batch_size": 16, "n_epochs": 2},
            marks=pytest.mark.exhaustive,
        ),
        (SAC, "box6", {"learning_starts": 20, "batch_size": 32}),
    ],
)
def test_compiled_updates_differ_by_rounding_and_report_costs(
    kind: Any, action: str, given: dict[str, Any]
) -> None:
    """They differ from the others by rounding alone, and tell what they cost."""
    plain, compiled = (
        make(kind, lambda: World("vector", action), 2, net_arch=(16,), **given, compile=flag)
        for flag in (False, True)
    )
    for agent in (plain, compiled):
        agent.learn(60)
    (first, *_), (other, *_) = plain.learners(), compiled.learners()
    assert other.optimizer.updates == first.optimizer.updates > 3
    assert (first.stack.data - other.stack.data).abs().max() < 1e-4
    assert not plain.learner.compilations()
    for told in other.compilations():
        assert told["seconds"] > 0.0
        assert 0.0 < told["update_after"] < 1.0
