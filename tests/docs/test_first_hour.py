"""The tutorial shows what its own runs gave, which lie beside it."""

from __future__ import annotations

import re

import pytest
from commands import ROOT
from PIL import Image

import rlbench
from rlbench.reporting.tables.summaries import overall, per_seed

PAGE = (ROOT / "docs" / "first_hour.md").read_text("utf-8")
RESULTS = rlbench.load(ROOT / "docs" / "first_hour")
TABLES = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_runs_are_whole() -> None:
    assert RESULTS.problems == ()
    assert (RESULTS.runs["status"] == "done").all()


@pytest.mark.parametrize("agent", ["dqn", "ppo"])
def test_scores_of_cartpole_are_those_shown(agent: str) -> None:
    """Means in the tables of the runs, and the interval of dqn."""
    runs = overall(RESULTS).query("agent == @agent and env == 'CartPole-v1'")
    (run,) = runs.to_dict("records")
    row = next(line for line in "".join(TABLES).splitlines() if line.split()[:2] == [agent, "5"])
    assert f"{run['mean']:.1f}" in row
    assert f"{int(run['solved'])} of 5" in row
    if agent == "dqn":
        assert f"[{run['low']:.1f} to {run['high']:.1f}]" in row


def test_scores_of_seeds_are_those_shown() -> None:
    scores = per_seed(RESULTS).query("agent == 'dqn' and env == 'CartPole-v1'").set_index("seed")
    shown = re.findall(r"^ +(\d) +([\d.]+) .* done", TABLES[0], re.MULTILINE)
    assert {int(seed): float(score) for seed, score in shown} == {
        seed: round(score, 1) for seed, score in scores["score"].items()
    }


def test_accuracies_are_those_shown() -> None:
    for run in overall(RESULTS).query("env == 'rlbench/Classify-Digits-v0'").to_dict("records"):
        assert f"{100 * run['accuracy_mean']:.1f}" in PAGE


@pytest.mark.parametrize("name", ["curve", "compare", "digits"])
def test_pictures_are_small(name: str) -> None:
    file = ROOT / "docs" / "images" / f"first-hour-{name}.png"
    assert f"images/{file.name}" in PAGE
    assert file.stat().st_size < 80_000
    with Image.open(file) as picture:
        assert picture.width > 400
