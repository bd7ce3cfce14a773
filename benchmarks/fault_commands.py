"""Commands that faults strike, and what remains of them: for `faults.py`.

A command runs in a process that is forked from one that has imported everything, so that a trial
takes a second and not ten; processes that a bench starts are forked too. Checkpoints are written
at nearly every sign of life.
"""

from __future__ import annotations

import csv
import hashlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import optuna
import psutil

from rlbench import registry
from rlbench.cli.main import main as command_line
from rlbench.commands import train
from rlbench.execution import checkpoint_pace, execute, process_pool
from rlbench.process import configure_process
from rlbench.reporting.report import write
from rlbench.storage.verifying import verify
from rlbench.tuning import search

# All that a command needs is imported here, once. No thread is started before a fork.
IMPORTED = (optuna, train, execute, write, search, *map(registry.agent_class, ("dqn", "random")))

TINY = [
    "--no-preset", "-p", "learning_starts=50", "-p", "net_arch=16", "-p", "buffer_size=300",
    "-p", "target_update_interval=100", "-p", "batch_size=16", "--device", "cpu",
    "--eval-episodes", "1",
]  # fmt: skip
RUN = [
    "run", "dqn", "--env", "CartPole-v1", "-n", "1000", "--seeds", "2", *TINY,
    "--final-episodes", "5", "--no-floor", "--jobs", "1", "-q",
]  # fmt: skip
TUNE = [
    "tune", "dqn", "--env", "CartPole-v1", "-n", "400", "--seeds", "2", *TINY, "--trials", "4",
    "--lockstep", "2", "-s", "learning_rate=log:1e-4..1e-2", "--name", "study", "--no-confirm",
    "--jobs", "1", "-q",
]  # fmt: skip
BENCH = ["bench", "../suite.toml", "--no-report", "--jobs", "2", "-q"]
SUITE = """
name = "trial"
seeds = 2
preset = false
eval_episodes = 1
final_episodes = 5
agents = ["random"]
[variant.small]
agents = ["dqn"]
learning_starts = 50
net_arch = [16]
buffer_size = 300
batch_size = 16
[[env]]
id = "CartPole-v1"
steps = 500
"""
REPORT = ["report", "../store", "-o", "out/page"]
COMMANDS = {"run": RUN, "bench": BENCH, "tune": TUNE, "report": REPORT}
TABLES = ("evaluations", "episodes", "metrics", "trials")
CLOCKED = ("time", "seconds", "worker")  # columns that a clock or a process writes
KILLED = -signal.SIGKILL


def prepare() -> None:
    """Set up the process that is forked from: one thread, and checkpoints all the time."""
    configure_process()
    checkpoint_pace.CHECKPOINT_SECONDS, checkpoint_pace.CHECKPOINT_SHARE = 0.02, 1.0
    forked = SimpleNamespace(get_context=lambda _: multiprocessing.get_context("fork"))
    vars(process_pool)["multiprocessing"] = forked


class Child:
    """A command in a process, and a session, of its own; it writes below `place`."""

    def __init__(
        self, command: str, place: Path, before: Callable[[], object] | None = None
    ) -> None:
        """Start it, after calling `before` in the new process."""
        self.command, self.log = command, place / "log"
        self.code: int | None = None
        arguments = [*COMMANDS[command], *([] if command == "report" else ["--out", "out"])]
        sys.stdout.flush()
        self.begun = time.monotonic()
        self.pid = os.fork()
        if not self.pid:
            self._run(arguments, place, before)

    def _run(self, arguments: list[str], place: Path, before: Callable[[], object] | None) -> None:
        code = 70
        try:
            os.setsid()
            os.chdir(place)
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.stdout = sys.stderr = open(  # noqa: SIM115 - the process ends with it
                2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1
            )
            if before:
                before()
            command_line(arguments, prog_name="rlbench")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException:  # what a command lets through is a fault of its own
            traceback.print_exc()
        finally:
            os._exit(code)

    def spent(self) -> float:
        """Return the CPU seconds that the process has had; of a bench, seconds of a clock.

        A bench waits for processes of its own, and has few CPU seconds itself.
        """
        if self.command == "bench":
            return time.monotonic() - self.begun
        try:
            return sum(psutil.Process(self.pid).cpu_times()[:2])
        except psutil.Error:
            return 0.0  # it has ended since

    def ended(self) -> bool:
        """Return whether the process has ended; `code` is then what it ended with."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def until(self, moment: float) -> bool:
        """Wait until so much is spent; whether the process is still there then."""
        while not self.ended():
            if self.spent() >= moment:
                return True
            time.sleep(0.002)
        return False

    def wait(self, seconds: float = 120.0) -> int | None:
        """Wait for its end; the exit code, or None where it had to be killed for lateness."""
        end = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > end:
                os.killpg(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                return None
            time.sleep(0.005)
        return self.code

    def kill(self, everybody: bool = True) -> None:
        """Kill -9 the process, with those that it started or without."""
        if not self.ended():
            (os.killpg if everybody else os.kill)(self.pid, signal.SIGKILL)
            self.wait()


class Contents(NamedTuple):
    """What a command left: rows with how often each is there, and digests of other files."""

    rows: Counter[tuple[str, ...]]
    files: dict[str, str]


@dataclass
class Differences:
    """How contents differ from those of a command that nothing struck."""

    lost: int = 0
    doubled: int = 0
    wrong: int = 0  # rows or files with another value
    details: list[str] = field(default_factory=list)


def contents(place: Path) -> Contents:
    """Read all rows and files below `place/out` that are results, without times."""
    out = place / "out"
    rows: Counter[tuple[str, ...]] = Counter()
    files: dict[str, str] = {}
    for file in sorted(out.rglob("*")):
        name = str(file.relative_to(out))
        if file.suffix == ".csv" and file.stem in TABLES:
            with file.open(newline="") as text:
                for row in csv.DictReader(text):
                    if not (row.get("key") or "").startswith("time/"):
                        kept = (f"{k}={v}" for k, v in row.items() if k not in CLOCKED)
                        rows[(name, *kept)] += 1
        elif file.name == "agent.npz":
            files[name] = _digest_of_arrays(file)
        elif "page" in name and file.suffix in {".csv", ".md"} and file.stem != "costs":
            files[name] = hashlib.sha256(file.read_bytes()).hexdigest()
        elif file.name == "checkpoint.npz" or file.suffix == ".tmp":
            files[name] = "left behind"
    return Contents(rows, files)


def _digest_of_arrays(file: Path) -> str:
    """Return a digest of the arrays in a file; its zip container holds times."""
    digest = hashlib.sha256()
    with np.load(file) as saved:
        for name in sorted(saved.files):
            digest.update(name.encode() + str(saved[name].dtype).encode() + saved[name].tobytes())
    return digest.hexdigest()


def compare(found: Contents, expected: Contents) -> Differences:
    """Count rows that were lost, doubled or changed, and files that differ."""
    more, fewer = found.rows - expected.rows, expected.rows - found.rows
    doubled = sum(n for row, n in more.items() if row in expected.rows)
    other = sum(more.values()) - doubled  # rows that nothing wrote: each in the place of one
    lost = max(sum(fewer.values()) - other, 0)
    names = sorted(
        name for name in found.files.keys() | expected.files.keys()
        if found.files.get(name) != expected.files.get(name)
    )  # fmt: skip
    details = [*(str(row) for row in [*more, *fewer][:4]), *names]
    return Differences(lost, doubled, other + len(names), details)


def unsound(place: Path) -> list[str]:
    """List what `rlbench verify` finds in a finished store."""
    found = verify(place / "out")
    bad = [f"{each.file} {each.what}" for each in found.different]
    return bad + [f"{part} is not finished" for part in found.unfinished]


def processes_of(session: int) -> list[psutil.Process]:
    """Return the processes of a session but for its first one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != session and os.getsid(process.pid) == session:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def settle(session: int, seconds: float = 30.0) -> None:
    """Wait until the processes that a killed command had started are gone."""
    psutil.wait_procs(processes_of(session), timeout=seconds)


def recover(command: str, place: Path, attempts: int = 5) -> tuple[bool, float]:
    """Repeat a command until it ends well; whether it did, and the seconds it took."""
    begun = time.monotonic()
    for _ in range(attempts):
        if Child(command, place).wait() == 0:
            return True, time.monotonic() - begun
        time.sleep(0.2)
    return False, time.monotonic() - begun


def reference(command: str, place: Path) -> tuple[Contents, float]:
    """Run a command undisturbed; what it leaves, and what it has spent (see `Child.spent`)."""
    child, spent = Child(command, place), 0.0
    while not child.ended():
        spent = max(spent, child.spent())
        time.sleep(0.005)
    if child.code:
        raise SystemExit(f"{command} failed undisturbed:\n{child.log.read_text()}")
    return contents(place), spent


def lay_out(place: Path, command: str, store: Path | None = None) -> None:
    """Make the folder of a trial, with what its command reads beside it."""
    place.mkdir(parents=True)
    if command == "bench":
        (place.parent / "suite.toml").write_text(SUITE)
    if command == "report" and store is not None:
        link = place.parent / "store"
        if not link.exists():
            link.symlink_to(store)
        (place / "out").mkdir()
