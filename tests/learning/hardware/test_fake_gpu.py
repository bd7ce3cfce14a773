"""Every agent stepped on a GPU without memory: no wrong device, no wait for a value."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("g++"), reason="a device guard is compiled by g++"),
]
STEPS = 48  # of each agent
TWICE = {"td3 lstm", "tqc gru"}  # hidden states of critics need the action


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    program = Path(__file__).parents[2] / "support" / "gpu_walk.py"
    command = [sys.executable, str(program), str(tmp_path_factory.mktemp("guard"))]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(line) for line in output.splitlines())


def test_one_copy_of_actions_a_step_and_no_other(walked: dict[str, Any]) -> None:
    """Between two evaluations nothing else waits for the GPU; updates are captured as a whole."""
    cases = {name: found for name, found in walked.items() if "whole" in found}
    assert len(cases) > 12
    for name, found in cases.items():
        assert found["fetched"] == STEPS * (2 if name in TWICE else 1), name
        assert found["whole"], name
        assert found["captured"] >= 3, name
        assert found["updates"] > 4, name
        assert found["devices"] == ["cuda:0"]


def test_metrics_come_by_one_copy(walked: dict[str, Any]) -> None:
    """At the three points after its first update, and three at its end for diverged seeds."""
    found = walked["trainer"]
    assert found["metrics"] > 3 * 10
    assert found["fetched"] == found["steps"] / 2 + 3 + 3  # two environments


def test_nothing_is_refused(walked: dict[str, Any]) -> None:
    """No case but the negative controls."""
    refused = {name for name, found in walked.items() if found and isinstance(found, str)}
    assert refused == {"value", "array", "other device", "copy in a graph"}


def test_a_read_and_a_copy_are_noticed(walked: dict[str, Any]) -> None:
    """Negative controls: updates that a GPU would wait for, or refuse."""
    assert "is read" in walked["value"]
    assert "copied to the host" in walked["array"]
    assert "on two devices" in walked["other device"]
    assert "copies from the host" in walked["copy in a graph"]
