"""Many cases of a kind: a fixed sample runs in CI, and the others where one asks for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pytest
from _pytest.mark import ParameterSet


def sampled(cases: Sequence[Any], in_ci: Collection[Any]) -> list[ParameterSet]:
    """Cases of a parametrised test; those that are not `in_ci` are marked `exhaustive`.

    A case that is a tuple has a value for each argument.

    Raises:
        ValueError: A case of the sample is none of the cases, so that less would run than it says.
    """
    if gone := [case for case in in_ci if case not in cases]:
        raise ValueError(f"no such cases: {gone}")
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=[] if case in in_ci else [pytest.mark.exhaustive],
        )
        for case in cases
    ]
