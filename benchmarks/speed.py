"""Speed of DQN and PPO against Stable-Baselines3, and what ten seeds cost, in one process.

    python benchmarks/speed.py [--repeats 5] [--steps 10000] [--agent dqn|ppo]

Both libraries get the same settings and one torch thread. Every repetition times all cases one
after the other, so that a slow moment of the machine hits them alike; ratios are taken within a
repetition, and their median, least and greatest are printed. Pin it to one core with
`taskset -c 0` where other work shares the machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import rlbench.learning  # noqa: F401  # one torch thread, for Stable-Baselines3 as well
from rlbench.catalog import agent_class

# What is timed: agent, environments per seed, widths of the hidden layers, other settings.
WORK: dict[str, tuple[str, int, tuple[int, int], dict[str, Any]]] = {
    "DQN, 120-84, batch 128, update every 10": (
        "dqn", 1, (120, 84), {"batch_size": 128, "train_freq": 10}
    ),
    "DQN, 64-64, batch 64, update every step": (
        "dqn", 1, (64, 64), {"batch_size": 64, "train_freq": 1}
    ),
    "PPO, 64-64, 8 environments, rollouts of 128, 4 epochs of 4 minibatches": (
        "ppo", 8, (64, 64), {"n_steps": 128, "batch_size": 256, "n_epochs": 4}
    ),
}  # fmt: skip
WARM_UP = 6.0  # seconds
COMMON: dict[str, dict[str, Any]] = {
    "dqn": {
        "learning_rate": 1e-3,
        "buffer_size": 50_000,
        "learning_starts": 100,
        "target_update_interval": 500,
        "exploration_fraction": 0.2,
        "exploration_final_eps": 0.05,
        "gamma": 0.99,
        "max_grad_norm": 10.0,
    },
    "ppo": {"learning_rate": 3e-4, "gamma": 0.99, "gae_lambda": 0.95, "max_grad_norm": 0.5},
}


def ours(
    agent: str, n_envs: int, net_arch: tuple[int, int], settings: dict[str, Any], seeds: int
) -> Callable[[int], float]:
    """Env steps per second, all seeds together, of our agent; the first call warms up."""
    made = agent_class(agent)(
        "CartPole-v1",
        seeds=seeds,
        n_envs=n_envs,
        device="cpu",
        net_arch=net_arch,
        **{**COMMON[agent], **settings},
    )

    def measure(steps: int) -> float:
        begun = time.perf_counter()
        made.learn(steps)
        return seeds * steps / (time.perf_counter() - begun)

    return measure


def peer(
    agent: str, n_envs: int, net_arch: tuple[int, int], settings: dict[str, Any]
) -> Callable[[int], float]:
    """The same of Stable-Baselines3's agent."""
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env

    model = getattr(stable_baselines3, agent.upper())(
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs) if n_envs > 1 else "CartPole-v1",
        policy_kwargs={"net_arch": list(net_arch)},
        device="cpu",
        **COMMON[agent],
        **settings,
    )

    def measure(steps: int) -> float:
        begun = time.perf_counter()
        model.learn(steps)
        return steps / (time.perf_counter() - begun)

    return measure


def spread(values: list[float], form: str = ".2f") -> str:
    """`median (least to greatest)`."""
    middle = format(statistics.median(values), form)
    return f"{middle} ({format(min(values), form)} to {format(max(values), form)})"


def per_second(call: Callable[[], object]) -> Callable[[int], float]:
    """Calls per second, of so many."""

    def measure(count: int) -> float:
        begun = time.perf_counter()
        for _ in range(count):
            call()
        return count / (time.perf_counter() - begun)

    return measure


def interleave(
    cases: dict[str, Callable[[int], float]], steps: int, repeats: int
) -> dict[str, list[float]]:
    """Steps per second of every case in every repetition, once all are in their stride: updates
    are recorded after seconds (`rlbench.learning.programs`)."""
    for measure in cases.values():
        begun = time.perf_counter()
        while time.perf_counter() - begun < WARM_UP:
            measure(steps // 5)
    speeds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, measure in cases.items():
            speeds[name].append(measure(steps))
    return speeds


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--agent", choices=["dqn", "ppo"], help="only this one")
    chosen = parser.parse_args()
    for name, (agent, n_envs, arch, settings) in WORK.items():
        if chosen.agent not in (None, agent):
            continue
        steps = chosen.steps * n_envs
        cases = {"sb3": peer(agent, n_envs, arch, settings)}
        for seeds in (1, 10):
            case = f"{seeds} seed" + "s" * (seeds > 1)
            # Double Q-learning is off: Stable-Baselines3 has none.
            plain = {"double": False} if agent == "dqn" else {}
            cases[case] = ours(agent, n_envs, arch, {**settings, **plain}, seeds)
        speeds = interleave(cases, steps, chosen.repeats)
        print(f"\n{name}, CartPole-v1: env steps per second, n = {chosen.repeats}")
        for case, values in speeds.items():
            ratios = [a / b for a, b in zip(values, speeds["sb3"], strict=True)]
            print(f"  {case:9} {spread(values, ',.0f'):34} {spread(ratios)} x sb3")
    for width in (64, 256) if chosen.agent != "ppo" else ():
        settings = {"batch_size": 64, "train_freq": 4}
        cases = {str(seeds): ours("dqn", 1, (width, width), settings, seeds) for seeds in (1, 10)}
        speeds = interleave(cases, chosen.steps, chosen.repeats)
        cost = [10 * a / b for a, b in zip(speeds["1"], speeds["10"], strict=True)]
        print(f"\nten seeds cost {spread(cost)} times one seed (double DQN, {width}-{width}, "
              f"batch 64, update every 4, n = {chosen.repeats})")  # fmt: skip


if __name__ == "__main__":
    main()
