"""Colours can be read and told apart; intervals stay where scores can be."""

import math
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rlbench.reporting.figures.plot_options import Stat
from rlbench.reporting.figures.style import (
    COLORS,
    DASHES,
    GREY,
    draw_seeds,
    far_apart,
    line_styles,
    means,
    text_color,
)
from rlbench.reporting.statistics.intervals import mean_interval

# Colours as they are seen with each kind of colour blindness (Machado et al. 2009, severity 1), of
# linear RGB.
SEEN = {
    "normal": np.eye(3),
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(color: str) -> NDArray[np.float64]:
    """Linear RGB of a colour, as WCAG 2 defines it."""
    rgb = np.array(to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast_on_white(color: str) -> float:
    return float(1.05 / (linear(color) @ [0.2126, 0.7152, 0.0722] + 0.05))


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE L*a*b* of linear sRGB, white point D65."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.clip(to_xyz @ rgb / [0.9505, 1.0, 1.089], 1e-9, None))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("color", [*COLORS, GREY])
def test_every_hue_has_a_contrast_of_three_on_white(color: str) -> None:
    assert contrast_on_white(color) >= 3
    assert contrast_on_white(text_color(color)) >= 4.5
    assert contrast_on_white("white") == pytest.approx(1)
    assert contrast_on_white("black") == pytest.approx(21)
    assert contrast_on_white("#ece133") < 1.5  # the control: seaborn's colour-blind yellow


@pytest.mark.parametrize("kind", SEEN)
def test_hues_differ_with_each_kind_of_colour_blindness(kind: str) -> None:
    seen = {c: lab(np.clip(np.array(SEEN[kind]) @ linear(c), 0, 1)) for c in COLORS}
    least = min(float(np.linalg.norm(seen[a] - seen[b])) for a, b in combinations(COLORS, 2))
    assert least > 20  # 2.3 is just noticeable side by side


def test_neighbours_differ_in_hue_and_dashes() -> None:
    looks = list(line_styles(map(str, range(24))).values())
    assert len({str(look) for look in looks}) == len(COLORS) * len(DASHES) == 24
    for one, next_one in pairwise(looks):
        assert one["color"] != next_one["color"]
        assert one["linestyle"] != next_one["linestyle"]


def points(*curves: list[float]) -> pd.DataFrame:
    rows = [(seed, step, y, "done") for seed, ys in enumerate(curves) for step, y in enumerate(ys)]
    return pd.DataFrame(rows, columns=["seed", "step", "y", "status"])


@pytest.mark.parametrize("stat", ["mean", "median", "iqm"])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 10])
def test_bands_stay_within_the_bounds(stat: Stat, n: int) -> None:
    """Seeds of two kinds, at either end: a t-interval of a few would leave the range."""
    scores = [500.0] * (n - n // 2) + [0.0] * (n // 2)
    line = means(points(*([y] for y in scores)), "y", bounds=(0, 500), stat=stat)
    low, high = line[["low", "high"]].iloc[0]
    assert math.isnan(low) == (n < (6 if stat == "median" else 3))
    if not math.isnan(low):
        assert 0 <= low < high <= 500
    if stat == "mean" and n in (3, 5):
        assert means(points(*([y] for y in scores)), "y")["low"].item() < 0


def test_the_statistic_is_what_it_says() -> None:
    table = points(*([y] for y in (1.0, 2.0, 3.0, 4.0, 90.0)))
    values = [means(table, "y", stat=s)["mean"].item() for s in ("mean", "median", "iqm")]
    assert values == [20, 3, 3]


def test_two_seeds_have_dots_and_no_band() -> None:
    two = means(points([1, 2], [3, 9]), "y")
    assert two["low"].isna().all()
    assert mean_interval([1, 3])  # the statistics have one: a figure does not draw it
    three = means(points([1, 2], [3, 9], [2, 2]), "y")
    assert three["low"].notna().all()
    for count, marker in ((2, "."), (3, "")):
        axes = Figure().add_subplot()
        draw_seeds(axes, points(*[[1.0, 2.0]] * count), "step", "y", COLORS[0])
        assert [line.get_marker() for line in axes.get_lines()] == [marker or ""] * count


def test_costs_that_differ_tenfold_are_far_apart() -> None:
    assert far_apart([1, 10])
    assert not far_apart([1, 9.9])
    assert not far_apart([0, 1, 5])
    assert not far_apart([])
