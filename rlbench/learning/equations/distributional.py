"""Equations of distributional reinforcement learning: pure, with formula and source.

Atoms and quantiles are the last axis; the same text serves `(B, Z)` and `(S, B, Z)`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rlbench.learning.equations import returns


class ReturnDistribution(NamedTuple):
    """Values that a return may have, `(..., Z)`, and their probabilities.

    Where these are None all values are equally probable.
    """

    support: Tensor
    probabilities: Tensor | None = None


def atoms(v_min: float, v_max: float, count: int) -> Tensor:
    """z_i = v_min + i (v_max - v_min) / (count - 1), `(count,)` (Bellemare et al. 2017)."""
    return torch.linspace(v_min, v_max, count)


def project(support: Tensor, probabilities: Tensor, atoms: Tensor) -> Tensor:
    """Project a distribution onto equidistant atoms, `(..., M), (..., M), (Z,) -> (..., Z)`.

    Each value shares its probability between the two atoms around it, the nearer one getting more;
    beyond the ends all goes to the last atom (Bellemare et al. 2017, algorithm 1).
    """
    count = atoms.numel()
    width = (atoms[-1] - atoms[0]) / (count - 1)
    place = ((support - atoms[0]) / width).clamp(0, count - 1)  # in units of atoms
    below = place.floor()
    share = place - below
    # A seed that has diverged brings NaN, which must not become an index.
    index = below.nan_to_num().long()
    shape = *probabilities.shape[:-1], count
    projected = torch.zeros(shape, dtype=probabilities.dtype, device=probabilities.device)
    projected.scatter_add_(-1, index, probabilities * (1.0 - share))
    return projected.scatter_add_(-1, (index + 1).clamp(max=count - 1), probabilities * share)


def divergence(logits: Tensor, probabilities: Tensor) -> Tensor:
    """sum_i p_i (log p_i - log softmax(logits)_i), `(..., Z), (..., Z) -> (...)`.

    The Kullback-Leibler divergence, whose gradient is that of the cross-entropy (Bellemare et al.
    2017, section 4.1); unlike it, 0 where nothing is left to learn, so that it can be a priority.
    """
    log_target = torch.log(probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny))
    return (probabilities * (log_target - logits.log_softmax(-1))).sum(-1)


def midpoints(count: int) -> Tensor:
    """(2 i + 1) / (2 count), `(count,)`: fractions of QR-DQN (Dabney et al. 2018a, lemma 2)."""
    return (torch.arange(count) + 0.5) / count


def quantile_huber(quantile: Tensor, tau: Tensor, target: Tensor, kappa: float) -> Tensor:
    """sum_i mean_j |tau_i - 1{u_ij < 0}| L_kappa(u_ij) / kappa, with u_ij = target_j - quantile_i.

    `(..., N), (..., N), (..., M) -> (...)` (Dabney et al. 2018a, eq. 10; 2018b, eq. 3). L_kappa is
    Huber's loss, and L_kappa / kappa is |u| where kappa is 0.
    """
    target, quantile = torch.broadcast_tensors(target.unsqueeze(-2), quantile.unsqueeze(-1))
    above = (target < quantile.detach()).to(quantile.dtype)  # (..., N, M)
    weight = (tau.unsqueeze(-1) - above).abs()
    error = F.smooth_l1_loss(quantile, target, reduction="none", beta=kappa)
    return (weight * error).mean(-1).sum(-1)


def n_step_distribution(
    reward: Tensor, discount: Tensor, future: ReturnDistribution, first: Tensor, n_steps: int
) -> ReturnDistribution:
    """`returns.n_step_targets` of every value of a distribution.

    reward, discount and first are `(S, B, T)`; `future`, the returns after each step, and the
    result are `(S, B T, Z)`. Probabilities are those of the step whose successor is bootstrapped
    from.
    """

    def over_steps(reward: Tensor, discount: Tensor, value: Tensor) -> Tensor:
        each = value.unflatten(1, reward.shape[1:]).movedim(-1, 0)  # (Z, S, B, T)
        target = returns.n_step_targets(reward, discount, each, first, n_steps)
        return target.movedim(0, -1).flatten(1, 2)

    support, probabilities = future
    if probabilities is not None and n_steps > 1:
        no_reward, no_discount = torch.zeros_like(reward), torch.ones_like(reward)
        probabilities = over_steps(no_reward, no_discount, probabilities)
    return ReturnDistribution(over_steps(reward, discount, support), probabilities)
