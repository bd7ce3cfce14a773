"""Images per second of the environments on image data, and of training on them, with peak memory.

    python benchmarks/images.py [--data mnist] [--repeats 5] [--lanes 32]

The three ways to step `Classify` do the same work: the batch that training uses, Gymnasium's
`make_vec`, and a `SyncVectorEnv` of single environments. They are timed one after the other in
every repetition; what is printed is the median with the least and the greatest. Training is the
whole loop (environment, acting, learning, bookkeeping), without evaluation.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from timing import interleave, spread

import rlbench.envs  # noqa: F401  # registers rlbench/Classify-v0
from rlbench import configure_process
from rlbench.agents import DQN, PPO
from rlbench.learning.environments.lanes import MakeEnv
from rlbench.learning.environments.make import env_factory

ID = "rlbench/Classify-v0"
TRAINED: dict[str, tuple[Any, int, dict[str, Any]]] = {
    "ppo, mlp 256-256, 4 epochs": (PPO, 64, {"n_steps": 8, "batch_size": 128, "n_epochs": 4}),
    "dqn, mlp 256-256, 4 uses": (
        DQN, 32, {"buffer_size": 20_000, "batch_size": 128, "train_freq": 32, "double": False},
    ),
}  # fmt: skip


def batched(make: MakeEnv, seeds: int, lanes: int) -> Callable[[int], float]:
    """Images per second of the batch, all seeds together, with random actions."""
    batch: Any = make().unwrapped.batch(range(seeds), lanes)  # type: ignore[attr-defined]
    batch.reset()
    return _timed(batch.step, np.random.default_rng(0).integers(10, size=(seeds, lanes)))


def vector(env: gymnasium.vector.VectorEnv[Any, Any, Any], lanes: int) -> Callable[[int], float]:
    """The same of a Gymnasium vector environment."""
    env.reset(seed=0)
    return _timed(env.step, np.random.default_rng(0).integers(10, size=lanes))


def _timed(step: Callable[[np.ndarray], Any], action: np.ndarray) -> Callable[[int], float]:
    def measure(images: int) -> float:
        begun = time.perf_counter()
        for _ in range(max(images // action.size, 1)):
            step(action)
        return images / (time.perf_counter() - begun)

    return measure


def trained(name: str, make: MakeEnv, seeds: int) -> Callable[[int], float]:
    """Images per second of training, all seeds together."""
    kind, n_envs, settings = TRAINED[name]
    network = {"encoder": "mlp", "net_arch": (256, 256), "gamma": 0.0, "learning_rate": 1e-3}
    agent = kind(make, seeds=seeds, n_envs=n_envs, device="cpu", **network, **settings)

    def measure(images: int) -> float:
        begun = time.perf_counter()
        agent.learn(images)
        return seeds * images / (time.perf_counter() - begun)

    return measure


def main() -> None:
    """Print a table of environments and one of training."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--lanes", type=int, default=32)
    chosen = parser.parse_args()
    configure_process()
    kwargs, lanes = {"data": chosen.data}, chosen.lanes
    make = env_factory(ID, kwargs)
    singles = gymnasium.vector.SyncVectorEnv([make] * lanes)
    cases = {
        "batch, 1 seed": batched(make, 1, lanes),
        "batch, 5 seeds": batched(make, 5, lanes),
        "make_vec": vector(gymnasium.make_vec(ID, lanes, **kwargs), lanes),
        "SyncVectorEnv": vector(singles, lanes),
    }
    print(f"Classify on {chosen.data}, {lanes} lanes a seed: images/s, n = {chosen.repeats}")
    for name, speeds in interleave(cases, 20_000, chosen.repeats).items():
        print(f"  {name:34} {spread(speeds, ',.0f')}")
    made = {
        f"{name}, {seeds} seed{'s' * (seeds > 1)}": trained(name, make, seeds)
        for name in TRAINED
        for seeds in (1, 5)
    }
    print(f"training on it: images/s, n = {chosen.repeats}")
    for name, speeds in interleave(made, 10_240, chosen.repeats).items():
        print(f"  {name:34} {spread(speeds, ',.0f')}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(f"peak memory of this process, all of the above: {peak / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
