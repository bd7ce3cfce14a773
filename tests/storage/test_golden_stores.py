"""A store of every released version loads, verifies and plays, with the numbers of that day.

A release adds a folder here, and nothing in these folders is ever written again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from commands import here

from rlbench import __version__
from rlbench.reporting.tables.load import load
from rlbench.storage.verifying import verify

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(folder.name for folder in GOLDEN.iterdir())


def scores(store: Path) -> dict[tuple[str, int], float]:
    """The mean final return of each seed."""
    final = load(store, strict=True).evaluations.query("phase == 'final'")
    means = final.groupby(["agent", "seed"], as_index=False)["return"].mean()
    return {(agent, seed): mean for agent, seed, mean in means.values.tolist()}


EXPECTED = {
    "0.1.0": {
        ("dqn", 0): 9.0,
        ("dqn", 1): 12.75,
        ("majority", 0): -0.79944,
        ("random", 0): 23.25,
    },
}


def test_this_version_has_a_store() -> None:
    assert __version__ in VERSIONS
    assert set(VERSIONS) == set(EXPECTED)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_store_of_a_released_version_loads(version: str, tmp_path: Path) -> None:
    store = shutil.copytree(GOLDEN / version, tmp_path / "results")
    assert scores(store) == pytest.approx(EXPECTED[version], abs=1e-5)
    found = verify(store)
    assert found.same
    assert (found.different, found.unknown) == ([], [])
    assert here("list", "runs", "--strict", "--out", store) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_agents_of_a_released_version_play_what_they_played(version: str, tmp_path: Path) -> None:
    store = shutil.copytree(GOLDEN / version, tmp_path / "results")
    for run in sorted(store.glob("*/*/run.json")):
        assert here("eval", run.parent, "--out", store) == 0


def test_stores_from_before_checksums_load() -> None:
    """Those in the repository, which the documentation shows."""
    store = Path(__file__).resolve().parents[2] / "docs" / "first_hour"
    assert not load(store, strict=True).problems
    found = verify(store)
    assert not found.different
    assert found.unknown
