"""The equations, once each: pure, with formula and source.

Every function names axes from the right and reduces at most the last one, so the same text serves
`(B,)` and `(S, B)`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rlbench.learning.kernels import mean as mean
from rlbench.learning.kernels import row_norm


def take(values: Tensor, action: Tensor) -> Tensor:
    """values[..., action]: `(..., A), (...) -> (...)`."""
    return values.gather(-1, action.unsqueeze(-1)).squeeze(-1)


def one_hot(index: Tensor, count: int) -> Tensor:
    """Whether it is each of the first numbers, `(...) -> (..., count)` bool; torch's own reads
    values, which a recording cannot do."""
    return index.unsqueeze(-1) == torch.arange(count, device=index.device)


def take_step(values: Tensor, step: Tensor) -> Tensor:
    """values[:, :, step]: `(S, B, T, ...), (S, B) -> (S, B, ...)`."""
    index = torch.arange(step.numel(), device=step.device)
    return values.flatten(0, 1)[index, step.flatten()].unflatten(0, step.shape)


def take_outcomes(numbers: Tensor, action: Tensor) -> Tensor:
    """numbers[..., action, :]: `(..., A, Z), (...) -> (..., Z)`."""
    index = action[..., None, None].expand(*action.shape, 1, numbers.shape[-1])
    return numbers.gather(-2, index).squeeze(-2)


def discount_of(gamma: float, terminated: Tensor) -> Tensor:
    """gamma (1 - terminated), `(...) -> (...)`: a truncated step keeps its future."""
    return gamma * (1.0 - terminated)


def greedy_action(next_q: Tensor, next_q_online: Tensor | None = None) -> Tensor:
    """The action whose value is the target's, `(..., A) -> (...)`: argmax_a Q(s', a) (Watkins 1989;
    Mnih et al. 2015), or argmax_a Q_online(s', a) (van Hasselt et al. 2016, eq. 4)."""
    return (next_q if next_q_online is None else next_q_online).argmax(-1)


def last_step(first: Tensor) -> Tensor:
    """Index of the last of n steps that is of the same episode as the first, `(..., n) -> (...)`;
    `first` marks steps that begin one."""
    return (1.0 - first[..., 1:]).cumprod(-1).sum(-1).long()


def n_step(reward: Tensor, discount: Tensor, first: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """n successive steps as one (Sutton 1988; Watkins 1989), all `(..., n) -> (...)`.

    Returns r_0 + d_0 r_1 + d_0 d_1 r_2 + ..., the discount of what follows, and the index of the
    last step that counts: the n-th, or the one at which the episode ended, since `first` marks
    steps that begin one. A truncated episode keeps its future there, a terminated one has none.
    """
    same = torch.ones_like(reward)
    same[..., 1:] = (1.0 - first[..., 1:]).cumprod(-1)
    weight = torch.ones_like(reward)
    weight[..., 1:] = discount[..., :-1].cumprod(-1)
    last = last_step(first)
    return (same * weight * reward).sum(-1), take(weight * discount, last), last


def n_step_targets(
    reward: Tensor, discount: Tensor, value: Tensor, first: Tensor, n_steps: int
) -> Tensor:
    """The n-step target of every step of a sequence, all `(..., T)` (Sutton 1988; Watkins 1989):

    G^1_t = r_t + d_t value_t and G^n_t = r_t + d_t G^{n-1}_{t+1}, with the value of the successor
    of step t. Where an episode or the sequence ends after step t, G^n_t stays G^1_t.
    """
    target = single = reward + discount * value
    ends = torch.ones_like(first)
    ends[..., :-1] = first[..., 1:]
    for _ in range(n_steps - 1):
        target = torch.where(ends > 0, single, reward + discount * target.roll(-1, -1))
    return target


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
    """Squared distance of the outputs to the one-hot label, `(..., K), (...) -> (...)`."""
    return (outputs - one_hot(label, outputs.shape[-1]).to(outputs.dtype)).square().sum(-1)


CLASSIFICATION = {"cross_entropy": cross_entropy, "mse": one_hot_error}


def gae(reward: Tensor, value: Tensor, next_value: Tensor, gamma: float, decay: Tensor) -> Tensor:
    """Generalised advantage estimates over time, all `(..., T)` (Schulman et al. 2016, eq. 16):

    A_t = delta_t + decay_t A_{t+1} with delta_t = r_t + gamma next_value_t - value_t.

    `next_value` is 0 where the task ended; `decay` is gamma lambda, and 0 wherever an episode
    ended, for whatever reason. lambda = 1 gives n-step returns minus the value.
    """
    delta = reward + gamma * next_value - value
    advantage, steps = torch.zeros_like(delta[..., 0]), []
    for now, share in zip(reversed(delta.unbind(-1)), reversed(decay.unbind(-1)), strict=True):
        advantage = now + share * advantage
        steps.append(advantage)
    return torch.stack(steps[::-1], -1)


def standardised(advantage: Tensor) -> Tensor:
    """(A - mean) / std over the last axis, `(..., B)`; unchanged where there is one only."""
    if advantage.shape[-1] == 1:
        return advantage
    centred = advantage - mean(advantage).unsqueeze(-1)
    deviation = row_norm(centred) * (advantage.shape[-1] - 1) ** -0.5
    return centred / (deviation + 1e-8)


def policy_gradient(log_prob: Tensor, advantage: Tensor) -> Tensor:
    """-A log pi(a|s), `(...)` (Williams 1992; Mnih et al. 2016)."""
    return -advantage * log_prob


def clipped_surrogate(ratio: Tensor, advantage: Tensor, clip_range: Any) -> Tensor:
    """-min(ratio A, clip(ratio, 1 - eps, 1 + eps) A), `(...)` (Schulman et al. 2017, eq. 7); eps is
    a number or a tensor of one."""
    clipped = ratio.clamp(1.0 - clip_range, 1.0 + clip_range)
    return -torch.minimum(ratio * advantage, clipped * advantage)


def clipped_value(value: Tensor, old: Tensor, target: Tensor, clip_range: Any) -> Tensor:
    """Larger of the squared errors of the value and of the value kept within `clip_range` of the
    old one, `(...)`; not in the paper but in its authors' code (Engstrom et al. 2020)."""
    kept = old + (value - old).clamp(-clip_range, clip_range)
    return torch.maximum(squared(value, target), squared(kept, target))


def explained_variance(value: Tensor, target: Tensor) -> Tensor:
    """1 - Var(target - value) / Var(target), `(..., B) -> (...)`: 1 is perfect, 0 a constant."""
    if target.shape[-1] == 1:
        return torch.zeros_like(target[..., 0])
    return 1.0 - (target - value).var(-1) / (target.var(-1) + 1e-8)


LOSSES = {"huber": huber, "mse": squared}
