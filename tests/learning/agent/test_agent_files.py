"""Saved agents: they train on as if nothing had been, and loading executes nothing."""

from __future__ import annotations

import json
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import lockstep
import numpy as np
import pytest
import torch
from lockstep import SHORT, differences
from probes import Mixed, Noise, Pixels, Rooms

from rlbench.agents import DQN, PPO, Random
from rlbench.errors import UserError


def make(env: Any = "CartPole-v1", **parameters: Any) -> DQN:
    return DQN(env, device="cpu", **{**SHORT, **parameters})


@pytest.mark.parametrize("env", ["CartPole-v1", Noise, Rooms, Pixels, Mixed])
@pytest.mark.parametrize("kind", [DQN, PPO])
def test_saved_and_loaded_it_trains_on_as_if_nothing_had_been(
    kind: Any, env: Any, tmp_path: Path
) -> None:
    """Replay, moments, target, streams: bit-equal before and after 100 more steps."""
    agent = lockstep.make(kind, env, 2).learn(100)
    loaded = kind.load(agent.save(tmp_path / "agent.npz"), env, device="cpu")
    assert loaded.config == agent.config
    assert loaded.num_timesteps == 100
    assert differences(agent.state(), loaded.state()) == []
    assert differences(agent.learn(100).state(), loaded.learn(100).state()) == []
    bare = kind.load(tmp_path / "agent.npz", device="cpu")
    assert bare.observation_space == agent.observation_space
    with pytest.raises(UserError, match="env="):
        bare.learn(10)


def test_loading_into_another_environment_is_refused(tmp_path: Path) -> None:
    file = make(Noise).save(tmp_path / "agent.npz")
    with pytest.raises(UserError, match="observation_space"):
        DQN.load(file, partial(Noise, width=5))
    with pytest.raises(UserError, match="action_space"):
        DQN.load(file, partial(Noise, actions=4))
    with pytest.raises(UserError, match="no seed 3"):
        DQN.load(file, seed=3)
    with pytest.raises(UserError, match="not random"):
        Random.load(file)


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


def test_loading_executes_nothing(tmp_path: Path) -> None:
    """A pickle, alone or inside an `.npz`, is refused; control: unpickling it does explode."""
    target, bomb = tmp_path / "exploded", tmp_path / "bomb"
    bomb.write_bytes(pickle.dumps(Bomb(target)))
    hidden = tmp_path / "hidden.npz"
    np.savez(hidden, tree=np.array([Bomb(target)], dtype=object))
    torch.save({"agent": Bomb(target)}, tmp_path / "torch.pt")
    plain = make().save(tmp_path / "agent.npz")
    with np.load(plain) as saved:
        entries = {name: saved[name] for name in saved.files}
    entries[sorted(entries)[0]] = np.array([Bomb(target)], dtype=object)
    np.savez(tmp_path / "mixed.npz", **entries)
    for name in ("bomb", "hidden.npz", "torch.pt", "mixed.npz"):
        with pytest.raises(UserError):
            DQN.load(tmp_path / name)
        assert not target.exists(), name
    pickle.loads(bomb.read_bytes())
    assert target.exists()


def damaged(file: Path) -> dict[str, bytes]:
    data = file.read_bytes()
    middle = len(data) // 2
    return {
        "empty": b"",
        "cut": data[:middle],
        "without end": data[:-30],
        "noise": bytes(range(256)) * 40,
        "text": b"agent",
        "bit flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
    }


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    agent = make().learn(60)
    file = agent.save(tmp_path / "agent.npz")
    for data in damaged(file).values():
        file.write_bytes(data)
        with pytest.raises(UserError, match=r"agent\.npz"):
            DQN.load(file)
    with pytest.raises(UserError, match="does not exist"):
        DQN.load(tmp_path / "nowhere.npz")
    with pytest.raises(UserError):
        DQN.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: {"format": 99, "tree": text["tree"]},
        lambda text: {"format": 1},
        lambda text: [],
        lambda text: {"format": 1, "tree": {}},
        lambda text: {"format": 1, "tree": {"agent": {"agent": "dqn"}}},
        lambda text: {"format": 1, "tree": {"agent": text["tree"]["agent"]}},
        lambda text: {"format": 1, "tree": {**text["tree"], "state": {"__array__": "/no"}}},
    ],
    ids=["format", "no tree", "list", "empty", "half", "no state", "no array"],
)
def test_foreign_files_are_refused(change: Any, tmp_path: Path) -> None:
    """An `.npz` with a tree that is not an agent's: one line, not a KeyError."""
    file = make().save(tmp_path / "agent.npz")
    with np.load(file) as saved:
        entries = {name: saved[name] for name in saved.files}
    entries["tree"] = np.array(json.dumps(change(json.loads(str(entries["tree"])))))
    np.savez(file, **entries)
    with pytest.raises(UserError):
        DQN.load(file)


def test_saving_replaces_the_file_as_a_whole(tmp_path: Path) -> None:
    """Nothing else is left behind, also where saving fails."""
    agent = make()
    agent.save(tmp_path / "agent.npz")
    agent.save(tmp_path / "agent.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["agent.npz"]
    with pytest.raises(UserError, match="File name too long"):
        agent.save(tmp_path / f"{300 * 'a'}.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["agent.npz"]


class Refusing(gymnasium.Env[Any, Any]):
    """An environment that cannot be made today."""

    def __init__(self) -> None:
        raise ValueError("the simulator is not running")


def test_errors_of_others_are_not_the_files(tmp_path: Path) -> None:
    """A good file is not called damaged where the environment or the device is at fault."""
    file = DQN("CartPole-v1", device="cpu").save(tmp_path / "good.npz")
    with pytest.raises(Exception, match="the simulator is not running") as caught:
        DQN.load(file, env=Refusing, device="cpu")
    assert "damaged" not in str(caught.value)
    with pytest.raises(Exception, match=r"device|string") as caught:
        DQN.load(file, device=3)  # type: ignore[arg-type]
    assert "damaged" not in str(caught.value)
    assert DQN.load(file, device="cpu").seeds == (0,)


def rewritten(file: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The file with its tree changed and everything else, checksums included, in order."""
    with np.load(file) as saved:
        arrays = {name: saved[name] for name in saved.files}
    tree = json.loads(str(arrays.pop("tree")))
    change(tree["tree"])
    target = file.with_name("changed.npz")
    np.savez(target, tree=np.array(json.dumps(tree)), **arrays)
    return target


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree["agent"].pop("config"),
        lambda tree: tree["agent"].update(seeds=[]),
        lambda tree: tree["agent"].update(seeds=["0"]),
        lambda tree: tree["agent"].update(n_envs=-1),
        lambda tree: tree["agent"].update(total_timesteps="many"),
        lambda tree: tree["agent"]["observation_space"].update(shape=[10**6, 10**6]),
        lambda tree: tree["agent"]["observation_space"].update(type="Ball"),
        lambda tree: tree["agent"].update(agent=["dqn"]),
        lambda tree: tree["state"].clear(),
        lambda tree: tree.update(state={"__array__": ["a"]}),
        lambda tree: tree.clear(),
    ],
)
def test_what_is_wrong_in_a_file_is_its_own(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    file = rewritten(DQN("CartPole-v1", device="cpu").save(tmp_path / "good.npz"), change)
    with pytest.raises(UserError, match="damaged") as caught:
        DQN.load(file, device="cpu")
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_only_what_is_named_is_read(tmp_path: Path) -> None:
    """Entries that nobody asked for take no memory, however much they claim."""
    file = DQN("CartPole-v1", device="cpu").save(tmp_path / "good.npz")
    claim = {"descr": "|u1", "fortran_order": False, "shape": (2**28,)}
    archive = zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED)
    with archive, archive.open("bomb.npy", "w") as entry:
        np.lib.format.write_array_header_1_0(entry, claim)
        for _ in range(256):
            entry.write(bytes(2**20))
    tracemalloc.start()
    assert DQN.load(file, device="cpu").seeds == (0,)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**27
