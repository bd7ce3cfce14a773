"""What the README says is done as it stands, with fewer steps."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from readme_commands import blocks

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::FutureWarning"}

SHORT = ["run", "dqn", "--env", "CartPole-v1", "--seeds", "2", "-n", "1500", "--quiet"]


def run(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(
        arguments, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout


def do(block: str, folder: Path) -> None:
    """Run the lines of a block in their order, with digests and fewer steps."""

    def with_digest(word: str) -> str:
        for run_name in re.findall(r"[\w.-]+/[\w-]+-DIGEST", word):
            pattern = f"results/{run_name.replace('DIGEST', '*')}"
            found = next(folder.glob(pattern)).relative_to(folder / "results")
            word = word.replace(run_name, found.as_posix())
        return word

    for _, *words in [shlex.split(line, comments=True) for line in block.splitlines()]:
        short = ["-n", "1500"] if words[0] in ("run", "ablate") else []
        command = [sys.executable, "-m", "rlbench", *map(with_digest, words), *short]
        assert run(command, folder)


@pytest.mark.slow
def test_console_commands_work_in_order(tmp_path: Path) -> None:
    block = blocks("console")[0]
    assert len(block.splitlines()) >= 10
    do(block, tmp_path)
    seeds = sorted(part.name for part in tmp_path.glob("results/CartPole-v1/dqn-*/seeds-*"))
    assert seeds == ["seeds-0-9", "seeds-10-11"]


@pytest.mark.slow
def test_other_console_commands_work_after_them(tmp_path: Path) -> None:
    run([sys.executable, "-m", "rlbench", *SHORT], tmp_path)
    for block in blocks("console")[1:]:
        do(block, tmp_path)
    assert (tmp_path / "results/benches/smoke/report.html").stat().st_size > 50_000


@pytest.mark.slow
def test_python_snippets_run(tmp_path: Path) -> None:
    run([sys.executable, "-m", "rlbench", *SHORT], tmp_path)
    snippets = blocks("python")
    assert len(snippets) == 4
    for snippet in snippets:
        run([sys.executable, "-c", re.sub(r"50_000", "1_500", snippet)], tmp_path)


def test_set_up_commands_use_the_constraints() -> None:
    commands = blocks("bash")
    assert len(commands) == 2
    assert all("-c constraints.txt" in command for command in commands)
    assert "rlbench run dqn --env CartPole-v1" in commands[0]
    assert "pytest" in commands[1]


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "DECISIONS.md"])
def test_texts_hold_no_path_of_a_machine(name: str) -> None:
    assert not re.search(r"/(home|root|work|tmp|Users)/", (ROOT / name).read_text("utf-8"))


def test_pictures_are_there_and_nothing_is_left_to_fill_in() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)
    assert not re.search(r"\b(TODO|TBD|RESULTS|SPEED|TENX\w*)\b", text)
