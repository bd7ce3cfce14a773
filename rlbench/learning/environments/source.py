"""Factory of one kind of environment that is inspected once, and the reuse of environments."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from rlbench.envs.classic.twin import Twin
from rlbench.learning import global_generators
from rlbench.learning.environments import masks, pristine, twins
from rlbench.learning.environments.calls import EnvCalls
from rlbench.learning.environments.facts import EnvFacts, is_data
from rlbench.learning.environments.make import make_once, name_of
from rlbench.learning.environments.masked_space import action_sizes


class EnvSource:
    """Factory of environments of one kind, with the facts about them.

    Nothing is made before it is asked for. The environment that `facts` are read from is the first
    that a call returns, unless `close` came before. A pickled source looks again where it is used.

    Released environments are handed out again where they can be brought back to what
    they were when they were made (see `pristine`), and all that are made are alike: constructors
    that draw, count, or read what others have changed are called anew each time.

    Args:
        env: what `make.make_once` takes.
        kwargs: arguments for the environment.
        vector: factory of vector environments for lanes of training, as `vectors.vector_factory`
            takes it; "" for lanes of single environments.
        masks: whether observations have the mask of legal actions as a part (see `masks`); None
            where that is so if the environment gives any.
    """

    def __init__(
        self,
        env: Any,
        kwargs: dict[str, Any] | None = None,
        vector: str = "",
        masks: bool | None = False,
    ) -> None:
        self.env, self.kwargs, self.vector, self.masks = env, dict(kwargs or {}), vector, masks
        self.asked = masks  # as it was asked for
        self._make: Callable[[], Any] | None = None
        self._facts: EnvFacts | None = None
        self._name = ""
        self._unused: list[Any] = []  # as they were made
        self._new: pristine.Description | None = None  # of all that were made, if they are alike
        self._alike = 0  # how many were seen to be
        self._mutables: list[Any] = []  # of the one that was made last
        self._twin: str | None = None  # see `twins.eligible`

    @classmethod
    def of(cls, env: Any) -> EnvSource:
        """Return a source of environments, which `env` may be already."""
        return env if isinstance(env, cls) else cls(env)

    def __reduce__(self) -> tuple[type[EnvSource], tuple[Any, dict[str, Any], str, bool | None]]:
        return type(self), (self.env, self.kwargs, self.vector, self.masks)

    @property
    def looked(self) -> bool:
        """Whether an environment has been made and looked at."""
        return self._make is not None

    @property
    def may_give_masks(self) -> bool:
        """Whether the environment may give masks; of some kinds it is known that none does."""
        facts = self._facts
        known = self._twin or (facts and (facts.data or not action_sizes(facts.action_space)))
        return not known

    @property
    def facts(self) -> EnvFacts:
        """What an environment is like.

        Raises:
            UserError: none can be made.
        """
        self._look()
        assert self._facts is not None
        return self._facts

    @property
    def name(self) -> str:
        """The full id of the environment, or the name of its class."""
        self._look()
        return self._name

    def __call__(self) -> Any:
        """Return a new or restored environment."""
        self._look()
        return self._unused.pop() if self._unused else self._made()

    def take(self, count: int) -> list[Any]:
        """Return `count` environments that are new, or restored to what new ones are.

        Where some were released, one is made anew to see that they still are what is made now.
        """
        self._look()
        envs = [self._made()] if self._alike > 1 and self._unused and count else []
        return envs + [self() for _ in range(count - len(envs))]

    def twin(self, lanes: int) -> Twin | None:
        """Return so many lanes as a batched twin, if there is one and it may be used here.

        Its environment, the pattern, is one of this source, to be released or closed as others.
        """
        self._look()
        kind = twins.usable(self._twin, lanes) if self._twin else None
        return kind(self.take(1)[0], lanes) if kind else None

    def release(self, envs: Sequence[Any]) -> None:
        """Accept unused environments: keep them to hand out again, or close them."""
        for env in envs:
            new = self._new if self._alike > 1 and len(self._unused) < len(envs) else None
            if new is not None and pristine.restore(env, new):
                self._unused.append(env)
            else:
                EnvCalls.close(env)

    def close(self) -> None:
        """Close what was made and is not used."""
        while self._unused:
            EnvCalls.close(self._unused.pop())

    def _look(self) -> None:
        """Make the first environment, if that was not done."""
        if self._make is not None:
            return
        made = make_once(self.env, self.kwargs)
        make, env, fresh = made.make, made.env, True
        self._twin = twins.eligible(made.registration, self.kwargs, env)
        if self.masks is None:
            self.masks, fresh = self._find_masks(env)
        if self.masks:
            make, env, self._twin = functools.partial(_masked, make), masks.ActionMask(env), None
        if fresh:
            self._note(env)
        registered: dict[str, Any] = {}
        if (spec := made.registration) is not None:
            registered["registered_arguments"] = spec.kwargs
            registered["reward_threshold"] = spec.reward_threshold if made.same_rewards else None
        self._facts = EnvFacts.of(env, **registered)
        self._name = name_of(self.env, made.env)
        self._make = make
        if fresh:
            self._unused.append(env)
        else:
            EnvCalls.close(env)

    def _find_masks(self, env: Any) -> tuple[bool, bool]:
        """Return whether a new environment gives masks, and whether it is still as it was made.

        It is reset to see that, unless its spaces or its kind say it already.
        """
        if self._twin or is_data(env) or not action_sizes(env.action_space):
            return False, True  # as `may_give_masks` says
        if masks.in_observation(env) or masks.by_method(env):
            return True, True
        new = pristine.describe(env)
        with global_generators.kept():
            shown = masks.in_info(env)
        return shown, new is not None and pristine.restore(env, new)

    def _made(self) -> Any:
        """Make an environment; where it is not like those before, none of them is kept."""
        assert self._make is not None
        before = global_generators.states() if self._alike else {}
        env = self._make()
        if self._alike:
            self._note(env)
            if before != global_generators.states():
                self._alike = 0
            if not self._alike:
                self.close()
        return env

    def _note(self, env: Any) -> None:
        """Compare a new environment with the one that was made last."""
        new = pristine.describe(env)
        mutables = [] if new is None else list(pristine.mutables(env))
        shared = {id(each) for each in mutables} & {id(each) for each in self._mutables}
        alike = new is not None and self._new in (None, new) and not shared
        self._alike = self._alike + 1 if alike else 0
        self._new, self._mutables = (new, mutables) if alike else (None, [])


def _masked(make: Callable[[], Any]) -> masks.ActionMask:
    return masks.ActionMask(make())


def twin_of(make: Callable[[], Any], lanes: int) -> Twin | None:
    """Return the batched twin of environments that an `EnvSource` makes; see `EnvSource.twin`."""
    return make.twin(lanes) if isinstance(make, EnvSource) else None


def make_envs(make: Callable[[], Any], count: int) -> list[Any]:
    """Return `count` environments: new, or restored where an `EnvSource` makes them."""
    return make.take(count) if isinstance(make, EnvSource) else [make() for _ in range(count)]


def release_envs(make: Callable[[], Any], envs: Sequence[Any]) -> None:
    """Return environments to the source that made them, or close them."""
    if isinstance(make, EnvSource):
        make.release(envs)
        return
    for env in envs:
        EnvCalls.close(env)
