"""The fault suite: it finds nothing, and would find what it looks for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from commands import environment

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))  # its modules import each other by name

pytest.importorskip("optuna")

import fault_commands  # noqa: E402
import faults  # noqa: E402

ROW = "0,1000,final,{},9.0,9,0,0,0.0,1.5\n"
HEAD = "seed,step,phase,episode,return,length,env_seed,deterministic,cut,seconds\n"


def suite(name: str, trials: int) -> str:
    """Run a part of the suite; what it printed. Its exit code says that nothing was lost."""
    program = str(ROOT / "benchmarks" / "faults.py")
    done = subprocess.run(
        [sys.executable, program, "--only", name, "--trials", str(trials)],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def counts(printed: str, name: str) -> list[int]:
    """Return trials, struck, lost, doubled, wrong, stuck and tracebacks of a fault."""
    (line,) = (each for each in printed.splitlines() if each.startswith(name + "  "))
    return [int(word) for word in line[len(name) :].split()[:7]]


@pytest.mark.slow
def test_a_few_kills_at_writes_lose_nothing() -> None:
    trials, struck, *bad = counts(suite("kill -9 at a write, run", 6), "kill -9 at a write, run")
    assert trials == 3
    assert struck >= 1
    assert bad == [0, 0, 0, 0, 0]


@pytest.mark.faults
@pytest.mark.parametrize("fault", [fault.name for fault in faults.FAULTS])
def test_nothing_is_lost_doubled_or_wrong(fault: str) -> None:
    printed = suite(fault, 20)
    if "left out" not in printed:
        assert counts(printed, fault)[2:6] == [0, 0, 0, 0]


def place(folder: Path, rows: str) -> fault_commands.Contents:
    """Return the contents of a store of one file."""
    part = folder / "out" / "CartPole-v1" / "dqn-12345678" / "seeds-0"
    part.mkdir(parents=True)
    (part / "evaluations.csv").write_text(HEAD + rows)
    return fault_commands.contents(folder)


def test_lost_doubled_and_changed_rows_are_told_apart(tmp_path: Path) -> None:
    """Negative controls of the comparison; seconds are a clock's, and may differ."""
    whole = place(tmp_path / "whole", "".join(map(ROW.format, range(5))))

    def found(name: str, rows: str) -> tuple[int, int, int]:
        differences = fault_commands.compare(place(tmp_path / name, rows), whole)
        return differences.lost, differences.doubled, differences.wrong

    rows = [ROW.format(i) for i in range(5)]
    assert found("same", "".join(rows).replace(",1.5\n", ",2.5\n")) == (0, 0, 0)
    assert found("lost", "".join(rows[:3])) == (2, 0, 0)
    assert found("doubled", "".join([*rows, rows[1]])) == (0, 1, 0)
    assert found("changed", "".join(rows).replace(",3,9.0", ",3,9.5")) == (0, 0, 1)
    assert found("cut", "".join(rows)[:-12]) == (0, 0, 1)


def test_what_a_killed_command_left_is_seen(tmp_path: Path) -> None:
    """Checkpoints and temporary files that recovery should have removed count as wrong."""
    whole, left = (place(tmp_path / name, ROW.format(0)) for name in ("whole", "left"))
    assert fault_commands.compare(left, whole).wrong == 0
    part = next((tmp_path / "left").rglob("seeds-0"))
    for name in ("checkpoint.npz", "part.json.0123.tmp"):
        (part / name).write_bytes(b"")
    found = fault_commands.compare(fault_commands.contents(tmp_path / "left"), whole)
    assert found.wrong == 2
    assert "checkpoint.npz" in " ".join(found.details)
