"""Random configurations: recorded or not, alone or in company, interrupted or not, bit for bit.

What fails is trained again by `python -c "import mixes; print(mixes.compared(NUMBER))"`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import mixes
import pytest
import torch
from sampled import sampled

from rlbench.learning.compile.codegen import CodeGenerator

QUICK = (4, 5, 6, 8, 14, 16, 17, 21, 24, 27, 28, 32, 43, 46, 47, 49, 50, 52, 55, 56)
MANY = range(200)
IN_CI = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 16, 17, 18, 19, 20, 22, 23, 32, 35, 39, 46, 48,
         51, 53, 54, 56, 59, 67, 69, 70, 86, 97, 99, 103, 110, 117, 121, 139, 199)  # fmt: skip


@pytest.mark.parametrize("number", QUICK)
def test_the_same_bits(number: int) -> None:
    """A seed alone, recorded and interrupted, against the same in company and unrecorded."""
    updates, found = mixes.compared(number, thorough=False)
    assert updates
    assert found == [], f"mixes.compared({number})"


@pytest.mark.slow
@pytest.mark.parametrize("number", sampled(MANY, IN_CI))
def test_the_same_bits_of_many(number: int) -> None:
    """Also three seeds recorded together, interrupted or not."""
    updates, found = mixes.compared(number)
    assert updates
    assert found == [], f"mixes.compared({number})"


def choices(mixed: mixes.Mix) -> set[Hashable]:
    """What was drawn: values of parameters, and whether this agent has a memory and images."""
    kind, given = mixed.kind.__name__, mixed.parameters
    left_out = ("batch_size", "source", "n_envs" if isinstance(mixed.env, str) else "")
    drawn = {(name, str(value)) for name, value in given.items() if name not in left_out}
    found: set[Hashable] = {*drawn, (kind, "memory", given["encoder"] != "auto")}
    if isinstance(mixed.env, str):
        return found | {mixed.env}
    obs, action = mixed.env.args
    shape = len(obs.shape or ())
    return found | {action, (type(obs), shape, obs.dtype), (kind, "image", shape > 1)}


def test_the_sample_of_ci_has_every_choice(tmp_path: Path) -> None:
    """Twice, where it comes up twice among all."""
    drawn = {number: choices(mixes.mix(number, tmp_path)) for number in MANY}
    every = Counter(choice for number in MANY for choice in drawn[number])
    in_ci = Counter(choice for number in IN_CI for choice in drawn[number])
    assert {choice: count for choice, count in every.items() if in_ci[choice] < min(count, 2)} == {}


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
