"""Figures of suites in docs/results: memory by length, convolutions by size, other fields."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from gymnasium import spaces
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

import rlbench
from rlbench import registry
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.networks.models import QNetwork, sizes
from rlbench.reporting.figures.style import COLORS, GREY, style
from rlbench.reporting.statistics.intervals import mean_interval

MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


def final_scores(*folders: Path) -> pd.DataFrame:
    """Return one row for each seed of the runs in some folders of results.

    Columns: those that name the run and its path, seed, return (the mean of final episodes), score
    (the same, or test accuracy on image data), seconds (a seed's share of its part), config and
    kwargs (dicts).
    """
    results = rlbench.load(*folders)
    final = results.evaluations.query("phase == 'final' and split != 'validation'")
    image = final["accuracy"].notna()
    final = final.assign(score=final["return"].mask(image, final["accuracy"]))
    keys = ["env", "agent", "variant", "digest", "seed"]
    scores = final.groupby(keys, as_index=False)[["return", "score"]].mean()
    runs = results.runs.assign(seconds=results.runs["seconds"] / results.runs["lockstep"])
    scores = scores.merge(runs[[*keys, "path", "seconds"]], on=keys)
    files = {path: Path(path) / "run.json" for path in scores["path"].unique()}
    records = {path: json.loads(file.read_text(encoding="utf-8")) for path, file in files.items()}
    for name, key in {"config": "config", "kwargs": "env_kwargs"}.items():
        scores[name] = [records[path][key] for path in scores["path"]]
    return scores


def draw_mean(ax: Axes, x: float, scores: Sequence[float], **look: Any) -> None:
    """Draw the mean of some seeds at x with its 95 % t-interval."""
    mean = sum(scores) / len(scores)
    low, high = mean_interval(scores) or (mean, mean)
    ax.errorbar(x, mean, [[mean - low], [high - mean]], capsize=2, lw=1, **look)


BLIND = {"RepeatPrevious": 0.25, "Autoencode": 0.25, "TMaze": 0.5}  # best without a memory


def memory_lengths(reference: Path) -> Figure:
    """Draw the score by the length to be remembered: a panel for each task, a line a memory."""
    places = {task: reference / f"rlbench_{task}-v0" for task in BLIND}
    tasks = [task for task, place in places.items() if place.is_dir()]
    table = final_scores(*(places[task] for task in tasks)).query("agent == 'ppo'")
    table["encoder"] = [config["encoder"] for config in table["config"]]
    table["length"] = [kwargs["length"] for kwargs in table["kwargs"]]
    with style():
        figure = Figure(figsize=(3.2 * max(2, len(tasks)), 3.2), layout="constrained")
        panels = figure.subplots(1, len(tasks), squeeze=False)[0]
        for ax, task in zip(panels, tasks, strict=True):
            here = table[table["env"] == f"rlbench/{task}-v0"]
            lengths = sorted(here["length"].unique().tolist())
            for i, encoder in enumerate(("mlp", "rnn", "gru", "lstm", "attention")):
                mine = here[here["encoder"] == encoder].groupby("length")["score"]
                look: dict[str, Any] = {"color": COLORS[i], "marker": MARKS[i], "ms": 4}
                shift = 1.03 ** (i - 2)  # so that markers lie beside each other
                for length, scores in mine:
                    draw_mean(ax, length * shift, list(scores), **look)
                means = mine.mean()
                ax.plot(means.index * shift, means, color=COLORS[i], lw=1.2)
                ax.plot([], [], label=encoder, **look)
            ax.axhline(BLIND[task], color=GREY, ls=":", lw=1)
            ax.axhline(1.0, color=GREY, ls="--", lw=1)
            ax.set_xscale("log", base=2)
            ax.set_xticks(lengths, [str(length) for length in lengths])
            ax.minorticks_off()
            ax.set(title=task, xlabel="length", ylim=(-0.05, 1.05))
        panels[0].set_ylabel("return, 1 is best")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def parameters(config: dict[str, Any], side: int) -> int:
    """Count the parameters of a supervised network for images of this side with ten classes."""
    agent = registry.agent_class("supervised")
    built = agent.Config.build("supervised", config)
    image = spaces.Box(0, 255, (side, side, 1), np.uint8)
    return sizes(QNetwork, ObsSpec(image), 10, built).parameters


SIDES = {"Digits": 8, "MNIST": 28}  # pixels of an image


def _families(reference: Path, name: str) -> pd.DataFrame:
    """Return the scores of runs with a family of convolutions, their widths and parameters."""
    table = final_scores(reference / f"rlbench_Classify-{name}-v0")
    table = table[[config.get("cnn", "auto") != "auto" for config in table["config"]]]
    for key in ("cnn", "cnn_width"):
        table[key] = [config[key] for config in table["config"]]
    return table.assign(parameters=[parameters(each, SIDES[name]) for each in table["config"]])


ACCURACIES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)  # marks of an axis


def convolutions(reference: Path) -> Figure:
    """Draw test accuracy of families of convolutions by parameters and seconds.

    Axes are logarithmic, that of accuracy by what is missing to 1.
    """
    tables = {name: _families(reference, name) for name in SIDES}
    with style():
        figure = Figure(figsize=(9.6, 6.6), layout="constrained")
        rows = figure.subplots(len(tables), 2, sharey="row", squeeze=False)
        for row, (name, table) in zip(rows, tables.items(), strict=True):
            for ax, cost in zip(row, ("parameters", "seconds"), strict=True):
                for i, family in enumerate(sorted(table["cnn"].unique())):
                    look: dict[str, Any] = {"color": COLORS[i], "marker": MARKS[i], "ms": 5}
                    points = []
                    for _, mine in table[table["cnn"] == family].groupby("cnn_width"):
                        points.append((float(mine[cost].mean()), float(1 - mine["score"].mean())))
                        draw_mean(ax, points[-1][0], list(1 - mine["score"]), **look)
                    ax.plot(*zip(*points, strict=True), color=COLORS[i], lw=1)
                    ax.plot([], [], label=family, **look)
                ax.set_xscale("log")
                ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
                ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.15g}"))
                ax.xaxis.set_minor_locator(NullLocator())
                ax.set_xlabel(cost if cost == "parameters" else "seconds of training a seed")
            least, most = row[0].get_ylim()
            row[0].set_yscale("log")
            marks = [each for each in ACCURACIES if least <= 1 - each <= most]
            row[0].set_yticks([1 - each for each in marks], [f"{each:.0%}" for each in marks])
            row[0].yaxis.set_minor_locator(NullLocator())
            row[0].invert_yaxis()
            row[0].set(ylabel="test accuracy", title=name)
        handles = rows[0][0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=7)
    return figure


# Of the suites `fields` and `driving`: the best score that is known, and the best without looking
# (on CarRacing that of gas alone).
FIELDS: dict[str, tuple[float | None, float]] = {
    "Classify-BreastCancer": (None, 0.632),
    "Imbalanced-BreastCancer": (0.495, 0.0),
    "Classify-Tones": (0.973, 0.2),
    "Rows-Tones": (0.973, 0.2),
    "Rows-NextValue": (0.569, 0.2),
    "Rows-Series": (0.976, 0.2),
    "Rows-Texts": (1.0, 0.5),
    "Find-Digits": (1.0, 0.1),
    "Recommend": (67.53, 26.88),
    "Market": (12.67, 0.0),
    "CarRacing": (None, -39.5),
}
BY_RETURN = ("Imbalanced-BreastCancer", "Recommend", "Market", "CarRacing")  # others by accuracy
KINDS = {  # of agents, by what they are told
    "told rewards": ("dqn", "ppo"),
    "told labels and rewards": ("hybrid",),
    "told labels": ("supervised", "logistic-regression", "knn", "random-forest"),
    "no learning": ("majority", "random"),
}


def fields(reference: Path) -> Figure:
    """Draw the scores of all entrants, one panel an environment, with the best that is known."""
    files = [reference / "benches" / name / "suite.json" for name in ("fields", "driving")]
    cells = [cell for file in files for cell in json.loads(file.read_text("utf-8"))["cells"]]
    table = final_scores(*(reference / cell["folder"] for cell in cells))
    tasks = table["env"].str.extract(r"^(?:rlbench/)?(.+?)-v\d")[0]
    kinds = {name: i for i, names in enumerate(KINDS.values()) for name in names}
    entrants = [name for names in KINDS.values() for name in names][::-1]
    with style():
        figure = Figure(figsize=(9.6, 8.4), layout="constrained")
        panels = list(figure.subplots(4, 3).flat)
        for ax, (task, (best, blind)) in zip(panels, FIELDS.items(), strict=False):
            column = "return" if task in BY_RETURN else "score"
            here = table[tasks == task]
            names = [name for name in entrants if name in set(here["agent"])]
            for y, name in enumerate(names):
                scores = list(here[here["agent"] == name][column])
                color = COLORS[kinds[name]]
                if interval := mean_interval(scores):
                    ax.plot(interval, [y, y], color=color, lw=1)
                ax.plot(scores, [y] * len(scores), "|", color=color, ms=6)
                ax.plot(sum(scores) / len(scores), y, "o", color=color, ms=4)
            ax.axvline(blind, color=GREY, ls=":", lw=1)
            if best is not None:
                ax.axvline(best, color=GREY, ls="--", lw=1)
            ax.set_yticks(range(len(names)), names)
            ax.set_ylim(-0.6, len(names) - 0.4)
            ax.grid(False, axis="y")
            ax.set(title=task, xlabel="return" if column == "return" else "accuracy")
            if column == "score":
                ax.set_xlim(0, 1.03)
        for ax in panels[len(FIELDS) :]:
            ax.set_axis_off()
        spare = panels[len(FIELDS)]
        for i, kind in enumerate(KINDS):
            spare.plot([], [], "o-", color=COLORS[i], ms=4, lw=1, label=kind)
        spare.plot([], [], color=GREY, ls="--", lw=1, label="the best that is known")
        spare.plot([], [], color=GREY, ls=":", lw=1, label="without looking")
        spare.legend(loc="center", frameon=False)
    return figure
