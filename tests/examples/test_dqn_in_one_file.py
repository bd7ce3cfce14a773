"""The example in one file trains with the numbers of the package."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import pytest
import torch
from commands import ROOT

from rlbench.agents import DQN
from rlbench.learning.evaluation.episodes import evaluate
from rlbench.registry import presets

FILE = ROOT / "examples" / "dqn_in_one_file.py"
# Settings of their own: double, a small buffer that wraps, an update every fourth step.
OTHER = {
    "net_arch": (32, 48),
    "batch_size": 63,
    "buffer_size": 400,
    "learning_starts": 100,
    "target_update_interval": 50,
    "train_freq": 4,
    "gradient_steps": 1,
    "max_grad_norm": 10.0,
    "double": True,
}


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location(FILE.stem, FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[FILE.stem] = module  # where NamedTuple looks up annotations
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("settings", "steps"), [({}, 1300), (OTHER, 1000)])
def test_weights_equal_those_of_the_package(
    example: Any, settings: dict[str, Any], steps: int
) -> None:
    """After some hundred updates of two seeds, bit for bit; so do the optimiser's moments."""
    config = example.Config(total_timesteps=steps, **settings)
    ours = example.train(config, (0, 1))
    parameters = {
        name: value for name, value in config._asdict().items() if name in DQN.Config.model_fields
    }
    theirs = DQN(
        "CartPole-v1", seeds=2, device="cpu", loss="mse", lr_schedule="linear", **parameters
    ).learn(steps)
    assert theirs.learner.optimizer.updates > 200
    assert torch.equal(theirs.online.data, ours.q.data)
    assert torch.equal(theirs.target.data, ours.target.data)
    moments, theirs_moments = ours.adam.state[ours.q.data], theirs.learner.optimizer.state()
    assert torch.equal(theirs_moments["mean"], moments["exp_avg"])
    assert torch.equal(theirs_moments["square"], moments["exp_avg_sq"])


def test_evaluation_plays_the_sealed_episodes(example: Any) -> None:
    """Of untrained agents, whose episodes are short."""
    ours, theirs = example.DQN(example.Config(), (3, 4)), DQN("CartPole-v1", seeds=(3, 4))
    assert theirs.make_env is not None
    scores = evaluate(theirs.policy(), theirs.make_env, "final", 20)
    returns = {(score.row, score.episode): score.ret for score in scores if score}
    rows = list(example.evaluate(ours, 20))
    assert len(rows) == 20
    for episode, row in enumerate(rows):
        assert [returns[index, episode] for index in (0, 1)] == row.tolist()


def test_defaults_are_the_preset(example: Any) -> None:
    preset = dict(presets("dqn")["CartPole-v1"])
    preset["total_timesteps"] = preset.pop("n_timesteps")
    said = example.Config()._asdict()
    assert {name: said[name] for name in said.keys() & preset.keys()} == {
        name: preset[name] for name in said.keys() & preset.keys()
    }
    assert preset.keys() - said.keys() == {"source", "loss", "lr_schedule"}
    assert (preset["loss"], preset["lr_schedule"]) == ("mse", "linear")
    assert said["net_arch"] == DQN.Config.vector_arch


def test_it_is_short() -> None:
    assert len(FILE.read_text("utf-8").splitlines()) <= 200
