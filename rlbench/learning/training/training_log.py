"""Tables of training on stdout, as Stable-Baselines3 prints them with `verbose=1`."""

from __future__ import annotations

import logging
import shlex
import statistics
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rlbench import registry
from rlbench.common.console import console
from rlbench.common.number_format import number_text
from rlbench.common.plain_text import cut, plain_line, plain_text
from rlbench.rows import Evaluation, Heartbeat, Metric, Row, SeedEnded

if TYPE_CHECKING:
    from rlbench.learning.core.agent_core import AgentCore

_LOG = logging.getLogger("rlbench")

LOG_INTERVAL = 5  # hundredths of training between two tables
Id = tuple[int, int]  # seed and setting of a row
_TIMES = ("time/fps", "time/time_elapsed")


class TrainingLog:
    """Printer of tables from the rows of training, without effect on results."""

    def __init__(self, agent: AgentCore, total_timesteps: int, interval: int | None) -> None:
        """Print a table after every `interval` percent of training."""
        self.total, self.interval = total_timesteps, interval
        self.rows = list(zip(agent.seeds, agent.setting_of, strict=True))
        self.settings = len(agent.settings)
        self.console = console()
        self.metrics: list[Metric] = []  # of one step
        self.evaluations: list[Evaluation] = []  # of one step
        self.tables: dict[Id, int] = {}  # tables due so far
        self.returns: dict[Id, float] = {}  # latest rollout/ep_rew_mean
        self.ended: dict[Id, SeedEnded] = {}
        several = len(agent.seeds) > 1
        numbers = cut(", ".join(map(str, dict.fromkeys(agent.seeds))), 100)
        if self.settings:
            numbers += f" of {self.settings} settings"
        self._print(
            f"{agent.name()} on {plain_text(agent.env_name)}: seed{'s' * several} {numbers} with "
            f"{agent.n_envs} environment{'s' * (agent.n_envs > 1)}{' each' * several}, "
            f"{total_timesteps:,} steps{' per seed' * several}, device {agent.device}"
        )
        if hint := preset_hint(agent):
            self._print(hint)
        if several:
            self._print(
                "tables show means over seeds, with the lowest and highest seed in brackets"
            )

    def take(self, row: Row) -> None:
        """Process one row, and print a table if it is complete."""
        if isinstance(row, Metric):
            if self.metrics and self.metrics[0].step != row.step:
                self._flush()
            self.metrics.append(row)
        elif isinstance(row, Evaluation):
            self.evaluations.append(row)
        elif not (isinstance(row, Heartbeat) and row.doing):  # signs of life during an evaluation
            self._flush()
        if isinstance(row, SeedEnded):
            self.ended[row.seed, row.setting] = row

    def end(self, step: int) -> None:
        """Print how each seed ended; `step` is that of seeds still running."""
        self._flush()
        for each in self.rows:
            row = self.ended.get(each)
            if row is None:
                line = f"stopped by the callback at step {step:,}"
            elif row.status == "done":
                line = f"done after {row.step:,} steps"
            else:
                line = f"{row.status}: {plain_line(row.reason)}"
            if each in self.returns:
                line += f", ep_rew_mean {number_text(self.returns[each])}"
            of = f" of setting {each[1]}" if self.settings else ""
            self._print(f"seed {each[0]}{of}: {line}")

    def _flush(self) -> None:
        if self.metrics:
            self._training(self.metrics)
        if self.evaluations:
            self._evaluation(self.evaluations)
        self.metrics, self.evaluations = [], []

    def _training(self, rows: Sequence[Metric]) -> None:
        values: dict[str, list[float]] = {}
        for row in rows:
            values.setdefault(row.key, []).append(row.value)
            if row.key == "rollout/ep_rew_mean":
                self.returns[row.seed, row.setting] = row.value
        step, there = rows[0].step, list(dict.fromkeys((row.seed, row.setting) for row in rows))
        # Metrics come at most a hundredth, rounded down, before the step that is meant.
        percent = (step + max(self.total // 100, 1) - 1) * 100 // max(self.total, 1)
        due = min(percent, 100) // (self.interval or LOG_INTERVAL)
        if due == self.tables.get(there[0], 0):
            return
        self.tables |= dict.fromkeys(there, due)
        entries = {key: _mean(each) for key, each in values.items() if not key.startswith("time/")}
        entries |= {key: str(round(values[key][0])) for key in _TIMES if key in values}
        self._table(there, step, entries)

    def _evaluation(self, rows: Sequence[Evaluation]) -> None:
        there = list(dict.fromkeys((row.seed, row.setting) for row in rows))

        def mean(name: str) -> str:
            return _mean([
                statistics.fmean(
                    getattr(row, name) for row in rows if (row.seed, row.setting) == each
                )
                for each in there
            ])  # fmt: skip

        entries = {"eval/mean_reward": mean("ret"), "eval/mean_ep_length": mean("length")}
        if rows[0].split != "episodes":
            entries["eval/accuracy"] = mean("accuracy")
        self._table(there, rows[0].step, entries)

    def _table(self, there: Sequence[Id], step: int, entries: dict[str, str]) -> None:
        cells = []
        if len(there) < len(self.rows):
            of = "" if not self.settings else " of settings"
            names = [f"{seed} of {setting}" if of else str(seed) for seed, setting in there]
            cells.append((f"seeds{of}", cut(", ".join(names), 30)))
        group = ""
        for key, text in sorted({**entries, "time/total_timesteps": str(step)}.items()):
            name, _, rest = key.partition("/")
            if name != group:
                cells.append((f"{name}/", ""))
                group = name
            cells.append((f"   {rest}", text))
        self._print(_framed(cells))

    def _print(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, highlight=False)


def preset_hint(agent: AgentCore) -> str:
    """Explain how to use the preset of this environment.

    Empty if there is none, or it is in use.
    """
    name, cls = agent.name(), type(agent)
    presets = registry.presets(name)
    preset = registry.preset_name(agent.env_name, presets)
    if preset is None or agent.settings or registry.agent_class(name) is not cls:
        return ""
    parameters, _ = cls.adapted(presets[preset], agent.config.changed())
    envs = parameters.get("n_envs", agent.n_envs)
    parameters = {key: value for key, value in parameters.items() if key in cls.Config.model_fields}
    preset_config = cls.Config.build(name, parameters)
    same = all(getattr(preset_config, key) == getattr(agent.config, key) for key in parameters)
    if same and envs == agent.n_envs:
        return ""
    return (
        f"tuned parameters for {plain_text(preset)} are not in use: rlbench run {name} "
        f"--env {shlex.quote(plain_text(agent.env_name))} trains with them, "
        f"rlbench show {name} lists them"
    )


def opened(agent: AgentCore, total_timesteps: int, interval: int | None) -> TrainingLog | None:
    """Return the log of an agent with `verbose`, or None.

    Without `verbose` the hint at a preset is logged to `rlbench` at level INFO.
    """
    if agent.verbose:
        return TrainingLog(agent, total_timesteps, interval)
    if _LOG.isEnabledFor(logging.INFO) and (hint := preset_hint(agent)):
        _LOG.info("%s", hint)
    return None


def _mean(values: Sequence[float]) -> str:
    """Format the mean over seeds, with the lowest and highest if they differ."""
    low, high = min(values), max(values)
    if low == high and low.is_integer():
        return f"{low:,.0f}"
    mean = number_text(statistics.fmean(values))
    if low == high or len(values) == 1:
        return mean
    return f"{mean} ({number_text(low)} to {number_text(high)})"


def _framed(cells: Iterable[tuple[str, str]]) -> str:
    cells = list(cells)
    name_width, value_width = (max(len(cell[side]) for cell in cells) for side in (0, 1))
    line = "-" * (name_width + value_width + 7)
    return "\n".join(
        [line, *(f"| {a:<{name_width}} | {b:<{value_width}} |" for a, b in cells), line]
    )
