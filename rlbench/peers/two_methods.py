"""Agents of two methods: any class with `act` and `observe`, which need not know of rlbench.

    class Idea:
        def __init__(self, observation_space, action_space, seed, step_size=0.1): ...
        def act(self, obs, explore): ...  # returns an action
        def observe(self, obs, action, reward, next_obs, terminated, truncated): ...

Each seed has an object of its own; they take turns, without lockstep. Observations and actions are
the environment's. Arguments of the constructor with defaults are the agent's parameters. `observe`
may return numbers to be logged, by name. Evaluation plays copies, with `explore=False`.

Objects draw from `np.random.default_rng(seed)`, their `action_space`, or torch's global generator,
of which each has a state of its own. Those of numpy and Python are refused: seeds share them.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field, create_model

from rlbench.config import Config, Float, Int
from rlbench.errors import UserError
from rlbench.learning.agent import Agent
from rlbench.learning.core.agent_core import Metrics
from rlbench.learning.environments.facts import EnvFacts
from rlbench.learning.environments.lanes import Step
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.global_generators import drawn, seeded
from rlbench.learning.hardware.device import Choice, choose
from rlbench.learning.policies.external_policy import check_actions, environments_form
from rlbench.learning.policies.policy import Policy
from rlbench.learning.rng import generator
from rlbench.peers.object_state import Opaque, capture, reinstate
from rlbench.user_code.imports import first_line

READABLE = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete)
WATCH_EVERY = 500  # steps between looks at numpy's and Python's global generators
_GIVEN = ("observation_space", "action_space", "seed")  # arguments that are no parameters


class Arguments(Config):
    """Parameters of a class: its constructor's arguments with defaults."""

    of: ClassVar[type]

    def __reduce__(self) -> Any:
        return _arguments, (self.of, self.model_dump())


def _arguments(cls: type, values: dict[str, Any]) -> Config:
    """Rebuild parameters in another process, which makes their class anew."""
    return arguments_of(cls)(**values)


@functools.cache
def arguments_of(cls: type) -> type[Arguments]:
    """Make the parameters of a class from its constructor.

    Raises:
        UserError: It does not take spaces and a seed, or a parameter has no default.
    """
    fields: dict[str, Any] = {}
    parameters = inspect.signature(cls).parameters.values()
    if [each.name for each in parameters][:3] != [*_GIVEN]:
        raise UserError(f"{cls.__name__} must be made by {cls.__name__}({', '.join(_GIVEN)})")
    for each in [*parameters][3:]:
        if each.default is each.empty:
            raise UserError(f"{cls.__name__}: its parameter {each.name} needs a default")
        kind = type(each.default)
        fields[each.name] = (
            {int: Int, float: Float}.get(kind, Any if each.default is None else kind),
            Field(each.default, description=f"argument of {cls.__name__}"),
        )
    return create_model(f"{cls.__name__}Arguments", __base__=Arguments, **fields)


class OneSeed:
    """Object of a user's class, and the state of torch's global generator that it draws from."""

    def __init__(self, cls: type, agent: TwoMethods, seed: int) -> None:
        own = [copy.deepcopy(space) for space in (agent.observation_space, agent.action_space)]
        words = generator(seed, "init").integers(2**31, size=3)
        for space, word in zip(own, words):
            space.seed(int(word))
        with seeded(int(words[2])):
            self.agent = cls(*own, seed, **agent.config.model_dump())
            self.draws = torch.get_rng_state()

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method, which draws from this seed's state of the generator."""
        others = torch.get_rng_state()
        torch.set_rng_state(self.draws)
        try:
            return getattr(self.agent, method)(*arguments)
        finally:
            self.draws = torch.get_rng_state()
            torch.set_rng_state(others)


class TwoMethods(Agent):
    """S objects of a class with `act` and `observe`, one a seed, in one environment each."""

    made: ClassVar[type]
    seed_cost = 1.0  # by turns
    action_spaces = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary, spaces.Box)

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        return {}  # nobody knows

    @classmethod
    def choose_device(cls, name: str | torch.device, *sizes: Any, timed: bool = True) -> Choice:
        if str(name) not in ("auto", "cpu"):
            raise UserError(f"{cls.name()} computes where its own code says: leave out --device")
        return choose("cpu")

    @classmethod
    def check_env(cls, facts: EnvFacts, config: Any, n_envs: int) -> None:
        super().check_env(facts, config, n_envs)
        if n_envs != 1:
            raise UserError(f"{cls.name()} has one environment a seed: leave out --n-envs")
        if not isinstance(facts.observation_space, READABLE):
            raise UserError(
                f"{cls.name()} is given arrays, and observations are {facts.observation_space}: "
                "add --wrap FlattenObservation"
            )

    def build(self) -> None:
        self.each = [OneSeed(self.made, self, seed) for seed in self.seeds]
        self.pending: list[tuple[Any, Any]] = []  # observation and action of each seed

    def act(self, obs: np.ndarray) -> np.ndarray:
        self._watch()
        seen = [environments_form(rows, self.spec.space)[0] for rows in obs]
        given = [one.call("act", here, True) for one, here in zip(self.each, seen, strict=True)]
        self.pending = list(zip(seen, given, strict=True))
        actions = np.stack([np.asarray(action)[None] for action in given])
        check_actions(actions[:, 0], self.action_space)
        return actions - self.action_start if self.action_start else actions

    def observe(self, step: Step) -> Metrics:
        logged = []
        for row, (one, (seen, action)) in enumerate(zip(self.each, self.pending, strict=True)):
            after = environments_form(step.next_obs[row], self.spec.space)[0]
            ends = bool(step.terminated[row, 0]), bool(step.truncated[row, 0])
            reward = float(step.reward[row, 0])
            logged.append(one.call("observe", seen, action, reward, after, *ends) or {})
        self.num_timesteps += self.n_envs
        shared = set.intersection(*(set(numbers) for numbers in logged))
        self.metrics |= {
            key: torch.tensor([float(numbers[key]) for numbers in logged]) for key in shared
        }
        self._watch()
        return self.metrics

    def _watch(self) -> None:
        """Refuse a class that draws from generators which its seeds would share."""
        if self.num_timesteps % WATCH_EVERY > 1 and self.num_timesteps > 2:
            self.watched: Any = None
            return
        now = drawn()
        before, self.watched = getattr(self, "watched", None), now
        for which, old, new in zip(("numpy's global generator", "Python's"), before or now, now):
            if old != new:
                raise UserError(
                    f"{self.name()} draws from {which}, which all seeds share: draw from "
                    "np.random.default_rng(seed) or random.Random(seed)"
                )

    def policy(self, seed: int | None = None, setting: int | None = None) -> CopiesPolicy:
        rows = self.row(seed, setting)
        try:
            copies = copy.deepcopy([self.each[row] for row in rows])
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise UserError(f"{self.name()} cannot be copied for evaluation: {reason}") from None
        return CopiesPolicy([self.seeds[row] for row in rows], self.spec, self.action_space, copies)

    def live_policy(self) -> CopiesPolicy:
        return self.policy()

    def keep_seeds(self, rows: Sequence[int]) -> None:
        self.each = [self.each[row] for row in rows]
        self.pending = [self.pending[row] for row in rows if self.pending]
        self._keep_settings(rows)

    @property
    def samples(self) -> int:
        return self.num_timesteps

    def diverged(self) -> dict[int, str]:
        return {}

    def parts(self) -> dict[str, Any]:
        return {"objects": _Objects(self.name(), self.each, self.seeds)}


class _Objects:
    """The objects of all seeds, as a part of an agent's state."""

    def __init__(self, name: str, each: Sequence[OneSeed], seeds: Sequence[int]) -> None:
        self.name, self.each, self.seeds = name, each, seeds

    def state(self) -> dict[str, Any]:
        states: list[dict[str, Any]] = []
        for one in self.each:
            try:
                states.append({"draws": one.draws.numpy(), "agent": capture(one.agent)})
            except Opaque as error:
                states.append({"opaque": str(error)})
        return {"each": states}

    def restore(self, state: dict[str, Any]) -> None:
        for one, seed, saved in zip(self.each, self.seeds, state["each"], strict=True):
            if "opaque" in saved:
                raise UserError(
                    f"{self.name} of seed {seed} was not saved: {saved['opaque']}; keep numbers, "
                    "arrays, lists, dictionaries, generators and modules of torch in its attributes"
                )
            one.draws = torch.as_tensor(np.array(saved["draws"]))
            reinstate(one.agent, saved["agent"])


class CopiesPolicy(Policy):
    """Policy of copies of the objects, which act without exploring unless told."""

    def __init__(
        self, seeds: Sequence[int], spec: ObsSpec, action_space: Any, each: Sequence[OneSeed]
    ) -> None:
        discrete = isinstance(action_space, spaces.Discrete)
        super().__init__(seeds, spec, int(action_space.start) if discrete else 0)
        self.space, self.each = action_space, each

    def randomness(self) -> str:
        return "its own exploration"

    def step(
        self, obs: np.ndarray, carry: Any, first: np.ndarray, deterministic: bool
    ) -> tuple[np.ndarray, None]:
        rows = []
        for one, batch in zip(self.each, obs, strict=True):
            seen = environments_form(batch, self.spec.space)
            rows.append(np.stack([one.call("act", here, not deterministic) for here in seen]))
            check_actions(rows[-1], self.space)
        return np.stack(rows) - self.action_start, None


@functools.cache
def adapted(cls: type) -> type[TwoMethods]:
    """Make the agent that a class with `act` and `observe` is.

    Raises:
        UserError: Its methods or its constructor take other arguments.
    """
    for method, count in (("act", 2), ("observe", 6)):
        try:
            inspect.signature(getattr(cls, method)).bind(*[None] * (count + 1))
        except TypeError:
            raise UserError(
                f"{cls.__name__}: an agent of two methods has act(obs, explore) and "
                "observe(obs, action, reward, next_obs, terminated, truncated)"
            ) from None
    config = arguments_of(cls)
    config.of = cls
    taken = ("version", "action_spaces", "default_timesteps", "__module__", "__qualname__")
    own = {name: getattr(cls, name) for name in taken if hasattr(cls, name)}
    return type(cls.__name__, (TwoMethods,), {
        "made": cls, "Config": config, "__doc__": cls.__doc__, **own,
    })  # fmt: skip
