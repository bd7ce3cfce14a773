"""Learning curves: tables -> Figure -> files, independent of matplotlib's global state."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from rlbench.common.number_format import number_text
from rlbench.common.safe_write import replace_bytes
from rlbench.errors import UserError
from rlbench.reporting.figures.accuracy_cost import accuracy_figure
from rlbench.reporting.figures.layout import draw
from rlbench.reporting.figures.panel_data import Entrant, Level, Task, curve_points, line_of
from rlbench.reporting.figures.plot_options import DEFAULT, PlotOptions
from rlbench.reporting.figures.style import DPI, line_styles, seeds_text, style
from rlbench.reporting.tables.load import RUN, Results
from rlbench.reporting.tables.summaries import SEED, curve, overall

# Kinds of files, with the metadata that would differ from one time to the next.
KINDS: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


def figure(results: Results, title: str | None = None, options: PlotOptions = DEFAULT) -> Figure:
    """Draw `learning_curve`, or `accuracy_figure` for runs on image data.

    Raises:
        UserError: There are runs of both kinds, nothing to draw yet, or the options do not fit.
    """
    on_images = results.runs["data"] != ""
    if on_images.any() and not on_images.all():
        agents = results.runs["agent"] + " on " + results.runs["env"]
        raise UserError(
            f"{agents[on_images].iloc[0]} learns from a data set, {agents[~on_images].iloc[0]} "
            "does not, and they share no axis: plot the runs of the two kinds one after the other"
        )
    return (accuracy_figure if on_images.any() else learning_curve)(results, title, options)


def learning_curve(
    results: Results, title: str | None = None, options: PlotOptions = DEFAULT
) -> Figure:
    """Draw evaluation returns over training: one panel per env, one colour per run.

    A line is the mean over seeds, with its 95 % Student-t interval as a band
    (`intervals.mean_interval`, cut at the bounds of a return). Where there are few entrants, every
    seed is a thin line, ended by an x if it did not finish; below three seeds there are dots and no
    band. Above `style.PANEL_ENTRANTS` entrants each has a panel of its own. The random agent is a
    horizontal line, unless it is alone.

    Raises:
        UserError: Nothing has been evaluated yet, or the tables do not hold what is asked for.
    """
    options = replace(options, x=options.x or "steps")
    points, runs = curve(results), overall(results)
    if points.empty:
        raise UserError("nothing to plot yet: wait for the first evaluation of a seed")
    grid = results.evaluations.query("phase == 'grid'").groupby([*SEED, "step"])
    costs = grid[["time", "images", "samples"]].max().reset_index()
    points = points.merge(costs, on=[*SEED, "step"]).rename(columns={"return": "y"})
    points = curve_points(points, results, options)
    labels = sorted(runs["label"].unique(), key=lambda label: (label == "random", label))
    looks = line_styles(labels)
    tasks = []
    for env in runs["env"].unique():
        mine = runs[runs["env"] == env]
        order = mine["label"].map(labels.index).sort_values().index
        tasks.append(_task(env, points[points["env"] == env], mine.loc[order], looks, options))
    return draw(tasks, [str(options.x)], options, title)


def _task(
    env: str, points: pd.DataFrame, runs: pd.DataFrame, looks: dict[str, Any], options: PlotOptions
) -> Task:
    is_random = runs["agent"] == "random"
    is_floor = is_random & runs["mean"].notna() & (not is_random.all())
    entrants = []
    for _, run in runs[~is_floor].iterrows():
        mine = points[(points[RUN] == run[RUN]).all(axis="columns")]
        bounds = run["bound_low"], run["bound_high"]
        line = line_of(mine, [str(options.x)], bounds, options)
        note = seeds_text(run, line) if len(line) else "not evaluated yet"
        entrants.append(Entrant(run["label"], note, looks[run["label"]], bounds, mine, line))
    levels = [
        Level(f"reward threshold {height:g}", height, "--")
        for height in runs["reward_threshold"].dropna().unique()
    ]
    floor = runs[is_floor].sort_values(["n", "digest"]).tail(1)  # one line: the run with most seeds
    levels += [Level(f"random policy {number_text(mean)}", mean) for mean in floor["mean"]]
    planned = max([*runs["total_timesteps"], 0])
    return Task(env, "episode return", entrants, levels, planned=planned)


def save(figure: Figure, target: str | Path) -> list[Path]:
    """Write a figure atomically; the same figure gives the same bytes.

    A target that ends in .png (150 dpi), .svg or .pdf is that file; otherwise it is a stem, and
    stem.png and stem.svg are written.

    Raises:
        UserError: The target has the ending of another kind of picture.
    """
    suffix = Path(target).suffix.lower()
    named = suffix[1:] in KINDS
    if not named and re.fullmatch(r"\.[a-z]{1,5}", suffix):
        raise UserError(f"cannot write {target}: a figure is a .png, .svg or .pdf file")
    paths = []
    for kind in [suffix[1:]] if named else ["png", "svg"]:
        content = io.BytesIO()
        with style():
            figure.savefig(content, format=kind, dpi=DPI, metadata=KINDS[kind])
        path = Path(target) if named else Path(f"{target}.{kind}")
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, content.getvalue())
        paths.append(path)
    return paths
