"""Masks on their way from environments: workers, vector environments, runs, agents, models."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from commands import here
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from masked_worlds import WAYS, Masked

from rlbench.agents import DQN, PPO
from rlbench.config import digest
from rlbench.errors import UserError
from rlbench.experiments.planning import plan
from rlbench.learning.environments import space_json
from rlbench.learning.environments.batched_lanes import lanes_for
from rlbench.learning.environments.masked_space import MASK, OBSERVATION, MaskedSpace, draw_legal
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.environments.workers import env_workers
from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.export import parity
from rlbench.learning.export.files import as_model

SEEDS, N, STEPS = (5, 6), 2, 40
SMALL: dict[str, Any] = {"device": "cpu", "net_arch": (8,)}


def same_step(num_envs: int) -> SyncVectorEnv:
    return SyncVectorEnv([Masked] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


def next_step(num_envs: int) -> SyncVectorEnv:
    return SyncVectorEnv([Masked] * num_envs, autoreset_mode=AutoresetMode.NEXT_STEP)


def parts(num_envs: int) -> SyncVectorEnv:
    make = partial(Masked, way="parts")
    return SyncVectorEnv([make] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


def played(source: EnvSource) -> list[np.ndarray]:
    """What lanes show over some steps of legal actions, drawn by a stream of their own."""
    spec = ObsSpec.of(source.facts.observation_space, None)
    lanes, rng = lanes_for(source, SEEDS, N, spec), np.random.default_rng(0)
    obs, seen = lanes.reset(), []
    for _ in range(STEPS):
        action = draw_legal(spec.legal_now(obs), rng.random((len(SEEDS), N)))
        step = lanes.step(action)
        obs = lanes.obs
        over = step.terminated[..., None]
        last = np.where(over, 0, step.next_obs)  # no action follows
        seen += [last, obs, step.reward, step.terminated, step.truncated]
    lanes.close()
    return [each.copy() for each in seen]


def equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("way", ["info", "parts"])
def test_vector_environments_give_the_same_masks(way: str) -> None:
    single = partial(Masked, way=way)
    expected = played(EnvSource(single, masks=None))
    assert any(part.any() for part in expected[3::5])  # episodes ended
    for name in ["parts"] if way == "parts" else ["same_step", "next_step"]:
        assert equal(played(EnvSource(single, vector=f"{__name__}:{name}", masks=None)), expected)


def test_workers_give_the_same_masks() -> None:
    expected = played(EnvSource("rlbench/Doors-v0", masks=None))
    with env_workers(2):
        assert equal(played(EnvSource("rlbench/Doors-v0", masks=None)), expected)


@pytest.mark.parametrize("way", WAYS)
def test_spaces_are_read_from_files(way: str) -> None:
    space = EnvSource(partial(Masked, "mixed", way=way), masks=None).facts.observation_space
    assert isinstance(space, MaskedSpace)
    again = space_json.from_json(space_json.to_json(space))
    assert again == space
    assert isinstance(again, MaskedSpace)


def test_masks_are_a_part_of_what_a_run_is() -> None:
    """Runs without masks keep the digests that they had before there were masks."""

    def identity(env: str, **parameters: Any) -> dict[str, Any]:
        return plan("dqn", env, [0], total_timesteps=100, parameters=parameters).identity()

    masked, plain = identity("Taxi-v4"), identity("Taxi-v4", action_masks=False)
    assert masked["action_masks"] is True
    assert "action_masks" not in plain
    assert plain["config"] == {"action_masks": False}
    assert "action_masks" not in identity("CartPole-v1")
    assert digest({k: v for k, v in masked.items() if k != "action_masks"}) == "68406cd2"
    assert not plan("sb3-dqn", "Taxi-v4", [0], total_timesteps=100).masked


def test_predict_takes_masks() -> None:
    agent = DQN(Masked, **SMALL)
    obs = np.zeros(3, np.float32)
    for legal in range(3):
        mask = np.arange(3) == legal
        assert agent.predict(obs, deterministic=True, action_masks=mask)[0] == legal
    masks = np.eye(3, dtype=np.int8)[[2, 0]]
    batch = np.zeros((2, 3), np.float32)
    assert agent.predict(batch, action_masks=masks)[0].tolist() == [2, 0]
    joined = {OBSERVATION: obs, MASK: masks[0]}
    assert agent.predict(joined, deterministic=True)[0] == 2
    with pytest.raises(UserError, match="pass action_masks="):
        agent.predict(obs)
    plain = DQN(Masked, action_masks=False, **SMALL)
    with pytest.raises(UserError, match="leave out action_masks"):
        plain.predict(obs, action_masks=masks[0])
    assert plain.predict(obs)[0] in range(3)


def test_saved_agents_keep_to_what_they_were_trained_with(tmp_path: Path) -> None:
    """Also those of before there were masks, whose configuration does not say so."""
    for masks in (True, False):
        file = DQN("Taxi-v4", action_masks=masks, **SMALL).save(tmp_path / f"{masks}.npz")
        for env in (None, "Taxi-v4"):
            agent = DQN.load(file, env)
            assert isinstance(agent.observation_space, MaskedSpace) == masks
            agent.set_env("Taxi-v4")
            agent.learn(20)


@pytest.mark.parametrize(
    ("kind", "env", "given"),
    [
        (DQN, partial(Masked, "number"), {"frame_stack": 2}),
        (PPO, partial(Masked, "mixed", "multi"), {"encoder": "auto+gru", "hidden_size": 4}),
        (PPO, Masked, {"normalize_obs": True}),
    ],
)
def test_models_take_masks_too(kind: Any, env: Any, given: dict[str, Any]) -> None:
    agent = kind(env, **SMALL, **given).learn(300)
    policy, module = agent.policy(), agent.to_torch()
    assert "action_mask" in module.input_names
    recording = parity.record(policy, agent.make_env, StepLimit(), 200)
    found = parity.compare(recording, module, as_model(module, module))
    assert found.close
    assert found.equal == found.observations
    assert found.size < 1e3  # outputs of illegal actions are not counted
    arrays = module.example(1)
    names = list(module.input_names)
    none = [x * 0 if name == "action_mask" else x for name, x in zip(names, arrays, strict=True)]
    first = none[names.index("action_mask")]
    first[:, -1] = 1
    first[:, 1] = 1  # of the first part, where there are two
    action = module(*none)[0].flatten().tolist()
    assert action == ([1, 2] if len(action) == 2 else action)
    assert action[0] in (1, 2)
    assert isinstance(action[0], int) or torch.is_tensor(action[0])


def test_a_run_is_watched_and_exported(tmp_path: Path) -> None:
    out = ["--out", tmp_path / "r"]
    assert here("run", "ppo", "--env", "Taxi-v4", "-n", 300, "--seed", 0, "--no-floor", *out,
                "--final-episodes", 2, "--eval-freq", 0) == 0  # fmt: skip
    assert here("export", "latest", "--format", "torch", "-o", tmp_path / "m.pt2", *out) == 0
    assert "action_mask" in (tmp_path / "m.pt2.md").read_text()
    assert here("eval", "latest", "--env-kwargs", "is_rainy=true", *out) == 0
    pytest.importorskip("pygame")
    assert here("watch", "latest", "-o", tmp_path / "f.gif", "--episodes", 1, *out) == 0
    assert gymnasium.make("Taxi-v4").unwrapped is not None
