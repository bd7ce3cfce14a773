"""What is said of jobs that end."""

from __future__ import annotations

import io
from typing import Any, cast

import pytest
from rich.console import Console

from rlbench.console.progress import Quiet
from rlbench.execution.attempt import STOPPED, JobOutcome


class Job:
    title = "dqn CartPole-v1 seeds 0"


@pytest.mark.parametrize(
    ("code", "reason", "shown"),
    [
        (137, "its process was killed (SIGKILL); it can go on", True),
        (1, "its process died (SIGSEGV; see output.log)", True),
        (130, STOPPED, False),  # which is said once, of all jobs
        (0, "", False),
    ],
)
def test_why_a_job_ended(code: int, reason: str, shown: bool) -> None:
    """Also of one whose process somebody else killed."""
    file = io.StringIO()
    Quiet(Console(file=file, width=200)).ended(cast(Any, Job), JobOutcome(code, reason))
    assert file.getvalue() == (f"{Job.title}: {reason}\n" if shown else "")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_reason_fits_the_terminal(terminal: bool) -> None:
    """It is broken at words; files have one line."""
    file = io.StringIO()
    shown = Quiet(Console(file=file, width=40, force_terminal=terminal, color_system=None))
    shown.ended(cast(Any, Job), JobOutcome(1, "the simulator did not answer for a minute"))
    lines = file.getvalue().splitlines()
    assert (max(map(len, lines)) <= 40) == terminal
    assert " ".join(line.strip() for line in lines).endswith("did not answer for a minute")
