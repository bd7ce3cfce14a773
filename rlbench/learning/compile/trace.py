"""What a function of tensors does, as a graph of kernels, and ways to do it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, fx

from rlbench.learning.compile.codegen import CodeGenerator, alike
from rlbench.learning.compile.kernel_trace import Function, Trace


class UpdateTrace:
    """What a function does with tensors of this form, as a graph of kernels.

    It was run for that, with `results`.

    Raises:
        RuntimeError: it would not do the same again.
    """

    def __init__(self, function: Function, inputs: Mapping[str, Tensor]) -> None:
        self.trace = Trace(function, inputs)
        again = Trace(function, inputs, self.trace)
        if again.difference:
            raise RuntimeError(f"two calls differ: {again.difference}")
        self.results = again.results
        self.graph, self.constants = self.trace.graph(), self.trace.held()
        self.cpu = all(tensor.is_cpu for tensor in inputs.values())

    def straight(self) -> Callable[..., Sequence[Tensor]]:
        """The kernels one after the other, as Python code without anything between them."""
        return CodeGenerator(self.graph, self.constants, self.cpu).function()

    def compiled(self) -> Callable[..., Sequence[Tensor]]:
        """The same by torch's compiler, which fuses kernels: sums are rounded in another order."""
        from torch._inductor import config

        config.compile_threads = 1  # other processes for it take longer to start than they save
        module = fx.GraphModule(self.constants, self.graph)
        call = torch.compile(module, fullgraph=True, dynamic=False)

        def run(*values: Tensor) -> Sequence[Tensor]:
            with torch.inference_mode(False), torch.no_grad():
                return call(*values)

        return run

    @torch.no_grad()
    def captured(self, examples: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]]:
        """The kernels as one CUDA graph: one launch for all of them."""
        straight = self.straight()
        held = [alike(value) for value in examples]
        for mine, value in zip(held, examples, strict=True):
            mine.copy_(value)
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
