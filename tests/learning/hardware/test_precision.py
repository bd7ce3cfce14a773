"""The precision of products: part of a run, refused on a CPU, and applied to gradients."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from graph_emulator import emulated
from lockstep import make
from worlds import World

from rlbench import config
from rlbench.agents import DQN, PPO, SAC
from rlbench.errors import UserError
from rlbench.experiments.planning import plan
from rlbench.experiments.preflight import preflight
from rlbench.learning.compile import dense_kernels
from rlbench.learning.hardware import precision

CPU = torch.device("cpu")


@pytest.mark.parametrize("agent", ["dqn", "ppo", "sac"])
def test_it_belongs_to_a_run(agent: str) -> None:
    """Runs without it keep their digest; another precision is another run."""
    env = "Pendulum-v1" if agent == "sac" else "CartPole-v1"
    plain, said, other = (
        plan(agent, env, [0], total_timesteps=9, parameters=given).identity()
        for given in ({}, {"precision": "float32"}, {"precision": "bf16"})
    )
    assert "precision" not in str(plain)
    assert plain == said
    assert config.digest(other) != config.digest(plain)


def test_a_cpu_refuses_it(tmp_path: Path) -> None:
    """In a run before anything is written, and where training begins; agents are loaded."""
    run = plan("dqn", "CartPole-v1", [0], total_timesteps=9, parameters={"precision": "tf32"},
               device="cpu")  # fmt: skip
    with pytest.raises(UserError, match="precision=tf32 is for GPUs"):
        preflight(run, play=False)
    agent = DQN("CartPole-v1", device="cpu", precision="tf32")
    with pytest.raises(UserError, match="leave it out"):
        agent.learn(10)
    assert DQN.load(agent.save(tmp_path / "agent.npz"), device="cpu").config.precision == "tf32"


def weights(kind: Any, space: str, monkeypatch: pytest.MonkeyPatch, **given: Any) -> torch.Tensor:
    monkeypatch.setattr(precision, "check", lambda *_: None)
    with emulated(), dense_kernels.torch_kernels_only():  # ours are for float32
        agent = make(kind, partial(World, "vector", space), (4, 5), **given)
        agent.learn(40, eval_freq=0)
    assert agent.updates.whole
    return agent.learner.stack.data


@pytest.mark.parametrize(
    ("kind", "space"), [pytest.param(SAC, "box", marks=pytest.mark.slow), (PPO, "box6")]
)
def test_bf16_rounds_products(kind: Any, space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights stay float32, and differ by what factors of 8 bits make of some updates."""
    full = weights(kind, space, monkeypatch)
    low = weights(kind, space, monkeypatch, precision="bf16")
    assert low.dtype == torch.float32
    assert torch.isfinite(low).all()
    assert 1e-5 < (full - low).abs().max() < 0.3


@pytest.mark.parametrize(("name", "allowed"), [("float32", False), ("tf32", True)])
def test_settings_of_torch_are_put_back(name: Any, allowed: bool) -> None:
    settings = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [each.allow_tf32 for each in settings]
    with emulated(), precision.products(name, CPU):
        assert [each.allow_tf32 for each in settings] == [allowed, allowed]
    assert [each.allow_tf32 for each in settings] == before
    with precision.products(name, CPU):  # without a GPU nothing is set
        assert [each.allow_tf32 for each in settings] == before
