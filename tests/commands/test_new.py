"""`rlbench new`: files that work at once, and the commands that it names."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from commands import here, process
from gymnasium.utils.env_checker import check_env

from rlbench.experiments.preflight import environment_notes
from rlbench.experiments.run import Run
from rlbench.registry import agent_class

KINDS = {"agent": "MyAgent", "env": "MyEnv", "encoder": "MyNet"}
NAMES = {"agent": "my-agent", "env": "my_env", "encoder": "my-net.py"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(kind: str, capsys: pytest.CaptureFixture[str]) -> tuple[Path, list[list[str]]]:
    """Write a file; its path, and the commands that are named."""
    assert here("new", kind, NAMES[kind]) == 0
    first, *commands = capsys.readouterr().out.splitlines()
    path = Path(first.partition(" ")[0])
    return path, [shlex.split(line)[1:] for line in commands]


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_is_short_and_never_overwritten(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = written(kind, capsys)
    text = path.read_text("utf-8")
    assert len(text.splitlines()) < 80
    assert max(map(len, text.splitlines())) <= 100
    assert "#" in text
    assert f"class {KINDS[kind]}(" in text
    compile(text, str(path), "exec")
    path.write_text("mine", "utf-8")
    assert here("new", kind, NAMES[kind]) == 2
    assert "is left as it is" in capsys.readouterr().err
    assert path.read_text("utf-8") == "mine"
    assert here("new", kind, "my-other") == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("3d", "can be no name of a file in Python"),
        ("class", "can be no name of a file in Python"),
        ("../agent", "can be no name of a file in Python"),
        ("random", "there is a module random already"),
    ],
)
def test_names_that_would_not_work(
    name: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("new", "agent", name) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert here("new", "agent", "my-random" if name == "random" else "my-agent") == 0


def test_the_environment_passes_both_checkers(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib
    import sys

    written("env", capsys)
    sys.path.insert(0, str(folder))
    try:
        check_env(importlib.import_module("my_env").MyEnv(), skip_render_check=True)
        config = agent_class("dqn").Config.build("dqn", {})
        run = Run(agent="dqn", env="my_env:MyEnv", config=config, total_timesteps=10, seeds=(0,))
        assert environment_notes(run) == []
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("my_env", None)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_commands_that_it_names_work(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The agent passes every check of the doctor; the environment and the encoder are learned."""
    _, commands = written(kind, capsys)
    assert [command[0] for command in commands] == ["doctor", "run"][-len(commands) :]
    for command in commands:
        quiet = ["-q", "--no-floor"] if command[0] == "run" else []
        done = process(*command, *quiet, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
