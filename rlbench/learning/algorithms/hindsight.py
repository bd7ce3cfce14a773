"""Configuration of hindsight replay, and where it is refused (Andrychowicz et al. 2017)."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from pydantic import Field as field

from rlbench.config import Config, Int
from rlbench.errors import UserError
from rlbench.learning.data.hindsight_replay import FIELDS, Strategy
from rlbench.learning.data.replay import Field
from rlbench.learning.environments.facts import EnvFacts
from rlbench.learning.environments.goals import PARTS, alike
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.networks import encoders


class HindsightConfig(Config):
    """Parameters of hindsight; names are Stable-Baselines3's."""

    her: bool = field(
        False,
        description="hindsight: in goal environments, replay with goals that were achieved "
        "(Andrychowicz et al. 2017)",
    )
    n_sampled_goal: Int = field(
        4, ge=1, description="her: transitions with another goal, for each with its own"
    )
    goal_selection_strategy: Strategy = field(
        "future",
        description="her: goals achieved later in the episode, at its end (final), or at any time "
        "(episode)",
    )

    def unused(self) -> dict[str, str]:
        names = () if self.her else ("n_sampled_goal", "goal_selection_strategy")
        return super().unused() | dict.fromkeys(names, "her=false")

    def check(self) -> None:
        super().check()
        c: Any = self
        if not self.her:
            return
        plain = {"n_steps": 1, "frame_stack": 1, "prioritized": False}
        others = [name for name, value in plain.items() if getattr(c, name, value) != value]
        others += ["encoder"] if encoders.parse(c.encoder)[1] else []
        if others or not c.gamma:
            name = others[0] if others else "gamma"
            raise UserError(
                f"her=true replays single transitions with a future: leave "
                f"{name}={getattr(c, name)} out"
            )


def replay_fields(config: Any) -> dict[str, Field]:
    """Return what is stored of each transition besides what all replay stores."""
    return FIELDS if getattr(config, "her", False) else {}


def check_goals(name: str, facts: EnvFacts, config: Any) -> None:
    """Refuse hindsight where no goals are.

    Raises:
        UserError: The environment is no goal environment, or its observations have images.
    """
    if not getattr(config, "her", False):
        return
    spec = ObsSpec.of(facts.observation_space, config)
    parts: Any = spec.observed
    if facts.goals and not any(part.image for part in spec.parts):
        return
    if not isinstance(parts, spaces.Dict) or not set(PARTS) <= set(parts.spaces):
        why = "Here are no such observations"
    elif not alike(parts["desired_goal"], parts["achieved_goal"]):
        why = "Here the two goals are not Box or MultiBinary of one shape"
    elif facts.masked:
        why = "Here are action masks, which action_masks=false leaves out"
    else:
        why = "Here is no such method" if not facts.goals else "Here are images"
    raise UserError(
        f"{name}: her=true needs a goal environment of vectors, with observations of "
        f"{', '.join(PARTS)} and a method compute_reward. {why}: leave it out"
    )


def relabelled(batch: int, config: HindsightConfig) -> int:
    """Return how many items of a batch get another goal."""
    return batch * config.n_sampled_goal // (config.n_sampled_goal + 1)
