"""Wrappers with several arguments, keywords and tuples, and Gymnasium's own by their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import TINY, here, run_folder
from gymnasium import spaces
from gymnasium.wrappers import RescaleAction, TimeLimit

from rlbench.errors import UserError
from rlbench.experiments import suite
from rlbench.experiments.planning import full_id
from rlbench.learning import named_objects
from rlbench.learning.environments.make import env_factory
from rlbench.learning.environments.wrapper_specs import canonical


class Scaled(gymnasium.ActionWrapper[Any, Any, Any]):
    """Keeps what it was made with."""

    def __init__(self, env: Any, a: Any, b: Any = None, *, c: Any = "c") -> None:
        super().__init__(env)
        self.given = a, b, c

    def action(self, action: Any) -> Any:
        return action


def several(env: Any, *values: Any) -> Any:
    return Scaled(env, values)


def anything(*values: Any) -> Any:
    return Scaled(values[0], values[1:])


def outer(name: str) -> Any:
    return env_factory(name)()


def test_keywords_and_positions_are_one_wrapper() -> None:
    for said in (
        "RescaleAction:min_action=-3,max_action=5", "RescaleAction:-3,5",
        "RescaleAction:-3,max_action=5", "gymnasium.wrappers:RescaleAction:-3,5",
        "RescaleAction: max_action = 5, min_action = -3",
    ):  # fmt: skip
        env = outer(f"Pendulum-v1+{said}")
        assert isinstance(env, RescaleAction)
        assert env.action_space == spaces.Box(-3, 5, (1,), np.float32)
        full = "Pendulum-v1+RescaleAction:min_action=-3,max_action=5"
        assert full_id(f"Pendulum+{said}") == full


def test_bounds_of_each_component() -> None:
    env = outer("Pendulum-v1+RescaleAction:min_action=[-3],max_action=[5]")
    assert env.action_space == spaces.Box(-3, 5, (1,), np.float32)


def test_pairs_of_numbers() -> None:
    pytest.importorskip("cv2")
    for said in ("shape=16x24", "shape=[16,24]", "16x24", "16,24", "[16,24]"):
        name = f"rlbench/Catch84-v0+ResizeObservation:{said}"
        shape = outer(name).observation_space.shape
        assert shape == (16, 24, 1)
        assert full_id(name) == "rlbench/Catch84-v0+ResizeObservation:16,24"


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ("1", (1, None, "c")), ("1,2", (1, 2, "c")), ("1,2,3", ([1, 2, 3], None, "c")),
        ("a=1,c=2", (1, None, 2)), ("b=2,a=1", (1, 2, "c")), ("1,b=2", (1, 2, "c")),
        ("2x3x4,c=[1,2]", ((2, 3, 4), None, [1, 2])), ('"a,b=c",x', ("a,b=c", "x", "c")),
        ('{"k":[1,2]},none', ({"k": [1, 2]}, None, "c")), ("true,c=1e3", (True, None, 1e3)),
    ],
)  # fmt: skip
def test_arguments_of_ones_own(said: str, given: tuple[Any, ...]) -> None:
    assert outer(f"Pendulum-v1+test_wrapper_specs:Scaled:{said}").given == given


@pytest.mark.parametrize(
    "said",
    [
        "mask-velocity", "mask-velocity:1,3", "mask-velocity:1", "blank", "blank:0.3",
        "shuffle-pixels", "atari", "my.module:Class:1,2", "probes:Wrap:b=1,a=2", "TimeLimit:100",
        "FlattenObservation", "no-such", "RescaleAction:1", "RescaleAction:1,2,3,4", "blank:x=1",
    ],
)  # fmt: skip
def test_names_that_stay_as_they_are(said: str) -> None:
    """Those of before keep their digests; what nobody knows is told by whoever makes it."""
    assert canonical(said) == said


@pytest.mark.parametrize(
    ("said", "full"),
    [
        ("mask-velocity:indices=[1,3]", "mask-velocity:1,3"),
        ("blank:probability=0.30", "blank:0.3"),
        ("TimeLimit:max_episode_steps=100", "TimeLimit:100"),
        ("FrameStackObservation:padding_type=zero,stack_size=4",
         "FrameStackObservation:stack_size=4,padding_type=zero"),
        ("AtariPreprocessing:screen_size=[84,84],noop_max=0",
         "AtariPreprocessing:noop_max=0,screen_size=84x84"),
        ('FilterObservation:filter_keys=["position"]', 'FilterObservation:["position"]'),
        ("ClipReward:max_reward=1", "ClipReward:max_reward=1"),
        ("ClipReward:none,1", "ClipReward:max_reward=1"),
        ("blank:0.5", "blank"), ("blank:probability=5e-1", "blank"), ("mask-velocity:none",
         "mask-velocity"),
        ("test_wrapper_specs:Scaled:a=1", "test_wrapper_specs:Scaled:1"),
        ("test_wrapper_specs:Scaled:1,none", "test_wrapper_specs:Scaled:1"),
        ("test_wrapper_specs:Scaled:c=c,b=2.50,a=0", "test_wrapper_specs:Scaled:a=0,b=2.5"),
        ("test_wrapper_specs:Scaled:0,2.5", "test_wrapper_specs:Scaled:a=0,b=2.5"),
        ("test_wrapper_specs:Scaled:[1,2],2.5", "test_wrapper_specs:Scaled:a=[1,2],b=2.5"),
        ("test_wrapper_specs:anything:1,2", "test_wrapper_specs:anything:1,2"),
        ("test_wrapper_specs:Scaled:a=1x2", "test_wrapper_specs:Scaled:1x2"),
        ("test_wrapper_specs:several:1,2", "test_wrapper_specs:several:1,2"),
    ],
)  # fmt: skip
def test_canonical_spelling_is_idempotent(said: str, full: str) -> None:
    assert canonical(said) == full
    assert canonical(full) == full


MISTAKES = {
    "RescaleAction:min_action=-1": "missing a required argument: 'max_action'; it takes min_action",
    "RescaleAction:min_action=-1,low=1": "missing a required argument: 'max_action'",
    "RescaleAction:-1,1,low=1": "keyword argument 'low'; it takes min_action, max_action",
    "RescaleAction:min_action=-1,min_action=2": "min_action is there twice",
    "RescaleAction:min_action=-1,2": "values come before name=value",
    "RescaleActions:1,2": "Did you mean 'RescaleAction'",
    "TimeLimit:max_episode_steps=many": "does not fit Pendulum-v1",
    "test_wrapper_specs:Scaled": "missing a required argument: 'a'; it takes a, b, c",
    "test_wrapper_specs:nothing": "has no 'nothing'",
    "gymnasium.wrappers:JaxToNothing": "no wrapper",
}


@pytest.mark.parametrize("said", MISTAKES)
def test_a_mistaken_wrapper_is_one_line(
    said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["run", "ppo", "--env", "Pendulum-v1", "--out", tmp_path / "out"]
    assert here(*args, "--wrap", said) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert MISTAKES[said] in line
    assert list(tmp_path.iterdir()) == []


def test_a_wrapper_whose_import_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module, what that imports, or what looks its attributes up (as Gymnasium's does)."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lazy_one.py").write_text(
        "def __getattr__(name):\n    if name == 'Late':\n        raise ImportError('no jax')\n"
        "    raise AttributeError(name)\n"
    )
    (tmp_path / "broken_one.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "no_python.py").write_text("def\n")
    for wrap, said in (("lazy_one:Late", "no jax"), ("broken_one:X", "nothing_of_that_name"),
                       ("no_python:X", "syntax")):  # fmt: skip
        for name in (f"CartPole-v1+{wrap}", wrap):
            with pytest.raises(UserError, match=said):
                env_factory(name)


def test_a_run_from_start_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The name is the folder's and the table's; said otherwise it is the same run."""
    args = ["run", "dqn", *TINY, "--eval-episodes", "1", "-n", "30", "--seed", "0",
            "--out", tmp_path, "--env", "CartPole"]  # fmt: skip
    assert here(*args, "--wrap", "TimeLimit:max_episode_steps=7") == 0
    folder = run_folder(tmp_path)
    assert json.loads((folder / "run.json").read_text())["env"] == "CartPole-v1+TimeLimit:7"
    capsys.readouterr()
    assert here(*args, "--wrap", "gymnasium.wrappers:TimeLimit:7") == 0
    assert "all done" in capsys.readouterr().err
    assert here("eval", folder, "--episodes", "3") == 0
    assert "mean return 7.0" in capsys.readouterr().out


def test_suites_and_trust_know_them_too() -> None:
    """A suite names them; a file that does names no module."""
    text = ('name = "x"\nagents = ["random"]\n[[env]]\nid = "Pendulum-v1"\n'
            'wraps = ["RescaleAction:min_action=-1,max_action=1", "TimeLimit:5"]\n')  # fmt: skip
    assert len(suite.loads(text, "x.toml").env[0].wraps) == 2
    with pytest.raises(UserError, match="Did you mean 'TimeLimit'"):
        suite.loads(text.replace("TimeLimit:5", "TimeLimi:5"), "x.toml")
    named_objects.check(
        "x.toml", env="Pendulum-v1+RescaleAction:min_action=-1,max_action=1+TimeLimit:5"
    )
    assert isinstance(outer("Pendulum-v1+TimeLimit:5"), TimeLimit)
