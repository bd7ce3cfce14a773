"""What a function of tensors does, as a graph of kernels, and ways to do it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rlbench.learning.kernels import watched
from rlbench.learning.straight import Writer


class Recording:
    """What a function of tensors does, as a graph of kernels and the constants they touch."""

    def __init__(
        self, function: Callable[..., Sequence[Tensor]], examples: Sequence[Tensor]
    ) -> None:
        from torch.fx.experimental.proxy_tensor import make_fx  # takes half a second

        # Twice: a tensor that was there before is the same in both.
        with watched():
            self.module, again = (make_fx(function)(*examples) for _ in range(2))
        self.module.graph.eliminate_dead_code()  # gradients that nobody asked for
        self.module.recompile()
        names = {node.target for node in self.module.graph.nodes if node.op == "get_attr"}
        self.cpu = all(example.is_cpu for example in examples)
        self.constants = {name: getattr(self.module, name) for name in names}
        made = [name for name, it in self.constants.items() if it is not getattr(again, name)]
        if made:
            found = ", ".join(str(tuple(self.constants[name].shape)) for name in made)
            raise RuntimeError(f"an update made constants of its own, of shapes {found}")

    def straight(self) -> Callable[..., Sequence[Tensor]]:
        """The kernels one after the other, as Python code without anything between them."""
        return Writer(self.module.graph, self.constants, self.cpu).function()

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
