"""Presets: those of agents that are presets of others, and that all of them can be built."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from rlbench import registry
from rlbench.agents import DQN
from rlbench.errors import UserError
from rlbench.experiments.planning import plan
from rlbench.experiments.preflight import preflight

NAMES = ["c51", "double-dqn", "drqn", "dueling-dqn", "iqn", "per-dqn", "qr-dqn", "rainbow"]


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_of_dqn_keeps_what_it_is(name: str) -> None:
    """It differs from DQN in defaults alone, which no preset taken over from dqn undoes, and all
    else of a preset is dqn's."""
    cls = registry.agent_class(name)
    assert issubclass(cls, DQN)
    made = {"__module__", "__doc__", "Config", "__init__"}  # from Config
    assert vars(cls).keys() - {"__slotnames__"} <= made  # which a pickle writes
    mine = cls.Config.build(name, {}).model_dump()
    own = set(vars(cls.Config)["__annotations__"])
    theirs, its = registry.presets("dqn"), registry.presets(name)
    assert theirs.keys() == its.keys()
    for env, values in its.items():
        config = plan(name, env, [0], total_timesteps=1).config.model_dump()
        kept = own - {"n_steps"} if config["gamma"] == 0.0 else own  # no rewards to come
        assert {key: config[key] for key in kept} == {key: mine[key] for key in kept}
        inherited = {k: v for k, v in theirs[env].items() if k not in {"source", *own}}
        assert inherited.items() <= values.items()
        assert "not tuned" in values["source"]


@pytest.mark.parametrize("name", ["c51", "rainbow"])
def test_atoms_reach_over_the_returns(name: str) -> None:
    """Where an environment's returns are known, the preset says so."""
    for env, values in registry.presets(name).items():
        assert values["v_min"] < values["v_max"], env


def test_a_configuration_reaches_other_processes() -> None:
    """Made by `having`: pickled by name, as in `--jobs 2`, with bounds and descriptions kept."""
    config = registry.agent_class("rainbow").Config.build("rainbow", {"n_steps": 5})
    assert pickle.loads(pickle.dumps(config)) == config
    assert config.changed() == {"n_steps": 5}
    info = type(config).model_fields["n_steps"]
    assert info.description == DQN.Config.model_fields["n_steps"].description
    with pytest.raises(Exception, match="n_steps=0"):
        type(config).build("rainbow", {"n_steps": 0})
    with pytest.raises(Exception, match="n_steps=true"):
        type(config).build("rainbow", {"n_steps": True})


def test_ignored_parameters_are_named_beforehand() -> None:
    """Said by the user and replaced by a switch: told; left to the preset: not worth a word."""
    said = {"noisy": True, "exploration_final_eps": 0.2, "distribution": "qr"}
    line = preflight(plan("dqn", "CartPole-v1", [0], parameters=said))
    assert "exploration_final_eps is ignored with noisy" in line
    assert "loss" not in line  # the preset's
    line = preflight(
        plan("dqn", "CartPole-v1", [0], parameters={**said, "loss": "mse"}, preset=False)
    )
    assert "exploration_final_eps is ignored with noisy" in line
    assert "loss is ignored with distribution=qr" in line
    assert "is ignored" not in preflight(plan("dqn", "CartPole-v1", [0], preset=False))
    for name, given in (
        ("v_min", {"v_min": -5}),
        ("iqn_samples", {"iqn_samples": 4, "distribution": "c51"}),
        ("prioritized_beta", {"prioritized_beta": 0.5}),
        ("hidden_size", {"hidden_size": 32}),
    ):
        line = preflight(plan("dqn", "CartPole-v1", [0], parameters=given))
        assert f"{name} is ignored with" in line
    for agent in ("rainbow", "c51", "per-dqn", "qr-dqn", "iqn", "drqn", "sb3-qrdqn"):
        assert "is ignored" not in preflight(plan(agent, "CartPole-v1", [0])), agent
    own = preflight(plan("sb3-qrdqn", "CartPole-v1", [0], parameters={"n_quantiles": 50}))
    assert "is ignored" not in own
    off = preflight(plan("rainbow", "CartPole-v1", [0], parameters={"distribution": None}))
    assert "is ignored" not in off  # v_min is the preset's, for when it is on
    assert "n_quantiles is ignored" in preflight(
        plan("sb3-dqn", "CartPole-v1", [0], parameters={"n_quantiles": 50})
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('n_timesteps = "many"', "n_timesteps of CartPole-v1 must be a whole number from 1 up"),
        ("n_timesteps = 1e300", "n_timesteps of CartPole-v1 must be a whole number from 1 up"),
        ("n_envs = 0", "n_envs of CartPole-v1 must be a whole number from 1 up"),
        ('epochs = "x"', "epochs of CartPole-v1 must be a number above 0"),
        ("epochs = nan", "epochs of CartPole-v1 must be a number above 0"),
        ("tuned = 3", "tuned of CartPole-v1 must be a table"),
        ("source = 3", "source of CartPole-v1 must be text"),
    ],
)
def test_wrong_facts_of_a_preset_file(line: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'["CartPole-v1"]\n{line}\n')
    with pytest.raises(UserError, match=said):
        plan("dqn", "CartPole-v1", [0], preset=str(file))
