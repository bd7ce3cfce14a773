"""Kernels for CPUs, in numpy: a layer with its activation, tanh, mean, norm, and their gradients.

numpy calls OpenBLAS with less around it than torch has around MKL: for small networks, and for
heads of a few outputs above all, products take half the time, and its tanh takes a seventh. Each
seed is multiplied by a call of its own, so it gets the same bits alone and in company. They are
operators of torch without gradients of their own, so that traces contain them. On other devices,
and where torch's compiler is to fuse them, torch's own kernels are used.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

LIBRARY = torch.library.Library("rlbench", "DEF")
KERNELS: dict[str, Kernel] = {}  # by name
_torch_only = _tracing = False


class Kernel(NamedTuple):
    """An operator torch.ops.rlbench.NAME that returns one tensor on a CPU."""

    shape: Callable[..., tuple[int, ...]]  # of the result, from the arguments
    fill: Callable[..., None]  # (result, the same as an array, arrays and other arguments)

    def __call__(self, *arguments: Any) -> Tensor:
        y = arguments[0].new_empty(self.shape(*arguments))
        with np.errstate(all="ignore"):  # as torch does
            self.fill(y, y.numpy(), *(array(x) if isinstance(x, Tensor) else x for x in arguments))
        return y


def _kernel(signature: str, shape: Callable[..., tuple[int, ...]]) -> Callable[..., Any]:
    """Register a function, the `fill` of a kernel, as an operator with torch's `signature`."""

    def define(fill: Callable[..., None]) -> Callable[..., None]:
        name = fill.__name__.lstrip("_")
        KERNELS[name] = Kernel(shape, fill)
        LIBRARY.define(f"{name}({signature}) -> Tensor")
        LIBRARY.impl(name, KERNELS[name], "CPU")
        return fill

    return define


@contextmanager
def torch_kernels_only() -> Iterator[None]:
    """Use torch's own kernels everywhere in this context."""
    global _torch_only
    before, _torch_only = _torch_only, True
    try:
        yield
    finally:
        _torch_only = before


@contextmanager
def tracing() -> Iterator[None]:
    """Call kernels through torch's dispatcher in this context, so that a trace sees them.

    Elsewhere they bypass it.
    """
    global _tracing
    before, _tracing = _tracing, True
    try:
        yield
    finally:
        _tracing = before


def _run(name: str, *arguments: Any) -> Tensor:
    if not _tracing:
        return KERNELS[name](*arguments)
    result: Tensor = getattr(torch.ops.rlbench, name)(*arguments)
    return result


def use_cpu_kernels(x: Tensor) -> bool:
    """Return whether these kernels are used for this tensor."""
    return x.is_cpu and not _torch_only


def _learns(x: Tensor) -> bool:
    return torch.is_grad_enabled() and x.requires_grad


def array(x: Tensor) -> np.ndarray:
    """Return a tensor as an array that BLAS can read; a copy where its rows are not dense."""
    x = x.detach() if x.requires_grad else x
    if x.ndim > 1 and (x.stride(-1) != 1 or x.stride(-2) < x.shape[-1]):
        x = x.contiguous()
    values: np.ndarray = x.numpy()
    return values


def affine(x: Tensor, weight: Tensor, bias: Tensor, activation: str = "") -> Tensor:
    """Return activation(x W + b), where activation is `relu`, `tanh` or empty.

    Shapes: `(S, B, n_in), (S, n_in, n_out), (S, 1, n_out) -> (S, B, n_out)`.
    """
    if use_cpu_kernels(x):
        if _learns(weight) or _learns(x):
            return _Affine.apply(x, weight, bias, activation)
        return _run("affine", x, weight, bias, activation)
    _, n_in, n_out = weight.shape
    if n_out == 1:  # BLAS takes another path for one column when S = 1, and rounds differently
        y = (x * weight.mT).sum(-1, keepdim=True) + bias
    elif n_in == 1:
        y = x * weight + bias
    else:
        y = torch.baddbmm(bias, x, weight)
    return getattr(torch, activation)(y) if activation else y


def product(x: Tensor, y: Tensor, x_turned: bool = False, y_turned: bool = False) -> Tensor:
    """Return x @ y, `(S, ..., m, k), (S, ..., k, n) -> (S, ..., m, n)`; each may be transposed."""
    if not use_cpu_kernels(x):
        return torch.matmul(x.mT if x_turned else x, y.mT if y_turned else y)
    if _learns(x) or _learns(y):
        return _Product.apply(x, y, x_turned, y_turned)
    return _run("product", x, y, x_turned, y_turned)


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent of every element."""
    if not use_cpu_kernels(x):
        return torch.tanh(x)
    return _Tanh.apply(x) if _learns(x) else _run("tanh", x)


def mean(x: Tensor) -> Tensor:
    """Return the mean of the last axis, `(..., B) -> (...)`."""
    if not use_cpu_kernels(x):
        return x.mean(-1)
    return _Mean.apply(x) if _learns(x) else _run("mean", x)


def row_norm(x: Tensor) -> Tensor:
    """Return the Euclidean norm over the last axis, `(..., P) -> (..., 1)`; no gradient."""
    if not use_cpu_kernels(x):
        return torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return _run("row_norm", x)


@_kernel(
    "Tensor x, Tensor y, bool x_turned, bool y_turned",
    lambda x, y, x_turned, y_turned: (
        *x.shape[:-2],
        x.shape[-1 if x_turned else -2],
        y.shape[-2 if y_turned else -1],
    ),
)
def _product(
    z: Tensor, out: np.ndarray, x: np.ndarray, y: np.ndarray, x_turned: bool, y_turned: bool
) -> None:
    x, y = x.swapaxes(-1, -2) if x_turned else x, y.swapaxes(-1, -2) if y_turned else y
    np.matmul(x, y, out)


@_kernel("Tensor x", lambda x: x.shape)
def _tanh(y: Tensor, out: np.ndarray, x: np.ndarray) -> None:
    np.tanh(x, out=out)


@_kernel(
    "Tensor x, Tensor weight, Tensor bias, str activation",
    lambda x, weight, *_: (*x.shape[:2], weight.shape[2]),
)
def _affine(
    y: Tensor, out: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray, activation: str
) -> None:
    np.matmul(x, weight, out)
    np.add(out, bias, out)
    if activation == "relu":
        torch.relu_(y)  # three times as fast as numpy's maximum
    elif activation == "tanh":
        np.tanh(out, out)


@_kernel("Tensor grad, Tensor y, str activation", lambda grad, *_: grad.shape)
def _activation_grad(
    result: Tensor, out: np.ndarray, grad: np.ndarray, y: np.ndarray, activation: str
) -> None:
    """Compute the gradient of x in y = activation(x), from that of y."""
    if activation == "relu":
        np.copyto(out, np.greater(y, 0.0))
    else:
        np.multiply(y, y, out)
        np.subtract(1.0, out, out)
    np.multiply(grad, out, out)


@_kernel("Tensor grad, Tensor weight", lambda grad, weight: (*grad.shape[:2], weight.shape[1]))
def _input_grad(y: Tensor, out: np.ndarray, grad: np.ndarray, weight: np.ndarray) -> None:
    """Compute the gradient of x in x W, from that of the product."""
    # numpy multiplies a column with a row without BLAS.
    product = np.multiply if grad.shape[2] == 1 else np.matmul
    product(grad, weight.swapaxes(1, 2), out)


@_kernel("Tensor grad, Tensor x", lambda grad, x: (grad.shape[0], x.shape[2], grad.shape[2]))
def _weight_grad(y: Tensor, out: np.ndarray, grad: np.ndarray, x: np.ndarray) -> None:
    """Compute the gradient of W in x W, from that of the product."""
    np.matmul(x.swapaxes(1, 2), grad, out)


@_kernel("Tensor grad", lambda grad: (grad.shape[0], 1, grad.shape[2]))
def _bias_grad(y: Tensor, out: np.ndarray, grad: np.ndarray) -> None:
    """Compute the gradient of b in x W + b, from that of the sum."""
    np.matmul(_ones(grad.shape[1]), grad, out)  # three times as fast as a sum


@_kernel("Tensor x", lambda x: x.shape[:-1])
def _mean(y: Tensor, out: np.ndarray, x: np.ndarray) -> None:
    np.add.reduce(x, -1, out=out)
    np.divide(out, x.shape[-1], out)


@_kernel("Tensor x", lambda x: (*x.shape[:-1], 1))
def _row_norm(y: Tensor, out: np.ndarray, x: np.ndarray) -> None:
    np.matmul(x[..., None, :], x[..., None], out[..., None])
    np.sqrt(out, out)


@functools.cache
def _ones(count: int) -> np.ndarray:
    return np.ones((1, count), np.float32)


class _Affine(torch.autograd.Function):
    """`affine` with its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, activation: str) -> Tensor:
        y = _run("affine", x, weight, bias, activation)
        ctx.save_for_backward(x, weight, y)
        ctx.activation = activation
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (x, weight, y), needed = grads, ctx.saved_tensors, ctx.needs_input_grad
        if ctx.activation:
            grad = _run("activation_grad", grad, y, ctx.activation)
        return (
            _run("input_grad", grad, weight) if needed[0] else None,
            _run("weight_grad", grad, x) if needed[1] else None,
            _run("bias_grad", grad) if needed[2] else None,
            None,
        )


class _Product(torch.autograd.Function):
    """`product` with its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, x_turned: bool, y_turned: bool) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.turned = x_turned, y_turned
        return _run("product", x, y, x_turned, y_turned)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (x, y), needed = grads, ctx.saved_tensors, ctx.needs_input_grad
        x_turned, y_turned = ctx.turned
        of_x = (y, grad, y_turned, True) if x_turned else (grad, y, False, not y_turned)
        of_y = (grad, x, True, x_turned) if y_turned else (x, grad, not x_turned, False)
        return (
            _run("product", *of_x) if needed[0] else None,
            _run("product", *of_y) if needed[1] else None,
            None,
            None,
        )


class _Mean(torch.autograd.Function):
    """`mean` with its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return _run("mean", x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return (grads[0] / ctx.shape[-1]).unsqueeze(-1).expand(ctx.shape)


class _Tanh(torch.autograd.Function):
    """`tanh` with its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = _run("tanh", x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _run("activation_grad", *grads, *ctx.saved_tensors, "tanh")
