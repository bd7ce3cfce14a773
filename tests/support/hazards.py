"""What can go wrong in a benchmark: an agent that breaks its process, an environment that hangs."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Literal

from probes import Noise, Stepped
from pydantic import Field

from rlbench.agents.random import Random, RandomConfig
from rlbench.learning.core.agent_core import Metrics
from rlbench.learning.environments.lanes import Step


class HazardConfig(RandomConfig):
    """What becomes of it."""

    how: Literal["raise", "crash", "exit"] = Field("raise", description="way to end")


class Hazard(Random):
    """Random, until step 20."""

    Config = HazardConfig  # type: ignore[assignment]
    version = 1
    default_timesteps = 100
    saturates = False
    config: HazardConfig

    def observe(self, step: Step) -> Metrics:
        if self.num_timesteps == 20:
            print("last words", flush=True)
            if self.config.how == "raise":
                raise ZeroDivisionError("out of coffee")
            if self.config.how == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            os._exit(3)
        return super().observe(step)


class Loud(Noise):
    """Prints without end, until its output is cut (or for ten seconds); once in a process."""

    cut = False

    def step(self, action: Any) -> Stepped:
        if not Loud.cut:
            end = time.monotonic() + 10
            print("x" * 2_000_000, flush=True)
            while os.fstat(1).st_size > 1_100_000 and time.monotonic() < end:
                print("y" * 1_000, flush=True)
                time.sleep(0.001)
            Loud.cut = True
            if time.monotonic() < end:
                print("last words", flush=True)
        return super().step(action)


class Hang(Noise):
    """Gives no sign of life as soon as a file is there."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file, self.steps = file, 0

    def step(self, action: Any) -> Stepped:
        self.steps += 1
        if self.steps == 30 and Path(self.file).exists():
            time.sleep(3600)
        return super().step(action)


class Surrogate(Noise):
    """Fails with half a character, as of a file name that is no UTF-8."""

    def step(self, action: Any) -> Stepped:
        raise ValueError("half \ud800")


class Stuck(Noise):
    """Is not made as long as a file is there."""

    def __init__(self, file: str) -> None:
        super().__init__()
        while Path(file).exists():
            time.sleep(0.05)


class HangStep(Noise):
    """Hangs in its 30th step, and leaves a file where it is run."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def step(self, action: Any) -> Stepped:
        self.steps += 1
        if self.steps == 30:
            Path(f"hanging-{os.getpid()}").touch()
            self.hang()
        return super().step(action)

    def hang(self) -> None:
        time.sleep(3600)


class Deaf(HangStep):
    """Hangs, whatever is raised in it."""

    def hang(self) -> None:
        while True:
            try:
                time.sleep(3600)
            except BaseException:
                pass


class HangLocked(HangStep):
    """Hangs in C code that no other thread of the interpreter can run beside."""

    def hang(self) -> None:
        sum(itertools.repeat(1))


class Leaves(Noise):
    """Changes the current folder as it steps."""

    def step(self, action: Any) -> Stepped:
        os.chdir(os.environ["THERE"])
        return super().step(action)


class LeavesAtOnce(Noise):
    """Changes the current folder as it is made."""

    def __init__(self) -> None:
        super().__init__()
        os.chdir(os.environ["THERE"])


class Deletes(Noise):
    """Deletes a folder after some steps."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def step(self, action: Any) -> Stepped:
        self.steps += 1
        if self.steps == 200:
            shutil.rmtree(os.environ["THERE"])
        return super().step(action)


class ExitMade(Noise):
    """Exits in its constructor."""

    def __init__(self) -> None:
        sys.exit(3)


class Crashes(Noise):
    """Dies of a segmentation fault."""

    def step(self, action: Any) -> Stepped:
        os.kill(os.getpid(), signal.SIGSEGV)
        raise AssertionError


class Dies(Noise):
    """Ends its process."""

    def step(self, action: Any) -> Stepped:
        os._exit(3)


def exit(*args: Any) -> Any:
    """What an agent does instead of observing, as do the next two."""
    sys.exit(0)


def interrupt(*args: Any) -> Any:
    raise KeyboardInterrupt


def lines(*args: Any) -> Any:
    raise ValueError("one\ntwo\nthree")


class HangMade(Noise):
    """Hangs in its constructor."""

    def __init__(self) -> None:
        time.sleep(3600)


class HangReset(Noise):
    """Hangs in reset, later than in planning."""

    resets = 0  # of all environments in this process

    def reset(self, **kwargs: Any) -> Any:
        HangReset.resets += 1
        if HangReset.resets > 6:
            time.sleep(3600)
        return super().reset(**kwargs)


class HangSealed(Noise):
    """Hangs in evaluation, whose reset seeds are below 2**30."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None and seed < 2**30:
            time.sleep(3600)
        return super().reset(seed=seed)


class HangLater(HangStep):
    """Hangs in its 30th step as soon as an agent has been saved: when the floor is computed."""

    def hang(self) -> None:
        if list(Path("out").rglob("agent.npz")):
            time.sleep(3600)


class Threads(Noise):
    """Leaves a thread running that Python waits for."""

    def __init__(self) -> None:
        super().__init__()
        threading.Thread(target=time.sleep, args=(3600,)).start()


class Slow(Noise):
    """Takes its time, so that there is time to kill."""

    def step(self, action: Any) -> Stepped:
        time.sleep(0.002)
        return super().step(action)


class LeavesSlowly(HangStep):
    """Takes steps for a long time, in a process that then takes three seconds to end."""

    def hang(self) -> None:
        atexit.register(time.sleep, 3)

    def step(self, action: Any) -> Stepped:
        time.sleep(0.02)
        return super().step(action)


def install(folder: Path) -> Path:
    """A package that brings the agent `hazard`, for PYTHONPATH."""
    facts = folder / "hazard-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: hazard\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[rlbench.agents]\nhazard = hazards:Hazard\n")
    return folder
