"""Speed of DQN against Stable-Baselines3, and what ten seeds cost, interleaved in one process.

    python benchmarks/speed.py [--repeats 5] [--steps 10000]

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
from rlbench.agents import DQN

WORK: dict[str, dict[str, Any]] = {
    "120-84, batch 128, update every 10": {
        "net_arch": (120, 84),
        "batch_size": 128,
        "train_freq": 10,
    },
    "64-64, batch 64, update every step": {
        "net_arch": (64, 64),
        "batch_size": 64,
        "train_freq": 1,
    },
}
COMMON: dict[str, Any] = {
    "learning_rate": 1e-3,
    "buffer_size": 50_000,
    "learning_starts": 100,
    "target_update_interval": 500,
    "exploration_fraction": 0.2,
    "exploration_final_eps": 0.05,
    "gamma": 0.99,
    "max_grad_norm": 10.0,
}


def ours(seeds: int, settings: dict[str, Any], double: bool = False) -> Callable[[int], float]:
    """Env steps per second, all seeds together, of our DQN; the first call warms up."""
    agent = DQN("CartPole-v1", seeds=seeds, double=double, device="cpu", **COMMON, **settings)

    def measure(steps: int) -> float:
        begun = time.perf_counter()
        agent.learn(steps)
        return seeds * steps / (time.perf_counter() - begun)

    return measure


def peer(settings: dict[str, Any]) -> Callable[[int], float]:
    """The same of Stable-Baselines3's DQN."""
    from stable_baselines3 import DQN as PeerDQN

    net_arch = list(settings["net_arch"])
    others = {key: value for key, value in settings.items() if key != "net_arch"}
    model = PeerDQN(
        "MlpPolicy",
        "CartPole-v1",
        policy_kwargs={"net_arch": net_arch},
        device="cpu",
        **COMMON,
        **others,
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


def interleave(
    cases: dict[str, Callable[[int], float]], steps: int, repeats: int
) -> dict[str, list[float]]:
    """Steps per second of every case in every repetition."""
    for measure in cases.values():
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
    chosen = parser.parse_args()
    for name, settings in WORK.items():
        cases = {"1 seed": ours(1, settings), "10 seeds": ours(10, settings)}
        speeds = interleave({"sb3": peer(settings), **cases}, chosen.steps, chosen.repeats)
        print(f"\nDQN on CartPole-v1, {name}: env steps per second, n = {chosen.repeats}")
        for case, values in speeds.items():
            ratios = [a / b for a, b in zip(values, speeds["sb3"], strict=True)]
            print(f"  {case:9} {spread(values, ',.0f'):34} {spread(ratios)} x sb3")
    for width in (64, 256):
        settings = {"net_arch": (width, width), "batch_size": 64, "train_freq": 4}
        cases = {str(seeds): ours(seeds, settings, double=True) for seeds in (1, 10)}
        speeds = interleave(cases, chosen.steps, chosen.repeats)
        cost = [10 * a / b for a, b in zip(speeds["1"], speeds["10"], strict=True)]
        print(f"\nten seeds cost {spread(cost)} times one seed (double DQN, {width}-{width}, "
              f"batch 64, update every 4, n = {chosen.repeats})")  # fmt: skip


if __name__ == "__main__":
    main()
