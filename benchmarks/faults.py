"""Faults while rlbench works, and what they cost: nothing may be lost, doubled or changed.

    python benchmarks/faults.py [--trials 200] [--only NAME] [--seed 0]

A trial starts a command, strikes it at a random moment, and repeats the command until it ends well.
The rows of evaluations, episodes, metrics and trials, without what a clock wrote, the arrays of the
agents and the tables of the report must then equal those of a command that nothing struck, bit for
bit, and `rlbench verify` must find nothing. Printed are, for each fault: trials; how many of them
were struck before they were done; rows lost, doubled, and wrong; trials that did not recover;
tracebacks that a user saw; and the seconds that repeating the command took, with the work that was
left. `--trials` are those of the first fault, others have a share. The exit code is 1 if anything
was lost, doubled or wrong, or did not recover.

Moments are drawn in CPU seconds of the command (of a bench, in seconds), so they depend little on
what else the machine does. A fault that needs what this machine has not (mounting needs root) is
named and left out.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import fault_commands as commands
from fault_commands import Child, Contents

NOBODY = 65534
WRITES = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate"}


class Unavailable(Exception):
    """This machine cannot do it."""


@dataclass
class Trial:
    """A trial of a fault: its command, where it writes, and what is random about it."""

    command: str
    place: Path
    whole: float  # what the command spends undisturbed, see `Child.spent`
    random: random.Random
    struck: bool = True

    def child(self, before: Callable[[], object] | None = None) -> Child:
        """Start the command."""
        return Child(self.command, self.place, before)

    def moment(self) -> float:
        """Draw a moment of the command, as `Child.spent` counts them."""
        return self.random.uniform(0.0, self.whole)

    def kill_at_write(self, last: int, only: str = "") -> Callable[[], None]:
        """Return what makes a process kill -9 itself at one of its first `last` writes."""
        number = self.random.randint(1, last)

        def install() -> None:
            seen = 0

            def hook(event: str, arguments: tuple[object, ...]) -> None:
                nonlocal seen
                if event in WRITES and self.is_write(event, arguments) and only in str(arguments):
                    seen += 1
                    if seen == number:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(hook)

        return install

    def is_write(self, event: str, arguments: tuple[object, ...]) -> bool:
        """Return whether an event of the interpreter changes a file of the command."""
        path = os.fspath(arguments[0]) if isinstance(arguments[0], str | Path) else ""
        ours = "out" in path or str(self.place) in path
        return ours and (
            event != "open" or bool(int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR))
        )


def kill(trial: Trial) -> None:
    """Kill -9 at a random moment: all processes, or the first alone."""
    child = trial.child()
    trial.struck = child.until(trial.moment())
    child.kill(trial.random.random() < 0.5)
    commands.settle(child.pid)


def kill_twice(trial: Trial) -> None:
    """Kill -9, and again while it recovers."""
    kill(trial)
    struck = trial.struck
    kill(trial)
    trial.struck |= struck


def kill_at_writes(trial: Trial) -> None:
    """Kill -9 just before a file is made, moved or deleted."""
    trial.struck = trial.child(trial.kill_at_write(60)).wait() == commands.KILLED


def kill_in_checkpoint(trial: Trial) -> None:
    """Kill -9 between the first and the last byte of a checkpoint."""
    number, delay = trial.random.randint(1, 8), trial.random.uniform(1e-5, 4e-3)

    def install() -> None:
        seen = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            if event == "open" and "checkpoint.npz." in str(arguments[0]):
                seen += 1
                if seen == number:  # the kernel ends the process, whatever it is in then
                    signal.signal(signal.SIGALRM, signal.SIG_DFL)
                    signal.setitimer(signal.ITIMER_REAL, delay)

        sys.addaudithook(hook)

    trial.struck = trial.child(install).wait() == -signal.SIGALRM


def terminate(trial: Trial) -> None:
    """SIGTERM: it has 20 seconds to save its state and end with 143."""
    child = trial.child()
    trial.struck = child.until(trial.moment())
    if trial.struck:
        os.kill(child.pid, signal.SIGTERM)
        code = child.wait(20.0)
        if code not in {0, 143, -signal.SIGTERM}:  # before the handler is there: as any program
            raise AssertionError(f"ended with {code} after SIGTERM")


def pause(trial: Trial) -> None:
    """SIGSTOP, and SIGCONT some time later: the command itself ends well."""
    child = trial.child()
    trial.struck = child.until(trial.moment())
    if trial.struck:
        os.killpg(child.pid, signal.SIGSTOP)
        time.sleep(trial.random.uniform(0.05, 0.5))
        os.killpg(child.pid, signal.SIGCONT)
    if (code := child.wait()) != 0:
        raise AssertionError(f"ended with {code} after SIGCONT")


def full_disk(trial: Trial) -> None:
    """A small file system of its own that is full, and has room when the command is repeated."""
    place = trial.place / "out"
    place.mkdir(exist_ok=True)
    size = trial.random.randint(4, 120)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        raise Unavailable("mounting needs root")
    ended(trial, trial.child().wait())
    subprocess.run(["mount", "-o", "remount,size=100m", str(place)], check=True)


def large_file(trial: Trial) -> None:
    """No file may grow beyond some bytes (`ulimit -f`)."""
    limit = int(10 ** trial.random.uniform(2, 5))
    ended(trial, trial.child(lambda: lower(resource.RLIMIT_FSIZE, limit)).wait())


def few_handles(trial: Trial) -> None:
    """The process may open few files more (`ulimit -n`)."""

    def limit() -> None:
        used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        lower(resource.RLIMIT_NOFILE, used + trial.random.randint(0, 12))

    ended(trial, trial.child(limit).wait())


def little_memory(trial: Trial) -> None:
    """The process may take little more memory (`ulimit -v`)."""
    more = int(10 ** trial.random.uniform(5, 8.3))

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        lower(resource.RLIMIT_AS, pages * resource.getpagesize() + more)

    ended(trial, trial.child(limit).wait())


def lower(what: int, limit: int) -> None:
    """Lower a limit of this process."""
    resource.setrlimit(what, (limit, resource.getrlimit(what)[1]))


def ended(trial: Trial, code: int | None) -> None:
    """Note whether a command was struck: it did not end well."""
    trial.struck = code != 0
    if code is None:
        raise AssertionError("hung")


def read_only(trial: Trial) -> None:
    """All folders lose the right to write at some moment; root is nobody in the process."""
    out = trial.place / "out"
    out.mkdir()
    root = os.geteuid() == 0
    if root:
        shutil.chown(out, NOBODY, NOBODY)
        (trial.place / "log").touch(0o666)
        (trial.place / "log").chmod(0o666)

    def drop() -> None:
        if root:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)

    child = trial.child(drop)
    trial.struck = child.until(trial.moment())
    for folder in (out, *(each for each in out.rglob("*") if each.is_dir())):
        folder.chmod(0o555)
    ended(trial, child.wait())
    for folder in (out, *(each for each in out.rglob("*") if each.is_dir())):
        folder.chmod(0o755)


def vanish(trial: Trial) -> None:
    """The folder of results is deleted at some moment."""
    child = trial.child()
    child.until(trial.moment())
    shutil.rmtree(trial.place / "out", ignore_errors=True)
    ended(trial, child.wait())


def two_at_once(trial: Trial) -> None:
    """Two processes begin the same work, the second some moments later."""
    children = [trial.child()]
    children[0].until(trial.moment() / 4)
    children.append(trial.child())
    codes = [child.wait() for child in children]
    if any(code not in (0, 2) for code in codes) or 0 not in codes:
        raise AssertionError(f"ended with {codes}")


def clock(trial: Trial) -> None:
    """`time.time` of the process jumps by up to a day, back and forth, at every call."""
    draw, now = random.Random(trial.random.random()), time.time

    def patch() -> None:
        time.time = lambda: now() + draw.uniform(-86_400, 86_400)

    if (code := trial.child(patch).wait()) != 0:
        raise AssertionError(f"ended with {code}")


@dataclass
class Fault:
    """What is done to which command, in how large a share of the trials."""

    name: str
    command: str
    strike: Callable[[Trial], None]
    share: float


FAULTS = [
    Fault("kill -9, run", "run", kill, 1.0),
    Fault("kill -9 twice, run", "run", kill_twice, 0.1),
    Fault("kill -9 at a write, run", "run", kill_at_writes, 0.5),
    Fault("kill -9 in a checkpoint, run", "run", kill_in_checkpoint, 0.5),
    Fault("kill -9, bench", "bench", kill, 0.1),
    Fault("kill -9, tune", "tune", kill, 0.1),
    Fault("kill -9 at a write, tune", "tune", kill_at_writes, 0.1),
    Fault("kill -9, report", "report", kill, 0.1),
    Fault("SIGTERM, run", "run", terminate, 0.1),
    Fault("SIGTERM, bench", "bench", terminate, 0.05),
    Fault("SIGSTOP and SIGCONT, run", "run", pause, 0.1),
    Fault("full disk, run", "run", full_disk, 0.1),
    Fault("largest file, run", "run", large_file, 0.1),
    Fault("read-only folder, run", "run", read_only, 0.1),
    Fault("folder deleted, run", "run", vanish, 0.1),
    Fault("few file handles, run", "run", few_handles, 0.1),
    Fault("little memory, run", "run", little_memory, 0.1),
    Fault("two at once, run", "run", two_at_once, 0.05),
    Fault("two at once, bench", "bench", two_at_once, 0.05),
    Fault("time.time jumps, run", "run", clock, 0.05),
]


@dataclass
class Outcome:
    """What came of the trials of one fault."""

    trials: int = 0
    struck: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    stuck: int = 0  # trials that did not recover, or did not end as they should
    tracebacks: int = 0
    seconds: list[float] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    def bad(self) -> bool:
        """Return whether a promise was broken."""
        return bool(self.lost or self.doubled or self.wrong or self.stuck)

    def line(self, name: str) -> str:
        """Return a line of the table."""
        middle = statistics.median(self.seconds) if self.seconds else 0.0
        most = max(self.seconds, default=0.0)
        counts = (self.trials, self.struck, self.lost, self.doubled, self.wrong, self.stuck,
                  self.tracebacks)  # fmt: skip
        return f"{name:30}" + "".join(f"{n:11}" for n in counts) + f"{middle:9.1f}{most:9.1f}"


HEAD = f"{'fault':30}" + "".join(
    f"{name:>11}"
    for name in ("trials", "struck", "lost", "doubled", "wrong", "stuck", "tracebacks")
) + f"{'median s':>9}{'most s':>9}"  # fmt: skip


def one(fault: Fault, trial: Trial, expected: Contents, outcome: Outcome) -> None:
    """Strike once, recover, and add what differs to the outcome."""
    outcome.trials += 1
    try:
        fault.strike(trial)
    except AssertionError as error:
        outcome.stuck += 1
        outcome.details.append(f"{trial.place.name}: {error}")
    outcome.struck += trial.struck
    fine, seconds = commands.recover(trial.command, trial.place)
    outcome.seconds.append(seconds)
    log = (trial.place / "log").read_text(errors="replace")
    outcome.tracebacks += "Traceback" in log
    if not fine:
        outcome.stuck += 1
        outcome.details.append(f"{trial.place.name}: did not recover: {log[-600:]}")
        return
    found = commands.compare(commands.contents(trial.place), expected)
    outcome.lost += found.lost
    outcome.doubled += found.doubled
    outcome.wrong += found.wrong
    outcome.details += [f"{trial.place.name}: {each}" for each in found.details]
    unsound = [] if trial.command == "report" else commands.unsound(trial.place)
    outcome.wrong += len(unsound)
    outcome.details += [f"{trial.place.name}: {each}" for each in unsound]


def tidy(place: Path) -> None:
    """Delete the folder of a trial, and the file system in it."""
    if (place / "out").is_mount():
        subprocess.run(["umount", str(place / "out")], check=True)
    shutil.rmtree(place, ignore_errors=True)


def measure(faults: list[Fault], trials: int, seed: int, scratch: Path) -> bool:
    """Try all faults and print the table; whether all promises were kept."""
    expected: dict[str, tuple[Contents, float]] = {}
    store = scratch / "undisturbed" / "run" / "out"
    for command in dict.fromkeys(["run", *(fault.command for fault in faults)]):
        place = scratch / "undisturbed" / command
        commands.lay_out(place, command, store)
        expected[command] = commands.reference(command, place)
    print(HEAD, flush=True)
    kept = True
    for fault in faults:
        outcome = Outcome()
        for number in range(max(round(trials * fault.share), 1)):
            place = scratch / "trials" / f"{fault.strike.__name__}-{fault.command}-{number}"
            commands.lay_out(place, fault.command, store)
            draw = random.Random(f"{seed} {place.name}")
            trial = Trial(fault.command, place, expected[fault.command][1], draw)
            try:
                one(fault, trial, expected[fault.command][0], outcome)
            except Unavailable as error:
                print(f"{fault.name:30} left out: {error}", flush=True)
                break
            finally:
                tidy(place)
        else:
            print(outcome.line(fault.name), flush=True)
        for line in outcome.details[:10]:
            print(f"    {line}", flush=True)
        kept &= not outcome.bad()
    return kept


def main() -> None:
    """Print a line for each fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200, help="of the first fault")
    parser.add_argument("--only", default="", help="faults whose name has this in it")
    parser.add_argument("--seed", type=int, default=0, help="of moments, limits and sizes")
    options = parser.parse_args()
    faults = [fault for fault in FAULTS if options.only in fault.name]
    if not faults:
        parser.error(f"no fault has '{options.only}' in its name")
    commands.prepare()
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)  # one fault is met by nobody
        sys.exit(not measure(faults, options.trials, options.seed, Path(scratch)))


if __name__ == "__main__":
    main()
