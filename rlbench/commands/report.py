"""The `compare`, `plot` and `report` commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlbench.common.console import console as new_console
from rlbench.errors import UserError
from rlbench.storage import run_folder
from rlbench.storage.run_folder import RunFolder
from rlbench.storage.run_names import agent_of

if TYPE_CHECKING:
    from rlbench.reporting.figures.plot_options import PlotOptions


def compare(runs: Sequence[str], output: Path | None, out: Path) -> list[Path]:
    """Print a table of runs; draw them if `output` is given, and return the files."""
    from rlbench.reporting.console.compare_runs import compare as table
    from rlbench.reporting.tables.load import load

    table(load(*(run_folder.find_run(name, out) for name in runs)), new_console())
    return plot(runs, output, out) if output else []


def compare_against(reference: Path, runs: Sequence[str], out: Path) -> int:
    """Compare runs, or all of `out`, with those in `reference`.

    Returns 1 if a run is worse or damaged, else 0.
    """
    from rlbench.reporting.report.regressions import print_regressions, regressions
    from rlbench.reporting.tables.load import load_final

    paths = [Path(run) if Path(run).is_dir() else run_folder.find_run(run, out) for run in runs]
    only_runs = bool(paths) and all((path / "run.json").is_file() for path in paths)
    results, before = load_final(*(paths or [out])), load_final(reference)
    table = regressions(results, before, only_matched=only_runs)
    print_regressions(table, new_console())
    problems = bool(results.problems or before.problems)
    return int(problems or (table["verdict"] == "worse").any())


def report(
    paths: Sequence[str],
    baseline: str | None,
    output: Path | None,
    out: Path,
    say: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Write the report on benches, results or runs; return the files. `say` hears what is done."""
    from rlbench.reporting.report import write_report

    try:
        return write_report(paths, out, output, baseline, say)
    except OSError as error:
        raise UserError(f"cannot write the report: {error.strerror}: {error.filename}") from None


def index(paths: Sequence[str], out: Path) -> Path:
    """Write the index page of the reports below one folder, or below `out`; return the file."""
    from rlbench.reporting.report.index import write_index

    if len(paths) > 1:
        raise UserError("--index is over one folder: name the one that holds all reports")
    try:
        return write_index(Path(paths[0]) if paths else out)
    except OSError as error:
        raise UserError(f"cannot write the index: {error.strerror}: {error.filename}") from None


def plot(
    runs: Sequence[str], output: Path | None, out: Path, options: PlotOptions | None = None
) -> list[Path]:
    """Draw the learning curves of runs, or accuracy against cost on image data.

    Return the files.
    """
    from rlbench.reporting.figures.learning_curves import figure, save
    from rlbench.reporting.figures.plot_options import DEFAULT
    from rlbench.reporting.tables.load import load

    folders = [run_folder.find_run(name, out) for name in runs]
    floors = {floor for folder in folders for floor in floor_runs(folder)}
    chart = figure(load(*folders, *sorted(floors)), options=options or DEFAULT)
    target = output or (folders[0] / "curve" if len(folders) == 1 else out / "curves")
    try:
        return save(chart, target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from None


def floor_runs(folder: Path) -> list[Path]:
    """Find the random baseline of a run: a list of one folder, or none.

    It has the same environment and arguments, and the same step limit if possible.
    """
    run, candidates = RunFolder(folder).read(), []
    for file in sorted(folder.parent.glob("random-*/run.json")):
        if agent_of(file.parent) != "random":  # random-forest, say
            continue
        beside = RunFolder(file.parent)
        try:
            record = beside.read()
            ends = [end for part in beside.parts() for end in part.read()["status"].values()]
        except UserError:  # unreadable: not a baseline
            continue
        if record.get("env_kwargs") == run.get("env_kwargs") and ends:
            alike = record.get("eval_max_steps") == run.get("eval_max_steps")
            rank = alike, ends.count("done"), record.get("final_episodes") or 0
            candidates.append((rank, file.parent))
    return [max(candidates)[1]] if candidates else []
