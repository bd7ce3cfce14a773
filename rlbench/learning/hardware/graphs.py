"""Captured graphs: work that a GPU repeats by one launch.

A captured function reads and writes memory that stays where it is. A graph repeats its kernels with
the numbers of Python that they were called with, so what changes from call to call has to be in
device memory: `transfer.Packet` fills such memory from the host. No other file names CUDA's graphs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

WARM_UP = 3  # calls before a capture, in which libraries choose their kernels
_LOG = logging.getLogger("rlbench")


def used(device: torch.device) -> bool:
    """Return whether work on this device is captured."""
    return device.type == "cuda"


def warm_up(function: Callable[[], Any], device: torch.device) -> Any:
    """Call a function on a stream of its own, as it is going to be captured; returns its result."""
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = function()
        torch.cuda.current_stream().wait_stream(stream)
    return result


def capture(function: Callable[[], Any], device: torch.device) -> tuple[Callable[[], None], Any]:
    """Capture a function and launch it once.

    Returns what launches it again, and what it returned: tensors that every launch overwrites.
    """
    with torch.cuda.device(device):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = function()
        graph.replay()
    return graph.replay, result


class Captured(NamedTuple):
    """A captured call: what launches it, its result, and what it adds to each counter."""

    launch: Callable[[], None]
    result: Any
    added: list[int]


class Graphs:
    """A function of static memory and a few numbers, with a graph for each of these.

    Args:
        function: takes the numbers, returns tensors.
        device: where its memory is.
        counters: objects and the attributes that it counts in on the host, as a launch of a graph
            does too. It has no other effect on the host.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        device: torch.device,
        counters: Sequence[tuple[Any, str]] = (),
    ) -> None:
        self.function, self.device, self.counters = function, device, counters
        self.captured: dict[tuple[int, ...], Captured] = {}
        self.calls: dict[tuple[int, ...], int] = {}
        self.failure = ""  # why it cannot be captured

    def __call__(self, *numbers: int) -> Any:
        """Return the result for these numbers; the next call overwrites its tensors."""
        known = self.captured.get(numbers)
        if known is not None:
            known.launch()
            for (owner, name), more in zip(self.counters, known.added, strict=True):
                setattr(owner, name, getattr(owner, name) + more)
            return known.result
        calls = self.calls[numbers] = self.calls.get(numbers, 0) + 1
        if self.failure or calls <= WARM_UP:
            return warm_up(lambda: self.function(*numbers), self.device)
        before = self._counts()
        try:
            launch, result = capture(lambda: self.function(*numbers), self.device)
        except RuntimeError as error:
            self.failure = str(error).partition("\n")[0]
            _LOG.warning("work is not captured, which is slower: %s", self.failure)
            for (owner, name), count in zip(self.counters, before, strict=True):
                setattr(owner, name, count)
            return self.function(*numbers)
        added = [now - count for now, count in zip(self._counts(), before, strict=True)]
        self.captured[numbers] = Captured(launch, result, added)
        return result

    def forget(self) -> None:
        """Drop all graphs, since memory that they use is elsewhere now."""
        self.captured.clear()

    def _counts(self) -> list[int]:
        return [getattr(owner, name) for owner, name in self.counters]
