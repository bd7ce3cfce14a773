"""Rules that write torch's elementwise kernels as calls of numpy which give the same bits.

A rule takes the code generator and a node of the graph. It emits statements that compute the node's
value in a static buffer and returns True; where it is not made for these types or shapes, it emits
nothing and returns False. Sums, roots, exp and the like have no rule, since numpy rounds them
otherwise: those that cost time are kernels of our own, for traced and untraced updates alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlbench.learning.compile import indexing_rules
from rlbench.learning.compile.indexing_rules import BOOL, FLOAT, Rule


def _ufunc(
    function: Any, *before: float, swapped: bool = False, types: Any = frozenset({FLOAT})
) -> Rule:
    """Return a rule for a ufunc of the numbers `before` and the arguments, which may be swapped."""

    def rule(code: Any, node: Any) -> bool:
        if node.kwargs or code.dtypes(node) != types:
            return False
        values = node.args[::-1] if swapped else node.args
        code.emit_call(function, *before, *values, out=code.buffer(node))
        return True

    return rule


def _pow(code: Any, node: Any) -> bool:
    x, exponent = node.args
    if code.dtypes(node) != {FLOAT} or exponent not in (1, 2):
        return False
    out = code.buffer(node)
    if exponent == 2:
        code.emit_call(np.square, x, out=out)
    else:
        code.emit_copy(out, x)
    return True


def _clamp(code: Any, node: Any) -> bool:
    x, low, high = (*node.args, None, None)[:3]
    if node.kwargs or code.dtypes(node) != {FLOAT}:
        return False
    in_place = node.target._schema.name.endswith("_")
    if in_place and x.name not in code.static:
        return False
    if in_place:
        code.static[node.name] = code.static[x.name]
        out = code.array_argument(x)[0]
    else:
        out = code.buffer(node)
    for function, bound in ((np.maximum, low), (np.minimum, high)):
        if bound is not None:
            code.emit_call(function, x, bound, out=out)
            x = out
    return True


def _where(code: Any, node: Any) -> bool:
    condition, yes, no = node.args
    if code.dtypes(node) != {FLOAT, BOOL}:
        return False
    out = code.buffer(node)
    code.emit_copy(out, no)
    code.emit_copy(out, yes, condition)
    return True


def _masked_fill_(code: Any, node: Any) -> bool:
    x, mask, value = node.args
    if x.name not in code.overwritten or not isinstance(value, int | float):
        return False
    code.static[node.name] = code.static[x.name]
    code.emit_copy(code.array_argument(x)[0], value, mask)
    return True


def _cast(code: Any, node: Any) -> bool:
    if set(node.kwargs) - {"dtype"} or code.dtypes(node) != {FLOAT, BOOL}:
        return False
    code.emit_copy(code.buffer(node), node.args[0])
    return True


def _huber(code: Any, node: Any) -> bool:
    """Emit x^2 / 2 where |x| < 1, else |x| - 1/2."""
    value, target, *more = node.args
    if more not in ([0], [0, 1.0]) or node.kwargs or code.dtypes(node) != {FLOAT}:
        return False
    out = code.buffer(node)
    shape = code.value(node).shape
    size, half, inside = (
        code.name_for(np.empty(shape, kind), f"{node.name}_{name}")
        for name, kind in (("size", "f"), ("half", "f"), ("inside", "?"))
    )
    code.emit_call(np.subtract, value, target, out=size)
    code.emit_call(np.absolute, size, out=size)
    code.emit_call(np.less, size, 1.0, out=inside)
    code.emit_call(np.subtract, size, 0.5, out=out)
    code.emit_call(np.multiply, size, 0.5, out=half)
    code.emit_call(np.multiply, half, size, out=half)
    code.emit(f"{code.name_for(np.copyto)}({out}, {half}, where={inside})")
    return True


def _huber_back(code: Any, node: Any) -> bool:
    grad, value, target, *more = node.args
    if more not in ([0], [0, 1.0]) or node.kwargs or code.dtypes(node) != {FLOAT}:
        return False
    out = code.buffer(node)
    code.emit_call(np.subtract, value, target, out=out)
    code.emit_call(np.maximum, out, -1.0, out=out)
    code.emit_call(np.minimum, out, 1.0, out=out)
    code.emit_call(np.multiply, out, grad, out=out)
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
