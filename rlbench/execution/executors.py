"""The executor that was chosen: how much it takes at once, and its making."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rlbench.execution.executor_choice import ExecutorChoice

if TYPE_CHECKING:
    from rlbench.execution.dispatch import Executor
    from rlbench.execution.stopping import StopSignal

SLURM_JOBS = 16  # parts that are Slurm jobs at once, unless --jobs says so


def parallel_jobs(jobs: int, choice: ExecutorChoice, device: str) -> int:
    """Return how many parts are computed at once: `jobs`, and where that is 0 the default.

    Raises:
        UserError: The executor's extra is not installed, or it cannot be reached.
    """
    if choice.kind == "ray":
        from rlbench.execution import ray_executor

        ray_executor.connect(choice)
        return jobs or ray_executor.room(choice)
    if choice.kind == "slurm":
        from rlbench.execution import slurm_executor

        slurm_executor.submitter(choice, Path(slurm_executor.FOLDER))
        return jobs or SLURM_JOBS
    from rlbench.experiments.cost_estimate import usual_processes

    return jobs or usual_processes(device)


def make_executor(choice: ExecutorChoice, jobs: int, out: Path, stop: StopSignal) -> Executor:
    """Make the executor that computes `jobs` parts at once.

    Raises:
        UserError: Its extra is not installed, or it cannot be reached.
    """
    if choice.kind == "ray":
        from rlbench.execution.ray_executor import RayExecutor

        return RayExecutor(choice, jobs, stop)
    if choice.kind == "slurm":
        from rlbench.execution.slurm_executor import SlurmExecutor

        return SlurmExecutor(choice, jobs, out, stop)
    from rlbench.execution.process_pool import ProcessPool

    return ProcessPool(jobs, stop)
