"""Figures of suites in docs/results: memory by length."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import rlbench
from rlbench.reporting.figures.style import COLORS, GREY, style
from rlbench.reporting.statistics.intervals import mean_interval

MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


def final_scores(*folders: Path) -> pd.DataFrame:
    """Return one row for each seed of the runs in some folders of results.

    Columns: those that name the run and its path, seed, score (the mean final return, or test
    accuracy on image data), seconds (a seed's share of its part), config and kwargs (dicts).
    """
    results = rlbench.load(*folders)
    final = results.evaluations.query("phase == 'final' and split != 'validation'")
    image = final["accuracy"].notna()
    final = final.assign(score=final["return"].mask(image, final["accuracy"]))
    keys = ["env", "agent", "variant", "digest", "seed"]
    scores = final.groupby(keys, as_index=False)["score"].mean()
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
                for length in lengths:
                    draw_mean(ax, length * shift, list(mine.get_group(length)), **look)
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
