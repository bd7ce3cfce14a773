"""Pages of docs/agents/: one for each agent, with tables that fit the code, and their pictures."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from commands import ROOT

from rlbench import registry

PAGES = sorted((ROOT / "docs" / "agents").glob("*.md"))
BY_NAME = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def script(name: str) -> ModuleType:
    """A script of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT / "docs"))  # as where scripts are run, for those beside them
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "docs"))
    return module


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return script("agent_tables")


def stale(text: str, tables: ModuleType, kinds: set[str]) -> list[str]:
    """Markers of a page below which something else would be written today."""
    found = tables.BLOCK.finditer(text)
    return [m[1] for m in found if m[2] in kinds and tables.written(m[0]) != m[0]]


@BY_NAME
def test_tables_fit_the_code(page: Path, tables: ModuleType) -> None:
    """`python docs/agent_tables.py` would change nothing; scores are tested elsewhere."""
    kinds = set(tables.WRITERS) - {"scores"}
    assert stale(page.read_text("utf-8"), tables, kinds) == []


@pytest.mark.slow
@BY_NAME
def test_scores_fit_the_rows(page: Path, tables: ModuleType) -> None:
    assert stale(page.read_text("utf-8"), tables, {"scores"}) == []


def test_a_table_that_does_not_fit_is_found(tables: ModuleType) -> None:
    """Negative control."""
    text = tables.written("<!-- parameters knn -->\n<!-- end -->\n")
    assert "| `n_neighbors` | `3` | integer ≥ 1 |" in text
    assert stale(text, tables, {"parameters"}) == []
    assert len(stale(text.replace("`3`", "`5`"), tables, {"parameters"})) == 1


def test_bounds_are_said_of_numbers_that_may_be_none(tables: ModuleType) -> None:
    text = tables.parameters("ppo")
    assert "| `clip_range_vf` | `none` | number > 0 or none |" in text
    assert "| `learning_rate` | `0.0003` | number > 0 |" in text
    assert "`sequence_length`" in text.partition("<details>")[2]


def test_every_agent_is_in_the_index_and_has_a_page_or_a_section() -> None:
    """Each with what it can do, a place for its parameters, and commands to try."""
    index = (ROOT / "docs/agents/index.md").read_text("utf-8")
    for agent in registry.agents():
        rows = re.findall(
            rf"^\|.*\[{agent}\]\(([\w-]+\.md)(#[\w-]+)?\).*\| ([^|]+) \|", index, re.M
        )
        assert len(rows) == 1, agent
        name, section, _ = rows[0]
        text = (ROOT / "docs/agents" / name).read_text("utf-8")
        assert section.removeprefix("#") in ("", agent)
        assert not section or f"\n## {agent}\n" in text
        assert f"(`{agent}`)" in text.partition("\n")[0] or section
        marker = "fixed" if agent.startswith("sb3-") else "parameters"
        assert f"<!-- {marker} {agent} -->" in text
        assert len(re.findall("^rlbench ", text, re.MULTILINE)) == 3


def test_actions_in_the_index_are_those_that_agents_take() -> None:
    lines = (ROOT / "docs/agents/index.md").read_text("utf-8").splitlines()
    for agent in registry.agents():
        (line,) = [line for line in lines if line.startswith("|") and f"[{agent}](" in line]
        named = set(re.findall(r"\b(Discrete|MultiDiscrete|MultiBinary|Box)\b", line.split("|")[2]))
        assert named == {kind.__name__ for kind in registry.agent_class(agent).action_spaces}


@BY_NAME
def test_formulas_are_what_forges_and_the_site_show(page: Path) -> None:
    """Blocks of one formula without empty lines, and no macro that a forge refuses."""
    text = page.read_text("utf-8")
    for formula in re.findall(r"^```math\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        assert formula.count("\n") == 1, formula
        assert formula.count("{") - formula.count(r"\{") == formula.count("}") - formula.count(
            r"\}"
        )
        assert formula.count(r"\big(") == formula.count(r"\big)")
    assert r"\operatorname" not in text
    outside = re.sub(r"^```.*?^```$|`[^`]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    assert outside.count("$") % 2 == 0


def test_pictures_are_made_by_the_script_and_small() -> None:
    """What pages show is there, each picture has a function, and each function its picture."""
    images, figures = ROOT / "docs" / "images", script("figures").FIGURES
    shown = {
        name
        for page in PAGES
        for name in re.findall(r"images/([\w-]+)\.png", page.read_text("utf-8"))
    }
    assert shown == {name for name in figures if name.startswith("agents-")}
    for name in shown:
        assert 2_000 < (images / f"{name}.png").stat().st_size < 60_000, name
