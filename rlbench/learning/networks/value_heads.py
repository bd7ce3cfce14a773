"""Heads above DQN's encoder: action values, or distributions of returns whose mean they are.

Each action has Z numbers: one value, logits of atoms (C51), quantiles (QR-DQN), or quantiles at
given fractions (IQN). The head defines what they mean, the target distribution they imply for the
next step, and their loss.
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
from rlbench.learning.networks.encoders import EncoderConfig
from rlbench.learning.networks.layers import MLP, Generators, Linear, cache_submodules
from rlbench.learning.networks.models import QNetwork, perceptron
from rlbench.learning.networks.noisy import add_noise


class HeadConfig(EncoderConfig):
    """Parameters of the value head; those of another distribution are ignored."""

    loss: Literal["huber", "mse"] = field(
        "huber", description="loss of the temporal difference (distributions have their own)"
    )
    dueling: bool = field(
        False, description="values of states and advantages of actions apart (Wang et al. 2016)"
    )
    noisy: bool = field(
        False,
        description="learned noise in the weights of fully connected layers, which explores "
        "instead of random actions: exploration_* are ignored then (Fortunato et al. 2018)",
    )
    noisy_sigma: Float = field(
        0.5, gt=0, description="noisy: first deviation of weights, times 1 / sqrt(inputs)"
    )
    distribution: Literal["c51", "qr", "iqn"] | None = field(
        None,
        description="what is learned of returns. none: their mean; c51: probabilities of fixed "
        "values (Bellemare et al. 2017); qr: values at fixed quantiles (Dabney et al. 2018a); "
        "iqn: at any quantile (Dabney et al. 2018b)",
    )
    n_atoms: Int = field(51, ge=2, description="c51: how many values have a probability")
    v_min: Float = field(-100.0, description="c51: the least of them, a discounted return")
    v_max: Float = field(100.0, description="c51: the greatest of them, a discounted return")
    n_quantiles: Int = field(25, ge=1, description="qr: how many quantiles")
    kappa: Float = field(
        1.0, ge=0, description="qr, iqn: error up to which the quantile loss is squared"
    )
    iqn_samples: Int = field(8, ge=1, description="iqn: quantiles drawn per transition to learn")
    iqn_target_samples: Int = field(8, ge=1, description="iqn: quantiles drawn for its target")
    iqn_acting_samples: Int = field(
        32, ge=1, description="iqn: quantiles, evenly spread, whose mean is an action's value"
    )
    iqn_embedding: Int = field(64, ge=1, description="iqn: cosines that a quantile is seen as")

    def check(self) -> None:
        if self.v_min >= self.v_max:
            raise UserError(f"v_min={self.v_min:g} must be below v_max={self.v_max:g}")


class Head(nn.Module):
    """Action values of S seeds: A of them from F features, one number each, plain or dueling."""

    def __init__(self, generators: Generators, n_in: int, n_actions: int, c: HeadConfig) -> None:
        super().__init__()
        self.c, self.n_actions, self.numbers = c, n_actions, self.numbers_of(c)
        self.advantage = perceptron(generators, n_in, n_actions * self.numbers, c, 1.0)
        self.value = perceptron(generators, n_in, self.numbers, c, 1.0) if c.dueling else None
        cache_submodules(self)

    @staticmethod
    def numbers_of(c: HeadConfig) -> int:
        """Return Z, the numbers per action."""
        return 1

    def combined(self, x: Any, run: Callable[[MLP, Any], Any]) -> Any:
        """Map features (S, B, F) to numbers (S, B, A, Z), of tensors or arrays alike."""
        advantage = run(self.advantage, x)
        advantage = advantage.reshape(*x.shape[:2], self.n_actions, self.numbers)
        if self.value is None:
            return advantage
        # Unlike in the paper, gradients into the encoder are not scaled down by sqrt(2).
        value = run(self.value, x)[..., None, :]
        return value + advantage - advantage.mean(-2)[..., None, :]  # eq. 9

    def numbers_at(self, x: Tensor, fraction: Tensor | None = None) -> Tensor:
        """Map features `(S, B, F) -> (S, B, A, Z)`; for IQN at these fractions (S, B, Z)."""
        return self.combined(x, MLP.forward)

    def mean(self, numbers: Any) -> Any:
        """Average numbers to action values, `(S, B, A, Z) -> (S, B, A)`, of tensors or arrays."""
        return numbers[..., 0]

    def forward(self, x: Tensor) -> Tensor:
        """Return action values, `(S, B, F) -> (S, B, A)`."""
        return self.mean(self.numbers_at(x))

    def greedy(self, x: Tensor, numbers: Tensor) -> Tensor:
        """Return action values from features, or from numbers already computed from them."""
        return self.mean(numbers)

    def forward_numpy(self, x: np.ndarray) -> np.ndarray:
        """Apply `forward` on arrays, for acting."""
        if self.value is None and self.numbers == 1:
            return self.advantage.forward_numpy(x)
        return self.mean(self.combined(x, MLP.forward_numpy))

    def outcomes(self, numbers: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the returns that numbers (S, B, Z) stand for, and their probabilities.

        Without probabilities all are equally likely.
        """
        return numbers, None

    def loss(
        self, numbers: Tensor, target: Tensor, mass: Tensor | None, fraction: Tensor | None
    ) -> Tensor:
        """Return the loss of numbers (S, B, Z) against target outcomes (S, B, M), `(S, B)`."""
        return losses.LOSSES[self.c.loss](numbers[..., 0], target[..., 0])

    def surprise(self, numbers: Tensor, target: Tensor, loss: Tensor) -> Tensor:
        """Return the priorities of transitions, `(S, B)`.

        The absolute TD error, or the loss of a distribution (Hessel et al. 2018).
        """
        return loss if self.c.distribution else (target - numbers)[..., 0].abs()


class CategoricalHead(Head):
    """C51: logits of fixed atoms (Bellemare et al. 2017)."""

    def __init__(self, generators: Generators, n_in: int, n_actions: int, c: HeadConfig) -> None:
        super().__init__(generators, n_in, n_actions, c)
        self.atoms = distributional.atoms(c.v_min, c.v_max, c.n_atoms)

    @functools.cached_property
    def atom_array(self) -> np.ndarray:
        array: np.ndarray = self.atoms.numpy()
        return array

    @staticmethod
    def numbers_of(c: HeadConfig) -> int:
        return c.n_atoms

    def mean(self, numbers: Any) -> Any:
        if isinstance(numbers, Tensor):
            return (numbers.softmax(-1) * self.atoms.to(numbers.device)).sum(-1)
        mass = np.exp(numbers - numbers.max(-1, keepdims=True))
        return (mass * self.atom_array).sum(-1) / mass.sum(-1)

    def outcomes(self, numbers: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.atoms.to(numbers.device).expand_as(numbers), numbers.softmax(-1)

    def loss(
        self, numbers: Tensor, target: Tensor, mass: Tensor | None, fraction: Tensor | None
    ) -> Tensor:
        mass = torch.ones_like(target) if mass is None else mass  # a reward alone is certain
        projection = distributional.project(target, mass, self.atoms.to(numbers.device))
        return distributional.divergence(numbers, projection)


class QuantileHead(Head):
    """QR-DQN: quantiles at the midpoints of Z equal shares (Dabney et al. 2018a)."""

    @staticmethod
    def numbers_of(c: HeadConfig) -> int:
        return c.n_quantiles

    def mean(self, numbers: Any) -> Any:
        return numbers.mean(-1)

    def loss(
        self, numbers: Tensor, target: Tensor, mass: Tensor | None, fraction: Tensor | None
    ) -> Tensor:
        if fraction is None:
            fraction = distributional.midpoints(self.numbers).to(numbers.device)
        return distributional.quantile_huber(numbers, fraction, target, self.c.kappa)


class ImplicitQuantileHead(QuantileHead):
    """IQN: quantiles at any fractions, embedded by cosines (Dabney et al. 2018b, eq. 4).

    Unlike there, actions are chosen by evenly spread fractions, not by random ones: acting and
    evaluation need no random numbers.
    """

    def __init__(self, generators: Generators, n_in: int, n_actions: int, c: HeadConfig) -> None:
        super().__init__(generators, n_in, n_actions, c)
        self.embedding = Linear(generators, c.iqn_embedding, n_in)
        self.waves = torch.pi * torch.arange(c.iqn_embedding)  # (E,)
        self.even = distributional.midpoints(c.iqn_acting_samples)  # (K,)

    @functools.cached_property
    def even_cosines(self) -> np.ndarray:
        """Cosine embedding of the evenly spread fractions, (K, E)."""
        array: np.ndarray = torch.cos(self.even[:, None] * self.waves).numpy()
        return array

    @staticmethod
    def numbers_of(c: HeadConfig) -> int:
        return 1

    def numbers_at(self, x: Tensor, fraction: Tensor | None = None) -> Tensor:
        lead = x.shape[:2]
        if fraction is None:
            fraction = self.even.to(x.device).expand(lead[0], 1, -1)
        cosines = torch.cos(fraction[..., None] * self.waves.to(x.device))  # (S, B or 1, N, E)
        embedded = torch.relu(self.embedding.forward(cosines.flatten(1, 2)))
        product = x.unsqueeze(2) * embedded.unflatten(1, fraction.shape[1:])  # (S, B, N, F)
        numbers = self.combined(product.flatten(1, 2), MLP.forward)  # (S, B N, A, 1)
        return numbers.unflatten(1, (lead[1], -1)).squeeze(-1).mT

    def greedy(self, x: Tensor, numbers: Tensor) -> Tensor:
        return self.forward(x)

    def forward_numpy(self, x: np.ndarray) -> np.ndarray:
        embedded = np.maximum(self.embedding.forward_numpy(self.even_cosines), 0.0)  # (S, K, F)
        product = x[:, :, None] * embedded[:, None]  # (S, N, K, F)
        numbers = self.combined(product.reshape(len(x), -1, x.shape[-1]), MLP.forward_numpy)
        return numbers.reshape(*x.shape[:2], -1, self.n_actions).mean(2)


HEADS: dict[str | None, type[Head]] = {
    None: Head,
    "c51": CategoricalHead,
    "qr": QuantileHead,
    "iqn": ImplicitQuantileHead,
}


class ValueNetwork(QNetwork):
    """Q-network of DQN: any encoder, any head, and optional noise."""

    head: Head

    def __init__(
        self, generators: Generators, spec: ObsSpec, n_actions: int, c: HeadConfig
    ) -> None:
        super().__init__(generators, spec, n_actions, c, HEADS[c.distribution])
        self.noisy = add_noise(self, c.noisy_sigma) if c.noisy else []
