"""Layers of one seed as those of torch.nn: `(S, B, F)` with S = 1 becomes `(B, F)`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rlbench.errors import UserError
from rlbench.learning.networks import batch_norm, convolution, layers, recurrent
from rlbench.learning.networks.attention import FAR, Attention
from rlbench.learning.networks.encoders import Encoder
from rlbench.learning.networks.user_module import UserModule
from rlbench.learning.networks.value_heads import CategoricalHead, Head, ImplicitQuantileHead

# Places of torch's gates among ours: (input, forget, output, new) for its (input, forget, new,
# output). Those of GRUs are alike.
GATES = {"LSTM": [0, 1, 3, 2]}
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


def linear(layer: Any) -> nn.Linear:
    """Return a linear layer; of a noisy one the means."""
    plain = nn.Linear(layer.weight.shape[1], layer.weight.shape[2])
    _fill(plain, weight=layer.weight[0].T, bias=layer.bias[0, 0])
    return plain


def mlp(network: layers.MLP) -> nn.Sequential:
    """Return fully connected layers, with their norms and activations."""
    modules: list[nn.Module] = []
    for i, (layer, norm, activated) in enumerate(network.path()):
        modules.append(linear(layer))
        if isinstance(network, batch_norm.NormalizedMLP):
            _take_in(modules[-1], network.inputs[i])
        if norm is not None:
            plain = nn.LayerNorm(norm.gain.shape[-1], eps=norm.eps)
            _fill(plain, weight=norm.gain[0, 0], bias=norm.bias[0, 0])
            modules.append(plain)
        if activated:
            modules.append(ACTIVATIONS[network.activation_name]())
    return nn.Sequential(*modules)


def _take_in(plain: Any, norm: Any) -> None:
    """Change a layer to one of the inputs that a `BatchRenorm` is given, instead of its outputs."""
    scale = norm.gain[0, 0] / (norm.variance[0, 0] + norm.eps).sqrt()
    shift = norm.bias[0, 0] - norm.mean[0, 0] * scale
    _fill(plain, bias=plain.bias + plain.weight @ shift, weight=plain.weight * scale)


class PlainOperations(nn.Module):
    """Operations on images that branch, `(B, C, H, W) -> (B, F)`."""

    def __init__(self, network: convolution.Convolutions) -> None:
        super().__init__()
        self.operations = network.operations
        self.weights = nn.ParameterList(weight[0].detach().clone() for weight in network.weights)
        self.biases = nn.ParameterList(bias[0].detach().clone() for bias in network.biases)

    def forward(self, x: Tensor) -> Tensor:
        kernels = zip(self.weights, self.biases, strict=True)
        return convolution.apply_all(self.operations, x, kernels).flatten(1)


def convolutions(network: convolution.Convolutions) -> nn.Module:
    """Return convolutions with their pooling, up to the vector that they end in."""
    modules: list[nn.Module] = []
    layers = [each for each in network.operations if isinstance(each, convolution.Layer)]
    if len(layers) < len(network.operations):
        return PlainOperations(network)
    for layer, weight, bias in zip(layers, network.weights, network.biases, strict=True):
        _, out, inputs, kernel, _ = weight.shape
        conv = nn.Conv2d(inputs, out, kernel, layer.stride, layer.padding)
        _fill(conv, weight=weight[0], bias=bias[0])
        pool = [nn.MaxPool2d(layer.pool)] if layer.pool > 1 else []
        modules += [conv, *pool, nn.ReLU()]
    return nn.Sequential(*modules, nn.Flatten())


class PlainCell(nn.Module):
    """A recurrent cell of torch.nn; the state of an LSTM is [h, c]."""

    def __init__(self, cell: recurrent.RecurrentCell) -> None:
        super().__init__()
        n_in, n, name = cell.inputs.weight.shape[1], cell.hidden, type(cell).__name__
        kind = {"RNN": nn.RNNCell, "GRU": nn.GRUCell, "LSTM": nn.LSTMCell}[name]
        self.cell: Any = kind(n_in, n)
        self.units, self.long = n, kind is nn.LSTMCell
        order = GATES.get(name, range(cell.gates))
        columns = torch.cat([torch.arange(gate * n, (gate + 1) * n) for gate in order])
        _fill(
            self.cell,
            weight_ih=cell.inputs.weight[0].T[columns],
            weight_hh=cell.weight[0].T[columns],
            bias_ih=cell.inputs.bias[0, 0][columns],
            bias_hh=torch.zeros(cell.gates * n),
        )

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, H) and the next state (B, M)."""
        if not self.long:
            after = self.cell(x, hidden)
            return after, after
        h, c = self.cell(x, (hidden[:, : self.units], hidden[:, self.units :]))
        return h, torch.cat([h, c], -1)


class PlainAttention(nn.Module):
    """A layer of attention over the inputs that its state holds."""

    def __init__(self, layer: Attention) -> None:
        super().__init__()
        self.units, self.heads, self.sizes = layer.hidden, layer.heads, layer.sizes
        n = self.units
        self.inputs = nn.Identity() if layer.inputs is None else linear(layer.inputs)
        self.norm = nn.LayerNorm(n, elementwise_affine=False)
        self.queries, self.outputs = linear(layer.queries), linear(layer.outputs)
        self.keys, self.values = nn.Linear(n, n, bias=False), nn.Linear(n, n, bias=False)
        _fill(self.keys, weight=layer.keys[0].T)
        _fill(self.values, weight=layer.values[0].T)
        self.places = nn.Parameter(layer.places[0].detach().clone())
        self.rest = nn.Sequential(self.norm, linear(layer.up), nn.ReLU(), linear(layer.down))

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, H) and the next state (B, M)."""
        x = self.inputs(x)
        new = self.norm(x)
        _, kept, past = hidden.split(self.sizes, -1)
        seen = torch.cat([past.reshape(-1, self.sizes[1], self.units), new.unsqueeze(1)], 1)
        kept = torch.cat([kept, torch.ones_like(kept[:, :1])], 1)  # (B, N)
        parts = (self.heads, self.units // self.heads)
        query = self.queries(new).unflatten(-1, parts).unsqueeze(-2)  # (B, h, 1, H / h)
        keys = (self.keys(seen) + self.places).unflatten(-1, parts).transpose(1, 2)
        values = self.values(seen).unflatten(-1, parts).transpose(1, 2)  # (B, h, N, H / h)
        scores = query @ keys.transpose(-1, -2) * parts[1] ** -0.5  # (B, h, 1, N)
        scores = scores + (kept[:, None, None] - 1.0) * FAR
        y = x + self.outputs((scores.softmax(-1) @ values).flatten(1))
        y = y + self.rest(y)
        return y, torch.cat([y, kept[:, 1:], seen[:, 1:].flatten(1)], -1)


class PlainStack(nn.Module):
    """Cells one above the other; the state of the topmost comes first."""

    def __init__(self, stack: recurrent.CellStack) -> None:
        super().__init__()
        self.cells = nn.ModuleList(cell(each) for each in stack.cells)
        self.sizes = stack.sizes

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, H) and the next state (B, M)."""
        states = hidden.split(self.sizes, -1)[::-1]
        after: list[Tensor] = []
        for cell, own in zip(self.cells, states, strict=True):
            x, state = cell(x, own)
            after.append(state)
        return x, torch.cat(after[::-1], -1)


def cell(cell: nn.Module) -> PlainCell | PlainAttention | PlainStack:
    """Return a memory, or a stack of several."""
    if isinstance(cell, recurrent.CellStack):
        return PlainStack(cell)
    if isinstance(cell, Attention):
        return PlainAttention(cell)
    assert isinstance(cell, recurrent.RecurrentCell)
    return PlainCell(cell)


class PlainHead(nn.Module):
    """Q-values of a value head, `(B, F) -> (B, A)`."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.actions, self.outputs = head.n_actions, head.n_outputs
        self.advantage = mlp(head.advantage)
        self.value = None if head.value is None else mlp(head.value)
        self.embedding: nn.Linear | None = None
        if isinstance(head, CategoricalHead):
            self.register_buffer("atoms", head.atoms.detach().clone())
        if isinstance(head, ImplicitQuantileHead):
            self.embedding = linear(head.embedding)
            self.register_buffer("cosines", torch.from_numpy(head.acting_cosines.copy()))

    def forward(self, x: Tensor) -> Tensor:
        if self.embedding is not None:
            x = x.unsqueeze(1) * torch.relu(self.embedding(self.cosines)).unsqueeze(0)  # (B, K, F)
        z = self.advantage(x).unflatten(-1, (self.actions, self.outputs))
        if self.value is not None:
            z = self.value(x).unsqueeze(-2) + z - z.mean(-2, keepdim=True)
        if hasattr(self, "atoms"):
            return (z.softmax(-1) * self.atoms).sum(-1)
        values: Tensor = z.mean(-1)  # over quantiles, or of one number
        return values if self.embedding is None else values.mean(1)


def user_module(module: UserModule) -> nn.Module:
    """Return a user's module with the weights of one seed, in evaluation mode."""
    plain = copy.deepcopy(module.template[0])
    with torch.no_grad():
        named = dict(plain.named_parameters())
        for name, value in zip(module.names, module.stacked, strict=True):
            named[name].copy_(value[0])
    return plain.eval()


def check(encoder: Encoder) -> None:
    """Refuse an encoder of more than one seed.

    Raises:
        UserError: There are several.
    """
    seeds = {len(parameter) for parameter in encoder.parameters()}
    if seeds - {1}:
        raise UserError(f"this policy is of {max(seeds)} seeds, and a plain module is of one")


def _fill(module: nn.Module, **values: Tensor) -> None:
    with torch.no_grad():
        for name, value in values.items():
            getattr(module, name).copy_(value.detach())
