"""The agent under examination: small, quick settings for probes, its values and its answers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from pydantic import ValidationError

from rlbench import registry
from rlbench.config import Config
from rlbench.envs import probes
from rlbench.learning.networks.encoders import EncoderConfig, parse
from rlbench.learning.networks.models import ActorCritic, QNetwork

GAMMA = 0.8
SEEDS = (3, 5)
# Settings that learn a probe within seconds; an agent gets those that it has parameters for.
_ALL: dict[str, Any] = {"gamma": GAMMA, "lr_schedule": "linear", "hidden_size": 8}
_REPLAY: dict[str, Any] = {
    "learning_rate": 5e-3, "net_arch": (32,), "buffer_size": 1000, "batch_size": 32,
    "learning_starts": 64, "train_freq": 1, "target_update_interval": 20,
    "exploration_initial_eps": 1.0, "exploration_final_eps": 0.5, "exploration_fraction": 1.0,
    "sequence_length": 4, "burn_in": 2, "v_min": -2.0, "v_max": 8.0, "loss": "mse",
}  # fmt: skip
_ROLLOUTS: dict[str, Any] = {
    "learning_rate": 2e-2, "net_arch": (16,), "n_steps": 10, "optimizer": "adam",
    "max_grad_norm": None, "batch_size": 20, "n_epochs": 2,
    "exploration_fraction": 1.0, "exploration_final_eps": 0.5,
}  # fmt: skip
_BOX: dict[str, Any] = {
    "learning_rate": 1e-2, "net_arch": (32,), "batch_size": 64, "learning_starts": 100,
    "tau": 0.05, "buffer_size": 2000, "sequence_length": 2, "burn_in": 1, "ent_coef": 0.01,
}  # fmt: skip
_NOISY: dict[str, Any] = {  # of a policy without randomness, which sees less of its critics
    "noise_std": 0.5, "target_policy_noise": 0.02, "tau": 0.2, "policy_delay": 1, "net_arch": (64,),
}  # fmt: skip

# Of critics that follow their own running statistics, which takes more updates.
_NORMALIZED: dict[str, Any] = {"gradient_steps": 4}


class Patient:
    """An agent's class with parameters; makes and trains it anew for each check."""

    def __init__(self, name: str, given: dict[str, Any]) -> None:
        """Find the agent; `given` overrule the quick settings.

        Raises:
            UserError: There is no such agent, or it has no such parameter.
        """
        self.name, self.given = name, given
        self.cls = registry.agent_class(name)
        self.fields = self.cls.Config.model_fields
        self.config: Config = self.cls.Config.build(name, given)
        self.box = spaces.Discrete not in self.cls.action_spaces
        self.rollouts = "n_steps" in self.fields and "buffer_size" not in self.fields
        self.foreign = hasattr(self.cls, "made") or "settings" in self.fields  # not in lockstep
        self.peer = "settings" in self.fields

    @property
    def recurrent(self) -> bool:
        """Whether it has a recurrent encoder."""
        return isinstance(self.config, EncoderConfig) and parse(self.config.encoder)[1] is not None

    def settings(self) -> dict[str, Any]:
        """Return the quick settings, as far as it has such parameters, and those that are given."""
        kind = _ROLLOUTS if self.rollouts else _BOX if self.box else _REPLAY
        if "clip_range" in self.fields:
            kind = kind | {"batch_size": 40}  # all of a rollout, so that sequences are not few
        quick = _ALL | kind | (_NOISY if "policy_delay" in self.fields else {})
        if "renorm_warmup_steps" in self.fields:
            quick |= _NORMALIZED
        if not isinstance(self.config, EncoderConfig):
            quick = {key: quick[key] for key in ("gamma",)}
        if getattr(self.config, "distribution", None) != "c51":
            quick = {key: value for key, value in quick.items() if key not in ("v_min", "v_max")}
        return {key: value for key, value in quick.items() if self._takes(key, value)} | self.given

    def _takes(self, key: str, value: Any) -> bool:
        """Return whether it has a parameter that may have this value; peers have fixed ones."""
        if key not in self.fields:
            return False
        try:
            self.cls.Config(**{key: value})
        except ValidationError:
            return False
        return True

    @property
    def gamma(self) -> float | None:
        """The discount in probes; None where the agent has no such parameter."""
        return self.settings().get("gamma")

    def make(self, env: Any, seeds: Any = SEEDS, **parameters: Any) -> Any:
        """Build it for an environment, with quick settings."""
        n_envs = 4 if self.rollouts else 1
        values = self.settings() | {k: v for k, v in parameters.items() if k in self.fields}
        return self.cls(env, seeds=list(seeds), n_envs=n_envs, device="cpu", **values)

    def learn(self, env: Any, share: float = 1.0, **parameters: Any) -> Any:
        """Train it in a probe, for a share of the usual steps."""
        usual = 4000 if self.rollouts else 1000
        usual = 1200 if self.box else usual
        if not isinstance(self.config, EncoderConfig):
            usual = 3000
        return self.make(env, **parameters).learn(int(usual * share))

    def probe(self, name: str) -> Any:
        """Return the probe of a name, or its counterpart with continuous actions."""
        if not self.box:
            return getattr(probes, name)
        box = {"Chosen": "Aim", "ChosenSeen": "AimSeen", "TwoSteps": "AimTwice",
               "Forever": "AimForever", "Noise": "NoiseBox"}  # fmt: skip
        if name == "Pairs":
            return partial(probes.Pairs, box=True)
        return getattr(probes, box[name]) if name in box else None


def values(agent: Any, *episode: Any) -> np.ndarray | None:
    """Return values along the observations of an episode, (S, T); None where nobody knows them.

    Of action values it is the largest, of continuous actions the value of the greedy action.
    """
    seeds, steps = len(agent.seeds), len(episode)
    obs = torch.as_tensor(np.asarray(episode, np.float32)).reshape(steps, -1)
    obs = obs.expand(seeds, *obs.shape)  # (S, T, F)
    critics, net = getattr(agent, "critics", None), _network(agent)
    with torch.no_grad():
        if critics is not None and not getattr(net, "state_size", 0):
            action = torch.as_tensor(
                np.stack([greedy(agent, seed, *episode) for seed in agent.seeds])
            )
            space = agent.action_space
            low, high = (torch.as_tensor(bound) for bound in (space.low, space.high))
            scaled = (2 * action.reshape(seeds, steps, -1) - low - high) / (high - low)
            found = critics(obs, scaled).reshape(seeds, -1, steps)
            return found.mean(1).numpy()
        if isinstance(net, QNetwork | ActorCritic):
            return _of_network(net, obs).numpy()
    return None


def readable(patient: Patient, env: Any) -> bool:
    """Return whether the agent's values are known here: it has networks of rlbench."""
    agent = patient.make(env)
    return values(agent, agent.observation_space.sample().reshape(1, -1)) is not None


def _network(agent: Any) -> Any:
    return getattr(getattr(agent, "learner", None), "network", None)


def _of_network(net: QNetwork | ActorCritic, obs: torch.Tensor) -> torch.Tensor:
    seeds, steps = obs.shape[:2]
    acts = isinstance(net, ActorCritic)
    if net.state_size:
        hidden, first = torch.zeros(seeds, 1, net.state_size), torch.zeros(seeds, 1, steps)
        run: Any = net if acts else net.unroll
        found = run(obs[:, None], hidden, first)[int(acts)]
    else:
        found = net(obs)[1] if acts else net(obs)
    return found.reshape(seeds, steps) if acts else found.reshape(seeds, steps, -1).amax(-1)


def greedy(agent: Any, seed: int, *episode: Any) -> np.ndarray:
    """Return the greedy actions of a seed along the observations of an episode."""
    policy, state, actions = agent.policy(seed=seed), None, []
    for obs in episode:
        action, state = policy.predict(
            np.asarray(obs, np.float32).reshape(-1), state, deterministic=True
        )
        actions.append(np.asarray(action))
    return np.stack(actions)
