"""Figures have room for any number of runs, and for names of any length."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from image_runs import write_data_run
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from report_files import write_seeds

from rlbench.reporting.figures.learning_curves import figure
from rlbench.reporting.figures.plot_options import PlotOptions
from rlbench.reporting.report import write_report
from rlbench.reporting.statistics.aggregates import STATISTICS
from rlbench.reporting.tables.load import load

LONG = "net_arch=256,256 batch_size=64 train_freq=16 learning_starts=200 exploration_fraction=0.1"
MANY = 25


def names(count: int) -> list[str]:
    return [f"{LONG} {'o' * 7 * (i % 5)}={i}" for i in range(count)]


def texts(picture: Figure) -> list[Text]:
    """Labels, titles and notes."""
    found = list(picture.texts)
    for axes in picture.axes:
        found += [*axes.texts, axes._left_title]  # type: ignore[attr-defined]
    return [text for text in found if text.get_text()]


def check(picture: Figure) -> None:
    """All text is in the figure, and every panel is large enough to be read."""
    picture.draw_without_rendering()
    for text in texts(picture):
        assert picture.bbox.padded(1).contains(*Text.get_window_extent(text).min), text
        assert picture.bbox.padded(1).contains(*Text.get_window_extent(text).max), text
    for axes in picture.axes:
        assert isinstance(axes, Axes)
        box = axes.get_window_extent()
        assert min(box.width, box.height) / picture.dpi > 1.2, "inches"


@pytest.mark.parametrize(("envs", "count"), [(1, 1), (1, MANY), (2, 7), (4, 2)])
def test_long_names_fit_in_learning_curves(envs: int, count: int, tmp_path: Path) -> None:
    for env in range(envs):
        for i, name in enumerate(names(count)):
            scores = {0: 100.0 + i, 1: 110.0}
            write_seeds(tmp_path, "dqn", scores, f"E{env}-v0", variant=name, digest=f"{i:08}")
    picture = figure(load(tmp_path))
    if count > 6:  # nothing is left out of a name
        said = [re.sub(r"\s", "", axes.get_title("left")) for axes in picture.axes]
        squeezed = [re.sub(r"\s", "", f"dqn {name}, n = 2") for name in names(count)]
        assert sorted(said) == sorted(squeezed * envs)
    check(picture)
    if envs == 1:
        check(figure(load(tmp_path), options=PlotOptions(facet="env")))


@pytest.mark.parametrize("agent", ["dqn", "knn"])
def test_accuracy_with_curves_and_levels(agent: str, tmp_path: Path) -> None:
    for i, name in enumerate(names(MANY)):
        grid = {0: [(0.0, 0.1), (100.0, 0.8)]} if agent == "dqn" else None
        write_data_run(tmp_path, agent, grid, {0: 0.5 + i / 100}, variant=name)
    write_data_run(tmp_path, "ppo", {0: [(0, 0.1), (100, 0.8)]}, {0: 0.7})
    check(figure(load(tmp_path)))


def test_final_scores_of_a_report(tmp_path: Path) -> None:
    """Rows are as high as their names have lines; nothing is left out of a name."""
    for env in ("CartPole-v1", "Acrobot-v1"):
        for i, name in enumerate(names(6)):
            scores = {0: 100.0 + i, 1: 110.0, 2: 115.0}
            write_seeds(tmp_path, "dqn", scores, env, variant=name, digest=f"{i:08}")
    page, *_ = write_report([tmp_path], output=tmp_path / "x.html")
    pictures = re.findall(r'<div class="panel".*?<div class="ticks"', page.read_text(), re.S)
    said = [re.sub(r"<[^>]*>|\s", "", picture) for picture in pictures]
    squeezed = [f"dqn, {name}".replace(" ", "").replace(",", "") for name in names(6)]
    whole = sum(all(name in text.replace(",", "") for name in squeezed) for text in said)
    assert whole == 2 + len(STATISTICS)  # a panel per environment, and one per aggregate over both
