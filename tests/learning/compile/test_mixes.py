"""Random configurations: recorded or not, alone or in company, interrupted or not, bit for bit.

What fails is trained again by `python -c "import mixes; print(mixes.compared(NUMBER))"`.
"""

from __future__ import annotations

from typing import Any

import mixes
import pytest
import torch

from rlbench.learning.compile.codegen import CodeGenerator

QUICK = (4, 5, 6, 8, 14, 16, 17, 21, 24, 27, 28, 32, 43, 46, 47, 49, 50, 52, 55, 56)
MANY = range(200)


@pytest.mark.parametrize("number", QUICK)
def test_the_same_bits(number: int) -> None:
    """A seed alone, recorded and interrupted, against the same in company and unrecorded."""
    updates, found = mixes.compared(number, thorough=False)
    assert updates
    assert found == [], f"mixes.compared({number})"


@pytest.mark.slow
@pytest.mark.parametrize("number", MANY)
def test_the_same_bits_of_many(number: int) -> None:
    """Also three seeds recorded together, interrupted or not."""
    updates, found = mixes.compared(number)
    assert updates
    assert found == [], f"mixes.compared({number})"


def _dense(self: CodeGenerator, node: Any) -> str:
    """Allocate a wrong buffer on purpose: of the right shape, its rows close together."""
    form = node.meta["val"]
    buffer = self.destinations.get(node.name, torch.zeros(form.shape, dtype=form.dtype))
    self.static[node.name] = buffer
    self.overwritten.add(node.name)
    return self.name_for(buffer.numpy())


def test_another_layout_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: one of these had other bits before memory had the strides it was recorded
    with."""
    monkeypatch.setattr(CodeGenerator, "buffer", _dense)
    assert mixes.compared(24, thorough=False)[1]
