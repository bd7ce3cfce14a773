"""Choice of the device that tensors live on.

Where there is a GPU, `auto` times both devices once for every shape of agent (`device_timing`);
what cannot be timed is judged by the size of an update.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch

from rlbench.errors import UserError
from rlbench.learning.hardware import device_timing
from rlbench.learning.hardware.device_timing import Trial
from rlbench.learning.hardware.failures import explained
from rlbench.user_code.imports import first_line

# Multiply-adds of an update from which a GPU is expected to be faster. A core of a CPU needs some 2
# ms for so many, forwards and backwards; a GPU spends as long on launching kernels and on sending
# the observations and actions of the steps between two updates. An estimate, not a measurement.
LARGE = 20_000_000


class UpdateSize(NamedTuple):
    """Size of an update of all seeds: multiply-adds of one pass, and whether it reads images."""

    size: int
    images: bool


class Choice(NamedTuple):
    """A device, and why it is that one: in brackets, empty where there was no choice."""

    device: torch.device
    reason: str = ""


def choose(
    name: str | torch.device,
    work: Callable[[], UpdateSize] | None = None,
    trial: Callable[[], Trial | None] | None = None,
) -> Choice:
    """Return what `auto` (the faster one), `cpu`, `cuda` or `cuda:i` means.

    Without `trial` both devices are judged by the size of an update.
    """
    name = str(name)
    if name == "auto":
        there, trouble = usable()
        if there:
            return _faster(work, trial)
        return Choice(torch.device("cpu"), f" (no GPU: {trouble})" if trouble else "")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UserError(f"device '{name}' is unknown: auto, cpu, cuda or cuda:0 are possible")
    device = torch.device(name)
    if device.type == "cuda":
        there, trouble = usable()
        if not there:
            why = trouble or f"{torch.__version__} is a torch without CUDA" * (
                not torch.version.cuda
            )
            raise UserError(
                f"device '{name}': this machine has no CUDA device that torch can use"
                f"{f' ({why})' if why else ''}: use cpu"
            )
        if (device.index or 0) >= torch.cuda.device_count():
            raise UserError(f"device '{name}': there are {torch.cuda.device_count()} CUDA devices")
    return Choice(device)


def usable() -> tuple[bool, str]:
    """Return whether torch can use a GPU, and what it says of one that it cannot use.

    Torch warns of that, over several lines, such as of a driver that is too old.
    """
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        there = torch.cuda.is_available()
    trouble = str(seen[0].message) if seen and not there else ""
    text = trouble.removeprefix("CUDA initialization: ").partition(" (Triggered internally")[0]
    return there, text.strip().partition("\n")[0].partition(". ")[0].removesuffix(".")


def pick_device(
    name: str | torch.device,
    work: Callable[[], UpdateSize] | None = None,
    trial: Callable[[], Trial | None] | None = None,
) -> torch.device:
    """Return the device of `choose`."""
    return choose(name, work, trial).device


def _faster(
    work: Callable[[], UpdateSize] | None, trial: Callable[[], Trial | None] | None
) -> Choice:
    """Return the faster device: as timed, else as expected."""
    made = None if trial is None else trial()
    if made is None:
        return _expected(work)
    try:
        seconds = device_timing.timed(made)
    except device_timing.CudaFails as error:
        return Choice(torch.device("cpu"), f" (cuda fails: {error})")
    except Exception as error:  # of an agent or a user's module, which training will report
        if explained(error):  # CUDA could not even be asked for the card's name
            return Choice(torch.device("cpu"), f" (cuda fails: {first_line(error)})")
        chosen = _expected(work)
        said = f"not timed, {type(error).__name__}: {first_line(error)}"
        reason = f"{chosen.reason[:-1]}; {said})" if chosen.reason else f" ({said})"
        return chosen._replace(reason=reason)
    return _of_timing(seconds, made.shape["seeds"])


def _of_timing(seconds: device_timing.Seconds, seeds: int) -> Choice:
    rates = {kind: f"{seeds / each:,.0f}" for kind, each in seconds.items()}
    said = {kind: rate if rate != "0" else "too few" for kind, rate in rates.items()}
    best = min(seconds, key=lambda kind: seconds[kind])
    other = next(kind for kind in seconds if kind != best)
    reason = f" (timed: {said[best]} steps/s, {said[other]} on {other})"
    return Choice(torch.device(best), reason)


def _expected(work: Callable[[], UpdateSize] | None) -> Choice:
    """Judge by the size of an update; a GPU where it is unknown."""
    if work is None:
        return Choice(torch.device("cuda"))
    size, images = work()
    if images:
        return Choice(torch.device("cuda"), " (it learns from images)")
    kind = "large" if size >= LARGE else "small: cuda would spend its time on launching it"
    reason = f" (an update of {size / 1e6:,.1f} million multiply-adds is {kind})"
    return Choice(torch.device("cuda" if size >= LARGE else "cpu"), reason)
