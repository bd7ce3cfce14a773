"""Goal environments: observations name what is to be reached and what has been.

They are Dicts of `observation`, `achieved_goal` and `desired_goal`, and the environment's
`compute_reward(achieved, desired, info)` says what a transition would have earned for another goal
(Plappert et al. 2018; `GoalEnv` of Gymnasium-Robotics). `compute_terminated` is optional.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from rlbench.errors import UserError
from rlbench.learning import global_generators
from rlbench.learning.environments.calls import EnvCalls, described
from rlbench.learning.environments.text import flat_width
from rlbench.user_code.calls import UserCodeError, as_fault, guarded

SEED = 2**31 - 1  # of a trial; not an evaluation seed
PARTS = ("observation", "achieved_goal", "desired_goal")


def method(env: Any, name: str) -> Any:
    """Return a method of an environment or of one below its wrappers, or None."""
    try:
        return env.get_wrapper_attr(name)
    except AttributeError:
        return None


def has_goals(env: Any) -> bool:
    """Return whether rewards of other goals can be computed."""
    space = env.observation_space
    if not isinstance(space, spaces.Dict) or not set(PARTS) <= set(space.spaces):
        return False
    wanted, reached = (space["desired_goal"], space["achieved_goal"])
    return alike(wanted, reached) and callable(method(env, "compute_reward"))


def alike(wanted: spaces.Space[Any], reached: spaces.Space[Any]) -> bool:
    """Return whether goals are numbers, and may be what was reached."""
    return isinstance(wanted, spaces.Box | spaces.MultiBinary) and wanted.shape == reached.shape


def try_goals(make: Callable[[], Any]) -> None:
    """Ask a goal environment once what two goals are worth.

    Raises:
        UserError: Its methods raise, or give something else than numbers.
    """
    env = make()
    try:
        with global_generators.kept():
            obs = guarded(env.reset, seed=SEED)[0]
            goals = Goals(env.observation_space, make)
            goals.env = env
            reached, wanted = (np.ravel(obs[name]) for name in ("achieved_goal", "desired_goal"))
            pair = np.stack([reached, wanted]), np.stack([wanted, wanted])
            goals.rewards(*pair)
            goals.terminated(*pair)
    except (UserCodeError, LookupError, TypeError, ValueError):
        pass  # of its observations: training reports it
    finally:
        EnvCalls.close(env)


class Goals:
    """Where goals are in flattened observations, and what transitions earn for other goals."""

    def __init__(self, space: Any, make_env: Callable[[], Any]) -> None:
        self.make_env = make_env
        self.env: Any = None  # made when it is asked first
        columns, start = {}, 0
        for name, part in space.spaces.items():
            columns[name] = slice(start, start + flat_width(part))
            start = columns[name].stop
        self.achieved, self.desired = columns["achieved_goal"], columns["desired_goal"]
        self.shape, self.dtype = space["desired_goal"].shape, space["desired_goal"].dtype
        self.batched: dict[str, bool] = {}  # whether a method takes several goals at once

    def rewards(self, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        """Return rewards (B,) of transitions that reached `achieved`, both (B, G)."""
        return self._computed("compute_reward", achieved, desired)

    def terminated(self, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray | None:
        """Return which of these transitions end an episode, None where they would end it anyway."""
        if self._method("compute_terminated") is None:
            return None
        return self._computed("compute_terminated", achieved, desired)

    def _method(self, name: str) -> Any:
        if self.env is None:
            self.env = self.make_env()
        return method(self.env, name)

    def _computed(self, name: str, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        """Call a method of the environment: once for all goals, where that gives the same."""
        function = self._method(name)
        pair = [goals.reshape(-1, *self.shape).astype(self.dtype) for goals in (achieved, desired)]
        whose = f"{name} of {type(self.env.unwrapped).__name__}"
        try:
            if name not in self.batched:
                self.batched[name] = self._takes_batches(function, *pair)
            if self.batched[name]:
                given = function(*pair, {})
            else:
                given = [function(*each, {}) for each in zip(*pair, strict=True)]
        except Exception as error:
            raise UserError(f"{whose} raised {as_fault(error).reason()}") from error
        try:
            found = np.asarray(given, np.float32).reshape(len(pair[0]))
        except (TypeError, ValueError):
            found = np.full(1, np.nan)
        if not np.isfinite(found).all():
            one = given if self.batched[name] else given[0]
            raise UserError(f"{whose} must return a number for each goal, not {described(one)}")
        return found

    @staticmethod
    def _takes_batches(function: Any, achieved: np.ndarray, desired: np.ndarray) -> bool:
        """Return whether a method gives for many goals what it gives for each."""
        try:
            together = np.asarray(function(achieved, desired, {}), np.float32)
        except Exception:
            return False  # what it raises for one goal is raised by the next call
        alone = [function(*each, {}) for each in zip(achieved, desired, strict=True)]
        return together.shape == (len(alone),) and np.array_equal(
            together, np.array(alone, np.float32)
        )
