"""The suites of `rlbench bench reference` have the settings and seeds of runs that are there."""

from __future__ import annotations

import pytest
from commands import ROOT

from rlbench.experiments import suite
from rlbench.experiments.suite_cells import cells

REFERENCE = ROOT / "results" / "reference"
SUITES = {each.suite.name: each.suite for each in suite.load_all("reference")}
# What has not been run: agents or environments of a suite. Most suites want more seeds of the
# random agent than are there.
NOT_RUN = {
    "continuous": {"sb3-sac on MountainCarContinuous-v0", "sb3-td3"},
    "mujoco": {"terminal-limit"},
    "six-looks": {"ppo rewards"},  # three of five seeds
}


@pytest.mark.parametrize("name", SUITES)
def test_runs_are_those_of_the_suites(name: str) -> None:
    """Cells that cannot be made here, for lack of an extra or of images, are left out."""
    read = SUITES[name]
    can = [cell for cell in cells(read, read.seeds, "cpu", REFERENCE) if not cell.error]
    if not can:
        pytest.skip("its images are not there")
    missing = {
        cell.title
        for cell in can
        if cell.agent != "random" and {state for state, _ in cell.states().values()} != {"done"}
    }
    not_run = NOT_RUN.get(name, set())
    assert [title for title in missing if not any(part in title for part in not_run)] == []
    planned = [part for part in not_run if any(part in cell.title for cell in can)]
    assert [part for part in planned if not any(part in title for title in missing)] == []


def test_another_setting_is_missed() -> None:
    """Negative control: the digest of a run tells its settings."""
    other = SUITES["rainbow"].model_copy(update={"final_episodes": 99})
    assert {state for cell in cells(other, (0,), "cpu", REFERENCE)
            for state, _ in cell.states().values()} == {"missing"}  # fmt: skip
