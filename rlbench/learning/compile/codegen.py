"""Code generation: a traced update as a Python function that calls its kernels one by one.

On CPUs every small result has a static buffer, the same in every call. Views of static memory are
made once, beforehand, and most of what is left is arithmetic on arrays, for which numpy needs a
fifth of the time that torch does (`elementwise_rules`): an update of small networks is dozens of
calls, whose machinery also drives everything else out of the processor's caches.

The text of the function is the same for the same graph: names are numbered in the order in which
they appear.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.compile.dense_kernels import KERNELS, Kernel, array
from rlbench.learning.compile.elementwise_rules import RULES
from rlbench.learning.compile.indexing_rules import op_name

_VIEWS = {"transpose", "unsqueeze", "squeeze", "view", "expand", "select", "t", "permute", "slice"}
SMALL = 65_536  # elements: larger results are allocated in every call, so that memory is reused


class GeneratedUpdate(NamedTuple):
    """A generated function of the update's tensors in their order, and its text."""

    call: Callable[..., Sequence[Tensor]]
    source: str


class Line(NamedTuple):
    """A statement: the variable that it assigns, if any, and the variables that it reads.

    `name` is None for the function's return.
    """

    name: str | None
    expression: str
    used: set[str]


class CodeGenerator:
    """Generates a Python function from a graph of kernels.

    Attributes:
        static: tensors that lie in the same memory in every call, by node.
        overwritten: nodes among them whose memory every call writes anew.
    """

    def __init__(self, graph: Any, constants: dict[str, Tensor], cpu: bool) -> None:
        self.scope: dict[str, Any] = {}  # what the text refers to, by name
        self.static: dict[str, Tensor] = {}
        self.overwritten: set[str] = set()
        self.destinations: dict[str, Tensor] = {}  # where results are written instead, by node
        self.pending_copies: dict[str, tuple[Any, ...]] = {}  # arguments that copies still have
        self.aliases: dict[str, str] = {}  # nodes that are another node
        self.lines: list[Line] = []
        self.views: list[str] = []  # comments
        self.nodes, self.cpu = list(graph.nodes), cpu
        self._names: dict[Any, str] = {}  # in `scope`, by identity of the value
        self._taken = {node.name for node in self.nodes}  # variables of the function, and names
        for node in self.nodes:
            if node.op == "get_attr":
                self.static[node.name] = constants[node.target].detach()
            elif node.op == "call_function" and op_name(node) == "_foreach_copy_":
                self._redirect_outputs(node)

    def generate(self) -> GeneratedUpdate:
        """Write the function and compile it."""
        arguments = [node.name for node in self.nodes if node.op == "placeholder"]
        for node in self.nodes:
            if node.op == "placeholder" and self.has_static_buffer(node):
                copy, buffer = self.name_for(np.copyto), self.buffer(node)
                self.emit(f"{copy}({buffer}, {node.name}.numpy())", {node.name})
            elif node.op == "call_function":
                self._emit_node(node)
            elif node.op == "output":
                self.lines.append(self._return(node.args[0]))
        body = "\n".join(f"    {line}" for line in _with_deletions(self.lines))
        source = f"{self._legend()}def update({', '.join(arguments)}):\n{body}\n"
        exec(compile(source, "<update>", "exec"), self.scope)
        return GeneratedUpdate(self.scope["update"], source)

    # For rules.

    def value(self, node: Any) -> Tensor:
        """Return the tensor of a node as far as its type and shape go."""
        return self.static[node.name] if node.op == "get_attr" else node.meta["val"]

    def dtypes(self, node: Any) -> set[torch.dtype]:
        """Return the types of a node's arguments and its result."""
        return {self.value(n).dtype for n in (*node.all_input_nodes, node)}

    def has_static_buffer(self, node: Any) -> bool:
        """Return whether the result of a node is small enough for a buffer of its own."""
        return self.cpu and _extent(node.meta["val"]) <= SMALL

    def buffer(self, node: Any) -> str:
        """Allocate the static buffer of a node, and return its name as an array."""
        tensor = self.destinations.get(node.name)
        if tensor is None:
            tensor = zeros_in_layout_of(node.meta["val"], "cpu")
        self.static[node.name] = tensor
        self.overwritten.add(node.name)
        return self.name_for(tensor.numpy(), f"{node.name}_array")

    def emit(self, text: str, names: set[str] | None = None) -> None:
        """Add a statement that assigns nothing and reads the variables `names`."""
        self.lines.append(Line("", text, names or set()))

    def emit_call(self, function: Any, *values: Any, out: str) -> None:
        """Add `function(*values, out=out)` for nodes, numbers, or names of arrays."""
        texts, names = [], set()
        for value in values:
            text, used = (value, set()) if isinstance(value, str) else self.array_argument(value)
            texts.append(text)
            names |= used
        self.emit(f"{self.name_for(function)}({', '.join(texts)}, out={out})", names)

    def emit_copy(self, to: str, value: Any, where: Any = None) -> None:
        """Add a copy into an array, of all elements or of those where a node is true."""
        (text, names), condition = self.array_argument(value), ""
        if where is not None:
            mask, more = self.array_argument(where)
            condition, names = f", where={mask}", names | more
        self.emit(f"{self.name_for(np.copyto)}({to}, {text}{condition})", names)

    def argument(
        self, value: Any, convert: Callable[[Tensor], Any] | None = None
    ) -> tuple[str, set[str]]:
        """Return an argument as text, and the variables in it.

        Tensors are passed through `convert`: beforehand, where the result shares static memory.
        """
        if isinstance(value, torch.fx.Node):
            name = self.aliases.get(value.name, value.name)
            if name not in self.static:
                return (f"{self.name_for(convert)}({name})" if convert else name), {name}
            static = self.static[name]
            if convert is None:
                return self.name_for(static, f"{name}_tensor"), set()
            converted = convert(static)
            if converted.ctypes.data == static.data_ptr():
                return self.name_for(converted, f"{name}_array"), set()
            return f"{self.name_for(convert)}({self.name_for(static, f'{name}_tensor')})", set()
        if isinstance(value, list | tuple):
            parts = [self.argument(each) for each in value]
            return f"[{', '.join(p for p, _ in parts)}]", {n for _, names in parts for n in names}
        if value is None or isinstance(value, bool | int | float | str):
            text = repr(value)
            return (f"float('{text}')" if text in ("inf", "-inf", "nan") else text), set()
        return self.name_for(value), set()

    def array_argument(self, value: Any) -> tuple[str, set[str]]:
        """Return an argument as text, with tensors as arrays on their memory, and its variables."""
        return self.argument(value, _as_array)

    def name_for(self, value: Any, hint: str = "") -> str:
        """Return the name of a value in the text, the same for arrays on the same memory."""
        key: Any = id(value)
        if isinstance(value, np.ndarray):
            key = value.ctypes.data, value.dtype, value.shape, value.strides
        if key in self._names:
            return self._names[key]
        if not hint and callable(value):
            library = str(getattr(value, "__module__", None) or "torch").partition(".")[0]
            library = "np" if isinstance(value, np.ufunc) or library == "numpy" else library
            hint = f"{library}_{getattr(value, '__name__', 'kernel').lstrip('_')}"
        elif not hint:
            text = str(value).replace(".", "_")
            hint = text if text.isidentifier() else type(value).__name__
        name, count = hint, 1
        while name in self._taken:
            name, count = f"{hint}_{count + 1}", count + 1
        self._taken.add(name)
        self.scope[name] = value  # which keeps it, and so its id and memory, alive
        self._names[key] = name
        return name

    # Nodes.

    def _legend(self) -> str:
        """Return comments that describe arguments, constants, and views made beforehand."""
        text = ""
        for kind, operation in (("arguments", "placeholder"), ("constants", "get_attr")):
            text += f"# {kind}\n"
            for node in (node for node in self.nodes if node.op == operation):
                x = self.value(node)
                text += f"#   {node.name}: {str(x.dtype)[6:]} {tuple(x.shape)}\n"
        return "\n".join([f"{text}# views", *self.views, ""])

    def _emit_node(self, node: Any) -> None:
        """Add the statements of a node, unless it is static or an alias."""
        name, inputs = op_name(node), node.all_input_nodes
        if name in ("detach", "alias"):
            source = inputs[0].name
            if source in self.static:
                self.static[node.name] = self.static[source]
            else:
                self.aliases[node.name] = self.aliases.get(source, source)
        elif self.pending_copies.get(node.name) == ():
            pass  # all results are written to where they would be copied
        elif name in _VIEWS and all(n.name in self.static for n in inputs):
            self.views.append(f"#   {node.name}: {name}{tuple(node.args)}")
            with torch.no_grad():  # a view of static memory is static
                self.static[node.name] = node.target(
                    *(self.static[a.name] if a in inputs else a for a in node.args), **node.kwargs
                )
        elif name in KERNELS and node.target.namespace == "rlbench":
            self._emit_own_kernel(node, KERNELS[name])
        elif not (name in RULES and self.has_static_buffer(node) and RULES[name](self, node)):
            self._emit_torch_kernel(node)

    def _emit_torch_kernel(self, node: Any) -> None:
        """Add a call of torch's own kernel."""
        call = self.name_for(_callable(node.target), f"torch_{op_name(node).lstrip('_')}")
        positional, names = self.argument(list(self.pending_copies.get(node.name, node.args)))
        named = []
        for key, value in node.kwargs.items():
            text, more = self.argument(value)
            named.append(f"{key}={text}")
            names |= more
        text = f"{call}({', '.join([positional[1:-1], *named])})"
        self.lines.append(Line(node.name, text, names))

    def _emit_own_kernel(self, node: Any, kernel: Kernel) -> None:
        """Add a call of a kernel of ours, which writes into a static buffer."""
        out = self.buffer(node)
        texts = [self.name_for(self.static[node.name], f"{node.name}_tensor"), out]
        names: set[str] = set()
        for value in node.args:
            text, used = self.argument(value, array)
            texts.append(text)
            names |= used
        self.emit(f"{self.name_for(kernel.fill)}({', '.join(texts)})", names)

    def _redirect_outputs(self, copy: Any) -> None:
        """Have kernels of ours write to where their results would be copied.

        These are gradients, which nothing reads before all are there.
        """
        pairs = list(zip(*copy.args, strict=True))
        for to, result in pairs:
            ours = str(result.target).startswith("rlbench.") and len(result.users) == 1
            if ours and to.op == "get_attr" and self.value(to).shape == self.value(result).shape:
                self.destinations[result.name] = self.static[to.name]
        pending = [(to, result) for to, result in pairs if result.name not in self.destinations]
        self.pending_copies[copy.name] = tuple(map(list, zip(*pending, strict=True)))

    def _return(self, nodes: Sequence[Any]) -> Line:
        """Return results; a copy of those in memory that the next call overwrites."""
        parts, names = [], set()
        for node in nodes:
            text, used = self.argument(node)
            while node.name not in self.overwritten and _may_be_view(node):
                node = node.all_input_nodes[0]
            parts.append(text + ".clone()" * (node.name in self.overwritten))
            names |= used
        return Line(None, f"[{', '.join(parts)}]", names)


def _extent(x: Tensor) -> int:
    """Return how many elements lie between the first and the last in memory, both included."""
    if not x.numel():
        return 0
    return 1 + sum((n - 1) * step for n, step in zip(x.shape, x.stride(), strict=True))


def zeros_in_layout_of(x: Tensor, device: Any = None) -> Tensor:
    """Return zeros with the strides of `x`, gaps between rows included: kernels round by them."""
    zeros = torch.zeros(_extent(x), dtype=x.dtype, device=x.device if device is None else device)
    return zeros.as_strided(x.shape, x.stride())


def _as_array(x: Tensor) -> np.ndarray:
    array: np.ndarray = x.numpy()
    return array


def _with_deletions(lines: list[Line]) -> list[str]:
    """Emit `del` after a variable's last use, so that its memory is reused."""
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


def _may_be_view(node: Any) -> bool:
    """Return whether the value of a node may be a view of its first argument."""
    if node.op != "call_function":
        return False
    schema = getattr(node.target, "_schema", None)
    return schema is None or any(r.alias_info is not None for r in schema.returns)


def _callable(target: Any) -> Callable[..., Any]:
    """Return what calls a kernel with the least overhead: torch's own binding, if there is one."""
    if not hasattr(target, "_schema"):
        return target
    name = target._schema.name.partition("::")[2]
    for owner in (torch, torch.Tensor):
        binding = getattr(owner, name, None)
        if isinstance(binding, types.BuiltinFunctionType | types.MethodDescriptorType):
            return binding
    return target._op
