"""`agent.to_torch`: plain modules act as the agent does, on what environments give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from rlbench import agents
from rlbench.agents import DQN, PPO
from rlbench.errors import UserError
from rlbench.learning.export import plain_layers, plain_policy

untyped: Any = agents
SMALL: dict[str, Any] = {"learning_starts": 20, "batch_size": 8, "buffer_size": 200}


class World(gymnasium.Env[Any, Any]):
    """Random observations of a space, episodes of seven steps."""

    def __init__(self, observations: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observations, actions

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.t += 1
        return self.observation_space.sample(), float(np.sum(action)), self.t == 7, False, {}


class Extractor(nn.Module):
    """A user's module, with a buffer and several layers."""

    def __init__(self, space: Any) -> None:
        super().__init__()
        self.layer, self.drop = nn.Linear(space.shape[0], 12), nn.Dropout(0.5)
        self.register_buffer("factor", torch.tensor(0.7))

    def forward(self, obs: Any) -> Any:
        return torch.sigmoid(self.drop(self.layer(obs)) * self.factor)


BOX = spaces.Box(-2, 2, (3,), np.float32)
WIDE = spaces.Box(-1e6, 1e6, (3,), np.float64)
PIXELS = spaces.Box(0, 255, (9, 9, 2), np.uint8)
FIRST = spaces.Box(0, 255, (3, 12, 14), np.uint8)
LARGE = spaces.Box(0, 255, (40, 40, 1), np.uint8)
TWO = spaces.Discrete(2)
PARTS = spaces.Dict({
    "speed": spaces.Box(-5, 5, (2,), np.float32),
    "picture": spaces.Box(0, 255, (8, 8, 1), np.uint8),
    "gear": spaces.Discrete(3, start=1),
    "pair": spaces.Tuple([spaces.MultiDiscrete([2, 4]), spaces.MultiBinary(3)]),
})  # fmt: skip
BOUND = spaces.Box(np.array([-1, 0], np.float32), np.array([3, 9], np.float32))
FREE = spaces.Box(-np.inf, np.inf, (1,), np.float32)

CASES: dict[str, tuple[str, Any, Any, dict[str, Any]]] = {
    "mlp": ("DQN", BOX, TWO, SMALL),
    "wide layers": ("DQN", BOX, spaces.Discrete(3, start=4), SMALL | {"layer_norm": True}),
    "normalised": ("PPO", WIDE, TWO, {"normalize_obs": True, "n_steps": 16}),
    "one number": ("DQN", spaces.Box(0, 1, (), np.float32), TWO, SMALL),
    "numbers as bytes": ("DQN", spaces.Box(0, 255, (5,), np.uint8), TWO, SMALL),
    "discrete": ("DQN", spaces.Discrete(5, start=-2), TWO, SMALL),
    "several": ("A2C", spaces.MultiDiscrete([3, 2], start=[1, 0]), TWO, {}),
    "bits": ("A2C", spaces.MultiBinary([2, 2]), TWO, {}),
    "parts": ("PPO", PARTS, TWO, {"n_steps": 16}),
    "parts normalised": ("DQN", PARTS, TWO, SMALL | {"normalize_obs": True, "frame_stack": 3}),
    "cnn last": ("DQN", PIXELS, TWO, SMALL),
    "cnn first": ("DQN", FIRST, TWO, SMALL | {"channels": "first"}),
    "cnn nature": ("PPO", LARGE, TWO, {"n_steps": 8}),
    "cnn resnet": ("DQN", PIXELS, TWO, SMALL | {"cnn": "resnet", "cnn_width": 0.25}),
    "cnn inception": ("DQN", PIXELS, TWO, SMALL | {"cnn": "inception"}),
    "cnn impala": ("DQN", PIXELS, TWO, SMALL | {"cnn": "impala", "cnn_width": 0.25}),
    "cnn stacked": ("DQN", PIXELS, TWO, SMALL | {"frame_stack": 2}),
    "stacked": ("DQN", BOX, TWO, SMALL | {"frame_stack": 4}),
    "categories stacked": ("DQN", spaces.Discrete(4), TWO, SMALL | {"frame_stack": 2}),
    "rnn": ("PPO", BOX, TWO, {"encoder": "rnn", "n_steps": 16}),
    "gru": ("DRQN", BOX, TWO, SMALL | {"encoder": "gru", "sequence_length": 4}),
    "lstm": ("PPO", BOX, TWO, {"encoder": "lstm", "n_steps": 16, "share_encoder": False}),
    "lstms": ("PPO", BOX, TWO, {"encoder": "lstm", "num_layers": 3, "n_steps": 16}),
    "attention": ("PPO", BOX, TWO, {"encoder": "attention", "attention_window": 4, "n_steps": 16}),
    "attentions": (
        "DQN",
        BOX,
        TWO,
        SMALL
        | {
            "encoder": "attention",
            "num_layers": 2,
            "hidden_size": 6,
            "attention_heads": 3,
            "sequence_length": 4,
        },
    ),
    "cnn lstm": ("A2C", PIXELS, TWO, {"encoder": "cnn+lstm", "frame_stack": 2}),
    "own": ("DQN", BOX, TWO, SMALL | {"encoder": Extractor}),
    "dueling": ("DuelingDQN", BOX, TWO, SMALL),
    "c51": ("C51", BOX, TWO, SMALL),
    "qr": ("QRDQN", BOX, TWO, SMALL),
    "iqn": ("IQN", BOX, TWO, SMALL | {"dueling": True}),
    "rainbow": ("Rainbow", BOX, TWO, SMALL),
    "categories": ("PPO", BOX, spaces.MultiDiscrete(np.array([[2, 3], [4, 2]])), {"n_steps": 16}),
    "gaussian": ("PPO", BOX, BOUND, {"n_steps": 16}),
    "free": ("PPO", BOX, FREE, {"n_steps": 16}),
    "sac": ("SAC", BOX, BOUND, SMALL),
    "td3": ("TD3", BOX, BOUND, SMALL),
    "sac lstm": ("SAC", BOX, BOUND, SMALL | {"encoder": "lstm", "sequence_length": 4}),
}


def episode(agent: Any, seed: int, steps: int = 12) -> tuple[list[Any], list[bool]]:
    """Observations of two lanes as the environment gives them, and where episodes begin."""
    space = agent.observation_space
    space.seed(seed)
    return [[space.sample(), space.sample()] for _ in range(steps)], [
        t % 5 == 0 for t in range(steps)
    ]


def arrays(observations: list[Any], module: plain_policy.PlainPolicy) -> list[torch.Tensor]:
    def pick(obs: Any, name: str) -> Any:
        for key in name.split(".")[1:]:
            obs = obs[int(key)] if isinstance(obs, tuple) else obs[key]
        return obs

    return [
        torch.from_numpy(np.stack([pick(o, leaf.name) for o in observations]).astype(leaf.dtype))
        for leaf in module.leaves
    ]


def batched(observations: list[Any]) -> Any:
    first = observations[0]
    if isinstance(first, dict):
        return {key: batched([o[key] for o in observations]) for key in first}
    if isinstance(first, tuple):
        return tuple(batched([o[i] for o in observations]) for i in range(len(first)))
    return np.stack(observations)


@pytest.mark.parametrize("case", CASES)
def test_a_plain_module_acts_as_the_agent(case: str) -> None:
    """After training, over episodes with memory, of the second of two seeds."""
    kind, observations, actions, parameters = CASES[case]
    make: Callable[[], Any] = lambda: World(observations, actions)  # noqa: E731
    agent = getattr(untyped, kind)(make, seeds=[0, 7], **parameters).learn(60)
    policy: Any = agent.policy(seed=7)
    module = agent.to_torch(seed=7)
    kept: list[np.ndarray] = []
    choose = policy.choose

    def chosen(outputs: np.ndarray, deterministic: bool) -> np.ndarray:
        kept.append(outputs[0])
        return choose(outputs, deterministic)

    policy.choose = chosen
    state, memory = None, module.start(2)
    for batch, first in zip(*episode(agent, 3), strict=True):
        action, state = policy.predict(batched(batch), state, first, deterministic=True)
        if memory:
            memory["episode_start"][:] = first
        answer = module(*arrays(batch, module), *memory.values())
        named = dict(zip(module.output_names, answer, strict=True))
        np.testing.assert_allclose(answer[1].numpy(), kept.pop(), rtol=1e-4, atol=2e-5)
        np.testing.assert_allclose(named["action"].numpy(), action, rtol=1e-4, atol=1e-4)
        assert named["action"].numpy().dtype.kind == np.asarray(action).dtype.kind
        memory = {name: named[f"next_{name}"] for name in module.memory}
        if memory:
            memory["episode_start"] = torch.zeros(2, dtype=torch.bool)
    other = agent.to_torch(seed=0)
    assert any((a != b).any() for a, b in zip(module.parameters(), other.parameters(), strict=True))


def test_a_wrong_order_of_gates_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the comparison above sees it."""
    monkeypatch.setattr(plain_layers, "GATES", {"LSTM": [0, 1, 2, 3]})
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        test_a_plain_module_acts_as_the_agent("lstm")


def test_modules_are_those_of_torch() -> None:
    module = DQN("CartPole-v1", seeds=2, **SMALL).to_torch(seed=1)
    parts: Any = (module.encoder.mlp, module.head.advantage)
    layers = [layer for part in parts for layer in part]
    assert [type(each) for each in layers] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert module.input_names == ("obs",)
    assert module.output_names == ("action", "values")


def test_what_has_no_network_or_no_seed_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"holds seeds \[0, 1\]: name one, as in to_torch\(seed=0\)"
    ):
        PPO("CartPole-v1", seeds=2, n_steps=8).to_torch()
    with pytest.raises(UserError, match="policies of the kind RandomPolicy are not exported"):
        untyped.Random("CartPole-v1").to_torch()
    with pytest.raises(UserError, match="are not exported"):
        untyped.SB3DQN("CartPole-v1", **SMALL).learn(30).to_torch()


def test_training_is_left_alone() -> None:
    """Exporting between two steps changes no bit of what follows."""
    weights = []
    for export in (False, True):
        agent = DQN("CartPole-v1", **SMALL)

        def note(row: Any, agent: Any, export: bool = export) -> None:
            if export:
                agent.to_torch()

        weights.append(agent.learn(80, note).learner.stack.data.clone())
    assert torch.equal(*weights)
