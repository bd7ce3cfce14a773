"""What a report is about: paths, benches and what they had planned, and mistakes in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report_files import write_bench, write_seeds, write_suite

from rlbench.errors import UserError
from rlbench.reporting.report.inputs import ReportInputs, find, scope
from rlbench.reporting.report.report_data import collect
from rlbench.reporting.tables.load import RUN


def seeds(found: ReportInputs) -> list[tuple[str, str, int, str]]:
    columns = ["env", "agent", "seed", "status"]
    return list(found.planned.runs[columns].itertuples(index=False, name=None))


def test_planned_seeds_that_are_not_there_are_missing(tmp_path: Path) -> None:
    write_seeds(tmp_path, "dqn", {0: 1.0, 1: 2.0, 7: 9.0})
    cell = {"env": "CartPole-v1", "agent": "dqn", "seeds": [0, 1, 2]}
    folder = write_suite(tmp_path, [cell])
    found = scope([folder])
    assert seeds(found) == [
        ("CartPole-v1", "dqn", 0, "done"),
        ("CartPole-v1", "dqn", 1, "done"),
        ("CartPole-v1", "dqn", 2, "missing"),  # and seed 7 is not of this bench
    ]
    assert found.planned.runs["reason"].tolist() == [""] * 3
    assert found.planned.runs["reward_threshold"].tolist() == [475.0] * 3
    assert set(found.results.runs["seed"]) == set(found.results.evaluations["seed"]) == {0, 1}
    assert (found.title, found.about) == ("trial", "A trial.")


def test_a_bench_calls_its_variants_as_it_likes(tmp_path: Path) -> None:
    write_seeds(tmp_path, "dqn", {0: 1.0}, variant="encoder=lstm", digest="aaaa0000")
    cells = [
        {"env": "CartPole-v1", "agent": "dqn", "name": "memory", "digest": "aaaa0000"},
        {"env": "Acrobot-v1", "agent": "dqn", "name": "memory", "digest": "bbbb0000"},
    ]
    found = collect(scope([write_suite(tmp_path, cells)]))
    assert found.names == ["dqn memory"]
    assert found.cells[["env", "n_done", "n_missing"]].values.tolist() == [
        ["Acrobot-v1", 0, 3], ["CartPole-v1", 1, 2],
    ]  # fmt: skip


def test_arguments_of_the_environment_are_a_part_of_its_name(tmp_path: Path) -> None:
    kwargs = {"gravity": 5, "wind": True, "sizes": [1, 2]}
    said = "learning_rate=0.1 gravity=5 wind=true sizes=1,2"
    write_seeds(tmp_path, "dqn", {0: 1.0}, variant=said, digest="aaaa0000", env_kwargs=kwargs)
    write_seeds(tmp_path, "dqn", {0: 2.0}, digest="bbbb0000")
    found = scope([tmp_path])
    assert found.results.runs[RUN].values.tolist() == [
        ["CartPole-v1", "dqn", "", "bbbb0000"],
        ["CartPole-v1 (gravity=5, wind=true, sizes=1,2)", "dqn", "learning_rate=0.1", "aaaa0000"],
    ]
    for table in (found.results.evaluations, found.results.metrics):
        assert set(table["env"]) == set(found.results.runs["env"])
    assert collect(found).pairs.empty  # nothing is compared across different worlds


def test_the_floor_beside_a_run_is_read_too(tmp_path: Path) -> None:
    run = write_seeds(tmp_path, "dqn", {0: 1.0})
    write_seeds(tmp_path, "random", {0: 0.5}, digest="aaaa0000")
    write_seeds(tmp_path, "random", {0: 0.5}, digest="bbbb0000", env_kwargs={"gravity": 5})
    write_seeds(tmp_path, "random", {0: 0.5}, env="Acrobot-v1", digest="cccc0000")
    found = collect(scope([run]))
    assert found.cells["digest"].tolist() == ["3f2a91bc", "aaaa0000"]
    assert found.names == ["dqn"]
    assert found.scales["CartPole-v1"].low == 0.5


def test_what_is_reported_on(tmp_path: Path) -> None:
    old, new = (write_suite(tmp_path, [], name) for name in ("old", "new"))
    os.utime(old / "suite.json", (1, 1))
    assert find([], tmp_path) == [new]
    assert find(["old", new / "suite.json"], tmp_path) == [old, new]
    assert find([], tmp_path / "empty") == [tmp_path / "empty"]
    with pytest.raises(UserError, match=r"'odl'\. Did you mean 'old'"):
        find(["odl"], tmp_path)


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        scope([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="no runs in"):
        scope([tmp_path])
    bench = write_suite(tmp_path, [{"env": "CartPole-v1", "agent": "dqn"}])
    with pytest.raises(UserError, match="nothing of trial has run yet"):
        scope([bench])
    unfinished = {"format": 1, "name": "x"}
    mistakes: list[Any] = [{"format": 2}, unfinished, [], {**unfinished, "cells": [{}]}]
    for broken in mistakes:
        (bench / "suite.json").write_text(json.dumps(broken))
        with pytest.raises(UserError, match="is corrupt"):
            scope([bench])


def test_commands_are_those_of_the_bench_or_of_the_runs(tmp_path: Path) -> None:
    write_seeds(tmp_path, "dqn", {0: 1.0})
    assert scope([tmp_path]).commands == ["rlbench run dqn --env CartPole-v1"]
    cells = [{"env": "CartPole-v1", "agent": "dqn"}]
    bench = write_suite(tmp_path, cells, commands=["rlbench run dqn --seeds 3"])
    assert scope([bench]).commands == ["rlbench bench trial", "rlbench run dqn --seeds 3"]


def test_two_benches_are_one_report(tmp_path: Path) -> None:
    write_bench(tmp_path)
    cells = [{"env": env, "agent": "dqn", "seeds": [0]} for env in ("CartPole-v1", "Pong-v5")]
    other = write_suite(tmp_path, cells, "other")
    third = write_suite(tmp_path, cells[1:], "third")
    found = scope([tmp_path / "benches" / "trial", other, third])
    assert found.title == "trial, other, third"
    assert not found.planned.runs.duplicated([*RUN, "seed"]).any()
    assert isinstance(found.planned.runs, pd.DataFrame)


def test_the_floor_has_the_step_limit_of_the_entrants(tmp_path: Path) -> None:
    """Without an end of its own an environment gives what the limit lets it: 1,000 or 5,000."""
    write_seeds(tmp_path, "dqn", {0: 500.0, 1: 510.0})  # 50,000 steps: cut after 5,000
    for limit, score in ((1_000, 10.0), (5_000, 50.0), (9_000, 90.0)):
        write_seeds(tmp_path, "random", {0: score, 1: score}, digest=f"{limit:08}",
                    eval_max_steps=limit)  # fmt: skip
    found = collect(scope([tmp_path]))
    floor = found.floor("CartPole-v1")
    assert floor is not None
    assert (floor["mean"], floor["label"]) == (50.0, "random, eval_max_steps=5000")
    assert found.scales["CartPole-v1"].low == 50.0


def test_runs_of_an_agent_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    config = {"learning_rate": 0.001, "double": True}
    runs: dict[str, dict[str, Any]] = {
        "aaaa0000": {},
        "bbbb0000": {"total_timesteps": 500_000},
        "cccc0000": {"variant": "double=true learning_rate=0.01",
                     "config": config | {"learning_rate": 0.01},
                     "changed": {"learning_rate": 0.01}},
    }  # fmt: skip
    for digest, changes in runs.items():
        write_seeds(tmp_path, "dqn", {0: 1.0}, digest=digest, **{"config": config} | changes)
    assert collect(scope([tmp_path])).names == [
        "dqn, 500k steps", "dqn, 50k steps", "dqn, learning_rate=0.01",
    ]  # fmt: skip
    write_seeds(tmp_path, "ppo", {0: 1.0}, digest="aaaa0000")
    write_seeds(tmp_path, "ppo", {0: 1.0}, digest="bbbb0000")  # nothing that is known differs
    assert collect(scope([tmp_path])).names[3:] == ["ppo #aaaa0000", "ppo #bbbb0000"]
