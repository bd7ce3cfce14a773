"""Time and memory of commands on a large store, by default of 2,000 runs with 10 seeds each.

    python benchmarks/load.py [--runs 2000] [--seeds 10] [--store FOLDER]

The store is synthetic and written by the store's own writer: 210 evaluation rows per seed, as the
protocol has them, 50 episodes and 50 metrics. Each command runs in a process of its own; its CPU
seconds and peak memory are the operating system's, the seconds a clock's.
"""

import argparse
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from rlbench.config import digest
from rlbench.protocol import grid_steps
from rlbench.rows import Episode, Evaluation, Metric
from rlbench.storage.run_folder import RunFolder

STEPS = 50_000
PER_ENV = 200  # entrants of an environment
LOAD = "import rlbench, sys; rlbench.load(sys.argv[1])"
EPISODES = (
    "import rlbench, sys; table = rlbench.load(sys.argv[1]).episodes; "
    "print(f'{len(table):,} episode rows')"
)


def write_run(out: Path, number: int, seeds: int, episodes: int, rng: np.random.Generator) -> None:
    """Write one run that is done."""
    changed = {"learning_rate": 1e-5 * (number % PER_ENV + 1)}
    identity = {
        "agent": "dqn", "agent_version": 1, "env": f"Synthetic-v{number // PER_ENV}",
        "total_timesteps": STEPS, "config": changed,
    }  # fmt: skip
    record = {key: identity[key] for key in ("agent", "agent_version", "env", "total_timesteps")}
    record |= {
        "env_kwargs": {}, "variant": f"learning_rate={changed['learning_rate']:.3g}",
        "digest": digest(identity), "config": changed, "changed": changed, "n_envs": 1,
        "eval_freq": STEPS // 10, "eval_episodes": 10, "final_episodes": 100,
        "created": "2026-11-28T18:00:00+00:00", "command": "rlbench run dqn",
    }  # fmt: skip
    folder = RunFolder(out / str(identity["env"]) / f"dqn-{record['digest']}")
    folder.open(identity, record)
    part = folder.part(range(seeds))
    part.reserve(range(seeds))
    part.begin()
    skill = float(rng.uniform(50, 450))
    points = [("grid", step, 10) for step in grid_steps(STEPS, 1, STEPS // 10)]
    for phase, step, count in (*points, ("final", STEPS, 100)):  # as seeds in lockstep write them
        for seed, scores in enumerate((skill + 40 * rng.standard_normal((seeds, count))).round(1)):
            for i, score in enumerate(scores.tolist()):
                part.write(Evaluation(seed, step, phase, i, score, 200, 7 * i, True, 0.0, 1.5))
    for seed in range(seeds):
        for i in range(episodes):
            part.write(Episode(seed, 20 * (i + 1), i, 20.0 + i % 7, 20, 0.125))
        for i in range(50):
            part.write(Metric(seed, 1000 * (i + 1), "train/loss", 0.25))
    part.flush()
    part.close()
    part.write_info({
        "seeds": list(range(seeds)), "status": {str(seed): "done" for seed in range(seeds)},
        "reason": {}, "step": STEPS, "seconds": 61.5, "device": "cpu", "command": "rlbench run dqn",
        "started": "2026-11-28T18:00:00+00:00", "updated": "2026-11-28T18:01:00+00:00",
        "versions": {"torch": "2.13.0"}, **part.of_files(),
    })  # fmt: skip


def write_store(out: Path, runs: int, seeds: int, episodes: int = 50) -> Path:
    """Write a store, unless it is there, in a process of its own: its memory is not measured."""
    if not out.is_dir():
        writer = multiprocessing.Process(target=_write, args=(out, runs, seeds, episodes))
        writer.start()
        writer.join()
    return out


def _write(out: Path, runs: int, seeds: int, episodes: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(runs):
        write_run(out, number, seeds, episodes, rng)


def measure(name: str, arguments: list[str]) -> None:
    """Run a command; print its exit code, seconds, CPU seconds and peak memory."""
    begun = time.perf_counter()
    child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds, cpu = time.perf_counter() - begun, usage.ru_utime + usage.ru_stime
    print(
        f"{name:36} exit {child.returncode}  {seconds:7.1f} s  {cpu:7.1f} s CPU"
        f"  {usage.ru_maxrss / 1024:7.0f} MiB",
        flush=True,
    )


def main() -> None:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--only", default="", help="commands whose name has this in it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = options.store or Path(scratch)
        out = write_store(place / "results", options.runs, options.seeds)
        long = write_store(place / "episodes", 1, 10, 500_000)
        entrants = sorted(file.parent for file in (out / "Synthetic-v0").glob("*/run.json"))
        rlbench = ["-m", "rlbench"]
        page = str(Path(scratch) / "report")
        commands = {
            "list runs": [*rlbench, "list", "runs", "--out", str(out)],
            "rlbench.load": ["-c", LOAD, str(out)],
            "compare --against": [*rlbench, "compare", "--against", str(out), "--out", str(out)],
            "report of 20 entrants": [*rlbench, "report", *map(str, entrants[:20]), "-o", page],
            "report of 200 entrants": [*rlbench, "report", *map(str, entrants), "-o", page],
            "5 million episode rows": ["-c", EPISODES, str(long)],
            "verify": [*rlbench, "verify", "--out", str(out)],
            "compact": [*rlbench, "compact", "--out", str(out)],
            "rlbench.load, compacted": ["-c", LOAD, str(out)],
            "compare --against, compacted": [
                *rlbench,
                "compare",
                "--against",
                str(out),
                "--out",
                str(out),
            ],
        }
        shutil.rmtree(out / "compact", ignore_errors=True)  # of an earlier call
        for name, arguments in commands.items():
            if options.only in name:
                measure(name, arguments)


if __name__ == "__main__":
    main()
