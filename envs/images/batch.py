"""Batched image classification: S rows (seeds) of N lanes in a few array calls.

`ImageBatch` is the base class of the variants in `classify`, `row_by_row`, `glimpse` and
`imbalanced`. `rlbench.envs.images.env` makes Gymnasium environments of them.

`ImageBatch` is what all variants have in common; each is a class of its own, in `classify`, `rows`,
`glimpse` and `imbalanced`. `rlbench.envs.images.env` makes Gymnasium environments of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces

from rlbench.envs.data.splits import load
from rlbench.envs.images.arguments import number, whole
from rlbench.envs.images.rng import ImageStream, Passes, words

Obs = Any  # an array (S, N, ...), or a dict of such arrays


class StepOutcome(NamedTuple):
    """Result of a step in S rows of N lanes; arrays are `(S, N)`.

    `next_obs` is the true successor; it is `obs` itself where no lane ended or no new image is
    shown. `label` is privileged information for supervised learners, and is filled in every step.
    """

    obs: Obs  # to act on next: the first of a new episode where one ended
    reward: np.ndarray  # float32
    terminated: np.ndarray  # bool
    truncated: np.ndarray  # bool
    next_obs: Obs
    label: np.ndarray  # int64: the class that the reward is about
    right: np.ndarray  # bool: an image was answered, and that with its true class
    answered: np.ndarray  # bool


class ImageBatch:
    """S x N lanes of one variant on one split of a data set, with autoreset in the same step.

    Each row has its own random stream, named by an integer of `streams`, and does not depend on the
    other rows. On the training split a row visits all images in random order, shared by its lanes,
    pass after pass; on the other splits images come in their order.

    Options of every variant, for the training split only:
        reward_noise (0.0): standard deviation of normal noise on the reward of every guess.
        reward_scale (1.0): factor of reward and noise.
        label_noise (0.0): share of labels that are replaced by another class, the same ones for
            every seed. Rewards then follow the wrong label, and `right` the true one.

    `images` (S,) counts the images that were begun; `index` (S, N) are the current ones. A batch
    must be `reset` before it is stepped.

    Raises:
        ValueError: An option or argument is not valid.
    """

    options: ClassVar[dict[str, Any]] = {
        "reward_noise": 0.0,
        "reward_scale": 1.0,
        "label_noise": 0.0,
    }
    memory: tuple[str, ...] = ()  # attributes that are state: arrays (S, ...), or integers
    steps = 1  # steps per image, or the largest number where it varies
    window: int | None = None  # side of the visible window in pixels, for variants with a window
    observation_space: spaces.Space[Any]
    action_space: spaces.Discrete

    def __init__(
        self,
        data: str = "digits",
        split: str = "train",
        streams: Sequence[int] = (0,),
        lanes: int = 1,
        **options: Any,
    ) -> None:
        kind = type(self).__name__
        for name in options.keys() - self.options.keys():
            raise ValueError(f"{kind} has no option '{name}': it has {', '.join(self.options)}")
        values = {**self.options, **options}
        self.data = load(data)
        if split not in self.data.splits:
            raise ValueError(f"split must be {' or '.join(self.data.splits)}, got {split!r}")
        self.split, self.training = split, split == "train"
        self.lanes = whole("lanes", lanes, 1)
        noise = number("reward_noise", values["reward_noise"], 0)
        scale = number("reward_scale", values["reward_scale"])
        share = number("label_noise", values["label_noise"], 0, 1)
        self.noise = np.float32(noise if self.training else 0.0)
        self.scale = np.float32(scale if self.training else 1.0)
        self.pictures = self.data.splits[split].images  # (n, H, W, C) uint8
        self.truth = self.data.splits[split].labels  # (n,) int64
        self.pool = np.arange(len(self.truth))  # the images of a pass
        self.class_names = self.data.class_names
        self.prepare(values)
        self.labels = self.truth  # what rewards are about
        if self.training and share:
            self.labels = noisy(self.truth, self.pool, len(self.class_names), share)
        self.seed(streams)
        self.obs: Obs = None

    def prepare(self, options: dict[str, Any]) -> None:
        """Read the variant's options, set its spaces, and modify the labels where it does."""
        raise NotImplementedError

    def clear(self) -> None:
        """Reset the state of all lanes for episodes on the images of `index`."""

    def observe(self) -> Obs:
        """Return the current observation of all lanes in new arrays."""
        raise NotImplementedError

    def step(self, action: np.ndarray) -> StepOutcome:
        """Apply the actions `(S, N)`, one per lane."""
        raise NotImplementedError

    # Common to all variants.

    def seed(self, streams: Sequence[int]) -> None:
        """Restart every row's random stream; `reset` or `begin` must follow."""
        self.streams = tuple(int(stream) for stream in streams)
        self.images = np.zeros(len(self.streams), np.int64)
        self.index = np.zeros((len(self.streams), self.lanes), np.int64)
        self.everyone = np.ones(self.index.shape, bool)
        self.passes = Passes(self.streams, self.pool, self.training)
        self.draws = ImageStream(self.streams, self.lanes)

    def reset(self, streams: Sequence[int] | None = None) -> Obs:
        """Begin episodes on the next images, of `streams` if given; returns `(S, N, *obs)`."""
        if streams is not None:
            self.seed(streams)
        return self._start(self.passes.take(self.everyone).reshape(self.index.shape))

    def begin(self, index: np.ndarray) -> Obs:
        """Begin episodes on the images `index` (S, N) without advancing the passes."""
        index = np.array(index, np.int64)  # (S, N)
        if index.shape != self.index.shape:
            raise ValueError(f"index must have shape {self.index.shape}, got {index.shape}")
        wrong = index[(index < 0) | (index >= len(self.truth))]
        if len(wrong):
            raise ValueError(
                f"no image {wrong[0]}: the {self.split} split of {self.data.name} has 0 to "
                f"{len(self.truth) - 1}"
            )
        return self._start(index)

    def _start(self, index: np.ndarray) -> Obs:
        self.index = index
        self.images = self.images + self.lanes
        self.clear()
        self.obs = self.observe()
        return self.obs

    def go_on(self, over: np.ndarray) -> None:
        """Advance the lanes in the mask `over` (S, N) to the next images."""
        self.index = self.index.copy()
        self.index[over] = self.passes.take(over)
        self.images = self.images + over.sum(1)

    def gather(self) -> np.ndarray:
        """Return the images of all lanes `(S, N, H, W, C)`."""
        return self.pictures.take(self.index, axis=0)

    def judge(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the label, the reward, and whether the true class was named, per lane."""
        label = self.labels[self.index]
        right = action == label
        reward = self.worth(right, label)
        if self.noise:
            reward = reward + self.noise * self.draws.normal()
        if self.scale != 1:
            reward = reward * self.scale
        if self.labels is not self.truth:
            right = action == self.truth[self.index]
        return label, reward, right

    def worth(self, right: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Return the reward before noise and scale, float32: 1 or -1."""
        return np.where(right, np.float32(1), np.float32(-1))

    def unanswered(self) -> StepOutcome:
        """Return the outcome of a step without an answer or an end; the observation is `obs`."""
        never = np.zeros(self.index.shape, bool)
        reward = np.zeros(self.index.shape, np.float32)
        label = self.labels[self.index]
        return StepOutcome(self.obs, reward, never, never, self.obs, label, never, never)

    def answer(self, action: np.ndarray) -> StepOutcome:
        """End all lanes' episodes with an answer, and begin on the next images."""
        last_obs = self.obs
        label, reward, right = self.judge(action)
        self.go_on(self.everyone)
        self.clear()
        self.obs = self.observe()
        always, never = np.ones_like(right), np.zeros_like(right)
        return StepOutcome(self.obs, reward, always, never, last_obs, label, right, always)

    def notes(self) -> dict[str, np.ndarray]:
        """Return the `info` of the current images for lanes that end next, `(S, N)` each."""
        return {"index": self.index}

    def scene(self) -> np.ndarray:
        """Return the pictures that windows lie on (S, N, height, width, C)."""
        return self.gather()

    @property
    def windows(self) -> np.ndarray | None:
        """Top and left of the visible window (S, N, 2), or None without one."""
        return None

    def keep_seeds(self, rows: Sequence[int]) -> None:
        """Drop all rows but these."""
        index = list(rows)
        self.streams = tuple(self.streams[row] for row in index)
        for name in ("images", "index", "everyone", *self.memory):
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                setattr(self, name, value[index])
        self.passes.keep_seeds(index)
        self.draws.keep_seeds(index)
        if isinstance(self.obs, dict):
            self.obs = {name: part[index] for name, part in self.obs.items()}
        elif self.obs is not None:
            self.obs = self.obs[index]

    def state(self) -> dict[str, Any]:
        """Return the state as dicts, integers, and arrays and lists with the rows first."""
        own = {name: getattr(self, name) for name in ("images", "index", *self.memory)}
        return {
            "streams": list(self.streams),
            "passes": self.passes.state(),
            "draws": dict(self.draws.counts),
            "own": {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in own.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue exactly from a `state` of a batch of the same kind and lanes."""
        self.seed(state["streams"])
        self.passes.restore(state["passes"])
        self.draws = ImageStream(self.streams, self.lanes, state["draws"])
        for name, value in state["own"].items():
            setattr(self, name, np.array(value) if isinstance(value, np.ndarray) else value)
        self.obs = self.observe()


def noisy(truth: np.ndarray, pool: np.ndarray, classes: int, share: float) -> np.ndarray:
    """Replace a share of the labels in `pool` by any other class with equal probability.

    The labels replaced at a smaller share are among those replaced at a larger one.
    """
    labels = truth.copy()
    replaced_index = pool[
        np.argsort(words("labels", len(pool)), kind="stable")[: round(share * len(pool))]
    ]
    shift = 1 + words("labels", len(truth), 1)[replaced_index] % np.uint64(classes - 1)
    labels[replaced_index] = (labels[replaced_index] + shift.astype(np.int64)) % classes
    return labels
