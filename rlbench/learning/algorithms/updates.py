"""Rounds of an agent's updates: one after the other, or on a GPU as one captured graph.

`agent.update` is the same function for both. What changes between two updates and is no parameter
comes to it in one of two ways: random numbers from `TensorDraws`, and numbers of the host by
`Updates.number`. A graph finds both in device memory, which is filled before it is launched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from rlbench.learning.hardware import graphs
from rlbench.learning.hardware.precision import forward, products, widened
from rlbench.learning.optim.learner import Learner

MOST = 32  # updates in one launch


class Supply(Protocol):
    """What an update takes the next of, and counts in `position`, or in its stream's."""

    resident: bool  # whether it is on a GPU

    def ready(self) -> int:
        """Have the next ones there, and return how many there are that are alike."""


class Updates:
    """Runs `agent.update`, which takes one gradient step of every seed and leaves `agent.metrics`.

    Args:
        agent: whose updates they are, with its learners and optimisers built.
        draws: what an update takes the next of, once: random numbers, minibatches.
        optimizers: those that belong to no learner.
        phase: number on which the course of the next update depends.
    """

    def __init__(
        self,
        agent: Any,
        draws: Sequence[Supply | None],
        optimizers: Sequence[Any] = (),
        phase: Callable[[], int] = lambda: 0,
    ) -> None:
        self.agent, self.phase = agent, phase
        learners = agent.learners()
        self.whole = graphs.used(agent.device) and capturable(agent, learners)
        self.draws = [each for each in draws if each is not None and each.resident]
        counters: list[tuple[Any, str]] = [(learner, "samples") for learner in learners]
        optimizers = [*(learner.optimizer for learner in learners), *optimizers]
        counters += [(optimizer, "updates") for optimizer in optimizers]
        counters += [(getattr(each, "stream", each), "position") for each in self.draws]
        self.learners: list[Learner] = learners
        for learner in learners:
            learner.whole = self.whole
        self.graphs = graphs.Graphs(self._round, agent.device, counters)
        self.memory: dict[str, Tensor] = {}  # of `static`
        self.others: dict[Callable[..., Any], graphs.Graphs] = {}  # of `once`
        self.numbers: dict[Callable[[], float], tuple[Tensor, list[float]]] = {}

    def number(self, value: Callable[[], Any]) -> Any:
        """Return a number that an update reads and that changes: on a GPU a scalar there.

        Rows of different settings, which are trained on CPUs only, may have a number each.
        """
        if not self.whole:
            return value()
        if value not in self.numbers:
            now = value()
            self.numbers[value] = torch.full((), now, device=self.agent.device), [now]
        return self.numbers[value][0]

    def run(self, count: int) -> None:
        """Take this many updates; their metrics are in `agent.metrics`."""
        if not self.whole:
            for _ in range(count):
                for each in self.draws:
                    each.ready()
                self.agent.update()
            return
        begun = time.perf_counter()
        if count:
            self._send_numbers()
        while count:
            some = min([count, MOST, *(each.ready() for each in self.draws)])
            self.agent.metrics |= self.graphs(some, self.phase())
            count -= some
        self.learners[0].seconds += time.perf_counter() - begun

    def once(self, function: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the tensors that a function makes of device memory: captured, where updates are.

        Another call overwrites them.
        """
        if not self.whole:
            return function()
        if function not in self.others:
            self.others[function] = graphs.Graphs(
                lambda: self._computed(function), self.agent.device
            )
        return self.others[function]()

    def _computed(self, function: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Tensors that a function makes, by the agent's precision."""
        kind, device = self.agent.config.precision, self.agent.device
        with products(kind, device), forward(kind, device):
            return {name: widened(tensor) for name, tensor in function().items()}

    def static(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors that updates read; where they are captured, in memory that stays."""
        if not self.whole:
            return tensors
        for name, tensor in tensors.items():
            if name not in self.memory:
                self.memory[name] = torch.empty_like(tensor)
            self.memory[name].copy_(tensor)
        return dict(self.memory)

    def forget(self) -> None:
        """Capture anew, since memory that updates read is elsewhere now."""
        self.graphs.forget()

    def _send_numbers(self) -> None:
        for value, (there, sent) in self.numbers.items():
            now = value()
            if now != sent[0]:
                there.fill_(now)
                sent[0] = now

    def _round(self, count: int, phase: int) -> dict[str, Any]:
        """Take updates in this phase; returns their last metrics."""
        agent, before = self.agent, self.agent.metrics
        agent.metrics = {}
        try:
            for _ in range(count):
                agent.update()
            return agent.metrics
        finally:
            agent.metrics = before


def capturable(agent: Any, learners: Sequence[Learner]) -> bool:
    """Return whether nothing in an update is known to draw numbers or to change on the host.

    Agents of users, their modules and dropout may; `record=false` says so; and torch's compiler
    takes gradients alone.
    """
    config = agent.config
    ours = type(agent).__module__.startswith("rlbench.")
    drawing = any(learner.network.drawing() for learner in learners)
    return ours and config.record and not config.compile and not drawing
