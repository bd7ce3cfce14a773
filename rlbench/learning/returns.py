"""The equations, once each: pure, with formula and source.

Every function names axes from the right and reduces at most the last one, so the same text serves
`(B,)` and `(S, B)`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def take(values: Tensor, action: Tensor) -> Tensor:
    """values[..., action]: `(..., A), (...) -> (...)`."""
    return values.gather(-1, action.unsqueeze(-1)).squeeze(-1)


def discount_of(gamma: float, terminated: Tensor) -> Tensor:
    """gamma (1 - terminated), `(...) -> (...)`: a truncated step keeps its future."""
    return gamma * (1.0 - terminated)


def q_target(reward: Tensor, discount: Tensor, next_q: Tensor) -> Tensor:
    """r + discount max_a Q(s', a), `(...), (...), (..., A) -> (...)` (Watkins 1989; Mnih 2015)."""
    return reward + discount * next_q.amax(-1)


def double_q_target(
    reward: Tensor, discount: Tensor, next_q: Tensor, next_q_online: Tensor
) -> Tensor:
    """r + discount Q(s', argmax_a Q_online(s', a)) (van Hasselt et al. 2016, eq. 4)."""
    return reward + discount * take(next_q, next_q_online.argmax(-1))


def huber(value: Tensor, target: Tensor) -> Tensor:
    """x^2/2 where |x| < 1, else |x| - 1/2, with x = value - target (Huber 1964), `(...)`."""
    return F.smooth_l1_loss(value, target, reduction="none")


def squared(value: Tensor, target: Tensor) -> Tensor:
    """(value - target)^2, `(...)`."""
    return torch.square(value - target)


LOSSES = {"huber": huber, "mse": squared}
