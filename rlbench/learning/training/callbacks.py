"""Callbacks of `learn`: functions of a row, or of a row and the agent."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from rlbench.errors import UserError
from rlbench.rows import Row

Told = Callable[[Row, Any], Any]

# What stands for Stable-Baselines3's callbacks, by the names of their classes.
INSTEAD = {
    "EvalCallback": "learn(eval_freq=..., eval_episodes=...) evaluates, on episodes of its own",
    "CheckpointCallback": "give a function of the row and the agent, which calls agent.save(...)",
    "StopTrainingOnMaxEpisodes": "give a function of the row that returns False",
    "StopTrainingOnRewardThreshold": "give a function of the row that returns False",
    "StopTrainingOnNoModelImprovement": "give a function of the row that returns False",
    "ProgressBarCallback": "give progress_bar=True",
    "EveryNTimesteps": "give a function of the row, which has the step",
    "LogEveryNTimesteps": "verbose=1 prints tables, and agent.history has every number",
}


def read(callback: Any) -> list[Told]:
    """Return functions of a row and the agent, from `learn`'s argument.

    Raises:
        UserError: One is no function of a row, or of a row and the agent.
    """
    each = [*callback] if isinstance(callback, list | tuple) else [callback]
    return [_told(one) for one in each if one is not None]


def _told(callback: Any) -> Told:
    kinds = [kind.__name__ for kind in type(callback).__mro__]
    if "BaseCallback" in kinds:
        instead = next((INSTEAD[kind] for kind in kinds if kind in INSTEAD), None)
        raise UserError(
            f"{kinds[0]} is for Stable-Baselines3's models: "
            f"{instead or 'give a function of the row and the agent (see rlbench.rows)'}"
        )
    if not callable(callback):
        raise UserError(
            "callback must be a function of one row (see rlbench.rows), or of a row and the agent, "
            "or a list of them"
        )
    names = _needed(callback)
    if any("locals" in name or "globals" in name for name in names):
        raise UserError(
            "a callback of locals and globals is for Stable-Baselines3's models: give a function "
            "of the row and the agent (see rlbench.rows)"
        )
    if len(names) > 1:
        return callback
    return lambda row, agent: callback(row)


def _needed(callback: Callable[..., Any]) -> Sequence[str]:
    """Return the names of the arguments that a function cannot be called without."""
    try:
        parameters = inspect.signature(callback).parameters.values()
    except (TypeError, ValueError):  # of built-in functions
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        each.name
        for each in parameters
        if each.kind in kinds and (each.default is each.empty or each.name == "agent")
    ]
