"""Rows that training yields, in order of time. Steps are env steps per seed.

`setting` is the place of an agent's setting in its list, and 0 where it has none.
"""

from __future__ import annotations

from typing import NamedTuple


class Evaluation(NamedTuple):
    """One evaluation episode, or one sweep over all images of a split.

    `phase` is `grid` or `final`; `time` is training seconds so far. `split` is `episodes`, or
    `validation` or `test` for image data: then `items` images make one row, with their mean return
    and `accuracy`. `images` have been seen in training so far; `samples` counts the steps learned
    from, with repetition. `cut` episodes, or images, were ended by the step limit of evaluation,
    not by the environment.
    """

    seed: int
    step: int
    phase: str
    episode: int
    ret: float
    length: int
    eval_seed: int
    deterministic: bool
    epsilon: float
    time: float
    split: str = "episodes"
    items: int = 1
    accuracy: float = float("nan")
    images: int = 0
    samples: int = 0
    cut: int = 0
    setting: int = 0


class Episode(NamedTuple):
    """One training episode that ended at `step`."""

    seed: int
    step: int
    episode: int
    ret: float
    length: int
    time: float
    setting: int = 0


class Metric(NamedTuple):
    """Value of a metric of one seed, under Stable-Baselines3's key."""

    seed: int
    step: int
    key: str
    value: float
    setting: int = 0


class TestPredictions(NamedTuple):
    """Predicted class of every image of the test split, in its order (n,)."""

    seed: int
    step: int
    predictions: tuple[int, ...]
    setting: int = 0


class SeedEnded(NamedTuple):
    """End of a seed: status `done`, `diverged`, `failed` or `dropped`, with the reason."""

    seed: int
    step: int
    status: str
    reason: str
    setting: int = 0


class Heartbeat(NamedTuple):
    """Sign of life, several times a second; `can_checkpoint` between two steps only."""

    step: int
    can_checkpoint: bool
    force_checkpoint: bool = False  # much work is not saved yet
    doing: str = ""  # activity other than training: "evaluating 3 of 10 episodes, 12,000 steps"


Row = Evaluation | Episode | Metric | TestPredictions | SeedEnded | Heartbeat
