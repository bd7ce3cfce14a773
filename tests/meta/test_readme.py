"""What the README says is done as it stands, with fewer steps."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pages
import pytest
from pages import Budgets, lines
from readme_commands import README, blocks

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::FutureWarning"}

# What the README's reader has.
FILES = {
    "my_envs.py": "from gymnasium.envs.classic_control import CartPoleEnv\n\n\n"
    "class MyEnv(CartPoleEnv):\n    pass\n",
    "my_agents.py": "from rlbench.agents.dqn import DQN\n\n\nclass MyDQN(DQN):\n    pass\n",
}


def run(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(
        arguments, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_tasks_and_python_work_in_order(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    budgets = Budgets()
    blocks_ = pages.blocks(README.read_text("utf-8"))
    start, _, tasks, script = [b for b in blocks_ if b.language in ("bash", "console", "python")]
    commands = [line for line in [*lines(start), *lines(tasks)] if line.startswith("rlbench")]
    assert len(commands) == 6
    for command in commands:
        assert run([sys.executable, "-m", "rlbench", *budgets.command(command)], tmp_path)
    assert (tmp_path / "film.gif").stat().st_size > 1_000
    run([sys.executable, "-c", budgets.script(script.text)], tmp_path)
    assert (tmp_path / "agent.npz").exists()


def test_set_up_commands_use_the_constraints() -> None:
    commands = blocks("bash")
    assert len(commands) == 2
    assert all("pip install -c constraints.txt" in command for command in commands)
    assert commands[0].endswith("rlbench run dqn --env CartPole-v1\n")
    assert ". .venv/bin/activate" in commands[0]
    assert commands[1].splitlines()[1].startswith("python -m pytest")


def test_it_is_a_screen_and_a_half() -> None:
    """Numbers and details stand in docs/."""
    assert len(README.read_text("utf-8").splitlines()) < 100


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "DECISIONS.md"])
def test_texts_hold_no_path_of_a_machine(name: str) -> None:
    assert not re.search(r"/(home|root|work|tmp|Users)/", (ROOT / name).read_text("utf-8"))


def test_pictures_are_there_and_nothing_is_left_to_fill_in() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)
    assert not re.search(r"\b(TODO|TBD|RESULTS|SPEED|TENX\w*)\b", text)
