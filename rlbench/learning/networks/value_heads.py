"""Heads above DQN's encoder: Q-values, or distributions of returns with that mean.

Each action has Z outputs: one value, logits of atoms (C51), quantiles (QR-DQN), or quantiles at
fractions tau that are passed in (IQN). All heads have the interface of `Head`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field as field
from torch import Tensor, nn

from rlbench.config import Float, Int
from rlbench.errors import UserError
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.equations import distributional, losses
from rlbench.learning.equations.distributional import ReturnDistribution
from rlbench.learning.networks.encoders import EncoderConfig
from rlbench.learning.networks.layers import MLP, Generators, Linear, cache_submodules
from rlbench.learning.networks.models import QNetwork, perceptron
from rlbench.learning.networks.noisy import add_noise


class HeadConfig(EncoderConfig):
    """Parameters of the head; those of a distribution that is not chosen are ignored."""

    loss: Literal["huber", "mse", "cross_entropy"] = field(
        "huber",
        description="loss of the TD error (distributions have their own). cross_entropy, with "
        "gamma=0: likelihood of the softmax of values, where one action is right and its reward "
        "above 0",
    )
    dueling: bool = field(
        False, description="separate streams for values and advantages (Wang et al. 2016)"
    )
    noisy: bool = field(
        False,
        description="learned noise in the weights of fully connected layers, which explores "
        "instead of random actions: exploration_* are ignored then (Fortunato et al. 2018)",
    )
    noisy_sigma: Float = field(
        0.5, gt=0, description="noisy: initial deviation of weights, times 1 / sqrt(inputs)"
    )
    distribution: Literal["c51", "qr", "iqn"] | None = field(
        None,
        description="how returns are represented. none: their mean; c51: probabilities of fixed "
        "values (Bellemare et al. 2017); qr: fixed quantiles (Dabney et al. 2018a); iqn: any "
        "quantile (Dabney et al. 2018b)",
    )
    n_atoms: Int = field(51, ge=2, description="c51: number of atoms")
    v_min: Float = field(-100.0, description="c51: lowest atom, a discounted return")
    v_max: Float = field(100.0, description="c51: highest atom, a discounted return")
    n_quantiles: Int = field(25, ge=1, description="qr: number of quantiles")
    kappa: Float = field(
        1.0, ge=0, description="qr, iqn: error up to which the quantile loss is quadratic"
    )
    iqn_samples: Int = field(8, ge=1, description="iqn: quantile fractions drawn per transition")
    iqn_target_samples: Int = field(
        8, ge=1, description="iqn: quantile fractions drawn for its target"
    )
    iqn_acting_samples: Int = field(
        32, ge=1, description="iqn: quantiles, evenly spread, whose mean is an action's value"
    )
    iqn_embedding: Int = field(64, ge=1, description="iqn: cosines that embed a quantile fraction")

    def check(self) -> None:
        if self.v_min >= self.v_max:
            raise UserError(f"v_min={self.v_min:g} must be below v_max={self.v_max:g}")


class Head(nn.Module):
    """Q-values of A actions, plain or dueling, and the interface of all heads.

    Each action has `n_outputs` (Z) numbers, whose meaning a subclass defines: `outputs` computes
    them, `mean` gives Q-values, `return_distribution` the distribution they stand for, `loss` their
    distance from a target distribution, `priority` the priority in replay.
    """

    def __init__(self, generators: Generators, n_in: int, n_actions: int, c: HeadConfig) -> None:
        super().__init__()
        self.c, self.n_actions, self.n_outputs = c, n_actions, self.outputs_per_action(c)
        self.advantage = perceptron(generators, n_in, n_actions * self.n_outputs, c, 1.0)
        self.value = perceptron(generators, n_in, self.n_outputs, c, 1.0) if c.dueling else None
        cache_submodules(self)

    @staticmethod
    def outputs_per_action(c: HeadConfig) -> int:
        """Z, from the configuration."""
        return 1

    def constant(self, name: str, device: torch.device) -> Tensor:
        """A constant tensor of this head, which goes to the device at its first use there."""
        value: Tensor = getattr(self, name)
        if value.device != device:
            with torch.inference_mode(False):  # it may be saved for a gradient later
                value = value.to(device)
            setattr(self, name, value)
        return value

    def combine_streams(self, x: Any, run: Callable[[MLP, Any], Any]) -> Any:
        """Compute outputs (S, B, A, Z) from features (S, B, F), tensors or arrays.

        They are advantages, plus values where the head is dueling (Wang et al. 2016, eq. 9).
        """
        advantage = run(self.advantage, x)
        advantage = advantage.reshape(*x.shape[:2], self.n_actions, self.n_outputs)
        if self.value is None:
            return advantage
        # Unlike in the paper, gradients into the encoder are not scaled down by sqrt(2).
        value = run(self.value, x)[..., None, :]
        return value + advantage - advantage.mean(-2)[..., None, :]

    def outputs(self, x: Tensor, tau: Tensor | None = None) -> Tensor:
        """Compute outputs from features, `(S, B, F) -> (S, B, A, Z)`.

        `tau` (S, B, Z) are the quantile fractions at which IQN is evaluated; other heads ignore it.
        """
        return self.combine_streams(x, MLP.forward)

    def mean(self, outputs: Any) -> Any:
        """Q-values `(S, B, A)` of outputs (S, B, A, Z), tensors or arrays."""
        return outputs[..., 0]

    def forward(self, x: Tensor) -> Tensor:
        """Q-values, `(S, B, F) -> (S, B, A)`."""
        return self.mean(self.outputs(x))

    def greedy_values(self, x: Tensor, outputs: Tensor) -> Tensor:
        """Q-values `(S, B, A)` that the greedy action maximises.

        Computed from the features, or from the outputs that are there already.
        """
        return self.mean(outputs)

    def forward_numpy(self, x: np.ndarray) -> np.ndarray:
        """`forward` on arrays, for acting."""
        if self.value is None and self.n_outputs == 1:
            return self.advantage.forward_numpy(x)
        return self.mean(self.combine_streams(x, MLP.forward_numpy))

    def return_distribution(self, outputs: Tensor) -> ReturnDistribution:
        """The distribution of returns that outputs (S, B, Z) of one action stand for."""
        return ReturnDistribution(outputs, None)

    def loss(self, outputs: Tensor, target: ReturnDistribution, tau: Tensor | None) -> Tensor:
        """Loss of outputs (S, B, Z) against a target distribution, `(S, B)`."""
        return losses.LOSSES[self.c.loss](outputs[..., 0], target.support[..., 0])

    def priority(self, outputs: Tensor, target: ReturnDistribution, loss: Tensor) -> Tensor:
        """Priorities in replay, `(S, B)`.

        |TD error|, or the loss where a distribution is learned (Hessel et al. 2018).
        """
        return loss if self.c.distribution else (target.support - outputs)[..., 0].abs()


class RightActionHead(Head):
    """Logarithms of probabilities: that an action is the right one, of which there is one."""

    def outputs(self, x: Tensor, tau: Tensor | None = None) -> Tensor:
        return super().outputs(x).squeeze(-1).log_softmax(-1).unsqueeze(-1)

    def forward_numpy(self, x: np.ndarray) -> np.ndarray:
        values = super().forward_numpy(x)
        values = values - values.max(-1, keepdims=True)
        return values - np.log(np.exp(values).sum(-1, keepdims=True))

    def loss(self, outputs: Tensor, target: ReturnDistribution, tau: Tensor | None) -> Tensor:
        return losses.bandit_cross_entropy(outputs[..., 0], target.support[..., 0])

    def priority(self, outputs: Tensor, target: ReturnDistribution, loss: Tensor) -> Tensor:
        """Return the loss, `(S, B)`."""
        return loss


class CategoricalHead(Head):
    """C51: logits of Z fixed atoms (Bellemare et al. 2017)."""

    def __init__(self, generators: Generators, n_in: int, n_actions: int, c: HeadConfig) -> None:
        super().__init__(generators, n_in, n_actions, c)
        self.atoms = distributional.atoms(c.v_min, c.v_max, c.n_atoms)

    @functools.cached_property
    def atom_array(self) -> np.ndarray:
        """The atoms as an array, `(Z,)`."""
        array: np.ndarray = self.atoms.numpy()
        return array

    @staticmethod
    def outputs_per_action(c: HeadConfig) -> int:
        return c.n_atoms

    def mean(self, outputs: Any) -> Any:
        if isinstance(outputs, Tensor):
            return (outputs.softmax(-1) * self.constant("atoms", outputs.device)).sum(-1)
        weights = np.exp(outputs - outputs.max(-1, keepdims=True))
        return (weights * self.atom_array).sum(-1) / weights.sum(-1)

    def return_distribution(self, outputs: Tensor) -> ReturnDistribution:
        atoms = self.constant("atoms", outputs.device).expand_as(outputs)
        return ReturnDistribution(atoms, outputs.softmax(-1))

    def loss(self, outputs: Tensor, target: ReturnDistribution, tau: Tensor | None) -> Tensor:
        support, probabilities = target
        if probabilities is None:  # a reward without a future is certain
            probabilities = torch.ones_like(support)
        atoms = self.constant("atoms", outputs.device)
        projected = distributional.project(support, probabilities, atoms)
        return distributional.divergence(outputs, projected)


class QuantileHead(Head):
    """QR-DQN: quantiles at the midpoints of Z equal shares (Dabney et al. 2018a)."""

    def __init__(self, generators: Generators, n_in: int, n_actions: int, c: HeadConfig) -> None:
        super().__init__(generators, n_in, n_actions, c)
        self.midpoints = distributional.midpoints(self.n_outputs)

    @staticmethod
    def outputs_per_action(c: HeadConfig) -> int:
        return c.n_quantiles

    def mean(self, outputs: Any) -> Any:
        return outputs.mean(-1)

    def loss(self, outputs: Tensor, target: ReturnDistribution, tau: Tensor | None) -> Tensor:
        if tau is None:
            tau = self.constant("midpoints", outputs.device)
        return distributional.quantile_huber(outputs, tau, target.support, self.c.kappa)


class ImplicitQuantileHead(QuantileHead):
    """IQN: quantiles at any fractions tau, embedded by cosines (Dabney et al. 2018b, eq. 4).

    Unlike there, actions are chosen by evenly spread fractions, not by random ones: acting and
    evaluation need no random numbers.
    """

    def __init__(self, generators: Generators, n_in: int, n_actions: int, c: HeadConfig) -> None:
        super().__init__(generators, n_in, n_actions, c)
        self.embedding = Linear(generators, c.iqn_embedding, n_in)
        self.frequencies = torch.pi * torch.arange(c.iqn_embedding)  # (E,)
        self.acting_tau = distributional.midpoints(c.iqn_acting_samples)  # (K,)

    @functools.cached_property
    def acting_cosines(self) -> np.ndarray:
        """Cosines of the fractions used for acting, `(K, E)`."""
        array: np.ndarray = torch.cos(self.acting_tau[:, None] * self.frequencies).numpy()
        return array

    @staticmethod
    def outputs_per_action(c: HeadConfig) -> int:
        return 1

    def outputs(self, x: Tensor, tau: Tensor | None = None) -> Tensor:
        lead = x.shape[:2]
        if tau is None:
            tau = self.constant("acting_tau", x.device).expand(lead[0], 1, -1)
        cosines = torch.cos(
            tau[..., None] * self.constant("frequencies", x.device)
        )  # (S, B or 1, N, E)
        embedded = torch.relu(self.embedding.forward(cosines.flatten(1, 2)))
        mixed = x.unsqueeze(2) * embedded.unflatten(1, tau.shape[1:])  # (S, B, N, F)
        outputs = self.combine_streams(mixed.flatten(1, 2), MLP.forward)  # (S, B N, A, 1)
        return outputs.unflatten(1, (lead[1], -1)).squeeze(-1).mT

    def greedy_values(self, x: Tensor, outputs: Tensor) -> Tensor:
        return self.forward(x)

    def forward_numpy(self, x: np.ndarray) -> np.ndarray:
        embedded = np.maximum(self.embedding.forward_numpy(self.acting_cosines), 0.0)  # (S, K, F)
        mixed = x[:, :, None] * embedded[:, None]  # (S, N, K, F)
        outputs = self.combine_streams(mixed.reshape(len(x), -1, x.shape[-1]), MLP.forward_numpy)
        return outputs.reshape(*x.shape[:2], -1, self.n_actions).mean(2)


HEADS: dict[str | None, type[Head]] = {
    "cross_entropy": RightActionHead,
    "c51": CategoricalHead,
    "qr": QuantileHead,
    "iqn": ImplicitQuantileHead,
}


class ValueNetwork(QNetwork):
    """Q-values of S seeds as DQN learns them: any encoder, any head, with or without noise."""

    head: Head

    def __init__(
        self, generators: Generators, spec: ObsSpec, n_actions: int, c: HeadConfig
    ) -> None:
        super().__init__(generators, spec, n_actions, c, HEADS.get(c.distribution or c.loss, Head))
        self.noisy = add_noise(self, c.noisy_sigma) if c.noisy else []
