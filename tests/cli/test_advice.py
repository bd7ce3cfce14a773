"""Ways out that messages name: they exist, and they have been tried."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from advice import FILES, RAISED, World
from commands import ROOT, TINY, here
from gymnasium import spaces

from rlbench import registry
from rlbench.cli import main
from rlbench.errors import UserError
from rlbench.experiments.preflight import able
from rlbench.learning.environments.facts import EnvFacts
from rlbench.learning.environments.source import EnvSource


def messages() -> Iterator[str]:
    """What is raised anywhere, with `{}` for what is filled in."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in RAISED:
                for text in ast.walk(node):
                    if isinstance(text, ast.JoinedStr):
                        yield "".join(
                            str(v.value) if isinstance(v, ast.Constant) else "{}"
                            for v in text.values
                        )
                    elif isinstance(text, ast.Constant) and isinstance(text.value, str):
                        yield text.value


def commands(group: click.Group = main.main, words: str = "rlbench") -> Iterator[Any]:
    for name, command in group.commands.items():
        yield f"{words} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{words} {name}")


def test_commands_options_and_parameters_that_messages_name_exist() -> None:
    known = dict(commands())
    options = {o for c in known.values() for p in c.params for o in (*p.opts, *p.secondary_opts)}
    options |= {"--help", "--version", "--head"}  # the last one is of `ray start`
    fields = {f for a in registry.agents() for f in registry.agent_class(a).Config.model_fields}
    found = {"rlbench": 0, "--": 0, "-p": 0}
    for text in messages():
        for word in re.findall(r"\brlbench ([a-z]+)\b(?=[ `,)]|$)", text):
            if f"rlbench {word}" in known:
                found["rlbench"] += 1
            else:
                assert word in {"reads"}, text
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text):
            found["--"] += 1
            assert flag in options, text
        for name in re.findall(r"-p ([a-z_]+)=", text):
            found["-p"] += 1
            assert name in fields, text
        for extra in re.findall(r"rlbench\[([a-z0-9]+)\]", text):
            assert re.search(rf"^{extra} = ", (ROOT / "pyproject.toml").read_text(), re.M), text
    assert min(found["rlbench"], found["--"]) > 10  # or nothing was looked at


ACTIONS = {
    "Discrete": spaces.Discrete(2),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary(2),
    "Box": spaces.Box(-1, 1, (2,), np.float32),
    "unbounded": spaces.Box(-np.inf, np.inf, (2,), np.float32),
}


@pytest.mark.parametrize("kind", ACTIONS)
def test_agents_that_can_are_built(kind: str) -> None:
    """Each that is named takes the environment; of those that are not, none does."""
    env = type("Other", (World,), {"action_space": ACTIONS[kind]})
    named = able(EnvFacts.of(env()))
    assert "random" in named
    assert ("knn" in named, "supervised" in named) == (False, False)
    for name in registry.agents():
        cls = registry.agent_class(name)
        if name in named:
            cls(env)
        else:
            with pytest.raises(UserError):
                cls(env)


def test_data_agents_are_named_on_images() -> None:
    named = able(EnvSource("rlbench/Classify-Digits-v0").facts)
    assert {"knn", "supervised", "dqn"} <= set(named)
    assert "sac" not in named


def test_an_agent_that_a_message_names_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--env", "Pendulum-v1", "-n", "20", "--seed", "0", "--eval-episodes", "1", "-q"]
    assert here("run", "dqn", *args, *TINY, "--out", tmp_path) == 2
    line = capsys.readouterr().err
    names = line.split("Agents that can: ")[1].strip().split(", ")
    assert {"ppo", "sac"} <= set(names)
    assert here("run", names[0], *args, "--out", tmp_path) == 0
