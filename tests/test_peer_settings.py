"""What a peer can be told, and what is said where the library cannot do it."""

from __future__ import annotations

from typing import Any

import pytest

from rlbench import catalog
from rlbench.errors import UserError

PEERS = [name for name in catalog.agents() if name.startswith("sb3-")]


def refused(peer: str, name: str, value: Any) -> str:
    """What is said of one parameter."""
    with pytest.raises(UserError) as error:
        catalog.agent_class(peer).Config.build(peer, {name: value})
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("peer", "name", "value", "said"),
    [
        ("sb3-dqn", "double", True, "has no Double DQN; leave it out, or run dqn"),
        ("sb3-dqn", "distribution", "qr", "quantiles alone, as sb3-qrdqn; leave it out"),
        ("sb3-dqn", "n_atoms", 21, "leave it out, or run dqn"),
        ("sb3-dqn", "encoder", "lstm", "no memory, which sb3-ppo-lstm alone has; leave it out"),
        ("sb3-qrdqn", "loss", "huber", "a loss of their own; leave it out, or run dqn"),
        ("sb3-ppo", "sequence_length", 8, "has no memory; leave it out, or run ppo"),
        ("sb3-a2c", "dropout", 0.1, "has no dropout in its networks; leave it out, or run a2c"),
        ("sb3-ppo-lstm", "encoder", "gru", "no other memory here; leave it out, or run ppo"),
    ],
)
def test_why_the_library_cannot_is_said(peer: str, name: str, value: Any, said: str) -> None:
    assert said in refused(peer, name, value)


@pytest.mark.parametrize("peer", PEERS)
def test_the_agent_that_is_named_takes_what_its_peer_does_not(peer: str) -> None:
    """Whatever the library has one value of."""
    kind: Any = catalog.agent_class(peer).Config
    ours: Any = catalog.agent_class(kind.ours).Config
    assert ours is kind.like()
    others = {"dropout": 0.1, "layer_norm": True, "frame_stack": 2, "memory_horizon": 9}
    for name, value in others.items():
        assert f"or run {kind.ours}" in refused(peer, name, value)
        assert getattr(ours.build(kind.ours, {name: value}), name) == value


def test_what_neither_takes_has_no_way_out() -> None:
    """Negative control: running dqn would not help."""
    assert "or run" not in refused("sb3-dqn", "double", "perhaps")
    assert "or run" not in refused("sb3-dqn", "gamma", 2)
