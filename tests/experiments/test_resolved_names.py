"""Identity holds what names resolve to: versions, data, and the agents of a teacher."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from commands import TINY, here, run_folder

from rlbench.errors import UserError
from rlbench.experiments.planning import full_id, plan
from rlbench.learning.environments.make import env_factory

MODULE = """
import gymnasium
gymnasium.register("ManyOfMine-v0", "probes:Noise")
gymnasium.register("ManyOfMine-v1", "probes:Noise", max_episode_steps=3)
gymnasium.register("mine/Other-v0", "probes:Noise")
from probes import Noise as Game
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module of the user's that registers two versions of one environment."""
    (tmp_path / "many_of_mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("many_of_mine", None)
    for name in ("ManyOfMine-v0", "ManyOfMine-v1", "mine/Other-v0"):
        gymnasium.registry.pop(name, None)


@pytest.mark.parametrize(
    ("said", "full"),
    [
        ("many_of_mine:ManyOfMine", "many_of_mine:ManyOfMine-v1"),
        ("many_of_mine:ManyOfMine-v0", "many_of_mine:ManyOfMine-v0"),
        ("many_of_mine:mine/Other+blank", "many_of_mine:mine/Other-v0+blank"),
        ("many_of_mine:Game", "many_of_mine:Game"),
        ("many_of_mine:Nothing", "many_of_mine:Nothing"),
        ("no_such_module:Nothing", "no_such_module:Nothing"),
        ("gymnasium:CartPole", "CartPole-v1"),
        ("rlbench.envs:rlbench/Catch", "rlbench/Catch-v0"),
    ],
)
def test_names_get_their_version(said: str, full: str, mine: Path) -> None:
    assert full_id(said) == full


def test_two_versions_are_two_runs(mine: Path) -> None:
    """A name without a version is the newest one's; another one is another run."""
    name = "many_of_mine:ManyOfMine"

    def identity(env: str) -> dict[str, object]:
        return plan("dqn", env, [0], total_timesteps=9).identity()

    newest = identity(name)
    assert newest == identity(f"{name}-v1")
    assert newest != identity(f"{name}-v0")
    gymnasium.registry.pop("ManyOfMine-v1")
    assert identity(name) == identity(f"{name}-v0")


def test_arguments_as_registered_are_none(mine: Path) -> None:
    """Data under its one name, and what the registration says already, said again."""
    named = plan("majority", "rlbench/Classify-Digits-v0", [0])
    same = plan("majority", "rlbench/Classify-Digits-v0", [0], env_kwargs={"data": "Digits"})
    assert same.identity() == named.identity()
    np.savez(mine / "own.npz", x_train=np.zeros((9, 8, 8), np.uint8), y_train=np.arange(9) % 3)
    paths = ["own.npz", "./own.npz", str(mine / "own.npz")]
    runs = [
        plan("majority", "rlbench/Classify-v0", [0], env_kwargs={"data": path}) for path in paths
    ]
    assert runs[0].env_kwargs == {"data": str(mine / "own.npz")}
    assert len({str(run.identity()) for run in runs}) == 1
    lake = plan("random", "FrozenLake-v1", [0], env_kwargs={"map_name": "4x4"})
    assert lake.env_kwargs == {}
    lake = plan("random", "FrozenLake-v1", [0], env_kwargs={"map_name": "8x8"})
    assert lake.env_kwargs == {"map_name": "8x8"}
    other = plan("random", "many_of_mine:Game", [0], total_timesteps=5, env_kwargs={"data": "x"})
    assert other.env_kwargs == {"data": "x"}


def test_two_modules_with_one_id(
    mine: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first keeps it, the second is refused by name; its class still serves. An id of
    Gymnasium's that a module takes is told."""
    line = "import gymnasium\nfrom probes import Noise\ngymnasium.register('{}', Noise{})\n"
    (mine / "first_one.py").write_text(line.format("Same-v0", ""))
    (mine / "second_one.py").write_text(line.format("Same-v0", ", max_episode_steps=3"))
    (mine / "third_one.py").write_text(line.format("CartPole-v1", ""))
    monkeypatch.setattr(gymnasium.envs.registration, "registry", dict(gymnasium.registry))
    monkeypatch.setattr(gymnasium, "registry", gymnasium.envs.registration.registry)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium's own
        for name in ("first_one:Same-v0", "second_one:Same-v0", "second_one:Same", "first_one:Same",
                     "second_one:Noise"):  # fmt: skip
            if "second_one:S" in name:
                with pytest.raises(UserError, match="'first_one' has registered Same"):
                    env_factory(name)
            else:
                env_factory(name)().close()
        assert gymnasium.registry["Same-v0"].max_episode_steps is None
        assert not caplog.text
        env_factory("third_one:CartPole-v1")
        assert "third_one registers CartPole-v1 anew" in caplog.text
    for name in ("first_one", "second_one", "third_one"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_a_teacher_stays_the_same(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However its path is written; and more seeds are refused once it holds other agents."""
    out = ["--out", "results", "--quiet", "--eval-freq", "0"]
    dqn = ["run", "dqn", "--env", "CartPole-v1", "-n", "60", *TINY, *out]
    assert here(*dqn, "--seeds", "1") == 0
    source = run_folder(mine / "results").relative_to(mine)
    clone = ["run", "clone", "--env", "CartPole-v1", "-n", "60", *out, "-p", "n_steps=8"]
    clone += ["--n-envs", "1", "-p", "batch_size=8"]
    for seed, path in enumerate([source, f"./{source}", mine / source]):
        assert here(*clone, "--seed", seed, "--from", path) == 0
    parts = sorted(p.name for p in run_folder(mine / "results", "clone").glob("seeds-*"))
    assert parts == ["seeds-0", "seeds-1", "seeds-2"]
    copy = mine / "copy"
    shutil.copytree(source, copy)
    assert here(*dqn, "--seeds", "2") == 0
    assert here(*clone, "--seed", "3", "--from", source) == 2
    assert "learned from other agents" in capsys.readouterr().err
    shutil.rmtree(source)
    shutil.copytree(copy, source)
    assert here(*clone, "--seed", "3", "--from", source) == 0
