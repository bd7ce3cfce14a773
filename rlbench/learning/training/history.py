"""Numbers of one `learn`, by seed and step: `agent.history`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlbench.rows import Evaluation, Metric, Row

if TYPE_CHECKING:
    import pandas as pd

_Point = tuple[int, int, int]  # setting, seed, step
_ORDER = {"rollout": 0, "eval": 1, "train": 2, "time": 3}  # of columns


class History:
    """Metrics and evaluations of training as they come, under Stable-Baselines3's keys."""

    def __init__(self, settings: bool) -> None:
        """Begin without rows; `settings` says whether rows have settings of their own."""
        self.settings = settings
        self.points: dict[_Point, dict[str, float]] = {}
        self.last: dict[str, dict[tuple[int, int], float]] = {}  # by key, then setting and seed
        self._episodes: dict[_Point, int] = {}  # of the evaluation at this step, so far

    def take(self, row: Row) -> None:
        """Add a metric or an evaluation; other rows are ignored."""
        if isinstance(row, Metric):
            self._note(row, row.key, row.value)
        elif isinstance(row, Evaluation):
            values = {"eval/mean_reward": row.ret, "eval/mean_ep_length": float(row.length)}
            if row.split != "episodes":
                values["eval/accuracy"] = row.accuracy
            point = (row.setting, row.seed, row.step)
            self._episodes[point] = count = self._episodes.get(point, 0) + 1
            before = self.points.get(point, {})
            for key, value in values.items():
                mean = before.get(key, 0.0)
                self._note(row, key, mean + (value - mean) / count)

    def mean(self, key: str) -> float | None:
        """Return the mean over seeds of the latest values of a key; None if there are none."""
        values = [*self.last.get(key, {}).values()]
        return sum(values) / len(values) if values else None

    def frame(self) -> pd.DataFrame:
        """Make a table with a row per seed and step, and a column per key."""
        import pandas as pd  # training itself needs no tables

        index = ["setting", "seed", "step"]
        rows = [dict(zip(index, point, strict=True)) | each for point, each in self.points.items()]
        keys = sorted({key for each in self.points.values() for key in each})
        keys.sort(key=lambda key: _ORDER.get(key.partition("/")[0], len(_ORDER)))
        table = pd.DataFrame(rows, columns=[*index, *keys]).sort_values(index, ignore_index=True)
        return table if self.settings else table.drop(columns="setting")

    def _note(self, row: Metric | Evaluation, key: str, value: float) -> None:
        self.points.setdefault((row.setting, row.seed, row.step), {})[key] = value
        self.last.setdefault(key, {})[row.setting, row.seed] = value
