"""Observations of a replay buffer, each stored once.

The successor of a step is the observation of the next step in its lane, unless the episode was
interrupted between them: only such successors are stored separately. Stacked frames are assembled
on reading.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


class FrameStore:
    """Ring buffer of `capacity` observations per seed, written N (one per lane) at a time.

    The successor of a terminated step is not stored, since its discount is 0: reading it returns
    the first observation of the next episode.
    """

    def __init__(
        self,
        seeds: int,
        n_envs: int,
        capacity: int,
        shape: tuple[int, ...],
        dtype: Any,
        stack: int,
        device: torch.device,
    ) -> None:
        kind = torch.from_numpy(np.empty(0, dtype)).dtype
        width = int(np.prod(shape))
        self.n_envs, self.capacity, self.shape, self.stack = n_envs, capacity, shape, stack
        self.data = torch.zeros(seeds, capacity, width, dtype=kind, device=device)
        self.base = np.arange(seeds)[:, None]  # (S, 1)
        self.position = 0  # slot of the next step
        self.newest = torch.zeros(seeds, n_envs, width, dtype=kind, device=device)  # successors
        self.open = np.zeros((seeds, n_envs), bool)  # whether they may be needed
        self.separate = np.zeros((seeds, capacity), bool)  # whose successor is stored separately
        self._buffers: dict[int, Tensor] = {}  # for gathering rows, by their number
        self.successors: list[dict[int, Tensor]] = [{} for _ in range(seeds)]  # those, by slot

    def add(
        self, obs: np.ndarray, next_obs: np.ndarray, first: np.ndarray, terminated: np.ndarray
    ) -> None:
        """Store one step of every lane, `(S, N, ...)`."""
        before = (self.position - self.n_envs) % self.capacity
        for s, n in zip(*np.nonzero(first & self.open)):
            self._store_successor(s, before + n, self.newest[s, n].clone())
        here = slice(self.position, self.position + self.n_envs)
        for s, n in zip(*np.nonzero(self.separate[:, here])):
            del self.successors[s][self.position + n]
        self.separate[:, here] = False
        self.data[:, here] = torch.from_numpy(obs.reshape(self.newest.shape)).to(self.data.device)
        self.newest.copy_(torch.from_numpy(next_obs.reshape(self.newest.shape)))
        self.open = ~terminated
        self.position = here.stop % self.capacity

    def _store_successor(self, s: int, slot: int, successor: Tensor) -> None:
        self.successors[s][slot], self.separate[s, slot] = successor, True

    def read(self, slots: np.ndarray, first: Tensor) -> Tensor:
        """Read the observations at these slots, `(S, M) -> (S, M, K, width)`; K frames each.

        `first` (S, capacity) marks steps that begin an episode: frames before one are its copies.
        """
        return self._rows(torch.stack(self._stacked(slots, first), -1))

    def pair(self, slots: np.ndarray, first: Tensor) -> tuple[Tensor, Tensor]:
        """Read observations and their successors, `(S, M, K, width)`: views of K + 1 frames."""
        after = (slots + self.n_envs) % self.capacity
        indices = [*self._stacked(slots, first), torch.from_numpy(after).to(self.data.device)]
        frames = self._rows(torch.stack(indices, -1))
        lane = (slots - self.position) % self.capacity - (self.capacity - self.n_envs)
        if (lane >= 0).any():
            s, m = np.nonzero(lane >= 0)  # of the newest step
            frames[s, m, -1] = self.newest[s, lane[s, m]]
        for s, m in zip(*np.nonzero(self.separate[self.base, slots])):
            frames[s, m, -1] = self.successors[s][slots[s, m]]
        return frames[:, :, :-1], frames[:, :, 1:]

    def _stacked(self, slots: np.ndarray, first: Tensor) -> list[Tensor]:
        """Slots of the K frames of each observation, the oldest first."""
        device = self.data.device
        now, base = torch.from_numpy(slots).to(device), torch.from_numpy(self.base).to(device)
        newest_first = [now]
        for _ in range(self.stack - 1):
            before = (now - self.n_envs) % self.capacity
            now = torch.where(first[base, now] > 0, now, before)
            newest_first.append(now)
        return newest_first[::-1]

    def _rows(self, slots: Tensor) -> Tensor:
        """Gather rows, `(S, M, ...) -> (S, M, ..., width)`; the next call overwrites them."""
        base = torch.from_numpy(self.base * self.capacity).view(-1, *[1] * (slots.ndim - 1))
        index = (slots + base.to(self.data.device)).flatten()
        count = index.numel()
        if count not in self._buffers:  # allocating takes longer than filling
            self._buffers[count] = self.data.new_empty(count, self.data.shape[-1])
        torch.index_select(self.data.flatten(0, 1), 0, index, out=self._buffers[count])
        return self._buffers[count].view(*slots.shape, -1)

    def shaped(self, frames: Tensor, lead: tuple[int, ...]) -> Tensor:
        """Reshape frames, `(S, M, K, width) -> (S, *lead, [K,] *shape)`."""
        stack = (self.stack,) if self.stack > 1 else ()
        return frames.reshape(len(frames), *lead, *stack, *self.shape)

    def state(self, size: int) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        separate = [
            {"slots": np.array(list(of), np.int64), "obs": torch.stack([empty, *of.values()])[1:]}
            for of, empty in zip(self.successors, self.newest[:, 0], strict=True)
        ]
        stored = {"data": self.data[:, :size], "newest": self.newest, "open": self.open}
        return {**stored, "kept": separate}

    def restore(self, state: dict[str, Any], position: int) -> None:
        """Go on from what `state` returned."""
        self.position, size = position, state["data"].shape[1]
        self.data[:, :size] = torch.as_tensor(state["data"]).to(self.data.device)
        self.newest.copy_(torch.as_tensor(state["newest"]))
        self.open = np.array(state["open"])
        for s, separate in enumerate(state["kept"]):
            for slot, obs in zip(separate["slots"].tolist(), separate["obs"], strict=True):
                self._store_successor(s, slot, torch.as_tensor(obs).to(self.data.device))
