"""The `run` and `resume` commands: check, run the missing seeds, and print a summary."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from rlbench.commands.random_baseline import make_baseline
from rlbench.commands.track import check, tracked
from rlbench.common.console import console as new_console
from rlbench.common.number_format import count_text
from rlbench.console.progress import display
from rlbench.errors import UserError
from rlbench.execution.attempt import JobOutcome
from rlbench.execution.execute import run_jobs
from rlbench.execution.jobs import Job, schedule
from rlbench.execution.stopping import StopSignal
from rlbench.experiments.cost_estimate import usual_jobs
from rlbench.experiments.planning import trust_flag
from rlbench.experiments.preflight import preflight
from rlbench.experiments.run import FLOOR, Run
from rlbench.storage import run_folder
from rlbench.storage.labels import change_labels
from rlbench.storage.run_folder import RunFolder, run_folders, seed_ranges
from rlbench.storage.run_names import named, run_name


class Besides(NamedTuple):
    """What is done beside training, without effect on numbers."""

    track: Sequence[str] = ()  # trackers that mirror the run
    video_every: int | None = None  # steps between films

    def text(self) -> str:
        """Return the options that say it, each after a space."""
        films = f" --video-every {self.video_every}" if self.video_every else ""
        return (f" --track {','.join(self.track)}" if self.track else "") + films


def train(  # noqa: PLR0913
    run: Run,
    out: Path,
    jobs: int,
    stop: StopSignal,
    quiet: bool,
    again: bool = False,
    floor: bool = True,
    tags: Collection[str] = (),
    note: str | None = None,
    besides: Besides | None = None,
) -> int:
    """Run the missing seeds, draw the learning curve and print a summary; return the exit code.

    With `floor` the random policy is scored too, unless it was before. Tags and a note are given to
    the run before it trains.
    """

    def end() -> None:
        stop.finish()
        _summarise(run.folder(out).path, new_console(quiet=quiet))

    code = compute(run, out, jobs, stop, quiet, again, floor, tags, note, besides, end)
    return stop.code if stop.code > 128 else code  # a signal shows, however late it came


def compute(  # noqa: PLR0913
    run: Run,
    out: Path,
    jobs: int,
    stop: StopSignal,
    quiet: bool,
    again: bool = False,
    floor: bool = True,
    tags: Collection[str] = (),
    note: str | None = None,
    besides: Besides | None = None,
    end: Callable[[], None] | None = None,
) -> int:
    """Do what `train` does, without curve and summary; `end` is called if all went well.

    Trackers wait for what it makes.
    """
    besides = besides or Besides()
    check(besides.track)
    news = new_console(stderr=True)
    play = jobs < 2
    summary = preflight(run, play)
    if besides.video_every:
        from rlbench.video.training_films import check_filming

        check_filming(run)
    jobs = jobs or usual_jobs(run, out)
    if jobs > 1:
        run.source.close()  # others make their own
    stop.on_exit = "the same command goes on"
    todo = [
        job._replace(video_every=besides.video_every) for job in schedule(run, out, jobs, again)
    ]
    todo[:1] = [job._replace(trial=not play) for job in todo[:1]]
    folder = run.folder(out)
    if tags or note is not None:
        change_labels(folder.path, add=tags, note=note)
    options = trust_flag(run) + besides.text()
    hint = f"go on with: rlbench resume {shlex.quote(str(folder.path))}{options}"
    stop.on_exit = hint
    if not quiet:
        line = summary if todo else f"{summary}: {_nothing_left(folder, run.seeds)}"
        news.print(line, soft_wrap=not news.is_terminal, highlight=False)
        finished_count = len(run.seeds) - sum(len(job.seeds) for job in todo)
        if todo and finished_count > 0:
            news.print(
                f"{finished_count} of {count_text(len(run.seeds), 'seed')} done already",
                highlight=False,
            )
    with tracked(besides.track, {folder.path: run.seeds}, news, again):
        with display(news, quiet) as watcher, stop.answering(watcher.say):
            for job in todo:
                watcher.expect(job)
            outcomes = run_jobs(todo, jobs, watcher, stop)
        code = _report_failures(run, folder.path, todo, outcomes, hint, news)
        if code < 2:
            stop.on_exit = "the run itself is done"
            if floor and run.agent != FLOOR:
                make_baseline(run, out, news, quiet, stop)
            if end is not None:
                end()
    return code


def _nothing_left(folder: RunFolder, seeds: Sequence[int]) -> str:
    """Say that seeds have ended, and how those that failed are computed anew."""
    ends = {int(s): end for part in folder.parts() for s, end in part.read()["status"].items()}
    if not (failed := [seed for seed in seeds if ends.get(seed) != "done"]):
        return "all done"
    return f"seeds {seed_ranges(failed)} ended without a score; --again computes all seeds anew"


def _report_failures(
    run: Run,
    folder: Path,
    jobs: Sequence[Job],
    outcomes: Sequence[JobOutcome],
    hint: str,
    news: Console,
) -> int:
    """Print what went wrong, and `hint` if it can go on; return the exit code."""
    wrong = [outcome.reason for outcome in outcomes if outcome.code == 2]
    if wrong and len(wrong) == len(outcomes):
        raise UserError(wrong[0])
    for reason in wrong:
        news.print(f"Error: {reason}", soft_wrap=True, highlight=False, markup=False)
    stop_code = max((o.code for o in outcomes if o.code > 2), default=0)
    if stop_code:
        remaining = seed_ranges([s for job, o in zip(jobs, outcomes, strict=True) if o.code > 2
                            for s in job.seeds])  # fmt: skip
        news.print(f"stopped with seeds {remaining} unfinished; {hint}",
                   soft_wrap=True, highlight=False)  # fmt: skip
        return stop_code
    parts = [part.read()["status"] for part in RunFolder(folder).parts()]
    statuses = {seed: status for part in parts for seed, status in part.items()}
    any_failed = any(outcome.code for outcome in outcomes)
    return 1 if any_failed or any(statuses.get(str(s)) != "done" for s in run.seeds) else 0


def _summarise(folder: Path, console: Console) -> None:
    from rlbench.commands import report
    from rlbench.reporting.console.tables import print_summary
    from rlbench.reporting.figures.image_gallery import save_gallery
    from rlbench.reporting.tables.load import load, warn_of

    files: list[Path] = []
    try:
        files = report.plot([str(folder)], None, folder)
    except UserError:
        pass  # every seed failed before it was evaluated: the table says so
    print_summary(load(folder), console)
    record = RunFolder(folder).read()
    name, others = run_name(record), run_folders(folder.parent.parent)
    shared = len(named(name, others)) > 1
    for what, path in (
        ("name", f"{name}, shared with others; {record['digest']} is this one" if shared else name),
        ("rows", f"{folder}/seeds-*/*.csv"),
        ("agents", f"{folder}/seeds-*/agent.npz"),
    ):
        console.print(f" {what:8} {path}", soft_wrap=True, highlight=False)
    for file in files:
        console.print(f" {'curve':8} {file}", soft_wrap=True, highlight=False)
    if any(folder.glob("seeds-*/test.npz")):
        try:
            for file in save_gallery(folder):
                console.print(f" {'gallery':8} {file}", soft_wrap=True, highlight=False)
        except UserError as error:
            warn_of([str(error)])


def resume(  # noqa: PLR0913
    name: str,
    out: Path,
    device: str,
    jobs: int,
    stop: StopSignal,
    quiet: bool,
    floor: bool = True,
    besides: Besides | None = None,
) -> int:
    """Run every unfinished part of a run; return the exit code."""
    folder = RunFolder(run_folder.find_run(name, out))
    record = folder.read()
    parts = [part for part in folder.parts() if not part.finished()]
    seeds = [seed for part in parts for seed in part.read()["seeds"]]
    if not seeds:
        raise UserError(f"{folder.path} has nothing left to do; rlbench run trains more seeds")
    run = Run.from_json(record, seeds, device)
    if record["identity"] != run.identity():
        raise UserError(
            f"{folder.path} learned from other data than {run.config.source} holds now: restore "  # type: ignore[attr-defined]
            "it, or run again"
        )
    home = run.folder(folder.path.parent.parent).path
    if home.resolve() != folder.path.resolve():
        raise UserError(f"{folder.path} was moved or renamed: it can go on as {home}")
    return train(run, folder.path.parent.parent, jobs, stop, quiet, floor=floor, besides=besides)
