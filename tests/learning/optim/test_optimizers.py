"""Every optimiser against torch's own over 20 steps, and its memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from lockstep import differences

from rlbench.learning.optim.optimizers import OPTIMIZERS

TORCH: dict[str, Any] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "momentum": lambda p, **kw: torch.optim.SGD(p, momentum=0.9, **kw),
    "rmsprop": lambda p, **kw: torch.optim.RMSprop(p, alpha=0.99, eps=1e-5, **kw),
}


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def steps(name: str, rows: slice = slice(None), weight_decay: float = 0.0, n: int = 20) -> Any:
    """The optimiser after n steps with falling rates over the given rows of four seeds."""
    data, grad = noise(0, 4, 64)[rows].clone(), torch.zeros(4, 64)[rows].clone()
    optimizer = OPTIMIZERS[name](data, grad, weight_decay)
    for i in range(n):
        grad.copy_(noise(i + 1, 4, 64)[rows])
        optimizer.step(0.01 / (i + 1))
    return optimizer


def test_all_are_covered() -> None:
    assert TORCH.keys() == OPTIMIZERS.keys()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_as_torch(name: str, weight_decay: float) -> None:
    """The same numbers for a changing learning rate, with and without weight decay."""
    mine = steps(name, weight_decay=weight_decay)
    theirs = torch.nn.Parameter(noise(0, 4, 64))
    optimizer = TORCH[name]([theirs], lr=0.1, weight_decay=weight_decay)
    for i in range(20):
        optimizer.param_groups[0]["lr"] = 0.01 / (i + 1)
        theirs.grad = noise(i + 1, 4, 64)
        optimizer.step()
    torch.testing.assert_close(mine.data, theirs.data, rtol=1e-5, atol=1e-6)
    assert mine.updates == 20


def test_they_differ_from_each_other() -> None:
    """Negative control: the tolerance above tells all of them apart, weight decay included."""
    ends = [steps(name, weight_decay=w).data for name in OPTIMIZERS for w in (0.0, 0.1)]
    pairs = [(i, j) for i in range(len(ends)) for j in range(i)]
    same = {(i, j) for i, j in pairs if torch.allclose(ends[i], ends[j], rtol=1e-5, atol=1e-6)}
    assert same == {(2, 0)}  # Adam and AdamW without weight decay


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_row_is_its_own_optimiser(name: str) -> None:
    """Bit for bit: row k of four is what it is alone."""
    whole = steps(name, weight_decay=0.1)
    for k in range(4):
        alone = steps(name, slice(k, k + 1), weight_decay=0.1)
        assert torch.equal(whole.data[k], alone.data[0])
        for moment in whole.moments:
            assert torch.equal(getattr(whole, moment)[k], getattr(alone, moment)[0])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_comes_back(name: str) -> None:
    """Restored after 7 steps it goes on as if it had never stopped; without, it would not."""
    half, whole = steps(name, n=7), steps(name)
    state = {key: value.clone() if hasattr(value, "clone") else value
             for key, value in half.state().items()}  # fmt: skip
    ends = []
    for restored in (True, False):
        data, grad = half.data.clone(), torch.zeros(4, 64)
        other = OPTIMIZERS[name](data, grad)
        if restored:
            other.restore(state)
        for i in range(7, 20):
            grad.copy_(noise(i + 1, 4, 64))
            other.step(0.01 / (i + 1))
        ends.append(torch.equal(other.data, whole.data))
        if restored:
            assert differences(other.state(), whole.state()) == []
    assert ends == [True, not OPTIMIZERS[name].moments]
