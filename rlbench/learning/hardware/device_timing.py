"""Timing of one agent's steps on each device, and the answers, kept for each machine.

An answer is a file in the user's cache folder, so that a shape is timed once. A file that cannot be
read is written anew; where none can be written, the answer holds for this process.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rlbench import __version__
from rlbench.common.safe_write import NO_FOLLOW, read_file, replace_bytes
from rlbench.user_code.imports import first_line

SETTLE, WATCH = 0.3, 0.3  # seconds of warm-up, and of what is timed
LEAST = 3  # calls that are timed
LONGEST = 10.0  # seconds on the first device,
SLOWER = 3.0  # and on the second so many times what the first took
CUDA, CPU = torch.device("cuda"), torch.device("cpu")
Seconds = dict[str, float]  # per env step of a seed, by kind of device; infinite: not in time
Work = Callable[[], int]  # trains until it has learned; returns the env steps of a seed
_answers: dict[Path, Seconds] = {}


class TooSlow(Exception):
    """Exception: a trial was not over in time."""


class CudaFails(Exception):
    """Exception: a trial failed on the GPU, and not on the CPU."""


class Trial(NamedTuple):
    """Steps that can be timed: `start(device, check)` builds what takes them.

    `shape` is all that their time depends on besides the machine, as JSON. `check()` must be called
    often, since it ends a trial that takes too long.
    """

    shape: dict[str, Any]
    start: Callable[[torch.device, Callable[[], None]], Work]


def timed(trial: Trial) -> Seconds:
    """Return the seconds of a step on each device, from an earlier timing if there was one.

    Raises:
        Exception: whatever a trial raised; nothing is kept then.
    """
    path = folder() / f"{_key(trial)}.json"
    if path in _answers:
        return _answers[path]
    with _alone(path):
        seconds = _read(path)
        if seconds is None:
            seconds = measure(trial)
            with contextlib.suppress(OSError):
                text = json.dumps({"seconds": seconds, **_machine(), **trial.shape}, indent=1)
                replace_bytes(path, text.encode())
    _answers[path] = seconds
    return seconds


def folder() -> Path:
    """Return the folder of the answers."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser().absolute() / "rlbench" / "devices"


def measure(trial: Trial) -> Seconds:
    """Time a trial on the GPU, then on the CPU, which gets so many times as long as the GPU took.

    Raises:
        TooSlow: the GPU was not done in time.
        CudaFails: only the CPU can do it.
        Exception: whatever a trial raised on both.
    """
    begun = time.perf_counter()
    try:
        seconds = {CUDA.type: _per_step(trial, CUDA, LONGEST)}
    except TooSlow:
        raise
    except Exception as error:
        with contextlib.suppress(TooSlow):  # it can, then
            _per_step(trial, CPU, 1.0)
        raise CudaFails(f"{type(error).__name__}: {first_line(error)}") from None
    limit = SLOWER * (time.perf_counter() - begun)
    try:
        seconds[CPU.type] = _per_step(trial, CPU, max(limit, 1.0))
    except TooSlow:
        seconds[CPU.type] = math.inf
    return seconds


def _per_step(trial: Trial, device: torch.device, limit: float) -> float:
    """Return the seconds of an env step of a seed on one device, its share of updates included."""
    last = time.perf_counter() + limit

    def check() -> None:
        if time.perf_counter() > last:
            raise TooSlow(f"no timing on {device} within {limit:.0f} s")

    work = trial.start(device, check)
    begun = _now(device)
    while _now(device) - begun < SETTLE:
        work()
        check()
    steps, calls, begun = 0, 0, _now(device)
    while calls < LEAST or _now(device) - begun < WATCH:
        steps += work()
        calls += 1
        check()
    return (_now(device) - begun) / steps


def _now(device: torch.device) -> float:
    """Return the time, once the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _machine() -> dict[str, Any]:
    """Return what a timing depends on besides its shape."""
    return {
        "machine": platform.node(),
        "device": torch.cuda.get_device_name(CUDA),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "rlbench": __version__,
    }


def _key(trial: Trial) -> str:
    text = json.dumps({**_machine(), **trial.shape}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(path: Path) -> Seconds | None:
    """Return the answer in a file; None if there is none, or none that makes sense."""
    try:
        found = json.loads(read_file(path))["seconds"]
        seconds = {kind: float(found[kind]) for kind in (CPU.type, CUDA.type)}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return seconds if all(value > 0 for value in seconds.values()) else None


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait for other processes that time the same, if the folder can be written to."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | NO_FOLLOW
            lock = os.open(path.with_suffix(".lock"), flags, 0o666)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
