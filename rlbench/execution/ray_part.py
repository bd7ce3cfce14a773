"""One part as a task of Ray, on any node; no file system is shared with the driver.

The task trains in a temporary folder of its node, in a process of its own as elsewhere. It asks for
the files of the part when it begins, also when Ray begins it again after a worker or a node was
lost, and sends them back at intervals and in the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ray
from filelock import FileLock, Timeout

from rlbench.execution.attempt import JobOutcome
from rlbench.execution.jobs import Job, Progress, Unopened
from rlbench.execution.process_pool import ProcessPool
from rlbench.execution.stopping import StopSignal
from rlbench.storage.part_files import PartFiles, read_files, write_files
from rlbench.storage.run_folder import RunFolder, RunPart

RETURN_SECONDS = 10.0  # between two states that are sent back,
RETURN_SHARE = 0.05  # unless sending takes more than this share of the time
TELL_SECONDS = 0.5  # between two messages on progress
SUPERSEDED = 143  # code to stop with where Ray has begun the part elsewhere
PREFIX = "rlbench-part-"
LEFT_SECONDS = 60.0  # age from which an unlocked folder of a task is one that was left behind


class News(NamedTuple):
    """What tasks said since the driver asked last, by part: its number.

    States are to be stored before the parts in `begun` are given theirs.
    """

    progress: dict[int, Progress]
    states: dict[int, PartFiles]
    begun: list[int]


class Mailbox:
    """Messages between the driver and its tasks: an actor on the driver's node.

    Ray may begin a part again while its first task lives, cut off by the network: only the task
    that began last is heard.
    """

    def __init__(self) -> None:
        self.news = News({}, {}, [])
        self.attempts: dict[int, str] = {}  # name of the task that began last, by part
        self.given: dict[int, PartFiles] = {}
        self.code = 0

    def begin(self, part: int, attempt: str) -> None:
        """Hear that a task begins, and needs the files of its part."""
        self.attempts[part] = attempt
        self.given.pop(part, None)
        self.news.begun.append(part)

    def give(self, part: int, files: PartFiles) -> None:
        """Take the files for a task that began."""
        self.given[part] = files

    def files(self, part: int) -> PartFiles | None:
        """Hand out the files of a part once; None before they are there."""
        return self.given.pop(part, None)

    def tell(
        self, part: int, attempt: str, progress: Progress | None, files: PartFiles | None
    ) -> int:
        """Hear how far a part is, perhaps with its files; return the exit code to stop with."""
        if self.attempts.get(part) != attempt:
            return SUPERSEDED
        if progress is not None:
            self.news.progress[part] = progress
        if files is not None:
            self.news.states[part] = files
        return self.code

    def take(self, code: int) -> News:
        """Return what is new; with a code other than 0 all tasks are to stop."""
        self.code = code
        news, self.news = self.news, News({}, {}, [])
        return news


class PartKilled(Exception):
    """The process of a part was killed from outside: Ray is to begin the part again."""


class Order(NamedTuple):
    """What a task needs to know; the run is pickled, and opened by the process that trains."""

    part: int
    run: bytes
    job: Job  # without its run; `folder` is that of the driver
    cwd: str
    variables: Mapping[str, str]


def compute_part(order: Order, mailbox: Any) -> tuple[JobOutcome, PartFiles]:
    """Compute a part on this node; return how it ended, and its files.

    Raises:
        PartKilled: Its process was killed; what it had saved has been sent.
    """
    os.environ.update(order.variables)
    with contextlib.suppress(OSError):  # names of files mean the same where the folder is there
        os.chdir(order.cwd)
    with _scratch() as folder:
        home = order.job.folder
        run: Any = Unopened(order.run)
        job = order.job._replace(run=run, folder=folder / home.parent.name / home.name)
        part = RunFolder(job.folder).part(job.seeds)
        link = _Link(order.part, mailbox, part)
        link.begin()
        outcome = _trained(job, link)
        if outcome.code > 128 and not link.stop.code:
            link.send_state()
            raise PartKilled(outcome.reason)
        reason = outcome.reason.replace(str(job.folder), str(home))
        return outcome._replace(reason=reason), read_files(part)


def _trained(job: Job, link: _Link) -> JobOutcome:
    """Train in a process of its own, talking to the driver meanwhile."""
    pool = ProcessPool(1, link.stop)
    try:
        pool.start(job)
        while True:
            for _, message in pool.poll():
                if isinstance(message, JobOutcome):
                    return message
                link.progress = message
            link.talk()
    finally:
        pool.close()


class _Link:
    """What this task says to the driver, and hears from it."""

    def __init__(self, number: int, mailbox: Any, part: RunPart) -> None:
        self.number, self.mailbox, self.part = number, mailbox, part
        self.attempt = uuid.uuid4().hex
        self.stop = StopSignal()
        self.progress: Progress | None = None
        self.told = self.sent = time.monotonic()
        self.sending = 0.0  # seconds that sending a state took
        self.saved = 0  # time of the checkpoint that was sent

    def begin(self) -> None:
        """Ask for the files of the part, and write them."""
        ray.get(self.mailbox.begin.remote(self.number, self.attempt))
        while (files := ray.get(self.mailbox.files.remote(self.number))) is None:
            time.sleep(TELL_SECONDS / 2)
        write_files(self.part, files)
        self.saved = self._saved_at()

    def talk(self) -> None:
        """Tell progress when it is time to, and send a state that is new."""
        now = time.monotonic()
        if now - self.sent > max(RETURN_SECONDS, self.sending / RETURN_SHARE):
            self.send_state()
        elif now - self.told > TELL_SECONDS:
            self._tell(None)

    def send_state(self) -> None:
        """Send the files of the part if there is a checkpoint that was not sent."""
        start = time.monotonic()
        saved = self._saved_at()
        self._tell(read_files(self.part) if saved != self.saved else None)
        self.saved, self.sent = saved, time.monotonic()
        self.sending = self.sent - start

    def _tell(self, files: PartFiles | None) -> None:
        told = self.mailbox.tell.remote(self.number, self.attempt, self.progress, files)
        self.stop.code = self.stop.code or ray.get(told)
        self.told = time.monotonic()

    def _saved_at(self) -> int:
        """Return the time of the checkpoint in ns; 0 where there is none."""
        try:
            return self.part.checkpoint.stat().st_mtime_ns
        except FileNotFoundError:
            return 0


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """Make a temporary folder, and delete those of killed tasks of this node."""
    for old in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, Timeout):
            if time.time() - old.stat().st_mtime > LEFT_SECONDS:
                with FileLock(old / "lock", timeout=0):
                    shutil.rmtree(old, ignore_errors=True)
    new = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
    with new as name, FileLock(Path(name) / "lock"):
        yield Path(name)
