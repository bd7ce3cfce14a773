"""Evaluation of external agents, with `predict` as in Stable-Baselines3, on the sealed episodes."""

from __future__ import annotations

import functools
from typing import Any

from rlbench.common.console import console as new_console
from rlbench.common.number_format import count_text, mean_text
from rlbench.common.plain_text import plain_text
from rlbench.errors import UserError
from rlbench.experiments.planning import full_id
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.evaluation.episodes import Score, evaluate
from rlbench.learning.policies.external_policy import ExternalPolicy
from rlbench.process import configure_process
from rlbench.protocol import FINAL_EPISODES
from rlbench.user_code.calls import UserCodeError, guarded
from rlbench.user_code.imports import import_module


def score(
    name: str, env: str, episodes: int | None, deterministic: bool, max_steps: int | None
) -> int:
    """Play the first final episodes with `package.module:thing` and print its score.

    Returns the exit code.

    Raises:
        UserError: The object does not exist, has no `predict`, or fails.
    """
    configure_process()
    env = full_id(env)
    make = EnvSource(env)
    facts = make.facts
    if facts.data is not None:
        raise UserError(f"--agent plays episodes, and {env} is about images")
    spec = ObsSpec(facts.observation_space, exact=True)
    policy = ExternalPolicy((0,), spec, [find(name)], action_space=facts.action_space)
    policy.deterministic = deterministic
    try:
        limit, count = StepLimit(max_steps), episodes or FINAL_EPISODES
        results = guarded(lambda: list(evaluate(policy, make, "final", count, limit)))
    except UserCodeError as fault:
        raise UserError(f"{name} fails on {env}: {fault.reason()}") from None
    make.close()
    scores = [each for each in results if isinstance(each, Score)]
    print_line = functools.partial(new_console().print, soft_wrap=True, highlight=False)
    if errors := [each.error for each in scores if each.error]:
        print_line(f"{name} on {env}: {plain_text(errors[0])}")
        return 1
    returns, lengths = [each.ret for each in scores], [each.length for each in scores]
    if cuts := sum(each.cut for each in scores):
        most = f"{max(lengths):,}"
        print_line(f"{cuts} of {len(scores)} episodes did not end and were cut after {most} steps")
    print_line(
        f"{name} on {env}: mean return {mean_text(returns)} (standard deviation over "
        f"{count_text(len(returns), 'episode')}, "
        f"{'deterministic' if deterministic else 'stochastic'})\n"
        "this is one agent: episodes tell nothing of other seeds, so there is no interval"
    )
    return 0


def find(name: str) -> Any:
    """Import the object that `package.module:thing` names, and call it if it is a factory."""
    module, _, attribute = name.partition(":")
    if not attribute:
        raise UserError(f"--agent {name}: give package.module:thing")
    try:
        thing: Any = guarded(import_module, module)
        for part in attribute.split("."):
            thing = getattr(thing, part)
        if isinstance(thing, type) or not hasattr(thing, "predict"):
            thing = guarded(thing)
    except AttributeError as error:
        raise UserError(f"--agent {name}: AttributeError: {error}") from None
    except UserCodeError as fault:
        raise UserError(f"--agent {name}: {fault.reason()}") from None
    if not callable(getattr(thing, "predict", None)):
        raise UserError(
            f"--agent {name}: it has no predict(obs, state, episode_start, deterministic)"
        )
    return thing
