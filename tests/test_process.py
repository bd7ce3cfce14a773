"""Importing rlbench changes no setting of the process; the command line sets what it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import environment

from rlbench.process import set_mkl_rounding

CONFIGURED = {"torch": 1, "blas": 1, "rounding": "AUTO", "malloc": True}
LEFT_ALONE = {"torch": 3, "blas": 3, "rounding": None, "malloc": False}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is looked at")


def variables(**others: str) -> dict[str, str]:
    """The environment of a process in which nothing is set yet."""
    ours = {k: v for k, v in environment().items() if not k.endswith("NUM_THREADS")}
    ours.pop("MKL_CBWR", None)
    return {**ours, **others}


def recorded(folder: Path, *arguments: object) -> list[tuple[int, dict[str, Any]]]:
    """Each process of `rlbench ARGUMENTS`, and its settings when it first made an environment."""
    file = folder / "recorded"
    file.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "rlbench", *map(str, arguments)],
        cwd=folder, env=variables(RECORDED=str(file), RLBENCH_OUT="out"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in file.read_text().splitlines()]


def test_imports_leave_the_process_alone() -> None:
    """Threads, variables and malloc, also of an agent that has trained; and negative control."""
    code = (
        "import json, os, threadpoolctl, torch\n"
        "from process_settings import Recorder, settings\n"
        "torch.set_num_threads(3)\n"
        "threadpoolctl.threadpool_limits(3, user_api='blas')\n"
        "before, variables = settings(), dict(os.environ)\n"
        "import rlbench, rlbench.learning\n"
        "from rlbench.agents import DQN\n"
        "DQN(Recorder, learning_starts=10).learn(20)\n"
        "imported, same = settings(), dict(os.environ) == variables\n"
        "rlbench.configure_process()\n"
        "print(json.dumps([before, imported, same, settings()]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=variables(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    before, imported, same, configured = json.loads(done.stdout)
    assert before == imported == LEFT_ALONE
    assert same
    assert configured == CONFIGURED


def test_a_rounding_that_the_user_chose_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    set_mkl_rounding()
    assert os.environ["MKL_CBWR"] == "COMPATIBLE"
    monkeypatch.delenv("MKL_CBWR")
    set_mkl_rounding()
    assert os.environ["MKL_CBWR"] == "AUTO"


def test_commands_configure_their_process_and_workers(tmp_path: Path) -> None:
    """From the first environment on, in whichever process it is made."""
    env = "process_settings:Recorder"
    tiny = ["-n", 20, "--final-episodes", 1, "--device", "cpu"]
    rows = recorded(tmp_path, "run", "random", "--env", env, "--seeds", 2, "--jobs", 2, *tiny)
    assert len({process for process, _ in rows}) == 3  # the one that plans, and two workers
    assert [settings for _, settings in rows] == [CONFIGURED] * len(rows)


@pytest.mark.slow
def test_other_commands_configure_their_process_and_workers(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(
        'name = "trial"\nagents = ["random"]\nseeds = 1\npreset = false\n'
        '[[env]]\nid = "process_settings:Recorder"\nsteps = 20\n'
    )
    env = "process_settings:Recorder"
    for arguments in (
        ["bench", "suite.toml", "--trust"],
        ["bench", "suite.toml", "--trust", "--dry-run"],
        ["ablate", "dqn", "--env", env, "--switch", "double", "--seeds", 1, "-n", 20],
        ["eval", "--agent", "process_settings:Still", "--env", env, "--episodes", 1],
    ):
        rows = recorded(tmp_path, *arguments)
        assert rows
        assert [settings for _, settings in rows] == [CONFIGURED] * len(rows)
    run, *_ = (tmp_path / "out").glob("*/random-*")
    assert [settings for _, settings in recorded(tmp_path, "eval", run, "--trust")] == [CONFIGURED]
