"""What a function of tensors does, as a graph of kernels, and ways to do it again."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_VIEWS = {"transpose", "unsqueeze", "squeeze", "view", "expand", "select", "t", "permute", "slice"}


class Recording:
    """What a function of tensors does, as a graph of kernels and the constants they touch."""

    def __init__(
        self, function: Callable[..., Sequence[Tensor]], examples: Sequence[Tensor]
    ) -> None:
        from torch.fx.experimental.proxy_tensor import make_fx  # takes half a second

        # Twice: a tensor that was there before is the same in both.
        self.module, again = (make_fx(function)(*examples) for _ in range(2))
        names = {node.target for node in self.module.graph.nodes if node.op == "get_attr"}
        self.constants = {name: getattr(self.module, name) for name in names}
        made = [name for name, it in self.constants.items() if it is not getattr(again, name)]
        if made:
            found = ", ".join(str(tuple(self.constants[name].shape)) for name in made)
            raise RuntimeError(f"an update made constants of its own, of shapes {found}")

    def straight(self) -> Callable[..., Sequence[Tensor]]:
        """The kernels one after the other, as Python code without anything between them."""
        return _Writer(self).function()

    def compiled(self) -> Callable[..., Sequence[Tensor]]:
        """The same by torch's compiler, which fuses kernels: sums are rounded in another order."""
        from torch._inductor import config

        config.compile_threads = 1  # other processes for it take longer to start than they save
        call = torch.compile(self.module, fullgraph=True, dynamic=False)

        def run(*values: Tensor) -> Sequence[Tensor]:
            with torch.inference_mode(False), torch.no_grad():
                return call(*values)

        return run

    @torch.no_grad()
    def captured(self, examples: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]]:
        """The kernels as one CUDA graph: one launch for all of them."""
        straight = self.straight()
        held = [value.clone() for value in examples]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):  # libraries choose their kernels; gradients are written anew
                straight(*held)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = straight(*held)

        def run(*values: Tensor) -> Sequence[Tensor]:
            for mine, value in zip(held, values, strict=True):
                mine.copy_(value)
            graph.replay()
            return [output.clone() for output in outputs]

        return run


class _Writer:
    """Writes a recording as the text of a Python function, and makes it."""

    def __init__(self, recording: Recording) -> None:
        self.scope: dict[str, Any] = {}  # what the text refers to by name
        self.known: dict[str, Any] = {}  # values that are the same in every call, by node
        self.alias: dict[str, str] = {}  # nodes that are another one
        self.nodes = list(recording.module.graph.nodes)
        for node in self.nodes:
            if node.op == "get_attr":
                self.known[node.name] = recording.constants[node.target]

    def function(self) -> Callable[..., Sequence[Tensor]]:
        arguments = [node.name for node in self.nodes if node.op == "placeholder"]
        lines: list[tuple[str | None, str, set[str]]] = []  # (name, expression, names it uses)
        for node in self.nodes:
            if node.op == "output":
                lines.append((None, *self._text(list(node.args[0]))))
            elif node.op == "call_function":
                lines += self._line(node)
        text = self._alive(lines)
        source = f"def run({', '.join(arguments)}):\n" + "\n".join(f"    {line}" for line in text)
        exec(compile(source, "<update>", "exec"), self.scope)
        return self.scope["run"]

    def _line(self, node: Any) -> list[tuple[str | None, str, set[str]]]:
        """The line of a node, unless its value is known beforehand or it is another node."""
        name = _name(node.target)
        if name in ("detach", "alias"):
            source = node.args[0].name
            if source in self.known:
                self.known[node.name] = self.known[source]
            else:
                self.alias[node.name] = self.alias.get(source, source)
            return []
        inputs = node.all_input_nodes
        if name in _VIEWS and all(n.name in self.known for n in inputs):
            with torch.no_grad():  # a view of a constant is one
                self.known[node.name] = node.target(
                    *(self.known[a.name] if a in inputs else a for a in node.args), **node.kwargs
                )
            return []
        call = self._refer(_callable(node.target), f"{name}_call")
        positional, used = self._text(list(node.args))
        named = []
        for key, value in node.kwargs.items():
            text, more = self._text(value)
            named.append(f"{key}={text}")
            used |= more
        expression = f"{call}({', '.join([positional[1:-1], *named])})"
        return [(node.name, expression, used)]

    def _text(self, value: Any) -> tuple[str, set[str]]:
        """An argument as text, and the names of the values in it."""
        if isinstance(value, torch.fx.Node):
            name = self.alias.get(value.name, value.name)
            if name in self.known:
                return self._refer(self.known[name], f"c_{name}"), set()
            return name, {name}
        if isinstance(value, list | tuple):
            parts = [self._text(each) for each in value]
            return f"[{', '.join(p for p, _ in parts)}]", {n for _, names in parts for n in names}
        if value is None or isinstance(value, bool | int | float | str):
            text = repr(value)
            return (f"float('{text}')" if text in ("inf", "-inf", "nan") else text), set()
        return self._refer(value, f"v_{type(value).__name__}_{id(value)}"), set()

    def _refer(self, value: Any, name: str) -> str:
        while name in self.scope and self.scope[name] is not value:
            name += "_"
        self.scope[name] = value
        return name

    @staticmethod
    def _alive(lines: list[tuple[str | None, str, set[str]]]) -> list[str]:
        """The text, in which a name is let go after its last use, so that memory is used again."""
        text: list[str] = []
        wanted: set[str] = set()
        for name, expression, used in reversed(lines):
            done = sorted(used - wanted)
            wanted |= used
            if name is None:
                text.append(f"return {expression}")
                continue
            if done:
                text.append(f"del {', '.join(done)}")
            text.append(f"{name} = {expression}" if name in wanted else expression)
        return text[::-1]


def _name(target: Any) -> str:
    schema = getattr(target, "_schema", None)
    return schema.name.partition("::")[2] if schema else target.__name__


def _callable(target: Any) -> Callable[..., Any]:
    """What calls a kernel with the least overhead: torch's own binding, where there is one."""
    if not hasattr(target, "_schema"):
        return target
    name = _name(target)
    for owner in (torch, torch.Tensor):
        found = getattr(owner, name, None)
        if isinstance(found, types.BuiltinFunctionType | types.MethodDescriptorType):
            return found
    return target._op
