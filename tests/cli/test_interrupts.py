"""Ctrl-C at any moment: one line, exit code 130, no traceback, and how to go on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import environment, run_folder, wait_for
from sampled import sampled

# It says when the interpreter has started, before which no code of ours can be reached.
STARTED = """
import sys
from rlbench.__main__ import main
sys.argv[0] = "rlbench"
open("started", "w").close()
main()
"""
RUN = ["run", "random", "--env", "hazards:HangStep", "--seeds", "1", "-n", "500", "--out", "out"]
OWN = {"report": 2}  # there is nothing to report on
ANSWER = "stopping after this update; Ctrl-C again to stop now"


def start(*args: str, cwd: Path) -> subprocess.Popen[bytes]:
    with (cwd / "log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-c", STARTED, *args],
            cwd=cwd, env=environment(), stdout=log, stderr=log,
        )  # fmt: skip
    wait_for((cwd / "started").exists, child)
    return child


TWO_JOBS = [*RUN, "--jobs", "2"]
MANY = [
    (delay, args)
    for delay in (0.05, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0)
    for args in (["--help"], ["list", "presets"], ["report"], RUN, TWO_JOBS)
]
IN_CI = [  # as Python starts, as modules are imported, in planning, in a step, and as workers start
    (0.05, ["--help"]), (0.3, ["list", "presets"]), (0.6, ["report"]), (1.5, ["report"]),
    (0.3, RUN), (1.0, RUN), (2.0, RUN), (3.0, RUN),
    (0.6, TWO_JOBS), (1.5, TWO_JOBS), (2.0, TWO_JOBS), (3.0, TWO_JOBS),
]  # fmt: skip


@pytest.mark.parametrize(
    ("delay", "args"),
    [
        (0.05, ["list", "envs"]),
        (0.5, ["list", "runs"]),
        *(
            pytest.param(*case.values, marks=[*case.marks, pytest.mark.slow])
            for case in sampled(MANY, IN_CI)
        ),
    ],
)
def test_at_any_moment(tmp_path: Path, delay: float, args: list[str]) -> None:
    """Also while it imports; a command that ends first gives its own exit code."""
    child = start(*args, cwd=tmp_path)
    time.sleep(delay)
    child.send_signal(signal.SIGINT)
    assert child.wait(60) in (130, OWN.get(args[0], 0))
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "Exception ignored" not in log
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_first_is_answered_and_the_second_ends(tmp_path: Path) -> None:
    """At once, even where the environment does not return: a thread answers."""
    child = start(*RUN, cwd=tmp_path)
    wait_for(lambda: bool(list(tmp_path.glob("hanging-*"))), child)
    child.send_signal(signal.SIGINT)
    log = tmp_path / "log"
    wait_for(lambda: ANSWER in log.read_text(), child, seconds=2)
    child.send_signal(signal.SIGINT)
    assert child.wait(2) == 130
    folder = run_folder(tmp_path / "out", "random").relative_to(tmp_path)
    last = log.read_text().splitlines()[-1]
    assert last == f"stopped; go on with: rlbench resume {folder}"
