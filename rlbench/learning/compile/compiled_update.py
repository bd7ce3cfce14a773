"""Updates that are traced once, after a warm-up, and from then on replayed.

Small networks are bound by autograd's bookkeeping, not by arithmetic. But an update calls the same
kernels in the same order every time: it has no branch on a tensor, and its shapes never change. So
it is traced once enough time went into it for that to pay. From then on these very kernels are
called, in this order, on the same memory, or on CPUs the same arithmetic in numpy (`codegen`):
every bit stays the same. `compile=true` passes the trace to torch's compiler instead, and a GPU
replays it as a CUDA graph.

A trace holds the numbers of Python that the function read, such as coefficients. When one of them
changes, replaying ends with a warning. Attributes of the function's owners are compared before
every call. Changes of anything else (globals, attributes of other objects) are detected when the
function is traced again, after 1, 2, 4, ... and at last every CHECK_EVERY calls.
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

# Tracing takes as long as some twenty calls.
CALLS, SECONDS = 100, 0.2
CHECK_EVERY = 2000  # calls; a check takes as long as up to 30 replays
ALARMS = 10  # checks after a change of an attribute that found no difference

Update = Callable[..., dict[str, Tensor]]  # tensors by name -> tensors by name
_LOG = logging.getLogger("rlbench")


def warmed_up(calls: int, seconds: float) -> bool:
    """Return whether an update was called so often, and took so long, that tracing it pays."""
    return calls >= CALLS and seconds >= SECONDS


def compile_update(
    function: Update,
    *,
    untraced: str = "",
    compiled: bool = False,
    owners: Sequence[Any] = (),
    warm_up: bool = True,
) -> CompiledUpdate:
    """Return a function that gives the results of `function`, and replays it after a warm-up.

    Args:
        function: takes tensors by name and returns tensors by name. It may read tensors that live
            as long as it does (parameters, constants), and may overwrite them but not
            read-modify-write. Numbers of Python that it reads must not change.
        untraced: why it must never be traced, in words; empty where it may be.
        compiled: compile it by torch's compiler at its first call, and again for other shapes.
        owners: objects whose attributes it reads, compared before every call.
        warm_up: False traces at the first call.
    """
    return CompiledUpdate(function, untraced, compiled, owners, warm_up)


class Recorded:
    """A trace with the call that replays it, and when it is to be checked."""

    def __init__(self, call: Update, trace: Trace, source: str) -> None:
        self.call, self.trace, self.source = call, trace, source
        self.check_interval = self.calls_to_check = 1
        self.calls_since_check = 0

    def checked(self) -> None:
        """Double the time to the next check."""
        self.check_interval = min(2 * self.check_interval, CHECK_EVERY)
        self.calls_to_check, self.calls_since_check = self.check_interval, 0


class CompiledUpdate:
    """A function of tensors, by name, that returns tensors by name: see `compile_update`.

    Attributes:
        untraced: why calls are not replayed, in words; empty while they are, or are to be.
        recordings: traces by the shapes and strides of arguments.
        compilations: what each compilation cost, in seconds.
    """

    def __init__(
        self,
        function: Update,
        untraced: str = "",
        compiled: bool = False,
        owners: Sequence[Any] = (),
        warm_up: bool = True,
    ) -> None:
        self.function, self.untraced, self.compiled = function, untraced, compiled
        self.calls, self.seconds = (0, 0.0) if warm_up else (CALLS, SECONDS)  # of the warm-up
        self.compilations: list[dict[str, float]] = []
        self.recordings: dict[Any, Recorded] = {}
        self.reads, self.alarms = Reads(owners), 0

    def program(self) -> str:
        """Return the text of the first program that replays this update, or why there is none."""
        for recorded in self.recordings.values():
            return recorded.source
        return f"# not recorded: {self.untraced or 'still in its warm-up'}\n"

    def __call__(self, **tensors: Tensor) -> dict[str, Tensor]:
        if self.untraced or not (self.compiled or warmed_up(self.calls, self.seconds)):
            begun = time.perf_counter()
            results = self.function(**tensors)
            self.calls, self.seconds = self.calls + 1, self.seconds + time.perf_counter() - begun
            return results
        form = tuple([(name, x.shape, x.stride()) for name, x in tensors.items()])
        recorded, changed = self.recordings.get(form), self.reads.changed()
        if changed:
            for each in self.recordings.values():  # those of other forms may hold it, too
                each.calls_to_check = each.calls_since_check = 0
        if recorded is None:
            try:
                recorded = self.recordings[form] = self._record(tensors)
            except Exception as error:
                if self.compiled:
                    raise
                return self._give_up(str(error).partition("\n")[0], tensors)
        if changed or not recorded.calls_to_check:
            return self._check(recorded, tensors, changed)
        recorded.calls_to_check -= 1
        recorded.calls_since_check += 1
        with torch.inference_mode(), np.errstate(all="ignore"):
            return recorded.call(*tensors.values())

    def _check(
        self, recorded: Recorded, tensors: dict[str, Tensor], changed: str
    ) -> dict[str, Tensor]:
        """Trace the function again, which costs more than a replay, and compare the traces."""
        self.alarms += bool(changed)
        try:
            trace = Trace(self.function, tensors, recorded.trace)
            difference = trace.difference
        except Exception as error:  # one of the function's own is raised again below
            trace, difference = None, str(error).partition("\n")[0]
        if trace is None or difference or self.alarms > ALARMS:
            reason = "; ".join(filter(None, (changed, difference)))
            if recorded.calls_since_check and not changed:
                reason += (
                    f" within the last {recorded.calls_since_check:,} updates, "
                    "which had the old one"
                )
            return self._give_up(reason, tensors)
        self.reads.keep()
        recorded.checked()
        if not self.compiled:
            return trace.results
        with torch.inference_mode():
            return recorded.call(*tensors.values())

    def _give_up(self, reason: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Go on untraced: a run is worth more than its speed."""
        self.untraced = reason
        self.recordings.clear()
        _LOG.warning("updates are not recorded any more, which is slower: %s", reason)
        return self.function(**tensors)

    def _record(self, tensors: dict[str, Tensor]) -> Recorded:
        with self.reads.noting():
            run = UpdateTrace(self.function, tensors)
        generated = run.generated()
        if self.compiled:
            before = self._per_call(generated.call, tensors)
            begun = time.perf_counter()
            with dense_kernels.torch_kernels_only():  # the compiler cannot look into ours
                call = UpdateTrace(self.function, tensors).compiled()
            call(*tensors.values())
            seconds = round(time.perf_counter() - begun, 2)
            after = self._per_call(call, tensors)
            cost = {"seconds": seconds, "update_before": before, "update_after": after}
            self.compilations.append(cost)
        elif next(iter(tensors.values())).is_cuda:
            call = run.captured(generated.call, list(tensors.values()))
        else:
            call = generated.call
        names = list(run.results)
        return Recorded(
            lambda *values: dict(zip(names, call(*values), strict=True)),
            run.trace,
            generated.source,
        )

    @staticmethod
    def _per_call(call: Callable[..., Any], tensors: dict[str, Tensor]) -> float:
        """Return the seconds of a call, the least of five."""
        spent = []
        with torch.inference_mode():
            for _ in range(5):
                begun = time.perf_counter()
                call(*tensors.values())
                spent.append(time.perf_counter() - begun)
        return min(spent)
