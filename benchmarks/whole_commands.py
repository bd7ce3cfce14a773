"""Seconds of whole commands, from the shell to the prompt, beside Stable-Baselines3.

    python benchmarks/whole_commands.py [--repeats 3] [--peer-repeats 1] [--before CHECKOUT]

`rlbench run dqn` and `ppo` on CartPole-v1 with ten seeds and `--jobs 1`, the same by an older
checkout of this project where one is named, and the script that users of Stable-Baselines3 write:
ten seeds one after the other, EvalCallback at the same ten points over as many episodes, the same
final evaluation, and the settings of our presets; each in one process of one thread. The script
takes minutes, so it takes part in the first turns only. A first turn of a few steps fills the
disk's cache. Printed are the seconds of each turn, and of seconds of CPU the median of each way
with the lowest and highest, and the share of its time that the current checkout takes within a
turn.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from timing import ratios, spread

HERE = Path(__file__).resolve()
ENV, SEEDS, POINTS, EPISODES, FINAL = "CartPole-v1", 10, 10, 10, 100
STEPS = {"dqn": 50_000, "ppo": 100_000}
LANES = {"dqn": 1, "ppo": 8}
SETTINGS: dict[str, dict[str, Any]] = {
    "dqn": {
        "batch_size": 128, "buffer_size": 100_000, "learning_starts": 1_000, "gamma": 0.99,
        "target_update_interval": 10, "train_freq": 256, "gradient_steps": 128,
        "exploration_fraction": 0.16, "exploration_final_eps": 0.04, "max_grad_norm": 0.3,
        "learning_rate": lambda left: 2.3e-3 * left, "policy_kwargs": {"net_arch": [64, 64]},
    },
    "ppo": {
        "n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98, "n_epochs": 20,
        "learning_rate": lambda left: 1e-3 * left, "clip_range": lambda left: 0.2 * left,
    },
}  # fmt: skip


def peer(agent: str, steps: int) -> None:
    """Train and evaluate ten seeds by Stable-Baselines3, one after the other."""
    import gymnasium
    import stable_baselines3
    import torch
    from stable_baselines3.common.callbacks import EvalCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor

    torch.set_num_threads(1)
    lanes = LANES[agent]
    for seed in range(SEEDS):
        model = getattr(stable_baselines3, agent.upper())(
            "MlpPolicy", make_vec_env(ENV, lanes, seed=seed), seed=seed, device="cpu",
            **SETTINGS[agent],
        )  # fmt: skip
        env = Monitor(gymnasium.make(ENV))
        every = max(steps // POINTS // lanes, 1)
        model.learn(steps, EvalCallback(env, n_eval_episodes=EPISODES, eval_freq=every, verbose=0))
        evaluate_policy(model, env, FINAL)


def seconds(command: list[str], checkout: Path) -> tuple[float, float]:
    """Seconds of a process with this checkout's package, and those of CPU that it took."""
    variables = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as cwd:
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=variables, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
        spent, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(checkouts: dict[str, Path], repeats: int, peer_repeats: int) -> None:
    """Time every way in turn, print each time as it comes and a table for each agent."""
    for agent, steps in STEPS.items():
        took: dict[str, list[float]] = {}  # seconds of CPU: others on the machine change them least
        for repeat in range(repeats + 1):
            count = str(steps if repeat else 2_000)
            run = [sys.executable, "-m", "rlbench", "run", agent, "--env", ENV, "-n", count]
            run += ["--seeds", str(SEEDS), "--jobs", "1"]
            ways = {name: (run, checkout) for name, checkout in checkouts.items()}
            script = [sys.executable, str(HERE), "--peer", agent, count]
            if repeat <= peer_repeats:
                ways["stable-baselines3"] = (script, HERE.parents[1])
            for name, (command, checkout) in ways.items():
                spent, cpu = seconds(command, checkout)
                if repeat:
                    print(
                        f"{agent}, turn {repeat}, {name}: {spent:.1f} s, of CPU {cpu:.1f}",
                        flush=True,
                    )
                    took.setdefault(name, []).append(cpu)
        print(f"{agent} on {ENV}, {steps:,} steps, {SEEDS} seeds, seconds of CPU")
        for name, values in took.items():
            share = spread(ratios(took["rlbench"][: len(values)], values))
            known = f"{spread(values, '.1f')} (n = {len(values)})"
            print(f"  {name:20} {known:36} rlbench takes {share} of it", flush=True)


def main() -> None:
    """Run the comparison, or the peer's part of it in this process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-repeats", type=int, default=1, help="turns with the peer's script")
    parser.add_argument("--before", type=Path, help="an older checkout of this project")
    parser.add_argument("--peer", nargs=2, metavar=("AGENT", "STEPS"), help="run the peer's script")
    options = parser.parse_args()
    if options.peer:
        peer(options.peer[0], int(options.peer[1]))
    else:
        older = {"before": options.before.resolve()} if options.before else {}
        compare({"rlbench": HERE.parents[1], **older}, options.repeats, options.peer_repeats)


if __name__ == "__main__":
    main()
