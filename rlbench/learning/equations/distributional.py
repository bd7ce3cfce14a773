"""Equations of distributions of returns: pure, with formula and source, as in `returns`.

Atoms and quantiles are the last axis; the same text serves `(B, Z)` and `(S, B, Z)`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rlbench.learning.equations import returns


def atoms(v_min: float, v_max: float, count: int) -> Tensor:
    """z_i = v_min + i (v_max - v_min) / (count - 1), `(count,)` (Bellemare et al. 2017)."""
    return torch.linspace(v_min, v_max, count)


def project(location: Tensor, mass: Tensor, support: Tensor) -> Tensor:
    """Masses moved onto equidistant atoms, `(..., M), (..., M), (Z,) -> (..., Z)`.

    Each is shared between the two atoms around its location, the nearer one getting more; beyond
    the ends all goes to the last atom (Bellemare et al. 2017, algorithm 1).
    """
    count = support.numel()
    width = (support[-1] - support[0]) / (count - 1)
    place = ((location - support[0]) / width).clamp(0, count - 1)  # in units of atoms
    below = place.floor()
    share = place - below
    # A seed that has diverged brings NaN, which must not become an index.
    index = below.nan_to_num().long()
    projected = torch.zeros(*mass.shape[:-1], count, dtype=mass.dtype, device=mass.device)
    projected.scatter_add_(-1, index, mass * (1.0 - share))
    return projected.scatter_add_(-1, (index + 1).clamp(max=count - 1), mass * share)


def divergence(logits: Tensor, mass: Tensor) -> Tensor:
    """sum_i m_i (log m_i - log softmax(logits)_i), `(..., Z), (..., Z) -> (...)`.

    Kullback & Leibler's, whose gradient is that of the cross-entropy (Bellemare et al. 2017,
    section 4.1); unlike it, 0 where nothing is left to learn, so that it can be a priority.
    """
    known = torch.log(mass.clamp_min(torch.finfo(mass.dtype).tiny))
    return (mass * (known - logits.log_softmax(-1))).sum(-1)


def midpoints(count: int) -> Tensor:
    """(2 i + 1) / (2 count), `(count,)`: where quantiles stand (Dabney et al. 2018a, lemma 2)."""
    return (torch.arange(count) + 0.5) / count


def quantile_huber(quantile: Tensor, fraction: Tensor, target: Tensor, kappa: float) -> Tensor:
    """sum_i mean_j |tau_i - 1{u_ij < 0}| L_kappa(u_ij) / kappa with u_ij = target_j - quantile_i,
    `(..., N), (..., N), (..., M) -> (...)` (Dabney et al. 2018a, eq. 10; 2018b, eq. 3).

    L_kappa is Huber's loss, and L_kappa / kappa is |u| where kappa is 0.
    """
    wanted, found = torch.broadcast_tensors(target.unsqueeze(-2), quantile.unsqueeze(-1))
    above = (wanted < found.detach()).to(found.dtype)  # (..., N, M)
    weight = (fraction.unsqueeze(-1) - above).abs()
    error = F.smooth_l1_loss(found, wanted, reduction="none", beta=kappa)
    return (weight * error).mean(-1).sum(-1)


def n_step_outcomes(
    reward: Tensor,
    discount: Tensor,
    outcome: Tensor,
    mass: Tensor | None,
    first: Tensor,
    n_steps: int,
) -> tuple[Tensor, Tensor | None]:
    """`returns.n_step_targets` of every outcome: all `(S, B, T)`, but outcome and its
    probabilities `(S, B T, Z)`, as what is returned.

    The probabilities of outcomes are those of the step whose successor they are of.
    """

    def over_steps(reward: Tensor, discount: Tensor, value: Tensor) -> Tensor:
        each = value.unflatten(1, reward.shape[1:]).movedim(-1, 0)  # (Z, S, B, T)
        target = returns.n_step_targets(reward, discount, each, first, n_steps)
        return target.movedim(0, -1).flatten(1, 2)

    if mass is not None and n_steps > 1:
        mass = over_steps(torch.zeros_like(reward), torch.ones_like(reward), mass)
    return over_steps(reward, discount, outcome), mass
