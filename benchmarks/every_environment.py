"""Runs agents on every environment that Gymnasium registers, and prints what came of each.

    python benchmarks/every_environment.py [--steps 2000] [--agents dqn ppo ...] [--only PATTERN]

Each run is an `rlbench run` in a process of its own with a time limit. An outcome is `done`,
`refused` (exit code 2 with one line), `failed` (a seed failed or diverged), `time` (its own
`--max-seconds` ended it), `HANGS` (it had to be killed) or `TRACEBACK`. The last two are faults of
rlbench, and the exit code is then 1. Environments that cannot be made here are listed with the
reason. Atari stands for itself with one game.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import gymnasium

AGENTS = ("dqn", "pqn", "ppo", "sac", "td3", "sb3-dqn", "sb3-ppo")
ATARI = "ALE/Pong-v5"


class Outcome(NamedTuple):
    """What came of one run."""

    env: str
    agent: str
    result: str
    seconds: float
    line: str  # the last line that it printed to stderr


def environments() -> list[str]:
    """Ids of the registry: Gymnasium's own and ours, and one Atari game where it is installed."""
    import rlbench.envs  # noqa: F401  registers ours

    chosen = [
        name
        for name, spec in gymnasium.registry.items()
        if not (name.startswith("ALE/") or "atari" in str(spec.entry_point).lower())
    ]
    try:
        import ale_py  # noqa: F401  registers Atari's
    except ImportError:
        return chosen
    return [*chosen, ATARI]


def run(agent: str, env: str, steps: int, limit: float, out: Path) -> Outcome:
    """`rlbench run AGENT --env ENV`, for two seeds, killed when it outlives its own limit."""
    command = [sys.executable, "-m", "rlbench", "run", agent, "--env", env, "-n", str(steps),
               "--seeds", "2", "--max-seconds", str(limit), "--out", str(out),
               "--jobs", "1"]  # fmt: skip
    if env == ATARI:
        command += ["--env-kwargs", "frameskip=1", "--wrap", "atari", "-p", "frame_stack=4"]
        command += ["-p", "buffer_size=5000"] if "dqn" in agent and "pqn" not in agent else []
    begun = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=2 * limit + 60, check=False,
            env=os.environ | {"COLUMNS": "200"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(env, agent, "HANGS", time.monotonic() - begun, "")
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    results = {0: "done", 1: "failed", 2: "refused", 124: "time"}
    result = results.get(done.returncode, f"EXIT {done.returncode}")
    if re.search(r"^Traceback", done.stdout + done.stderr, re.MULTILINE):
        result = "TRACEBACK"
    last = lines[-1] if lines else ""
    return Outcome(env, agent, result, time.monotonic() - begun, last)


def main() -> None:
    """Print a line for each run as it ends, then a table of counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--agents", nargs="+", default=AGENTS)
    parser.add_argument("--only", default="", help="environments whose id matches this pattern")
    parser.add_argument("--limit", type=float, default=60, help="seconds that a run may take")
    chosen = parser.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        for env in environments():
            if not re.search(chosen.only, env):
                continue
            for agent in chosen.agents:
                outcome = run(agent, env, chosen.steps, chosen.limit, Path(folder))
                outcomes.append(outcome)
                detail = "" if outcome.result == "done" else outcome.line
                print(f"{env:36} {agent:8} {outcome.result:9} {outcome.seconds:5.0f} s  {detail}",
                      flush=True)  # fmt: skip
                if "cannot be made" in outcome.line:
                    break  # by no agent
    print()
    for result, count in Counter(outcome.result for outcome in outcomes).most_common():
        print(f"{result:9} {count}")
    sys.exit(any(outcome.result.isupper() for outcome in outcomes))


if __name__ == "__main__":
    main()
