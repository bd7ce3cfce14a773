"""What each option of SAC and TD3 does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from continuous import filled
from torch import Tensor

from rlbench.agents import SAC, TD3
from rlbench.envs.probes import Aim
from rlbench.errors import UserError
from rlbench.learning.algorithms.off_policy import sample_batch


@pytest.mark.parametrize("entropy", [-1.5, 0.4])
def test_the_temperature_reaches_its_entropy(entropy: float) -> None:
    """Of a policy that nothing else pulls at, by pushing its deviation down or up."""
    agent = SAC(
        Aim, seeds=2, device="cpu", net_arch=(16,), learning_rate=1e-2, target_entropy=entropy,
        batch_size=64, learning_starts=50, gamma=0.0,
    ).learn(800)  # fmt: skip
    found: Any = agent.metrics["train/entropy"]
    assert torch.allclose(found, torch.tensor(entropy), atol=0.35), found
    fixed = SAC(
        Aim, seeds=2, device="cpu", net_arch=(16,), learning_rate=1e-2, ent_coef=1.0,
        batch_size=64, learning_starts=50, gamma=0.0,
    ).learn(300)  # fmt: skip
    free: Any = fixed.metrics["train/entropy"]
    assert not torch.allclose(free, torch.tensor(entropy), atol=0.35)
    assert "train/ent_coef_loss" not in fixed.metrics


def configured(**values: Any) -> Any:
    return SAC.Config.build("sac", values)


def test_coefficients_are_read() -> None:
    assert configured(ent_coef="auto_0.1").initial_coefficient() == pytest.approx(0.1)
    assert configured(ent_coef="0.2").ent_coef == 0.2
    assert configured(ent_coef=0.2).unused()["target_entropy"] == "ent_coef=0.2"
    assert configured(burn_in=4).unused()["burn_in"] == "encoder=auto"
    assert "burn_in" not in configured(burn_in=4, encoder="lstm").unused()
    for wrong in ("auto_", "auto_x", "automatic", 0.0, -1.0, True, "nan"):
        with pytest.raises(UserError, match="ent_coef"):
            SAC.Config.build("sac", {"ent_coef": wrong})
    with pytest.raises(UserError, match="target_entropy"):
        SAC.Config.build("sac", {"target_entropy": "much"})


def test_policies_and_targets_are_delayed() -> None:
    """TD3: every third update moves them, all others the critics alone."""
    agent = filled(TD3, policy_delay=3)
    stacks = [agent.learner.stack, agent.target, agent.target_policy, agent.critic_learner.stack]
    for number in range(1, 7):
        before = [stack.data.clone() for stack in stacks]
        agent.update()
        moved = [not torch.equal(a, b.data) for a, b in zip(before, stacks, strict=True)]
        assert moved == [number % 3 == 0] * 3 + [True]


def test_the_noise_of_targets_is_clipped() -> None:
    """What target critics are asked: actions within the clip of the policy's, and in bounds."""
    agent = filled(TD3, target_policy_noise=5.0, target_noise_clip=0.3)
    asked: list[tuple[Tensor, Tensor]] = []
    forward = agent.critics_target.forward

    def spy(obs: Tensor, action: Tensor) -> Tensor:
        asked.append((obs, action))
        return forward(obs, action)

    agent.critics_target.forward = spy
    agent.update()
    ((obs, action),) = asked
    plain = torch.tanh(agent.actor_target.forward(obs))
    difference = (action - plain).abs()
    assert difference.max() <= 0.3 + 1e-6
    assert (difference > 0.29).float().mean() > 0.5
    assert action.abs().max() <= 1.0


@pytest.mark.parametrize("kind", [SAC, TD3])
def test_n_steps_are_one(kind: Any) -> None:
    """What a batch becomes: rewards summed to the end of an episode, and the discount after it."""
    agent = filled(kind, n_steps=3)
    state = agent.replay.uniforms.state()
    raw = {key: value.clone() for key, value in agent.replay.sample().items()}
    agent.replay.uniforms.restore(state)
    replayed, gamma = agent.replayed(**sample_batch(agent)), agent.config.gamma
    reward = replayed.targets(torch.zeros(replayed.reward.shape[:2]))
    both = replayed.targets(torch.ones(replayed.reward.shape[:2]))
    cut = 0
    for s, b in np.ndindex(*raw["reward"].shape[:2]):
        total, discount = 0.0, 1.0
        for k in range(3):
            if k and raw["first"][s, b, k]:
                cut += 1
                break
            total += discount * float(raw["reward"][s, b, k])
            discount *= gamma * (1.0 - float(raw["terminated"][s, b, k]))
        assert float(reward[s, b]) == pytest.approx(total, rel=1e-5)
        assert float(both[s, b] - reward[s, b]) == pytest.approx(discount, abs=1e-5)
    assert cut > 2


@pytest.mark.parametrize("kind", [SAC, TD3])
def test_noise_wanders_and_begins_anew(kind: Any) -> None:
    """Ornstein-Uhlenbeck noise is correlated within an episode; normal noise is not."""
    found = {}
    for name in ("normal", "ornstein-uhlenbeck"):
        agent = filled(kind, "box", steps=0, noise_type=name, noise_std=0.5, n_envs=2)
        first, drawn = np.ones((2, 2), bool), []
        for _ in range(2000):
            drawn.append(np.array(agent.action_noise.next(first)))
            first = np.zeros((2, 2), bool)
        x = np.stack(drawn)
        found[name] = np.corrcoef(x[1:].ravel(), x[:-1].ravel())[0, 1]
        agent.action_noise.value[:] = 50.0
        last = agent.action_noise.next(np.array([[True, False], [False, False]]))
        assert np.abs(last[0, 0]) < 5.0
        assert (last.ravel()[1:] > 40.0).all() == (name != "normal")
    assert found["ornstein-uhlenbeck"] > 0.95
    assert abs(found["normal"]) < 0.05
    assert filled(kind, "box", steps=0, noise_type=None).action_noise is None
    assert "noise_std" in kind.Config(noise_type=None).unused()


@pytest.mark.parametrize("kind", [SAC, TD3])
def test_a_number_of_critics(kind: Any) -> None:
    """One, or three, of which the least counts."""
    for count in (1, 3):
        agent = filled(kind, n_critics=count)
        before = agent.learner.stack.data.clone()
        for _ in range(2):
            agent.update()
        assert not torch.equal(before, agent.learner.stack.data)
        width = agent.critic_learner.stack.data.shape[1]
        told = agent.estimate_bytes(agent.config, agent.spec, agent.action_space, 2, 1)["networks"]
        held = 4 * 2 * 5 * width  # weights, gradient, two moments, target
        assert held <= 1.35 * told
        assert told <= 2.5 * held


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n_steps": 3, "gamma": 0.0}, "no later rewards"),
        ({"encoder": "lstm", "batch_size": 8}, "smaller than the sequence length"),
        ({"encoder": "lstm", "n_steps": 20}, "more than sequence_length"),
        ({"net_arch": ()}, "linear in the action"),
        ({"policy_delays": 2}, "Did you mean 'policy_delay'"),
    ],
)
def test_mistakes_in_one_line(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        TD3.Config.build("td3", wrong)
