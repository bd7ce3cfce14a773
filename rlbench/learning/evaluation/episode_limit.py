"""Step limits of evaluation episodes."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium

from rlbench.protocol import EVAL_MAX_STEPS


class StepLimit(NamedTuple):
    """Number of steps after which evaluation cuts an episode."""

    given: int | None = None
    usual: int = EVAL_MAX_STEPS

    def of(self, env: gymnasium.Env[Any, Any]) -> int:
        """Return the limit for this environment.

        A TimeLimit ends episodes by itself, so evaluation never cuts before it. A registered limit
        that no wrapper enforces is used as it is.
        """
        if self.given is not None:
            return self.given
        wrapper_limit = time_limit(env)
        if wrapper_limit is not None:
            return max(wrapper_limit, self.usual)
        return registered_limit(env) or self.usual


def own_limit(env: gymnasium.Env[Any, Any]) -> int | None:
    """Return the environment's own step limit, or None if unknown."""
    return time_limit(env) or registered_limit(env)


def time_limit(env: Any) -> int | None:
    """Return the steps of the TimeLimit among the wrappers, or None without one."""
    while env is not None:
        steps = vars(env).get("_max_episode_steps")
        if isinstance(steps, int) and steps > 0:
            return steps
        env = env.env if isinstance(env, gymnasium.Wrapper) else None
    return None


def registered_limit(env: gymnasium.Env[Any, Any]) -> int | None:
    """Return `max_episode_steps` of the environment's registration, or None without one."""
    steps = getattr(getattr(env, "spec", None), "max_episode_steps", None)
    return steps if isinstance(steps, int) and steps > 0 else None
