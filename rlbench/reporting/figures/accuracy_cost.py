"""Accuracy on image data against its cost: images seen, gradient samples and seconds."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from rlbench.errors import UserError
from rlbench.reporting.figures.layout import draw
from rlbench.reporting.figures.panel_data import Entrant, Level, Task, curve_points, line_of
from rlbench.reporting.figures.plot_options import DEFAULT, PlotOptions
from rlbench.reporting.figures.style import line_styles, seeds_text
from rlbench.reporting.statistics.reference_scores import ACCURACY_BOUNDS
from rlbench.reporting.tables.image_accuracy import accuracy_table, validation_points
from rlbench.reporting.tables.load import RUN, Results
from rlbench.reporting.tables.summaries import SEED, percent_text

COSTS = ("images", "samples", "seconds")
# These agents have no learning curve: a horizontal line at their accuracy.
LEVELS = ("logistic-regression", "knn", "svm", "random-forest", "majority", "random")
GOOD = 0.9  # accuracy from which on the axis shows errors


def accuracy_figure(
    results: Results, title: str | None = None, options: PlotOptions = DEFAULT
) -> Figure:
    """Draw validation accuracy of runs on image data: a row of panels per data set, one per cost.

    Lines, seeds and bands are those of `learning_curve`. A diamond is the mean test accuracy of the
    finished seeds at their mean cost; agents in `LEVELS` have only a line at that height. Costs
    that differ tenfold have a logarithmic axis; accuracies have a logarithmic error axis once one
    is `GOOD`. With `options.x` there is one panel per data set, against that axis.

    Raises:
        UserError: Nothing has been evaluated yet, or the options do not fit the runs.
    """
    if options.xlim and not options.x:
        raise UserError("--xlim on image data needs one axis: add --x images, samples or seconds")
    table = accuracy_table(results)
    points = validation_points(results)
    tests = results.evaluations.query("phase == 'final' and split == 'test'")
    if points.empty and tests.empty:
        raise UserError("nothing to plot yet: wait for the first evaluation of a seed")
    done = results.runs.loc[results.runs["status"] == "done", SEED]
    points = curve_points(points.assign(y=points["accuracy"]), results, options)
    tests = tests.merge(done, on=SEED).assign(y=lambda rows: rows["accuracy"])
    tests = curve_points(tests, results, replace(options, smooth=1))  # no points of a curve
    axes = [options.x] if options.x else list(COSTS)
    is_level = table["agent"].isin(LEVELS)
    looks = line_styles(sorted(table.loc[~is_level, "label"].unique()))
    tasks = []
    for name, runs in table.groupby("set"):
        entrants = [
            _entrant(run, points, tests, axes, looks[run["label"]], options)
            for _, run in runs[~is_level[runs.index]].iterrows()
        ]
        tasks.append(_task(str(name), runs, entrants, runs[is_level[runs.index]]))
    return draw(tasks, axes, options, title)


def _entrant(
    run: pd.Series,
    points: pd.DataFrame,
    tests: pd.DataFrame,
    axes: Sequence[str],
    look: dict[str, Any],
    options: PlotOptions,
) -> Entrant:
    mine, ends = (rows[(rows[RUN] == run[RUN]).all(axis="columns")] for rows in (points, tests))
    line = line_of(mine, axes, ACCURACY_BOUNDS, options)
    name = run["label"] + (f" ({run['network']})" if run["network"] else "")
    note = seeds_text(run, line) if len(line) else "not evaluated yet"
    test = ends[[*axes, "y"]].mean() if len(ends) else None
    return Entrant(name, note, look, ACCURACY_BOUNDS, mine, line, test, _score(run))


def _score(run: pd.Series) -> str:
    """Format a run's test accuracy in percent."""
    if not run["accuracy_n"]:
        return "no test yet"
    return f"test {percent_text(run['accuracy_mean'], run['items'])} %"


def _task(name: str, runs: pd.DataFrame, entrants: list[Entrant], levels: pd.DataFrame) -> Task:
    lines = []
    for _, run in levels.sort_values("accuracy_mean").iterrows():
        count = f", n = {run['accuracy_n']}" if run["accuracy_n"] else ""
        lines.append(Level(f"{run['label']}{count}, {_score(run)}", run["accuracy_mean"]))
    ends = [e.test["y"] for e in entrants if e.test is not None]
    heights = [*(e.line["mean"].max() for e in entrants), *ends, *(line.height for line in lines)]
    items, ylabel = int(runs["items"].max()), "validation accuracy"
    about = f"{name} ({items:,} test images)" if items else name
    if pd.Series(heights, dtype="float64").max() >= GOOD:
        return Task(about, f"{ylabel} (log of the error)", entrants, lines, "error", items)
    return Task(about, ylabel, entrants, lines, "accuracy", items)
