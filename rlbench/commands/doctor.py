"""The `doctor` command: check an agent, and say in a table what is wrong with it."""

from __future__ import annotations

import textwrap
import time
from typing import Any

import click

from rlbench.doctor.checks import CHECKS, Finding, examine
from rlbench.doctor.patient import Patient

WIDTH = max(map(len, CHECKS)) + 2


def doctor(agent: str, env: str | None, parameters: dict[str, Any]) -> int:
    """Print each finding as it comes; return 1 if something is wrong, else 0.

    Raises:
        UserError: There is no such agent, or it cannot play the probes.
    """
    patient, start = Patient(agent, parameters), time.monotonic()
    counts = {"pass": 0, "fail": 0, "-": 0}
    for finding in examine(patient, env):
        counts[_verdict(finding)] += 1
        click.echo(_line(finding))
    click.echo(
        f"{agent}: {counts['pass']} passed, {counts['fail']} failed, {counts['-']} do not apply, "
        f"in {time.monotonic() - start:.0f} s"
    )
    return 1 if counts["fail"] else 0


def _verdict(finding: Finding) -> str:
    return "-" if finding.wrong is None else "fail" if finding.wrong else "pass"


def _line(finding: Finding) -> str:
    start = f"{finding.check:{WIDTH}}{_verdict(finding)}"
    if not finding.wrong:
        return start
    rest = textwrap.wrap(finding.wrong, 60, break_long_words=False)
    return f"{start}  " + f"\n{'':{WIDTH + 6}}".join(rest)
