"""Figures of studies hold what the trials were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from rlbench.reporting.figures import study_figures
from rlbench.reporting.figures.study_figures import Scale

SCALES: dict[str, Scale] = {"rate": "log", "batch": "choice", "layers": "choice"}


@pytest.fixture
def trials() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for trial in range(6):
        state = "pruned" if trial == 5 else "done"
        setting = {"rate": 10.0 ** -(trial % 3 + 2), "batch": [128, 32, 64][trial % 3],
                   "layers": "64,64" if trial % 2 else "256"}  # fmt: skip
        scores = rng.normal(trial, size=3)
        value = float(scores.mean()) if state == "done" else None
        for seed, score in enumerate(scores):
            rows.append({"trial": trial, "state": state, "value": value, "env": "E", "seed": seed,
                         "score": score, **setting})  # fmt: skip
    return pd.DataFrame(rows)


def test_history_shows_every_seed_and_the_best_so_far(trials: pd.DataFrame) -> None:
    axes: Any = study_figures.history(trials, "t", "m").axes[0]
    seeds, values = axes.collections
    assert len(seeds.get_offsets()) == 15  # of five trials that are done
    assert len(values.get_offsets()) == 5
    best = np.asarray(axes.lines[0].get_ydata())
    expected = trials[trials["state"] == "done"].groupby("trial")["value"].first().cummax()
    assert best == pytest.approx(expected.to_numpy())


def test_slices_show_each_seed_in_each_parameter(trials: pd.DataFrame) -> None:
    figure = study_figures.slices(trials, SCALES, "t", "m")
    for axes in figure.axes:
        dots = [c for c in axes.collections if isinstance(c, PathCollection)]
        assert sum(len(np.asarray(each.get_offsets())) for each in dots) == 15
    labels = [text.get_text() for text in figure.axes[1].get_xticklabels()]
    assert labels == ["32", "64", "128"]  # numbers by size, not as text
    assert figure.axes[0].get_xscale() == "log"


def test_parallel_coordinates_put_the_best_on_top(trials: pd.DataFrame) -> None:
    axes: Any = study_figures.parallel(trials, SCALES, "t", "m").axes[0]
    [lines] = axes.collections
    assert len(lines.get_paths()) == 5
    assert np.argmax(lines.get_array()) == 4
    assert list(lines.get_linewidths()).index(max(lines.get_linewidths())) == 4
    top = lines.get_paths()[4].vertices
    assert top[0][1] == 0.5  # 1e-3 is in the middle of 1e-4 to 1e-2
    assert top[2][1] in (0.0, 1.0)


def test_importances_are_shares(trials: pd.DataFrame) -> None:
    axes: Any = study_figures.importances({"a": 0.2, "b": 0.8}, "t").axes[0]
    assert [patch.get_width() for patch in axes.patches] == [0.2, 0.8]
    assert [text.get_text() for text in axes.texts] == ["20 %", "80 %"]
