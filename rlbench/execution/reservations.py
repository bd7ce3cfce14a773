"""Taking seeds of a run one part at a time, beside others who may do the same.

A benchmark has more work than it can begin. It puts a part on disk only when it starts it, so that
what has not begun is missing and not running, and two benchmarks on one store share the work.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rlbench.errors import Busy, UserError
from rlbench.execution.jobs import Job, left, on_recorded_device
from rlbench.storage.run_folder import RunFolder, RunPart, is_locked, locked


def reserve_part(job: Job) -> list[Job] | None:
    """Put a job on disk, so that nobody else begins its seeds.

    Returns it where it may start; else the jobs that its seeds have become through others in the
    meantime, none where they are finished; None where another process is at it right now.
    """
    folder = RunFolder(job.folder)
    try:
        with locked(folder.path, f"{folder.path}", wait=0):
            unfinished, missing = left(folder, job.seeds)
            if unfinished == [job.seeds] and not missing:
                if is_locked(folder.part(job.seeds).path):
                    return None
            elif unfinished or len(missing) < len(job.seeds):
                seeds = [*unfinished, *([tuple(missing)] if missing else [])]
                return [job._replace(seeds=some) for some in seeds]
            else:
                folder.part(job.seeds).reserve(job.seeds)
    except Busy:
        return None
    return [job._replace(run=on_recorded_device(job.run, folder.part(job.seeds)))]


def record_failure(job: Job, status: str, reason: str) -> None:
    """Say what has become of the seeds of a job whose process could not say it itself."""
    part = RunFolder(job.folder).part(job.seeds)
    with locked(part.path, f"{part.path}"):
        info = part.read()
        ended = [seed for seed, now in info["status"].items() if now == "running"]
        info["status"] |= dict.fromkeys(ended, status)
        info["reason"] |= dict.fromkeys(ended, reason)
        part.write_info(info)


def reopen_seeds(folder: RunFolder, seeds: Sequence[int], statuses: Collection[str]) -> None:
    """Let seeds that ended with one of these statuses be computed once more.

    Where there is a checkpoint they go on from it. Else they begin anew, and seeds that trained
    together with them keep what they have: each is what it would have been alone.
    """
    for part in folder.parts():
        info = part.read()
        ended = [s for s in info["seeds"] if s in seeds and info["status"][str(s)] in statuses]
        if not ended or not part.finished():
            continue
        with locked(part.path, f"{part.path}"):
            if _resumable(part):
                info.pop("checksums", None)
                info["status"] |= {str(seed): "running" for seed in ended}
                info["reason"] = {k: v for k, v in info["reason"].items() if int(k) not in ended}
                part.write_info(info)
            elif len(ended) == len(info["seeds"]):
                part.clear()
            else:
                part.cut(ended)


def _resumable(part: RunPart) -> bool:
    """Whether there is a checkpoint that can be read."""
    from rlbench.learning import checkpoint

    try:
        return part.checkpoint.exists() and bool(checkpoint.load(part.checkpoint))
    except UserError:
        return False
