"""Compare, plot and report finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlbench.common.console import console as new_console
from rlbench.errors import UserError
from rlbench.storage import run_folder
from rlbench.storage.run_folder import RunFolder


def compare(runs: Sequence[str], output: Path | None, out: Path) -> list[Path]:
    """Print a table of runs beside each other, and draw them where `output` says so; the files."""
    from rlbench.reporting.console.compare_runs import compare as table
    from rlbench.reporting.tables.load import load

    table(load(*(run_folder.find_run(name, out) for name in runs)), new_console())
    return plot(runs, output, out) if output else []


def compare_against(reference: Path, runs: Sequence[str], out: Path) -> int:
    """Print how runs, or all of `out`, stand against those in `reference`; 1 if one is worse or
    damaged.
    """
    from rlbench.reporting.report.regressions import print_regressions, regressions
    from rlbench.reporting.tables.load import load

    paths = [Path(run) if Path(run).is_dir() else run_folder.find_run(run, out) for run in runs]
    only_runs = bool(paths) and all((path / "run.json").is_file() for path in paths)
    results, before = load(*(paths or [out])), load(reference)
    table = regressions(results, before, only_matched=only_runs)
    print_regressions(table, new_console())
    damaged = bool(results.problems or before.problems)
    return int(damaged or (table["verdict"] == "worse").any())


def report(
    paths: Sequence[str], baseline: str | None, output: Path | None, out: Path
) -> list[Path]:
    """Write the report on benches, results or runs; the files written."""
    from rlbench.reporting.report import write_report

    try:
        return write_report(paths, out, output, baseline)
    except OSError as error:
        raise UserError(f"cannot write the report: {error.strerror}: {error.filename}") from None


def plot(runs: Sequence[str], output: Path | None, out: Path) -> list[Path]:
    """Draw the learning curves of runs, or what accuracy costs on image data; the files written."""
    from rlbench.reporting.figures.learning_curves import figure, save
    from rlbench.reporting.tables.load import load

    folders = [run_folder.find_run(name, out) for name in runs]
    floors = {floor for folder in folders for floor in floor_runs(folder)}
    drawn = figure(load(*folders, *sorted(floors)))
    target = output or (folders[0] / "curve" if len(folders) == 1 else out / "curves")
    try:
        return save(drawn, target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from None


def floor_runs(folder: Path) -> list[Path]:
    """The run of the random agent that is the floor of a run, if there is one: in the same
    environment with the same arguments, and best under the same limit of steps.
    """
    run, found = RunFolder(folder).read(), []
    for file in sorted(folder.parent.glob("random-*/run.json")):
        beside = RunFolder(file.parent)
        try:
            saved = beside.read()
            ends = [end for part in beside.parts() for end in part.read()["status"].values()]
        except UserError:  # it cannot be read
            continue
        if saved.get("env_kwargs") == run.get("env_kwargs") and ends:
            alike = saved.get("eval_max_steps") == run.get("eval_max_steps")
            rank = alike, ends.count("done"), saved.get("final_episodes") or 0
            found.append((rank, file.parent))
    return [max(found)[1]] if found else []
