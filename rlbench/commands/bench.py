"""The `bench` command: run the missing cells of a suite and print the results."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from rlbench.commands.track import check, tracked
from rlbench.common.console import console as new_console
from rlbench.common.number_format import count_text, duration, size_text
from rlbench.common.safe_write import clean, replace_bytes
from rlbench.console import score_table
from rlbench.console.suite_board import Board, board, print_matrix
from rlbench.errors import UserError
from rlbench.execution.attempt import JobOutcome, record_outcome
from rlbench.execution.calibration import calibrate
from rlbench.execution.dispatch import Dispatcher, Executor
from rlbench.execution.executor_choice import LOCAL, ExecutorChoice
from rlbench.execution.executors import make_executor
from rlbench.execution.jobs import Job, remaining_parts
from rlbench.execution.reservations import reopen_seeds, reserve_part
from rlbench.execution.stopping import StopSignal
from rlbench.experiments import suite_cells as planning
from rlbench.experiments.cost_estimate import CostEstimate, estimate, makespan, memory, split
from rlbench.experiments.suite import Suite, SuiteText
from rlbench.experiments.suite_cells import States, SuiteCell
from rlbench.learning import named_objects
from rlbench.learning.hardware.device import pick_device
from rlbench.storage.provenance import command, now
from rlbench.storage.run_folder import RunFolder, write_json


class Options(NamedTuple):
    """How to run a suite; no option changes a result."""

    device: str = "auto"
    jobs: int = 1
    shard: tuple[int, int] = (1, 1)
    again: Collection[str] = ()
    quiet: bool = False
    report: bool = True  # whether the report is written in the end
    executor: ExecutorChoice = LOCAL
    track: Sequence[str] = ()  # trackers that mirror the runs
    video_every: int | None = None  # steps between films of training


def bench(
    suite: Suite, text: str, seeds: Sequence[int], out: Path, options: Options, stop: StopSignal
) -> int:
    """Run the missing cells of a suite whose file has the content `text`.

    Returns the exit code.

    Raises:
        UserError: The suite is not valid; nothing has been written.
    """
    news = new_console(stderr=True)
    check(options.track)
    plan = plan_cells(suite, seeds, out, options, news)
    mine = planning.shard(plan, *options.shard)
    home = home_of(suite, out)
    write(home, planning.manifest(suite, plan, out, command()), text)
    if not options.quiet:
        states = [state for cell in mine for state, _ in cell.states().values()]
        share = "" if options.shard == (1, 1) else " of shard {}/{}".format(*options.shard)
        seeds_done = f"{states.count('done')} of {count_text(len(states), 'seed')} done"
        line = f"{suite.name}: {count_text(len(mine), 'cell')}{share}, {seeds_done}"
        news.print(line, highlight=False)
    states_now = compute(mine, out, options, stop)
    return finish(home, mine, states_now, out, options, stop)


def compute(
    cells: Sequence[SuiteCell], out: Path, options: Options, stop: StopSignal
) -> list[States]:
    """Run what is missing of these cells, and return their states."""
    for cell in cells:
        if cell.path and not cell.error:
            reopen_seeds(RunFolder(cell.path), cell.seeds, options.again)
    stop.on_exit = "the same command goes on"
    executor = make_executor(options.executor, options.jobs, out, stop)
    news = new_console(stderr=True)
    films = filmed(cells, options, news)
    with (
        tracked(options.track, unfinished(cells), news),
        board(news, cells, options.jobs, options.quiet) as watcher,
        stop.deferring(),
        stop.answering(watcher.say),
    ):
        _Cells(cells, out, watcher, stop, executor, films).run()
    watcher.look()
    return watcher.states


def filmed(cells: Sequence[SuiteCell], options: Options, news: Console) -> dict[Path, int]:
    """Return the steps between films by the folders of runs; warn about those without."""
    if not options.video_every:
        return {}
    from rlbench.video.training_films import check_filming

    films: dict[Path, int] = {}
    for cell in cells:
        if cell.run and cell.path in unfinished([cell]):
            try:
                check_filming(cell.run)
                films[cell.path] = options.video_every
            except UserError as error:
                news.print(f"Warning: {cell.title} is not filmed: {error}", soft_wrap=True,
                           highlight=False, markup=False)  # fmt: skip
    return films


def unfinished(cells: Sequence[SuiteCell]) -> dict[Path, Sequence[int]]:
    """Return the folders of runs that can run and have seeds to compute, with their seeds."""
    return {
        cell.path: cell.seeds
        for cell in cells
        if cell.path and not cell.error
        and any(state in ("missing", "running", "stopped") for state, _ in cell.states().values())
    }  # fmt: skip


def finish(
    home: Path,
    cells: Sequence[SuiteCell],
    states: Sequence[States],
    out: Path,
    options: Options,
    stop: StopSignal,
) -> int:
    """Print states and scores, write the report, and return the exit code."""
    stop.finish()
    news, results = new_console(stderr=True), new_console(quiet=options.quiet)
    print_matrix(results, cells, states)
    if not options.quiet:
        score_table.print_scores(cells, results)
    results.print(f" suite   {home / 'suite.json'}", soft_wrap=True, highlight=False)
    if stop():
        news.print("stopped; the same command goes on", highlight=False)
        return stop()
    if options.report:
        if not options.quiet:
            news.print("writing the report (--no-report leaves it out)", highlight=False)
        _report(home, out, results)
    else:
        line = f" report  rlbench report {shlex.quote(str(home))}"
        results.print(line, soft_wrap=True, highlight=False)
    return 0 if {state for ends in states for state, _ in ends.values()} <= {"done"} else 1


def _report(home: Path, out: Path, results: Console) -> None:
    """Write the report of a suite, and print its path or why there is none."""
    from rlbench.commands.report import report

    try:
        line = str(report([str(home)], None, None, out)[0])
    except UserError as error:  # what was computed stays
        line = f"none: {error}"
    results.print(f" report  {line}", soft_wrap=True, highlight=False)


def check_all(members: Sequence[SuiteText]) -> None:
    """Reject untrusted names, and wrong parameters of suites that are computed after others.

    Raises:
        UserError: There are such names or parameters.
    """
    for suite, file, _ in members:
        check_names(suite, file)
    for suite, file, _ in members[1:]:
        try:
            planning.check_parameters(suite)
        except UserError as error:
            raise UserError(f"{file}: {error}") from None


def check_names(suite: Suite, file: str) -> None:
    """Reject untrusted names in a suite file before anything is imported."""
    for agent, _, parameters in suite.entrants():
        named_objects.check(file, agent=agent, encoder=str(parameters.get("encoder", "")))
    for env in suite.env:
        named_objects.check(file, env="+".join([env.id, *env.wraps]), env_vector=env.vector)


def home_of(suite: Suite, out: Path) -> Path:
    """Return the folder of a suite's manifest and report."""
    return out / "benches" / suite.name


def dry_run(
    suite: Suite, seeds: Sequence[int], out: Path, options: Options, stop: StopSignal
) -> int:
    """Print the cells to run with estimated costs; return 1 if a cell cannot run, else 0."""
    from rlbench.reporting.console.table_layout import print_table, table_of

    news, console = new_console(stderr=True), new_console()
    plan = planning.shard(plan_cells(suite, seeds, out, options, news), *options.shard)
    runs = {cell.path: cell.run for cell in plan if cell.run and not cell.error}
    estimates = {path: estimate(run, out) for path, run in runs.items()}
    guesses = [
        path
        for path in estimates
        if estimates[path].source == "a guess" and runs[path].total_timesteps
    ]
    if guesses:
        news.print(
            f"trying {len(guesses)} of {count_text(len(plan), 'cell')} for some seconds each"
        )
    calibrations = calibrate([runs[path] for path in guesses], options.jobs, stop)
    estimates |= dict(zip(guesses, calibrations, strict=True))
    costs = table_of("*environment", "*agent", "steps", "seeds", "to do", "time", "*from", "memory")
    todo: dict[Path | None, float] = {}  # by run: two cells may be one
    sizes: dict[Path | None, int] = {}
    for cell in plan:
        if cell.error or cell.run is None:
            costs.add_row(Text(cell.env), Text(cell.entrant), "", str(len(cell.seeds)), "", "-",
                          "see above")  # fmt: skip
            continue
        cost, size = estimates[cell.path], memory(cell.run)
        missing = sum(
            state in ("missing", "running", "stopped") for state, _ in cell.states().values()
        )
        seconds = cost.of(missing, len(cell.seeds)) if missing else 0.0
        todo[cell.path], sizes[cell.path] = seconds, size * missing // len(cell.seeds)
        time = f"about {duration(seconds)}" if missing else "-"
        costs.add_row(
            Text(cell.env), Text(cell.entrant), f"{cell.run.total_timesteps:,}",
            str(len(cell.seeds)), str(missing), time, cost.source, size_text(size),
        )  # fmt: skip
    print_table(console, costs, fold=False)
    whole = duration(makespan(list(todo.values()), options.jobs))
    most = size_text(sum(sorted(sizes.values())[-options.jobs :]))
    console.print(
        f" {suite.name}: {count_text(len(plan), 'cell')}, with --jobs {options.jobs} about {whole} "
        f"and up to {most} at once besides Python and its libraries",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if any(cell.error for cell in plan) else 0


def plan_cells(
    suite: Suite, seeds: Sequence[int], out: Path, options: Options, news: Console
) -> list[SuiteCell]:
    """Plan the cells, and warn about those that cannot run with the reason."""
    pick_device(options.device)
    plan = planning.cells(suite, seeds, options.device, out)
    wrong: dict[str, list[str]] = {}
    for cell in plan:
        if cell.error:
            wrong.setdefault(f"on {cell.env}: {cell.error}", []).append(cell.entrant)
    for reason, entrants in wrong.items():
        news.print(f"Warning: {', '.join(entrants)} {reason}", soft_wrap=True, highlight=False,
                   markup=False)  # fmt: skip
    return plan


def write(home: Path, manifest: dict[str, object], text: str) -> None:
    """Write the suite file and its manifest."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        clean(home, "*.tmp")
        replace_bytes(home / "suite.toml", text.encode("utf-8"))
        write_json(home / "suite.json", manifest)
    except OSError as error:
        raise UserError(f"cannot write to {home}: {error.strerror or error}") from None


class _Cells(Dispatcher):
    """Parts of cells on their way to an executor: creates run folders, records failures."""

    shared = True

    def __init__(
        self,
        cells: Sequence[SuiteCell],
        out: Path,
        watcher: Board,
        stop: StopSignal,
        executor: Executor,
        films: Mapping[Path, int],
    ) -> None:
        self.cells = {cell.path: cell for cell in cells if cell.run and not cell.error}
        self.opened: set[Path] = set()
        costs = _costs(list(self.cells.values()), out, executor.slots)
        watcher.costs = {job.key: seconds for job, seconds in costs}
        longest_first = sorted(costs, key=lambda cost: -cost[1])
        jobs = [job._replace(video_every=films.get(job.folder)) for job, _ in longest_first]
        super().__init__(jobs, executor, watcher, stop)

    def claim(self, job: Job) -> list[Job] | None:
        if job.folder not in self.opened:
            facts = {"created": now(), "command": command(), **self.cells[job.folder].metadata}
            RunFolder(job.folder).open(job.run.identity(), {**job.run.to_json(), **facts})
            self.opened.add(job.folder)
        return reserve_part(job)

    def end(self, job: Job, outcome: JobOutcome) -> None:
        if outcome.code == 2:  # recorded as a failure, so that the command does not retry it
            outcome = record_outcome(job, outcome)
        super().end(job, outcome)


def _costs(cells: Sequence[SuiteCell], out: Path, jobs: int) -> list[tuple[Job, float]]:
    """List a job for each remaining part with its estimated seconds."""
    parts: list[tuple[SuiteCell, tuple[int, ...], CostEstimate]] = []
    new: list[tuple[SuiteCell, list[int], CostEstimate]] = []
    for cell in cells:
        assert cell.run
        assert cell.path
        whole = estimate(cell.run, out)
        open_parts, missing = remaining_parts(RunFolder(cell.path), cell.seeds)
        parts += [(cell, seeds, whole) for seeds in open_parts]
        if missing:
            new.append((cell, missing, whole))
    estimates = [
        whole._replace(seconds=whole.of(len(missing), len(cell.seeds)))
        for cell, missing, whole in new
    ]
    counts = split(estimates, [len(missing) for _, missing, _ in new], jobs)
    for (cell, missing, whole), count in zip(new, counts, strict=True):
        size = -(-len(missing) // count)
        cut = [tuple(missing[i : i + size]) for i in range(0, len(missing), size)]
        parts += [(cell, seeds, whole) for seeds in cut]
    return [
        (_job(cell, seeds), whole.of(len(seeds), len(cell.seeds))) for cell, seeds, whole in parts
    ]


def _job(cell: SuiteCell, seeds: tuple[int, ...]) -> Job:
    """Make the job that runs these seeds of a cell."""
    assert cell.run
    assert cell.path
    trial = cell.seeds[0] in seeds
    return Job(cell.run, cell.path, seeds, command(), cell.timeout, trial)
