"""Writes a recorded function as straight-line Python: its kernels, and nothing between them.

On CPUs every small result has memory of its own, the same in every call. Then views cost nothing,
since they are made beforehand, and most of what is left is arithmetic on arrays, for which numpy
needs a fifth of the time that torch does (`translated`): an update of small networks is dozens of
calls, whose machinery also drives everything else out of the processor's caches.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.compile.dense_kernels import KERNELS, Kernel, array
from rlbench.learning.compile.elementwise_rules import RULES
from rlbench.learning.compile.indexing_rules import op_name

_VIEWS = {"transpose", "unsqueeze", "squeeze", "view", "expand", "select", "t", "permute", "slice"}
SMALL = 65_536  # numbers: what is larger is made anew, so that its memory is used again

Run = Callable[..., Sequence[Tensor]]
Line = tuple[str | None, str, set[str]]  # what it makes or None, its text, and the names it uses


class CodeGenerator:
    """Makes a Python function of a graph of kernels."""

    def __init__(self, graph: Any, constants: dict[str, Tensor], cpu: bool) -> None:
        self.scope: dict[str, Any] = {}  # what the text refers to by name
        self.known: dict[str, Tensor] = {}  # what always lies in the same memory, by node
        self.made: set[str] = set()  # those that every call makes anew
        self.targets: dict[str, Tensor] = {}  # where results are to be written instead
        self.left: dict[str, tuple[Any, ...]] = {}  # arguments of copies that are still to be made
        self.alias: dict[str, str] = {}  # nodes that are another one
        self.lines: list[Line] = []
        self.nodes, self.cpu = list(graph.nodes), cpu
        for node in self.nodes:
            if node.op == "get_attr":
                self.known[node.name] = constants[node.target].detach()
            elif node.op == "call_function" and op_name(node) == "_foreach_copy_":
                self._aim(node)

    def function(self) -> Run:
        arguments = [node.name for node in self.nodes if node.op == "placeholder"]
        for node in self.nodes:
            if node.op == "placeholder" and self.fits(node):
                self.emit(
                    f"{self.refer(np.copyto)}({self.buffer(node)}, {node.name}.numpy())",
                    {node.name},
                )
            elif node.op == "call_function":
                self._call(node)
            elif node.op == "output":
                self.lines.append((None, *self._returned(node.args[0])))
        text = _alive(self.lines)
        source = f"def run({', '.join(arguments)}):\n" + "\n".join(f"    {line}" for line in text)
        exec(compile(source, "<update>", "exec"), self.scope)
        run: Run = self.scope["run"]
        return run

    # What rules are made of.

    def value(self, node: Any) -> Tensor:
        """What it was when it was recorded, as far as type and shape go."""
        return self.known[node.name] if node.op == "get_attr" else node.meta["val"]

    def fits(self, node: Any) -> bool:
        """Whether its result may have memory of its own."""
        return self.cpu and _extent(node.meta["val"]) <= SMALL

    def buffer(self, node: Any) -> str:
        """That memory, as text of an array."""
        made = self.targets.get(node.name)
        if made is None:
            made = alike(node.meta["val"], "cpu")
        self.known[node.name] = made
        self.made.add(node.name)
        return self.refer(made.numpy())

    def emit(self, text: str, names: set[str] | None = None) -> None:
        self.lines.append(("", text, names or set()))

    def text(self, value: Any, form: Callable[[Tensor], Any] | None = None) -> tuple[str, set[str]]:
        """An argument as text, and the names of the values in it; tensors in another form, which
        what is known already has if it is a view of the tensor."""
        if isinstance(value, torch.fx.Node):
            name = self.alias.get(value.name, value.name)
            if name not in self.known:
                return (f"{self.refer(form)}({name})" if form else name), {name}
            known = self.known[name]
            if form is None:
                return self.refer(known), set()
            found = form(known)
            if found.ctypes.data == known.data_ptr():
                return self.refer(found), set()
            return f"{self.refer(form)}({self.refer(known)})", set()
        if isinstance(value, list | tuple):
            parts = [self.text(each) for each in value]
            return f"[{', '.join(p for p, _ in parts)}]", {n for _, names in parts for n in names}
        if value is None or isinstance(value, bool | int | float | str):
            text = repr(value)
            return (f"float('{text}')" if text in ("inf", "-inf", "nan") else text), set()
        return self.refer(value), set()

    def view(self, value: Any) -> tuple[str, set[str]]:
        """An argument as text, tensors as arrays on their memory."""
        return self.text(value, _view)

    def put(self, function: Any, *values: Any, out: str) -> None:
        """Emit `function(*values, out=out)` for nodes, numbers, or texts of arrays."""
        texts, names = [], set()
        for value in values:
            text, used = (value, set()) if isinstance(value, str) else self.view(value)
            texts.append(text)
            names |= used
        self.emit(f"{self.refer(function)}({', '.join(texts)}, out={out})", names)

    def copy(self, to: str, value: Any, where: Any = None) -> None:
        """Emit a copy, of all or where a node is true."""
        (text, names), condition = self.view(value), ""
        if where is not None:
            found, more = self.view(where)
            condition, names = f", where={found}", names | more
        self.emit(f"{self.refer(np.copyto)}({to}, {text}{condition})", names)

    def types(self, node: Any) -> set[torch.dtype]:
        """Of a node's tensors and its result."""
        return {self.value(n).dtype for n in (*node.all_input_nodes, node)}

    def refer(self, value: Any) -> str:
        """A name for it in the text."""
        kind = getattr(value, "__name__", type(value).__name__)
        name = f"{kind if kind.isidentifier() else 'value'}_{id(value)}"
        self.scope[name] = value  # which keeps it, and so its id, alive
        return name

    # Nodes.

    def _call(self, node: Any) -> None:
        """The line of a node, unless its value is known beforehand or it is another node."""
        name, inputs = op_name(node), node.all_input_nodes
        if name in ("detach", "alias"):
            source = inputs[0].name
            if source in self.known:
                self.known[node.name] = self.known[source]
            else:
                self.alias[node.name] = self.alias.get(source, source)
        elif self.left.get(node.name) == ():
            pass  # all was written where it would be copied to
        elif name in _VIEWS and all(n.name in self.known for n in inputs):
            with torch.no_grad():  # a view of what is known is known
                self.known[node.name] = node.target(
                    *(self.known[a.name] if a in inputs else a for a in node.args), **node.kwargs
                )
        elif name in KERNELS and node.target.namespace == "rlbench":
            self._kernel(node, KERNELS[name])
        elif not (name in RULES and self.fits(node) and RULES[name](self, node)):
            self._plain(node)

    def _plain(self, node: Any) -> None:
        """A call of torch's own kernel."""
        call = self.refer(_callable(node.target))
        positional, names = self.text(list(self.left.get(node.name, node.args)))
        named = []
        for key, value in node.kwargs.items():
            text, more = self.text(value)
            named.append(f"{key}={text}")
            names |= more
        self.lines.append((node.name, f"{call}({', '.join([positional[1:-1], *named])})", names))

    def _kernel(self, node: Any, kernel: Kernel) -> None:
        """A kernel of ours: what it makes is always in the same memory."""
        out = self.buffer(node)
        texts, names = [self.refer(self.known[node.name]), out], set()
        for value in node.args:
            text, used = self.text(value, array)
            texts.append(text)
            names |= used
        self.emit(f"{self.refer(kernel.fill)}({', '.join(texts)})", names)

    def _aim(self, copy: Any) -> None:
        """Have kernels of ours write where their results would be copied to: gradients, which
        nothing reads before all are there."""
        pairs = list(zip(*copy.args, strict=True))
        for to, made in pairs:
            ours = str(made.target).startswith("rlbench.") and len(made.users) == 1
            if ours and to.op == "get_attr" and self.value(to).shape == self.value(made).shape:
                self.targets[made.name] = self.known[to.name]
        left = [(to, made) for to, made in pairs if made.name not in self.targets]
        self.left[copy.name] = tuple(map(list, zip(*left, strict=True)))

    def _returned(self, nodes: Sequence[Any]) -> tuple[str, set[str]]:
        """What is returned; where it lies in memory that the next call writes to, a copy."""
        parts, names = [], set()
        for node in nodes:
            text, used = self.text(node)
            while node.name not in self.made and _aliases(node):
                node = node.all_input_nodes[0]
            parts.append(text + ".clone()" * (node.name in self.made))
            names |= used
        return f"[{', '.join(parts)}]", names


def _extent(x: Tensor) -> int:
    """How many numbers lie between its first and its last, both included."""
    if not x.numel():
        return 0
    return 1 + sum((n - 1) * step for n, step in zip(x.shape, x.stride(), strict=True))


def alike(x: Tensor, device: Any = None) -> Tensor:
    """Zeros in the layout of `x`, gaps between rows included: kernels round by it."""
    zeros = torch.zeros(_extent(x), dtype=x.dtype, device=x.device if device is None else device)
    return zeros.as_strided(x.shape, x.stride())


def _view(x: Tensor) -> np.ndarray:
    array: np.ndarray = x.numpy()
    return array


def _alive(lines: list[Line]) -> list[str]:
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


def _aliases(node: Any) -> bool:
    """Whether its value may be a view of what it is given."""
    if node.op != "call_function":
        return False
    schema = getattr(node.target, "_schema", None)
    return schema is None or any(r.alias_info is not None for r in schema.returns)


def _callable(target: Any) -> Callable[..., Any]:
    """What calls a kernel with the least overhead: torch's own binding, where there is one."""
    if not hasattr(target, "_schema"):
        return target
    name = target._schema.name.partition("::")[2]
    for owner in (torch, torch.Tensor):
        found = getattr(owner, name, None)
        if isinstance(found, types.BuiltinFunctionType | types.MethodDescriptorType):
            return found
    return target._op
