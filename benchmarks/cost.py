"""How the cost of training grows with seeds, environments, batch and width, for DQN and PPO.

    python benchmarks/cost.py [--output cost.png] [--seconds 0.4] [--repeats 3]

Cost is the time of the same number of env steps of each seed on CartPole-v1, relative to the first
point of each line. One thing is varied at a time: one seed, layers of 64-64, DQN with batches of 64
and an update every 4 env steps of a seed, PPO with 8 environments, rollouts of 1,024 env steps and
4 epochs in batches of 256. So more environments are the same learning, and only larger steps.
All points of a panel are timed in turns; marks are medians, bars reach from least to greatest.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter
from timing import record_at_once, spread

from rlbench import configure_process
from rlbench.agents import DQN, PPO
from rlbench.reporting.figures.style import COLORS, DPI, GREY, style

ROLLOUT = 1024  # env steps of a seed, of PPO
AXES = {
    "seeds": (1, 2, 4, 8, 16, 32, 64),
    "environments per seed": (1, 4, 16, 64),
    "batch": (32, 64, 128, 256, 512),
    "width of both layers": (32, 64, 128, 256, 512),
}
YTICKS = (0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
LABELS = {"batch": "batch (PPO: with fewer updates)"}
AGENTS = {"DQN": COLORS[0], "PPO": COLORS[1]}


class Runner:
    """An agent that is timed in turns with others."""

    def __init__(self, agent: Any, unit: int, seconds: float) -> None:
        self.agent, self.unit = agent, unit
        self.cost(unit)  # records its updates
        self.steps = max(math.ceil(seconds / self.cost(unit) / unit), 1) * unit

    def cost(self, steps: int | None = None) -> float:
        """Seconds of an env step of every seed."""
        count = steps or self.steps
        begun = time.perf_counter()
        self.agent.learn(count)
        return (time.perf_counter() - begun) / count


class Point(NamedTuple):
    """Costs of one setting in every repetition, relative to the first setting's."""

    x: int
    costs: list[float]


def runner(agent: str, axis: str, x: int, seconds: float) -> Runner:
    """An agent with one thing varied."""
    seeds, width = x if axis == "seeds" else 1, x if axis == "width of both layers" else 64
    lanes = x if axis == "environments per seed" else (1 if agent == "DQN" else 8)
    batch = x if axis == "batch" else (64 if agent == "DQN" else 256)
    given: dict[str, Any] = {"seeds": seeds, "n_envs": lanes, "device": "cpu", "batch_size": batch}
    given["net_arch"] = (width, width)
    if agent == "PPO":
        made = PPO("CartPole-v1", n_steps=ROLLOUT // lanes, n_epochs=4, **given)
        return Runner(made, ROLLOUT, seconds)
    replay: dict[str, Any] = {"buffer_size": 10_000, "learning_starts": 0, "train_freq": 4}
    explored: dict[str, Any] = {"exploration_initial_eps": 0.05, "exploration_final_eps": 0.05}
    return Runner(DQN("CartPole-v1", **given, **replay, **explored), 256, seconds)


def curve(agent: str, axis: str, seconds: float, repeats: int) -> list[Point]:
    """All points of one line, timed in turns."""
    runners = [runner(agent, axis, x, seconds) for x in AXES[axis]]
    rounds = [[each.cost() for each in runners] for _ in range(repeats)]
    relative = [[cost / costs[0] for cost in costs] for costs in rounds]
    return [Point(x, list(costs)) for x, costs in zip(AXES[axis], zip(*relative))]


def draw(axes: Axes, axis: str, lines: dict[str, list[Point]]) -> None:
    """One panel: both agents, and what growth in proportion would be."""
    xs = AXES[axis]
    if axis in ("seeds", "batch"):
        axes.plot(xs, [x / xs[0] for x in xs], color=GREY, lw=0.8, ls=":", label="in proportion")
    for (name, points), marker in zip(lines.items(), "os", strict=True):
        middle = [statistics.median(point.costs) for point in points]
        below = [m - min(point.costs) for m, point in zip(middle, points, strict=True)]
        above = [max(point.costs) - m for m, point in zip(middle, points, strict=True)]
        axes.errorbar(
            xs, middle, (below, above), color=AGENTS[name], marker=marker, ms=4, lw=1.4,
            capsize=2, label=name,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel=LABELS.get(axis, axis))
    low, high = axes.get_ylim()
    ticks = [t for t in YTICKS if low <= t <= high]
    for side, places in ((axes.xaxis, xs), (axes.yaxis, ticks)):
        side.set_major_locator(FixedLocator(places))
        side.set_minor_locator(NullLocator())
        side.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.axhline(1.0, color=GREY, lw=0.5, zorder=0)


def main() -> None:
    """Print a table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--output", type=Path, default=Path("cost.png"))
    parser.add_argument("--seconds", type=float, default=0.4, help="of one timing")
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    configure_process()
    record_at_once()
    with style():
        figure, grid = plt.subplots(2, 2, figsize=(7, 5.4), layout="constrained")
        for axis, axes in zip(AXES, grid.flat, strict=True):
            lines = {name: curve(name, axis, chosen.seconds, chosen.repeats) for name in AGENTS}
            print(f"\n{axis}: cost of an env step of each seed, n = {chosen.repeats}")
            for x, *points in zip(AXES[axis], *lines.values(), strict=True):
                texts = [f"{name} {spread(p.costs):24}" for name, p in zip(lines, points)]
                print(f"  {x:4}  {'  '.join(texts)}".rstrip())
            draw(axes, axis, lines)
        grid[0, 0].legend(frameon=False)
        figure.supylabel(
            "time for the same env steps per seed, relative to the first point", fontsize="medium"
        )
        figure.savefig(chosen.output, dpi=DPI)
    print(f"\n{chosen.output}")


if __name__ == "__main__":
    main()
