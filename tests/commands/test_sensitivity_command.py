"""`rlbench sensitivity`: a suite of every combination, with a table and figures."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import TINY, here
from report_files import write_seeds, write_suite

from rlbench.experiments import suite
from rlbench.experiments.sensitivity import suite_text
from rlbench.reporting.report import section_sensitivity
from rlbench.reporting.report.inputs import scope
from rlbench.reporting.report.report_data import collect
from rlbench.tuning import space


def test_every_combination_is_a_cell() -> None:
    values: dict[str, list[Any]] = {
        "gamma": [0.9, 0.99],
        "max_grad_norm": [None, 0.5],
        "net_arch": ["64,64", "32"],
    }
    text = suite_text("dqn", ["CartPole-v1"], values, ["batch_size=16"], 500, {"preset": False})
    read = suite.loads(text, "here")
    assert read.name.startswith("sensitivity-dqn-")
    entrants = read.entrants()
    assert len(entrants) == 8
    assert entrants[0][1] == "gamma=0.9 max_grad_norm=none net_arch=64,64"
    expected = {"batch_size": 16, "gamma": 0.9, "max_grad_norm": None, "net_arch": "64,64"}
    assert entrants[0][2] == expected
    assert read.env[0].steps == 500


def test_ranges_become_points() -> None:
    [rate, units] = space.parse(
        "dqn", [("learning_rate", "log:1e-4..1e-2"), ("batch_size", "int:1..4")]
    )
    assert rate.points(5) == pytest.approx([1e-4, 10**-3.5, 1e-3, 10**-2.5, 1e-2], rel=1e-3)
    assert units.points(9) == [1, 2, 3, 4]


def test_scores_of_the_grid_are_those_of_the_seeds(tmp_path: Path) -> None:
    """By hand: two environments that want opposite learning rates, and the same gamma."""
    text = suite_text("dqn", ["A-v0", "B-v0"], {"gamma": [0.9, 0.99], "tau": [0.1, 1.0]}, [], 1, {})
    read = suite.loads(text, "here")
    cells: list[dict[str, Any]] = []
    expected = np.zeros((2, 2, 2, 3))
    for e, env in enumerate(("A-v0", "B-v0")):
        for at, (name, _) in enumerate(
            read.sensitivity.variants().items() if read.sensitivity else ()
        ):
            scores = {seed: float(10 * (at // 2) + 10 * (at % 2 if e else 1 - at % 2) + seed / 10)
                      for seed in range(3)}  # fmt: skip
            expected[e, at // 2, at % 2] = list(scores.values())
            digest = f"{e}{at}000000"
            write_seeds(tmp_path, "dqn", scores, env=env, digest=digest, variant=name)
            cells.append({"env": env, "agent": "dqn", "name": name, "digest": digest,
                          "folder": f"{env}/dqn-{digest}"})  # fmt: skip
    home = write_suite(tmp_path, cells, suite=read.model_dump(mode="json"))
    [grid] = section_sensitivity.grids(collect(scope([home])))
    assert grid.envs == ["A-v0", "B-v0"]
    assert np.array_equal(grid.scores, expected)
    [row] = section_sensitivity.table([grid]).rows
    assert row[2].text == "1 of 2"  # tau alone
    assert "A-v0: gamma=0.99 tau=0.1; B-v0: gamma=0.99 tau=1" in row[-1].text
    axes = section_sensitivity.figure(grid).axes
    assert len(axes) == 4
    assert [axis.get_xlabel() for axis in axes] == ["gamma", "tau"] * 2


def test_the_command_runs_resumes_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sensitivity", "dqn", "--env", "CartPole-v1", "-s", "gamma=0.9|0.99", "-s",
               "learning_rate=log:1e-3..1e-2", "--points", 2, "--seeds", 2, "-n", 200, *TINY,
               "--final-episodes", 2, "--jobs", 1, "--out", tmp_path]  # fmt: skip
    assert here(*command) == 0
    said = capsys.readouterr().out
    assert "of 2" in said
    [home] = (tmp_path / "benches").iterdir()
    with (home / "sensitivity.csv").open(newline="") as file:
        [row] = list(csv.DictReader(file))
    assert row["agent"] == "dqn"
    assert float(row["sensitivity"]) == 0.0  # one environment: one setting is best
    assert (home / "sensitivity-dqn.png").stat().st_size > 1000
    report = (home / "report.md").read_text()
    assert "## Sensitivity" in report
    assert "Adkins et al. 2024" in report
    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*/*/seeds-*/part.json")}
    assert len(before) == 4
    assert here(*command, "--no-report") == 0
    assert {f: f.stat().st_mtime_ns for f in tmp_path.glob("*/*/seeds-*/part.json")} == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-s", "gamma=0.9"], "-p gamma=0.9"),
        (["-s", "gama=0.9|0.99"], "no parameter 'gama'"),
        (["-s", "gamma=lin:0.9..1.9"], "gamma=1.9"),
        (["-s", "gamma=0.9|0.99", "-p", "gamma=0.5"], "by -s and set by -p"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("sensitivity", "dqn", "--env", "CartPole-v1", *arguments, "--out", tmp_path) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert said in line
