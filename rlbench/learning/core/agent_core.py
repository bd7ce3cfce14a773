"""Build, act, observe and hold the state of S seeds: everything below `learning.agent.Agent`.

A subclass of `Agent` fills in `build`, `act`, `observe`, `network`, `policy_over` and `parts`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlbench.config import Config as BaseConfig
from rlbench.config import read_seeds, whole
from rlbench.errors import UserError
from rlbench.learning import checkpoint
from rlbench.learning.core import sb3_habits
from rlbench.learning.core.capabilities import Capabilities
from rlbench.learning.core.constructor import constructor
from rlbench.learning.data.normalization import Normalizer
from rlbench.learning.data.preprocessing import ObservationPipeline
from rlbench.learning.environments.batched_lanes import Lanes, lanes_for
from rlbench.learning.environments.facts import EnvFacts
from rlbench.learning.environments.lanes import Step
from rlbench.learning.environments.masked_space import MaskedSpace
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.hardware import precision
from rlbench.learning.networks.layers import Generators
from rlbench.learning.networks.stack import StackedParameters
from rlbench.learning.optim.learner import Learner
from rlbench.learning.optim.learner import Metrics as Metrics
from rlbench.learning.policies.policy import Policy
from rlbench.learning.rng import generator
from rlbench.learning.row_parameters import check_together
from rlbench.learning.row_values import Rows, RowValues


class AgentCore(Capabilities):
    """What an agent is without its training loop and files: spaces, networks, policy, state."""

    total_timesteps: int | None = None
    num_timesteps = 0
    learner: Learner
    normalizer: Normalizer | None = None
    predicts_labels = True  # whether actions in training are what the agent holds for right
    tried = False  # whether the environment has been tried before training
    _live: tuple[Any, Policy] | None = None

    def __init__(  # noqa: D417  # others are refused
        self,
        env: Any = None,
        *others: Any,
        seeds: int | str | Sequence[int] = 1,
        seed: int | None = None,
        n_envs: int | None = None,
        device: str | torch.device = "auto",
        verbose: int = 0,
        config: BaseConfig | None = None,
        settings: Sequence[Mapping[str, Any]] | None = None,
        observation_space: spaces.Space[Any] | None = None,
        action_space: spaces.Space[Any] | None = None,
        **parameters: Any,
    ) -> None:
        """Build the networks and buffers of all seeds for an environment.

        Args:
            env: a Gymnasium id, `package.module:Class`, a function that makes an environment, or an
                environment (the pattern from which each lane gets its own copy).
            seeds: how many (5 means 0..4), or which: a list, or text such as "0-9".
            seed: just one seed, in place of `seeds`.
            n_envs: environments per seed; the agent's own default where None.
            device: `auto`, `cpu`, `cuda` or `cuda:i`.
            verbose: 1 makes `learn` print tables, as in Stable-Baselines3; 0 prints nothing.
            config: a `Config`, in place of all parameters below.
            settings: parameters of which each makes an agent of its own on all seeds, side by side:
                `[{"gamma": 0.9}, {"gamma": 0.99}]`. What they leave out is as below.
            observation_space: in place of `env`, where the agent never trains.
            action_space: the same.
            **parameters: fields of `Config`.

        Raises:
            UserError: an unknown or impossible parameter, an action space that the agent cannot
                handle, or memory that does not suffice.
        """
        env, parameters = self._habits(env, others, parameters)
        env, held = sb3_habits.single(env)
        n_envs = held if n_envs is None else n_envs
        if seed is not None:
            if seeds != 1:
                raise UserError("seed is one seed, seeds are several: give one of the two")
            seeds = [seed]
        if settings is not None and "settings" in self.Config.model_fields:
            parameters["settings"], settings = settings, None  # a parameter of peers
        if config is None:
            config = self.Config.build(self.name(), parameters)
        elif parameters or not isinstance(config, self.Config):
            raise UserError(
                f"config must be a {type(self).__name__}.Config, and replaces parameters by name"
            )
        configs = self._configs(config, settings)
        self.config = config = configs[0]
        self.n_envs = self.usual_envs(config) if n_envs is None else whole("n_envs", n_envs, 1)
        self.verbose = whole("verbose", int(verbose) if isinstance(verbose, bool) else verbose)
        self.make_env: EnvSource | None = None
        self.env_name = ""
        if env is not None:
            self._use(env)
            facts = self.env_facts
            observation_space, action_space = facts.observation_space, facts.action_space
        if observation_space is None or action_space is None:
            raise UserError(f"{type(self).__name__} needs an environment, e.g. 'CartPole-v1'")
        self.observation_space, self.action_space = observation_space, action_space
        self.check_spaces(observation_space, action_space)
        self.spec = ObsSpec.of(observation_space, self.config, self.exact)
        each = read_seeds(seeds)
        self.check_seeds(each)
        self.seeds = each * len(configs)
        self.setting_configs = tuple(configs)  # by setting
        self._settings = tuple(number for number in range(len(configs)) for _ in each)
        sizes = self.config, self.spec, action_space, len(self.seeds), self.n_envs
        self.device = self._device(device, sizes)
        self.check_memory(*sizes, self.device)
        self.metrics: dict[str, Tensor | float] = {}
        self.by_row = RowValues([configs[number] for number in self._settings], self.device)
        self.config = self.by_row.shared()
        self.build()

    def _habits(
        self, env: Any, others: tuple[Any, ...], parameters: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Return environment and parameters, where they may be given as Stable-Baselines3's are."""
        called, fields = type(self).__name__, self.Config.model_fields
        reads = "encoder" in fields and "policy" not in fields
        policy = parameters.pop("policy", None) if reads else None
        if isinstance(env, str) and re.fullmatch(r"\w+Policy", env):  # Stable-Baselines3's first
            if not reads or not others:
                raise UserError(
                    f"{called} has no policy '{env}': give the environment first, as in "
                    f"{called}('CartPole-v1'), and the network by encoder="
                )
            policy, env, others = env, others[0], others[1:]
        if others:
            raise UserError(f"{called} takes one argument without a name, the environment")
        if reads:
            parameters = sb3_habits.parameters_of(called, fields, policy, parameters)
        return env, parameters

    def _configs(
        self, config: BaseConfig, settings: Sequence[Mapping[str, Any]] | None
    ) -> list[BaseConfig]:
        """Return the configuration of each setting; just `config` without settings."""
        self.settings: tuple[dict[str, Any], ...] = ()
        if settings is None:
            return [config]
        name = self.name()
        if not self.takes_settings:
            raise UserError(f"{name} takes no settings: train each in an agent of its own")
        if isinstance(settings, str | Mapping) or not all(isinstance(s, Mapping) for s in settings):
            raise UserError(
                'settings must be a list of parameters, such as [{"gamma": 0.9}, {"gamma": 0.99}]'
            )
        self.settings = tuple(dict(setting) for setting in settings)
        if not self.settings:
            raise UserError("settings is empty: give one or more, or leave it out")
        configs = []
        for number, setting in enumerate(self.settings):
            try:
                configs.append(self.Config.build(name, {**dict(config), **setting}))
            except UserError as error:
                raise UserError(f"settings[{number}]: {error}") from None
        check_together(name, configs)
        return configs

    def _device(self, name: str | torch.device, sizes: tuple[Any, ...]) -> torch.device:
        """Choose the device; settings are trained on CPUs, where rows are what they are alone."""
        if not self.settings or str(name) == "cpu":
            return self.choose_device(name, *sizes).device
        if str(name) != "auto":
            raise UserError(f"settings are trained on a CPU, not on {name}: set device='cpu'")
        return torch.device("cpu")

    @property
    def config(self) -> Any:
        """Parameters that all rows share; a new configuration holds from then on."""
        return self._config

    @config.setter
    def config(self, config: Any) -> None:
        self._config = config
        if "by_row" in vars(self) and not self.settings:
            self.by_row = RowValues([config] * len(self.seeds), self.device)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Show the fields of a new `Config` in the constructor's signature and docstring."""
        super().__init_subclass__(**kwargs)
        if "Config" in vars(cls) and "__init__" not in vars(cls):
            cls.__init__ = constructor(cls, cls.Config, AgentCore.__init__)  # type: ignore[method-assign]

    # What a subclass fills in.

    def build(self) -> None:
        """Make networks, memories and streams for `self.seeds`."""
        raise NotImplementedError

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Actions to train with, `(S, N, *obs) -> (S, N, *action)`: explores."""
        raise NotImplementedError

    def observe(self, step: Step) -> Metrics:
        """Take in one transition of every lane and learn when it is time; latest metrics, (S,)."""
        raise NotImplementedError

    def network(self, generators: Generators, config: Any) -> Any:
        """A network for as many seeds as there are generators."""
        raise NotImplementedError

    def policy_over(
        self, network: Any, pipeline: ObservationPipeline, seeds: Sequence[int], frozen: bool
    ) -> Policy:
        """The policy over a network: one that stays as it is, or the one in training."""
        raise NotImplementedError

    def parts(self) -> dict[str, Any]:
        """Everything that training depends on, by name; each part has `state` and `restore`, or
        is None where the agent does without it."""
        raise NotImplementedError

    def on_env_reset(self) -> None:
        """Take note that all training environments begin new episodes."""

    def on_validation(self, accuracy: np.ndarray, balanced: np.ndarray) -> None:
        """Take note of the accuracy (S,) on the validation images, and of its mean over classes."""

    def before_evaluation(self) -> None:
        """Make ready for an evaluation what belongs to training, and is timed with it."""

    @property
    def keeps_best(self) -> bool:
        """Whether `finish` goes back to the weights that evaluations found best."""
        return False

    def before_final_evaluation(self) -> None:
        """End training, before the final evaluation; may be called more than once."""

    # What every agent has.

    def state(self) -> dict[str, Any]:
        """The state of all parts; arrays and lists have the seed axis first."""
        state = {name: part.state() for name, part in self.parts().items() if part is not None}
        return {**state, "num_timesteps": self.num_timesteps, "metrics": dict(self.metrics)}

    @property
    def samples(self) -> int:
        """Transitions or images learned from per seed, each time they were."""
        return self.learner.samples

    def learners(self) -> list[Learner]:
        """All that moves weights."""
        return [self.learner] if hasattr(self, "learner") else []

    def update_seconds(self) -> float:
        """Spent on gradients and optimisers so far."""
        return sum(learner.seconds for learner in self.learners())

    def diverged(self) -> dict[int, str]:
        """Rows of seeds whose learning has broken down, with the reason."""
        return self.learner.broken(self.metrics.get("train/loss"))

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        for name, part in self.parts().items():
            if state.get(name) is not None:  # a replay memory may not have been saved
                part.restore(state[name])
        self.num_timesteps = state["num_timesteps"]
        self.metrics = {
            key: torch.as_tensor(value) if isinstance(value, np.ndarray) else value
            for key, value in state["metrics"].items()
        }

    def set_env(self, env: Any) -> None:
        """Train in another environment with the same spaces from the next `learn` on."""
        env, _ = sb3_habits.single(env)
        masks = isinstance(self.observation_space, MaskedSpace)
        source = env if isinstance(env, EnvSource) else EnvSource(env, masks=masks)
        for name in ("observation_space", "action_space"):
            if getattr(source.facts, name) != getattr(self, name):
                raise UserError(
                    f"this agent has {name} {getattr(self, name)}, the environment "
                    f"{getattr(source.facts, name)}"
                )
        self._use(source)
        if source is not env:
            source.close()

    def _use(self, env: Any) -> None:
        """Take environments from here on, if the agent can handle them."""
        source = self.env_source(env, self.config)
        self.check_env(source.facts, self.config, self.n_envs)
        self.make_env, self.env_name = source, source.name
        if source is not env:
            source.close()

    @property
    def env_facts(self) -> EnvFacts:
        """What the environment is like that it trains in."""
        if self.make_env is None:
            raise UserError("this agent was loaded without an environment: pass env= to load")
        return self.make_env.facts

    def set_horizon(self, total_timesteps: int) -> None:
        """Set the horizon that schedules run over (env steps per seed), and count from 0."""
        precision.check(self.config, self.device)
        self.total_timesteps, self.num_timesteps = whole("total_timesteps", total_timesteps), 0
        self.on_env_reset()

    def progress(self) -> float:
        """Share of the horizon that has passed, 0 to 1."""
        if self.total_timesteps is None:
            raise UserError(
                "call agent.set_horizon(total_timesteps) before act and observe: "
                "exploration and learning-rate schedules run over it"
            )
        return min(self.num_timesteps / max(self.total_timesteps, 1), 1.0)

    def rate(self) -> Rows:
        """The learning rate at this step: one number, or one for each row."""
        return self.learner.rate(self.progress())

    def intervals_crossed(self, interval: int) -> int:
        """How many multiples of `interval` env steps per seed the last observe has crossed."""
        return self.num_timesteps // interval - (self.num_timesteps - self.n_envs) // interval

    def lanes(self) -> Lanes:
        """Training environments for these seeds."""
        if self.make_env is None:
            raise UserError("this agent was loaded without an environment: pass env= to load")
        return lanes_for(self.make_env, self.seeds, self.n_envs, self.spec)

    def policy(self, seed: int | None = None, setting: int | None = None) -> Policy:
        """The greedy policy of one seed, or of all of them, frozen as it is now.

        `setting` is one of the agent's settings, where it has any, by its place in their list.
        """
        rows = self.row(seed, setting)
        normalizer = self.normalizer.rows(rows) if self.normalizer else None
        return self._policy_with(rows, self.learner.stack.data[rows], normalizer)

    def policy_from(self, rows: list[int], arrays: Mapping[str, np.ndarray]) -> Policy:
        """The policy of these rows with other weights: those of `FrozenPoint.arrays`."""
        normalizer = self.normalizer.rows(rows) if self.normalizer else None
        if normalizer is not None:
            normalizer.mean, normalizer.scale = arrays["mean"], arrays["scale"]
        return self._policy_with(rows, torch.from_numpy(arrays["weights"]), normalizer)

    def _policy_with(
        self, rows: list[int], weights: Tensor, normalizer: Normalizer | None
    ) -> Policy:
        part = self._part(rows)
        # Weights are copied in: orthogonal first ones would take 0.2 s a seed for large images.
        quick = part.by_row.first.model_copy(update={"ortho_init": False})
        network = part.network([generator(0, "init") for _ in rows], quick)
        StackedParameters(network, self.device).freeze().data.copy_(weights)
        pipeline = ObservationPipeline(self.spec, network.state_size, normalizer)
        return part.policy_over(network, pipeline, [self.seeds[r] for r in rows], frozen=True)

    def _part(self, rows: Sequence[int]) -> Self:
        """The agent as what builds the policies of these rows."""
        if not self.settings:
            return self
        part = copy.copy(self)
        part._keep_settings(rows)
        return part

    @property
    def setting_of(self) -> tuple[int, ...]:
        """The setting of each row, (S,): its place in `settings`, and 0 without any."""
        return self._settings if self.settings and self.seeds else (0,) * len(self.seeds)

    def _keep_settings(self, rows: Sequence[int]) -> None:
        """Forget which seeds and settings the other rows have."""
        self.seeds = tuple(self.seeds[r] for r in rows)
        if self.settings:
            self._settings = tuple(self._settings[r] for r in rows)
            self.by_row = self.by_row.of(rows)
            self.config = self.by_row.shared()

    def first_weights(self, learner: Learner, *names: str) -> None:
        """Give rows whose settings differ in these parameters the first weights of their own.

        They are those of the agent's network, which was built with one setting for all rows.
        """
        if self.by_row.differing.isdisjoint(names):
            return
        for rows, config in self.by_row.runs(*names):
            own = self.network([generator(seed, "init") for seed in self.seeds[rows]], config)
            learner.stack.data[rows] = StackedParameters(own, self.device).data

    def live_policy(self) -> Policy:
        """The policy over the weights in training, not a frozen copy."""
        network = self.learner.network
        if self._live is None or self._live[0] is not network:
            pipeline = ObservationPipeline(self.spec, network.state_size, self.normalizer)
            self._live = network, self.policy_over(network, pipeline, self.seeds, frozen=False)
        return self._live[1]

    @property
    def action_start(self) -> int:
        """The first action of a Discrete space; agents and policies count from 0."""
        discrete = isinstance(self.action_space, spaces.Discrete)
        return int(self.action_space.start) if discrete else 0  # type: ignore[attr-defined]

    def row(self, seed: int | None, setting: int | None = None) -> list[int]:
        """Rows of `seed` under `setting`, or of all of them where one is None."""
        if seed is not None and seed not in self.seeds:
            there = list(dict.fromkeys(self.seeds))
            raise UserError(f"this agent has no seed {seed}, it has {there}")
        if setting is not None and (not self.settings or setting not in self.setting_of):
            has = f"it has {sorted(set(self.setting_of))}" if self.settings else "nor any other"
            raise UserError(f"this agent has no setting {setting}, {has}")
        rows = [
            row
            for row, here in enumerate(zip(self.seeds, self.setting_of, strict=True))
            if seed in (None, here[0]) and setting in (None, here[1])
        ]
        if not rows:
            raise UserError(f"seed {seed} of setting {setting} is no longer trained")
        return rows

    def keep_seeds(self, rows: Sequence[int]) -> None:
        """Go on with these rows only: the others are cut out of every tensor and memory."""
        state = checkpoint.select(self.state(), rows)
        self._keep_settings(rows)
        self.build()
        self.restore(state)
