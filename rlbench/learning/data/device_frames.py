"""Observations of a replay buffer in device memory, each stored once: `FrameStore` for a GPU.

What a captured graph reads has to be in tensors. Successors that are not the next observation are
in a pool: its first N rows hold those of the newest step, others those of interrupted episodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

SPARE = 32  # rows for interrupted episodes at first, per seed; doubled when they are used up


class DeviceFrames:
    """Ring buffer of `capacity` observations per seed, written N (one per lane) at a time.

    As in `FrameStore`, the successor of a terminated step is not stored.
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
        # Rows N to 2 N are written to where nothing is to be kept, and never read.
        rows = 2 * n_envs + SPARE
        self.pool = torch.zeros(seeds, rows, width, dtype=kind, device=device)
        self.place = torch.empty(seeds, capacity, dtype=torch.int64, device=device)
        self.lanes = torch.arange(n_envs, device=device)
        self.seeds = torch.arange(seeds, device=device).unsqueeze(1)  # (S, 1)
        self._clear()

    def _clear(self) -> None:
        (seeds, rows), n = self.pool.shape[:2], self.n_envs
        # The pool's row of each step's successor; -1 where it is the next observation.
        self.place.fill_(-1)
        self.open = np.zeros((seeds, n), bool)  # whether newest successors may be needed
        self.separate = np.zeros((seeds, self.capacity), bool)  # whose successor is kept
        self.kept: list[dict[int, int]] = [{} for _ in range(seeds)]  # row by slot
        self.free = [list(range(rows - 1, 2 * n - 1, -1)) for _ in range(seeds)]

    def admit(self, position: int, first: np.ndarray, terminated: np.ndarray) -> np.ndarray:
        """Take note of a step on the host.

        Returns the rows of the pool to which the newest successors go, -1 where they are not
        needed any more, `(S, N)`.
        """
        moved = np.full(first.shape, -1)
        before = (position - self.n_envs) % self.capacity
        for s, n in zip(*np.nonzero(first & self.open)):
            moved[s, n] = self._keep(s, before + n)
        here = slice(position, position + self.n_envs)
        for s, n in zip(*np.nonzero(self.separate[:, here])):
            self.free[s].append(self.kept[s].pop(position + n))
        self.separate[:, here] = False
        self.open = ~terminated
        return moved

    def crowded(self) -> bool:
        """Return whether the next step may need more rows than are free."""
        return any(len(rows) < self.n_envs for rows in self.free)

    def grow(self) -> None:
        """Make the pool larger, in other memory."""
        rows = self.pool.shape[1]
        added = rows - 2 * self.n_envs
        self.pool = torch.cat([self.pool, torch.zeros_like(self.pool[:, :added])], 1)
        for free in self.free:
            free[:0] = range(rows + added - 1, rows - 1, -1)

    def _keep(self, s: int, slot: int) -> int:
        row = self.kept[s][slot] = self.free[s].pop()
        self.separate[s, slot] = True
        return row

    def store(self, here: Tensor, obs: Tensor, next_obs: Tensor, moved: Tensor) -> None:
        """Store one step of every lane at the slots `here` (N,): fields (S, N, width), (S, N)."""
        before = (here - self.n_envs) % self.capacity
        rows = torch.where(moved >= 0, moved, self.n_envs + self.lanes)
        newest = self.pool[:, : self.n_envs]
        self.pool.scatter_(1, rows.unsqueeze(-1).expand(newest.shape), newest.clone())
        newest.copy_(next_obs)
        self.place.index_copy_(1, before, moved)
        self.place.index_copy_(1, here, self.lanes.expand(moved.shape))
        self.data.index_copy_(1, here, obs)

    def read(self, slots: Tensor, first: Tensor) -> Tensor:
        """Read the observations at these slots, `(S, M) -> (S, M, K, width)`; K frames each.

        `first` (S, capacity) marks steps that begin an episode: frames before one are its copies.
        """
        return _rows(self.data, torch.stack(self._stacked(slots, first), -1))

    def pair(self, slots: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Read observations and their successors, `(S, M, K, width)`: views of K + 1 frames."""
        after = (slots + self.n_envs) % self.capacity
        frames = _rows(self.data, torch.stack([*self._stacked(slots, first), after], -1))
        place = self.place.gather(1, slots)
        kept = _rows(self.pool, place.clamp(min=0))
        last = torch.where(place.unsqueeze(-1) >= 0, kept, frames[:, :, -1])
        frames[:, :, -1].copy_(last)
        return frames[:, :, :-1], frames[:, :, 1:]

    def _stacked(self, slots: Tensor, first: Tensor) -> list[Tensor]:
        """Slots of the K frames of each observation, the oldest first."""
        newest_first = [slots]
        for _ in range(self.stack - 1):
            now = newest_first[-1]
            before = (now - self.n_envs) % self.capacity
            newest_first.append(torch.where(first[self.seeds, now] > 0, now, before))
        return newest_first[::-1]

    def shaped(self, frames: Tensor, lead: tuple[int, ...]) -> Tensor:
        """Reshape frames, `(S, M, K, width) -> (S, *lead, [K,] *shape)`."""
        stack = (self.stack,) if self.stack > 1 else ()
        return frames.reshape(len(frames), *lead, *stack, *self.shape)

    def state(self, size: int) -> dict[str, Any]:
        """Return what `restore` goes on from, as `FrameStore` does."""
        kept = [
            {"slots": np.array(list(of), np.int64), "obs": self.pool[s, list(of.values())]}
            for s, of in enumerate(self.kept)
        ]
        newest = self.pool[:, : self.n_envs]
        return {"data": self.data[:, :size], "newest": newest, "open": self.open, "kept": kept}

    def restore(self, state: dict[str, Any], position: int) -> None:
        """Go on from what `state` returned."""
        self._clear()
        size = state["data"].shape[1]
        self.data[:, :size] = torch.as_tensor(state["data"]).to(self.data.device)
        self.pool[:, : self.n_envs] = torch.as_tensor(state["newest"]).to(self.data.device)
        self.open = np.array(state["open"])
        before = (position - self.n_envs) % self.capacity
        self.place[:, before : before + self.n_envs] = self.lanes
        for s, kept in enumerate(state["kept"]):
            while len(kept["slots"]) > len(self.free[s]):
                self.grow()
            for slot, obs in zip(kept["slots"].tolist(), kept["obs"], strict=True):
                row = self._keep(s, slot)
                self.pool[s, row] = torch.as_tensor(obs).to(self.data.device)
                self.place[s, slot] = row


def _rows(stored: Tensor, slots: Tensor) -> Tensor:
    """Gather rows of each seed, `(S, n, width), (S, M, ...) -> (S, M, ..., width)`."""
    seeds, count, width = stored.shape
    base = torch.arange(0, seeds * count, count, device=slots.device)
    index = (slots + base.view(-1, *[1] * (slots.ndim - 1))).flatten()
    return stored.view(-1, width).index_select(0, index).view(*slots.shape, width)
