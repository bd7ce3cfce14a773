"""Updates as straight-line programs: what autograd does, recorded once and then repeated.

Small networks are bound by autograd's bookkeeping, not by arithmetic. But an update calls the same
kernels in the same order every time: it has no branch on a tensor, and its shapes never change. So
it is recorded, once enough time went into it for that to pay, and from then on these very kernels
are called, in this order, on the same memory, or on CPUs the same arithmetic in numpy (`straight`):
every bit stays the same. `compile` hands a recording to torch's compiler, and a GPU launches one as
a graph.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.learning import kernels
from rlbench.learning.recording import Recording

# Recording takes half a second, and the first as much again for imports: about what a thousand
# calls save.
CALLS, SECONDS = 500, 1.0

Told = dict[str, Tensor]
_LOG = logging.getLogger("rlbench")


def due(calls: int, seconds: float) -> bool:
    """Whether it is time to record what was called so often and took so long."""
    return calls >= CALLS and seconds >= SECONDS


class Program:
    """A function of tensors, named in its calls, that returns tensors by name.

    With `compiled` it is compiled at its first call, and for each other shape of its tensors;
    `compilations` say what that cost.

    It may read tensors that live as long as the program does, and write to them what does not
    depend on what was there: parameters, gradients, constants. What it makes itself of numbers or
    arrays would be the same for ever, and is refused.
    """

    def __init__(self, function: Callable[..., Told], record: bool = True, compiled: bool = False):
        self.function, self.record, self.compiled = function, record, compiled
        self.calls, self.seconds = 0, 0.0  # that were not recorded
        self.compilations: list[dict[str, float]] = []
        self.recordings: dict[Any, Callable[..., Told]] = {}

    def __call__(self, **tensors: Tensor) -> Told:
        if not self.record or not (self.compiled or due(self.calls, self.seconds)):
            begun = time.perf_counter()
            told = self.function(**tensors)
            self.calls, self.seconds = self.calls + 1, self.seconds + time.perf_counter() - begun
            return told
        form = tuple((name, tensor.shape) for name, tensor in tensors.items())
        run = self.recordings.get(form)
        if run is None:
            try:
                run = self.recordings[form] = self._recording(tensors)
            except Exception as error:
                if self.compiled:
                    raise
                # A run is worth more than its speed.
                self.record, reason = False, str(error).partition("\n")[0]
                _LOG.warning("updates go on as they are, not recorded: %s", reason)
                return self.function(**tensors)
        with torch.inference_mode(), np.errstate(all="ignore"):
            return run(*tensors.values())

    def _recording(self, tensors: Told) -> Callable[..., Told]:
        names: list[str] = []

        def ordered(*values: Tensor) -> list[Tensor]:
            told = self.function(**dict(zip(tensors, values, strict=True)))
            names[:] = told
            return list(told.values())

        run = Recording(ordered, list(tensors.values()))
        if self.compiled:
            before = self._per_call(run.straight(), tensors)
            begun = time.perf_counter()
            with kernels.plain():  # the compiler cannot look into ours
                run = Recording(ordered, list(tensors.values()))
            call = run.compiled()
            call(*tensors.values())
            seconds = round(time.perf_counter() - begun, 2)
            after = self._per_call(call, tensors)
            told = {"seconds": seconds, "update_before": before, "update_after": after}
            self.compilations.append(told)
        elif next(iter(tensors.values())).is_cuda:
            call = run.captured(list(tensors.values()))
        else:
            call = run.straight()
        return lambda *values: dict(zip(names, call(*values), strict=True))

    @staticmethod
    def _per_call(call: Callable[..., Any], tensors: Told) -> float:
        """Seconds of a call, the least of five."""
        spent = []
        with torch.inference_mode():
            for _ in range(5):
                begun = time.perf_counter()
                call(*tensors.values())
                spent.append(time.perf_counter() - begun)
        return min(spent)
