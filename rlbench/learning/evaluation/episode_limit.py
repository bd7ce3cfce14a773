"""How long an episode of evaluation may last."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium

from rlbench.protocol import EVAL_MAX_STEPS


class StepLimit(NamedTuple):
    """Steps after which evaluation cuts an episode."""

    given: int | None = None
    usual: int = EVAL_MAX_STEPS

    def of(self, env: gymnasium.Env[Any, Any]) -> int:
        """Steps for this environment.

        A TimeLimit ends episodes by itself, so that evaluation need not be before it. What a
        registration says and nothing enforces is taken as it is said.
        """
        if self.given is not None:
            return self.given
        enforced = time_limit(env)
        if enforced is not None:
            return max(enforced, self.usual)
        return registered_limit(env) or self.usual


def own_limit(env: gymnasium.Env[Any, Any]) -> int | None:
    """Return the environment's own limit of steps, None where none is known."""
    return time_limit(env) or registered_limit(env)


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
