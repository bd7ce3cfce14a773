"""An evaluation that is due: policies as they were at a step, and what its rows say of them."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rlbench.errors import UserError
from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.evaluation.evaluation_rows import Broken, episode_rows
from rlbench.learning.networks.stack import StackedParameters
from rlbench.learning.policies.network_policies import NetworkPolicy
from rlbench.rows import Evaluation, Row


@dataclass
class FrozenPoint:
    """A point of the grid of one agent: what `episode_rows` asks an agent for, at that step."""

    seeds: tuple[int, ...]
    setting_of: tuple[int, ...]
    num_timesteps: int
    samples: int
    seconds: float  # of training so far
    episodes: int
    limit: StepLimit
    frozen: NetworkPolicy
    make_env: Callable[[], Any] | None

    def policy(self) -> NetworkPolicy:
        """Return the policies as they were."""
        return self.frozen

    def rows(self, broken: Broken) -> Iterator[Row]:
        """Play the episodes in this process; seeds that fail are added to `broken`."""
        return episode_rows(self, "grid", self.episodes, self.seconds, broken, self.limit)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what was learned: weights (S, P), and the normaliser's mean and scale, if any."""
        network: nn.Module = copy.deepcopy(self.frozen.network)
        arrays = {"weights": StackedParameters(network, torch.device("cpu")).data.numpy()}
        if (normalizer := self.frozen.pipeline.normalizer) is not None:
            arrays |= {"mean": normalizer.mean, "scale": normalizer.scale}
        return arrays

    def packed(self) -> bytes:
        """Return this point without its environments, for another process.

        Raises:
            UserError: A part of the policy cannot be sent.
        """
        file = io.BytesIO()
        try:
            _Plain(file, pickle.HIGHEST_PROTOCOL).dump(replace(self, make_env=None))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UserError(
                f"this agent cannot be sent to processes that play evaluations: {error}"
            ) from None
        return file.getvalue()

    @classmethod
    def unpacked(cls, message: bytes, make_env: Callable[[], Any]) -> FrozenPoint:
        """Return a point that `packed` packed, with its weights where they lay there."""
        point: FrozenPoint = pickle.loads(message)
        StackedParameters(point.frozen.network, torch.device("cpu")).freeze()
        return replace(point, make_env=make_env)


class Played(NamedTuple):
    """Rows of a point and its broken seeds, by row."""

    rows: list[Evaluation]
    broken: Broken


class _Plain(pickle.Pickler):
    """Pickles tensors as arrays: torch would send the whole matrix with each view into it."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, nn.Parameter):
            return _parameter, (np.ascontiguousarray(value.detach().numpy()),)
        if isinstance(value, Tensor):
            return torch.from_numpy, (value.detach().numpy().copy(),)
        return NotImplemented


def _parameter(array: np.ndarray) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(array), requires_grad=False)
