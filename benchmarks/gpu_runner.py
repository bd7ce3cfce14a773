"""Measurements that may fail or hang, each in a process of its own, with lines as soon as they are.

A process is a fork of this one, which has imported what all need but never touched a GPU, so that
it costs no time to start. Where that is not possible, and with `fresh`, it is a new interpreter.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

Line = dict[str, Any]
Emit = Callable[..., None]  # a line's values by name
RESERVE = 2.0  # seconds of a measurement's limit in which it is told to stop by itself
LONGEST = 8000  # characters of a traceback
LEAST = 3.0  # seconds without which none begins
_PLACE = ("name", "of", "run", "at")  # of a line, besides its values
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class Place(NamedTuple):
    """Where and how a measurement runs."""

    device: str
    smoke: bool  # everything at tiny size
    folder: Path  # for files besides the lines
    until: float  # time.monotonic() when it is ended
    lines: tuple[Line, ...]  # of earlier measurements

    def left(self) -> float:
        """Seconds that it should not exceed."""
        return max(self.until - RESERVE - time.monotonic(), 0.5)


class Measurement(NamedTuple):
    """What is measured: `run` emits at least one line."""

    name: str  # group/what
    run: Callable[[Emit, Place], None]
    seconds: float = 30.0  # its limit
    beside: bool = False  # whether others may run at the same time, since it is not about time


@dataclass
class _Process:
    measurement: Measurement
    pid: int
    pipe: int  # its lines, one JSON object each
    begun: float
    until: float
    buffer: bytearray = field(default_factory=bytearray)
    lines: int = 0


class Runner:
    """Runs measurements one after the other, and those beside each other that may be."""

    def __init__(
        self,
        folder: Path,
        seconds: float,
        device: str,
        smoke: bool = False,
        beside: int = 1,
        fresh: Sequence[str] = (),
    ) -> None:
        """Open `folder`/lines.jsonl, to which lines are appended.

        `fresh` is the command that runs one measurement, whose name and pipe follow, in a new
        interpreter; without it processes are forks.
        """
        self.folder, self.device, self.smoke = folder, device, smoke
        self.beside, self.fresh = beside, list(fresh)
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        self.begun = time.monotonic()
        self.until = self.begun + seconds
        self.path = folder / "lines.jsonl"
        self.lines = read_lines(self.path)
        self.number = 1 + max((line.get("run", 0) for line in self.lines), default=0)
        self.file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        if self.lines and not self.path.read_bytes().endswith(b"\n"):
            os.write(self.file, b"\n")  # a line that was cut
        self.running: dict[int, _Process] = {}

    def run(self, measurements: Sequence[Measurement]) -> bool:
        """Run them in their order; True if none failed and all could be run."""
        waiting, before = list(measurements), len(self.lines)
        try:
            while waiting or self.running:
                while waiting and self._may_start(waiting[0]):
                    measurement = waiting.pop(0)
                    if self.until - time.monotonic() < LEAST:
                        self.write({"name": measurement.name, "not run": "no time left"})
                        continue
                    self._start(measurement)
                self._wait()
        finally:
            for process in list(self.running.values()):
                self._kill(process)
            for measurement in waiting:
                self.write({"name": measurement.name, "not run": "ended before"})
        return not any(map(bad, self.lines[before:]))

    def write(self, line: Line) -> None:
        """Print a line, append it to the file in one piece, and write the table anew."""
        at = round(time.monotonic() - self.begun, 1)
        line = {"name": line["name"], "run": self.number, "at": at, **line}
        self.lines.append(line)
        text = json.dumps(line, default=str)
        os.write(self.file, text.encode() + b"\n")
        print(shown(line), flush=True)
        table = self.folder / "table.md"
        new = table.with_suffix(".new")
        new.write_text(table_of(self.lines), encoding="utf-8")
        new.replace(table)

    def _may_start(self, measurement: Measurement) -> bool:
        if not self.running:
            return True
        alike = all(process.measurement.beside for process in self.running.values())
        return measurement.beside and alike and len(self.running) < self.beside

    def _start(self, measurement: Measurement) -> None:
        ours, theirs = os.pipe()
        now = time.monotonic()
        until = min(now + measurement.seconds, self.until)
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            os.close(ours)
            place = Place(self.device, self.smoke, self.folder, until, tuple(self.lines))
            command = [*self.fresh, measurement.name] if self.fresh else []
            in_child(measurement, place, theirs, parent, command)
        os.close(theirs)
        process = _Process(measurement, pid, ours, now, until)
        self.running[ours] = process

    def _wait(self) -> None:
        ready, _, _ = select.select(list(self.running), [], [], 0.1)
        for pipe in ready:
            self._read(self.running[pipe])
        for process in list(self.running.values()):
            if time.monotonic() > process.until:
                seconds = process.until - process.begun
                self._kill(process, f"took longer than {seconds:.0f} s")

    def _read(self, process: _Process) -> None:
        data = os.read(process.pipe, 1 << 16)
        process.buffer.extend(data)
        while (end := process.buffer.find(b"\n")) >= 0:
            line = json.loads(process.buffer[:end])
            del process.buffer[: end + 1]
            process.lines += 1
            name = process.measurement.name
            self.write({"name": name, **line, **({"of": name} if "name" in line else {})})
        if not data:
            self._ended(process)

    def _ended(self, process: _Process) -> None:
        status = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
        _kill_group(process.pid)  # what it started and left behind
        self._forget(process)
        if status:
            how = f"exit code {status}" if status > 0 else signal.Signals(-status).name
            self._failed(process, f"its process ended with {how}")
        elif not process.lines:
            self._failed(process, "no result")

    def _kill(self, process: _Process, why: str = "ended before it was done") -> None:
        """Write where it stands, and end it with all that it started."""
        with contextlib.suppress(OSError):
            os.kill(process.pid, signal.SIGUSR1)  # faulthandler: its traceback to its log
        time.sleep(0.2)
        _kill_group(process.pid)
        with contextlib.suppress(OSError):
            os.kill(process.pid, signal.SIGKILL)  # before it has its own group
        os.waitpid(process.pid, 0)
        self._forget(process)
        self._failed(process, why)

    def _forget(self, process: _Process) -> None:
        os.close(process.pipe)
        del self.running[process.pipe]

    def _failed(self, process: _Process, why: str) -> None:
        log = log_of(self.folder, process.measurement.name)
        text = log.read_text(errors="replace") if log.exists() else ""
        text = (
            text if len(text) < LONGEST else f"{text[: LONGEST // 2]}[...]{text[-LONGEST // 2 :]}"
        )
        self.write({"name": process.measurement.name, "error": why, "traceback": text})


def log_of(folder: Path, name: str) -> Path:
    """Return the file that a measurement prints to."""
    return folder / "logs" / f"{name.replace('/', '-')}.txt"


def in_child(
    measurement: Measurement, place: Place, pipe: int, parent: int, command: Sequence[str]
) -> NoReturn:
    """Measure in this process, write lines to a pipe and exit; or become another command."""
    try:
        os.setsid()
        die_with(parent)
        log = log_of(place.folder, measurement.name)
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(target, 1)
        os.dup2(target, 2)
        if command or cuda_is_taken():
            os.set_inheritable(pipe, True)
            given = [str(pipe), str(place.until - time.monotonic())]
            os.execv(sys.executable, [*(command or [sys.executable, *sys.argv, "--measure",
                                                    measurement.name]), *given])  # fmt: skip
        measure(measurement, place, pipe)
    except BaseException:
        traceback.print_exc()
    os._exit(70)


def measure(measurement: Measurement, place: Place, pipe: int) -> NoReturn:
    """Measure in this process, write lines to a pipe, and exit."""
    faulthandler.enable(2)
    faulthandler.register(signal.SIGUSR1, 2, all_threads=True)

    def emit(**values: Any) -> None:
        data = json.dumps(values, default=str).encode() + b"\n"
        while data:
            data = data[os.write(pipe, data) :]

    try:
        measurement.run(emit, place)
    except BaseException as error:
        emit(**failure(error))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def failure(error: BaseException) -> Line:
    """Return the values of the line of an error."""
    text = "".join(traceback.format_exception(error))
    line = (str(error).strip() or "-").splitlines()[0]
    return {"error": f"{type(error).__name__}: {line}", "traceback": text[-LONGEST:]}


def cuda_is_taken() -> bool:
    """Return whether this is a fork of a process that has used a GPU, and so cannot use one."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda._is_in_bad_fork())


def die_with(parent: int) -> None:
    """End this process when its parent does, however that ends (on Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(70)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a file of JSON lines, without one that was cut."""
    lines = []
    for text in path.read_text(errors="replace").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            lines.append(json.loads(text))
    return lines


def bad(line: Line) -> bool:
    """Return whether a line says that something failed, was wrong or was not run."""
    return "error" in line or "not run" in line or line.get("right") is False


def shown(line: Line) -> str:
    """Return a line for a person: `[12.3 s] fast/dqn-10: seeds 8, steps/s 12,345`."""
    hidden = (*_PLACE, "traceback")
    text = ", ".join(f"{key} {worded(each)}" for key, each in line.items() if key not in hidden)
    return f"[{line['at']:5.1f} s] {line['name']}: {text}"


def worded(value: Any) -> str:
    """Return a value as text: numbers to four figures, parts of a whole as `env 3, act 5`."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {worded(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(worded, value))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "NO", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table_of(lines: Sequence[Line]) -> str:
    """Return Markdown: a table for each group, then what was wrong, failed or was not run.

    Of what was measured several times it shows the last time that has results.
    """
    last: dict[str, int] = {}
    for line in lines:
        if "error" not in line and "not run" not in line:
            last[_of(line)] = line["run"]
    shown_ones = [line for line in lines if line["run"] >= last.get(_of(line), 0)]
    groups: dict[str, list[Line]] = {}
    for line in shown_ones:
        if "error" not in line and "not run" not in line:
            groups.setdefault(line["name"].partition("/")[0], []).append(line)
    text = []
    for group, rows in groups.items():
        hidden = _PLACE[1:]
        keys = list(dict.fromkeys(key for line in rows for key in line if key not in hidden))
        text += [f"## {group}", "", _row(keys), _row(["---"] * len(keys))]
        text += [*(_row([_cell(line, key) for key in keys]) for line in rows), ""]
    wrong = [line for line in shown_ones if line.get("right") is False]
    text += _list(
        "Wrong", [(line, {k: line[k] for k in line if k not in _PLACE}) for line in wrong]
    )
    for title, key in (("Failed", "error"), ("Not run", "not run")):
        text += _list(title, [(line, _case(line, key)) for line in shown_ones if key in line])
    return "\n".join(text)


def _of(line: Line) -> str:
    """Return the measurement that a line is of."""
    return str(line.get("of", line["name"]))


def _case(line: Line, key: str) -> Line:
    """Return what went wrong, and with which of a measurement's cases."""
    return {k: line[k] for k in line if k not in (*_PLACE, key, "traceback")} | {"": line[key]}


def _list(title: str, entries: Sequence[tuple[Line, Line]]) -> list[str]:
    texts = [f"- {line['name']}: {worded(values).strip()}" for line, values in entries]
    return [f"## {title}", "", *dict.fromkeys(texts), ""] if texts else []


def _cell(line: Line, key: str) -> str:
    value = line.get(key, "")
    return (value.partition("/")[2] or value) if key == "name" else worded(value)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"
