"""Choice of the device that tensors live on."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import torch

from rlbench.errors import UserError

# Multiply-adds of an update from which a GPU is expected to be faster. A core of a CPU needs some 2
# ms for so many, forwards and backwards; a GPU spends as long on launching kernels and on sending
# the observations and actions of the steps between two updates. An estimate, not a measurement.
LARGE = 20_000_000


class UpdateSize(NamedTuple):
    """Size of an update of all seeds: multiply-adds of one pass, and whether it reads images."""

    size: int
    images: bool


def pick_device(
    name: str | torch.device, work: Callable[[], UpdateSize] | None = None
) -> torch.device:
    """Return the device for `auto` (the faster one, as expected), `cpu`, `cuda` or `cuda:i`."""
    name = str(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() and worth(work) else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UserError(f"device '{name}' is unknown: auto, cpu, cuda or cuda:0 are possible")
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UserError(
                f"device '{name}': this machine has no CUDA device that torch can use: use cpu"
            )
        if (device.index or 0) >= torch.cuda.device_count():
            raise UserError(f"device '{name}': there are {torch.cuda.device_count()} CUDA devices")
    return device


def worth(work: Callable[[], UpdateSize] | None) -> bool:
    """Return whether a GPU is expected to be faster for updates of this, or unknown, size."""
    return work is None or work().images or work().size >= LARGE


def reason(name: str | torch.device, work: Callable[[], UpdateSize]) -> str:
    """Explain the choice of `auto`; empty if there is only one device."""
    if str(name) != "auto" or not torch.cuda.is_available():
        return ""
    if work().images:
        return " (it learns from images)"
    kind = "large" if worth(work) else "small: cuda would spend its time on launching it"
    return f" (an update of {work().size / 1e6:,.1f} million multiply-adds is {kind})"
