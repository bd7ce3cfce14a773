"""Losses, once each: pure functions with formula and source."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rlbench.learning.compile import mean as mean
from rlbench.learning.compile import row_norm
from rlbench.learning.equations.indexing import one_hot, take


def huber(value: Tensor, target: Tensor) -> Tensor:
    """x^2/2 where |x| < 1, else |x| - 1/2, with x = value - target (Huber 1964), `(...)`."""
    return F.smooth_l1_loss(value, target, reduction="none")


def squared(value: Tensor, target: Tensor) -> Tensor:
    """(value - target)^2, `(...)`."""
    return torch.square(value - target)


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """-log softmax(logits)[label], `(..., K), (...) -> (...)`."""
    return torch.logsumexp(logits, -1) - take(logits, label)


def one_hot_error(outputs: Tensor, label: Tensor) -> Tensor:
    """Squared distance between outputs and one-hot label, `(..., K), (...) -> (...)`."""
    return (outputs - one_hot(label, outputs.shape[-1]).to(outputs.dtype)).square().sum(-1)


def bandit_cross_entropy(log_prob: Tensor, reward: Tensor) -> Tensor:
    """-log p where the reward is above 0, else -log(1 - p), `(...)`.

    The likelihood of what a bandit is told, where one action is right and p is the probability that
    it is the action taken: right answers are full labels, wrong ones rule a class out.
    """
    wrong = torch.log(1e-7 - torch.expm1(log_prob))  # finite where p is 1
    return -torch.where(reward > 0, log_prob, wrong)


def weighted_mean(value: Tensor, weight: Tensor) -> Tensor:
    """Mean by weight over the last axis, `(..., B), (..., B) -> (...)`; 0 where all weigh 0."""
    return (value * weight).sum(-1) / weight.sum(-1).clamp(min=1e-6)


CLASSIFICATION = {"cross_entropy": cross_entropy, "mse": one_hot_error}


def standardised(advantage: Tensor) -> Tensor:
    """(A - mean) / std over the last axis, `(..., B)`; a single advantage is unchanged."""
    if advantage.shape[-1] == 1:
        return advantage
    centred = advantage - mean(advantage).unsqueeze(-1)
    deviation = row_norm(centred) * (advantage.shape[-1] - 1) ** -0.5
    return centred / (deviation + 1e-8)


def policy_gradient(log_prob: Tensor, advantage: Tensor) -> Tensor:
    """-A log pi(a|s), `(...)` (Williams 1992; Mnih et al. 2016)."""
    return -advantage * log_prob


def clipped_surrogate(ratio: Tensor, advantage: Tensor, clip_range: Any) -> Tensor:
    """-min(ratio A, clip(ratio, 1 - eps, 1 + eps) A), `(...)` (Schulman et al. 2017, eq. 7).

    eps, `clip_range`, is a number or a tensor of one.
    """
    clipped = ratio.clamp(1.0 - clip_range, 1.0 + clip_range)
    return -torch.minimum(ratio * advantage, clipped * advantage)


def clipped_value(value: Tensor, old: Tensor, target: Tensor, clip_range: Any) -> Tensor:
    """Larger of the squared errors of the value and of the clipped value, `(...)`.

    That one is within `clip_range` of the old value. Not in the paper but in its authors' code
    (Engstrom et al. 2020).
    """
    clipped = old + (value - old).clamp(-clip_range, clip_range)
    return torch.maximum(squared(value, target), squared(clipped, target))


def explained_variance(value: Tensor, target: Tensor) -> Tensor:
    """1 - Var(target - value) / Var(target), `(..., B) -> (...)`; 0 for a constant value."""
    if target.shape[-1] == 1:
        return torch.zeros_like(target[..., 0])
    return 1.0 - (target - value).var(-1) / (target.var(-1) + 1e-8)


LOSSES = {"huber": huber, "mse": squared}
