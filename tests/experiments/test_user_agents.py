"""Agents of the user's, named `package.module:Class`, train like those of the package."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from commands import TINY, here, process

from rlbench import registry

IDEAS = '''
"""Ideas to try."""
from rlbench.agents.dqn import DQN


class Same(DQN):
    """DQN under another name."""


class Short(DQN):
    """DQN that looks less far ahead, and has changed seven times."""

    version = 7

    def loss(self, obs, action, reward, **rest):
        return super().loss(obs, action, reward / 2, **rest)


class Broken(DQN):
    def observe(self, step):
        raise ValueError("not yet")


def function():
    return DQN
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ideas.py").write_text(IDEAS, encoding="utf-8")
    return tmp_path


def rows(folder: Path, agent: str, table: str) -> list[list[object]]:
    """Return seeds, steps and values of a table, whatever parts wrote them."""
    files = folder.glob(f"results/CartPole-v1/{agent}-*/seeds-*/{table}.csv")
    frame = pd.concat([pd.read_csv(file) for file in files])
    if table == "metrics":
        frame = frame[frame["key"].str.startswith("train/")]
    frame = frame.drop(columns=["time"], errors="ignore")
    return frame.sort_values([*frame.columns[:4]]).fillna(0).to_numpy().tolist()


def train(folder: Path, agent: object, *more: object) -> None:
    done = process(
        "run", agent, "--env", "CartPole-v1", "--seeds", 2, "-n", 150,
        "--final-episodes", 5, "--eval-freq", 0, "--no-floor", *TINY, *more, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_subclass_trains_resumes_and_is_evaluated(folder: Path) -> None:
    """A class that changes nothing gives dqn's scores; one with another loss does not."""
    for arguments in (["dqn"], ["ideas:Same", "--jobs", 2], ["ideas:Short"]):
        train(folder, *arguments)
    for table in ("evaluations", "episodes", "metrics"):
        dqn = rows(folder, "dqn", table)
        assert dqn
        assert rows(folder, "ideas_Same", table) == dqn
    assert rows(folder, "ideas_Short", "metrics") != rows(folder, "dqn", "metrics")
    (run,) = folder.glob("results/CartPole-v1/ideas_Short-*")
    assert '"agent_version": 7' in (run / "run.json").read_text("utf-8")
    refused = process("eval", run, cwd=folder)
    assert refused.returncode == 2
    assert "add --trust" in refused.stderr
    again = process("eval", run, "--trust", cwd=folder)
    assert again.returncode == 0
    assert "equal to the recorded" in again.stdout


def test_presets_are_those_of_the_base(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    mine, base = (registry.presets(agent)["CartPole-v1"] for agent in ("ideas:Same", "dqn"))
    assert {**mine, "source": ""} == {**base, "source": ""}
    assert "not tuned for ideas:Same" in mine["source"]


def test_a_way_on_is_named_where_seeds_failed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever mends an agent repeats the command."""
    monkeypatch.chdir(folder)
    run = ["run", "ideas:Broken", "--env", "CartPole-v1", "--seeds", 2, "-n", 60, "--no-floor"]
    assert here(*run, *TINY) == 1
    assert "--again" not in capsys.readouterr().err
    assert here(*run, *TINY) == 1
    line = "seeds 0-1 ended without a score; --again computes all seeds anew"
    assert line in capsys.readouterr().err
    assert here(*run, *TINY, "--again") == 1
    assert "step" in capsys.readouterr().err


def test_they_are_shown_and_listed_with_environments(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert here("show", "ideas:Short") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("ideas:Short: DQN that looks less far ahead")
    assert "\nlearning_rate = " in shown
    assert here("list", "envs", "--agent", "ideas:Same") == 0
    names = [line.partition("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert "CartPole-v1" in names
    assert "Pendulum-v1" not in names


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ("ideas:Nothing", "ideas has no 'Nothing'"),
        ("ideas:", "ideas has no ''"),
        ("ideas:function", "is no subclass of an agent"),
        ("os:system", "is no subclass of an agent"),
        ("nowhere:Agent", "cannot import 'nowhere': ModuleNotFoundError"),
        ("dqnn", "Did you mean"),
    ],
)
def test_wrong_names_are_one_line(
    folder: Path,
    agent: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    assert here("run", agent, "--env", "CartPole-v1") == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_suite_may_name_one(folder: Path) -> None:
    (folder / "mine.toml").write_text(
        'name = "mine"\nagents = ["ideas:Short", "dqn"]\nseeds = 2\n'
        '[[env]]\nid = "CartPole-v1"\nsteps = 300\n',
        encoding="utf-8",
    )
    refused = process("bench", "mine.toml", "--dry-run", cwd=folder)
    assert refused.returncode == 2
    done = process("bench", "mine.toml", "--dry-run", "--trust", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "ideas:Short" in done.stdout
