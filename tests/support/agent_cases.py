"""Agents with settings that are trained in lockstep and resume tests."""

from __future__ import annotations

from functools import partial
from typing import Any

from masked_worlds import Masked
from worlds import World

from rlbench.agents import A2C, DQN, IQN, PPO, PQN, SAC, TD3, TQC, CrossQ, Rainbow, Reinforce
from rlbench.envs.bit_flip import BitFlip
from rlbench.envs.reach import ReachGoal

REPLAY = {"learning_starts": 12, "batch_size": 8, "buffer_size": 30, "sequence_length": 4,
          "burn_in": 1, "target_update_interval": 10, "net_arch": (8,)}  # fmt: skip


CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "ppo lstm": (PPO, World, {"encoder": "lstm", "normalize_obs": True, "n_envs": 2,
                              "normalize_reward": True, "frame_stack": 2, "sequence_length": 2}),
    "ppo box": (PPO, partial(World, "vector", "box6"),
                {"clip_schedule": "linear", "batch_size": 3}),
    "pqn gru": (PQN, World, {"encoder": "gru", "normalize_obs": True, "normalize_reward": True,
                             "frame_stack": 2, "n_envs": 2, "batch_size": 8}),
    "ppo attention": (PPO, World, {"encoder": "attention", "num_layers": 2, "n_envs": 2,
                                   "attention_window": 5, "attention_heads": 2,
                                   "sequence_length": 2, "share_encoder": False}),
    "a2c gru": (A2C, partial(World, "mixed", "multi"), {"encoder": "auto+gru", "n_envs": 2}),
    "a2c dropout": (A2C, partial(World, "vector", "bits"), {"encoder": "worlds:Dropping+rnn"}),
    "reinforce": (Reinforce, World, {"encoder": "mlp", "frame_stack": 3, "normalize_reward": True}),
    "dqn lstm": (DQN, World, {"encoder": "lstm", "n_envs": 2, "normalize_obs": True, **REPLAY}),
    "dqn attention": (DQN, World, {"encoder": "attention", "attention_window": 3,
                                   "attention_heads": 1, "n_envs": 2, **REPLAY}),
    "dqn frames": (DQN, partial(World, "image"), {"frame_stack": 3, **REPLAY}),
    "rainbow": (Rainbow, partial(World, "image"),
                {"frame_stack": 2, "n_envs": 2, "encoder": "cnn", "n_atoms": 5, **REPLAY}),
    "iqn gru": (IQN, World, {"encoder": "gru", "prioritized": True, "noisy": True, "n_steps": 2,
                             "dueling": True, "iqn_embedding": 8, **REPLAY}),
    "sac": (SAC, partial(World, "vector", "box6"),
            {"n_envs": 2, "normalize_obs": True, "n_steps": 2, "frame_stack": 2,
             "noise_type": "ornstein-uhlenbeck", **REPLAY}),
    "tqc gru": (TQC, partial(World, "vector", "box6"),
                {"encoder": "gru", "n_critics": 3, "n_quantiles": 5, "n_steps": 2, **REPLAY}),
    "crossq": (CrossQ, partial(World, "vector", "box6"),
               {"n_envs": 2, "n_steps": 2,
                "renorm_warmup_steps": 6, **REPLAY, "critic_arch": (9,)}),
    "crossq frames": (CrossQ, partial(World, "image", "box"), {"frame_stack": 2, **REPLAY}),
    "td3 lstm": (TD3, partial(World, "vector", "box"),
                 {"encoder": "lstm", "n_envs": 2, "normalize_obs": True, **REPLAY}),
    "sac dropout": (SAC, partial(World, "vector", "box"),
                    {"encoder": "worlds:Dropping+gru", "ent_coef": 0.1, **REPLAY}),
    "td3 frames": (TD3, partial(World, "image", "box6"), {"frame_stack": 2, **REPLAY}),
    "dqn masks": (DQN, partial(Masked, "mixed", "offset"),
                  {"frame_stack": 2, "n_envs": 2, "n_steps": 2, **REPLAY}),
    "iqn masks": (IQN, partial(Masked, way="parts"),
                  {"encoder": "gru", "iqn_embedding": 8, "n_steps": 2, **REPLAY}),
    "ppo masks": (PPO, partial(Masked, "number", "multi", "info"), {"n_envs": 2}),
    "dqn her": (DQN, BitFlip, {"her": True, "n_envs": 2, **REPLAY}),
    "crossq her": (CrossQ, ReachGoal,
                   {"her": True, "n_steps": 1, "goal_selection_strategy": "episode",
                    "normalize_obs": True, **REPLAY}),
    "dqn dropout": (DQN, World, {"encoder": "worlds:Dropping", **REPLAY}),
}  # fmt: skip
