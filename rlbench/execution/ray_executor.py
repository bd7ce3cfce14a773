"""Executor that makes each part a task of Ray; the results folder is written by the driver only.

Ray decides where a task runs, and begins it again when its worker or node is lost. What the folder
holds then is where it goes on: states come back at intervals (`ray_part.py`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlbench.distribution import install
from rlbench.errors import CannotWrite, UserError
from rlbench.execution.attempt import STOPPED, JobOutcome
from rlbench.execution.dispatch import POLL_SECONDS, Executor
from rlbench.execution.executor_choice import ExecutorChoice
from rlbench.execution.jobs import Job, Progress
from rlbench.execution.process_pool import GRACE, LEAVING
from rlbench.execution.stopping import SIGNALS, StopSignal
from rlbench.storage.locks import locked
from rlbench.storage.part_files import PartFiles, read_files, write_files
from rlbench.storage.run_folder import RunFolder, RunPart
from rlbench.user_code.imports import first_line

try:
    import ray
    from ray import exceptions as errors
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError:
    raise UserError(f"--executor ray needs Ray: {install('ray')}") from None

from rlbench.execution.ray_part import Mailbox, News, Order, PartKilled, compute_part

RETRIES = 5  # times that Ray begins a part again after its worker or node was lost
VARIABLES = ("RLBENCH_", "MKL_CBWR")  # names, or their beginnings, that tasks inherit


def connect(choice: ExecutorChoice) -> None:
    """Connect this process to the cluster, unless it is.

    Raises:
        UserError: There is none at the address.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    own: dict[str, Any] = {"include_dashboard": False} if choice.address == "local" else {}
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        _answers(_found(choice.address))
        ray.init(choice.address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, OverflowError, ValueError, RuntimeError, errors.RayError) as error:
        raise UserError(
            f"no Ray cluster at {choice.address} ({first_line(error)}): start one with ray start "
            "--head, give its --address, or use --address local"
        ) from None
    finally:
        for number, handler in handlers.items():  # Ray puts one of its own in their place
            signal.signal(number, handler)


def _found(address: str) -> str:
    """Return the cluster that `auto` stands for, where Ray knows of one."""
    if address == "auto":
        with contextlib.suppress(Exception):  # of Ray's own parts, which may change
            from ray._private.services import get_ray_address_from_environment

            return str(get_ray_address_from_environment(address, None))
    return address


def _answers(address: str) -> None:
    """Raise OSError if nobody is at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def room(choice: ExecutorChoice) -> int:
    """Return how many parts the nodes hold at once, 1 at least."""
    count = 0
    for node in ray.nodes():
        has = node["Resources"] if node["Alive"] else {}
        rooms = [has.get("CPU", 0) // choice.num_cpus]
        rooms += [has.get("GPU", 0) // choice.num_gpus] if choice.num_gpus else []
        count += int(min(rooms))
    return max(count, 1)


@dataclass
class _Task:
    number: int
    job: Job
    lock: contextlib.ExitStack  # of the part's folder
    begun: bool = False

    @property
    def part(self) -> RunPart:
        return RunFolder(self.job.folder).part(self.job.seeds)


class RayExecutor(Executor):
    """Tasks of a Ray cluster, with one part each."""

    def __init__(self, choice: ExecutorChoice, jobs: int, stop: StopSignal) -> None:
        connect(choice)
        self.slots, self.stop = jobs, stop
        here = ray.get_runtime_context().get_node_id()
        near = NodeAffinitySchedulingStrategy(here, soft=False)  # soft: it may be any node
        self.mailbox = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=near).remote()
        self.task = ray.remote(compute_part).options(
            num_cpus=choice.num_cpus,
            num_gpus=choice.num_gpus,
            max_retries=RETRIES,
            retry_exceptions=[PartKilled],
        )
        self.tasks: dict[Any, _Task] = {}  # by the reference of its result
        self.count = 0
        self.patience = 0.0  # time until which tasks may save their state

    def start(self, job: Job) -> None:
        lock = contextlib.ExitStack()
        task = _Task(self.count, job._replace(folder=job.folder.absolute()), lock)
        lock.enter_context(locked(task.part.path, f"{task.part.path}"))
        self.count += 1
        variables = {name: os.environ[name] for name in os.environ if name.startswith(VARIABLES)}
        none: Any = None
        order = Order(
            task.number,
            pickle.dumps(job.run),
            task.job._replace(run=none),
            str(Path.cwd()),
            variables,
        )
        self.tasks[self.task.remote(order, self.mailbox)] = _Task(task.number, job, lock)

    def poll(self) -> Iterator[tuple[Job, Progress | JobOutcome]]:
        if not self.tasks:
            time.sleep(POLL_SECONDS)
            return
        try:
            ended, _ = ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=POLL_SECONDS)
            with self.stop.saving():
                yield from self._hear(ray.get(self.mailbox.take.remote(self.stop.code)))
                for reference in ended:
                    if (task := self.tasks.pop(reference, None)) is not None:
                        outcome = self._received(reference, task)
                        task.lock.close()
                        yield task.job, outcome
            if self.stop():
                yield from self._end_late()
        except errors.RayError as error:
            raise UserError(
                f"the Ray cluster is gone ({first_line(error)}); what came back is kept, and the "
                "same command goes on from there"
            ) from None

    def close(self) -> None:
        with contextlib.suppress(errors.RayError):
            for reference in self.tasks:
                ray.cancel(reference, force=True)
            ray.kill(self.mailbox)
        for task in self.tasks.values():
            task.lock.close()
        self.tasks.clear()

    def _hear(self, news: News) -> Iterator[tuple[Job, Progress | JobOutcome]]:
        """Store the states that came back, and answer tasks that begin."""
        tasks = {task.number: (reference, task) for reference, task in self.tasks.items()}
        for number, files in news.states.items():
            if number in tasks:
                reference, task = tasks[number]
                try:
                    write_files(task.part, files)
                except CannotWrite as error:
                    yield from self._give_up(reference, JobOutcome(2, str(error)))
                    del tasks[number]
        for number in news.begun:
            if number in tasks:
                tasks[number][1].begun = True
                self.mailbox.give.remote(number, read_files(tasks[number][1].part))
        for number, progress in news.progress.items():
            if number in tasks:
                yield tasks[number][1].job, progress

    def _received(self, reference: Any, task: _Task) -> JobOutcome:
        """Store the files of a task that ended, and return its outcome."""
        try:
            outcome: JobOutcome
            files: PartFiles
            outcome, files = ray.get(reference)
            write_files(task.part, files)
        except CannotWrite as error:
            return JobOutcome(2, str(error))
        except errors.TaskCancelledError:
            return JobOutcome(self.stop() or 143, STOPPED)
        except errors.RayTaskError as error:
            if isinstance(error.cause, PartKilled):
                return JobOutcome(137, f"{first_line(error.cause)} ({RETRIES + 1} times)")
            return JobOutcome(2, f"Ray could not run it: {first_line(error.cause)}")
        except errors.RayError as error:
            what = f"{type(error).__name__}: {first_line(error)}"
            return JobOutcome(137, f"its worker was lost ({what}); it can go on")
        return outcome

    def _end_late(self) -> Iterator[tuple[Job, Progress | JobOutcome]]:
        """After a stop, end tasks that wait for a place, and those that do not react."""
        now = time.monotonic()
        self.patience = self.patience or now + GRACE + 2 * LEAVING
        for reference, task in list(self.tasks.items()):
            if not task.begun or now > self.patience:
                yield from self._give_up(reference, JobOutcome(self.stop(), STOPPED))

    def _give_up(self, reference: Any, outcome: JobOutcome) -> Iterator[tuple[Job, JobOutcome]]:
        """End a task without waiting for it."""
        task = self.tasks.pop(reference)
        ray.cancel(reference, force=True)
        task.lock.close()
        yield task.job, outcome
