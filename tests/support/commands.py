"""Running `rlbench` in tests: in this process where it may be, in one of its own where it must."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rlbench.cli import main as main_module

ROOT = Path(__file__).resolve().parents[2]
# The short run of most tests: it learns, evaluates, ends episodes and copies the target.
TINY = ["--no-preset", "-p", "learning_starts=50", "-p", "net_arch=16", "-p", "buffer_size=300",
        "-p", "target_update_interval=100", "-p", "batch_size=16", "--device", "cpu"]  # fmt: skip

# Checkpoints at nearly every sign of life, so that a kill finds one that is half a second old.
EAGER = """
import sys
import rlbench.execution.checkpoint_pace
rlbench.execution.checkpoint_pace.CHECKPOINT_SECONDS = 0.05
rlbench.execution.checkpoint_pace.CHECKPOINT_SHARE = 1.0
from rlbench.cli.main import main
main(sys.argv[1:], prog_name="rlbench")
"""


def here(*args: object) -> int:
    """`rlbench ARGS` in this process; its exit code."""
    with pytest.raises(SystemExit) as end:
        main_module.main([str(arg) for arg in args], prog_name="rlbench")
    return end.value.code if isinstance(end.value.code, int) else 0


def environment() -> dict[str, str]:
    """Let a process import what tests import: the product, helpers and test modules."""
    tests = [path for path in sys.path if Path(path).is_relative_to(ROOT / "tests")]
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *tests])}


def process(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`rlbench ARGS` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "rlbench", *map(str, args)],
        cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def eager(*args: object, cwd: Path) -> subprocess.Popen[bytes]:
    """`rlbench ARGS` started in the background, writing checkpoints all the time."""
    log = (cwd / "log").open("ab")
    with log:
        return subprocess.Popen(
            [sys.executable, "-c", EAGER, *map(str, args)],
            cwd=cwd, env=environment(), stdout=log, stderr=log,
        )  # fmt: skip


def wait_for(
    ready: Callable[[], bool], child: subprocess.Popen[bytes], seconds: float = 120
) -> None:
    """Wait until something holds; the child must live on until then."""
    end = time.monotonic() + seconds
    while not ready():
        assert child.poll() is None, f"ended too early, with code {child.returncode}"
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def run_folder(out: Path, agent: str = "dqn") -> Path:
    """The only run of an agent below `out`."""
    (file,) = out.glob(f"*/{agent}-*/run.json")
    return file.parent


def table(folder: Path, name: str) -> list[dict[str, str]]:
    """The rows of all parts in a run's CSV files of that name, without what a clock wrote."""
    rows = []
    for file in folder.glob(f"seeds-*/{name}.csv"):
        with file.open(newline="") as text:
            for row in csv.DictReader(text):
                row.pop("time", None)
                if not row.get("key", "").startswith("time/"):
                    rows.append(row)
    return sorted(rows, key=lambda row: int(row["seed"]))  # stable: the order of each seed stays


def tables(folder: Path) -> dict[str, list[dict[str, str]]]:
    return {name: table(folder, name) for name in ("evaluations", "episodes", "metrics")}


def arrays(file: Path) -> dict[str, bytes]:
    """Everything in an `.npz` file, as bytes with dtype and shape."""
    with np.load(file) as saved:
        return {
            name: str((saved[name].dtype, saved[name].shape)).encode() + saved[name].tobytes()
            for name in saved.files
        }
