"""Equations of targets and returns, once each: pure, with formula and source.

Every function names axes from the right and reduces at most the last one, so that the same code
serves `(B,)` and `(S, B)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlbench.learning.compile import mean as mean
from rlbench.learning.equations.indexing import take


def discount_of(gamma: float | Tensor, terminated: Tensor) -> Tensor:
    """Discount gamma (1 - terminated), `(...) -> (...)`: truncated steps are bootstrapped from.

    gamma is a number, or a tensor (S, 1, ...) with as many axes.
    """
    return gamma * (1.0 - terminated)


def greedy_action(next_q: Tensor, next_q_online: Tensor | None = None) -> Tensor:
    """argmax_a Q(s', a), the action of the target, `(..., A) -> (...)`.

    By the target network (Watkins 1989; Mnih et al. 2015), or by the online network (van Hasselt et
    al. 2016, eq. 4).
    """
    return (next_q if next_q_online is None else next_q_online).argmax(-1)


def last_step(first: Tensor) -> Tensor:
    """Index of the last of n steps that is of the same episode as the first, `(..., n) -> (...)`.

    `first` marks steps that begin an episode.
    """
    return (1.0 - first[..., 1:]).cumprod(-1).sum(-1).long()


def n_step(reward: Tensor, discount: Tensor, first: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """n-step reward and discount (Sutton 1988; Watkins 1989), all `(..., n) -> (...)`.

    Returns r_0 + d_0 r_1 + d_0 d_1 r_2 + ..., the discount of the value that follows, and the index
    of the last step that counts: the n-th, or the one at which the episode ended, since `first`
    marks steps that begin one. Truncated episodes are bootstrapped from, terminated ones are not.
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
    """n-step targets of all steps of a sequence, all `(..., T)` (Sutton 1988; Watkins 1989).

    G^1_t = r_t + d_t value_t and G^n_t = r_t + d_t G^{n-1}_{t+1}, with the value of the successor
    of step t. Where an episode or the sequence ends after step t, G^n_t stays G^1_t.
    """
    target = single = reward + discount * value
    ends = torch.ones_like(first)
    ends[..., :-1] = first[..., 1:]
    for _ in range(n_steps - 1):
        target = torch.where(ends > 0, single, reward + discount * target.roll(-1, -1))
    return target


def gae(
    reward: Tensor, value: Tensor, next_value: Tensor, gamma: float | Tensor, decay: Tensor
) -> Tensor:
    """Generalised advantage estimates over time, all `(..., T)` (Schulman et al. 2016, eq. 16).

    A_t = delta_t + decay_t A_{t+1} with delta_t = r_t + gamma next_value_t - value_t.

    `next_value` is 0 where the task ended; `decay` is gamma lambda, and 0 wherever an episode
    ended, for whatever reason. lambda = 1 gives n-step returns minus the value.
    """
    delta = reward + gamma * next_value - value
    advantage, steps = torch.zeros_like(delta[..., 0]), []
    for error, factor in zip(reversed(delta.unbind(-1)), reversed(decay.unbind(-1)), strict=True):
        advantage = error + factor * advantage
        steps.append(advantage)
    return torch.stack(steps[::-1], -1)
