"""What a peer can be told, and what is said where the library cannot do it."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest
from commands import environment

from rlbench import agents, registry
from rlbench.errors import UserError
from rlbench.experiments.planning import plan
from rlbench.experiments.preflight import preflight

IMAGE_DATA = re.compile(r"rlbench/(Classify|Find|Glimpse|Imbalanced|Retry|Rows|Stream)")
PEERS = [name for name in registry.agents() if name.startswith("sb3-")]


def refused(peer: str, name: str, value: Any) -> str:
    """What is said of one parameter."""
    with pytest.raises(UserError) as error:
        registry.agent_class(peer).Config.build(peer, {name: value})
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
        ("sb3-sac", "max_grad_norm", 1.0, "does not clip gradients; leave it out, or run sac"),
        ("sb3-td3", "burn_in", 4, "has no memory; leave it out, or run td3"),
        ("sb3-ppo-lstm", "encoder", "gru", "no other memory here; leave it out, or run ppo"),
    ],
)
def test_why_the_library_cannot_is_said(peer: str, name: str, value: Any, said: str) -> None:
    assert said in refused(peer, name, value)


@pytest.mark.parametrize("peer", PEERS)
def test_the_agent_that_is_named_takes_what_its_peer_does_not(peer: str) -> None:
    """Whatever the library has one value of."""
    kind: Any = registry.agent_class(peer).Config
    ours: Any = registry.agent_class(kind.ours).Config
    assert ours is kind.like()
    others = {"dropout": 0.1, "layer_norm": True, "frame_stack": 2, "memory_horizon": 9}
    for name, value in others.items():
        assert f"or run {kind.ours}" in refused(peer, name, value)
        assert getattr(ours.build(kind.ours, {name: value}), name) == value


def test_what_neither_takes_has_no_way_out() -> None:
    """Negative control: running dqn would not help."""
    assert "or run" not in refused("sb3-dqn", "double", "perhaps")
    assert "or run" not in refused("sb3-dqn", "gamma", 2)


def test_presets_are_those_of_our_agents_and_what_is_missing_is_said() -> None:
    ours = registry.presets("dqn")
    for env, values in registry.presets("sb3-dqn").items():
        assert "not tuned for sb3-dqn" in values["source"]
        assert {**values, "source": ours[env]["source"]} == ours[env]
    run = plan("sb3-dqn", "CartPole-v1", [0])
    assert run.cannot == {"loss": "mse"}
    config: Any = run.config
    assert config.learning_rate == ours["CartPole-v1"]["learning_rate"]
    assert run.total_timesteps == 50_000
    assert plan("sb3-dqn", "Acrobot-v1", [0]).cannot == {"double": True}
    memory = plan("sb3-dqn", "CartPole-v1+mask-velocity", [0])
    assert memory.cannot["encoder"] == "lstm"
    assert memory.config.model_dump()["encoder"] == "auto"
    own = plan("sb3-ppo", "CartPole-v1", [0], parameters={"settings": "defaults", "gamma": 0.5})
    assert (own.cannot, own.n_envs, own.total_timesteps) == ({}, 1, 100_000)
    config = own.config
    assert (config.n_steps, config.gamma) == (2048, 0.5)
    assert own.variant == "settings=defaults gamma=0.5"
    again = type(own).from_json({**own.to_json(), "identity": own.identity()}, [0])
    assert again.identity() == own.identity()


# Modules of the extras that presets' environments need.
EXTRAS = {"Hopper": "mujoco", "InvertedPendulum": "mujoco", "LunarLander": "Box2D"}
UNREAD = ("MinAtar/", "MiniGrid-")  # images of bits, and Dicts: refused by peers


@pytest.mark.parametrize("peer", PEERS)
def test_every_preset_can_be_run(peer: str) -> None:
    """What remains of a preset without the settings that the library lacks fits together."""
    names = [name for name in registry.presets(peer) if not IMAGE_DATA.match(name)]
    absent = tuple(env for env, module in EXTRAS.items() if find_spec(module) is None)
    names = [name for name in names if not name.startswith(absent + UNREAD)]
    for name in names:
        env, _, preset = name.partition(" ")  # "ENV NAME" is a preset beside the usual one
        preflight(plan(peer, env, [0], preset=preset or True), play=False)
    assert bool(names) == (peer != "sb3-maskable-ppo")  # those of ppo are without masks


@pytest.mark.parametrize("given", [{}, {"settings": "defaults", "net_arch": (64, 64)}])
@pytest.mark.parametrize("share", [True, False, None])
def test_vectors_may_share_an_encoder_too(share: bool | None, given: dict[str, Any]) -> None:
    """Actor and critic have as many parameters as those of ppo with the same setting."""
    shape: dict[str, Any] = {"share_encoder": share, "head_arch": (8,)}
    peer = agents.SB3PPO("CartPole-v1", n_envs=1, n_steps=8, batch_size=8, **shape, **given)
    weights = peer.learn(8).learned[0]["weights"]
    ours: Any = agents.PPO("CartPole-v1", **shape)
    # The library lists what is shared several times.
    counted = {
        name: value.size
        for name, value in weights.items()
        if not (share and name.startswith(("pi_features", "vf_features")))
    }
    assert sum(counted.values()) == sum(p.numel() for p in ours.net.parameters())


def test_minibatches_of_the_librarys_memory_may_be_shorter_than_sequences() -> None:
    made = agents.SB3PPOLSTM("CartPole-v1", n_envs=2, n_steps=16, batch_size=5, n_epochs=1)
    assert made.learn(32).learned[0]["weights"]
    with pytest.raises(
        UserError, match="smaller than the sequence length"
    ):  # negative control: ours
        agents.PPO("CartPole-v1", encoder="lstm", n_steps=16, batch_size=5)


def test_the_library_is_imported_only_where_a_model_is_made() -> None:
    code = (
        "import sys; from rlbench import registry\n"
        "from rlbench.experiments.planning import plan\n"
        "for name in registry.agents(): registry.agent_class(name)\n"
        "plan('sb3-dqn', 'CartPole-v1', [0])\n"
        "sys.exit('stable_baselines3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("switch", "said"),
    [({"dueling": True}, "dueling=true"), ({"distribution": "c51"}, "distribution"),
     ({"n_atoms": 21}, "n_atoms=21"), ({"layer_norm": True}, "layer_norm=true")],
)  # fmt: skip
def test_extensions_that_the_library_has_not_are_refused(switch: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        agents.SB3DQN("CartPole-v1", **switch)
    agents.DQN("CartPole-v1", **switch)  # negative control: ours takes it
