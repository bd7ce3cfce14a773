"""CleanRL's scripts as they are, from a clone that the user made, each run in a process.

The clone's own `.venv` is used where it has one, as its pinned versions are others than ours. A
script prints a line `SPS:` at regular steps; those lines are timed, so that its start is not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

from work import Case, Work

FOREVER = 1_000_000_000  # steps


def command(work: Work, folder: str, steps: int) -> list[str]:
    """What runs its script with these settings."""
    s, root = work.all_settings(), Path(folder).resolve()
    python = root / ".venv" / "bin" / "python"
    options = {
        "total-timesteps": steps,
        "learning-rate": s["learning_rate"],
        "gamma": s["gamma"],
        "num-envs": work.n_envs,
    }
    switches = ["--no-cuda"]
    if work.agent == "dqn":
        options |= {
            "buffer-size": s["buffer_size"],
            "learning-starts": s["learning_starts"],
            "train-frequency": s["train_freq"],
            "batch-size": s["batch_size"],
            "target-network-frequency": s["target_update_interval"],
            "start-e": s["exploration_initial_eps"],
            "end-e": s["exploration_final_eps"],
        }
    else:
        rollout = work.n_envs * s["n_steps"]
        options |= {
            "num-steps": s["n_steps"],
            "num-minibatches": rollout // s["batch_size"],
            "update-epochs": s["n_epochs"],
            "gae-lambda": s["gae_lambda"],
            "max-grad-norm": s["max_grad_norm"],
            "ent-coef": 0.0,
        }
        switches += ["--no-anneal-lr", "--no-clip-vloss"]
    listed = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    script = root / "cleanrl" / f"{work.agent}.py"
    return [str(python if python.exists() else sys.executable), str(script), *listed, *switches]


def environment(folder: str) -> dict[str, str]:
    """Variables of its process: its helpers are found, torch has one thread."""
    own = {"PYTHONPATH": str(Path(folder).resolve()), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own, "PYTHONUNBUFFERED": "1"}


def cleanrl(work: Work, folder: str) -> Case:
    """Its script, started anew for every measurement and timed once it is in its stride."""
    each = work.n_envs * work.settings.get("n_steps", 100)  # env steps between two lines

    def measure(steps: int) -> float:
        lines = max(steps // each, 1)
        skipped = lines // 5 + 1
        with (
            tempfile.TemporaryDirectory() as cwd,  # it writes its runs there
            subprocess.Popen(
                command(work, folder, FOREVER), env=environment(folder), cwd=cwd, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            ) as process,
        ):  # fmt: skip
            assert process.stdout is not None
            seen, begun = 0, 0.0
            last: deque[str] = deque(maxlen=5)
            for line in process.stdout:
                last.append(line)
                seen += line.startswith("SPS:")
                if seen == skipped and not begun:
                    begun = time.perf_counter()
                if seen == skipped + lines:
                    break
            spent = time.perf_counter() - begun
            process.kill()
            if seen < skipped + lines:
                raise RuntimeError(f"CleanRL's script ended early: {''.join(last)}")
        return lines * each / spent

    fixed = (120, 84) if work.agent == "dqn" else (64, 64)
    note = "" if work.net_arch == fixed else "-".join(map(str, fixed))
    return Case(measure, note=note)
