"""Areas and first times, by hand; what is missing is never taken for what failed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.reporting.statistics.sample_efficiency import (
    Reach,
    area_under_curve,
    first_reach,
    reach,
)

NAN, INF = float("nan"), float("inf")


def test_areas_by_hand() -> None:
    steps = [0, 10, 40]
    curves: list[list[float]] = [
        [2, 2, 2],
        [0, 6, 6],
        [0, NAN, 4],
        [NAN, 6, 6],
        [0, 6, NAN],
        [NAN, NAN, NAN],
    ]
    # (10 * 3 + 30 * 6) / 40; a gap is bridged; a curve that begins late or ends early has no area.
    expected = [2, 5.25, 2, NAN, NAN, NAN]
    assert area_under_curve(steps, curves).tolist() == pytest.approx(expected, nan_ok=True)
    assert area_under_curve(steps, np.empty((0, 3))).size == 0


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=9), st.integers(1, 1000))
def test_areas_know_no_unit_of_steps_and_no_extremes(heights: list[int], unit: int) -> None:
    steps = np.arange(len(heights)) ** 2
    area = area_under_curve(steps, [heights])[0]
    assert min(heights) - 1e-9 <= area <= max(heights) + 1e-9
    assert area_under_curve(unit * steps + 7, [heights])[0] == pytest.approx(area)


def test_first_reach_by_hand() -> None:
    steps = [0, 10, 20]
    curves: list[list[float]] = [
        [1, 5, 2],
        [0, 4.9, 5],
        [0, 1, 2],
        [NAN, NAN, 7],
        [0, NAN, NAN],
        [NAN, NAN, NAN],
    ]
    found = first_reach(steps, curves, 5)
    assert found.tolist() == pytest.approx([10, 20, INF, 20, INF, NAN], nan_ok=True)
    seconds = [[0.0, 1, 2]] * 3 + [[0.0, 3, 6]] * 3
    own = first_reach(seconds, curves, 5)
    assert own.tolist() == pytest.approx([1, 2, INF, 6, INF, NAN], nan_ok=True)
    assert reach(found) == Reach(INF, 3, 6, 1)
    assert reach([10, 20, 30, INF]) == Reach(25, 3, 4, 0)
    assert reach([10, INF, NAN]) == Reach(INF, 1, 3, 1)  # leaving them out would make it 10
    assert np.isnan(reach([]).median)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"grid of \(2,\) does not fit curves of \(1, 3\)"):
        first_reach([0, 1], [[1, 2, 3]], 1)
    with pytest.raises(ValueError, match="does not fit"):
        area_under_curve([0, 1], [1, 2])
    for steps in ([0, 0], [1, 0]):
        with pytest.raises(ValueError, match="increasing"):
            area_under_curve(steps, [[1, 2]])
