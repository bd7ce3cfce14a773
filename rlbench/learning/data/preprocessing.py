"""From observations to network inputs: normalisation, stacked frames, hidden states.

Frames and hidden states are kept per lane and reset with every episode. A carry is a tuple of
arrays `(S, N, ...)`, empty for a policy that needs none; frozen policies and agents in training
have carries of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlbench.learning.data.normalization import Normalizer
from rlbench.learning.environments.spaces import ObsSpec

Carry = tuple[np.ndarray, ...]


class ObservationPipeline:
    """Turns observations into network inputs: normalised, stacked, with a hidden state."""

    def __init__(
        self, spec: ObsSpec, state_size: int, normalizer: Normalizer | None = None
    ) -> None:
        self.spec, self.state_size, self.normalizer = spec, state_size, normalizer
        frames = [(spec.stack, *spec.shape)] if spec.stack > 1 else []
        self.carries = [*frames, (state_size,)] if state_size else frames
        self.plain = not state_size and spec.stack == 1  # nothing is carried

    def see(
        self, obs: np.ndarray, carry: Carry | None, first: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, Carry]:
        """Network inputs (S, N, *seen), hidden states before them (S, N, M), and stacked frames.

        `first` (S, N) marks lanes in which an episode begins: frames before it are copies of its
        first, and hidden states are 0. The frames are the next carry, with the hidden states after
        this step appended.
        """
        obs = self._normalized(obs)
        lead, stack = obs.shape[:2], self.spec.stack
        if carry is None:
            carry, first = self._empty_carry(obs), np.ones(lead, bool)
        inputs = obs
        next_carry: Carry = ()
        if stack > 1:
            frames = np.concatenate([carry[0][:, :, 1:], obs[:, :, None]], 2)
            if first.any():
                frames[first] = obs[first][:, None]
            inputs, next_carry = frames, (frames,)
        hidden = carry[-1] if self.state_size else np.empty((*lead, 0), np.float32)
        if self.state_size and first.any():
            hidden = np.where(first[..., None], np.float32(0.0), hidden)
        return inputs, hidden, next_carry

    def peek(self, next_obs: np.ndarray, carry: Carry) -> np.ndarray:
        """Network inputs for the successor of the last observation, within its episode."""
        obs = self._normalized(next_obs)
        if self.spec.stack == 1:
            return obs
        return np.concatenate([carry[0][:, :, 1:], obs[:, :, None]], 2)

    def _normalized(self, obs: np.ndarray) -> np.ndarray:
        """Normalise or convert observations, without stacking."""
        if self.normalizer is not None:
            return self.normalizer.array(obs)
        return obs if obs.dtype == self.spec.dtype else obs.astype(self.spec.dtype)

    def _empty_carry(self, obs: np.ndarray) -> Carry:
        lead = obs.shape[:2]
        frames = np.zeros((*lead, self.spec.stack, *obs.shape[2:]), obs.dtype)
        hidden = np.zeros((*lead, self.state_size), np.float32)
        carry = ((frames, self.spec.stack > 1), (hidden, self.state_size))
        return tuple(array for array, needed in carry if needed)


class LaneContext(ObservationPipeline):
    """Per-lane state of an agent in training: its carry, episode starts, and the pending step.

    `pending` holds what `act` leaves for `observe`, by name, `(S, N, ...)`.
    """

    def __init__(
        self, spec: ObsSpec, state_size: int, lead: tuple[int, int], normalizer: Normalizer | None
    ) -> None:
        super().__init__(spec, state_size, normalizer)
        self.lead = lead
        self.reset()

    def reset(self) -> None:
        """Begin new episodes in all lanes."""
        self.episode_start = np.ones(self.lead, bool)
        self.carry: Carry | None = None
        self.pending: dict[str, np.ndarray] = {}

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        carry = {str(i): part for i, part in enumerate(self.carry or ())}
        return {"first": self.episode_start, "carry": carry, "taken": dict(self.pending)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.episode_start = np.asarray(state["first"])
        self.pending = {name: np.asarray(value) for name, value in state["taken"].items()}
        carry = state["carry"]
        self.carry = tuple(np.asarray(carry[key]) for key in sorted(carry)) or None
