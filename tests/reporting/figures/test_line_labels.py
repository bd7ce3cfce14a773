"""Places of labels beside a panel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from rlbench.reporting.figures.line_labels import nondecreasing


@pytest.mark.parametrize("count", [0, 1, 2, 5, 40])
def test_values_in_order_are_those_of_isotonic_regression(count: int) -> None:
    generator = np.random.default_rng(count)
    for _ in range(20):
        values = generator.normal(np.linspace(0, 1, count), 0.5)
        expected = isotonic_regression(values).x if count else values
        np.testing.assert_allclose(nondecreasing(values), expected, rtol=0, atol=1e-12)
    assert nondecreasing(np.array([1.0, 1.0, 2.0])).tolist() == [1, 1, 2]
