"""Where tensors live."""

from __future__ import annotations

import re

import torch

from rlbench.errors import UserError


def pick_device(name: str) -> torch.device:
    """`auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:i`, checked."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UserError(f"device '{name}' is unknown: auto, cpu, cuda or cuda:0 are possible")
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UserError(
                f"device '{name}': this machine has no CUDA device that torch can use; "
                "--device cpu runs without one"
            )
        if (device.index or 0) >= torch.cuda.device_count():
            raise UserError(f"device '{name}': there are {torch.cuda.device_count()} CUDA devices")
    return device
