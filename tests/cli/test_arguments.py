"""Arguments that say nothing, say it in the wrong place, or say too much: seeds, values, words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import TINY, here, run_folder, table

import rlbench
from rlbench.agents import DQN, SB3DQN
from rlbench.config import LARGEST_SEED, parse_value, plain, read_seeds
from rlbench.errors import UserError
from rlbench.experiments.planning import plan
from rlbench.storage.run_folder import RunFolder, bounded, env_folder

RUN: list[object] = ["run", "dqn", "--env", "CartPole-v1", "--eval-episodes", "1", "-q", *TINY]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The only line on stderr."""
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("Error: ")
    return line


@pytest.mark.parametrize(
    ("option", "seeds"), [("--seed", 2**63), ("--seeds", f"{2**63},"), ("--seeds", f"0,{2**80}")]
)
def test_seeds_beyond_64_bits_are_refused(
    option: str, seeds: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here(*RUN, option, seeds, "-n", "20", "--out", tmp_path) == 2
    assert str(LARGEST_SEED) in said(capsys)
    assert list(tmp_path.iterdir()) == []


def test_the_largest_seed_is_read_back(tmp_path: Path) -> None:
    """The bound is where it says: this one trains, and every reader takes it."""
    assert here(*RUN, "--seed", LARGEST_SEED, "-n", "20", "--out", tmp_path) == 0
    assert here("list", "runs", "--out", tmp_path) == 0
    finals = rlbench.load(run_folder(tmp_path)).evaluations.query("phase == 'final'")
    assert set(finals["seed"]) == {LARGEST_SEED}


@pytest.mark.parametrize("seeds", [[LARGEST_SEED + 1], f"{LARGEST_SEED + 1},", 2**70, f"0-{2**64}"])
def test_the_library_refuses_them_too(seeds: Any) -> None:
    with pytest.raises(UserError, match=r"seeds?.*(2\*\*63 - 1|more than)"):
        DQN("CartPole-v1", seeds=seeds)
    with pytest.raises(UserError, match="seed"):
        plan("dqn", "CartPole-v1", seeds)


def test_peers_say_what_their_generators_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stable-Baselines3 seeds 32 bits: refused before anything is written."""
    args = ["run", "sb3-dqn", "--env", "CartPole-v1", "-n", "20", "--out", tmp_path]
    assert here(*args, "--seed", 2**32) == 2
    assert "4294967295" in said(capsys)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="4294967295"):
        SB3DQN("CartPole-v1", seeds=[2**32])
    assert SB3DQN("CartPole-v1", seeds=[2**32 - 1]).seeds == (2**32 - 1,)


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (3, (0, 1, 2)), (np.int64(3), (0, 1, 2)), (np.array(3), (0, 1, 2)), ("3,", (3,)),
        ([3, 7], (3, 7)), (np.array([3, 7], np.uint8), (3, 7)), (range(2, 4), (2, 3)),
        ([np.int32(5)], (5,)), ((i for i in (1, 2)), (1, 2)),
    ],
)  # fmt: skip
def test_seeds_of_any_whole_kind(seeds: Any, expected: tuple[int, ...]) -> None:
    found = read_seeds(seeds)
    assert found == expected
    assert {type(seed) for seed in found} == {int}


@pytest.mark.parametrize(
    "seeds",
    [None, True, 1.0, [0.5], ["a"], [True], [], np.array([1.0]), np.array([[1]]), {}, {1: 2},
     b"3", [1, 1], [-1], object()],
)  # fmt: skip
def test_what_is_no_seed(seeds: Any) -> None:
    with pytest.raises(UserError, match="seed"):
        DQN("CartPole-v1", seeds=seeds)


def test_a_part_of_many_gaps_has_a_name_that_fits(tmp_path: Path) -> None:
    """280 characters of ranges: a bounded name, and the same one when the command is repeated."""
    given = list(range(10**18, 10**18 + 28, 2))
    seeds = ",".join(map(str, given))
    assert here(*RUN, "--seeds", seeds, "-n", "2", "--out", tmp_path) == 0
    folder = run_folder(tmp_path)
    (part,) = RunFolder(folder).parts()
    assert len(part.path.name) <= 255
    assert part.read()["seeds"] == given
    assert here(*RUN, "--seeds", seeds, "-n", "2", "--out", tmp_path) == 0  # all done: none is new
    assert len(RunFolder(folder).parts()) == 1
    finals = [row for row in table(folder, "evaluations") if row["phase"] == "final"]
    assert {int(row["seed"]) for row in finals} == set(given)


def test_folder_names_are_bounded_and_short_ones_stay() -> None:
    assert bounded("seeds-0-4") == "seeds-0-4"
    assert bounded("x" * 255) == "x" * 255
    long, other = bounded("x" * 256), bounded("x" * 257)
    assert len(long) == 255
    assert long != other
    wide = env_folder("module:" + "\u00e9" * 200)  # two bytes a letter
    assert len(wide.encode()) <= 255
    assert wide != env_folder("module:" + "\u00e9" * 201)


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        (["-p", "net_arch="], "net_arch="), (["-p", "gamma= "], "gamma="), (["--out", ""], "--out"),
        (["--seeds", ""], "--seeds"), (["--env-kwargs="], "--env-kwargs"),
        (["--wrap", ""], "--wrap"), (["--encoder", ""], "--encoder"),
        (["--env-kwargs", "gravity="], "gravity="),
    ],
)  # fmt: skip
def test_an_empty_shell_variable(
    extra: list[str], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert here(*RUN, *extra) == 2
    line = said(capsys)
    assert "empty shell variable" in line
    assert name in line
    assert list(tmp_path.iterdir()) == []


def test_no_layers_are_said_by_an_empty_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the message offers is a linear network, and `plain` writes what is read back."""
    assert here(*RUN, "-p", "net_arch=", "--out", tmp_path) == 2
    assert "net_arch=[]" in said(capsys)
    args = [*RUN, "-p", "net_arch=[]", "--seed", "0", "-n", "20", "--out", tmp_path]
    assert here(*args) == 0
    assert rlbench.load(run_folder(tmp_path)).runs["network"].tolist() == ["mlp"]
    assert plain(()) == "[]"
    assert parse_value(plain(())) == []
    assert DQN("CartPole-v1", net_arch=[]).config.net_arch == ()
    with pytest.raises(UserError, match=r"\[\] means no layers"):
        DQN("CartPole-v1", net_arch="")


@pytest.mark.parametrize(
    ("said_as", "option"),
    [
        ("n_envs=8", "--n-envs"), ("n-envs=8", "--n-envs"), ("seeds=3", "--seeds"),
        ("total_timesteps=10", "-n"), ("n_timesteps=10", "--n-timesteps"),
        ("device=cpu", "--device"), ("env=Acrobot-v1", "--env"), ("epochs=2", "--epochs"),
        ("eval_freq=10", "--eval-freq"),
        ("eval_episodes=2", "--eval-episodes"), ("wrap=atari", "--wrap"), ("out=x", "--out"),
    ],
)  # fmt: skip
def test_options_are_no_parameters(
    said_as: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here(*RUN, "-p", said_as, "--out", tmp_path) == 2
    assert said(capsys).endswith(f"use the option {option}")
    assert list(tmp_path.iterdir()) == []
