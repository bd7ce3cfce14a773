"""Commands end when they are told to, also where user code never returns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import environment, run_folder, wait_for

from rlbench.errors import UserError
from rlbench.execution import stopping
from rlbench.execution.stopping import StopSignal
from rlbench.experiments.call_timeout import CallTimeout
from rlbench.reporting.tables.load import load

# A process that has little patience, so that tests need not have more.
SHORT = """
import sys
import rlbench.execution.stopping as stopping
stopping.SILENCE, stopping.STARTING = 0.5, 0.0
from rlbench.cli.main import main
main(sys.argv[1:], prog_name="rlbench")
"""


def start(*args: object, cwd: Path, code: str = SHORT) -> subprocess.Popen[bytes]:
    with (cwd / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, args)],
            cwd=cwd, env=environment(), stdout=log, stderr=log,
        )  # fmt: skip


def run(env: str, *args: object) -> list[object]:
    return ["run", "random", "--env", f"hazards:{env}", "--seeds", "1", "-n", "500",
            "--out", "out", *args]  # fmt: skip


def test_the_wall_clock_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may jump by an hour; the time limit is of time that passes."""
    stop = StopSignal(1000.0)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    assert stop() == 0
    passed = time.monotonic() + 1001
    monkeypatch.setattr(time, "monotonic", lambda: passed)
    assert stop() == 124
    assert stop.code == 124


def test_a_signal_waits_while_work_asks() -> None:
    before = signal.getsignal(signal.SIGINT)
    said: list[str] = []
    with StopSignal().listening() as stop, stop.deferring(), stop.answering(said.append):
        signal.raise_signal(signal.SIGINT)
        assert stop() == 130
        end = time.monotonic() + 5
        while not said and time.monotonic() < end:  # another thread answers
            time.sleep(0.01)
    assert said == ["stopping after this update; Ctrl-C again to stop now"]
    assert signal.getsignal(signal.SIGINT) is before


SIGNALLED = """
import signal, sys, time
from rlbench.common.safe_write import replacing
from rlbench.execution.stopping import StopSignal
from pathlib import Path
with replacing(Path("file")), StopSignal().listening() as stop:
    stop.on_exit = "go on"
    if "deferring" in sys.argv:
        with stop.deferring():
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.5)
            signal.raise_signal(signal.SIGTERM)
    else:
        class Late:
            def __del__(self):
                signal.raise_signal(signal.SIGTERM)
        Late()
    time.sleep(10)
print("went on")
"""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 143, "stopped; go on\n"),
        (
            ["deferring"],
            130,
            "stopping after this update; Ctrl-C again to stop now\nstopped; go on\n",
        ),
    ],
)
def test_a_signal_that_does_not_wait(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    """Where nothing is computed, though a destructor would swallow an exception; and the second.

    Nothing is printed but one line, and no temporary file is left.
    """
    ended = subprocess.run(
        [sys.executable, "-c", SIGNALLED, *arguments],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", said)
    assert not list(tmp_path.iterdir())


def test_who_asks_or_saves_is_left_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only silence ends a process: this one lives on while it saves, asks, or shows results."""
    monkeypatch.setattr("rlbench.execution.stopping.SILENCE", 0.3)
    monkeypatch.setattr("rlbench.execution.stopping.STARTING", 0.0)
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    with StopSignal(0.05).listening() as stop:
        for _ in range(5):
            time.sleep(0.2)
            assert stop() or True
        with stop.saving():
            time.sleep(0.8)
        stop.finish()
        time.sleep(0.8)
    assert ended == []
    with StopSignal(0.05).listening() as stop:
        time.sleep(1.0)  # negative control
    assert set(ended) == {124}


@pytest.mark.parametrize(
    ("env", "place", "left"),
    [
        ("HangMade", " from ", "nothing has been written"),
        pytest.param(
            "HangReset", "from reset (", "rlbench resume out/", marks=pytest.mark.exhaustive
        ),
        pytest.param(
            "HangStep", "from hang (", "rlbench resume out/", marks=pytest.mark.exhaustive
        ),  # as Deaf does
        pytest.param("HangSealed", "from reset (", "rlbench resume out/", marks=pytest.mark.slow),
        pytest.param("Deaf", "from hang (", "rlbench resume out/", marks=pytest.mark.slow),
    ],
)
def test_time_limit_of_what_hangs(tmp_path: Path, env: str, place: str, left: str) -> None:
    """In the constructor, reset, step, the sealed evaluation, and where nothing can interrupt."""
    begun = time.monotonic()
    limit = 6 if env == "HangMade" else 25  # later than all imports
    child = start(*run(env, "--max-seconds", limit), cwd=tmp_path)
    assert child.wait(120) == 124
    assert limit <= time.monotonic() - begun < limit + 15
    line = (tmp_path / "log").read_text().splitlines()[-1]
    assert line.startswith("Error: ended 0.5 s after the time limit, without a reaction")
    assert place in line
    assert left in line
    if (tmp_path / "out").exists():
        assert set(load(tmp_path / "out").runs["status"]) == {"stopped"}


def test_the_place_that_is_named_is_in_user_code() -> None:
    """Also where the main thread waits for another that calls it, but not for one it gave up."""
    over: list[bool] = []
    places: list[str] = []

    def hang() -> None:
        while not over:
            time.sleep(0.01)

    def look() -> None:
        time.sleep(0.3)
        places.append(stopping._place())
        over.append(True)

    def waits(main: Callable[[], object]) -> str:
        over.clear()
        watch = threading.Thread(target=look)
        watch.start()
        main()
        watch.join()
        return places.pop()

    assert " from hang (" in waits(lambda: CallTimeout(60)(hang))
    assert " from work (" in waits(lambda: work(hang, over))


def work(hang: Callable[[], None], over: list[bool]) -> None:
    """Give up a call that hangs, and go on."""
    with pytest.raises(UserError, match="did not return within"):
        CallTimeout(0.01)(hang)
    while not over:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_threads_of_environments_keep_no_process(tmp_path: Path, jobs: int) -> None:
    arguments = run("Threads", "--jobs", jobs)
    arguments[arguments.index("1")] = "2"
    assert start(*arguments, cwd=tmp_path).wait(60) == 0
    assert set(load(tmp_path / "out").runs["status"]) == {"done"}


@pytest.mark.slow
def test_processes_that_end_slowly_are_no_hang(tmp_path: Path) -> None:
    """They are waited for, however impatient the parent is with its own work."""
    child = start(*run("LeavesSlowly", "--jobs", "2", "--seeds", "2"), cwd=tmp_path)
    wait_for(lambda: len(list(tmp_path.glob("hanging-*"))) == 2, child)
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 130
    log = (tmp_path / "log").read_text()
    assert "without a reaction" not in log
    assert "stopped with seeds 0-1 unfinished" in log


def test_a_thread_of_the_user_is_waited_for_a_moment_only() -> None:
    code = (
        "import threading, time, rlbench.execution.stopping as s; s.SILENCE = 0.2;"
        "threading.Thread(target=time.sleep, args=(3600,)).start(); s.leave(7)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], env=environment())
    assert child.wait(30) == 7


@pytest.mark.slow
def test_time_limit_of_a_floor_that_hangs(tmp_path: Path) -> None:
    """It is dropped with a line; the run is done, and summed up."""
    arguments = run("HangLater", "--max-seconds", "30", "-p", "learning_starts=50")
    arguments[1] = "dqn"
    child = start(*arguments, cwd=tmp_path, code=SHORT.replace("0.5, 0.0", "5.0, 0.0"))
    assert child.wait(120) == 0
    said = (tmp_path / "log").read_text()
    assert "stopped before the random policy was scored: the curve has no floor" in said
    assert "curve" in said
    runs = load(tmp_path / "out").runs
    assert runs[["agent", "status"]].to_numpy().tolist() == [["dqn", "done"]]


@pytest.mark.slow
def test_time_limit_of_what_keeps_the_interpreter(tmp_path: Path) -> None:
    """No thread runs beside it: it is ended all the same, with the place where it hangs."""
    code = SHORT.replace("0.0\n", "0.0\nstopping.LOCKED_UP = 2.0\n")
    child = start(*run("HangLocked", "--max-seconds", "25"), cwd=tmp_path, code=code)
    assert child.wait(120) == 1
    assert "hazards.py" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("number", "more"),
    [
        (signal.SIGTERM, []),
        pytest.param(signal.SIGINT, [], marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, ["--jobs", "2", "--seeds", "2"], marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, ["--jobs", "2", "--seeds", "2"], marks=pytest.mark.slow),
    ],
)
def test_signal_to_what_hangs(tmp_path: Path, number: signal.Signals, more: list[str]) -> None:
    """Exit code 128 + n with any number of jobs, sent to the parent alone; one line, no traceback.

    Readers see the seeds as running before, and as stopped afterwards.
    """
    child = start(*run("HangStep", *more), cwd=tmp_path)
    flags = 2 if more else 1
    wait_for(lambda: len(list(tmp_path.glob("hanging-*"))) == flags, child)
    assert set(load(tmp_path / "out").runs["status"]) == {"running"}
    child.send_signal(number)
    assert child.wait(30) == 128 + number
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    folder = run_folder(tmp_path / "out", "random").relative_to(tmp_path)
    assert f"rlbench resume {folder}" in log
    assert set(load(tmp_path / "out").runs["status"]) == {"stopped"}
