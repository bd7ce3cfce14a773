"""The sign of life while modules are imported."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from commands import environment

from rlbench.console.spinner import spinner


def on_terminal(*args: str, cwd: Path) -> str:
    """What `rlbench ARGS` writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "rlbench", *args]
    child = subprocess.Popen(command, cwd=cwd, env=environment(), stdout=theirs, stderr=theirs)
    os.close(theirs)
    text = b""
    try:
        while piece := os.read(ours, 1000):
            text += piece
    except OSError:  # the other end is closed
        pass
    child.wait(timeout=60)
    os.close(ours)
    return text.decode()


MISTAKE = ("run", "dqn", "--env", "CartPole-v0815")


def test_it_turns_on_a_terminal_and_leaves_nothing(tmp_path: Path) -> None:
    text = on_terminal(*MISTAKE, cwd=tmp_path)
    assert text.startswith("| loading\r/ loading\r- loading\r\\ loading\r")
    before, erase, after = text.rpartition("\x1b[K")
    assert erase
    assert "Error" not in before
    assert after.startswith("Error: no environment 'CartPole-v0815'")
    assert "loading" not in after


def test_it_is_silent_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    with spinner():
        pass
    assert capsys.readouterr() == ("", "")


def test_mistakes_in_options_are_told_before_torch_is_imported(tmp_path: Path) -> None:
    """Which takes a second or two."""
    code = (
        "import sys\n"
        "from rlbench.cli.main import main\n"
        "for words in ('dqnn --env x', 'dqn --env x --seeds nine', 'dqn --env x -n many'):\n"
        "    try:\n"
        "        main(['run', *words.split()])\n"
        "    except SystemExit as end:\n"
        "        print(end.code, 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["2 False"] * 3
    assert done.stderr.count("Error: ") == 3
