"""What is drawn beside the frames: values, probabilities and gradients of the policy that acts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rlbench.agents import DQN, PPO, SAC
from rlbench.errors import UserError
from rlbench.video.choices import choice, saliency

IMAGES = "rlbench/Catch-v0"


def acted(policy: Any, env: str) -> Any:
    import gymnasium

    import rlbench.envs  # noqa: F401 - registers

    obs, _ = gymnasium.make(env).reset(seed=3)
    action, _ = policy.predict(obs, None, True, deterministic=True)
    return action


def test_values_of_actions_are_those_that_were_compared() -> None:
    policy = DQN("CartPole-v1", seeds=1).policy()
    action = acted(policy, "CartPole-v1")
    shown = choice(policy, action)
    assert shown is not None
    assert shown.title == "Q"
    assert shown.chosen == {int(np.argmax(shown.values))} == {int(action)}


def test_probabilities_are_of_the_policy() -> None:
    policy = PPO("CartPole-v1", seeds=1).policy()
    shown = choice(policy, acted(policy, "CartPole-v1"))
    assert shown is not None
    logits = policy.latest.outputs[0, 0].astype(np.float64)  # type: ignore[attr-defined]
    expected = np.exp(logits) / np.exp(logits).sum()
    assert shown.title == "probability"
    assert shown.values == pytest.approx(expected, rel=1e-5)
    assert shown.chosen == {int(np.argmax(expected))}


def test_continuous_actions_are_shown_themselves() -> None:
    policy = SAC("Pendulum-v1", seeds=1).policy()
    action = acted(policy, "Pendulum-v1")
    shown = choice(policy, action)
    assert shown is not None
    assert shown.title == "action"
    assert shown.values.tolist() == action.tolist()


@pytest.mark.parametrize("encoder", ["cnn", "cnn+lstm"])
def test_saliency_is_the_gradient_of_the_chosen_value(encoder: str) -> None:
    """Held to differences of the network's own outputs, pixel by pixel."""
    policy: Any = DQN(IMAGES, seeds=1, encoder=encoder).policy()
    noise = np.random.default_rng(0).integers(0, 256, policy.spec.shape)  # no two pixels alike:
    obs = (noise / (1 if policy.spec.dtype == np.uint8 else 255)).astype(policy.spec.dtype)
    action = int(policy.predict(obs, None, True, deterministic=True)[0])  # max-pooling has no ties
    image, strength = saliency(policy, frozenset({action}))
    inputs, hidden, _ = policy.latest
    spec, step = policy.spec, 0.5 if policy.latest.inputs.dtype == np.uint8 else 1e-2
    differences = np.zeros(inputs.size)
    flat = inputs.astype(np.float32).reshape(-1)
    import torch

    for place in range(inputs.size):
        values = []
        for sign in (-1, 1):
            moved = flat.copy()
            moved[place] += sign * step / 2
            seen = torch.from_numpy(moved.reshape(inputs.shape))
            with torch.no_grad():
                out = policy.network.step(seen, torch.from_numpy(hidden))[0]
            values.append(float(out[0, 0, action]))
        differences[place] = abs(values[1] - values[0]) / step
    part = spec.parts[0]
    each = spec.picture(
        torch.from_numpy(differences.astype(np.float32).reshape(inputs.shape)), part
    )
    expected = each[0, 0].numpy().max(0)
    assert image.shape == strength.shape == expected.shape
    close = np.corrcoef(strength.ravel(), expected.ravel())[0, 1]
    assert close > 0.97  # relu bends between the two points
    assert strength.max() == 1.0


def test_vectors_have_no_saliency() -> None:
    policy = DQN("CartPole-v1", seeds=1).policy()
    acted(policy, "CartPole-v1")
    with pytest.raises(UserError, match="no saliency: it is for images"):
        saliency(policy, frozenset({0}))
