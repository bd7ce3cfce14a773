"""What an environment is like: learned from one that is made, and passed down from there."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from rlbench.errors import UserError
from rlbench.learning.environments.goals import has_goals
from rlbench.learning.environments.masked_space import MaskedSpace


@dataclass(frozen=True)
class DataFacts:
    """Facts about the images that an environment is made of."""

    name: str
    variant: str
    split: str
    description: dict[str, Any]  # see `Dataset.describe`
    sizes: dict[str, int]  # images by split
    pass_steps: int  # env steps of one pass over the images
    image_steps: int  # env steps that an image takes, at most
    label_counts: np.ndarray  # (classes,): images of a pass by label


@dataclass(frozen=True)
class EnvFacts:
    """Facts about an environment that do not change while it is used."""

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    time_limit: int | None = None  # steps that a TimeLimit allows
    registered_limit: int | None = None  # steps that its registration names
    data: DataFacts | None = None  # where it is made of images
    reward_threshold: float | None = None  # return at which it counts as solved
    registered_arguments: dict[str, Any] = field(default_factory=dict)
    goals: bool = False  # whether rewards of other goals can be computed: see `goals.py`

    @classmethod
    def of(cls, env: Any, **registered: Any) -> EnvFacts:
        """Look at an environment; `registered` are the fields that a registration gives.

        Spaces are copied: who draws from them leaves the environment's own as they are.
        """
        return cls(
            copy.deepcopy(env.observation_space),
            copy.deepcopy(env.action_space),
            time_limit(env),
            registered_limit(env),
            _data_facts(env.unwrapped) if is_data(env) else None,
            goals=has_goals(env),
            **registered,
        )

    @property
    def masked(self) -> bool:
        """Whether its observations have the mask of legal actions as a part."""
        return isinstance(self.observation_space, MaskedSpace)

    @property
    def own_limit(self) -> int | None:
        """Steps after which its episodes end, None where no limit is known."""
        return self.time_limit or self.registered_limit


def _data_facts(env: Any) -> DataFacts:
    images, data = env.batch([0], 1), env.data
    return DataFacts(
        data.name,
        env.variant,
        getattr(env, "split", "train"),
        data.describe(),
        {name: len(split.labels) for name, split in data.splits.items()},
        env.pass_steps,
        images.steps,
        np.bincount(images.labels[images.pool]),
    )


def is_data(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether the environment is made of images in splits (see `evaluation.image_sweep`)."""
    return hasattr(env.unwrapped, "use") and hasattr(env.unwrapped, "data")


def check_labels(facts: EnvFacts, agent: str) -> None:
    """Refuse an environment without labels for an agent that learns from them."""
    if facts.data is None:
        raise UserError(
            f"{agent} needs labels: an environment on image data, such as "
            "rlbench/Classify-Digits-v0. In others `clone` learns from a trained agent"
        )


def time_limit(env: Any) -> int | None:
    """Return the steps of the TimeLimit among the wrappers, None where there is none."""
    while env is not None:
        steps = vars(env).get("_max_episode_steps")
        if isinstance(steps, int) and steps > 0:
            return steps
        env = env.env if isinstance(env, gymnasium.Wrapper) else None
    return None


def registered_limit(env: gymnasium.Env[Any, Any]) -> int | None:
    """Return `max_episode_steps` of the environment's registration, None where there is none."""
    steps = getattr(getattr(env, "spec", None), "max_episode_steps", None)
    return steps if isinstance(steps, int) and steps > 0 else None
