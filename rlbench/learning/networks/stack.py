"""Parameters of S networks as one `(S, P)` matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rlbench.learning.compile import row_norm

# Every tensor starts on a 64-byte border and every row is a multiple of 32 floats: vectorised
# kernels then treat each seed alike, wherever it lies in the stack.
_ALIGN = 16


ROW = 32


class StackedParameters:
    """All parameters of a module as one `(S, P)` matrix, and their gradients as another.

    The module works as before, with its parameters as views into `data`; `backward` fills `grad`.
    If a module holds several networks per seed, its `copies`, they are side by side in the seed's
    row.
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        parameters = list(module.parameters())
        networks, copies = parameters[0].shape[0], getattr(module, "copies", 1)
        seeds = networks // copies
        offsets, width = [], 0
        for p in parameters:
            offsets.append(width)
            width += -(-p[0].numel() // _ALIGN) * _ALIGN
        width = -(-width // ROW) * ROW
        self.module, self.parameters = module, parameters
        data = torch.zeros(networks, width, device=device)
        grad = torch.zeros_like(data)
        self.data, self.grad = data.view(seeds, -1), grad.view(seeds, -1)  # (S, P)
        self._one = torch.ones(seeds, device=device)
        self.learned = [p for p in parameters if p.requires_grad]  # the gradient of others stays 0
        self._grads = []
        for p, start in zip(parameters, offsets, strict=True):
            row = slice(start, start + p[0].numel())
            with torch.no_grad():
                view = data[:, row].view(p.shape)
                view.copy_(p)
            p.data = view
            if p.requires_grad:
                self._grads.append(grad[:, row].view(p.shape))

    def backward(self, loss: Tensor, max_grad_norm: float | Tensor | None = None) -> None:
        """Compute gradients of `loss` (S,), each seed's clipped to `max_grad_norm` by its own norm.

        `max_grad_norm` is a number, or one for each seed, (S, 1). Seeds share no parameter, so each
        receives the gradient of its own loss.
        """
        # A module of the user's may leave out parameters; their gradient is 0 then.
        with torch.enable_grad():  # a caller may have turned it off
            total = _Total.apply(loss, self._one)
        grads = torch.autograd.grad(total, self.learned, materialize_grads=True)
        torch._foreach_copy_(self._grads, grads)
        if max_grad_norm is not None:
            norm = row_norm(self.grad)  # (S, 1)
            # Not a quotient, which torch rounds otherwise for two tensors.
            self.grad.mul_(((norm + 1e-6).reciprocal() * max_grad_norm).clamp_(max=1.0))

    def freeze(self) -> StackedParameters:
        """Return a copy without gradients: a target network or a frozen policy."""
        self.module.requires_grad_(False)
        return self

    def finite(self) -> Tensor:
        """Return which seeds have only finite parameters, (S,) bool."""
        return torch.isfinite(self.data.sum(-1))

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {"data": self.data}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.data.copy_(torch.as_tensor(state["data"]))


class _Total(torch.autograd.Function):
    """A scalar whose gradient with respect to each loss (S,) is 1; its value means nothing.

    Passing the ones to `autograd.grad` would do the same, after importing sympy at the first
    gradient to compare two shapes.
    """

    @staticmethod
    def forward(ctx: Any, loss: Tensor, one: Tensor) -> Tensor:
        ctx.one = one
        return loss.new_empty(())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.one, None
