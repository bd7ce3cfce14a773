"""Comparison of states of agents, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from rlbench.learning import checkpoint


def flat(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every leaf of a state tree with its path; tensors as arrays."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from flat(value, f"{path}/{key}")
    elif isinstance(tree, list | tuple):
        for i, value in enumerate(tree):
            yield from flat(value, f"{path}/{i}")
    else:
        yield path, tree.detach().cpu().numpy() if isinstance(tree, torch.Tensor) else tree


def differences(one: Any, other: Any) -> list[str]:
    """Return the paths of leaves in which two state trees differ, in as little as one bit."""
    left, right = dict(flat(one)), dict(flat(other))
    wrong = list(left.keys() ^ right.keys())
    for path in left.keys() & right.keys():
        a, b = left[path], right[path]
        if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
            a, b = np.asarray(a), np.asarray(b)
            same = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        else:
            same = a == b
        if not same:
            wrong.append(path)
    return sorted(wrong)


def state_of(agent: Any, seed: int) -> Any:
    """Return everything that training of one seed depends on."""
    return checkpoint.select(agent.state(), agent.row(seed))
