"""What a policy carries from step to step: stacked frames and memory.

Both are kept per lane and begin anew with every episode. A carry is a tuple of arrays
`(S, N, ...)`, empty for a policy that needs none; frozen policies and agents in training each have
their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlbench.learning.data.normalization import Normalizer
from rlbench.learning.environments.spaces import ObsSpec

Carry = tuple[np.ndarray, ...]


class ObservationPipeline:
    """Observations as networks see them: normalised, stacked, and with the memory that is due."""

    def __init__(self, spec: ObsSpec, memory: int, normalizer: Normalizer | None = None) -> None:
        self.spec, self.memory, self.normalizer = spec, memory, normalizer
        frames = [(spec.stack, *spec.shape)] if spec.stack > 1 else []
        self.carries = [*frames, (memory,)] if memory else frames
        self.plain = not memory and spec.stack == 1  # nothing is carried

    def see(
        self, obs: np.ndarray, carry: Carry | None, first: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, Carry]:
        """What is seen (S, N, *seen), the memory up to it (S, N, M), and what is carried on.

        `first` (S, N) marks lanes in which an episode begins: frames before it are copies of its
        first, and memory is 0.
        """
        obs = self._plain(obs)
        lead, stack = obs.shape[:2], self.spec.stack
        if carry is None:
            carry, first = self._nothing(obs), np.ones(lead, bool)
        seen = obs
        rest: Carry = ()
        if stack > 1:
            frames = np.concatenate([carry[0][:, :, 1:], obs[:, :, None]], 2)
            if first.any():
                frames[first] = obs[first][:, None]
            seen, rest = frames, (frames,)
        memory = carry[-1] if self.memory else np.empty((*lead, 0), np.float32)
        if self.memory and first.any():
            memory = np.where(first[..., None], np.float32(0.0), memory)
        return seen, memory, rest

    def peek(self, next_obs: np.ndarray, carry: Carry) -> np.ndarray:
        """What would be seen of the successor of the last observation, within its episode."""
        obs = self._plain(next_obs)
        if self.spec.stack == 1:
            return obs
        return np.concatenate([carry[0][:, :, 1:], obs[:, :, None]], 2)

    def _plain(self, obs: np.ndarray) -> np.ndarray:
        """One observation as networks see it, without those before it."""
        if self.normalizer is not None:
            return self.normalizer.array(obs)
        return obs if obs.dtype == self.spec.dtype else obs.astype(self.spec.dtype)

    def _nothing(self, obs: np.ndarray) -> Carry:
        lead = obs.shape[:2]
        frames = np.zeros((*lead, self.spec.stack, *obs.shape[2:]), obs.dtype)
        memory = np.zeros((*lead, self.memory), np.float32)
        return tuple(
            a for a, used in ((frames, self.spec.stack > 1), (memory, self.memory)) if used
        )


class LaneContext(ObservationPipeline):
    """A perception together with what an agent in training carries.

    `taken` is what the agent keeps of a step between acting and observing, by name, (S, N, ...);
    it is here so that it is saved and cut with the rest.
    """

    def __init__(
        self, spec: ObsSpec, memory: int, lead: tuple[int, int], normalizer: Normalizer | None
    ) -> None:
        super().__init__(spec, memory, normalizer)
        self.lead = lead
        self.reset()

    def reset(self) -> None:
        """All lanes begin new episodes."""
        self.episode_start = np.ones(self.lead, bool)
        self.carry: Carry | None = None
        self.pending: dict[str, np.ndarray] = {}

    def state(self) -> dict[str, Any]:
        carry = {str(i): part for i, part in enumerate(self.carry or ())}
        return {"first": self.episode_start, "carry": carry, "taken": dict(self.pending)}

    def restore(self, state: dict[str, Any]) -> None:
        self.episode_start = np.asarray(state["first"])
        self.pending = {name: np.asarray(value) for name, value in state["taken"].items()}
        carry = state["carry"]
        self.carry = tuple(np.asarray(carry[key]) for key in sorted(carry)) or None
