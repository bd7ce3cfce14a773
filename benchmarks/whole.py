"""Whole processes: imports, making, compiling, training and the end."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cleanrl_script
from ways import Way
from work import WORK


def processes(
    work: str, taking_part: Sequence[Way], steps: int, repeats: int
) -> dict[Way, list[float]]:
    """Seconds of each way's process in every repetition, after one that fills the disk's cache."""
    seconds: dict[Way, list[float]] = {way: [] for way in taking_part}
    for repeat in range(repeats + 1):
        for way in taking_part:
            spent = _process(work, way, steps if repeat else 100)
            if repeat:
                seconds[way].append(spent)
    return seconds


def _process(work: str, way: Way, steps: int) -> float:
    here = str(Path(__file__).resolve().parent)
    command, variables = way.command(work, steps), {"PYTHONPATH": here, "OMP_NUM_THREADS": "1"}
    variables = {**os.environ, **variables}
    if way.name == "cleanrl":  # its script is a whole process by itself
        folder = way.arguments[0]
        command = cleanrl_script.command(WORK[work], folder, steps)
        variables = cleanrl_script.environment(folder)
    with tempfile.TemporaryDirectory() as cwd:
        begun = time.perf_counter()
        subprocess.run(command, env=variables, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begun
