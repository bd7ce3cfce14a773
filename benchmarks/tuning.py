"""Trials an hour of `rlbench tune`, beside Stable-Baselines3 and Optuna on the same cores.

    python benchmarks/tuning.py --work FOLDER [--trials 64] [--peer-trials 2] [--steps 50000]

The peer is the script that its users write: a study in a journal file, one process a core, and in
each trial one seed after the other, evaluated as often and over as many episodes as ours. Both
search the same ranges for DQN on CartPole-v1 around the preset. The peer trains a part of the
trials, since all of them take hours; its rate is that of the part.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import optuna
import torch
from optuna.storages.journal import JournalFileBackend
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.monitor import Monitor

ENV, POINTS, EPISODES = "CartPole-v1", 10, 10
SPACE = {
    "learning_rate": (1e-4, 1e-2, True),
    "gamma": (0.9, 0.999, False),
    "max_grad_norm": (0.1, 10.0, True),
    "exploration_fraction": (0.02, 0.5, False),
    "exploration_final_eps": (0.005, 0.2, True),
}
FIXED: dict[str, Any] = {
    "batch_size": 128, "buffer_size": 100_000, "learning_starts": 1_000, "train_freq": 256,
    "gradient_steps": 128, "target_update_interval": 10,
}  # fmt: skip


def peer_trial(trial: optuna.Trial, steps: int, seeds: int) -> float:
    """Mean over seeds of the last evaluation of Stable-Baselines3's DQN."""
    values: dict[str, Any] = {
        n: trial.suggest_float(n, a, b, log=log) for n, (a, b, log) in SPACE.items()
    }
    rate = values.pop("learning_rate")
    scores = []
    for seed in range(1000, 1000 + seeds):
        model = DQN(
            "MlpPolicy", gym.make(ENV), seed=seed, device="cpu", **FIXED, **values,
            learning_rate=lambda left: left * rate, policy_kwargs={"net_arch": [64, 64]},
        )  # fmt: skip
        evaluation = EvalCallback(
            Monitor(gym.make(ENV)), n_eval_episodes=EPISODES, eval_freq=steps // POINTS, verbose=0
        )
        model.learn(steps, evaluation)
        scores.append(float(evaluation.last_mean_reward))
    return float(np.mean(scores))


def peer_process(file: str, trials: int, steps: int, seeds: int) -> None:
    """Train trials of the peer's study on one core."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(file))
    study = optuna.create_study(
        study_name="peer", storage=storage, direction="maximize",
        sampler=optuna.samplers.RandomSampler(),
        load_if_exists=True,
    )  # fmt: skip
    study.optimize(lambda trial: peer_trial(trial, steps, seeds), n_trials=trials)


def peer(folder: Path, options: argparse.Namespace) -> float:
    """Seconds of the peer for its trials."""
    begun = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    each = options.peer_trials // options.jobs
    arguments = (str(folder / "peer.log"), each, options.steps, options.seeds)
    processes = [context.Process(target=peer_process, args=arguments) for _ in range(options.jobs)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return time.perf_counter() - begun


def ours(folder: Path, options: argparse.Namespace) -> float:
    """Seconds of `rlbench tune`, from the shell to its end."""
    ranges = [
        f"{name}={'log' if log else 'lin'}:{low:g}..{high:g}"
        for name, (low, high, log) in SPACE.items()
    ]
    parameters = {**FIXED, "net_arch": 64, "lr_schedule": "linear", "double": False}
    command: list[Any] = [
        sys.executable, "-m", "rlbench", "tune", "dqn", "--env", ENV, "-n", options.steps,
        "--no-preset", "--trials", options.trials, "--seeds", options.seeds, "--jobs", options.jobs,
        "--lockstep", options.lockstep, "--sampler", "random", "--no-confirm", "--quiet",
        "--out", folder / "ours",
    ]  # fmt: skip
    for word in ranges:
        command += ["-s", word]
    for name, value in parameters.items():
        command += ["-p", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    begun = time.perf_counter()
    subprocess.run([str(word) for word in command], check=True)
    return time.perf_counter() - begun


def main() -> None:
    """Time both and print their rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True, help="folder for both studies, new")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--peer-trials", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--lockstep", type=int, default=32)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    options.work.mkdir(parents=True)
    print(f"dqn on {ENV}, {options.steps:,} steps, {options.seeds} seeds a trial, "
          f"{options.jobs} processes")  # fmt: skip
    rates = {}
    for name, run, trials in (
        ("rlbench tune", ours, options.trials),
        ("stable-baselines3 and optuna", peer, options.peer_trials),
    ):
        seconds = run(options.work, options)
        rates[name] = trials / seconds * 3600
        print(f"{name:30} {trials:4} trials in {seconds:7.1f} s: {rates[name]:7.1f} an hour",
              flush=True)  # fmt: skip
    one, other = rates.values()
    print(f"times as many: {one / other:.1f}")


if __name__ == "__main__":
    main()
