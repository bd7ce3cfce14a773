"""Action masks: no illegal action is ever taken, and targets and probabilities know of none."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from lockstep import differences, rows_of, state_of
from masked_worlds import WAYS, Masked
from torch import Tensor

from rlbench import agents
from rlbench.agents import A2C, C51, DQN, DRQN, IQN, PPO, PQN, QRDQN, Rainbow, Random, Reinforce
from rlbench.learning.environments.masked_space import ILLEGAL, MASK, OBSERVATION, draw_legal
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Evaluation, SeedEnded

REPLAY: dict[str, Any] = {
    "learning_starts": 12, "batch_size": 7, "buffer_size": 30, "net_arch": (8,), "n_envs": 2,
    "sequence_length": 4, "burn_in": 1, "target_update_interval": 10, "hidden_size": 4,
}  # fmt: skip
ROLLOUT: dict[str, Any] = {"n_steps": 6, "n_envs": 2, "net_arch": (8,), "hidden_size": 4}
PLAN = TrainingSchedule(40, 20, 2, 2, log_points=4)

# Every agent of discrete actions, and between them every kind of observation and memory.
CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "dqn": (DQN, Masked, REPLAY),
    "dqn frames": (DQN, partial(Masked, "image", "offset"), {**REPLAY, "frame_stack": 3}),
    "double-dqn": (agents.DoubleDQN, partial(Masked, "number", "offset", "method"), REPLAY),
    "dueling-dqn": (agents.DuelingDQN, partial(Masked, "vector", "discrete", "parts"), REPLAY),
    "per-dqn": (agents.PERDQN, partial(Masked, "mixed"), REPLAY),
    "c51": (C51, Masked, {**REPLAY, "n_atoms": 5, "normalize_obs": True}),
    "qr-dqn": (QRDQN, partial(Masked, "number"), {**REPLAY, "n_steps": 3}),
    "iqn": (IQN, partial(Masked, way="observation"), {**REPLAY, "double": False}),
    "rainbow": (Rainbow, Masked, {**REPLAY, "n_atoms": 5}),
    "drqn": (DRQN, partial(Masked, "number"), REPLAY),
    "pqn": (PQN, partial(Masked, "image", "offset"), ROLLOUT),
    "pqn gru": (PQN, Masked, {**ROLLOUT, "encoder": "gru", "frame_stack": 2}),
    "ppo": (PPO, partial(Masked, "number", "offset"), ROLLOUT),
    "ppo lstm": (PPO, partial(Masked, "mixed", "multi"), {**ROLLOUT, "encoder": "auto+lstm"}),
    "a2c": (A2C, partial(Masked, "image", "bits", "method"), {**ROLLOUT, "frame_stack": 2}),
    "reinforce": (Reinforce, partial(Masked, "vector", "multi", "observation"),
                  {**ROLLOUT, "normalize_obs": True, "encoder": "worlds:Own"}),
    "random": (Random, partial(Masked, "vector", "offset"), {"n_envs": 2}),
    "random parts": (Random, partial(Masked, "vector", "multi"), {"n_envs": 2}),
}  # fmt: skip


def given(kind: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    known = {*kind.Config.model_fields, "n_envs"}
    return {name: value for name, value in parameters.items() if name in known}


def train(kind: Any, env: Any, seeds: Any, plan: Any = PLAN, **parameters: Any) -> Any:
    """An agent after 40 steps, and all rows of its training."""
    agent = kind(env, seeds=seeds, device="cpu", **given(kind, parameters))
    agent.set_horizon(40)
    trainer = Trainer(agent, plan)
    rows = list(trainer.rows())
    trainer.close()
    return agent, rows


@pytest.mark.parametrize("case", CASES)
def test_no_illegal_action_is_taken(case: str) -> None:
    """In training and evaluation, greedy and drawn: the environment refuses illegal ones."""
    kind, env, parameters = CASES[case]
    agent, rows = train(kind, env, (3, 4), **parameters)
    assert not [row for row in rows if isinstance(row, SeedEnded) and row.status != "done"]
    scores = [row for row in rows if isinstance(row, Evaluation)]
    assert scores
    assert all(math.isfinite(row.ret) for row in scores)
    policy, world = agent.policy(seed=4), agent.make_env()
    for deterministic in (True, False):
        obs, _ = world.reset(seed=7)
        state = None
        for step in range(15):
            action, state = policy.predict(obs, state, np.array([step == 0]), deterministic)
            obs, _, terminated, truncated, _ = world.step(action)
            if terminated or truncated:
                break


@pytest.mark.parametrize("kind", [DQN, PPO, PQN])
def test_without_masks_illegal_actions_are_taken(kind: Any) -> None:
    parameters = REPLAY if kind is DQN else ROLLOUT
    _, rows = train(kind, Masked, (3,), **parameters, action_masks=False)
    (ended,) = [row for row in rows if isinstance(row, SeedEnded)]
    assert ended.status == "failed"
    assert "is illegal" in ended.reason


EQUAL = ["dqn", "dqn frames", "c51", "iqn", "rainbow", "drqn", "pqn gru", "ppo", "ppo lstm", "a2c"]


@pytest.mark.parametrize("case", EQUAL)
def test_a_seed_in_a_stack_equals_the_seed_alone(case: str) -> None:
    kind, env, parameters = CASES[case]
    together, rows = train(kind, env, (11, 12, 13), **parameters)
    assert together.learner.optimizer.updates >= 2
    alone, its_rows = train(kind, env, (13,), **parameters)
    assert differences(state_of(together, 13), state_of(alone, 13)) == []
    assert rows_of(rows, 13) == rows_of(its_rows, 13)


def masked_obs(legal: list[list[int]]) -> np.ndarray:
    """Observations (1, B, 3 + A) of `Masked("vector")`: zeros, and these masks."""
    masks = np.array([legal], np.float32)
    return np.concatenate([np.zeros((*masks.shape[:2], 3), np.float32), masks], -1)


def test_probabilities_of_illegal_actions_are_0() -> None:
    """Equal logits: each of k legal actions has probability 1 / k, and the entropy is log k."""
    agent = PPO(Masked, seeds=1, device="cpu", **given(PPO, ROLLOUT))
    with torch.no_grad():
        agent.learner.stack.data.zero_()
    masks = [[1, 1, 1], [0, 1, 1], [1, 0, 0]]
    items = {"seen": torch.from_numpy(masked_obs(masks)), "action": torch.tensor([[[2], [2], [0]]])}
    log_prob, entropy, _ = agent.evaluate(items)
    assert log_prob[0].tolist() == pytest.approx([-math.log(3), -math.log(2), 0.0], abs=1e-6)
    assert entropy[0].tolist() == pytest.approx([math.log(3), math.log(2), 0.0], abs=1e-6)
    logits, _ = agent.net(items["seen"])
    shares = torch.softmax(logits, -1)[0]
    assert bool((shares[torch.tensor(masks) == 0] == 0).all())
    (gradient,) = torch.autograd.grad(
        entropy.sum() + log_prob.sum(), [agent.net.policy.layers[-1].weight]
    )
    assert bool(torch.isfinite(gradient).all())


def q_values(agent: Any, online: list[float], target: list[float]) -> None:
    """Let both networks of a DQN give these values of A actions, whatever is seen."""
    for network, values in ((agent.q, online), (agent.q_target, target)):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.zero_()
            outputs = network.head.n_outputs
            bias = torch.tensor(values).repeat_interleave(outputs)
            network.head.advantage.layers[-1].bias.copy_(bias.view(1, 1, -1))


@pytest.mark.parametrize(
    ("kind", "double", "expected"),
    [
        # Online values 1, 2, 3 and target values 6, 4, 5; action 2, and then 0, are illegal.
        (DQN, True, [1.0 + 0.9 * 4.0, 1.0 + 0.9 * 5.0, 1.0 + 0.9 * 5.0]),
        (DQN, False, [1.0 + 0.9 * 6.0, 1.0 + 0.9 * 5.0, 1.0 + 0.9 * 6.0]),
        (QRDQN, False, [1.0 + 0.9 * 6.0, 1.0 + 0.9 * 5.0, 1.0 + 0.9 * 6.0]),
    ],
)
def test_targets_take_the_best_legal_action(kind: Any, double: bool, expected: list[float]) -> None:
    values = {**given(kind, REPLAY), "gamma": 0.9, "double": double}
    for masks in (True, False):
        env: Any = Masked if masks else partial(Masked, way="none")
        agent = kind(env, seeds=1, device="cpu", **values)
        q_values(agent, [1.0, 2.0, 3.0], [6.0, 4.0, 5.0])
        seen = masked_obs([[1, 1, 0], [0, 1, 1], [1, 1, 1]])
        obs = torch.from_numpy(seen if masks else seen[..., :3])
        reward, discount, future = agent.bootstrap(torch.ones(1, 3), obs, torch.zeros(1, 3))
        target: Tensor = (reward + discount * future.support).mean(-1)[0]
        everything = expected[2]
        assert target.tolist() == pytest.approx(expected if masks else [everything] * 3)


def test_pqn_looks_at_legal_actions_only() -> None:
    agent = PQN(Masked, seeds=1, device="cpu", **given(PQN, ROLLOUT))
    seen = masked_obs([[1, 0, 0], [0, 1, 0], [1, 1, 1]])
    values = agent.q.act(seen, np.empty((1, 3, 0), np.float32), agent.device)[0][0]
    best = agent.q.best_values(seen, np.empty((1, 3, 0), np.float32), agent.device)[0]
    assert best.tolist() == [values[0, 0], values[1, 1], values[2].max()]
    assert (values[0, 1:] == np.float32(ILLEGAL)).all()


def test_random_actions_are_spread_over_the_legal_ones() -> None:
    legal = np.array([False, True, True, False, True])
    uniform = (np.arange(3000) + 0.5) / 3000
    drawn = draw_legal(np.broadcast_to(legal, (3000, 5)), uniform)
    assert np.bincount(drawn, minlength=5).tolist() == [0, 1000, 1000, 0, 1000]
    every = draw_legal(np.ones((3000, 5), bool), uniform)
    assert (every == (uniform * 5).astype(int)).all()  # as without masks


@pytest.mark.parametrize("way", WAYS)
def test_all_ways_to_say_it_are_the_same_to_agents(way: str) -> None:
    agent = DQN(partial(Masked, "vector", "discrete", way), device="cpu", **REPLAY)
    env = agent.make_env()  # type: ignore[misc]
    obs, _ = env.reset(seed=5)
    assert set(obs) == {OBSERVATION, MASK}
    assert obs[MASK].tolist() == env.unwrapped.legal.tolist()
    stored = agent.spec.array(obs)
    width = 3 + 2 * (way == "parts")
    assert stored.shape == (width + 3,)
    assert agent.spec.legal(stored).tolist() == obs[MASK].astype(bool).tolist()
    assert agent.spec.features == width  # networks do not see it


def test_a_state_without_a_legal_action_ends_its_seed_alone() -> None:
    made: list[int] = []

    def make() -> Any:
        made.append(1)
        return Masked(stuck=9 if len(made) == 3 else 0)  # the lane of the second seed

    plan = TrainingSchedule(40, 0, 0, 0)
    _, rows = train(DQN, make, (1, 2), plan, **{**REPLAY, "n_envs": 1})
    ends = {row.seed: row for row in rows if isinstance(row, SeedEnded)}
    assert sorted(end.status for end in ends.values()) == ["done", "failed"]
    (failed,) = [end for end in ends.values() if end.status == "failed"]
    assert failed.reason == "no action is legal, and the episode goes on at step 5"


def test_masks_of_the_wrong_length_are_refused() -> None:
    class Wrong(Masked):
        def reset(self, **given: Any) -> Any:
            return super().reset(**given)[0], {MASK: np.ones(4, np.int8)}

    with pytest.raises(Exception, match="action_mask must have 3 numbers, one for each action"):
        DQN(Wrong, device="cpu", **REPLAY).learn(20)


def test_gymnasium_says_it_too() -> None:
    assert DQN("Taxi-v4", device="cpu").env_facts.masked
    assert not DQN("Taxi-v4", action_masks=False, device="cpu").env_facts.masked
    for name in ("CartPole-v1", "FrozenLake-v1", "rlbench/Catch-v0"):
        assert not DQN(name, device="cpu").env_facts.masked
    assert "action_mask" in gymnasium.make("Taxi-v4").reset()[1]
