"""Figures of a run's `test.npz`: its mistakes, and where its window moved."""

import math
import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from rlbench.reporting.figures.learning_curves import save
from rlbench.reporting.figures.style import (
    COLORS,
    DPI,
    GREY,
    freeze_layout,
    luminance,
    style,
    text_color,
)
from rlbench.reporting.tables.load import load
from rlbench.reporting.tables.summaries import percent_text
from rlbench.reporting.tables.test_answers import (
    Answers,
    Array,
    confusion_counts,
    most_common_mistake,
    read_answers,
)

COLUMNS, BESIDE = 10, 4  # pictures in a row: misclassified images, and paths
NUMBERED = 20  # classes up to which a confusion matrix has its numbers written in
ARROW = " \N{RIGHTWARDS ARROW} "


def save_gallery(run: str | Path, folder: str | Path | None = None) -> list[Path]:
    """Write `confusion`, `mistakes` and `paths` of a run as PNG and SVG into a folder.

    The default is the run's folder. Without mistakes, or a window, the figure is left out.

    Raises:
        UserError: The run has no predictions yet, or their file is corrupt.
    """
    answers = read_answers(run)
    figures = {"confusion": confusion(answers)}
    if len(answers.shown):
        figures["mistakes"] = mistakes(answers)
    if answers.paths is not None:
        figures["paths"] = paths(answers)
    place = Path(folder) if folder is not None else Path(load(run).runs["path"].iloc[0])
    return [file for name, figure in figures.items() for file in save(figure, place / name)]


def confusion(answers: Answers) -> Figure:
    """Draw the images of each class (row) by predicted class (column), mean over the seeds.

    Correct predictions are blue, wrong ones orange, by their share of the row's images.
    """
    seeds, classes = len(answers.predictions), len(answers.names) - 1
    counts = confusion_counts(answers)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1e-12)
    right = np.eye(*counts.shape, dtype=np.bool_)
    most = max(shares[~right].max(initial=0), 0.05)  # do not exaggerate few errors
    blue, orange = mpl.colormaps["Blues"], mpl.colormaps["Oranges"]
    colors = np.where(right[..., None], blue(0.7 * shares), orange(shares / most))
    colors[counts == 0] = 1
    images = len(answers.labels)
    share = percent_text(float((answers.predictions == answers.labels).mean()), images)
    about = f"{images:,} test images, {share} % right"
    unit = f"images, mean of {seeds} seeds" if seeds > 1 else "images, 1 seed"
    names = [_short(name, 24) for name in answers.names]
    with style():
        side = float(np.clip(0.52 * classes, 4.5, 9.5))
        room = 1.2 + 0.06 * max(map(len, names))
        figure = Figure(figsize=(side + room + 0.3, side + room), layout="constrained", dpi=DPI)
        axes = figure.add_subplot()
        axes.imshow(colors, interpolation="nearest", aspect="auto")
        axes.grid(visible=False)
        axes.spines[:].set_visible(True)
        size = 9 if classes <= NUMBERED else max(4.5, 300 / classes)
        level = max(map(len, names[:classes])) <= 3 and classes <= NUMBERED
        axes.set_xticks(range(counts.shape[1]), names[: counts.shape[1]], size=size)
        axes.tick_params(axis="x", rotation=0 if level else 90)
        axes.set_yticks(range(classes), names[:classes], size=size)
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.set_title(textwrap.fill(f"{answers.title}: {about} ({unit})", int(12 * side)))
        if classes <= NUMBERED:
            dark = luminance(colors) < 0.18  # where white is read better than black
            for row, column in np.argwhere(counts > 0):
                color, text = "white" if dark[row, column] else "0.1", _count(counts[row, column])
                axes.text(column, row, text, ha="center", va="center", size=8, color=color)
        else:
            scale = ScalarMappable(Normalize(0, 100 * most), orange)
            figure.colorbar(scale, ax=axes, shrink=0.5, label="wrong, % of the images of a class")
        freeze_layout(figure)
    return figure


def mistakes(answers: Answers) -> Figure:
    """Draw the test images that most seeds got wrong, with true and most predicted class."""
    wrong = answers.predictions != answers.labels
    seeds, image_count = len(wrong), len(answers.shown)
    wrong_count = int(wrong.any(0).sum())
    who = f"some of {seeds} seeds" if seeds > 1 else "the only seed"
    title = (
        f"{answers.title}: {image_count} of the {wrong_count:,} test images that {who} got wrong"
        + (", most frequent first" if seeds > 1 else "")
    )
    with style():
        figure, panels = _grid(image_count, COLUMNS, 1.12, 1.5, title)
        for axes, index, image in zip(panels, answers.shown, answers.images, strict=True):
            guess, count = most_common_mistake(answers, int(index))
            true, prediction = (
                _short(answers.names[i], 13) for i in (answers.labels[index], guess)
            )
            name = (
                true
                + (ARROW if len(true + prediction) <= 12 else f"{ARROW.rstrip()}\n")
                + prediction
            )
            _show(axes, image, int(answers.images.max()))
            axes.set_title(
                f"{name}\n({count} of {seeds} seed{'s' * (seeds > 1)})", size=7.5, loc="center"
            )
        freeze_layout(figure)
    return figure


def paths(answers: Answers) -> Figure:
    """Draw the positions of a policy's window, glimpse by glimpse, on some test images."""
    assert answers.paths is not None
    walks, none = answers.paths, len(answers.names) - 1
    title = f"{answers.title}, seed {walks['seed'][0]}: its window, glimpse by glimpse"
    with style():
        figure, panels = _grid(len(walks["paths"]), BESIDE, 2.3, 2.6, title)
        for i, axes in enumerate(panels):
            _show(axes, walks["path_images"][i], int(walks["path_images"].max()))
            _walk(axes, [(int(row), int(column)) for row, column in walks["paths"][i]], walks)
            true, prediction = (int(walks[name][i]) for name in ("path_labels", "path_predictions"))
            prediction = prediction if 0 <= prediction < none else none
            names = [_short(answers.names[k], 16) for k in (true, prediction)]
            gap = " " if len("".join(names)) < 10 else "\n"
            color, weight = (
                ("black", "normal") if true == prediction else (text_color(COLORS[1]), "bold")
            )
            text = f"true {names[0]},{gap}predicted {names[1]}"
            axes.set_title(text, size=9, color=color, weight=weight, loc="center")
        freeze_layout(figure)
    return figure


def _walk(axes: Axes, corners: list[tuple[int, int]], walks: dict[str, Array]) -> None:
    """Draw numbered squares, from dark to bright, at the window's corners (row, column)."""
    window, last = int(walks["window"]), max(len(corners) - 1, 1)
    colors = [mpl.colormaps["plasma"](0.35 + 0.6 * t / last) for t in range(len(corners))]
    effects = [withStroke(linewidth=2.5, foreground="black")]
    middle = np.array(corners) + (window - 1) / 2
    thin = [withStroke(linewidth=1.8, foreground="black")]
    axes.plot(middle[:, 1], middle[:, 0], color="white", lw=0.8, path_effects=thin)
    for color, (row, column) in zip(colors, corners, strict=True):
        square = Rectangle((column - 0.5, row - 0.5), window, window, fill=False)
        square.set(edgecolor=color, linewidth=1.8, path_effects=effects)
        axes.add_patch(square)
    for corner in dict.fromkeys(corners):  # label a window that stays with all its numbers at once
        times = [t for t, other in enumerate(corners) if other == corner]
        at, color = (corner[1] - 0.2, corner[0] - 0.2), colors[times[-1]]
        look: Any = {"size": 9, "weight": "bold", "va": "top", "path_effects": effects}
        axes.annotate(_ranges([t + 1 for t in times]), at, color=color, **look)


def _ranges(numbers: list[int]) -> str:
    """Format numbers as ranges: "1,3-5" for [1, 3, 4, 5]."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _grid(
    count: int, columns: int, width: float, height: float, title: str
) -> tuple[Figure, list[Axes]]:
    """Make a figure with axes for so many images, sizes in inches."""
    across, down = max(4, min(count, columns)), math.ceil(count / columns)
    figure = Figure(figsize=(across * width, down * height + 0.5), layout="constrained", dpi=DPI)
    title = textwrap.fill(title, int(11 * across * width))
    figure.suptitle(title, x=0.1 / (across * width), ha="left")
    panels = [figure.add_subplot(down, across, place + 1) for place in range(count)]
    return figure, panels


def _show(axes: Axes, image: Array, brightest: int) -> None:
    """Draw an image (H, W, C): grey, RGB or RGBA; other channels are averaged."""
    grey = image.shape[-1] not in (3, 4)
    picture = image.mean(-1) if grey else image
    axes.imshow(picture, cmap="gray", vmin=0, vmax=max(brightest, 1), interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=GREY, linewidth=0.5)


def _short(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}\N{HORIZONTAL ELLIPSIS}"


def _count(count: float) -> str:
    """Format a mean number of images: 36, 3.4, 0.3."""
    return f"{count:.0f}" if count >= 99.5 or count == round(count) else f"{count:.1f}"
