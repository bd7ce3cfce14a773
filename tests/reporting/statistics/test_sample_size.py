"""Seeds that a comparison would need."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_ind

from rlbench.reporting.statistics.sample_size import seeds_needed


@pytest.mark.parametrize(("effect", "level"), [(1.0, 0.05), (1.5, 0.01), (0.7, 0.05)])
def test_so_many_seeds_decide_four_times_of_five(effect: float, level: float) -> None:
    needed = seeds_needed(effect, effect, effect, level)
    assert needed is not None
    rng = np.random.default_rng(0)
    for n, least, most in ((needed.estimate, 0.77, 0.84), (needed.estimate / 2, 0.2, 0.6)):
        a, b = rng.normal(effect, 1, (4_000, round(n))), rng.normal(0, 1, (4_000, round(n)))
        share = (ttest_ind(a, b, axis=1, equal_var=False).pvalue < level).mean()
        assert least < share < most


def test_ends_come_from_the_ends_of_the_effect() -> None:
    needed = seeds_needed(-1.0, -2.0, -0.5, 0.05)
    assert needed is not None
    assert needed.low < needed.estimate < needed.high < math.inf
    across = seeds_needed(0.4, -0.2, 1.0, 0.05)
    assert across is not None
    assert across.high == math.inf


def test_no_effect_needs_more_than_anybody_has() -> None:
    none = seeds_needed(0.0, -1.0, 1.0, 0.05)
    assert none is not None
    assert none.estimate == none.high == math.inf
    assert none.low == pytest.approx(19, abs=3)
    assert seeds_needed(math.nan, math.nan, math.nan, 0.05) is None
