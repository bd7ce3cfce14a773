"""Seed k trained with others is seed k alone, bit for bit: every agent with every encoder."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from lockstep import differences, rows_of, state_of, train
from worlds import World

from rlbench.agents import A2C, DQN, PPO, PQN, SAC, TD3, Reinforce
from rlbench.learning.data.normalization import Moments
from rlbench.learning.equations import losses
from rlbench.learning.rng import PermutationStream
from rlbench.learning.training.schedule import TrainingSchedule

SEEDS = (11, 12, 13)  # the position in the stack is not the seed
STEPS = 36
PLAN = TrainingSchedule(STEPS, 18, 2, 2, log_points=12)
NO_PLAN = TrainingSchedule(24, 0, 0, 0, log_points=6)
AGENTS: dict[str, type[Any]] = {
    "dqn": DQN, "a2c": A2C, "ppo": PPO, "reinforce": Reinforce, "pqn": PQN, "sac": SAC, "td3": TD3,
}  # fmt: skip
SMALL = {"hidden_size": 6}

# What is seen, by which network.
ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("vector", {"encoder": "mlp"}),
    "small": ("image", {"encoder": "cnn"}),
    "nature": ("large", {"encoder": "cnn", "net_arch": (16,)}),
    "rnn": ("number", {"encoder": "rnn", **SMALL}),
    "gru": ("vector", {"encoder": "gru", "memory_horizon": 9, **SMALL}),
    "lstm": ("vector", {"encoder": "lstm", **SMALL}),
    "cnn+lstm": ("image", {"encoder": "cnn+lstm", **SMALL}),
    "mixed": ("mixed", {}),
    "mixed memory": ("mixed", {"encoder": "auto+gru", **SMALL}),
    "own": ("vector", {"encoder": "worlds:Own"}),
    "dropout": ("vector", {"encoder": "worlds:Dropping"}),
    "own images": ("image", {"encoder": "worlds:OwnImages+lstm", **SMALL}),
    "attention": (
        "vector",
        {
            "encoder": "attention",
            "attention_window": 5,
            "attention_heads": 3,
            "num_layers": 2,
            **SMALL,
        },
    ),
}
# The rest goes round, so that with any agent every encoder and every one of these comes up.
ROLLOUTS: list[tuple[str, dict[str, Any]]] = [
    ("discrete", {"normalize_advantage": True, "clip_range_vf": 0.1, "batch_size": 11}),
    ("multi", {"n_envs": 3, "frame_stack": 3}),
    ("bits", {"normalize_reward": True, "share_encoder": True, "ent_coef": 0.01}),
    ("box", {"normalize_obs": True, "n_envs": 3, "sequence_length": 3,
             "recompute_advantages": True}),
    ("box6", {"share_encoder": False, "gae_lambda": 0.9, "n_envs": 3, "head_arch": (6,)}),
    ("free", {"frame_stack": 2, "normalize_obs": True, "lr_schedule": "linear"}),
    ("offset", {"n_envs": 3, "activation": "tanh", "ortho_init": False, "sequence_length": 2}),
]  # fmt: skip
REPLAYS: list[tuple[str, dict[str, Any]]] = [
    ("discrete", {"double": False, "n_steps": 3}),
    ("offset", {"n_envs": 3, "frame_stack": 3, "n_steps": 2}),
    ("discrete", {"normalize_obs": True, "ortho_init": True, "burn_in": 0}),
    ("discrete", {"n_envs": 3, "tau": 0.5, "sequence_length": 1, "head_arch": (6,)}),
    ("discrete", {"frame_stack": 2, "normalize_obs": True, "loss": "mse"}),
]
CONTINUOUS: list[tuple[str, dict[str, Any]]] = [
    ("box", {"n_steps": 3, "ent_coef": "auto_0.5", "policy_delay": 1}),
    ("box6", {"n_envs": 3, "frame_stack": 3, "n_critics": 3, "target_policy_noise": 0.5}),
    ("box", {"normalize_obs": True, "burn_in": 0, "ent_coef": 0.1, "noise_type": "normal"}),
    ("box6", {"noise_type": "ornstein-uhlenbeck", "n_envs": 3, "sequence_length": 1,
              "max_grad_norm": 1.0}),
    ("box", {"frame_stack": 2, "normalize_obs": True, "n_critics": 1, "gradient_steps": -1,
             "train_freq": 2, "noise_type": None}),
]  # fmt: skip
REPLAY = {"learning_starts": 12, "batch_size": 13, "buffer_size": 40, "sequence_length": 4,
          "burn_in": 2, "net_arch": (8,), "target_update_interval": 10}  # fmt: skip


def options_of(agent: str) -> list[tuple[str, dict[str, Any]]]:
    return {"dqn": REPLAYS, "sac": CONTINUOUS, "td3": CONTINUOUS}.get(agent, ROLLOUTS)


def case(agent: str, encoder: str) -> tuple[Any, dict[str, Any]]:
    """Environment and parameters of a pair."""
    number = list(ENCODERS).index(encoder) + 2 * list(AGENTS).index(agent)
    obs, network = ENCODERS[encoder]
    options = options_of(agent)
    action, others = options[number % len(options)]
    action = action if agent != "pqn" else "offset"
    given = {**({} if options is ROLLOUTS else REPLAY), **others, **network}
    if obs in {"image", "large", "number"}:
        given["normalize_obs"] = False  # refused for these
    fields = AGENTS[agent].Config.model_fields
    given = {key: value for key, value in given.items() if key in fields or key == "n_envs"}
    if options is ROLLOUTS:
        given["n_steps"] = 6
    return partial(World, obs, action), given


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("agent", AGENTS)
def test_seed_in_a_stack_equals_seed_alone(agent: str, encoder: str) -> None:
    """Weights, moments, rollouts or replay, memories, streams, statistics and rows."""
    env, parameters = case(agent, encoder)
    parameters["kind"] = AGENTS[agent]
    everywhere = encoder in {"mlp", "lstm"}
    together, rows = train(env, SEEDS, STEPS, PLAN, **parameters)
    assert together.learner.optimizer.updates >= 2
    for seed in SEEDS if everywhere else SEEDS[2:]:
        alone, its_rows = train(env, (seed,), STEPS, PLAN, **parameters)
        assert differences(state_of(together, seed), state_of(alone, seed)) == []
        assert rows_of(rows, seed) == rows_of(its_rows, seed)
    assert len(rows_of(rows, SEEDS[0])) > 10


@pytest.mark.parametrize(
    ("encoder", "action", "given"),
    [
        ("mlp", "box6", {"n_envs": 3, "batch_size": 7, "n_steps": 4}),
        ("mlp", "box6", {"kind": SAC, "batch_size": 7, "n_envs": 3, "learning_starts": 6}),
        (
            "lstm",
            "box",
            {
                "kind": TD3,
                "batch_size": 8,
                "learning_starts": 9,
                "sequence_length": 4,
                "burn_in": 2,
                "buffer_size": 30,
            },
        ),
        ("lstm", "box", {"n_envs": 1, "batch_size": 12, "n_steps": 12, "sequence_length": 4}),
    ],
)
def test_every_position_in_a_stack_of_ten(encoder: str, action: str, given: Any) -> None:
    env, seeds = partial(World, "vector", action), range(20, 30)
    given = {
        "kind": PPO,
        "encoder": encoder,
        "net_arch": (9,),
        "steps": 24,
        "plan": NO_PLAN,
        **given,
    }
    together, rows = train(env, seeds, **given)
    for seed in seeds:
        alone, its_rows = train(env, (seed,), **given)
        assert differences(state_of(together, seed), state_of(alone, seed)) == []
        assert rows_of(rows, seed) == rows_of(its_rows, seed)


def test_every_option_comes_up() -> None:
    """The table above reaches what it should: each option is a part of some case."""
    for agent in AGENTS:
        options = options_of(agent)
        fields = AGENTS[agent].Config.model_fields
        found = [case(agent, encoder)[1].items() for encoder in ENCODERS]
        for key, value in {pair for _, option in options for pair in option.items()}:
            if key in fields:
                assert any((key, value) in pairs for pairs in found), f"{agent} {key}={value}"


LSTM = {"encoder": "lstm", "n_envs": 2, "normalize_obs": True, "normalize_reward": True, **SMALL}


def test_other_seeds_differ() -> None:
    """Negative control: the comparison tells two seeds apart, in every kind of state."""
    agent, rows = train(World, 2, STEPS, PLAN, kind=PPO, **LSTM)
    found = differences(state_of(agent, 0), state_of(agent, 1))
    for part in ("/learner/weights", "/learner/optimizer/mean", "/rollout/arrays/memory",
                 "/rollout/arrays/cut_value", "/lookout/carry/0", "/draws", "/order",
                 "/normalizer/mean", "/scaler/moments", "/scaler/returns"):  # fmt: skip
        assert any(path.startswith(part) for path in found), part
    assert rows_of(rows, 0) != rows_of(rows, 1)


def _common_advantage(advantage: torch.Tensor) -> torch.Tensor:
    return (advantage - advantage.mean()) / (advantage.std() + 1e-8)


def _common_moments(self: Moments, batch: np.ndarray) -> None:
    self.mean = self.mean + (batch.mean() - self.mean) * 0.1
    self.count += batch.shape[1]


def _common_order(self: PermutationStream) -> np.ndarray:
    row = self.generators[0].permutation(self.count)
    return np.stack([row + s * self.count for s in range(len(self.generators))])


@pytest.mark.parametrize(
    ("owner", "name", "wrong"),
    [
        (losses, "standardised", _common_advantage),
        (Moments, "update", _common_moments),
        (PermutationStream, "next", _common_order),
    ],
)
def test_a_coupling_of_seeds_would_be_caught(
    owner: Any, name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: what a port from single-seed code would do across the stack."""
    parameters = {"kind": PPO, "batch_size": 4, "sequence_length": 2, **LSTM}
    monkeypatch.setattr(owner, name, wrong)
    together, _ = train(World, SEEDS, STEPS, PLAN, **parameters)
    alone, _ = train(World, SEEDS[1:2], STEPS, PLAN, **parameters)
    assert "/learner/weights" in differences(state_of(together, 12), state_of(alone, 12))
