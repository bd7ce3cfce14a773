"""Training metrics on image data as sums, since a row per image would be millions of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_SUMS = ("answered", "right", "episodes", "return", "length")


class ImageMetrics:
    """Sums per seed since the last report; images answered so far, and wrong answers, (S,) each."""

    def __init__(self, seeds: int) -> None:
        self.images = np.zeros(seeds, np.int64)
        self.mistakes = np.zeros(seeds)
        self.sums = {name: np.zeros(seeds) for name in _SUMS}

    def answers(self, answers: np.ndarray, right: np.ndarray) -> None:
        """Count answered images and correct answers; both masks are `(S, N)` bool."""
        count, right_count = answers.sum(-1), (right & answers).sum(-1)
        self.images += count
        self.mistakes += count - right_count
        self.sums["answered"] += count
        self.sums["right"] += right_count

    def episodes(self, over: np.ndarray, returns: np.ndarray, lengths: np.ndarray) -> None:
        """Count episodes in the lanes of a mask, with return and length, all `(S, N)`."""
        self.sums["episodes"] += over.sum(-1)
        self.sums["return"] += np.where(over, returns, 0.0).sum(-1)
        self.sums["length"] += np.where(over, lengths, 0).sum(-1)

    def episode(self, row: int, ret: float, length: int) -> None:
        """Count one episode."""
        self.sums["episodes"][row] += 1
        self.sums["return"][row] += ret
        self.sums["length"][row] += length

    def take(self, row: int, answers: bool) -> Iterator[tuple[str, float]]:
        """Return the metrics of one seed since the last report, by key, and reset the sums.

        With `answers`, accuracy and regret: a wrong answer costs 2, since rewards are 1 and -1
        (Osband et al. 2020, `mnist`); and all mistakes so far, of which nothing is reset.
        """
        answer_count, right, episodes, ret, length = (float(self.sums[n][row]) for n in _SUMS)
        if answer_count and answers:
            yield "rollout/accuracy", right / answer_count
            yield "rollout/regret", 2.0 * (1.0 - right / answer_count)
            if not np.isnan(self.mistakes[row]):
                yield "rollout/mistakes", float(self.mistakes[row])
        if episodes:
            yield "rollout/ep_rew_mean", ret / episodes
            yield "rollout/ep_len_mean", length / episodes
        for values in self.sums.values():
            values[row] = 0.0

    def keep_seeds(self, rows: Sequence[int]) -> None:
        """Keep the seeds at these places only."""
        self.images, self.mistakes = self.images[list(rows)], self.mistakes[list(rows)]
        self.sums = {name: values[list(rows)] for name, values in self.sums.items()}

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {"images": self.images, "mistakes": self.mistakes, "sums": dict(self.sums)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.images = np.array(state["images"])
        unknown = np.full(len(self.images), np.nan)  # older files do not count them
        self.mistakes = np.array(state.get("mistakes", unknown))
        self.sums = {name: np.array(state["sums"][name]) for name in _SUMS}
