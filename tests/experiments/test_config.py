"""Parameters: what text means, what is refused and how, and what a digest stands for."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from rlbench import config
from rlbench.config import Float, Int, IntList
from rlbench.errors import UserError
from rlbench.experiments.planning import plan
from rlbench.experiments.run import Run
from rlbench.learning.algorithms.dqn_config import DQNConfig
from rlbench.storage.run_folder import env_folder, seed_ranges


class Small(config.Config):
    """One field of each kind."""

    count: Int = 3
    rate: Float = Field(0.5, gt=0, lt=1)
    most: Float | None = 10.0
    on: bool = False
    widths: IntList = (64, 64)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e5", 1e5), ("64", 64), ("-3", -3), ("0.5", 0.5), ("true", True), ("True", True),
        ("false", False), ("none", None), ("None", None), ("null", None), ("adam", "adam"),
        ("[1, 2]", [1, 2]), ('"64"', "64"), (" 7 ", 7), ("64,64", "64,64"), ("", ""),
    ],
)  # fmt: skip
def test_parameter_text_is_parsed_as_json_or_text(text: str, value: Any) -> None:
    found = config.parse_value(text)
    assert (found, type(found)) == (value, type(value))


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans()))
def test_numbers_survive_being_text(value: Any) -> None:
    found = config.parse_value(json.dumps(value))
    assert (found, type(found)) == (value, type(value))


@given(st.text())
def test_any_text_is_a_value_and_never_infinite(text: str) -> None:
    value = config.parse_value(text)
    assert not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize("name", ["rate", "most", "count"])
def test_what_is_no_number_is_refused(text: str, name: str) -> None:
    with pytest.raises(UserError, match=name):
        Small.build("small", {name: config.parse_value(text)})


@pytest.mark.parametrize("name", ["count", "rate", "most", "widths"])
@pytest.mark.parametrize("value", [True, False])
def test_bool_is_no_number(name: str, value: bool) -> None:
    with pytest.raises(UserError, match=f"{name}.*number"):
        Small.build("small", {name: value})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"widths": 64}, (64,)), ({"widths": "64,32"}, (64, 32)), ({"widths": [1, 2]}, (1, 2)),
        ({"widths": []}, ()), ({"widths": "8,"}, (8,)),
    ],
)  # fmt: skip
def test_lists_are_parsed_from_text_numbers_and_lists(
    given: dict[str, Any], expected: tuple[int, ...]
) -> None:
    assert Small.build("small", given).widths == expected


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rat": 0.5}, r"small has no parameter 'rat'\. Did you mean 'rate'\?"),
        ({"rate": 1}, "rate=1: should be less than 1"),
        ({"rate": "fast"}, "rate=fast: should be a valid number"),
        ({"count": 1.5}, "count=1.5"),
        ({"on": "maybe"}, "on=maybe"),
        ({"widths": "8,x"}, "widths"),
        ({"widths": ""}, r"widths=: the value is empty; \[\] means no layers"),
        ({"count": "x" * 500}, r"count=x+\.\.\."),
    ],
)
def test_a_mistaken_parameter_is_one_short_line(values: dict[str, Any], said: str) -> None:
    """One short line with the agent, the parameter, what was given, and where to look."""
    with pytest.raises(UserError, match=said) as error:
        Small.build("small", values)
    text = str(error.value)
    assert text.startswith("small")
    assert "\n" not in text
    assert len(text) < 200
    assert "rlbench show small" in text


def test_a_configuration_cannot_be_changed() -> None:
    made = Small.build("small", {})
    with pytest.raises(ValueError, match="frozen"):
        made.count = 4


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("5", (0, 1, 2, 3, 4)), ("0-2", (0, 1, 2)), ("3,7,11", (3, 7, 11)), ("7-7", (7,)),
        ("0-2,10", (0, 1, 2, 10)), (" 1 , 4 ", (1, 4)),
    ],
)  # fmt: skip
def test_seed_text_is_parsed(text: str, seeds: tuple[int, ...]) -> None:
    assert config.parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["0", "", "-1", "a", "1-", "-", "3-1", "1,1", "0-3,2", "1.5", "1e2"]
)
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="seed"):
        config.parse_seeds(text)


def test_the_hint_about_a_single_seed_is_true() -> None:
    """What the message offers for seed 0 alone is accepted."""
    for text in ("0", "3-1"):
        with pytest.raises(UserError) as error:
            config.parse_seeds(text)
        offered = re.search(r"(\S+) means seed 0\b", str(error.value))
        assert offered is not None
        assert config.parse_seeds(offered[1]) == (0,)


@given(st.sets(st.integers(0, 300), min_size=2))
def test_seed_ranges_are_read_back(seeds: set[int]) -> None:
    text = seed_ranges(sorted(seeds))
    assert config.parse_seeds(text) == tuple(sorted(seeds))


@pytest.mark.parametrize(
    ("text", "steps"),
    [("5e4", 50_000), ("50_000", 50_000), ("0", 0), ("2.5k", 2_500), ("50k", 50_000),
     ("1.5M", 1_500_000), ("1.1M", 1_100_000)],
)  # fmt: skip
def test_step_text_is_parsed(text: str, steps: int) -> None:
    assert config.parse_steps(text) == steps


@pytest.mark.parametrize("text", ["1.5", "-1", "many", "", "true", "none", "inf", "1e999", "[1]",
                                  "k", "1.5555k", "5kM", "1e3k", "5m"])  # fmt: skip
def test_steps_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="steps"):
        config.parse_steps(text)


def test_assignments_and_json_objects_are_parsed() -> None:
    assert config.parse_assignments(["a=1", "b-c=x=y", " d = none "]) == {
        "a": 1, "b_c": "x=y", "d": None,
    }  # fmt: skip
    for wrong in ("a", "=1", ""):
        with pytest.raises(UserError, match="key=value"):
            config.parse_assignments([wrong])
    assert config.parse_json_object('{"g": 5}', "x") == config.parse_json_object("g=5", "x")


@pytest.mark.parametrize(
    "text", ['{"gravity": NaN}', '{"gravity": 1e999}', "gravity=nan", "gravity=1e999"]
)
def test_environments_get_no_nan_either(text: str) -> None:
    """Arguments of an environment are parameter text too: inf and nan are refused."""
    with pytest.raises(UserError, match="gravity"):
        config.parse_json_object(text, "--env-kwargs")


def dqn(**values: Any) -> DQNConfig:
    return DQNConfig.build("dqn", values)


def digest(agent_config: config.Config | None = None, **changes: Any) -> str:
    base: dict[str, Any] = {
        "total_timesteps": 1000,
        "seeds": (0,),
        "config": agent_config or dqn(),
    }
    return config.digest(Run("dqn", "CartPole-v1", **{**base, **changes}).identity())


def test_digest_ignores_what_moves_no_number() -> None:
    """Seeds, device, variant's name, preset; and an option named with its default."""
    plain = digest()
    others: list[dict[str, Any]] = [
        {"seeds": (1, 2)}, {"device": "cpu"}, {"variant": "x"}, {"preset": "CartPole-v1"},
        {"n_envs": 1}, {"eval_episodes": 10}, {"env_kwargs": {}}, {"eval_freq": None},
    ]  # fmt: skip
    for same in others:
        assert digest(**same) == plain
    assert digest(dqn(gamma=0.99, net_arch=None, encoder="auto")) == plain


def test_digest_moves_with_everything_else() -> None:
    """Every parameter of DQN, and every option of a run, has digests of its own."""
    other = {
        "learning_rate": 1e-3, "lr_schedule": "linear", "optimizer": "sgd", "weight_decay": 0.1,
        "max_grad_norm": None, "loss": "mse", "double": False, "gamma": 0.9, "buffer_size": 10,
        "batch_size": 3, "learning_starts": 5, "train_freq": 2, "gradient_steps": -1,
        "target_update_interval": 9, "tau": 0.5, "exploration_initial_eps": 0.9,
        "exploration_final_eps": 0.1, "exploration_fraction": 0.5,
        "net_arch": (32,), "activation": "tanh", "encoder": "lstm", "cnn": "small",
        "ortho_init": True, "hidden_size": 32, "memory_horizon": 20, "frame_stack": 4,
        "sequence_length": 4, "burn_in": 2, "normalize_obs": True, "head_arch": (16,),
        "dropout": 0.5, "n_steps": 3, "dueling": True, "noisy": True, "noisy_sigma": 0.4,
        "distribution": "qr", "n_atoms": 11, "v_min": -1.0, "v_max": 1.0, "n_quantiles": 5,
        "kappa": 0.5, "iqn_samples": 4, "iqn_target_samples": 4, "iqn_acting_samples": 4,
        "iqn_embedding": 8, "channels": "last", "prioritized": True, "prioritized_alpha": 0.5,
        "layer_norm": True, "prioritized_beta": 0.5, "prioritized_eps": 1e-3, "compile": True,
        "record": False, "precision": "tf32", "action_masks": False,
        "cnn_width": 2.0, "num_layers": 2, "attention_window": 9, "attention_heads": 2,
        "n_sampled_goal": 2, "goal_selection_strategy": "final", "her": True,
    }  # fmt: skip
    assert other.keys() >= DQNConfig.model_fields.keys(), "a new parameter: add a value for it"
    digests = [digest()]
    digests += [digest(dqn(**{k: v})) for k, v in other.items()]
    digests += [
        digest(total_timesteps=1001), digest(n_envs=2), digest(eval_freq=10), digest(eval_freq=0),
        digest(eval_episodes=3), digest(final_episodes=5), digest(env_kwargs={"a": 1}),
        digest(env_kwargs={"a": 2}),
    ]  # fmt: skip
    assert len(set(digests)) == len(digests)


def test_a_new_option_does_not_orphan_old_results() -> None:
    """Digests are of what was changed: a field added later with a default leaves them."""

    class Larger(Small):
        extra: Float = 0.25

    for values in ({}, {"rate": 0.25}):
        assert Larger.build("x", values).changed() == Small.build("x", values).changed()
    assert Larger.build("x", {"extra": 0.5}).changed() == {"extra": 0.5}


def test_digest_of_a_known_run_stays() -> None:
    """Folders of published runs keep their names: change this only with the agent's version."""
    identity = plan("dqn", "CartPole-v1", [0], total_timesteps=1000, preset=False).identity()
    assert identity == {
        "agent": "dqn",
        "agent_version": 1,
        "env": "CartPole-v1",
        "total_timesteps": 1000,
    }
    assert config.digest(identity) == "69c0ae42"
    assert config.digest({"b": [1, 2], "a": "x"}) == config.digest({"a": "x", "b": [1, 2]})
    assert config.digest({"a": 1}) == "015abd7f"


def test_environment_names_become_folder_names() -> None:
    assert env_folder("my.module:Env-v1") == "my.module_Env-v1"
    assert env_folder("ALE/Pong-v5") == "ALE_Pong-v5"
