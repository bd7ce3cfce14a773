"""Random numbers of the image environments, each a function of a seed and a count.

Each row of a batch has one stream, named by its seed. Its generators are children of one
`SeedSequence`, by purpose and number: the third pass over the images, the seventh block of noise.
So the state is a few counts, and a row does not depend on the rows beside it.

A row of a batch has one stream, which its seed names. Its parts are children of one `SeedSequence`,
by purpose and number: the third pass over the images, the seventh block of noise. So a state is a
few counts, and nothing that a row draws depends on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

PURPOSES = ("order", "noise", "look", "labels", "kept", "shown")
BLOCK = 256  # steps drawn at once; independent of the number of rows


def _bits(stream: int, purpose: str, number: int) -> np.random.PCG64:
    key = (PURPOSES.index(purpose), number)
    return np.random.PCG64(np.random.SeedSequence(stream, spawn_key=key))


def generator(stream: int, purpose: str, number: int) -> np.random.Generator:
    """Return generator `number` of a row's stream for one of PURPOSES."""
    return np.random.Generator(_bits(stream, purpose, number))


def words(purpose: str, count: int, number: int = 0) -> np.ndarray:
    """Return `count` uint64 words that depend on the purpose only, not on a seed.

    Raw words of a bit generator, which NumPy promises never to change: what they select, such as
    the wrong labels, is part of the task.
    """
    return _bits(0, purpose, number).random_raw(count)


class Passes:
    """Order of the images: complete passes over `pool`, one after the other, for S rows.

    `pool` (m,) are indices of images. Each row visits all of them once per pass, in its own order
    if `shuffled`, else in the order of `pool`.
    """

    def __init__(self, streams: Sequence[int], pool: np.ndarray, shuffled: bool) -> None:
        self.streams, self.pool, self.shuffled = tuple(streams), pool, shuffled
        self.number = np.zeros(len(self.streams), np.int64)  # passes that are over
        self.place = np.zeros(len(self.streams), np.int64)  # images taken of the present one
        self._arrange()

    def _arrange(self) -> None:
        shape = (len(self.streams), len(self.pool))
        self.order = np.broadcast_to(self.pool, shape)
        if self.shuffled:
            self.order = np.empty(shape, np.int32)
            for row in range(len(self.streams)):
                self._shuffle(row)

    def _shuffle(self, row: int) -> None:
        rng = generator(self.streams[row], "order", int(self.number[row]))
        self.order[row] = rng.permutation(self.pool)

    def take(self, mask: np.ndarray) -> np.ndarray:
        """Return the next image index of every lane in the mask (S, N), by rows and lanes."""
        count, size = mask.sum(1), len(self.pool)
        row = mask.nonzero()[0]
        place = (self.place[:, None] + mask.cumsum(1) - 1)[mask]
        self.place = self.place + count
        if (self.place <= size).all():
            return self.order[row, place].astype(np.int64)
        index = np.empty(len(row), np.int64)
        remaining = np.arange(len(row))
        while len(remaining):  # once per pass
            now = place[remaining] < size
            index[remaining[now]] = self.order[row[remaining[now]], place[remaining[now]]]
            remaining = remaining[~now]
            place[remaining] -= size
            for over in np.unique(row[remaining]):
                self.number[over] += 1
                self.place[over] -= size
                if self.shuffled:
                    self._shuffle(over)
        return index

    def keep_seeds(self, rows: Sequence[int]) -> None:
        """Drop all rows but these."""
        self.streams = tuple(self.streams[row] for row in rows)
        self.number, self.place, self.order = (
            part[list(rows)] for part in (self.number, self.place, self.order)
        )

    def state(self) -> dict[str, np.ndarray]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {"number": self.number.copy(), "place": self.place.copy()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from a `state` of the same streams."""
        self.number, self.place = np.array(state["number"]), np.array(state["place"])
        self._arrange()


class ImageStream:
    """Random numbers for S rows of N lanes: every call returns a new `(S, N)` array.

    All rows draw at the same calls; `counts`, the number of draws by purpose, is the whole state.
    """

    def __init__(
        self, streams: Sequence[int], lanes: int, counts: dict[str, int] | None = None
    ) -> None:
        self.streams, self.lanes = tuple(streams), lanes
        self.counts = dict(counts or {})
        self.blocks: dict[str, np.ndarray] = {}  # (S, BLOCK, N)

    def normal(self) -> np.ndarray:
        """Draw standard normal numbers, float32."""
        shape = (BLOCK, self.lanes)
        return self._next("noise", lambda rng: rng.standard_normal(shape, np.float32))

    def below(self, high: int) -> np.ndarray:
        """Draw int64 uniformly from 0, ..., high - 1; `high` must not change between calls."""
        return self._next("look", lambda rng: rng.integers(high, size=(BLOCK, self.lanes)))

    def _next(self, purpose: str, draw: Callable[[np.random.Generator], np.ndarray]) -> np.ndarray:
        count = self.counts.get(purpose, 0)
        number, place = divmod(count, BLOCK)
        if place == 0 or purpose not in self.blocks:
            self.blocks[purpose] = np.stack(
                [draw(generator(stream, purpose, number)) for stream in self.streams]
            )
        self.counts[purpose] = count + 1
        return self.blocks[purpose][:, place]

    def keep_seeds(self, rows: Sequence[int]) -> None:
        """Drop all rows but these."""
        self.streams = tuple(self.streams[row] for row in rows)
        self.blocks = {name: block[list(rows)] for name, block in self.blocks.items()}
