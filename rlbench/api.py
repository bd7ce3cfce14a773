"""What the commands do, called from Python: each returns results in place of printing them.

Ctrl-C, and the stop button of a notebook, end the work after an update, so that the same call goes
on from there.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlbench import config, registry
from rlbench.errors import Interrupted, UserError
from rlbench.process import configure_process
from rlbench.reporting.tables.load import Results, load
from rlbench.storage.run_folder import find_run

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from rlbench.execution.stopping import StopSignal

AGAIN = ("failed", "diverged", "timeout")


@dataclass(frozen=True, eq=False)
class RunComparison:
    """Scores per environment and entrant, and the differences between entrants.

    `scores` has a row per environment and entrant: `n` seeds with a score, their `mean`, its 95 %
    t-interval `low` to `high`, `iqm`, and more. `differences` has a row per environment and pair
    `a`, `b`: the `difference` of their means with Welch's interval, the permutation test's `p`,
    `p_holm` adjusted over all rows, and the `verdict`. `problems` says what was left out.
    """

    scores: pd.DataFrame
    differences: pd.DataFrame
    problems: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"RunComparison({len(self.scores)} scores, {len(self.differences)} differences)"

    def _repr_html_(self) -> str:
        """Both tables, for notebooks."""
        from rlbench.reporting.notebook_tables import comparison_tables

        return comparison_tables(self.scores, self.differences)


def run(
    agent: str | type[Any],
    env: str,
    *,
    seeds: int | str | Sequence[int] = 5,
    total_timesteps: int | None = None,
    epochs: float | None = None,
    preset: bool | str | Path = True,
    n_envs: int | None = None,
    wraps: Sequence[str] = (),
    env_kwargs: dict[str, Any] | None = None,
    eval_freq: int | None = None,
    eval_episodes: int = 10,
    final_episodes: int = 100,
    eval_max_steps: int | None = None,
    tags: Collection[str] = (),
    note: str | None = None,
    again: bool = False,
    floor: bool = True,
    device: str = "auto",
    jobs: int | None = None,
    quiet: bool = False,
    out: str | Path = "results",
    **parameters: Any,
) -> Results:
    """Train an agent on an environment as `rlbench run` does, and return the results of the run.

    Rows, agents and curves are files below `out`, so that the same call computes what is missing:
    nothing, more seeds, or the rest of a run that was stopped. `agent` is a name, or a class of
    `rlbench.agents`; `parameters` are its own, put over the preset. `jobs` is the number of
    processes, None for as many as pay. Seeds that failed are in `runs`, with the reason.

    Raises:
        UserError: The run is not possible as it was asked for; nothing has been written.
        KeyboardInterrupt: It was stopped; the same call goes on.
    """
    from rlbench.commands.train import compute
    from rlbench.experiments.planning import plan

    name = _name(agent)
    registry.check_agent(name)
    if epochs is not None and total_timesteps is not None:
        raise UserError("epochs and total_timesteps both say how long: give one of the two")
    if not isinstance(env, str):
        raise UserError(f"env must be the name of an environment, not {env!r}")
    if env_kwargs is not None and not isinstance(env_kwargs, dict):
        raise UserError(f"env_kwargs must be a dictionary, not {env_kwargs!r}")
    configure_process()
    planned = plan(
        name, env, config.read_seeds(seeds), wraps=_several(wraps), parameters=parameters,
        preset=str(preset) if isinstance(preset, Path) else preset,
        total_timesteps=_count("total_timesteps", total_timesteps), epochs=epochs,
        n_envs=_count("n_envs", n_envs, 1), eval_freq=_count("eval_freq", eval_freq),
        eval_episodes=config.whole("eval_episodes", eval_episodes, 1),
        final_episodes=config.whole("final_episodes", final_episodes, 1),
        eval_max_steps=_count("eval_max_steps", eval_max_steps, 1),
        env_kwargs=env_kwargs or {}, device=device,
    )  # fmt: skip
    out = Path(out)
    with _stoppable() as stop:
        processes = 0 if jobs is None else config.whole("jobs", jobs, 1)
        compute(planned, out, processes, stop, quiet, again, floor, _several(tags), note)
    return load(planned.folder(out).path)


def bench(
    suite: str | Path,
    *,
    seeds: int | str | Sequence[int] | None = None,
    again: Collection[str] = (),
    device: str = "auto",
    jobs: int | None = None,
    quiet: bool = False,
    out: str | Path = "results",
) -> Results:
    """Compute every missing cell of a suite as `rlbench bench` does; return the results of all.

    `suite` is a name or a TOML file; if it lists other suites, these are computed one by one.
    `rlbench.report(...)` writes the report.

    Raises:
        UserError: The suite is not valid; nothing has been written.
        KeyboardInterrupt: It was stopped; the same call goes on.
    """
    from rlbench.commands import bench as workflow
    from rlbench.common.console import console
    from rlbench.experiments import suite as suites
    from rlbench.experiments.cost_estimate import usual_processes
    from rlbench.experiments.suite_cells import manifest
    from rlbench.reporting.report.inputs import scope
    from rlbench.storage.provenance import command

    members, again = suites.load_all(str(suite)), _several(again)
    if wrong := [status for status in again if status not in AGAIN]:
        raise UserError(f"again={wrong[0]!r}: it takes {', '.join(AGAIN)}")
    configure_process()
    workflow.check_all(members)
    processes = usual_processes(device) if jobs is None else config.whole("jobs", jobs, 1)
    how = workflow.Options(device, processes, again=again, quiet=quiet, report=False)
    out = Path(out)
    chosen = None if seeds is None else config.read_seeds(seeds)
    homes = []
    for read, _, text in members:
        homes.append(workflow.home_of(read, out))
        cells = workflow.plan_cells(read, chosen or read.seeds, out, how, console(stderr=True))
        with _stoppable() as stop:
            workflow.write(homes[-1], manifest(read, cells, out, command()), text)
            workflow.compute(cells, out, how, stop)
    return scope(homes).planned


def compare(
    *runs: str | Path | Results, baseline: str | None = None, out: str | Path = "results"
) -> RunComparison:
    """Compare runs: scores with intervals, and differences with tests, as in a report.

    `runs` are names, folders or `Results`; without any, all runs of `out` are compared.
    Differences are those with `baseline`, an entrant, else of every pair.

    Raises:
        UserError: There is no such run, nothing to compare, or the baseline is no entrant.
    """
    from rlbench.reporting.report.inputs import scope
    from rlbench.reporting.report.report_data import collect

    data = collect(scope(_folders(runs, Path(out))), baseline)
    return RunComparison(data.cells, data.pairs, data.scope.results.problems)


def report(
    *paths: str | Path | Results,
    baseline: str | None = None,
    output: str | Path | None = None,
    out: str | Path = "results",
) -> Path:
    """Write the report on benches or runs as `rlbench report` does; return the page's path.

    `paths` are as in `compare`, or benches by name; the default is the newest bench, else all of
    `out`. Its tables and its Markdown are beside the page.

    Raises:
        UserError: There is nothing to report on, or it cannot be written.
    """
    from rlbench.commands.report import report as write

    folders = [
        str(path)
        for each in paths
        for path in (_of_results(each) if isinstance(each, Results) else [each])
    ]
    if output is None and any(isinstance(each, Results) for each in paths):
        output = Path(out)
    return write(folders, baseline, None if output is None else Path(output), Path(out))[0]


def plot(
    *runs: str | Path | Results,
    title: str | None = None,
    out: str | Path = "results",
    **options: Any,
) -> Figure:
    """Draw learning curves as `rlbench plot` does; return the figure, which a notebook shows.

    `runs` are as in `compare`; `options` those of `rlbench.reporting.figures.plot_options`:
    `x="seconds"`, `stat="iqm"`, `smooth=3`, `seeds=False`, `logx`, `xlim`, `ylim`, `facet`.

    Raises:
        UserError: There is no such run or option, or nothing to draw.
    """
    from dataclasses import fields

    from rlbench.commands.report import floor_runs
    from rlbench.reporting.figures.learning_curves import figure
    from rlbench.reporting.figures.plot_options import PlotOptions

    known = [each.name for each in fields(PlotOptions)]
    for name in options:
        if name not in known:
            raise UserError(f"plot has no option '{name}': it takes {', '.join(known)}")
    folders = _folders(runs, Path(out))
    floors = {
        floor
        for folder in folders
        if (folder / "run.json").is_file()
        for floor in floor_runs(folder)
    }
    return figure(load(*folders, *sorted(floors)), title, PlotOptions(**options))


def _count(name: str, value: Any, least: int = 0) -> int | None:
    return None if value is None else config.whole(name, value, least)


def _several(words: str | Collection[str]) -> list[str]:
    """Return words; a single one may come by itself."""
    return [words] if isinstance(words, str) else list(words)


def _name(agent: str | type[Any]) -> str:
    """Return the name of an agent on the command line; a class may stand for it."""
    if isinstance(agent, str):
        return agent
    if isinstance(agent, type) and not hasattr(agent, "Config") and hasattr(agent, "observe"):
        return f"{agent.__module__}:{agent.__qualname__}"  # an agent of two methods
    if not isinstance(agent, type) or not hasattr(agent, "Config"):
        raise UserError(
            f"agent must be a name, as rlbench list agents shows, or a class, not {agent!r}"
        )
    name = str(agent.name())
    known = name in registry.agents() and registry.agent_class(name) is agent
    return name if known else f"{agent.__module__}:{agent.__qualname__}"


def _folders(runs: Sequence[str | Path | Results], out: Path) -> list[Path]:
    """Return the folders of runs, or that hold them."""
    if not runs:
        return [out]
    folders: list[Path] = []
    for each in runs:
        if isinstance(each, Results):
            folders += _of_results(each)
        else:
            folders.append(each if isinstance(each, Path) else find_run(each, out))
    return list(dict.fromkeys(folders))


def _of_results(results: Results) -> list[Path]:
    return [Path(path) for path in dict.fromkeys(results.runs["path"]) if path]


@contextlib.contextmanager
def _stoppable() -> Iterator[StopSignal]:
    """Give what work polls: Ctrl-C ends it after an update, and a second one at once.

    Raises:
        KeyboardInterrupt: It was stopped.
    """
    from rlbench.execution.stopping import StopSignal, say

    stop = StopSignal()

    def receive(number: int, frame: object) -> None:
        if stop.code:
            raise Interrupted
        stop.code = 128 + number
        say("stopping after this update; interrupt again to stop now")

    ours = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, receive) if ours else None
    try:
        with _without_main():
            yield stop
    finally:
        if ours:
            signal.signal(signal.SIGINT, before or signal.SIG_DFL)
    if stop.code:
        raise KeyboardInterrupt("stopped; the same call goes on")


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module from new processes, which would run the calling script once more.

    They need nothing of it: jobs name what they import.
    """
    main = sys.modules["__main__"]
    names = ("__file__", "__spec__")
    hidden: dict[str, Any] = {name: vars(main).pop(name) for name in names if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(hidden)
