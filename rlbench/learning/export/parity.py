"""Comparison of an exported model with the agent, on observations of the sealed evaluation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from rlbench.errors import UserError
from rlbench.learning.environments.masked_space import ILLEGAL, MASK, OBSERVATION, MaskedSpace
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.evaluation.episodes import play
from rlbench.learning.evaluation.image_sweep import sweep_split
from rlbench.learning.export.files import Arrays, Model
from rlbench.learning.export.plain_policy import PlainPolicy, leaves
from rlbench.learning.policies.network_policies import NetworkPolicy
from rlbench.learning.rng import evaluation_seeds

OBSERVATIONS = 1_000
BOUND = 1e-4  # of a difference, relative to the largest output, or to 1 where these are smaller
TIMED = 300  # decisions that are timed


@dataclass
class Recording:
    """What a policy saw and did, step by step: arrays of L lanes each."""

    seen: list[np.ndarray] = field(default_factory=list)  # (L, *obs)
    first: list[np.ndarray] = field(default_factory=list)  # (L,)
    outputs: list[np.ndarray] = field(default_factory=list)  # (L, A)
    actions: list[np.ndarray] = field(default_factory=list)  # (L, *action)

    @property
    def count(self) -> int:
        """Number of observations."""
        return sum(map(len, self.seen))


class Parity(NamedTuple):
    """How an exported model differs from the agent."""

    observations: int
    difference: float  # largest, of outputs
    size: float  # of the largest output
    equal: int  # actions that are equal, or closer than the bound where they are real numbers

    @property
    def close(self) -> bool:
        """Whether the difference is within BOUND; NaN is not."""
        return self.difference <= BOUND * max(1.0, self.size)


class _Enough(Exception):
    """End of a recording, raised in the middle of an evaluation."""


def record(
    policy: NetworkPolicy, source: EnvSource, limit: StepLimit, count: int = OBSERVATIONS
) -> Recording:
    """Let a policy of one seed play sealed final episodes, or see test images, and record it."""
    recording = Recording()
    outputs: list[np.ndarray] = []
    act, choose = policy.act, policy.choose

    def chosen(values: np.ndarray, deterministic: bool) -> np.ndarray:
        outputs.append(values[0].copy())
        return choose(values, deterministic)

    def acted(obs: np.ndarray, first: np.ndarray, deterministic: bool | None = None) -> Any:
        if recording.count >= count:
            raise _Enough
        action = act(obs, first, True)
        recording.seen.append(obs[0].copy())
        recording.first.append(first[0].copy())
        recording.outputs.append(outputs.pop())
        recording.actions.append(action[0] + policy.action_start)
        return action

    vars(policy).update(choose=chosen, act=acted)
    try:
        if source.facts.data is not None:
            list(sweep_split(policy, source, "test", limit))
        else:
            list(play(policy, source, evaluation_seeds("final", count), limit))
    except _Enough:
        pass
    finally:
        del policy.choose, policy.act  # those of the instance: its class has its own
        policy.reset()
    return recording


def compare(recording: Recording, policy: PlainPolicy, model: Model) -> Parity:
    """Show a model what was recorded, in the form of the environment, and compare.

    Raises:
        UserError: Outputs differ by more than BOUND.
    """
    spec, (_, scores, *nexts) = policy.spec, policy.output_names
    memory: Arrays = {}
    difference = size = 0.0
    equal = total = 0
    for seen, first, outputs, action in zip(
        recording.seen, recording.first, recording.outputs, recording.actions, strict=True
    ):
        if len(next(iter(memory.values()), first)) != len(first):
            memory = {}
        if not memory:
            memory = {name: value.numpy() for name, value in policy.start(len(first)).items()}
        if "episode_start" in memory:
            memory["episode_start"] = first | memory["episode_start"]
        answer = model({**from_stored(seen, spec), **memory})
        difference = max(difference, float(np.abs(answer[scores] - outputs).max()))
        size = max(size, float(np.abs(outputs[outputs > np.float32(ILLEGAL)]).max(initial=0.0)))
        alike = np.isclose(answer["action"], action, BOUND, BOUND).reshape(len(first), -1).all(-1)
        equal, total = equal + int(alike.sum()), total + len(first)
        memory = {name.removeprefix("next_"): answer[name] for name in nexts}
        if memory:
            memory["episode_start"] = np.zeros(len(first), bool)
    return Parity(total, difference, size, equal)


def from_stored(stored: np.ndarray, spec: ObsSpec) -> Arrays:
    """Convert observations (L, *shape) as they are stored back to what environments give."""
    rows = [dict(_arrays(_original(row, spec.space), spec.space)) for row in stored]
    return {
        leaf.name: np.stack([row[leaf.name] for row in rows]).astype(leaf.dtype)
        for leaf in leaves(spec.space)
    }


def _original(row: np.ndarray, space: spaces.Space[Any]) -> Any:
    if isinstance(space, MaskedSpace):
        width = len(row) - spaces.flatdim(space[MASK])
        return {OBSERVATION: _original(row[:width], space[OBSERVATION]), MASK: row[width:]}
    if isinstance(space, spaces.Box):
        return row.reshape(space.shape)
    if isinstance(space, spaces.Discrete):
        return int(row[0]) + int(space.start)
    if isinstance(space, spaces.MultiDiscrete):
        return row.reshape(space.shape) + space.start
    return spaces.unflatten(space, row)


def _arrays(obs: Any, space: spaces.Space[Any], name: str = "obs") -> Iterator[tuple[str, Any]]:
    """Yield the arrays of an observation with their names, as `leaves` yields their spaces."""
    if isinstance(space, MaskedSpace):
        yield from _arrays(obs[OBSERVATION], space[OBSERVATION], name)
        yield MASK, obs[MASK]
    elif isinstance(space, spaces.Dict | spaces.Tuple):
        inner = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        for key, each in inner:
            yield from _arrays(obs[key], each, f"{name}.{key}")
    else:
        yield name, obs


def check(parity: Parity, path: object) -> None:
    """Refuse a model that differs.

    Raises:
        UserError: The difference is larger than BOUND.
    """
    if not parity.close:
        raise UserError(
            f"{path} differs from the agent by {parity.difference:.2g} in outputs up to "
            f"{parity.size:.3g}, and was removed: more than rounding is wrong; please report it"
        )


def microseconds(decide: Callable[[], object], count: int = TIMED) -> float:
    """Return the median time of a decision in microseconds, after a warm-up."""
    times = []
    for _ in range(count + count // 10):
        start = time.perf_counter()
        decide()
        times.append(time.perf_counter() - start)
    return 1e6 * statistics.median(times[count // 10 :])


def one(recording: Recording, policy: PlainPolicy) -> Iterator[Arrays]:
    """Yield inputs of single observations, each as if its episode began."""
    memory = {name: value.numpy() for name, value in policy.start(1).items()}
    for seen in recording.seen:
        yield {**from_stored(seen[:1], policy.spec), **memory}
