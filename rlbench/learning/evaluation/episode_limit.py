"""Step limits of evaluation episodes."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium

from rlbench.learning.environments.facts import registered_limit, time_limit
from rlbench.protocol import EVAL_MAX_STEPS, default_eval_max_steps


class StepLimit(NamedTuple):
    """Number of steps after which evaluation cuts an episode."""

    given: int | None = None
    usual: int = EVAL_MAX_STEPS

    @classmethod
    def within(cls, total_timesteps: int, given: int | None = None) -> StepLimit:
        """Return the limit of a run: `given`, else what suits its budget in env steps."""
        return cls(given, default_eval_max_steps(total_timesteps))

    def of(self, env: gymnasium.Env[Any, Any]) -> int:
        """Return the limit for this environment.

        A TimeLimit ends episodes by itself, so evaluation never cuts before it. A registered limit
        that no wrapper enforces is used as it is.
        """
        return self.steps(time_limit(env), registered_limit(env))

    def steps(self, enforced: int | None, registered: int | None) -> int:
        """Steps where a TimeLimit allows `enforced`, and a registration names `registered`."""
        if self.given is not None:
            return self.given
        if enforced is not None:
            return max(enforced, self.usual)
        return registered or self.usual
