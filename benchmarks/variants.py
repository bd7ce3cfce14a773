"""What one update of each variant of DQN costs, against plain DQN's, in one process.

    python benchmarks/variants.py [--repeats 5] [--updates 200] [--seeds 1 10]

Networks of 64-64 units, batches of 64, transitions of CartPole. Every repetition times all variants
one after the other, so that a slow moment of the machine hits them alike; ratios are taken within a
repetition, and their median, least and greatest are printed. What acting costs more is not in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from timing import interleave, per_second, spread

from rlbench import configure_process
from rlbench.agents import DQN

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "double": {"double": True},
    "dueling": {"dueling": True},
    "n_steps=3": {"n_steps": 3},
    "prioritized": {"prioritized": True},
    "noisy": {"noisy": True},
    "c51, 51 atoms": {"distribution": "c51"},
    "qr, 25 quantiles": {"distribution": "qr"},
    "iqn, 8 and 8 samples": {"distribution": "iqn"},
    "rainbow": {"double": True, "dueling": True, "n_steps": 3, "prioritized": True, "noisy": True,
                "distribution": "c51"},
    "lstm": {"encoder": "lstm"},
}  # fmt: skip


def updates(seeds: int, settings: dict[str, Any]) -> Callable[[int], float]:
    """Updates per second of an agent that has seen 2,000 steps."""
    given = {"double": False, "batch_size": 64, **settings}
    agent = DQN("CartPole-v1", seeds=seeds, device="cpu", learning_starts=1999, **given)
    agent.learn(2000)
    return per_second(agent.update)


def main() -> None:
    """Print one table for each number of seeds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 10])
    chosen = parser.parse_args()
    configure_process()
    for seeds in chosen.seeds:
        cases = {name: updates(seeds, settings) for name, settings in VARIANTS.items()}
        speeds = interleave(cases, chosen.updates, chosen.repeats)
        print(f"\n{seeds} seeds, 64-64, batch 64: cost of an update, n = {chosen.repeats}")
        for name, values in speeds.items():
            ratios = [plain / own for plain, own in zip(speeds["plain"], values, strict=True)]
            print(f"  {name:22} {spread(ratios)} x plain")


if __name__ == "__main__":
    main()
