"""Image environments once more, one lane after the other in plain Python, and small data for them.

`Naive` is one row of lanes: what a row of an `ImageBatch` must be, bit for bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rlbench.envs.data.splits import Dataset, DataSplit, load
from rlbench.envs.images import batch as batch_module
from rlbench.envs.images.env import VARIANTS

ORDER, NOISE, LOOK = 0, 1, 2  # purposes of streams


def made(name: str, shape: tuple[int, int, int], classes: int, *sizes: int) -> Dataset:
    """A data set of noise: `sizes` images in each split, as many of each class as can be."""
    rng = np.random.default_rng(len(name))
    splits = {}
    for split, size in zip(("train", "validation", "test"), sizes, strict=True):
        labels = rng.permutation(np.arange(size) % classes).astype(np.int64)
        splits[split] = DataSplit(rng.integers(256, size=(size, *shape), dtype=np.uint8), labels)
        for array in splits[split]:
            array.setflags(write=False)
    return Dataset(name, tuple(f"class {k}" for k in range(classes)), splits, "0" * 8)


# Neither square nor grey, and so few images that a pass is soon over.
TOY = made("toy", (6, 9, 3), 4, 41, 11, 13)
LARGE = made("large", (28, 28, 1), 10, 1000, 10, 10)  # a hundred of each class


def known(data: str) -> Dataset:
    """`load`, that knows the data sets of this file too."""
    return {"toy": TOY, "large": LARGE}.get(data) or load(data)


CASES: list[tuple[str, dict[str, Any]]] = [
    ("Classify", {}),
    ("Stream", {"length": 5}),
    ("Retry", {"tries": 3}),
    ("Rows", {}),
    ("Glimpse", {"glimpses": 3}),
    ("Glimpse", {"look": "random"}),
    ("Glimpse", {"look": "scan", "places": 3, "window": 2}),
    ("Glimpse", {"canvas": True, "window": 3}),
    ("Find", {"looks": 4, "clutter": 2}),
    ("Find", {"looks": 1, "clutter": 0}),
    ("Imbalanced", {"ratio": 0.05}),
    ("Imbalanced", {"ratio": 0.1, "end_on_error": False, "positive": 1}),
]
NOISE_OPTIONS: dict[str, Any] = {"reward_noise": 0.5, "reward_scale": 3.0, "label_noise": 0.3}


def case_id(case: tuple[str, dict[str, Any]]) -> str:
    return "-".join([case[0], *(f"{name}={value}" for name, value in case[1].items())])


def batch(case: tuple[str, dict[str, Any]], *where: Any, **more: Any) -> batch_module.ImageBatch:
    """An ImageBatch of a case: data, split, streams and lanes follow."""
    kind: Any = VARIANTS[case[0]]
    return kind(*where, **case[1], **more)


def lane_of(obs: Any, *at: Any) -> Any:
    """Some rows or one lane of batched observations."""
    return {k: v[at] for k, v in obs.items()} if isinstance(obs, dict) else obs[at]


def same(one: Any, other: Any) -> bool:
    """Equal with shape and dtype, for arrays, numbers, and containers of them."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other))
    one, other = np.asarray(one), np.asarray(other)
    return one.dtype == other.dtype and np.array_equal(one, other)


def generator(stream: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(stream, spawn_key=key)))


class Naive:
    """One row of lanes of a variant. What belongs to the data (labels that are wrong, images that
    are kept, places to look at, looks in evaluation) is taken from a batch."""

    def __init__(self, like: batch_module.ImageBatch, stream: int, **options: Any) -> None:
        self.like, self.stream, self.lanes = like, stream, like.lanes
        self.kind, self.options = type(like).__name__, {**like.options, **options}
        if like.split != "train":
            self.options |= {"reward_noise": 0.0, "reward_scale": 1.0, "end_on_error": False}
        self.order = self._order()
        shape = (256, self.lanes)
        self.noise = self._draws(NOISE, lambda rng: rng.standard_normal(shape, np.float32))
        count = len(getattr(like, "corners", [0]))
        self.looks = self._draws(LOOK, lambda rng: rng.integers(count, size=shape))

    def _order(self) -> Iterator[int]:
        for number in itertools.count():
            pool = self.like.pool
            if self.like.split == "train":
                pool = generator(self.stream, ORDER, number).permutation(pool)
            yield from pool.tolist()

    def _draws(self, purpose: int, draw: Callable[[np.random.Generator], Any]) -> Iterator[Any]:
        for number in itertools.count():
            yield from draw(generator(self.stream, purpose, number))

    def reset(self, index: list[int] | None = None) -> list[Any]:
        self.image = index or [next(self.order) for _ in range(self.lanes)]
        self._clear()
        return [self.observe(lane) for lane in range(self.lanes)]

    def _clear(self) -> None:
        self.time = [0] * self.lanes
        self.tried: list[set[int]] = [set() for _ in range(self.lanes)]
        self.path: list[list[int]] = [[] for _ in range(self.lanes)]
        self.cell = [[2, 2] for _ in range(self.lanes)]
        if self.kind == "Glimpse":
            self._look(None)

    def _look(self, wanted: list[int] | None) -> None:
        like: Any = self.like
        drawn = None
        scan = self.options["look"] == "scan"
        follow = wanted is not None and self.options["look"] == "agent"
        if not scan and not follow and like.split == "train":
            drawn = next(self.looks)
        for lane in range(self.lanes):
            t = self.time[lane]
            if scan:
                place = like.scan[t % len(like.scan)]
            elif follow:
                assert wanted is not None
                place = wanted[lane] % len(like.corners)
            elif drawn is not None:
                place = drawn[lane]
            else:
                place = like.shown[self.image[lane], t]
            self.path[lane].append(int(place))

    def observe(self, lane: int) -> Any:
        picture = self.like.pictures[self.image[lane]]
        if self.kind == "Retry":
            tried = [int(k in self.tried[lane]) for k in range(len(self.like.class_names))]
            return {"image": picture, "tried": np.array(tried, np.int8)}
        if self.kind == "Rows":
            return picture[self.time[lane]].ravel()
        if self.kind == "Glimpse":
            return self._glimpse(lane, picture)
        if self.kind == "Find":
            return self._find(lane, picture)
        return picture

    def _home(self, lane: int) -> list[int]:
        like: Any = self.like
        return list(divmod(int(like.home[self.image[lane]]) % 25, 5))

    def _find(self, lane: int, picture: np.ndarray) -> Any:
        """The canvas pixel by pixel, and the window's part of it."""
        like: Any = self.like
        h, w, channels = picture.shape
        b, a = h // 2, w // 2
        canvas = np.zeros((4 * b + h, 4 * a + w, channels), np.uint8)
        home = self._home(lane)
        pieces = [(home[0] * b, home[1] * a, picture)]
        for numbers in like.fragments:
            source, quarter, spot = (int(each[self.image[lane]]) for each in numbers)
            other = like.pictures[source % len(like.pictures)]
            low, right = divmod(quarter % 4, 2)
            top, left = low * (h - b), right * (w - a)
            rows, columns = 3 * b + h + 1, 3 * a + w + 1
            place = divmod(spot % (rows * columns), columns)
            pieces.append((*place, other[top : top + b, left : left + a]))
        for top, left, piece in pieces:
            for y, x in itertools.product(range(piece.shape[0]), range(piece.shape[1])):
                at = top + y, left + x
                canvas[at] = np.maximum(canvas[at], piece[y, x])
        top, left = self.cell[lane][0] * b, self.cell[lane][1] * a
        return {
            "clock": np.array([(self.time[lane] + 1) / like.steps], np.float32),
            "place": np.array([(cell - 2) / 2 for cell in self.cell[lane]], np.float32),
            "view": canvas[top : top + h, left : left + w],
        }

    def overlap(self, lane: int) -> np.float32:
        """Pixels in both window and image, over those in one of them."""
        h, w, _ = self.like.pictures.shape[1:]
        boxes = []
        for cell in (self.cell[lane], self._home(lane)):
            top, left = cell[0] * (h // 2), cell[1] * (w // 2)
            rows, columns = range(top, top + h), range(left, left + w)
            boxes.append(set(itertools.product(rows, columns)))
        return np.float32(len(boxes[0] & boxes[1]) / len(boxes[0] | boxes[1]))

    def _glimpse(self, lane: int, picture: np.ndarray) -> Any:
        like: Any = self.like
        w = like.window
        if self.options["canvas"]:
            canvas = np.zeros((*picture.shape[:2], picture.shape[2] + 1), np.uint8)
            for place in self.path[lane]:
                for y, x in itertools.product(range(w), range(w)):
                    at = (like.corners[place][0] + y, like.corners[place][1] + x)
                    canvas[at] = [*picture[at], 255]
            return canvas
        place = self.path[lane][-1]
        top, left = like.corners[place]
        return {
            "clock": np.array([(self.time[lane] + 1) / like.steps], np.float32),
            "glimpse": picture[top : top + w, left : left + w],
            "place": like.where[place],
        }

    def step(self, actions: list[int]) -> list[tuple[Any, ...]]:
        """Per lane: the fields of `StepOutcome` but `obs`, which `observe` gives."""
        waits = self.kind in {"Rows", "Glimpse", "Find"} and self.time[0] + 1 < self.like.steps
        labels = [self.like.labels[i] for i in self.image]
        if waits:
            self.time = [t + 1 for t in self.time]
            if self.kind == "Glimpse":
                self._look(actions)
            for cell, action in zip(self.cell, actions):
                row, column = ((0, 0), (-1, 0), (0, 1), (1, 0), (0, -1))[action % 5]
                cell[:] = min(max(cell[0] + row, 0), 4), min(max(cell[1] + column, 0), 4)
            return [
                (np.float32(0), False, False, self.observe(lane), labels[lane], False, False)
                for lane in range(self.lanes)
            ]
        noise = (
            next(self.noise) if self.options["reward_noise"] else np.zeros(self.lanes, np.float32)
        )
        out, over = [], []
        for lane, (guess, label) in enumerate(zip(actions, labels)):
            weight = np.float32(1)
            if self.kind == "Imbalanced" and label == 0:
                weight = np.float32(self.options["ratio"])
            reward = weight if guess == label else -weight
            if self.kind == "Find" and guess == label:
                reward = self.overlap(lane)
            reward = reward + np.float32(self.options["reward_noise"]) * noise[lane]
            reward = reward * np.float32(self.options["reward_scale"])
            right = bool(guess == self.like.truth[self.image[lane]])
            self.tried[lane].add(guess)
            seen, time = self.observe(lane), self.time[lane] + 1
            terminated, truncated, answered = True, False, True
            if self.kind == "Stream":
                terminated, truncated = False, time == self.options["length"]
            if self.kind == "Imbalanced":
                terminated = self.options["end_on_error"] and label == 1 != guess
                truncated = not terminated and time == len(self.like.pool)
            if self.kind == "Retry":
                terminated = answered = guess == label or time == self.options["tries"]
                right = right and answered
            self.time[lane] = time
            over.append(terminated or truncated)
            out.append([reward, terminated, truncated, seen, label, right, answered])
        for lane in range(self.lanes):
            if self.kind in {"Stream", "Imbalanced"} or over[lane]:
                self.image[lane] = next(self.order)
            if over[lane]:
                self.time[lane], self.tried[lane] = 0, set()
            if self.kind in {"Stream", "Imbalanced"}:
                out[lane][3] = self.observe(lane)
        if self.kind in {"Glimpse", "Find"}:
            self._clear()
        return [tuple(lane) for lane in out]
