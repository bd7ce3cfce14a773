"""Steps of an agent on random observations, so that devices can be timed at its very shape."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from rlbench.learning.environments.lanes import LabelFeedback, Step
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.hardware.device_timing import Trial, Work
from rlbench.learning.optim.learner import Learner, LearnerConfig

HORIZON = 10_000_000  # steps that schedules run over
STORED = 2_000  # steps that a replay buffer holds, at most, but for what a batch needs
KINDS = 8  # different steps


def trial_of(
    cls: Any, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
) -> Trial | None:
    """Return a trial of S seeds of an agent; None if it has no networks."""
    if not isinstance(config, LearnerConfig):
        return None
    shape = {
        "agent": f"{cls.__module__}.{cls.__qualname__}",
        "version": cls.version,
        "config": settings(config),
        "observations": str(spec.space),
        "actions": str(action_space),
        "seeds": seeds,
        "n_envs": n_envs,
    }

    def start(device: torch.device, check: Callable[[], None]) -> Work:
        made = cls(
            config=shortened(config, n_envs),
            observation_space=spec.space,
            action_space=action_space,
            seeds=seeds,
            n_envs=n_envs,
            device=device,
        )
        for learner in made.learners():
            _watch(learner, check)
        made.set_horizon(HORIZON)
        return functools.partial(_learn, made, random_steps(made), check)

    return Trial(shape, start)


def settings(config: Any) -> dict[str, Any]:
    """Return the parameters that the time of a step may depend on.

    Of numbers with a fraction, such as rates, only whether they are 0.
    """
    fields = config.model_dump(mode="json", exclude={"learning_starts", "buffer_size"})
    return {k: bool(value) if isinstance(value, float) else value for k, value in fields.items()}


def shortened(config: Any, n_envs: int) -> Any:
    """Return a configuration that learns from early on, and stores little."""
    least = 0
    if hasattr(config, "batch_size") and hasattr(config, "learning_starts"):
        items = max(config.batch_size, getattr(config, "sequence_length", None) or 1)
        least = 2 * (items + getattr(config, "n_steps", 1) + config.frame_stack) * n_envs
    new = {"learning_starts": least, "buffer_size": max(least + n_envs, STORED)}
    fields = type(config).model_fields
    return config.model_copy(update={name: new[name] for name in new if name in fields})


def _watch(learner: Learner, check: Callable[[], None]) -> None:
    """Trace updates at once, and check the time before each."""
    learner.warm_up = False
    step = learner.step

    def checked(*args: Any, **kwargs: Any) -> Any:
        check()
        return step(*args, **kwargs)

    learner.step = checked  # type: ignore[method-assign]


def _learn(agent: Any, steps: Iterator[Step], check: Callable[[], None]) -> int:
    """Take steps until the agent has learned; return their number, per seed."""
    samples, begun = agent.samples, agent.num_timesteps
    while agent.samples == samples:
        check()
        step = next(steps)
        agent.observe(step._replace(action=agent.act(step.obs)))
    return agent.num_timesteps - begun


def random_steps(agent: Any) -> Iterator[Step]:
    """Yield random transitions for all lanes of an agent, again and again; episodes may end."""
    rng, lead = np.random.default_rng(0), (len(agent.seeds), agent.n_envs)
    seen = [random_observations(agent.spec, lead, rng) for _ in range(KINDS)]
    classes = int(getattr(agent.action_space, "n", 1))
    nothing = np.zeros((*lead, 0))  # the agent's own action takes its place
    while True:
        for obs, following in zip(seen, seen[1:] + seen[:1], strict=True):
            chance = rng.random(lead)
            right = np.ones(lead, bool)
            label = LabelFeedback(rng.integers(classes, size=lead), right, right)
            reward = chance.astype(np.float32)
            yield Step(obs, nothing, reward, chance < 0.02, chance > 0.99, following, label)


def random_observations(
    spec: ObsSpec, lead: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Return random observations (S, N, *obs) of the type and shape that are stored."""
    if spec.mask is not None:  # all actions are legal
        inner = random_observations(spec.inner, lead, rng)
        actions = np.ones((*lead, spec.mask.stop - spec.mask.start), inner.dtype)
        return np.concatenate([inner.reshape(*lead, -1), actions], -1)
    shape = (*lead, *spec.shape)
    if spec.dtype == np.uint8:
        return rng.integers(256, size=shape, dtype=np.uint8)
    if spec.dtype == np.int64:
        return rng.integers(spec.parts[0].sizes, size=shape)
    return rng.standard_normal(shape).astype(spec.raw)
