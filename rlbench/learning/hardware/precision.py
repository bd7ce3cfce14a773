"""Precision of products on a GPU: float32, TF32 or bfloat16. Parameters are float32 in each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from rlbench.errors import UserError
from rlbench.learning.hardware import graphs

Precision = Literal["float32", "tf32", "bf16"]


def check(config: Any, device: torch.device) -> None:
    """Refuse to train by a precision that the device does not have.

    Raises:
        UserError: it is a CPU, which computes in float32.
    """
    precision = getattr(config, "precision", "float32")
    if precision != "float32" and device.type == "cpu":
        raise UserError(
            f"precision={precision} is for GPUs, and a CPU computes in float32: leave it out, or "
            "train on cuda"
        )


@contextmanager
def products(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute products and convolutions by this precision in this context, gradients included.

    torch's own setting is TF32 for convolutions and float32 for the rest.
    """
    if not graphs.used(device):
        yield
        return
    settings: Any = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [each.allow_tf32 for each in settings]
    for each in settings:
        each.allow_tf32 = precision != "float32"
    try:
        yield
    finally:
        for each, allowed in zip(settings, before, strict=True):
            each.allow_tf32 = allowed


def forward(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the context of a loss, in which bf16 rounds the factors of products to bfloat16."""
    used = precision == "bf16"
    # Without a cache: weights that were converted before would be part of no captured graph.
    return torch.autocast(device.type, torch.bfloat16, enabled=used, cache_enabled=False)


def widened(tensor: Tensor) -> Tensor:
    """Return a tensor as float32 where it is bfloat16."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
