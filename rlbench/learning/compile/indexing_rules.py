"""Rules of translation for kernels that choose, place or clear numbers: see `translated`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

Rule = Callable[[Any, Any], bool]
FLOAT, BOOL, INT = torch.float32, torch.bool, torch.int64


def op_name(node: Any) -> str:
    """The name of what a node calls, without its library."""
    schema = getattr(node.target, "_schema", None)
    return schema.name.partition("::")[2] if schema else getattr(node.target, "__name__", "")


def _argmax(writer: Any, node: Any) -> bool:
    x, axis = (*node.args, None)[:2]
    if axis not in (-1, writer.value(x).ndim - 1) or len(node.args) > 2 or node.kwargs:
        return False
    out = writer.buffer(node)
    text, names = writer.view(x)
    writer.emit(f"{text}.argmax(-1, {out})", names)
    return True


def _flat(writer: Any, shape: Any, axis: int, index: Any) -> str | None:
    """Text of where in a dense array of this shape lies what an index chooses along an axis, as
    `gather` and `scatter` have it; None where it chooses several."""
    chosen = writer.value(index).shape
    axis %= len(shape)
    others = [i for i in range(len(shape)) if i != axis]
    if chosen[axis] != 1 or any(chosen[i] != shape[i] for i in others):
        return None
    steps = np.cumprod([1, *shape[:0:-1]])[::-1]
    grid = np.indices(chosen)
    offsets = sum(grid[i] * steps[i] for i in others) + np.zeros(chosen, np.int64)
    found = np.empty(chosen, np.int64)
    out = writer.refer(found)
    writer.put(np.multiply, index, int(steps[axis]), out=out)
    writer.put(np.add, out, writer.refer(offsets), out=out)
    return out


def _gather(writer: Any, node: Any) -> bool:
    x, axis, index = node.args[:3]
    known = writer.known.get(x.name)
    if known is None or not known.is_contiguous() or writer.types(node) != {FLOAT, INT}:
        return False
    at = _flat(writer, known.shape, axis, index)
    if at is None:
        return False
    source, out = writer.refer(known.numpy().reshape(-1)), writer.buffer(node)
    writer.emit(f"{source}.take({at}, None, {out}, 'clip')")
    return True


def _scatter_add(writer: Any, node: Any) -> bool:
    """Onto zeros, where no place is chosen twice."""
    x, axis, index, source = node.args
    if op_name(x) != "new_zeros" or x.name not in writer.made or len(x.users) > 1:
        return False
    at = _flat(writer, writer.value(x).shape, axis, index)
    if at is None:
        return False
    writer.known[node.name] = writer.known[x.name]
    writer.made.add(node.name)
    text, names = writer.view(source)
    flat = writer.refer(writer.known[x.name].numpy().reshape(-1))
    writer.emit(f"{flat}.put({at}, {text}, 'clip')", names)
    return True


def _constant(writer: Any, node: Any) -> bool:
    writer.known[node.name] = node.target(*node.args, **node.kwargs)
    return True


def _zeros(writer: Any, node: Any) -> bool:
    if writer.types(node) != {FLOAT}:
        return False
    writer.emit(f"{writer.buffer(node)}.fill(0.0)")
    return True


def _part_of_zeros(writer: Any, node: Any) -> bool:
    """Gradients of `select` and `slice`: all but the part stays 0."""
    if writer.types(node) != {FLOAT} or node.name in writer.targets:
        return False
    grad, _, axis, *where = node.args
    writer.buffer(node)
    made = writer.known[node.name]
    index: list[Any] = [slice(None)] * made.ndim
    index[axis] = where[0] if op_name(node) == "select_backward" else slice(*where)
    writer.copy(writer.refer(made.numpy()[tuple(index)]), grad)
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
