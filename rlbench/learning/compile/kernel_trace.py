"""Traces: the kernels that a function of tensors calls, in their order.

A trace costs little more than the call itself, so the function can be traced again later and the
two compared. Whatever else the function reads shows in it: a number, a tensor that it did not make,
the choice of a kernel.
"""

from __future__ import annotations

import itertools
import operator
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from rlbench.learning.compile import dense_kernels

Function = Callable[..., Mapping[str, Tensor]]
_PACKAGES = tuple(str(Path(str(module.__file__)).parent) for module in (torch, dense_kernels))
_UNKNOWN = torch.empty(0, device="meta")
_READ = torch.ops.aten._local_scalar_dense.default


class Value(NamedTuple):
    """A tensor of a trace, by its number: inputs come first, then others as they appear."""

    number: int


class Call(NamedTuple):
    """A kernel and its arguments, with tensors as `Value`."""

    kernel: Any
    args: Any
    kwargs: Any


class Trace(TorchDispatchMode):
    """A run of `function(**inputs)`: its `results` and the kernels that it called.

    With `expected`, an earlier trace, `difference` describes the first call that differs; it is
    empty where none does.

    Raises:
        RuntimeError: the function reads the value of a tensor, on which later calls may depend.
    """

    def __init__(
        self, function: Function, inputs: Mapping[str, Tensor], expected: Trace | None = None
    ) -> None:
        super().__init__()
        self.expected, self.difference = expected, ""
        self.calls: list[Call] = []
        self.returned: list[Any] = []  # by each call, with tensors as `Value`
        self.values: list[Tensor] = []  # by number: constants, and the forms of others
        self.constants: set[int] = set()  # numbers of tensors that were there before
        self._known = WeakTensorKeyDictionary()
        self.inputs = {name: self._make(tensor) for name, tensor in inputs.items()}
        with dense_kernels.tracing(), self:
            self.results = dict(function(**inputs))
        self.outputs = {name: self._find(tensor) for name, tensor in self.results.items()}
        if expected is None or self.difference:
            return
        if len(self.calls) < len(expected.calls):
            self.difference = "another branch is taken"
        elif self.outputs != expected.outputs:
            self.difference = "other results"

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import torch's compiler, which takes a second

    def __torch_dispatch__(
        self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if kernel is _READ:
            raise RuntimeError(f"the value of a tensor is read{_place()}")
        kwargs = kwargs or {}
        call = Call(kernel, _mapped(args, self._find), _mapped(kwargs, self._find))
        if self.expected is not None and not self.difference:
            self._compare(call, self.expected.calls)
        self.calls.append(call)
        result = kernel(*args, **kwargs)
        self.returned.append(_mapped(result, self._make))
        return result

    def _make(self, tensor: Tensor) -> Value:
        """Return the number of a tensor that was made just now, or changed in place."""
        value = self._known.get(tensor)
        if value is None:
            value = self._known[tensor] = Value(len(self.values))
            self.values.append(_form(tensor) if self.expected is None else _UNKNOWN)
        return value

    def _find(self, tensor: Tensor) -> Value:
        """Return the number of an argument; one that is not known is a constant."""
        value = self._known.get(tensor)
        if value is None:
            value = self._known[tensor] = Value(len(self.values))
            self.constants.add(value.number)
            self.values.append(tensor)
            if self.expected is not None and not self.difference:
                values = self.expected.values
                if len(values) <= value.number or values[value.number] is not tensor:
                    self.difference = f"another tensor of shape {tuple(tensor.shape)}{_place()}"
        return value

    def _compare(self, call: Call, before: list[Call]) -> None:
        """Describe how a call differs from the one expected in its place."""
        old = before[len(self.calls)] if len(self.calls) < len(before) else None
        if call == old:
            return
        if old is None or call.kernel is not old.kernel:
            self.difference = f"another branch is taken{_place()}"
            return
        for a, b in itertools.zip_longest(_leaves(old[1:]), _leaves(call[1:])):
            if a != b and not (a != a and b != b):  # NaN
                self.difference = f"{_shown(a)} became {_shown(b)}{_place()}"
                return

    def graph(self) -> fx.Graph:
        """Return the calls as a graph, with the form of each node in `meta["val"]`."""
        graph, nodes = fx.Graph(), dict[int, fx.Node]()

        def node(value: Value) -> fx.Node:
            if value.number not in nodes:
                nodes[value.number] = graph.create_node("get_attr", f"constant{value.number}")
            return nodes[value.number]

        def assign(value: Value, result: fx.Node) -> None:
            nodes[value.number] = result
            result.meta["val"] = self.values[value.number]

        for key, value in self.inputs.items():
            assign(value, graph.placeholder(key))
        for call, result in zip(self.calls, self.returned, strict=True):
            arguments = _mapped(call.args, node, Value), _mapped(call.kwargs, node, Value)
            name = call.kernel._schema.name.partition("::")[2]
            called = graph.create_node("call_function", call.kernel, *arguments, name)
            if isinstance(result, Value):
                assign(result, called)
            elif isinstance(result, list | tuple):
                for i, each in enumerate(result):
                    if isinstance(each, Value):
                        assign(each, graph.call_function(operator.getitem, (called, i)))
        graph.output([node(value) for value in self.outputs.values()])
        graph.eliminate_dead_code()  # gradients that nobody asked for
        return graph

    def held(self) -> dict[str, Tensor]:
        """Return constants by the names that nodes of the graph have for them."""
        return {f"constant{number}": self.values[number] for number in self.constants}


def _form(tensor: Tensor) -> Tensor:
    """Return a tensor of the same shape, strides and type without memory."""
    layout = tensor.shape, tensor.stride()
    return torch.empty_strided(*layout, dtype=tensor.dtype, device="meta")


def _mapped(value: Any, function: Callable[[Any], Any], kind: Any = Tensor) -> Any:
    """Apply a function to values of a kind, in lists, tuples and dictionaries too."""
    if isinstance(value, kind):
        return function(value)
    if isinstance(value, list | tuple):
        each = [_mapped(each, function, kind) for each in value]
        return each if isinstance(value, list) else tuple(each)
    if isinstance(value, dict):
        return {key: _mapped(each, function, kind) for key, each in value.items()}
    return value


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, Value) or not isinstance(value, list | tuple):
        return [value]
    return [leaf for each in value for leaf in _leaves(each)]


def _shown(leaf: Any) -> str:
    return "a tensor" if isinstance(leaf, Value) else repr(leaf)


def _place() -> str:
    """Return ` (file.py:12)`, the innermost line outside torch and this package.

    Empty in gradients, which torch computes.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_PACKAGES):
            return f" ({Path(file).name}:{frame.f_lineno})"
        frame = frame.f_back
    return ""
