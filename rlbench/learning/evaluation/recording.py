"""Episodes that a policy plays as in evaluation, kept step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np

from rlbench.errors import UserError
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.evaluation.episodes import play
from rlbench.learning.policies.policy import Policy


class PlayedEpisode:
    """An episode while it is played: what the environment was given, and what it gave."""

    def __init__(self, reset_seed: int, first: Any) -> None:
        self.reset_seed, self.obs = reset_seed, [first]
        self.action: list[Any] = []
        self.reward: list[float] = []
        self.ends: list[tuple[bool, bool]] = []

    def ended(self) -> tuple[np.ndarray, np.ndarray]:
        """Return where it terminated and was truncated, each (T,): a step limit truncates."""
        terminated, truncated = np.array(self.ends).T
        truncated[-1] |= not terminated[-1]
        return terminated, truncated


class Recorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Environment that keeps its episodes in a dictionary, by their reset seeds."""

    def __init__(self, env: gymnasium.Env[Any, Any], episodes: dict[int, PlayedEpisode]) -> None:
        super().__init__(env)
        self.episodes = episodes
        self.episode: PlayedEpisode | None = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; those without a reset seed are not kept."""
        obs, info = self.env.reset(seed=seed, options=options)
        self.episode = None
        if seed is not None:
            self.episode = self.episodes[seed] = PlayedEpisode(seed, _copied(obs))
        return obs, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment, and keep what it gave."""
        kept = _copied(action)
        obs, reward, terminated, truncated, info = self.env.step(action)
        if (episode := self.episode) is not None:
            episode.obs.append(_copied(obs))
            episode.action.append(kept)
            episode.reward.append(float(reward))
            episode.ends.append((bool(terminated), bool(truncated)))
        return obs, reward, terminated, truncated, info


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_copied, value))
    return np.array(value) if isinstance(value, np.ndarray) else value


def record_episodes(
    policy: Policy,
    make: Callable[[], Any],
    masks: bool,
    reset_seeds: Sequence[int],
    limit: StepLimit,
) -> list[PlayedEpisode]:
    """Let a policy of one seed play an episode from each reset seed, and return them in this order.

    `masks` says whether the policy sees the masks of the environments that `make` makes.

    Raises:
        UserError: An environment fails, or returns NaN.
    """
    episodes: dict[int, PlayedEpisode] = {}
    source = EnvSource(lambda: Recorder(make(), episodes), masks=masks)
    for score in play(policy, source, reset_seeds, limit):
        if score is not None and score.error:
            raise UserError(f"episodes cannot be recorded: {score.error}")
    source.close()
    return [episodes[seed] for seed in reset_seeds]
