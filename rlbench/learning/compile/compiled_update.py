"""Updates as straight-line programs: what autograd does, recorded once and then repeated.

Small networks are bound by autograd's bookkeeping, not by arithmetic. But an update calls the same
kernels in the same order every time: it has no branch on a tensor, and its shapes never change. So
it is recorded, once enough time went into it for that to pay, and from then on these very kernels
are called, in this order, on the same memory, or on CPUs the same arithmetic in numpy (`straight`):
every bit stays the same. `compile` hands a recording to torch's compiler, and a GPU launches one as
a graph.

A recording holds the numbers that the function read, such as coefficients. Where one of these
changes, updates go on without a recording. Attributes of the function's owner are compared before
every call. Everything else (globals, attributes of other objects) is found when the function is
traced again, after 1, 2, 4, ... and at last every CHECK_EVERY calls.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.compile import dense_kernels
from rlbench.learning.compile.kernel_trace import Trace
from rlbench.learning.compile.python_reads import Reads
from rlbench.learning.compile.trace import UpdateTrace

# Recording takes as long as some twenty calls.
CALLS, SECONDS = 100, 0.2
CHECK_EVERY = 2000  # calls; a check takes as long as up to 30 recorded calls
ALARMS = 10  # checks after a change of an attribute that found no difference

Told = dict[str, Tensor]
_LOG = logging.getLogger("rlbench")


def warmed_up(calls: int, seconds: float) -> bool:
    """Whether it is time to record what was called so often and took so long."""
    return calls >= CALLS and seconds >= SECONDS


class Recorded:
    """A recording as it is called, and when it is to be checked."""

    def __init__(self, call: Callable[..., Told], trace: Trace) -> None:
        self.call, self.trace = call, trace
        self.wait = self.left = 1  # calls between two checks, and before the next
        self.made = 0  # calls since the last check

    def checked(self) -> None:
        """Wait longer for the next check."""
        self.wait = min(2 * self.wait, CHECK_EVERY)
        self.left, self.made = self.wait, 0


class CompiledUpdate:
    """A function of tensors, named in its calls, that returns tensors by name.

    With `compiled` it is compiled at its first call, and for each other form of its tensors;
    `compilations` say what that cost.

    It may read tensors that live as long as the program does, and write to them what does not
    depend on what was there: parameters, gradients, constants. What it makes itself of numbers or
    arrays would be the same for ever, and is refused. Numbers of Python that it reads should not
    change: see the module. `owners` are objects that it reads such numbers from.
    """

    def __init__(
        self,
        function: Callable[..., Told],
        record: bool = True,
        compiled: bool = False,
        owners: Sequence[Any] = (),
    ) -> None:
        self.function, self.record, self.compiled = function, record, compiled
        self.calls, self.seconds = 0, 0.0  # that were not recorded
        self.compilations: list[dict[str, float]] = []
        self.recordings: dict[Any, Recorded] = {}
        self.reads, self.alarms = Reads(owners), 0

    def __call__(self, **tensors: Tensor) -> Told:
        if not self.record or not (self.compiled or warmed_up(self.calls, self.seconds)):
            begun = time.perf_counter()
            told = self.function(**tensors)
            self.calls, self.seconds = self.calls + 1, self.seconds + time.perf_counter() - begun
            return told
        form = tuple([(name, x.shape, x.stride()) for name, x in tensors.items()])
        recorded, changed = self.recordings.get(form), self.reads.changed()
        if changed:
            for each in self.recordings.values():  # those of other forms may hold it, too
                each.left = each.made = 0
        if recorded is None:
            try:
                recorded = self.recordings[form] = self._recording(tensors)
            except Exception as error:
                if self.compiled:
                    raise
                return self._give_up(str(error).partition("\n")[0], tensors)
        if changed or not recorded.left:
            return self._check(recorded, tensors, changed)
        recorded.left, recorded.made = recorded.left - 1, recorded.made + 1
        with torch.inference_mode(), np.errstate(all="ignore"):
            return recorded.call(*tensors.values())

    def _check(self, recorded: Recorded, tensors: Told, changed: str) -> Told:
        """Call the function, which costs more than its recording, and compare what it does."""
        self.alarms += bool(changed)
        try:
            trace = Trace(self.function, tensors, recorded.trace)
            found = trace.difference
        except Exception as error:  # one of the function's own is raised again below
            trace, found = None, str(error).partition("\n")[0]
        if trace is None or found or self.alarms > ALARMS:
            reason = "; ".join(filter(None, (changed, found)))
            if recorded.made and not changed:
                reason += f" within the last {recorded.made:,} updates, which had the old one"
            return self._give_up(reason, tensors)
        self.reads.keep()
        recorded.checked()
        if not self.compiled:
            return trace.results
        with torch.inference_mode():
            return recorded.call(*tensors.values())

    def _give_up(self, reason: str, tensors: Told) -> Told:
        """Go on without a recording: a run is worth more than its speed."""
        self.record = False
        self.recordings.clear()
        _LOG.warning("updates are not recorded any more, which is slower: %s", reason)
        return self.function(**tensors)

    def _recording(self, tensors: Told) -> Recorded:
        with self.reads.noting():
            run = UpdateTrace(self.function, tensors)
        if self.compiled:
            before = self._per_call(run.straight(), tensors)
            begun = time.perf_counter()
            with dense_kernels.torch_kernels_only():  # the compiler cannot look into ours
                call = UpdateTrace(self.function, tensors).compiled()
            call(*tensors.values())
            seconds = round(time.perf_counter() - begun, 2)
            after = self._per_call(call, tensors)
            told = {"seconds": seconds, "update_before": before, "update_after": after}
            self.compilations.append(told)
        elif next(iter(tensors.values())).is_cuda:
            call = run.captured(list(tensors.values()))
        else:
            call = run.straight()
        names = list(run.results)
        return Recorded(lambda *values: dict(zip(names, call(*values), strict=True)), run.trace)

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
