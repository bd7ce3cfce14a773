"""Torch's kernels and what is written for them in numpy: the same bits, NaN and all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rlbench.learning.compile import elementwise_rules
from rlbench.learning.compile.codegen import CodeGenerator
from rlbench.learning.compile.indexing_rules import op_name
from rlbench.learning.compile.trace import UpdateTrace

S, B, A = 3, 5, 4
Function = Callable[[Tensor, Tensor, Tensor], Tensor]  # of x, y (S, B, A) and an index (S, B)
ATEN = torch.ops.aten


def part(axis: int, at: int) -> Function:
    def function(x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        return ATEN.select_backward(y[:, :, 0], (S, B, A), axis, at)

    return function


CASES: dict[str, list[Function]] = {
    "add": [lambda x, y, i: x + y, lambda x, y, i: x + 1e-6, lambda x, y, i: x + y[:, :1]],
    "sub": [lambda x, y, i: x - y, lambda x, y, i: x - 3],
    "rsub": [lambda x, y, i: 0.3 - x],
    "mul": [lambda x, y, i: x * y, lambda x, y, i: x * 0.99, lambda x, y, i: x.mT * y[:, :4, :1]],
    "div": [lambda x, y, i: x / y, lambda x, y, i: x / 7, lambda x, y, i: x / 0.0],
    "minimum": [lambda x, y, i: torch.minimum(x, y)],
    "maximum": [lambda x, y, i: torch.maximum(x, y)],
    "neg": [lambda x, y, i: -x],
    "abs": [lambda x, y, i: x.abs()],
    "reciprocal": [lambda x, y, i: 1 / x],
    "pow": [lambda x, y, i: x**2, lambda x, y, i: ATEN.pow(x, 1.0)],
    "clamp": [
        lambda x, y, i: x.clamp(-0.5, 0.2),
        lambda x, y, i: x.clamp(max=0.1),
        lambda x, y, i: x.clamp(y[:1, :1, :1] - 1.0, y[:1, :1, :1] + 1.0),
    ],
    "clamp_": [lambda x, y, i: (x + y).clamp_(max=0.3) * 2],
    "eq": [lambda x, y, i: x == y],
    "lt": [lambda x, y, i: x < y],
    "le": [lambda x, y, i: x <= y],
    "gt": [lambda x, y, i: x > y, lambda x, y, i: x > 0.5],
    "ge": [lambda x, y, i: x >= y],
    "logical_and": [lambda x, y, i: torch.logical_and(x > 0, y > 0)],
    "where": [lambda x, y, i: torch.where(x > y, x, y * 2)],
    "masked_fill_": [lambda x, y, i: (x * y).masked_fill_(x > y, 0)],
    "_to_copy": [lambda x, y, i: (x > y).float()],
    "argmax": [lambda x, y, i: x.argmax(-1)],
    "gather": [
        lambda x, y, i: x.gather(-1, i[..., None]),
        lambda x, y, i: x.gather(1, i[:, None, :A]),
    ],
    "scatter_add": [
        lambda x, y, i: x.new_zeros(S, B, A).scatter_add(-1, i[..., None], y[:, :, :1]),
    ],
    "new_zeros": [lambda x, y, i: x.new_zeros(S, A) + y[:, 0]],
    "scalar_tensor": [lambda x, y, i: x * ATEN.scalar_tensor(0.25)],
    "select_backward": [part(2, 1), part(2, -1)],
    "slice_backward": [
        lambda x, y, i: ATEN.slice_backward(y[:, :, :2], (S, B, A), 2, 1, 3, 1),
        lambda x, y, i: ATEN.slice_backward(y[:, 3:], (S, B, A), 1, 3, 9223372036854775807, 1),
    ],
    "smooth_l1_loss": [lambda x, y, i: ATEN.smooth_l1_loss(x, y, 0)],
    "smooth_l1_loss_backward": [lambda x, y, i: ATEN.smooth_l1_loss_backward(y, x, y, 0, 1.0)],
}


def drawn(seed: int) -> list[Tensor]:
    """Numbers of many sizes, equal ones, NaN, infinities and zeros among them."""
    rng = np.random.default_rng(seed)
    x, y = (rng.standard_normal((S, B, A)) * 10.0 ** rng.integers(-3, 3, (S, B, A)) for _ in "xy")
    y[0] = x[0]
    x[1, 0] = [np.nan, np.inf, -np.inf, 0.0]
    y[1, 1] = [np.nan, np.inf, -np.inf, 0.0]
    numbers = [torch.from_numpy(z.astype(np.float32)) for z in (x, y)]
    return [*numbers, torch.from_numpy(rng.integers(0, A, (S, B)))]


def same(mine: Tensor, other: Tensor) -> bool:
    return mine.dtype == other.dtype and np.array_equal(
        mine.numpy(), other.numpy(), equal_nan=mine.dtype == torch.float32
    )


def recorded(function: Callable[..., list[Tensor]], given: list[Tensor]) -> UpdateTrace:
    """A recording of a function of unnamed tensors."""

    def named(**tensors: Tensor) -> dict[str, Tensor]:
        return {str(i): value for i, value in enumerate(function(*tensors.values()))}

    return UpdateTrace(named, {str(i): value for i, value in enumerate(given)})


def compared(name: str, function: Function) -> tuple[bool, bool]:
    """Whether a node of this name was translated, and whether all calls gave torch's numbers."""
    recording = recorded(lambda *given: [function(*given)], drawn(0))
    code = CodeGenerator(recording.graph, recording.constants, cpu=True)
    run = code.generate().call
    nodes = [node for node in recording.graph.nodes if op_name(node) == name]
    equal = True
    for seed in (0, 1, 2, 0):
        with torch.inference_mode(), np.errstate(all="ignore"):
            equal &= same(run(*drawn(seed))[0], function(*drawn(seed)))
    return any(node.name in code.static for node in nodes), equal


@pytest.mark.parametrize("name", elementwise_rules.RULES)
def test_the_same_numbers(name: str) -> None:
    assert [compared(name, function) for function in CASES[name]] == [(True, True)] * len(
        CASES[name]
    )


def test_another_number_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: sums written as differences."""
    monkeypatch.setitem(elementwise_rules.RULES, "add", elementwise_rules._ufunc(np.subtract))
    assert compared("add", CASES["add"][0]) == (True, False)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("add", lambda x, y, i: torch.add(x, y, alpha=2)),
        ("add", lambda x, y, i: i + 1),
        ("mul", lambda x, y, i: x * i[..., None]),
        ("pow", lambda x, y, i: x**3),
        ("gather", lambda x, y, i: x.gather(-1, i[..., None].expand(S, B, 2))),
        ("scatter_add", lambda x, y, i: y.scatter_add(-1, i[..., None], y[:, :, :1])),
        ("smooth_l1_loss", lambda x, y, i: ATEN.smooth_l1_loss(x, y, 0, 0.5)),
        ("argmax", lambda x, y, i: x.argmax(1)),
    ],
)
def test_what_no_rule_is_for(name: str, function: Any) -> None:
    """Other types, options and shapes are left to torch."""
    assert compared(name, function) == (False, True)


def test_what_is_returned_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results do not change with the next call, whether made, given, or views of these."""
    recording = recorded(lambda x, y: [x + y, x, (x * 2)[:, 0], y.mT], drawn(0)[:2])
    run = CodeGenerator(recording.graph, recording.constants, cpu=True).generate().call
    with torch.inference_mode():
        before = run(*drawn(3)[:2])
        kept = [value.clone() for value in before]
        run(*drawn(4)[:2])
    assert all(same(a, b) for a, b in zip(before, kept, strict=True))


def test_large_results_are_made_anew() -> None:
    """So that their memory is used again."""
    x = torch.ones(300, 300)
    recording = recorded(lambda x: [(x + 1) * 2], [x])
    code = CodeGenerator(recording.graph, recording.constants, cpu=True)
    assert torch.equal(code.generate().call(x)[0], (x + 1) * 2)
    assert not code.overwritten
