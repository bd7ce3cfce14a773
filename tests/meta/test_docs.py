"""What docs/ and CONTRIBUTING.md name is there: files, functions in files and commands."""

from __future__ import annotations

import contextlib
import itertools
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import click
import grimp
import pytest
from commands import ROOT
from pages import PAGES as DOCS_PAGES
from pages import prose

from rlbench import registry
from rlbench.cli.main import main
from rlbench.errors import UserError

ARCHITECTURE = ROOT / "docs" / "architecture.md"
PRODUCT = [
    file for folder in ("rlbench", "agents", "envs") for file in (ROOT / folder).rglob("*.py")
]
PAGES = [*DOCS_PAGES, ROOT / "CONTRIBUTING.md"]
BY_NAME = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
# Of results/ only what is in the repository.
FOLDERS = (
    "agents",
    "benchmarks",
    "docs",
    "envs",
    "examples",
    "results/reference",
    "rlbench",
    "tests",
)
# `folder/file.py`, `folder/sub/`, and `folder/file.py:name` for a function or class in it.
PATH = re.compile(rf"(?<![\w./-])((?:{'|'.join(FOLDERS)})/[\w./-]*\w/?)(?::(\w+))?")
QUOTED = re.compile(r"`rlbench ([^`]+)`")
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^(?:\S*/bin/)?rlbench (.+)$", re.MULTILINE)
ENVIRONMENT = re.compile("rlbench/[A-Z]")  # an id such as rlbench/Catch-v0, and no path


def paths(text: str) -> list[tuple[str, str]]:
    """Paths in a text, each with the name that follows a colon, or none."""
    return [(path, name) for path, name in PATH.findall(text) if not ENVIRONMENT.match(path)]


def holds(file: Path, name: str) -> bool:
    """Whether a file defines a function, class or constant of this name."""
    pattern = rf"^\s*(?:(?:async )?def|class) {name}\b|^\s*{name}\b[^=\n(]*=[^=]"
    return re.search(pattern, file.read_text("utf-8"), re.MULTILINE) is not None


def mistakes(text: str) -> list[str]:
    """Paths that lead nowhere, and names that their file does not define."""
    wrong = []
    for path, name in paths(text):
        file = ROOT / path
        if not file.exists() or (name and not holds(file, name)):
            wrong.append(f"{path}:{name}" if name else path)
    return wrong


def commands(text: str) -> list[list[str]]:
    """Words after `rlbench` in quoted commands and in blocks of commands."""
    lines = [line for block in BLOCK.findall(text) for line in LINE.findall(block)]
    return [
        shlex.split(" ".join(c.split()), comments=True) for c in [*QUOTED.findall(text), *lines]
    ]


def parse(words: list[str]) -> None:
    """Parse a command without running it.

    Raises:
        UsageError, UserError: it does not parse.
    """
    # What is suppressed: a part of a command, `-n K`, and --help and --version.
    with contextlib.suppress(click.BadParameter, click.BadOptionUsage, click.exceptions.Exit):
        context = main.make_context("rlbench", list(words))
        name, command, rest = main.resolve_command(context, words)
        assert command is not None
        command.make_context(name, rest, parent=context)


@BY_NAME
def test_paths_and_names_exist(page: Path) -> None:
    text = re.sub(
        r"\]\([^)]*\)", "]", prose(page.read_text("utf-8"))
    )  # links have a test of their own
    assert mistakes(text) == []


@BY_NAME
def test_commands_parse(page: Path) -> None:
    for words in commands(page.read_text("utf-8")):
        parse(words)


def test_a_wrong_path_name_or_command_is_found() -> None:
    """Negative control."""
    text = "`agents/dqn.py:loss`, `agents/dqn.py:lost`, `rlbench/lerning/`, agents/dqn.py:DQN."
    assert mistakes(text) == ["agents/dqn.py:lost", "rlbench/lerning/"]
    block = "Do `rlbench run` and\n```bash\n.venv/bin/rlbench list runs  # all\nls\n```\n"
    assert commands(block) == [["run"], ["list", "runs"]]
    for words in (["run", "dqn", "--enviroment", "CartPole-v1"], ["trian", "dqn"]):
        with pytest.raises((click.UsageError, UserError)):
            parse(words)


@pytest.fixture(scope="module")
def imports() -> Callable[[str], set[tuple[str, str]]]:
    """Pairs (importer, imported) of the children of a package, imports in functions included."""
    graph = grimp.build_graph("rlbench", exclude_type_checking_imports=True, cache_dir=None)

    def between(package: str) -> set[tuple[str, str]]:
        children = graph.find_children(package)
        return {
            (one.rpartition(".")[2], other.rpartition(".")[2])
            for one, other in itertools.permutations(children, 2)
            if graph.direct_import_exists(importer=one, imported=other, as_packages=True)
        }

    return between


def reachable(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """All pairs that arrows lead between, in one step or several."""
    while more := {(a, d) for a, b in arrows for c, d in arrows if b == c} - arrows:
        arrows = arrows | more
    return arrows


def test_the_diagram_draws_the_imports(imports: Callable[[str], set[tuple[str, str]]]) -> None:
    """Each arrow is an import, and each import between the drawn packages follows from arrows."""
    arrows = set(
        re.findall(r"^    (\w+) --> (\w+)$", ARCHITECTURE.read_text("utf-8"), re.MULTILINE)
    )
    drawn, real = {name for arrow in arrows for name in arrow}, imports("rlbench")
    assert arrows - real == set()
    assert {(a, b) for a, b in real if {a, b} <= drawn} - reachable(arrows) == set()
    folders = {folder.parent.name for folder in (ROOT / "rlbench").glob("*/__init__.py")}
    assert folders - drawn == {"user_code", "presets", "suites"}


def test_learning_is_layered_as_drawn(imports: Callable[[str], set[tuple[str, str]]]) -> None:
    """No line of the list imports from a line above it."""
    (block,) = re.findall(
        r"^```\n(algorithms.*?)^```", ARCHITECTURE.read_text("utf-8"), re.M | re.S
    )
    names = [re.findall(r"\w+", re.split(r"(?<!,) ", line)[0]) for line in block.splitlines()]
    rank = {name: i for i, line in enumerate(names) for name in line}
    folders = {f.parent.name for f in (ROOT / "rlbench" / "learning").glob("*/__init__.py")}
    assert folders - rank.keys() == set()
    wrong = [(a, b) for a, b in imports("rlbench.learning") if rank.get(a, -1) >= rank.get(b, 99)]
    assert wrong == []


def test_the_glossary_names_what_the_code_names() -> None:
    """The identifiers in the second column occur in the product."""
    rows = re.findall(
        r"^\| [^|]+ \| ([^|]+) \|", (ROOT / "docs/glossary.md").read_text("utf-8"), re.M
    )
    code = "\n".join(file.read_text("utf-8") for file in PRODUCT)
    names = {
        n
        for row in rows
        for span in re.findall(r"`([^`]+)`", row)
        for n in re.findall(r"\w+", span)
    }
    assert len(names) > 50
    assert sorted(names - set(re.findall(r"\w+", code)) - {"json", "npz"}) == []


def test_agents_are_files() -> None:
    """As docs/architecture.md says: a file's name is the agent's."""
    files = {file.stem.replace("_", "-") for file in (ROOT / "agents").glob("[!_]*.py")}
    assert files == set(registry.agents())


def test_pages_hold_no_path_of_a_machine() -> None:
    for page in PAGES:
        assert not re.search(r"(?<![\w.])/(home|root|work|tmp|Users)/", page.read_text("utf-8"))


def promised(text: str) -> dict[str, list[tuple[str, str]]]:
    """The tests that each promise of docs/reliability.md names, as files and functions."""
    section = text.partition("## Promises\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| ")][1:]
    return {
        promise.strip(): re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests)
        for promise, tests in rows
    }


def is_there(file: str, name: str) -> bool:
    path = ROOT / file
    return path.is_file() and f"def {name}(" in path.read_text(encoding="utf-8")


def test_every_promise_names_tests_that_exist() -> None:
    promises = promised((ROOT / "docs" / "reliability.md").read_text(encoding="utf-8"))
    assert len(promises) >= 7
    for promise, tests in promises.items():
        assert tests, promise
        for file, name in tests:
            assert is_there(file, name), f"{promise} names {file}::{name}"
    assert not is_there("tests/storage/test_verifying.py", "test_that_is_not_there")
