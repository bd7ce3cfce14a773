"""Peers: agents of Stable-Baselines3 (Raffin et al. 2021) under our protocol.

Seeds train one after the other, each in one `learn` of the library, which cannot do otherwise. Our
environments, reset seeds, grid, evaluation and rows are used; `seed=` of the model is the seed.

A peer reads the same settings as our agent. What the library has no setting for cannot be set
here either, and is said where a preset asks for it. These differ in kind, whatever is set:

- Weights are initialised, and noise is drawn, from its generators, so that first weights differ.
- DQN's target network follows before an update that is due at the same step, ours after it; with
  several environments one draw says whether all of them explore.
- Its target network follows after whole steps of all environments: an interval that these do not
  divide is rounded down.
- Actions of a Box are not scaled to its bounds, but clipped (SAC and TD3 scale them, as ours do).
- A minibatch of the recurrent PPO is successive steps, and may begin inside a sequence.
- Twin critics of SAC and TD3 share their convolutions; the temperature is saved with no weights.

No more than `total_timesteps` env steps per seed are learned from: where the budget ends inside a
rollout, the library alone would finish and learn from it. An evaluation at a step inside a rollout
sees the weights of the update before; one at its end those of the update after it.

Only files of peers import stable_baselines3, and only where a model is made.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from pydantic import ValidationError

from rlbench.errors import UserError
from rlbench.learning import global_generators
from rlbench.learning.agent import Agent
from rlbench.learning.environments.facts import EnvFacts
from rlbench.learning.environments.masks import without_mask
from rlbench.learning.hardware.device import Choice, choose
from rlbench.learning.policies.external_policy import ExternalPolicy
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.peers.sb3 import networks
from rlbench.peers.sb3.config import PeerConfig, falling, library
from rlbench.peers.sb3.trainer import SequentialTrainer


class Peer(Agent):
    """S models of Stable-Baselines3; a subclass chooses which, and translates settings."""

    Config: ClassVar[Any] = PeerConfig
    algorithm: ClassVar[str]  # `module.Class`
    policy_name: ClassVar[str] = "MlpPolicy"
    actor_critic: ClassVar[bool] = False
    draws_actions: ClassVar[bool] = False  # with deterministic=False
    libraries: ClassVar[tuple[str, ...]] = ("stable_baselines3",)
    seed_cost: ClassVar[float] = 1.0  # one after the other
    largest_seed: ClassVar[int] = 2**32 - 1  # it seeds numpy's global generator

    @classmethod
    def arguments(cls, config: Any, n_envs: int) -> dict[str, Any]:
        """Return the arguments of the model besides those common to all peers."""
        raise NotImplementedError

    @classmethod
    def samples_of(cls, config: Any, n_envs: int, updates: int) -> int:
        """Count the transitions learned from, given the library's number of updates."""
        raise NotImplementedError

    @classmethod
    def choose_device(cls, name: str | torch.device, *sizes: Any, timed: bool = True) -> Choice:
        """Choose the CPU for `auto`, as the library recommends for small networks."""
        return choose("cpu" if name == "auto" else name)

    @classmethod
    def adapted(
        cls, preset: dict[str, Any], given: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Remove from a preset what the library cannot do; its defaults need only a budget."""
        if given.get("settings") == "defaults":
            return {key: preset[key] for key in ("n_timesteps", "epochs") if key in preset}, {}
        like, cannot = cls.Config.like(), {}
        ours = like(**{key: value for key, value in preset.items() if key in like.model_fields})
        cannot.update({key: value for key, value in ours.changed().items()
                       if key in cls.Config.of_switches and key not in given})  # fmt: skip
        for key, value in ours.model_dump().items():
            try:
                cls.Config(**{key: value})
            except ValidationError:
                if key not in given:
                    cannot[key] = value
        return {key: value for key, value in preset.items() if key not in cannot}, cannot

    @classmethod
    def networks_bytes(
        cls, config: Any, spec: Any, action_space: Any, n_envs: int
    ) -> dict[str, int]:
        """Estimate the bytes of networks and updates of one seed, as for our agents."""
        home = importlib.import_module(f"rlbench.agents.{config.ours.replace('-', '_')}")
        kinds = (kind for kind in vars(home).values() if isinstance(kind, type))
        ours: Any = next(kind for kind in kinds if kind.__module__ == home.__name__
                         and issubclass(kind, Agent))  # fmt: skip
        parts = ours.estimate_bytes(config, spec, action_space, 1, n_envs)
        return {name: parts[name] for name in ("networks", "updates")}

    @classmethod
    def usual_envs(cls, config: Any) -> int:
        return 1 if config.settings == "defaults" else cls.default_envs

    @classmethod
    def check_env(cls, facts: EnvFacts, config: Any, n_envs: int) -> None:
        super().check_env(facts, config, n_envs)
        library(cls.algorithm)
        if facts.data is not None:
            raise UserError(f"{cls.name()} plays episodes, not images of a data set")
        networks.check(cls.name(), without_mask(facts.observation_space), config)
        action = facts.action_space
        if np.any(getattr(action, "start", 0)):
            raise UserError(f"{cls.name()} needs actions that count from 0, not {action}")
        rows = isinstance(action, spaces.MultiDiscrete | spaces.MultiBinary)
        if rows and len(action.shape or ()) != 1:
            raise UserError(f"{cls.name()} needs actions in one row, not {action}")
        if isinstance(action, spaces.Box) and not action.is_bounded():
            raise UserError(f"{cls.name()} needs bounded actions, not {action}")

    def build(self) -> None:
        # What each seed has learned: {"weights": ..., "moments": ...}, and from how much.
        self.learned: dict[int, dict[str, Any]] = {}
        self.learned_from = dict.fromkeys(self.seeds, 0)

    def policy_arguments(self) -> dict[str, Any]:
        """Return the arguments of the policy class besides spaces and learning rate."""
        return networks.arguments(self.spec, self.config, self.actor_critic)

    def make(self, seed: int, env: Any) -> Any:
        """Make the library's model of one seed, over its vectorised environments."""
        rate = falling(self.config.learning_rate, self.config.lr_schedule)
        return library(self.algorithm)(
            self.policy_name,
            env,
            learning_rate=rate,
            policy_kwargs=self.policy_arguments(),
            seed=seed,
            device=self.device,
            **self.arguments(self.config, self.n_envs),
        )

    def trainer(self, plan: TrainingSchedule) -> SequentialTrainer:
        """Make the trainer, which trains one seed after the other."""
        return SequentialTrainer(self, plan)

    def drop(self, seed: int) -> None:
        """Drop a seed that failed or diverged."""
        self.seeds = tuple(other for other in self.seeds if other != seed)
        self.learned.pop(seed, None)

    def keep_learned(self, seed: int, weights: dict[str, np.ndarray], moments: Any) -> None:
        """Store what a seed has learned."""
        self.learned[seed] = {"weights": weights, "moments": moments}
        self._live = None

    def policy(self, seed: int | None = None, setting: int | None = None) -> ExternalPolicy:
        rows = self.row(seed, setting)
        seeds = [self.seeds[row] for row in rows]
        predictors = [self._predictor(seed) for seed in seeds]
        random = "actions drawn from its distribution" if self.draws_actions else ""
        return ExternalPolicy(seeds, self.spec, predictors, random=random)

    def of(self, seed: int) -> dict[str, Any]:
        """Return what a seed has learned."""
        if seed not in self.learned:
            raise UserError(f"seed {seed} of {self.name()} has not been trained: call learn")
        return self.learned[seed]

    def _predictor(self, seed: int) -> Any:
        weights = self.of(seed)
        turn = networks.turned(self.spec, self.config)
        kind = library(self.algorithm).policy_aliases[self.policy_name]
        space = networks.seen_by_library(self.spec, self.config)
        with global_generators.kept(self.device):
            policy = kind(space, self.action_space, lambda _: 0.0, **self.policy_arguments())
        policy.load_state_dict(
            {key: torch.as_tensor(value) for key, value in weights["weights"].items()}
        )
        return networks.ObservationAwarePolicy(policy.to(self.device), weights["moments"], turn)

    def live_policy(self) -> ExternalPolicy:
        if self._live is None:
            self._live = None, self.policy()
        return self._live[1]  # type: ignore[return-value]

    @property
    def samples(self) -> int:
        return max(self.learned_from.values(), default=0)

    def diverged(self) -> dict[int, str]:
        return {}

    def state(self) -> dict[str, Any]:
        each = [self.of(seed) for seed in self.seeds]
        return {
            **{part: _stacked([one[part] for one in each]) for part in ("weights", "moments")},
            "learned_from": [self.learned_from[seed] for seed in self.seeds],
            "num_timesteps": self.num_timesteps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        for row, seed in enumerate(self.seeds):
            parts = {name: state[name] for name in ("weights", "moments")}
            self.keep_learned(seed, **_row(parts, row))
            self.learned_from[seed] = state["learned_from"][row]
        self.num_timesteps = state["num_timesteps"]

    def act(self, obs: np.ndarray) -> np.ndarray:
        raise UserError(f"{self.name()} has no act and observe: its loop is its own, call learn")

    def observe(self, step: Any) -> Any:
        return self.act(step)


def _stacked(trees: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stack the entries of all seeds along a first axis."""
    return {key: np.stack([tree[key] for tree in trees]) for key in trees[0]}


def _row(tree: dict[str, Any], row: int) -> dict[str, Any]:
    return {key: {k: v[row] for k, v in part.items()} for key, part in tree.items()}
