"""Networks of S seeds as one: every parameter has the seed axis first.

Layers map `(S, B, features)` to `(S, B, features)`; `stack.StackedParameters` then holds all
parameters of a module as one `(S, P)` matrix whose rows are the seeds. So a seed's gradient norm is
a row norm, a target update one copy, an optimiser step one call, and dropping a seed a slice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlbench.learning.compile import affine, tanh


def _relu(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0.0, out=out)


# For training and, in place on arrays, for acting. Sigmoid, softplus, silu and elu are not here:
# vectorised and scalar code round them differently, so they would break lockstep equality.
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[..., np.ndarray]]] = {
    "relu": (torch.relu, _relu),
    "tanh": (tanh, np.tanh),
}


Generators = Sequence[np.random.Generator]


def initial(
    generators: Generators, n_in: int, n_out: int, gain: float | None
) -> tuple[Tensor, Tensor]:
    """Draw initial weights (S, n_in, n_out) and biases (S, n_out).

    With `gain`, weights are orthogonal with that gain (Saxe et al. 2014) and biases 0; without,
    both are uniform within 1 / sqrt(n_in), which is torch's default. On the device `meta` nothing
    is drawn.
    """
    if torch.empty(0).is_meta:
        return torch.empty(len(generators), n_in, n_out), torch.empty(len(generators), n_out)
    if gain is None:
        bound = n_in**-0.5
        draws = np.stack([g.uniform(-bound, bound, (n_in + 1, n_out)) for g in generators])
        values = torch.from_numpy(draws.astype(np.float32))
        return values[:, :-1].contiguous(), values[:, -1].contiguous()
    weights = np.stack([gain * _orthogonal(g, n_in, n_out) for g in generators])
    return torch.from_numpy(weights.astype(np.float32)), torch.zeros(len(generators), n_out)


def _orthogonal(generator: np.random.Generator, n_in: int, n_out: int) -> np.ndarray:
    """Draw a matrix with orthonormal rows or columns, whichever are fewer, uniformly."""
    tall = generator.standard_normal((max(n_in, n_out), min(n_in, n_out)))
    q, r = np.linalg.qr(tall)
    q *= np.sign(np.diag(r))  # without this the distribution is not uniform (Mezzadri 2007)
    return q if n_in >= n_out else q.T


def cache_submodules(module: nn.Module) -> None:
    """Make a module's submodules plain attributes as well.

    Looking one up through nn.Module costs as much as a product of small matrices.
    """
    module.__dict__.update(module._modules)


class Linear(nn.Module):
    """S linear layers side by side: `(S, B, n_in) -> (S, B, n_out)`."""

    def __init__(
        self, generators: Generators, n_in: int, n_out: int, gain: float | None = None
    ) -> None:
        super().__init__()
        weight, bias = initial(generators, n_in, n_out, gain)
        self.weight = nn.Parameter(weight)  # (S, n_in, n_out)
        self.bias = nn.Parameter(bias.unsqueeze(1))  # (S, 1, n_out)
        self.views: tuple[np.ndarray, ...] = ()

    def forward(self, x: Tensor, activation: str = "") -> Tensor:
        return affine(x, self.weight, self.bias, activation)

    def forward_numpy(self, x: np.ndarray) -> np.ndarray:
        """Apply `forward` on arrays, reading the parameters without a copy."""
        if not self.views:
            self.views = tuple(np.asarray(p.data) for p in self.parameters())
        weight, bias = self.views
        x = np.matmul(x, weight)
        x += bias
        return x


class LayerNorm(nn.Module):
    """S layers of gain * (x - mean) / deviation + bias, over features (Ba et al. 2016)."""

    eps = 1e-5

    def __init__(self, seeds: int, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(seeds, 1, width))
        self.bias = nn.Parameter(torch.zeros(seeds, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        normal = nn.functional.layer_norm(x, x.shape[-1:], eps=self.eps)
        return torch.addcmul(self.bias, normal, self.gain)

    def forward_numpy(self, x: np.ndarray) -> np.ndarray:
        """Apply `forward` on arrays."""
        x = x - x.mean(-1, keepdims=True)
        x /= np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(self.eps))
        x *= self.gain.data.numpy()
        x += self.bias.data.numpy()
        return x


class MLP(nn.Module):
    """S multi-layer perceptrons: `(S, B, n_in) -> (S, B, sizes[-1])`.

    `activate_last` says whether the activation follows the last layer too (an encoder), or not (a
    head).
    """

    layers: Any  # linear ones, or noisy
    norms: Any
    activation: Callable[[Tensor], Tensor]
    activation_array: Callable[..., np.ndarray]

    def __init__(
        self,
        generators: Generators,
        n_in: int,
        sizes: Sequence[int],
        activation: str = "relu",
        activate_last: bool = False,
        gain: float | None = None,
        last_gain: float | None = None,
        norm: bool = False,
    ) -> None:
        super().__init__()
        pairs = list(itertools.pairwise([n_in, *sizes]))
        gains = [gain] * (len(pairs) - 1) + [gain if last_gain is None else last_gain]
        self.layers = nn.ModuleList(
            Linear(generators, a, b, g) for (a, b), g in zip(pairs, gains, strict=False)
        )
        self.activation_name = activation
        self.activation, self.activation_array = ACTIVATIONS[activation]
        self.activated = len(sizes) if activate_last else len(sizes) - 1
        norm_sizes = sizes[: self.activated] if norm else ()
        self.norms = nn.ModuleList(LayerNorm(len(generators), size) for size in norm_sizes)
        self._path: tuple[tuple[Any, Any, bool], ...] = ()

    def path(self) -> tuple[tuple[Any, Any, bool], ...]:
        """List (layer, norm or None, whether the activation follows) in order.

        Cached at the first use: looking up parts of an nn.Module costs as much as a product.
        """
        if not self._path:
            norms = [*self.norms, *[None] * len(self.layers)]
            self._path = tuple(
                (layer, norm, i < self.activated)
                for i, (layer, norm) in enumerate(zip(self.layers, norms, strict=False))
            )
        return self._path

    def forward(self, x: Tensor) -> Tensor:
        for layer, norm, activate in self.path():
            # Call forward directly: nn.Module.__call__ costs as much as the operation.
            x = layer.forward(x, self.activation_name if activate and norm is None else "")
            if norm is not None:
                x = norm.forward(x)
                x = self.activation(x) if activate else x
        return x

    def forward_numpy(self, x: np.ndarray) -> np.ndarray:
        """Apply `forward` for acting on a CPU: a few observations take torch 40 us, numpy 6.

        Reads the parameters without a copy; needs them in a `StackedParameters` on a CPU.
        """
        for layer, norm, activate in self.path():
            x = layer.forward_numpy(x)
            if norm is not None:
                x = norm.forward_numpy(x)
            if activate:
                self.activation_array(x, out=x)
        return x
