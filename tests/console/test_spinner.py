"""The sign of life while nothing else is printed."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
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


def test_its_words_change(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("rlbench.console.spinner.PAUSE", 0.001)
    monkeypatch.setenv("TERM", "xterm")
    with spinner("long words") as say:
        time.sleep(0.1)
        say("short")
        time.sleep(0.1)
    before, erase, after = capsys.readouterr().err.partition("\x1b[K")
    assert before.startswith("| long words\r/ long words\r")
    assert erase
    assert after.count("short\r") > 1
    assert after.count("long words\r") <= 1  # a frame that was being written


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
