"""Pages lead somewhere and hold what can be run, without running it."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import ROOT
from pages import DOCS, PAGES, Block, Budgets, anchors, blocks, broken_links, lines

BY_NAME = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))


def mistakes(text: str) -> list[str]:
    """Blocks of a page that no test could run: code that is none, and what is no command."""
    wrong = []
    for block in blocks(text):
        if block.language == "console":
            wrong += [line for line in lines(block) if not line.startswith("rlbench ")]
            wrong += [line for line in lines(block) if line.startswith("rlbench data get")]
        if block.language == "python" and (block.file or ".py").endswith(".py"):
            try:
                compile(block.text, block.file or "script", "exec")
            except SyntaxError as error:
                wrong.append(str(error))
    return wrong


@BY_NAME
def test_links_and_pictures_are_there(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_of_other_pages_are_there(name: str) -> None:
    assert broken_links(ROOT / name) == []


@BY_NAME
def test_code_compiles_and_console_blocks_hold_commands(page: Path) -> None:
    assert mistakes(page.read_text("utf-8")) == []


@BY_NAME
def test_pages_have_one_title(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text.startswith("# "), "the first line is the title, which the site lists"


def test_mistakes_are_found(tmp_path: Path) -> None:
    """Negative control."""
    text = "```console\nls\nrlbench data get mnist\n```\n```python\ndef\n```\n"
    assert len(mistakes(text)) == 3
    page = tmp_path / "page.md"
    page.write_text("# A `b` c\n[x](#a-b-c) [y](#a) ![z](gone.png) [w](https://x.y)\n", "utf-8")
    assert broken_links(page) == ["#a", "gone.png"]
    assert anchors("# Same\n## Same\n```text\n# no heading\n```\n") == {"same", "same-1"}


def test_short_budgets_keep_names_apart() -> None:
    """A command and the name of its run change together, in scripts too."""
    budgets = Budgets()
    run = "rlbench run dqn --env rlbench/Catch-v0 --seeds 2"
    assert budgets.command(f"{run} -n 30000  # half") == [
        *run.split()[1:],
        "--final-episodes",
        "10",
        "-n",
        "1500",
    ]
    assert budgets.command(f"{run} -n 60000")[-1] == "1600"
    assert budgets.command(run)[-1] == "1700"
    shown = ["show", "dqn-Catch-v0-1600", "dqn-Catch-v0-1500", "dqn-Catch-v0-1700"]
    line = "rlbench show dqn-Catch-v0-60k dqn-Catch-v0-30k dqn-Catch-v0-45k"
    assert budgets.command(line) == shown
    assert budgets.script('learn(60_000); "dqn-Catch-v0-30k"') == 'learn(1600); "dqn-Catch-v0-1500"'
    assert budgets.suite("steps = 20_000\nepochs = 5") == "steps = 1800\nepochs = 1"
    assert Budgets().command("rlbench run ppo --env CartPole-v1 -n 800")[-1] == "800"


def test_a_block_may_be_a_file() -> None:
    assert Block("python", "# my_agent.py\nx = 1\n").file == "my_agent.py"
    assert Block("toml", "# lr.toml\n").file == "lr.toml"
    assert Block("python", "# Load results.\n").file is None
    assert Block("text", "# out.txt\n").file is None
