"""Reference scores of environments: what 0 and 1 mean in a normalised score.

Random scores were measured with Gymnasium 1.4.0, means over as many episodes as stated; those of
our own environments are exact. Published scores are of RL Baselines3 Zoo, `benchmark.md` at commit
22e3ff2, each of ONE training run: a landmark, not a sample; LunarLander's there are of v2. Atari's
random and human scores are those that human-normalised scores on Atari 100k are made with.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlbench.reporting.statistics.intervals import NO_BOUNDS, Bounds
from rlbench.reporting.statistics.resampling import Array


class Published(NamedTuple):
    """Score that others report: its source, and after how many env steps."""

    agent: str
    score: float
    steps: int


class Reference(NamedTuple):
    """Known scores of an environment; None if unknown or nonexistent."""

    random: float | None
    random_from: str
    high: float | None  # the reward threshold, else another score that people aim at
    high_from: str
    published: tuple[Published, ...] = ()


class Scale(NamedTuple):
    """Scores that normalise to 0 and 1, with a description of their source."""

    low: float
    high: float
    low_from: str
    high_from: str


_THRESHOLD = "Gymnasium's reward threshold"
_BLIND = "exact, as of any policy without eyes"
_CATCH = Reference(-0.8, _BLIND, 1.0, "the optimum")
_SYMBOLS = Reference(0.25, "exact, as of any policy without memory", 1.0, "the optimum")
_HUMAN = "human, as for Atari 100k"
REFERENCES = {
    "CartPole-v1": Reference(
        22.2, "1,000 episodes", 475.0, _THRESHOLD,
        (Published("dqn", 500.0, 50_000), Published("ppo", 500.0, 100_000),
         Published("a2c", 500.0, 500_000)),
    ),
    "Acrobot-v1": Reference(
        -497.4, "200 episodes", -100.0, _THRESHOLD,
        (Published("dqn", -76.64, 100_000), Published("ppo", -73.51, 1_000_000),
         Published("a2c", -83.35, 500_000)),
    ),
    "MountainCar-v0": Reference(
        -200.0, "200 episodes", -110.0, _THRESHOLD,
        (Published("dqn", -100.8, 120_000), Published("ppo", -110.4, 1_000_000),
         Published("a2c", -111.3, 1_000_000)),
    ),
    "MountainCarContinuous-v0": Reference(
        None, "", 90.0, _THRESHOLD,
        (Published("ppo", 88.34, 20_000), Published("a2c", 91.17, 100_000),
         Published("sac", 94.68, 50_000)),
    ),
    "Pendulum-v1": Reference(
        -1232.9, "500 episodes", -151.3, "the best in RL Zoo (TQC); there is no threshold",
        (Published("ppo", -172.2, 100_000), Published("a2c", -163.0, 1_000_000),
         Published("sac", -157.0, 20_000), Published("tqc", -151.3, 20_000)),
    ),
    "LunarLander-v3": Reference(
        -181.3, "300 episodes", 200.0, _THRESHOLD,
        (Published("dqn", 154.4, 100_000), Published("ppo", 242.1, 1_000_000),
         Published("a2c", 155.8, 200_000)),
    ),
    "rlbench/Catch-v0": _CATCH,
    "rlbench/Catch84-v0": _CATCH,
    "rlbench/Cue-v0": Reference(0.5, "exact, as of any policy without memory", 1.0, "the optimum"),
    "rlbench/RepeatPrevious-v0": _SYMBOLS,
    "rlbench/Autoencode-v0": _SYMBOLS,
    "rlbench/TMaze-v0": Reference(
        0.5, "exact, of the best policy without memory", 1.0, "the optimum"
    ),
    "rlbench/Doors-v0": Reference(
        -46.37, "exact, of random legal actions", -3.08, "the optimum, in the mean of all rooms"
    ),
    "rlbench/Market-v0": Reference(
        -44.33, "exact", 12.67, "the optimum, by dynamic programming"
    ),
    "rlbench/Recommend-v0": Reference(26.88, "exact", 67.53, "the optimum"),
    "ALE/Pong-v5": Reference(-20.7, "as for Atari 100k", 14.6, _HUMAN),
    "ALE/Breakout-v5": Reference(1.7, "as for Atari 100k", 30.5, _HUMAN),
}  # fmt: skip

ACCURACY_BOUNDS: Bounds = (0.0, 1.0)  # of all shares
# The least and the greatest possible return, as the environment is registered, also of an episode
# that evaluation cuts.
BOUNDS: dict[str, Bounds] = {
    "CartPole-v0": (0.0, 200.0),
    "CartPole-v1": (0.0, 500.0),
    "Acrobot-v1": (-500.0, 0.0),
    "MountainCar-v0": (-200.0, 0.0),
    "MountainCarContinuous-v0": (float("nan"), 100.0),
    "Pendulum-v1": (-3254.8, 0.0),  # 200 steps of at least -(pi^2 + 0.1 8^2 + 0.001 2^2)
    "FrozenLake-v1": (0.0, 1.0),
    "FrozenLake8x8-v1": (0.0, 1.0),
    "Blackjack-v1": (-1.0, 1.0),
    "CliffWalking-v1": (float("nan"), -1.0),  # every step costs 1 or 100
    "CliffWalkingSlippery-v1": (float("nan"), -1.0),
    "Taxi-v4": (-2000.0, 20.0),  # 200 steps of at least -10; 20 for the last one
    "InvertedPendulum-v5": (0.0, 1000.0),
    "MiniGrid-DoorKey-5x5-v0": (0.0, 1.0),
    "MinAtar/Breakout-v1": (0.0, float("nan")),
    "rlbench/Catch-v0": (-1.0, 1.0),
    "rlbench/Catch84-v0": (-1.0, 1.0),
    "rlbench/Cue-v0": (0.0, 1.0),
    "rlbench/RepeatPrevious-v0": (0.0, 1.0),
    "rlbench/Autoencode-v0": (0.0, 1.0),
    "rlbench/TMaze-v0": (-4.4, 1.0),  # 44 steps into a wall
    "rlbench/Doors-v0": (-100.0, -1.0),
    "rlbench/Market-v0": (-199.5, 100.0),
    "rlbench/Recommend-v0": (0.0, 100.0),
    "rlbench/BitFlip-v0": (-10.0, 0.0),
    "rlbench/Reach-v0": (-50.0, 0.0),
    "ALE/Pong-v5": (-21.0, 21.0),
    **{
        f"rlbench/{variant}{data}-v0": bounds
        for variant, bounds in {
            "Classify": (-1.0, 1.0),
            "Find": (-1.0, 1.0),
            "Glimpse": (-1.0, 1.0),
            "Retry": (-3.0, 1.0),
            "Rows": (-1.0, 1.0),
            "Stream": (-100.0, 100.0),
        }.items()
        for data in ("", "-Digits", "-MNIST", "-FashionMNIST")
    },
    **dict.fromkeys(
        (
            "rlbench/Classify-BreastCancer-v0",
            "rlbench/Classify-Tones-v0",
            "rlbench/Rows-Tones-v0",
            "rlbench/Rows-NextValue-v0",
            "rlbench/Rows-Series-v0",
            "rlbench/Rows-Texts-v0",
        ),
        (-1.0, 1.0),
    ),
}
# Wrappers of rlbench.
_SAME_RETURNS = {
    "atari",
    "blank",
    "image-max",
    "mask-velocity",
    "shuffle-pixels",
    "terminal-limit",
}


def bounds_of(env: str, arguments: Iterable[str] = ()) -> Bounds:
    """Return the bounds of a return in `env` with these arguments by name; NaN if unknown.

    Arguments may change rewards or lengths, and so may wrappers other than rlbench's own: with any
    of them, except for `data`, the bounds are unknown.
    """
    name, *wraps = env.split("+")
    altering = set(arguments) - {"data"} or {w.partition(":")[0] for w in wraps} - _SAME_RETURNS
    return NO_BOUNDS if altering else BOUNDS.get(name, NO_BOUNDS)


def scale_of(env: str, random: float | None = None, threshold: float | None = None) -> Scale | None:
    """Return the scale to normalise scores of `env` with; None if an end is missing or low >= high.

    `random` is the mean score of the agent `random` under the same protocol, preferred over the
    listed one; `threshold` is that of its runs, if none is listed. Wrappers
    (`CartPole-v1+mask-velocity`) keep the scores of the environment they wrap.
    """
    reference = REFERENCES.get(env.partition("+")[0], Reference(None, "", None, ""))
    low, low_from = reference.random, f"a random policy ({reference.random_from})"
    high, high_from = reference.high, reference.high_from
    if random is not None and np.isfinite(random):
        low, low_from = random, "the agent random beside it"
    if high is None and threshold is not None and np.isfinite(threshold):
        high, high_from = threshold, "its reward threshold"
    if low is None or high is None or not low < high:
        return None
    return Scale(low, high, low_from, high_from)


def normalise(scores: ArrayLike, low: float, high: float) -> Array:
    """Return (score - low) / (high - low), without clipping; NaN stays NaN."""
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"a scale goes from a lower to a higher score, not from {low} to {high}")
    return (np.asarray(scores, dtype=np.float64) - low) / (high - low)
