"""What replayed images take and how fast they are sampled, against Stable-Baselines3's.

    python benchmarks/replay.py [--repeats 5] [--batches 300] [--capacity 10000]

Observations are four stacked frames of 84x84 bytes, batches of 32, one seed. Ours keeps a frame
once and stacks when it samples; Stable-Baselines3's keeps both observations of a transition whole.
Bytes are those of the arrays of 100,000 transitions; for timing both hold the same frames.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from timing import interleave, per_second, spread

from rlbench import configure_process
from rlbench.learning.data.replay import Replay, replay_bytes, transition_fields
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.rng import RandomStream

FRAME, STACK, BATCH, LARGE = (84, 84), 4, 32, 100_000
EPISODE = 500  # steps


def filled(capacity: int) -> tuple[Replay, ReplayBuffer]:
    """Both memories, full of the same transitions."""
    spec = ObsSpec(spaces.Box(0, 255, FRAME, np.uint8), stack=STACK)
    draws, cpu = RandomStream([0], "replay", (BATCH,), block=64), torch.device("cpu")
    ours = Replay(capacity, transition_fields(spec, 0, 0.99), 1, draws, cpu, stack=STACK)
    stacked = spaces.Box(0, 255, (STACK, *FRAME), np.uint8)
    theirs = ReplayBuffer(capacity, stacked, spaces.Discrete(4), "cpu")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (EPISODE + 1, *FRAME), dtype=np.uint8)
    seen = np.concatenate([frames[:1]] * (STACK - 1) + [frames])  # an episode begins with copies
    for step in range(capacity):
        i = step % EPISODE
        last = i == EPISODE - 1
        reward, action = np.array([[i % 3]], np.float32), np.array([[i % 4]])
        ours.add(
            obs=frames[None, None, i], next_obs=frames[None, None, i + 1], action=action,
            reward=reward, terminated=np.array([[last]]), truncated=np.zeros((1, 1), bool),
            first=np.array([[i == 0]]),
        )  # fmt: skip
        now, then = seen[None, i : i + STACK], seen[None, i + 1 : i + 1 + STACK]
        theirs.add(now, then, action[0], reward[0], np.array([last]), [{}])
    return ours, theirs


def main() -> None:
    """Print bytes, and batches per second with the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--capacity", type=int, default=10_000)
    chosen = parser.parse_args()
    configure_process()
    spec = ObsSpec(spaces.Box(0, 255, FRAME, np.uint8), stack=STACK)
    own = replay_bytes(1, LARGE, transition_fields(spec, 0, 0.99))
    ours, theirs = filled(chosen.capacity)
    other = sum(a.nbytes for a in (theirs.observations, theirs.next_observations))
    print(f"{LARGE:,} transitions: ours {own / 1e9:.2f} GB, "
          f"Stable-Baselines3 {other * LARGE / chosen.capacity / 1e9:.2f} GB")  # fmt: skip
    cases = {"ours": per_second(ours.sample), "sb3": per_second(lambda: theirs.sample(BATCH))}
    speeds = interleave(cases, chosen.batches, chosen.repeats)
    ratios = [a / b for a, b in zip(speeds["ours"], speeds["sb3"], strict=True)]
    for name, values in speeds.items():
        print(f"{name:5} {np.median(values):8,.0f} batches of {BATCH} a second")
    print(f"ratio {spread(ratios)}, n = {chosen.repeats}, of {chosen.capacity:,} transitions")


if __name__ == "__main__":
    main()
