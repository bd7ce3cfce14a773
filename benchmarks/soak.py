"""Memory and handles of one process that does many short runs and evaluations.

    python benchmarks/soak.py [--runs 1000] [--rows FILE.csv] [-o FIGURE.png]

Each run trains an agent for a few hundred steps, with its evaluations, saves it, and is read as
tables; its agent is loaded again and plays. What it wrote is then deleted. 1,000 runs are about as
many as a machine finishes in a day where each takes a minute and a half. A row is written after
each: seconds, memory that the process holds, open files, threads, and objects of Python.
"""

import argparse
import contextlib
import csv
import gc
import io
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd

import rlbench
from rlbench import agents
from rlbench.commands.evaluate import evaluate
from rlbench.reporting.figures.style import COLORS, DPI, style

mpl.use("Agg")
SHORT: dict[str, Any] = {
    "eval_freq": 200,
    "eval_episodes": 1,
    "final_episodes": 3,
    "quiet": True,
    "jobs": 1,
}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "dqn": ("CartPole-v1", {"learning_starts": 100, "buffer_size": 1_000}),
    "ppo": ("CartPole-v1", {"n_steps": 64, "batch_size": 32}),
    "sac": ("Pendulum-v1", {"learning_starts": 100, "buffer_size": 1_000, "net_arch": [32, 32]}),
}
COLUMNS = ("run", "seconds", "mib", "files", "threads", "objects")
SHOWN = {"mib": "memory, MiB", "files": "open files", "threads": "threads",
         "objects": "objects of Python"}  # fmt: skip


def one_run(number: int, out: Path) -> None:
    """Train, evaluate, save, read and load an agent."""
    name = list(KINDS)[number % len(KINDS)]
    env, parameters = KINDS[name]
    results = rlbench.run(
        name, env, seeds=[number], total_timesteps=400, preset=False, floor=False, out=out,
        **SHORT, **parameters,
    )  # fmt: skip
    assert list(results.runs["status"]) == ["done"]
    (saved,) = out.glob("*/*/*/agent.npz")
    getattr(agents, name.upper()).load(saved)
    with contextlib.redirect_stdout(io.StringIO()):
        assert evaluate(str(saved.parent.parent), out, None, "cpu") == 0


def sample() -> dict[str, float]:
    """Return what this process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "mib": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "files": len(list(Path("/proc/self/fd").iterdir())) - 1,
        "threads": threading.active_count(),
        "objects": len(gc.get_objects()),
    }


def soak(runs: int, file: Path) -> None:
    """Do the runs, and write a row after each."""
    begun = time.monotonic()
    with file.open("w", newline="") as rows:
        writer = csv.DictWriter(rows, COLUMNS)
        writer.writeheader()
        for number in range(runs):
            with tempfile.TemporaryDirectory() as out:
                one_run(number, Path(out))
            seconds = round(time.monotonic() - begun, 1)
            writer.writerow({"run": number + 1, "seconds": seconds, **sample()})
            rows.flush()


def draw(file: Path, figure_file: Path) -> None:
    """Draw the rows: a panel for each thing that should stay flat."""
    from matplotlib.figure import Figure

    rows = pd.read_csv(file)
    with style():
        figure = Figure(figsize=(9.6, 2.4), layout="constrained")
        for axes, (key, label) in zip(figure.subplots(1, len(SHOWN)), SHOWN.items(), strict=True):
            axes.plot(rows["run"], rows[key], color=COLORS[0])
            axes.set(title=label, xlabel="runs", ylim=(0, 1.15 * rows[key].max()))
        figure.savefig(figure_file, dpi=DPI)


def main() -> None:
    """Soak, and print the change from the first tenth to the last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--rows", type=Path, default=Path("soak.csv"))
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--draw-only", action="store_true")
    options = parser.parse_args()
    if not options.draw_only:
        soak(options.runs, options.rows)
    rows = pd.read_csv(options.rows)
    tenth = max(len(rows) // 10, 1)
    early, late = rows.iloc[tenth : 2 * tenth].median(), rows.iloc[-tenth:].median()
    for key, label in SHOWN.items():
        print(f"{label:20} {early[key]:12,.0f} in the second tenth {late[key]:12,.0f} in the last")
    if options.output:
        draw(options.rows, options.output)


if __name__ == "__main__":
    main()
