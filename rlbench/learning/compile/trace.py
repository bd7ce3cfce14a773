"""The trace of an update as a graph of kernels, and the ways to replay it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, fx

from rlbench.learning.compile.codegen import CodeGenerator, GeneratedUpdate, zeros_in_layout_of
from rlbench.learning.compile.kernel_trace import Function, Trace
from rlbench.learning.hardware import graphs


class UpdateTrace:
    """The kernels that a function calls for tensors of these shapes, as a graph.

    The function is run twice for that; `results` are those of the second run.

    Raises:
        RuntimeError: the two runs differ, so that replaying one would not do the same.
    """

    def __init__(self, function: Function, inputs: Mapping[str, Tensor]) -> None:
        self.trace = Trace(function, inputs)
        again = Trace(function, inputs, self.trace)
        if again.difference:
            raise RuntimeError(f"two calls differ: {again.difference}")
        self.results = again.results
        self.graph, self.constants = self.trace.graph(), self.trace.held()
        self.cpu = all(tensor.is_cpu for tensor in inputs.values())

    def generated(self) -> GeneratedUpdate:
        """Return the kernels one after the other, as Python code with nothing between them."""
        return CodeGenerator(self.graph, self.constants, self.cpu).generate()

    def compiled(self) -> Callable[..., Sequence[Tensor]]:
        """Return the graph compiled by torch, which fuses kernels and rounds sums otherwise."""
        from torch._inductor import config

        config.compile_threads = 1  # other processes for it take longer to start than they save
        module = fx.GraphModule(self.constants, self.graph)
        call = torch.compile(module, fullgraph=True, dynamic=False)

        def run(*values: Tensor) -> Sequence[Tensor]:
            with torch.inference_mode(False), torch.no_grad():
                return call(*values)

        return run

    @staticmethod
    @torch.no_grad()
    def captured(
        call: Callable[..., Sequence[Tensor]], examples: Sequence[Tensor]
    ) -> Callable[..., Sequence[Tensor]]:
        """Return a generated update as a CUDA graph, which launches all kernels at once."""
        buffers = [zeros_in_layout_of(value) for value in examples]
        for buffer, value in zip(buffers, examples, strict=True):
            buffer.copy_(value)
        device = examples[0].device
        for _ in range(graphs.WARM_UP):  # gradients are overwritten
            graphs.warm_up(lambda: call(*buffers), device)
        launch, outputs = graphs.capture(lambda: call(*buffers), device)

        def run(*values: Tensor) -> Sequence[Tensor]:
            for buffer, value in zip(buffers, values, strict=True):
                buffer.copy_(value)
            launch()
            return [output.clone() for output in outputs]

        return run
