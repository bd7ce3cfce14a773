"""Reserve parts of a run when several benches share a store.

A part is written to disk only when it starts, so that parts not yet started count as missing and
two benches on one store share the work.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rlbench.errors import Busy, UserError
from rlbench.execution.jobs import Job, on_recorded_device, remaining_parts
from rlbench.storage.locks import is_locked, locked
from rlbench.storage.run_folder import OF_FILES, RunFolder, RunPart


def reserve_part(job: Job) -> list[Job] | None:
    """Write a part to disk, so that no other process begins its seeds.

    Returns the job itself if it may start; the jobs that cover its seeds if other processes began
    some of them, or none if these finished; None while another process is at it.
    """
    folder = RunFolder(job.folder)
    try:
        with locked(folder.path, f"{folder.path}", wait=0):
            open_parts, missing = remaining_parts(folder, job.seeds)
            if open_parts == [job.seeds] and not missing:
                if is_locked(folder.part(job.seeds).path):
                    return None
            elif open_parts or len(missing) < len(job.seeds):
                seeds = [*open_parts, *([tuple(missing)] if missing else [])]
                return [job._replace(seeds=some) for some in seeds]
            else:
                folder.part(job.seeds).reserve(job.seeds)
    except Busy:
        return None
    return [job._replace(run=on_recorded_device(job.run, folder.part(job.seeds)))]


def record_failure(job: Job, status: str, reason: str) -> None:
    """Record the status of the seeds of a job whose process could not record it."""
    part = RunFolder(job.folder).part(job.seeds)
    with locked(part.path, f"{part.path}"):
        info = part.read()
        seeds = [seed for seed, now in info["status"].items() if now == "running"]
        info["status"] |= dict.fromkeys(seeds, status)
        info["reason"] |= dict.fromkeys(seeds, reason)
        part.write_info(info | part.of_files())


def reopen_seeds(folder: RunFolder, seeds: Sequence[int], statuses: Collection[str]) -> None:
    """Reset seeds that ended with one of these statuses, so that they are computed again.

    They resume from the checkpoint if there is one. Otherwise they begin anew, and the seeds that
    trained beside them keep their results.
    """
    for part in folder.parts():
        info = part.read()
        matches = [s for s in info["seeds"] if s in seeds and info["status"][str(s)] in statuses]
        if not matches or not part.finished():
            continue
        with locked(part.path, f"{part.path}"):
            if _resumable(part):
                info = {key: value for key, value in info.items() if key not in OF_FILES}
                info["status"] |= {str(seed): "running" for seed in matches}
                info["reason"] = {k: v for k, v in info["reason"].items() if int(k) not in matches}
                part.write_info(info)
            elif len(matches) == len(info["seeds"]):
                part.clear()
            else:
                part.cut(matches)


def _resumable(part: RunPart) -> bool:
    """Return whether there is a readable checkpoint."""
    from rlbench.learning import checkpoint

    try:
        return part.checkpoint.exists() and bool(checkpoint.load(part.checkpoint))
    except UserError:
        return False
