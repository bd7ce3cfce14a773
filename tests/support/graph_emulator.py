"""Captured graphs without a GPU: on a CPU, and just as forgetful of everything but memory.

A graph repeats the kernels of one call, on the same memory, with the numbers of Python that they
had then. `EmulatedGraph` does that with torch's kernels on a CPU, so that an agent is trained as
on a GPU and compared with its ordinary training: what is not in memory shows as a wrong number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rlbench.learning.compile import dense_kernels
from rlbench.learning.hardware import graphs

_READ = torch.ops.aten._local_scalar_dense.default


class _Recording(TorchDispatchMode):
    """Runs kernels and keeps them, with the very tensors that they had and made."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(
        self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if kernel is _READ:
            raise RuntimeError("operation not permitted when stream is capturing: a value is read")
        kwargs = kwargs or {}
        result = kernel(*args, **kwargs)
        returned = kernel._schema.returns
        # In inference mode `reshape` and the like arrive whole, and copy where they have to.
        copied = not _memory(_tensors(result)) & _memory(tree_leaves((args, kwargs)))
        if copied or all(one.alias_info is None for one in returned):
            self.calls.append((kernel, args, kwargs, _tensors(result)))
        elif any(one.alias_info is not None and one.alias_info.is_write for one in returned):
            self.calls.append((kernel, args, kwargs, []))
        return result  # views are of memory that stays


class EmulatedGraph:
    """The kernels of one call of a function, to be repeated."""

    launched = 0  # in all

    def __init__(self, function: Callable[[], Any]) -> None:
        recording = _Recording()
        with dense_kernels.tracing(), recording:
            self.result = function()
        self.calls = recording.calls

    def replay(self) -> None:
        """Repeat the kernels, each on the memory that it had."""
        EmulatedGraph.launched += 1
        with torch.inference_mode():
            for kernel, args, kwargs, kept in self.calls:
                made = kernel(*args, **kwargs)
                for old, new in zip(kept, _tensors(made) if kept else [], strict=True):
                    old.copy_(new)


def _memory(values: Iterable[Any]) -> set[int]:
    """Return where the memory of tensors begins."""
    return {x.untyped_storage().data_ptr() for x in values if isinstance(x, Tensor)}


def _tensors(result: Any) -> list[Tensor]:
    each = result if isinstance(result, list | tuple) else [result]
    return [x for x in each if isinstance(x, Tensor)]


def capture(function: Callable[[], Any], device: torch.device) -> tuple[Callable[[], None], Any]:
    graph = EmulatedGraph(function)
    return graph.replay, graph.result


@contextmanager
def emulated() -> Iterator[None]:
    """Agents that are built in this context take the way of a GPU, with emulated graphs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, "used", lambda device: True)
        patch.setattr(graphs, "warm_up", lambda function, device: function())
        patch.setattr(graphs, "capture", capture)
        EmulatedGraph.launched = 0
        yield
