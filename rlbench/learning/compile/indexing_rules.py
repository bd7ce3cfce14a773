"""Rules for kernels that select, place or clear elements: see `elementwise_rules`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

Rule = Callable[[Any, Any], bool]
FLOAT, BOOL, INT = torch.float32, torch.bool, torch.int64


def op_name(node: Any) -> str:
    """Return the name of the kernel that a node calls, without its library."""
    schema = getattr(node.target, "_schema", None)
    return schema.name.partition("::")[2] if schema else getattr(node.target, "__name__", "")


def _argmax(code: Any, node: Any) -> bool:
    x, axis = (*node.args, None)[:2]
    if axis not in (-1, code.value(x).ndim - 1) or len(node.args) > 2 or node.kwargs:
        return False
    out = code.buffer(node)
    text, names = code.array_argument(x)
    code.emit(f"{text}.argmax(-1, {out})", names)
    return True


def _flat(code: Any, shape: Any, axis: int, index: Any) -> str | None:
    """Emit the flat positions that an index selects along an axis of a dense array.

    The index is that of `gather` and `scatter`. Returns the name of the positions, or None where
    the index selects several elements along the axis.
    """
    chosen = code.value(index).shape
    axis %= len(shape)
    others = [i for i in range(len(shape)) if i != axis]
    if chosen[axis] != 1 or any(chosen[i] != shape[i] for i in others):
        return None
    steps = np.cumprod([1, *shape[:0:-1]])[::-1]
    grid = np.indices(chosen)
    offsets = sum(grid[i] * steps[i] for i in others) + np.zeros(chosen, np.int64)
    out = code.name_for(np.empty(chosen, np.int64), f"{index.name}_positions")
    code.emit_call(np.multiply, index, int(steps[axis]), out=out)
    code.emit_call(np.add, out, code.name_for(offsets, f"{index.name}_offsets"), out=out)
    return out


def _gather(code: Any, node: Any) -> bool:
    x, axis, index = node.args[:3]
    static = code.static.get(x.name)
    if static is None or not static.is_contiguous() or code.dtypes(node) != {FLOAT, INT}:
        return False
    at = _flat(code, static.shape, axis, index)
    if at is None:
        return False
    flat = code.name_for(static.numpy().reshape(-1), f"{x.name}_flat")
    out = code.buffer(node)
    code.emit(f"{flat}.take({at}, None, {out}, 'clip')")
    return True


def _scatter_add(code: Any, node: Any) -> bool:
    """Emit a sum onto zeros, where no position is selected twice."""
    x, axis, index, source = node.args
    if op_name(x) != "new_zeros" or x.name not in code.overwritten or len(x.users) > 1:
        return False
    at = _flat(code, code.value(x).shape, axis, index)
    if at is None:
        return False
    code.static[node.name] = code.static[x.name]
    code.overwritten.add(node.name)
    text, names = code.array_argument(source)
    flat = code.name_for(code.static[x.name].numpy().reshape(-1), f"{x.name}_flat")
    code.emit(f"{flat}.put({at}, {text}, 'clip')", names)
    return True


def _constant(code: Any, node: Any) -> bool:
    code.static[node.name] = node.target(*node.args, **node.kwargs)
    return True


def _zeros(code: Any, node: Any) -> bool:
    if code.dtypes(node) != {FLOAT}:
        return False
    code.emit(f"{code.buffer(node)}.fill(0.0)")
    return True


def _part_of_zeros(code: Any, node: Any) -> bool:
    """Emit gradients of `select` and `slice`: all but the part stays 0."""
    if code.dtypes(node) != {FLOAT} or node.name in code.destinations:
        return False
    grad, _, axis, *where = node.args
    code.buffer(node)
    whole = code.static[node.name]
    index: list[Any] = [slice(None)] * whole.ndim
    index[axis] = where[0] if op_name(node) == "select_backward" else slice(*where)
    part = code.name_for(whole.numpy()[tuple(index)], f"{node.name}_part")
    code.emit_copy(part, grad)
    return True


RULES: dict[str, Rule] = {
    "argmax": _argmax,
    "gather": _gather,
    "scatter_add": _scatter_add,
    "new_zeros": _zeros,
    "scalar_tensor": _constant,
    "select_backward": _part_of_zeros,
    "slice_backward": _part_of_zeros,
}
