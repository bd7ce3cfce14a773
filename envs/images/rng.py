"""Random numbers of the image environments, each a function of a seed and of a count.

A row of a batch has one stream, which its seed names. Its parts are children of one
`SeedSequence`, by purpose and number: the third pass over the images, the seventh block of noise.
So a state is a few counts, and nothing that a row draws depends on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

PURPOSES = ("order", "noise", "look", "labels", "kept", "shown")
BLOCK = 256  # steps that are drawn at once; the same for every number of rows


def _bits(stream: int, purpose: str, number: int) -> np.random.PCG64:
    key = (PURPOSES.index(purpose), number)
    return np.random.PCG64(np.random.SeedSequence(stream, spawn_key=key))


def generator(stream: int, purpose: str, number: int) -> np.random.Generator:
    """The `number`-th generator of a row's stream for one of PURPOSES."""
    return np.random.Generator(_bits(stream, purpose, number))


def words(purpose: str, count: int, number: int = 0) -> np.ndarray:
    """(count,) uint64 that belong to the data and not to a seed.

    Raw words of a bit generator, which NumPy promises never to change: what is chosen by them, say
    which labels are wrong, is a part of the problem.
    """
    return _bits(0, purpose, number).random_raw(count)


class Passes:
    """Which image comes next: whole passes over `pool`, one after the other, for S rows.

    `pool` (m,) are indices of images. Each row visits them in an order of its own, every one once
    before any comes again; not `shuffled`, all rows take them as they stand.
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

    def take(self, wanted: np.ndarray) -> np.ndarray:
        """The next image of every lane that is `wanted` (S, N): its index, by rows and lanes."""
        count, size = wanted.sum(1), len(self.pool)
        row = wanted.nonzero()[0]
        place = (self.place[:, None] + wanted.cumsum(1) - 1)[wanted]
        self.place = self.place + count
        if (self.place <= size).all():
            return self.order[row, place].astype(np.int64)
        index = np.empty(len(row), np.int64)
        left = np.arange(len(row))
        while len(left):  # once for every pass that is touched
            now = place[left] < size
            index[left[now]] = self.order[row[left[now]], place[left[now]]]
            left = left[~now]
            place[left] -= size
            for over in np.unique(row[left]):
                self.number[over] += 1
                self.place[over] -= size
                if self.shuffled:
                    self._shuffle(over)
        return index

    def keep_seeds(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""
        self.streams = tuple(self.streams[row] for row in rows)
        self.number, self.place, self.order = (
            part[list(rows)] for part in (self.number, self.place, self.order)
        )

    def state(self) -> dict[str, np.ndarray]:
        return {"number": self.number.copy(), "place": self.place.copy()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on where `state` was taken, of the same streams."""
        self.number, self.place = np.array(state["number"]), np.array(state["place"])
        self._arrange()


class ImageStream:
    """Random numbers for S rows of N lanes: every call gives a new `(S, N)`.

    All rows draw at the same calls; `counts` says how often, by purpose, and is all the state.
    """

    def __init__(
        self, streams: Sequence[int], lanes: int, counts: dict[str, int] | None = None
    ) -> None:
        self.streams, self.lanes = tuple(streams), lanes
        self.counts = dict(counts or {})
        self.blocks: dict[str, np.ndarray] = {}  # (S, BLOCK, N)

    def normal(self) -> np.ndarray:
        """Standard normal, float32."""
        shape = (BLOCK, self.lanes)
        return self._next("noise", lambda rng: rng.standard_normal(shape, np.float32))

    def below(self, high: int) -> np.ndarray:
        """Uniform in 0, ..., high - 1, int64; `high` must always be the same."""
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
        """Go on with these rows only."""
        self.streams = tuple(self.streams[row] for row in rows)
        self.blocks = {name: block[list(rows)] for name, block in self.blocks.items()}
