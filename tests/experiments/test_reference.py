"""`rlbench bench reference` remakes the runs of results/reference: the same settings and seeds."""

from __future__ import annotations

import pytest
from commands import ROOT

from rlbench.experiments import suite
from rlbench.experiments.suite_cells import SuiteCell, cells

REFERENCE = ROOT / "results" / "reference"
SUITES = suite.load_all("reference")
# What has not been run: agents and environments of a suite, or fewer seeds. Of the random agent
# the suites want as many seeds as of others; one is in results/reference.
NOT_RUN = {
    "continuous": {"sb3-sac on MountainCarContinuous-v0", "sb3-td3"},
    "memory-lengths": {"Autoencode", "TMaze"},
    "mnist-bandit": {"dqn", "supervised-online"},
    "mujoco": {"terminal-limit", "Hopper", "Walker2d"},
    "six-looks": {"ppo rewards"},  # three of five seeds
}


def missing(name: str) -> list[SuiteCell]:
    """Cells of a suite without all of their seeds; those that cannot be made here are left out."""
    read = suite.load(name)
    return [
        cell
        for cell in cells(read, read.seeds, "cpu", REFERENCE)
        if cell.agent != "random"
        and not cell.error
        and {state for state, _ in cell.states().values()} != {"done"}
    ]


@pytest.mark.parametrize("name", SUITES)
def test_runs_are_those_of_the_suites(name: str) -> None:
    titles = [cell.title for cell in missing(name)]
    unknown = [
        title for title in titles if not any(part in title for part in NOT_RUN.get(name, ()))
    ]
    assert unknown == []


def test_another_setting_is_missed() -> None:
    """Negative control: the digest of a run tells its settings."""
    read = suite.load("rainbow")
    other = read.model_copy(update={"final_episodes": 99})
    assert {state for cell in cells(other, (0,), "cpu", REFERENCE)
            for state, _ in cell.states().values()} == {"missing"}  # fmt: skip
