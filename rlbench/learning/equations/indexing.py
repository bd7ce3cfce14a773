"""Pick values along the last axis of stacked tensors."""

from __future__ import annotations

import torch
from torch import Tensor


def take(values: Tensor, action: Tensor) -> Tensor:
    """values[..., action]: `(..., A), (...) -> (...)`."""
    return values.gather(-1, action.unsqueeze(-1)).squeeze(-1)


def one_hot(index: Tensor, count: int) -> Tensor:
    """Indicators of indices, `(...) -> (..., count)` bool.

    Unlike torch's own it reads no values, so that it can be traced.
    """
    return index.unsqueeze(-1) == torch.arange(count, device=index.device)


def take_step(values: Tensor, step: Tensor) -> Tensor:
    """values[:, :, step]: `(S, B, T, ...), (S, B) -> (S, B, ...)`."""
    index = torch.arange(step.numel(), device=step.device)
    return values.flatten(0, 1)[index, step.flatten()].unflatten(0, step.shape)


def take_outputs(outputs: Tensor, action: Tensor) -> Tensor:
    """outputs[..., action, :]: `(..., A, Z), (...) -> (..., Z)`."""
    index = action[..., None, None].expand(*action.shape, 1, outputs.shape[-1])
    return outputs.gather(-2, index).squeeze(-2)
