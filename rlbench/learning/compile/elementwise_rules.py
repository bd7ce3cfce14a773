"""Which of torch's kernels are the same arithmetic in numpy, bit for bit, and how it is written.

A rule takes the writer and a node of the recorded graph. It emits lines that make the node's value
in memory of its own and says True; or, where types or shapes are others than it is for, False.
Sums are not here, nor roots, exp and their kind, which round differently: those that matter are
kernels of our own, for recorded and other updates alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlbench.learning.compile import indexing_rules
from rlbench.learning.compile.indexing_rules import BOOL, FLOAT, Rule


def _ufunc(
    function: Any, *before: float, swapped: bool = False, types: Any = frozenset({FLOAT})
) -> Rule:
    """Of numbers that come before the arguments, and these, in their order or the other."""

    def rule(writer: Any, node: Any) -> bool:
        if node.kwargs or writer.types(node) != types:
            return False
        values = node.args[::-1] if swapped else node.args
        writer.put(function, *before, *values, out=writer.buffer(node))
        return True

    return rule


def _pow(writer: Any, node: Any) -> bool:
    x, exponent = node.args
    if writer.types(node) != {FLOAT} or exponent not in (1, 2):
        return False
    out = writer.buffer(node)
    if exponent == 2:
        writer.put(np.square, x, out=out)
    else:
        writer.copy(out, x)
    return True


def _clamp(writer: Any, node: Any) -> bool:
    x, low, high = (*node.args, None, None)[:3]
    if node.kwargs or writer.types(node) != {FLOAT}:
        return False
    in_place = node.target._schema.name.endswith("_")
    if in_place and x.name not in writer.known:
        return False
    if in_place:
        writer.known[node.name] = writer.known[x.name]
        out = writer.view(x)[0]
    else:
        out = writer.buffer(node)
    for function, bound in ((np.maximum, low), (np.minimum, high)):
        if bound is not None:
            writer.put(function, x, bound, out=out)
            x = out
    return True


def _where(writer: Any, node: Any) -> bool:
    condition, yes, no = node.args
    if writer.types(node) != {FLOAT, BOOL}:
        return False
    out = writer.buffer(node)
    writer.copy(out, no)
    writer.copy(out, yes, condition)
    return True


def _masked_fill_(writer: Any, node: Any) -> bool:
    x, mask, value = node.args
    if x.name not in writer.made or not isinstance(value, int | float):
        return False
    writer.known[node.name] = writer.known[x.name]
    writer.copy(writer.view(x)[0], value, mask)
    return True


def _cast(writer: Any, node: Any) -> bool:
    if set(node.kwargs) - {"dtype"} or writer.types(node) != {FLOAT, BOOL}:
        return False
    writer.copy(writer.buffer(node), node.args[0])
    return True


def _huber(writer: Any, node: Any) -> bool:
    """x^2 / 2 where |x| < 1, else |x| - 1/2."""
    value, target, *more = node.args
    if more not in ([0], [0, 1.0]) or node.kwargs or writer.types(node) != {FLOAT}:
        return False
    out = writer.buffer(node)
    shape = writer.value(node).shape
    size, half, inside = (writer.refer(np.empty(shape, kind)) for kind in ("f", "f", "?"))
    writer.put(np.subtract, value, target, out=size)
    writer.put(np.absolute, size, out=size)
    writer.put(np.less, size, 1.0, out=inside)
    writer.put(np.subtract, size, 0.5, out=out)
    writer.put(np.multiply, size, 0.5, out=half)
    writer.put(np.multiply, half, size, out=half)
    writer.emit(f"{writer.refer(np.copyto)}({out}, {half}, where={inside})")
    return True


def _huber_back(writer: Any, node: Any) -> bool:
    grad, value, target, *more = node.args
    if more not in ([0], [0, 1.0]) or node.kwargs or writer.types(node) != {FLOAT}:
        return False
    out = writer.buffer(node)
    writer.put(np.subtract, value, target, out=out)
    writer.put(np.maximum, out, -1.0, out=out)
    writer.put(np.minimum, out, 1.0, out=out)
    writer.put(np.multiply, out, grad, out=out)
    return True


_COMPARED = {FLOAT, BOOL}
RULES: dict[str, Rule] = {
    **indexing_rules.RULES,
    "add": _ufunc(np.add),
    "sub": _ufunc(np.subtract),
    "rsub": _ufunc(np.subtract, swapped=True),
    "mul": _ufunc(np.multiply),
    "div": _ufunc(np.divide),
    "minimum": _ufunc(np.minimum),
    "maximum": _ufunc(np.maximum),
    "neg": _ufunc(np.negative),
    "abs": _ufunc(np.absolute),
    "reciprocal": _ufunc(np.divide, 1.0),
    "pow": _pow,
    "clamp": _clamp,
    "clamp_": _clamp,
    "eq": _ufunc(np.equal, types=_COMPARED),
    "lt": _ufunc(np.less, types=_COMPARED),
    "le": _ufunc(np.less_equal, types=_COMPARED),
    "gt": _ufunc(np.greater, types=_COMPARED),
    "ge": _ufunc(np.greater_equal, types=_COMPARED),
    "logical_and": _ufunc(np.logical_and, types={BOOL}),
    "where": _where,
    "masked_fill_": _masked_fill_,
    "_to_copy": _cast,
    "smooth_l1_loss": _huber,
    "smooth_l1_loss_backward": _huber_back,
}
