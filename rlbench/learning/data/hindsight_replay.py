"""Hindsight experience replay: what was reached is taken for the goal (Andrychowicz et al. 2017).

A share of every batch gets another goal when it is sampled: one that was achieved in the same
episode, as far as that has been played and is stored. Reward and termination are computed for it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from torch import Tensor

from rlbench.learning.data.replay import Field, Replay
from rlbench.learning.environments.goals import Goals
from rlbench.learning.rng import RandomStream

Strategy = Literal["future", "final", "episode"]
# Numbers of steps, counted over all of training, stored with each step.
FIELDS = {name: Field((), np.int64) for name in ("episode_first", "episode_last")}
OPEN = -1  # the last step of an episode that goes on


class HindsightReplay(Replay):
    """A `Replay` of transitions that gives a share of each batch goals that were achieved.

    Args:
        goals: where goals are, and what they are worth.
        chosen: uniform numbers (S, K) for the K items of a batch that get another goal.
        strategy: from which steps of the episode.
        arguments: those of `Replay`.
    """

    def __init__(
        self, *arguments: Any, goals: Goals, chosen: RandomStream, strategy: Strategy
    ) -> None:
        super().__init__(*arguments)
        self.goals, self.chosen, self.strategy = goals, chosen, strategy
        self.count = chosen.values.shape[-1]
        self.added = 0  # steps of all lanes
        self.begun = np.zeros((len(self.rows), self.n_envs), np.int64)  # first of the episode
        kind, columns, _ = self.columns["next_obs"]
        self._reached = self.host[kind][..., columns][..., goals.achieved]  # (S, capacity, G)

    @property
    def _steps(self) -> int:
        return self.capacity // self.n_envs

    def add(self, **values: np.ndarray) -> None:
        for row, lane in np.argwhere(values["first"]):
            self._close(row, lane)
            self.begun[row, lane] = self.added
        still = np.full_like(self.begun, OPEN)
        super().add(**values, episode_first=self.begun, episode_last=still)
        self.added += 1

    def _close(self, row: int, lane: int) -> None:
        """Write down where the episode of a lane ended, with each of its steps."""
        begin = max(self.begun[row, lane], self.added - self._steps)
        slots = np.arange(begin, self.added) % self._steps * self.n_envs + lane
        kind, columns, _ = self.columns["episode_last"]
        self.host[kind][row, slots, columns.start] = self.added - 1

    def _fields_of(self, begin: Any, slots: Any) -> dict[str, Tensor]:
        batch = dict(super()._fields_of(begin, slots))
        first, last = (batch.pop(name).numpy()[:, : self.count] for name in FIELDS)
        steps, lanes = np.divmod(begin[:, : self.count], self.n_envs)
        newest = self.added - 1
        now = newest - (newest - steps) % self._steps
        last = np.where(last == OPEN, newest, last)
        first = np.maximum(first, self.added - self._steps) if self.strategy == "episode" else now
        first = last if self.strategy == "final" else first
        drawn = first + (self.chosen.next() * (last - first + 1)).astype(np.int64)
        index = drawn % self._steps * self.n_envs + lanes
        self._give(batch, self._reached[np.arange(len(index))[:, None], index])
        return batch

    def _give(self, batch: dict[str, Tensor], goals: np.ndarray) -> None:
        """Give the first items of a batch these goals, (S, K, G)."""
        arrays = {name: value.numpy()[:, : self.count] for name, value in batch.items()}
        for name in ("obs", "next_obs"):
            arrays[name][..., self.goals.desired] = goals
        for row, wanted in enumerate(goals):  # a seed's own call: the same bits alone
            achieved = arrays["next_obs"][row][:, self.goals.achieved]
            arrays["reward"][row] = self.goals.rewards(achieved, wanted)
            over = self.goals.terminated(achieved, wanted)
            if over is not None:
                arrays["terminated"][row] = over

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        own = {"added": self.added, "begun": self.begun, "chosen": self.chosen.state()}
        return {**super().state(), **own}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        super().restore(state)
        self.added = state["added"]
        self.begun[...] = state["begun"]
        self.chosen.restore(state["chosen"])
