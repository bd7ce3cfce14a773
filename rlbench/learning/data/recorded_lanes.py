"""Lanes without environments: recorded episodes that are played back, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlbench.learning.data.recorded_episodes import RecordedEpisodes
from rlbench.learning.environments.lanes import EpisodeEnd, Step
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.rng import PermutationStream


class RecordedLanes:
    """Recorded episodes as `EnvLanes` would show them; actions are the recorded ones.

    The lanes of a seed take the next episode of its own random order, pass after pass.
    """

    tally = None
    restart_count = 0

    def __init__(self, episodes: RecordedEpisodes, seeds: Sequence[int], n_envs: int) -> None:
        self.episodes, self.seeds, self.n_envs = episodes, tuple(seeds), n_envs
        self.starts = episodes.starts
        self.finished: list[EpisodeEnd] = []
        self.streams = [PermutationStream([s], "lane", len(episodes.lengths)) for s in seeds]
        self.orders = [np.empty(0, np.int64) for _ in seeds]  # episodes that are still to come
        self.episode = np.zeros((len(self.seeds), n_envs), np.int64)
        self.step_of = np.zeros_like(self.episode)  # steps of it that were shown
        self.returns = np.zeros(self.episode.shape)

    @property
    def _index(self) -> np.ndarray:
        """The step that is shown, of all steps, (S, N)."""
        return self.starts[self.episode] + self.step_of

    @property
    def obs(self) -> np.ndarray:
        """Observations to act on next, `(S, N, *obs)`."""
        return self.episodes.obs[self.episodes.place[self._index]]

    @property
    def action(self) -> np.ndarray:
        """The recorded actions there, `(S, N, *action)`."""
        return self.episodes.action[self._index]

    def _begin(self, row: int, lane: int) -> None:
        if not len(self.orders[row]):
            self.orders[row] = self.streams[row].next()[0]
        self.episode[row, lane], self.orders[row] = self.orders[row][0], self.orders[row][1:]
        self.step_of[row, lane], self.returns[row, lane] = 0, 0.0

    def reset(self) -> np.ndarray:
        """Begin an episode in each lane; returns the first observations."""
        for row, lane in np.ndindex(self.episode.shape):
            self._begin(row, lane)
        return self.obs

    def step(self, action: np.ndarray) -> Step:
        """Return the recorded transition of each lane, whatever the actions."""
        data, index = self.episodes, self._index
        place = data.place[index]
        reward, terminated = data.reward[index], data.terminated[index]
        over = self.step_of + 1 == data.lengths[self.episode]
        truncated = data.truncated[index] | (over & ~terminated)
        step = Step(
            data.obs[place], data.action[index], reward, terminated, truncated, data.obs[place + 1]
        )
        self.step_of += 1
        self.returns += reward
        self.finished = []
        for row, lane in zip(*(each.tolist() for each in np.nonzero(over)), strict=True):
            length = int(self.step_of[row, lane])
            self.finished.append(EpisodeEnd(row, float(self.returns[row, lane]), length))
            self._begin(row, lane)
        return step

    def keep_seeds(self, rows: Sequence[int]) -> None:
        """Drop all seeds but these."""
        index = list(rows)
        self.seeds = tuple(self.seeds[r] for r in index)
        self.streams = [self.streams[r] for r in index]
        self.orders = [self.orders[r] for r in index]
        self.episode, self.step_of = self.episode[index], self.step_of[index]
        self.returns = self.returns[index]
        kept = [end for end in self.finished if end.row in index]
        self.finished = [end._replace(row=index.index(end.row)) for end in kept]

    def close(self) -> None:
        """Do nothing, since there is nothing to close."""

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {
            "streams": [stream.state() for stream in self.streams],
            "orders": [order.tolist() for order in self.orders],
            "episode": self.episode,
            "step_of": self.step_of,
            "returns": self.returns,
        }

    def restore(self, state: dict[str, Any]) -> bool:
        """Continue from a `state`."""
        for stream, saved in zip(self.streams, state["streams"], strict=True):
            stream.restore(saved)
        self.orders = [np.array(order, np.int64) for order in state["orders"]]
        self.episode, self.step_of = (np.array(state[k]) for k in ("episode", "step_of"))
        self.returns = np.array(state["returns"])
        return True


class IdleLanes:
    """One lane a seed, in which nothing happens: for agents that act in no environment."""

    tally = None
    finished: tuple[EpisodeEnd, ...] = ()
    restart_count = 0

    def __init__(self, seeds: Sequence[int], spec: ObsSpec) -> None:
        self.spec = spec
        self.keep_seeds(range(len(seeds)))

    def keep_seeds(self, rows: Sequence[int]) -> None:
        """Drop all seeds but these."""
        lead = (len(rows), 1)
        self.obs = np.zeros((*lead, *self.spec.shape), self.spec.raw)
        self.nothing = np.zeros(lead, np.float32), np.zeros(lead, bool)

    def reset(self) -> np.ndarray:
        """Return zeros, `(S, 1, *obs)`."""
        return self.obs

    def step(self, action: np.ndarray) -> Step:
        """Return a step in which nothing happened."""
        zero, never = self.nothing
        return Step(self.obs, action, zero, never, never, self.obs)

    def close(self) -> None:
        """Do nothing, since there is nothing to close."""

    def state(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> bool:
        """Continue: nothing is lost."""
        return True


class RecordedTeacher:
    """The recorded actions, in place of a `Teacher` that acts."""

    lanes: RecordedLanes | None = None

    def __init__(self, read: Callable[[], RecordedEpisodes], n_envs: int) -> None:
        self._read, self.n_envs = read, n_envs
        self.episodes: RecordedEpisodes | None = None

    def read(self) -> RecordedEpisodes:
        """Read the data set on the first call."""
        if self.episodes is None:
            self.episodes = self._read()
        return self.episodes

    def make_lanes(self, seeds: Sequence[int]) -> RecordedLanes:
        """Make the lanes that show the episodes to these seeds."""
        self.lanes = RecordedLanes(self.read(), seeds, self.n_envs)
        return self.lanes

    def act(self, obs: np.ndarray, first: np.ndarray) -> np.ndarray:
        """Return the recorded actions, `(S, N, *action)`; any of them where nothing is played."""
        if self.lanes is not None:
            return self.lanes.action
        return np.broadcast_to(self.read().action[0], (*first.shape, *self.read().action.shape[1:]))

    def restart(self) -> None:
        """Do nothing: episodes are begun by the lanes."""

    def state(self) -> dict[str, Any]:
        """Return nothing: the lanes have it."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
