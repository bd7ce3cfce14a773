"""Names of runs: made of run.json, and found by what a person types."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from commands import ROOT
from store_files import write_part, write_run

from rlbench.config import parse_steps
from rlbench.errors import NoRun, UserError
from rlbench.storage.run_folder import find_run
from rlbench.storage.run_names import run_name, steps_text


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (0, "0"),
        (1_500, "1500"),
        (2_000, "2k"),
        (2_500, "2.5k"),
        (21_580, "21580"),
        (50_000, "50k"),
        (100_000, "100k"),
        (250_165, "250165"),
        (1_000_000, "1M"),
        (1_500_000, "1.5M"),
        (1_000_660, "1000660"),
        (15_400_000, "15.4M"),
        (2**63 - 1, str(2**63 - 1)),
    ],
)
def test_steps_keep_all_their_digits(steps: int, text: str) -> None:
    assert steps_text(steps) == text
    assert parse_steps(text) == steps or steps > 2**53  # floats are exact up to there


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ("CartPole-v1", "dqn-CartPole-v1-50k"),
        ("CartPole-v1+mask-velocity+blank:0.3", "dqn-CartPole-v1+mask-velocity+blank:0.3-50k"),
        ("rlbench/Catch-v0", "dqn-Catch-v0-50k"),
        ("mine.worlds:Maze", "dqn-Maze-50k"),
        ("mine.worlds:mine/Maze-v2", "dqn-Maze-v2-50k"),
    ],
)
def test_a_name_drops_the_namespace(env: str, name: str) -> None:
    assert run_name({"agent": "dqn", "env": env, "total_timesteps": 50_000}) == name


def test_a_run_of_a_class_is_named_as_it_was_started(tmp_path: Path) -> None:
    """With its module; in the name of the folder some characters are replaced."""
    agent = "my_package.agents:My_DQN"
    run = write_run(tmp_path, agent="my_package.agents_My_DQN")
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"agent": agent}))
    assert find_run(f"{agent}-CartPole-v1-50k", tmp_path) == run


def test_runs_of_the_reference_have_names() -> None:
    files = (ROOT / "results" / "reference").glob("*/*/run.json")
    names = {run_name(json.loads(file.read_text("utf-8"))) for file in files}
    assert {"dqn-CartPole-v1-50k", "ppo-CartPole-v1+mask-velocity-400k"} < names
    assert "supervised-Classify-MNIST-v0-550k" in names


def written_at(run: Path, seconds: int) -> None:
    """Set the time at which the files of a run were written."""
    for file in run.rglob("*.json"):
        os.utime(file, (seconds, seconds))


def test_a_run_is_found_by_its_name(tmp_path: Path) -> None:
    short = write_run(tmp_path, total_timesteps=1_500)
    long = write_run(tmp_path, digest="11112222", total_timesteps=1_500_000)
    catch = write_run(tmp_path, "rlbench_Catch-v0_blank_0.3", digest="33334444")
    record = json.loads((catch / "run.json").read_text())
    (catch / "run.json").write_text(json.dumps(record | {"env": "rlbench/Catch-v0+blank:0.3"}))
    for text in ("dqn-CartPole-v1-1500", "dqn-CartPole-v1-1.5k", "dqn-CartPole-v1-1_500"):
        assert find_run(text, tmp_path) == short
    assert find_run("dqn-CartPole-v1-1.5M", tmp_path) == long
    assert find_run("dqn-Catch-v0+blank:0.3-50k", tmp_path) == catch
    assert find_run("dqn-3f2a91bc", tmp_path) == short  # as before
    for text in ("dqn-CartPole-v1-15k", "dqn-CartPole-v1", "dqn-CartPole-v1-", "dqn-Catch-v0-50k"):
        with pytest.raises(NoRun, match=r"no run .* in .*\(rlbench list runs\)"):
            find_run(text, tmp_path)
    with pytest.raises(NoRun, match="Did you mean 'dqn-CartPole-v1-1500'"):
        find_run("dqn-cartpole-v1-1500", tmp_path)


def test_a_long_name_of_an_env_is_found(tmp_path: Path) -> None:
    """Its folder's name is cut."""
    env = "CartPole-v1+" + "+".join(f"blank:0.{k}" for k in range(80))
    run = write_run(tmp_path, "CartPole-v1_blank_0.1...deadbeef")
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"env": env}))
    assert find_run(f"dqn-{env}-50k", tmp_path) == run


def test_a_shared_name_is_refused_with_what_differs(tmp_path: Path) -> None:
    """And every way out that the message names leads to one run."""
    rates = {"aaaa0000": 0.0023, "bbbb0000": 0.001, "cccc0000": 0.001}
    runs = {
        digest: write_run(
            tmp_path, digest=digest, n_envs=2 if digest == "cccc0000" else 1,
            config={"learning_rate": rate, "net_arch": [64, 64], "double": True},
            changed={"learning_rate": rate},
        )
        for digest, rate in rates.items()
    }  # fmt: skip
    with pytest.raises(UserError) as error:
        find_run("dqn-CartPole-v1-50k", tmp_path)
    assert not isinstance(error.value, NoRun)
    assert str(error.value) == (
        "'dqn-CartPole-v1-50k' is the name of 3 runs: aaaa0000 (n_envs=1, learning_rate=0.0023); "
        "bbbb0000 (n_envs=1, learning_rate=0.001); cccc0000 (n_envs=2, learning_rate=0.001): "
        "give one as aaaa0000, or dqn-CartPole-v1-50k:learning_rate=0.0023"
    )
    for text, digest in {
        "aaaa0000": "aaaa0000",
        "dqn-CartPole-v1-50k:learning_rate=0.0023": "aaaa0000",
        "dqn-CartPole-v1-50k:n_envs=2": "cccc0000",
        "dqn-CartPole-v1-50k:learning_rate=1e-3,n_envs=1,net_arch=64,64,double=true": "bbbb0000",
    }.items():
        assert find_run(text, tmp_path) == runs[digest]
    with pytest.raises(UserError, match=r"is the name of 2 runs: bbbb0000 \(n_envs=1\); cccc0000"):
        find_run("dqn-CartPole-v1-50k:learning_rate=0.001", tmp_path)
    with pytest.raises(NoRun):
        find_run("dqn-CartPole-v1-50k:learning_rat=0.001", tmp_path)


def test_a_parameter_that_older_runs_lack_differs_where_it_was_changed(tmp_path: Path) -> None:
    config = {"gamma": 0.99}
    write_run(tmp_path, digest="aaaa0000", config=config)
    write_run(tmp_path, digest="bbbb0000", config=config | {"noisy": True, "tau": 1.0},
              changed={"noisy": True})  # fmt: skip
    with pytest.raises(UserError, match=r"2 runs: aaaa0000; bbbb0000 \(noisy=true\): give one"):
        find_run("dqn-CartPole-v1-50k", tmp_path)


def test_copies_of_a_run_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    here, there = write_run(tmp_path), write_run(tmp_path, "copy_CartPole-v1")
    record = (here / "run.json").read_text()
    (there / "run.json").write_text(record)
    with pytest.raises(UserError, match=f"2 runs: {here}; {there}: give one as {here}$"):
        find_run("dqn-CartPole-v1-50k", tmp_path)
    assert find_run(str(there), tmp_path) == there


def test_latest_was_started_or_written_last_and_is_no_floor(tmp_path: Path) -> None:
    floor = write_run(tmp_path, agent="random", digest="00000000", total_timesteps=0)
    written_at(floor, 900)
    assert find_run("latest", tmp_path) == floor
    started, trained = write_run(tmp_path), write_run(tmp_path, digest="11112222")
    write_part(trained, {0: {0: [1.0]}})
    written_at(trained, 500)
    written_at(started, 600)
    assert find_run("latest", tmp_path) == started
    os.utime(trained / "seeds-0" / "part.json", (700, 700))
    assert find_run("latest", tmp_path) == trained
    forest = write_run(tmp_path, agent="random-forest", digest="33334444")  # no random policy
    written_at(forest, 800)
    assert find_run("latest", tmp_path) == forest


def test_a_damaged_run_does_not_hide_others(tmp_path: Path) -> None:
    run, damaged = write_run(tmp_path), write_run(tmp_path, digest="11112222")
    (damaged / "run.json").write_text("{")
    assert find_run("dqn-CartPole-v1-50k", tmp_path) == run
    with pytest.raises(UserError, match=r"11112222.run\.json is corrupt"):
        find_run("dqn-CartPole-v1-51k", tmp_path)
    with pytest.raises(NoRun):  # it cannot be that
        find_run("dqn-Acrobot-v1-50k", tmp_path)


@pytest.mark.parametrize("text", ["latest", "dqn-CartPole-v1-50k"])
def test_an_empty_store_says_so(text: str, tmp_path: Path) -> None:
    for out in (tmp_path, tmp_path / "none"):
        with pytest.raises(NoRun, match=f"no run '{text}': there is none in {out} yet"):
            find_run(text, out)
