"""What `learn` prints with `verbose=1`, and that nothing else changes."""

from __future__ import annotations

import functools
import logging
import re
import shlex
import statistics
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import here

from rlbench import registry
from rlbench.agents import DQN, PPO, SB3DQN, Supervised
from rlbench.rows import Evaluation, Metric, SeedEnded

CARTPOLE, DIGITS = "CartPole-v1", "rlbench/Classify-Digits-v0"
SMALL: dict[str, Any] = {"learning_starts": 10, "batch_size": 8, "buffer_size": 100,
                         "net_arch": [8], "device": "cpu"}  # fmt: skip
SHORT = ["--eval-episodes", "1", "--final-episodes", "1", "--no-floor"]
MAKERS: dict[str, Any] = {
    "dqn": functools.partial(DQN, CARTPOLE, seeds=2, **SMALL),
    "ppo": functools.partial(PPO, CARTPOLE, seeds=2, n_steps=8, n_envs=1, device="cpu"),
    "supervised": functools.partial(Supervised, DIGITS, batch_size=8, net_arch=[8], device="cpu"),
    "sb3-dqn": functools.partial(SB3DQN, CARTPOLE, seeds=2, **SMALL),
}


def tables(text: str) -> list[dict[str, str]]:
    """Each printed table, as {group/name: value}."""
    found: list[dict[str, str]] = []
    group, inside = "", False
    for line in text.splitlines():
        if line and set(line) == {"-"}:
            inside = not inside
            if inside:
                found.append({})
                group = ""
        elif inside:
            _, name, value, _ = line.split("|")
            if name.startswith("    "):
                found[-1][group + name.strip()] = value.strip()
            elif name.strip().endswith("/"):
                group = name.strip()
            else:
                found[-1][name.strip()] = value.strip()
    return found


def weights(agent: Any) -> list[bytes]:
    def leaves(value: Any) -> list[bytes]:
        if isinstance(value, dict):
            return [leaf for key in sorted(value) for leaf in leaves(value[key])]
        return [np.asarray(value).tobytes()]

    state = agent.state()
    return leaves(state["weights"] if "weights" in state else state["learner"])


@pytest.mark.parametrize("name", MAKERS)
def test_tables_are_printed_and_numbers_stay(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Silent without `verbose`; with it, the same rows and weights, and the tables say them."""
    rows: dict[int, list[Any]] = {}
    ends: dict[int, list[bytes]] = {}
    said = ""
    for verbose in (0, 1):
        rows[verbose] = []
        agent = MAKERS[name](verbose=verbose)
        agent.learn(400, rows[verbose].append, eval_freq=200, eval_episodes=2, log_interval=50)
        ends[verbose] = weights(agent)
        out, err = capsys.readouterr()
        said = out
        if not verbose:
            assert (out, err) == ("", "")

    def timeless(given: list[Any]) -> list[Any]:
        kept = [r for r in given if isinstance(r, Metric) and not r.key.startswith("time/")]
        evaluated = [r._replace(time=0.0) for r in given if isinstance(r, Evaluation)]
        ended = [r for r in given if isinstance(r, SeedEnded)]
        return [repr(row) for row in (*kept, *evaluated, *ended)]

    assert timeless(rows[0]) == timeless(rows[1])
    assert ends[0] == ends[1]

    first, *_ = said.splitlines()
    seeds = agent.seeds
    assert first.startswith(f"{name} on {DIGITS if name == 'supervised' else CARTPOLE}: seed")
    assert first.endswith("device cpu")
    assert [f"seed {seed}: done after 400 steps" in said for seed in seeds] == [True] * len(seeds)

    found = tables(said)
    training = [t for t in found if "time/fps" in t]
    evaluated = [t for t in found if "eval/mean_reward" in t]
    turns = len(seeds) if name == "sb3-dqn" else 1  # its seeds train one after the other
    assert [t["time/total_timesteps"] for t in training] == ["200", "400"] * turns
    assert [t["time/total_timesteps"] for t in evaluated] == ["0", "200", "400"] * turns
    assert all(("eval/accuracy" in t) == (name == "supervised") for t in evaluated)
    assert all("train/loss" in t for t in training)

    last = [r for r in rows[1] if isinstance(r, Metric) and r.key == "rollout/ep_rew_mean"
            and r.step == 400 and r.seed in ((seeds[-1],) if turns > 1 else seeds)]  # fmt: skip
    shown = float(training[-1]["rollout/ep_rew_mean"].split(" ")[0])
    assert shown == pytest.approx(statistics.fmean(r.value for r in last), abs=0.05)
    if len(last) > 1:
        low, high = sorted(r.value for r in last)
        given = re.findall(r"[\d.]+", training[-1]["rollout/ep_rew_mean"])[1:]
        assert [float(g) for g in given] == pytest.approx([low, high], abs=0.05)


def test_log_interval_counts_hundredths(capsys: pytest.CaptureFixture[str]) -> None:
    """20 tables if nobody says; also where steps do not divide by 100, and on a second `learn`."""
    agent = DQN(CARTPOLE, verbose=1, **SMALL)
    cases = [(None, 100, 20), (1, 100, 100), (25, 150, 4), (5, 320, 20), (100, 37, 1),
             (100, 2, 1), (101, 100, 0)]  # fmt: skip
    for interval, total, count in cases:
        agent.learn(total, log_interval=interval)
        assert len(tables(capsys.readouterr().out)) == count


def test_a_callback_that_stops_and_a_seed_that_fails(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    agent = DQN(CARTPOLE, seeds=2, verbose=True, **SMALL)
    agent.learn(100, lambda row: row.step < 40)
    said = capsys.readouterr().out
    assert "seed 0: stopped by the callback at step 40" in said
    assert "seed 1: stopped by the callback at step 40" in said
    again = DQN.load(agent.save(tmp_path / "a.npz"), CARTPOLE, verbose=1)
    assert (again.verbose, DQN.load(tmp_path / "a.npz").verbose) == (1, 0)
    PPO(CARTPOLE, n_steps=8, n_envs=1, learning_rate=1e30, max_grad_norm=1e30, verbose=1).learn(100)
    assert re.search(r"seed 0: (diverged|failed): .* at step", capsys.readouterr().out)


@pytest.mark.parametrize("env", [CARTPOLE, gymnasium.make(CARTPOLE), "CartPole"])
def test_the_hint_at_tuned_parameters_can_be_followed(
    env: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    DQN(env, verbose=1, **SMALL).learn(5)
    (hint,) = [line for line in capsys.readouterr().out.splitlines() if "not in use" in line]
    assert hint.startswith("tuned parameters for CartPole-v1")
    run, show = re.findall(r"rlbench (run .+?) trains with them, rlbench (.+) lists them", hint)[0]
    assert here(*shlex.split(run), "-n", "60", *SHORT, "--out", tmp_path) == 0
    assert "preset CartPole-v1" in "".join(capsys.readouterr())
    assert here(*shlex.split(show)) == 0
    assert f"preset {CARTPOLE}" in capsys.readouterr().out


def test_no_hint_with_the_preset_in_use_or_without_one(capsys: pytest.CaptureFixture[str]) -> None:
    fields = DQN.Config.model_fields
    tuned = {k: v for k, v in registry.presets("dqn")[CARTPOLE].items() if k in fields}
    DQN(CARTPOLE, verbose=1, **tuned).learn(5)
    DQN("FrozenLake-v1", verbose=1, **SMALL).learn(5)
    SB3DQN(CARTPOLE, settings="defaults", verbose=1).learn(5)
    assert "not in use" not in capsys.readouterr().out


def test_without_verbose_the_hint_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "rlbench"):
        DQN(CARTPOLE, **SMALL).learn(5)
    (record,) = caplog.records
    assert (record.levelname, "not in use" in record.getMessage()) == ("INFO", True)
