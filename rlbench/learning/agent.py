"""The base of all agents, with the interface of Stable-Baselines3: learn, predict, save, load."""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from rlbench import preset as presets
from rlbench import registry
from rlbench.config import HABITS, whole
from rlbench.errors import UserError
from rlbench.learning import named_objects, serialization
from rlbench.learning.core import sb3_habits
from rlbench.learning.core.agent_core import AgentCore
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.environments.trial import try_environment
from rlbench.learning.environments.workers import EVALUATION, worker_count
from rlbench.learning.networks.encoders import reads
from rlbench.learning.training import agent_html, callbacks, training_log
from rlbench.learning.training import progress_bar as bars
from rlbench.learning.training.history import History
from rlbench.learning.training.schedule import TrainerProtocol, TrainingSchedule, overflow_allowed
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import SeedEnded
from rlbench.user_code.trust import trusting

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    import torch

    from rlbench.learning.export.plain_policy import PlainPolicy

_LOG = logging.getLogger("rlbench")


# What `dir(agent)` lists: for users, attributes, for loops of one's own, and for subclasses.
PUBLIC = frozenset(
    [
        *("from_preset", "history", "learn", "load", "name", "policy", "predict", "save"),
        *("set_env", "to_torch"),
        *("action_space", "config", "device", "env_name", "metrics", "n_envs", "num_timesteps"),
        *("observation_space", "seeds", "total_timesteps", "verbose"),
        *("act", "lanes", "observe", "progress", "set_horizon"),
        *("Config", "build", "loss", "network", "objective", "parts", "policy_over", "update"),
    ]
)


def refuse_others(function: str, others: dict[str, Any]) -> None:
    """Refuse arguments that a function has not, with what there is instead."""
    for name in others:
        raise UserError(f"{function} has no argument '{name}'.{HABITS.get(name, '')}")


class Agent(AgentCore):
    """S seeds of one algorithm in lockstep.

    In a subclass, an objective, as `learner.step` takes it, must read nothing that changes but
    parameters and its arguments, since updates are traced once and then replayed: not
    `self.coef = 1 - progress`, not the value of a tensor. Pass such numbers to `learner.step` as
    tensors, or set `record=false`. A change is detected, and updates go on unrecorded, which is
    slower, with a warning that names it (see `learning/compile`).
    """

    def __repr__(self) -> str:
        """The agent, its environment, its seeds and how far it is trained."""
        seeds = reprlib.repr(tuple(self.seeds))
        horizon = "" if self.total_timesteps is None else f" of {self.total_timesteps}"
        if self.settings:
            kept = len(set(self.setting_of))
            seeds = f"{reprlib.repr(tuple(dict.fromkeys(self.seeds)))} of {kept} settings"
        where = self.env_name or "no environment"
        steps = f"{self.num_timesteps}{horizon} steps"
        return f"<{type(self).__name__} on {where}, seeds {seeds}, {steps}>"

    if not TYPE_CHECKING:  # type checkers know which attributes there are

        def __getattr__(self, name: str) -> Any:
            raise sb3_habits.no_attribute(type(self).__name__, name)

    def __dir__(self) -> list[str]:
        """Names for users and for subclasses; not what keeps training going."""
        own = (kind for kind in type(self).__mro__ if not kind.__module__.startswith("rlbench."))
        added = {name for kind in own for name in vars(kind) if not name.startswith("_")}
        return sorted(name for name in PUBLIC | added if hasattr(self, name))

    def _repr_html_(self) -> str:
        """What `repr` says as a table for notebooks, with parameters and the latest numbers."""
        return agent_html.table(self, self._history)

    planned_timesteps: int | None = None  # of the preset that it was made from
    _history: History | None = None

    @property
    def history(self) -> pd.DataFrame:
        """Metrics and evaluations of the latest `learn`: a row per seed and step, a column per key.

        Evaluations are means over their episodes, `eval/mean_reward` and `eval/mean_ep_length`;
        training episodes are in `rollout/ep_rew_mean`, and go to callbacks one by one.
        """
        return (self._history or History(bool(self.settings))).frame()

    @classmethod
    def from_preset(
        cls,
        env: Any,
        *,
        preset: str | Path | None = None,
        seeds: int | str | Sequence[int] = 1,
        n_envs: int | None = None,
        device: str | torch.device = "auto",
        verbose: int = 0,
        **parameters: Any,
    ) -> Self:
        """Build an agent with the tuned parameters of an environment, as `rlbench run` uses them.

        `preset` names another one than the usual (`"fast"`) or a file that `rlbench tune` saved;
        `parameters` replace some of it. `learn()` without a number of steps trains as long as the
        preset says. The other arguments are the constructor's.

        Raises:
            UserError: There is no such preset, or the constructor refuses something.
        """
        source = EnvSource.of(env)
        known = cls.name() in registry.agents() and registry.agent_class(cls.name()) is cls
        name = cls.name() if known else f"{cls.__module__}:{cls.__qualname__}"
        found = presets.find(name, source.name, str(preset or "") or True, parameters)
        if found.name is None:
            raise UserError(
                f"{name} has no preset for {source.name} (rlbench list presets shows all): "
                f"{cls.__name__}({source.name!r}) has default parameters"
            )
        if preset is not None and "encoder" not in parameters:  # perhaps a file that others wrote
            named_objects.check(str(preset), encoder=str(found.parameters.get("encoder", "")))
        config = cls.Config.build(cls.name(), {**found.parameters, **parameters})
        agent = cls(
            env if source is not env else source, seeds=seeds, n_envs=n_envs or found.n_envs,
            device=device, verbose=verbose, config=config,
        )  # fmt: skip
        data, passes = agent.env_facts.data, found.epochs
        steps = found.n_timesteps if passes is None else round(passes * data.pass_steps)  # type: ignore[union-attr]
        agent.planned_timesteps = steps or cls.usual_steps(config, agent.env_facts)
        return agent

    def learn(
        self,
        total_timesteps: int | None = None,
        callback: Callable[..., Any] | Sequence[Callable[..., Any]] | None = None,
        *,
        eval_freq: int | Literal["auto"] | None = "auto",
        eval_episodes: int = 10,
        eval_max_steps: int | None = None,
        progress_bar: bool | None = None,
        log_interval: int | None = None,
        **others: Any,
    ) -> Self:
        """Train for `total_timesteps` env steps per seed; returns self.

        Only agents of `from_preset` know how many where none are given.
        `callback`, or each of a list, gets every row (training episodes, evaluations, metrics,
        ended seeds, see `rlbench.rows`), and the agent if it takes two arguments; training stops
        when it returns False.
        `eval_freq` is in env steps per seed; 0 evaluates never, None at ten points; "auto" is None
        for agents that keep their best weights (`keep_best=true`), since evaluation finds these,
        else 0. Evaluation cuts an episode after `eval_max_steps`: by default at the environment's
        own limit, else after a tenth of the steps trained, but 1,000 at least and 27,000 at most.
        With `verbose=1`, `log_interval` says how often a table is printed: each time so many
        hundredths of training have passed, 5 by default, which are 20 tables (Stable-Baselines3
        counts episodes, or rollouts; here seeds train side by side and end theirs at different
        steps). Every evaluation prints a table of its own.
        `progress_bar` shows steps, mean return and time left; None does so after a second, unless
        `verbose` is set, in a terminal or a notebook. `history` has the numbers of the latest call.
        Learning again starts schedules and the training environments anew, with the weights
        reached. A seed that fails or diverges is cut out, with a warning in the log `rlbench`.
        """
        refuse_others("learn", others)
        if total_timesteps is None:
            total_timesteps = self.planned_timesteps
        if total_timesteps is None:
            raise UserError("learn needs total_timesteps, such as learn(50_000)")
        told = callbacks.read(callback)
        if eval_freq not in (None, "auto"):
            eval_freq = whole("eval_freq", eval_freq)
        eval_episodes = whole("eval_episodes", eval_episodes, 1)
        if eval_max_steps is not None:
            eval_max_steps = whole("eval_max_steps", eval_max_steps, 1)
        if log_interval is not None:
            log_interval = whole("log_interval", log_interval, 1)
        if eval_freq == "auto":
            eval_freq = None if self.keeps_best else 0
        elif eval_freq == 0 and self.keeps_best:
            _LOG.warning("keep_best is ignored with eval_freq=0: the last weights are kept")
        _try_environment(self)
        self.set_horizon(total_timesteps)
        plan = TrainingSchedule(
            int(total_timesteps), eval_freq, eval_episodes, 0, eval_max_steps=eval_max_steps,
            # A callback may look at the agent of an evaluation, and end training by it.
            eval_workers=0 if told else worker_count(EVALUATION),
        )  # fmt: skip
        trainer = self.trainer(plan)
        log = training_log.opened(self, int(total_timesteps), log_interval)
        self._history = history = History(bool(self.settings))
        asked = bool(progress_bar)
        shown = asked or (progress_bar is None and not log and bars.watched())
        try:
            rows = trainer.rows()
            with overflow_allowed():
                for row in bars.bar(rows, int(total_timesteps), history, asked) if shown else rows:
                    history.take(row)
                    if isinstance(row, SeedEnded) and row.status != "done":
                        of = f" of setting {row.setting}" if self.settings else ""
                        _LOG.warning("seed %s%s %s: %s", row.seed, of, row.status, row.reason)
                    if log:
                        log.take(row)
                    answers = [each(row, self) for each in told]
                    if any(answer is False for answer in answers):
                        break
        finally:
            trainer.close()
        if log:
            log.end(trainer.step)
        if self.seeds:
            self.before_final_evaluation()
        return self

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
        action_masks: Any = None,
    ) -> tuple[Any, Any]:
        """Actions of a one-seed agent as Stable-Baselines3 gives them: (action, state).

        `action_masks` say which actions are legal, (A,) or (B, A): only of an agent that was
        trained with masks, which needs them.
        """
        if not self.seeds:
            raise UserError("every seed of this agent failed or diverged: there is nothing left")
        if len(self.seeds) != 1:
            setting = f", setting={self.setting_of[0]}" if self.settings else ""
            raise UserError(
                f"this agent holds seeds {list(self.seeds)}: "
                f"use agent.policy(seed={self.seeds[0]}{setting}).predict(...)"
            )
        policy = self.live_policy()
        return policy.predict(observation, state, episode_start, deterministic, action_masks)

    def to_torch(self, seed: int | None = None, setting: int | None = None) -> PlainPolicy:
        """Return the policy of one seed as a plain `nn.Module`, of layers of torch.nn.

        It takes observations as the environment gives them, in batches, and returns the action and
        the numbers that it is chosen by, with the pipeline (normalisation, one-hot, stacked frames)
        included. `PlainPolicy` says what more it takes and returns where the policy remembers.

        Raises:
            UserError: There are several seeds and none is named, or the agent has no network.
        """
        from rlbench.learning.export.plain_policy import plain

        if seed is None and setting is None and len(self.seeds) != 1:
            has = list(dict.fromkeys(self.seeds))
            raise UserError(
                f"this agent holds seeds {has}: name one, as in to_torch(seed={has[0]})"
            )
        return plain(self.policy(seed, setting))

    def trainer(self, plan: TrainingSchedule) -> TrainerProtocol:
        """What trains these seeds as planned, from where the agent stands."""
        return Trainer(self, plan)

    def save(self, path: str | Path, replay: bool = True) -> Path:
        """Write all seeds to one file of arrays and JSON: everything that training depends on.

        `replay=False` leaves the replay memory out, for a small file to act with; training that
        goes on from there begins with an empty one.
        """
        return serialization.save(cast(Any, self), path, replay)

    @classmethod
    def load(
        cls,
        path: str | Path,
        env: Any = None,
        *,
        seed: int | None = None,
        setting: int | None = None,
        device: str | torch.device = "auto",
        trust: bool = False,
        verbose: int = 0,
        **others: Any,
    ) -> Self:
        """Read what `save` wrote; `seed` picks one of the seeds, `setting` one of the settings.

        The file holds no code. If it names an encoder of your own, that class is imported: from
        installed packages, or with `trust=True` from the current folder too.

        Raises:
            UserError: the file is missing, broken, of another agent, or names an encoder that is
                not trusted.
        """
        refuse_others("load", others)
        with trusting(trust):
            return serialization.load(cast(Any, cls), path, env, seed, setting, device, verbose)


def _try_environment(agent: Agent) -> None:
    """Log what a trial of the environment shows, before the first training."""
    if agent.make_env is None or agent.tried:
        return
    agent.tried = True
    normalised = getattr(agent.config, "normalize_obs", False)
    for note in try_environment(agent.make_env, reads(agent.config), normalised):
        _LOG.warning("%s", note)
