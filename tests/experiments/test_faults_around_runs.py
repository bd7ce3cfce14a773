"""Faults around a run: other processes, full disks, lost folders, user code that exits."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from commands import TINY, eager, environment, here, process, run_folder, tables, wait_for
from sampled import sampled

from rlbench.execution.attempt import JobOutcome
from rlbench.execution.execute import run_jobs
from rlbench.execution.jobs import Job, Progress, schedule
from rlbench.execution.stopping import StopSignal
from rlbench.experiments.planning import plan
from rlbench.reporting.tables.load import load
from rlbench.storage.locks import is_locked, locked


def dqn(out: Path | str, *more: object, env: str = "CartPole-v1", steps: int = 600) -> list[object]:
    return ["run", "dqn", "--env", env, "-n", steps, *TINY, "--eval-episodes", "1",
            "--out", out, *more]  # fmt: skip


def statuses(out: Path, agent: str = "dqn") -> set[str]:
    runs = load(out).runs
    return set(runs.loc[runs["agent"] == agent, "status"])


# Others at the same time


def test_short_sections_wait(tmp_path: Path) -> None:
    """Who holds the run's folder for a moment keeps nobody from training."""
    assert here(*dqn(tmp_path, "--seed", 0, "--quiet")) == 0
    held, ended = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(run_folder(tmp_path), ""):
            held.set()
            time.sleep(1.5)
        ended.set()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    assert here(*dqn(tmp_path, "--seed", 1, "--quiet")) == 0
    assert ended.is_set()
    holder.join()
    assert sorted(load(tmp_path / "CartPole-v1").runs.query("agent == 'dqn'")["seed"]) == [0, 1]


def test_what_is_being_computed_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Soon, with the part's name; other seeds of the same run are computed all the same."""
    assert here(*dqn(tmp_path, "--seeds", "0-1", "--max-seconds", "0.01")) == 124
    (part,) = run_folder(tmp_path).glob("seeds-0-1")
    with locked(part, ""):
        begun = time.monotonic()
        assert here(*dqn(tmp_path, "--seeds", "0-2", "--jobs", "1")) == 1
        assert time.monotonic() - begun < 60  # it would wait for PATIENCE, 120 s
        said = capsys.readouterr().err
        assert f"Error: {part} is being written by another process" in said
        found = load(run_folder(tmp_path)).runs.set_index("seed")["status"].to_dict()
        assert found == {0: "running", 1: "running", 2: "done"}
    found = load(run_folder(tmp_path)).runs.set_index("seed")["status"].to_dict()
    assert found == {0: "stopped", 1: "stopped", 2: "done"}


class Waits:
    """Looks at the status of all seeds when a job ends."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.seen: list[Any] = []

    def update(self, job: Job, progress: Progress) -> None:
        pass

    def ended(self, job: Job, outcome: JobOutcome) -> None:
        self.seen.append(load(self.out).runs.set_index("seed")["status"].to_dict())


def test_parts_that_wait_for_their_turn_are_running(tmp_path: Path) -> None:
    """Until their process is done with them: then they are done, or nobody's."""
    run = plan("random", "probes:Noise", (0, 1, 2), total_timesteps=20, final_episodes=1,
               eval_episodes=1, device="cpu")  # fmt: skip
    jobs = schedule(run, tmp_path, 3, False)
    assert set(load(tmp_path).runs["status"]) == {"stopped"}
    watcher = Waits(tmp_path)
    run_jobs(jobs[:2], 1, watcher, StopSignal())
    assert watcher.seen == [
        {0: "done", 1: "running", 2: "stopped"}, {0: "done", 1: "done", 2: "stopped"},
    ]  # fmt: skip


def test_a_mark_of_waiting_goes_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, os, pathlib; from rlbench.storage.locks import Queue;"
        "queue = Queue([pathlib.Path(sys.argv[1])]); print(); sys.stdin.read()"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment(),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert child.stdout is not None
    child.stdout.readline()
    assert is_locked(tmp_path)
    with locked(tmp_path, "it"):  # whoever computes it is not kept from it
        pass
    child.kill()
    child.communicate()
    assert not is_locked(tmp_path)


@pytest.mark.slow
def test_array_jobs(tmp_path: Path) -> None:
    """Four processes, a seed each, begun at once: all train, and the floor is there once."""
    with (tmp_path / "log").open("ab") as log:
        children = [
            subprocess.Popen(
                [sys.executable, "-m", "rlbench", *map(str, dqn("out", "--seed", seed))],
                cwd=tmp_path, env=environment(), stdout=log, stderr=log,
            )
            for seed in range(4)
        ]  # fmt: skip
    assert [child.wait(300) for child in children] == [0] * 4, (tmp_path / "log").read_text()
    runs = load(tmp_path / "out").runs
    assert sorted(runs.query("agent == 'dqn'")["seed"]) == list(range(4))
    assert list(runs.query("agent == 'random'")["seed"]) == [0]
    assert set(runs["status"]) == {"done"}


@pytest.mark.slow
def test_the_same_run_twice_at_once(tmp_path: Path) -> None:
    """One computes it, the other is told so or finds it done; no seed is there twice."""
    children = [eager(*dqn("out", "--seeds", "0-4", steps=2000), cwd=tmp_path) for _ in range(2)]
    codes = sorted(child.wait(120) for child in children)
    assert codes in ([0, 0], [0, 2])
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert sorted(load(tmp_path / "out").runs.query("agent == 'dqn'")["seed"]) == [0, 1, 2, 3, 4]
    assert statuses(tmp_path / "out") == {"done"}


# Readers


def test_readers_disturb_nobody(tmp_path: Path) -> None:
    """Thousands of looks at a lock, and no writer fails; a look needs no right to write."""
    (tmp_path / "lock").touch()
    looking = True

    def look() -> None:
        while looking:
            is_locked(tmp_path)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(50):
            with locked(tmp_path, "it"):
                assert is_locked(tmp_path)
    finally:
        looking = False
        for reader in readers:
            reader.join()
    (tmp_path / "lock").chmod(0o444)
    assert not is_locked(tmp_path)
    assert not is_locked(tmp_path / "none")


def test_what_has_no_process_is_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For list, show and report, also in a copy without its lock; resuming it ends well."""
    assert here(*dqn(tmp_path, "--seeds", 2, "--max-seconds", "0.01", "--quiet")) == 124
    folder = run_folder(tmp_path)
    assert json.loads((folder / "seeds-0-1" / "part.json").read_text())["status"]["0"] == "running"
    copy = tmp_path / "copy" / folder.parent.name / folder.name
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("lock"))
    for run in (folder, copy):
        with locked(run / "seeds-0-1", ""):
            assert set(load(run).runs["status"]) == {"running"}
        assert set(load(run).runs["status"]) == {"stopped"}
    capsys.readouterr()
    assert here("show", folder) == 0
    assert "stopped" in capsys.readouterr().out
    assert here("report", tmp_path / "copy") == 0
    assert "2 stopped" in next((tmp_path / "copy").glob("*.md")).read_text()
    assert here("resume", folder, "--quiet") == 0
    assert statuses(folder) == {"done"}


# Full disks and lost folders


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    assert here(*dqn(out, "--seeds", 2, "--quiet")) == 0
    return out


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes: writes fail as they do on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("size", "checkpoints", "file"),
    [
        (100, 0.0, "dqn-*"),  # run.json, with which nothing has begun
        (20_000, 0.0, "checkpoint.npz"),
        (4_000, 1e9, "metrics.csv"),
    ],
)
def test_full_disk_is_one_line_and_loses_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    size: int,
    checkpoints: float,
    file: str,
    whole: Path,
) -> None:
    """One line and exit code 2; what is there loads, and the same command ends as undisturbed."""
    monkeypatch.setattr("rlbench.execution.checkpoint_pace.CHECKPOINT_SECONDS", checkpoints)
    monkeypatch.setattr(
        "rlbench.execution.checkpoint_pace.CHECKPOINT_SHARE", 1.0 if not checkpoints else 1e-9
    )
    args = dqn(tmp_path / "out", "--seeds", 2)
    with largest_file(size):
        assert here(*args) == 2
    said = capsys.readouterr().err
    assert said.count("Error: ") == 1
    assert "Traceback" not in said
    last = said.splitlines()[-1]
    assert last.startswith("Error: cannot write to ")
    assert "File too large" in last
    assert Path(last.split()[4].rstrip(":")).match(file)
    assert not list(tmp_path.rglob("*.tmp"))
    if size > 1000:
        assert statuses(tmp_path / "out") == {"stopped"}
    assert here(*args, "--quiet") == 0
    assert tables(run_folder(tmp_path / "out")) == tables(run_folder(whole))


@pytest.mark.slow
@pytest.mark.parametrize("jobs", sampled([1, 2], [2]))
def test_full_disk_in_processes(tmp_path: Path, jobs: int) -> None:
    """Nothing of Python's own is said, not even as the process ends."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from rlbench.cli.main import main; main(sys.argv[1:])"
    )
    args = dqn("out", "--seeds", 2, "--jobs", jobs, steps=30_000)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "File too large" in done.stderr.splitlines()[-1]
    assert statuses(tmp_path / "out") == {"stopped"}


@pytest.mark.parametrize("env", ["Leaves", "LeavesAtOnce"])
def test_a_relative_out_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: str
) -> None:
    """Whatever the environment makes of the current folder, in a step or in its constructor."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("THERE", str(tmp_path / "there"))
    args = dqn("out", "--seeds", 1, "--quiet", env=f"hazards:{env}", steps=100)
    assert here(*args) == 0
    assert Path.cwd() == tmp_path / "here"
    assert statuses(Path("out")) == {"done"}
    assert list((tmp_path / "there").iterdir()) == []


def test_a_folder_that_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error handler has nowhere to write either: one line says so, without a traceback."""
    monkeypatch.setattr("rlbench.execution.checkpoint_pace.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setenv("THERE", str(tmp_path / "out"))
    args = dqn(tmp_path / "out", "--seeds", 1, env="hazards:Deletes", steps=5000)
    assert here(*args) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "Error: cannot write to" in said
    assert "No such file or directory" in said


# User code that ends everything


@pytest.mark.parametrize(
    "how", ["exit", *(pytest.param(how, marks=pytest.mark.slow) for how in ("interrupt", "lines"))]
)
def test_user_code_that_exits(tmp_path: Path, how: str) -> None:
    """SystemExit, KeyboardInterrupt or three lines from an agent: failed, code 1, with a log."""
    code = (
        "import hazards, sys; from rlbench.cli.main import main;"
        "from rlbench.agents.random import Random; Random.observe = hazards.{}; main(sys.argv[1:])"
    )
    args = ["run", "random", "--env", "probes:Noise", "--seeds", "1", "-n", "100", "--out", "out"]
    done = subprocess.run(
        [sys.executable, "-c", code.format(how), *args],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    name = {"exit": "SystemExit: 0", "interrupt": "KeyboardInterrupt", "lines": "ValueError: one"}
    assert name[how] in done.stderr
    assert "two" not in done.stdout + done.stderr
    runs = load(tmp_path / "out").runs
    assert list(runs["status"]) == ["failed"]
    assert name[how] in runs["reason"].iloc[0]
    assert "hazards.py" in next((tmp_path / "out").rglob("error.log")).read_text()


def test_a_constructor_that_exits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a run a mistake; in a bench the end of its cells, and of no other."""
    assert here(*dqn(tmp_path, env="hazards:ExitMade")) == 2
    assert "SystemExit: 3" in capsys.readouterr().err
    file = tmp_path / "trial.toml"
    file.write_text(
        'name = "trial"\nseeds = 1\nagents = ["random"]\neval_episodes = 1\n'
        '[[env]]\nid = "hazards:ExitMade"\nsteps = 50\n[[env]]\nid = "probes:Noise"\nsteps = 50\n'
    )
    assert here("bench", file, "--no-report", "--out", tmp_path / "out", "--jobs", "1") == 1
    assert "SystemExit: 3" in capsys.readouterr().err
    assert statuses(tmp_path / "out", "random") == {"done"}


@pytest.mark.slow
@pytest.mark.parametrize(("env", "said"), [("Crashes", "SIGSEGV"), ("Dies", "exit code 3")])
def test_workers_that_die_have_failed(tmp_path: Path, env: str, said: str) -> None:
    """Under `run --jobs 2`, too: readers see why, and nothing stays running."""
    args = ["run", "random", "--env", f"hazards:{env}", "--seeds", "2", "-n", "100",
            "--jobs", "2", "--out", "out"]  # fmt: skip
    done = process(*args, cwd=tmp_path)
    assert done.returncode == 1
    runs = load(tmp_path / "out").runs
    assert list(runs["status"]) == ["failed", "failed"]
    assert runs["reason"].str.contains(said).all()


@pytest.mark.slow
@pytest.mark.parametrize("after", sampled([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 4.0]))
def test_interrupted_while_workers_start(tmp_path: Path, after: float) -> None:
    """Ctrl-C goes to all processes of the terminal: exit code 130, and no traceback of any."""
    args = dqn("out", "--seeds", 2, "--jobs", 2, steps=1_000_000)
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "rlbench", *map(str, args)],
            cwd=tmp_path, env=environment(), stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    if after < 3:
        time.sleep(after)
    else:
        wait_for(lambda: (tmp_path / "out").exists(), child)
        time.sleep(0.7 * (after - 3))
    os.killpg(child.pid, 2)
    assert child.wait(60) == 130
    assert "Traceback" not in (tmp_path / "log").read_text()
