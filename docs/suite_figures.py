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

import rlbench
from rlbench import registry
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.networks.models import QNetwork, sizes
from rlbench.reporting.figures.style import COLORS, GREY, style
from rlbench.reporting.statistics.intervals import mean_interval

MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


def final_scores(folder: Path) -> pd.DataFrame:
    """Return one row for each seed of the runs in a folder of results.

    Columns: env, agent, variant as they are in `runs`, seed, score (the mean final return, or test
    accuracy on image data), seconds (a seed's share of its part), config and kwargs (dicts).
    """
    results = rlbench.load(folder)
    final = results.evaluations.query("phase == 'final' and split != 'validation'")
    image = final["accuracy"].notna()
    final = final.assign(score=final["return"].mask(image, final["accuracy"]))
    scores = final.groupby(["path", "seed"])["score"].mean().rename("score").reset_index()
    rows = []
    for path, part in scores.groupby("path"):
        sealed = json.loads((Path(str(path)) / "part.json").read_text(encoding="utf-8"))
        run = json.loads((Path(str(path)).parent / "run.json").read_text(encoding="utf-8"))
        about = {"env": run["env"], "agent": run["agent"], "config": run["config"]}
        about["kwargs"] = run["env_kwargs"]
        seconds = sealed["seconds"] / len(sealed["seeds"])
        rows += [
            {**about, "seed": seed, "score": score, "seconds": seconds}
            for seed, score in zip(part["seed"], part["score"], strict=True)
        ]
    return pd.DataFrame(rows)


def draw_mean(ax: Axes, x: float, scores: Sequence[float], **look: Any) -> None:
    """Draw the mean of some seeds at x with its 95 % t-interval."""
    mean = sum(scores) / len(scores)
    low, high = mean_interval(scores) or (mean, mean)
    ax.errorbar(x, mean, [[mean - low], [high - mean]], capsize=2, lw=1, **look)


def memory_lengths(folder: Path) -> Figure:
    """Draw the score by the length to be remembered: a panel for each task, a line a memory."""
    table = final_scores(folder).query("agent == 'ppo'")
    table["encoder"] = [config["encoder"] for config in table["config"]]
    table["length"] = [kwargs["length"] for kwargs in table["kwargs"]]
    blind = {"RepeatPrevious": 0.25, "Autoencode": 0.25, "TMaze": 0.5}
    with style():
        figure = Figure(figsize=(9.6, 3.2), layout="constrained")
        panels = figure.subplots(1, len(blind))
        for ax, (task, without) in zip(panels, blind.items(), strict=True):
            here = table[table["env"] == f"rlbench/{task}-v0"]
            lengths = sorted(here["length"].unique().tolist())
            for i, encoder in enumerate(("mlp", "rnn", "gru", "lstm", "attention")):
                mine = here[here["encoder"] == encoder].groupby("length")["score"]
                look: dict[str, Any] = {"color": COLORS[i], "marker": MARKS[i], "ms": 4}
                shift = 1.03 ** (i - 2)  # so that markers lie beside each other
                for length in lengths:
                    draw_mean(ax, length * shift, list(mine.get_group(length)), **look)
                means = mine.mean()
                ax.plot(means.index * shift, means, color=COLORS[i], lw=1.2)
                ax.plot([], [], label=encoder, **look)
            ax.axhline(without, color=GREY, ls=":", lw=1)
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


def convolutions(folders: dict[str, tuple[Path, str, int]]) -> Figure:
    """Draw test accuracy of families of convolutions by parameters and seconds, one row a data set.

    `folders` has of each data set the results, the environment and the side of its images.
    """
    with style():
        figure = Figure(figsize=(9.6, 2.9 * len(folders)), layout="constrained")
        rows = figure.subplots(len(folders), 2, sharey="row", squeeze=False)
        for row, (name, (folder, env, side)) in zip(rows, folders.items(), strict=True):
            table = final_scores(folder)
            table = table[table["env"] == env]
            for key in ("cnn", "cnn_width"):
                table[key] = [config[key] for config in table["config"]]
            table["parameters"] = [parameters(config, side) for config in table["config"]]
            for ax, cost in zip(row, ("parameters", "seconds"), strict=True):
                for i, family in enumerate(sorted(table["cnn"].unique())):
                    look: dict[str, Any] = {"color": COLORS[i], "marker": MARKS[i], "ms": 5}
                    points = []
                    for _, mine in table[table["cnn"] == family].groupby("cnn_width"):
                        points.append((float(mine[cost].mean()), float(mine["score"].mean())))
                        draw_mean(ax, points[-1][0], list(mine["score"]), **look)
                    ax.plot(*zip(*points, strict=True), color=COLORS[i], lw=1)
                    ax.plot([], [], label=family, **look)
                ax.set_xscale("log")
                ax.set_xlabel(cost if cost == "parameters" else "seconds of training a seed")
            row[0].set(ylabel="test accuracy", title=name)
        handles = rows[0][0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=7)
    return figure


# Of the suite `fields`: the best score that is known, and that of who sees nothing.
FIELDS: dict[str, tuple[float | None, float]] = {
    "Classify-BreastCancer": (None, 0.632),
    "Imbalanced-BreastCancer": (0.495, 0.0),
    "Classify-Tones": (0.973, 0.2),
    "Rows-Tones": (0.973, 0.2),
    "Rows-NextValue": (0.569, 0.403),
    "Rows-Series": (0.976, 0.2),
    "Rows-Texts": (1.0, 0.5),
    "Find-Digits": (1.0, 0.1),
    "Recommend": (67.53, 26.88),
    "Market": (12.67, 0.0),
}
LABELS = ("supervised", "logistic-regression", "knn", "random-forest", "majority")


def fields(folder: Path) -> Figure:
    """Draw the scores of all entrants, one panel an environment, with the best that is known."""
    table = final_scores(folder)
    with style():
        figure = Figure(figsize=(9.6, 7.2), layout="constrained")
        panels = figure.subplots(3, 3).flat
        for ax, (task, (best, blind)) in zip(panels, FIELDS.items(), strict=True):
            here = table[table["env"] == f"rlbench/{task}-v0"]
            names = sorted(here["agent"].unique(), key=lambda n: (n in LABELS, n), reverse=True)
            for y, name in enumerate(names):
                scores = list(here[here["agent"] == name]["score"])
                mean = sum(scores) / len(scores)
                color = COLORS[1] if name in LABELS else COLORS[0]
                if interval := mean_interval(scores):
                    ax.plot(interval, [y, y], color=color, lw=1)
                ax.plot(scores, [y] * len(scores), "|", color=color, ms=6)
                ax.plot(mean, y, "o", color=color, ms=4)
            ax.axvline(blind, color=GREY, ls=":", lw=1)
            if best is not None:
                ax.axvline(best, color=GREY, ls="--", lw=1)
            ax.set_yticks(range(len(names)), names)
            ax.grid(False, axis="y")
            ax.set_title(task)
    return figure
