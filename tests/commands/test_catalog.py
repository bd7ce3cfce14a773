"""`rlbench list`: what there is, chosen by filters, as a table and as lines for other programs."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import gymnasium
import pytest
from commands import here
from gymnasium import spaces
from rich.cells import cell_len
from rich.console import Console

from rlbench import registry
from rlbench.commands import catalog
from rlbench.commands.listing import Filters
from rlbench.learning.environments.make import registered
from rlbench.learning.environments.text import is_text

KINDS = ["agents", "envs", "presets", "wrappers", "encoders", "suites"]


def lines(*args: object, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    assert here("list", *args) == 0
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit(what: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=width, force_terminal=True, color_system=None, file=io.StringIO())
    monkeypatch.setattr(catalog, "new_console", lambda: console)
    with console.capture() as capture:
        catalog.list_items(what, Path("nowhere"), Filters())
    assert max(map(cell_len, capture.get().splitlines())) <= width


@pytest.mark.parametrize(("what", "fields"), list(zip(KINDS, [4, 6, 7, 2, 2, 5], strict=True)))
def test_lines_have_the_same_fields(
    what: str, fields: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {len(line) for line in lines(what, capsys=capsys)} == {fields}


def test_kinds_and_action_spaces_of_agents() -> None:
    """Each agent has one kind, and the action spaces of its class."""
    listed = [(name, given) for groups in catalog.AGENTS.values()
              for given, names in groups.items() for name in names.split()]  # fmt: skip
    plugins = {name for name, text in registry.agents().items() if text.startswith("from ")}
    assert sorted(name for name, _ in listed) == sorted(set(registry.agents()) - plugins)
    for name, given in listed:
        try:
            kinds = registry.agent_class(name).action_spaces
        except ImportError:  # its package is not installed
            continue
        assert given == ", ".join(kind.__name__ for kind in kinds), name


def test_kinds_of_environments() -> None:
    """What is listed is what environments have that can be made here."""
    registered("")
    made = 0
    for name, spec in list(gymnasium.registry.items()):
        seen, acts = catalog._kinds(spec)
        assert acts or not name.startswith("rlbench/"), name
        other_data = "MNIST" in name or ("ale_py" in str(spec.entry_point) and "Pong" not in name)
        if not acts or other_data or catalog._family(spec) == "MuJoCo":
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                env = gymnasium.make(name, disable_env_checker=True)
            except (ImportError, gymnasium.error.Error):
                continue
        assert type(env.action_space).__name__ == acts, name
        assert kind(env.observation_space) == seen, name
        made += 1
        env.close()
    assert made > 20


def kind(space: spaces.Space[object]) -> str:
    if isinstance(space, spaces.Box):
        return "image" if len(space.shape) == 3 else "vector"
    if isinstance(space, spaces.Dict):
        if "desired_goal" in space.spaces:
            return "vectors with goals"
        texts = any(is_text(part) for part in space.spaces.values())
        return "image and text" if texts else "image and vector"
    return "category" if isinstance(space, spaces.Discrete) else "categories"


def test_search_text(capsys: pytest.CaptureFixture[str]) -> None:
    """All words, in any case, in any field."""
    names = [line[0] for line in lines("envs", "POLE", capsys=capsys)]
    assert "CartPole-v1" in names
    assert all("pole" in name.lower() for name in names)
    assert [line[0] for line in lines("envs", "rlbench", "cue", capsys=capsys)] == [
        "rlbench/Cue-v0"
    ]


def test_filters(capsys: pytest.CaptureFixture[str]) -> None:
    names = [line[0] for line in lines("agents", "--env", "Pendulum-v1", capsys=capsys)]
    assert {"sac", "td3", "ppo", "random"} <= set(names)
    assert not {"dqn", "supervised"} & set(names)
    continuous = [line[0] for line in lines("envs", "--agent", "sac", capsys=capsys)]
    assert "Pendulum-v1" in continuous
    assert "CartPole-v1" not in continuous
    found = lines("presets", "--agent", "*qn", "--env", "Catch-v0", capsys=capsys)
    assert {line[1] for line in found} == {"rlbench/Catch-v0"}
    assert "dqn" in {line[0] for line in found}
    assert "ppo" not in {line[0] for line in found}


def test_an_empty_list_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out in (tmp_path, tmp_path / "none"):
        assert here("list", "runs", "--out", out) == 0
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err == (
            f"no runs in {out} yet: make one with `rlbench run dqn --env CartPole-v1`\n"
        )
    assert here("list", "envs", "no such thing") == 0
    assert "no envs with no such thing: see all with rlbench list envs" in capsys.readouterr().err


def test_runs_by_filters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["-n", "0", "--final-episodes", "2", "--quiet", "--out", tmp_path]
    assert here("run", "random", "--env", "CartPole-v1", "--seeds", "2", *args) == 0
    assert here("run", "random", "--env", "rlbench/Catch-v0", "--seed", "3", *args) == 0

    def names(*more: str) -> list[str]:
        return [line[0] for line in lines("runs", *more, "--out", tmp_path, capsys=capsys)]

    both = ["random-Catch-v0-0", "random-CartPole-v1-0"]  # own environments first
    assert names() == both
    assert names("--env", "CartPole-v1") == names("pole") == both[1:]
    assert names("--env", "Catch-v0") == names("--env", "rlbench/*") == both[:1]
    assert names("--status", "done", "--agent", "rand*") == both
    assert names("--status", "failed") == []
    assert here("tag", both[0], "paper", "--out", tmp_path) == 0
    capsys.readouterr()
    assert names("--tag", "paper") == both[:1]
    assert names("--tag", "pap") == []
    first = lines("runs", "--out", tmp_path, capsys=capsys)[1]
    assert first[1:4] == ["done", "2", "2"]
    assert float(first[5]) <= float(first[4]) <= float(first[6])
    assert first[7] == "0"
    assert Path(first[13]).is_dir()
