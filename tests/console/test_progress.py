"""What is said of jobs that end."""

from __future__ import annotations

import io
from typing import Any, cast

import pytest
from rich.console import Console

from rlbench.console.progress import Quiet
from rlbench.execution.attempt import STOPPED, JobOutcome


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

    class Job:
        title = "dqn CartPole-v1 seeds 0"

    file = io.StringIO()
    Quiet(Console(file=file, width=200)).ended(cast(Any, Job), JobOutcome(code, reason))
    assert file.getvalue() == (f"{Job.title}: {reason}\n" if shown else "")
