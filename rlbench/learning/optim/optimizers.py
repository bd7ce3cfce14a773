"""Optimisers over one `(S, P)` matrix: element-wise, so that one step is S separate steps.

They update in place, and keep moments as matrices of the same shape, one row per seed. Where rows
have different rates or penalties, each run of equal ones is updated by a call of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlbench.learning.row_values import Rows, runs


class Optimizer:
    """Base class: `step(learning_rate)` updates `data` from `grad`, by `move`.

    `moments` are the names of its running averages, `default_eps` its epsilon unless given.
    """

    moments: tuple[str, ...] = ()
    default_eps = 1e-8
    beta1 = 0.9  # of Adam

    def __init__(
        self, data: Tensor, grad: Tensor, weight_decay: Rows = 0.0, eps: float | None = None
    ) -> None:
        self.data, self.grad, self.weight_decay = data, grad, weight_decay
        self.eps = self.default_eps if eps is None else eps
        self.updates = 0
        for name in self.moments:
            setattr(self, name, torch.zeros_like(data))
        self._all = [data, grad, *(getattr(self, name) for name in self.moments)]
        self._parts: dict[tuple[int, int], list[Tensor]] = {}  # the same of some rows

    def step(self, learning_rate: Rows | Tensor) -> None:
        """Move the parameters `data` (S, P) by their gradients `grad` (S, P).

        The rate is a number, one for each row, or a scalar on the device where a captured graph
        reads it.
        """
        self.updates += 1
        rate, decay = learning_rate, self.weight_decay
        if not isinstance(rate, tuple) and not isinstance(decay, tuple):
            self.move(rate, decay, *self._all)
            return
        rows = len(self.data)
        rates = rate if isinstance(rate, tuple) else (rate,) * rows
        decays = decay if isinstance(decay, tuple) else (decay,) * rows
        for part, (rate, decay) in runs(tuple(zip(rates, decays, strict=True))):
            key = part.start, part.stop
            if key not in self._parts:
                self._parts[key] = [each[part] for each in self._all]
            self.move(rate, decay, *self._parts[key])

    def move(
        self, rate: float | Tensor, decay: float, data: Tensor, grad: Tensor, *moments: Tensor
    ) -> None:
        """Move rows of parameters that have the same rate and penalty."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {"updates": self.updates, **{name: getattr(self, name) for name in self.moments}}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.updates = state["updates"]
        for name in self.moments:
            getattr(self, name).copy_(torch.as_tensor(state[name]))


def _move(data: Tensor, direction: Tensor, rate: float | Tensor) -> None:
    """Subtract rate times direction."""
    if isinstance(rate, Tensor):
        data.addcmul_(direction, rate, value=-1.0)
    else:
        data.add_(direction, alpha=-rate)


class SGD(Optimizer):
    """Stochastic gradient descent with L2 weight decay (Robbins & Monro 1951)."""

    def move(
        self, rate: float | Tensor, decay: float, data: Tensor, grad: Tensor, *moments: Tensor
    ) -> None:
        """Step against the gradient: w <- w - rate g."""
        if decay:
            grad.add_(data, alpha=decay)
        _move(data, grad, rate)


class Momentum(SGD):
    """SGD with heavy-ball momentum 0.9 (Polyak 1964): v <- 0.9 v + g; w <- w - lr v."""

    moments = ("velocity",)
    velocity: Tensor

    def move(
        self, rate: float | Tensor, decay: float, data: Tensor, grad: Tensor, *moments: Tensor
    ) -> None:
        """Step along the velocity: v <- 0.9 v + g; w <- w - rate v."""
        [velocity] = moments
        if decay:
            grad.add_(data, alpha=decay)
        velocity.mul_(0.9).add_(grad)
        _move(data, velocity, rate)


class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012): smoothing 0.99, epsilon outside the root."""

    default_eps = 1e-5

    moments = ("square",)
    square: Tensor

    def move(
        self, rate: float | Tensor, decay: float, data: Tensor, grad: Tensor, *moments: Tensor
    ) -> None:
        """Divide the gradient by the root of its running mean square."""
        [square] = moments
        if decay:
            grad.add_(data, alpha=decay)
        square.mul_(0.99).addcmul_(grad, grad, value=0.01)
        root = square.sqrt().add_(self.eps)
        if isinstance(rate, Tensor):
            data.addcdiv_(grad * rate, root, value=-1.0)
        else:
            data.addcdiv_(grad, root, value=-rate)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1); `weight_decay` is L2, added to the gradient.

    One call of the kernel of `torch.optim.Adam(fused=True)`: on a flat matrix it takes a fifth of
    the optimiser object's time, and does not import the compiler stack.
    """

    moments = ("mean", "square")
    mean: Tensor
    square: Tensor
    kernel = staticmethod(torch._fused_adam_)

    def __init__(
        self, data: Tensor, grad: Tensor, weight_decay: Rows = 0.0, eps: float | None = None
    ) -> None:
        super().__init__(data, grad, weight_decay, eps)
        self._count = torch.zeros((), device=data.device)

    def step(self, learning_rate: Rows | Tensor) -> None:
        self._count.add_(1.0)
        super().step(learning_rate)

    def move(
        self, rate: float | Tensor, decay: float, data: Tensor, grad: Tensor, *moments: Tensor
    ) -> None:
        """Take a step of algorithm 1 for rows of one rate."""
        mean, square = moments
        self.kernel(
            [data],
            [grad],
            [mean],
            [square],
            [],
            [self._count],
            lr=rate,  # type: ignore[arg-type]  # the stub knows only its other overload
            beta1=self.beta1,
            beta2=0.999,
            weight_decay=decay,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._count.fill_(self.updates)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    kernel = staticmethod(torch._fused_adamw_)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "sgd": SGD,
    "momentum": Momentum,
}
