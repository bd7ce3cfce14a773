"""`rlbench.agents` as Python and type checkers see it."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import agents_stub
import pytest
from commands import ROOT

GOOD = """
from rlbench.agents import DQN, PPO, SAC, Rainbow
from rlbench.agents.dqn import DQN as Open

agent = DQN("CartPole-v1", seeds=3, learning_rate=1e-3, net_arch=[64, 64], train_freq=(4, "step"))
agent = agent.learn(100)
rainbow: DQN = Rainbow("CartPole-v1", seeds="0-4", n_atoms=51, max_grad_norm=None)
PPO("CartPole-v1", net_arch=64, encoder="lstm", n_steps=32)
SAC("Pendulum-v1", ent_coef=0.1)
print(DQN.load("agent.npz", seed=3).policy(), agent.config.learning_rate)


class Mine(Open):
    pass


Mine("CartPole-v1", something=1)
"""
BAD = """
from rlbench.agents import DQN, SAC
from rlbench.agents import Nothing
DQN("CartPole-v1", learning_rat=1e-3)
DQN("CartPole-v1", learning_rate="fast")
DQN("CartPole-v1", optimizer="adan")
DQN("CartPole-v1", 5)
SAC("Pendulum-v1", target_update_interval=5)
DQN("CartPole-v1").lern(5)
"""


def test_the_stub_is_what_the_agents_take() -> None:
    written = agents_stub.STUB.read_text(encoding="utf-8")
    assert written == agents_stub.stub(), "run: python tests/support/agents_stub.py"


def test_lazy_names_come_from_files() -> None:
    """Every file's class, under its name alone; modules stay modules."""
    package = importlib.import_module("rlbench.agents")
    files = sorted(file.stem for file in (ROOT / "agents").glob("[!_]*.py"))
    homes = sorted(getattr(package, name).__module__ for name in package.__all__)
    assert homes == [f"rlbench.agents.{stem}" for stem in files]
    assert "".join(package.__all__)  # no file is without a class
    for name in ("Dqn", "SB3_DQN", "nothing", "__path_of__"):
        assert not hasattr(package, name)
    module = importlib.import_module("rlbench.agents.dqn")
    assert package.dqn is module
    everything: dict[str, object] = {}
    exec("from rlbench.agents import *", everything)
    assert set(package.__all__) <= set(everything)


def test_names_are_listed_without_importing_agents() -> None:
    code = (
        "import sys, rlbench.agents; names = dir(rlbench.agents)\n"
        "assert 'SB3PPOLSTM' in names, names\n"
        "print('torch' in sys.modules, 'rlbench.agents.dqn' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_know_hyperparameters_of_an_editable_install(
    checker: str, tmp_path: Path
) -> None:
    """User code that is right passes; each line that is wrong is told of."""
    if not shutil.which(checker, path=str(Path(sys.executable).parent)):
        pytest.skip(f"{checker} is not installed")
    clone = tmp_path / "clone"
    for name in ("rlbench", "agents", "envs"):
        shutil.copytree(ROOT / name, clone / name, symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    outside = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH")}
    install = [str(python), "-m", "pip", "install", "-q", "--no-deps", "-e", str(clone)]
    subprocess.run(install, check=True, env=outside, cwd=tmp_path)
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text(BAD)
    for file, lines in {"good.py": set(), "bad.py": set(range(3, 10))}.items():
        command: list[str] = {
            "mypy": ["mypy", "--cache-dir=mypy", f"--python-executable={python}", file],
            "pyright": ["pyright", f"--pythonpath={python}", file],
        }[checker]
        done = subprocess.run(
            [str(Path(sys.executable).parent / command[0]), *command[1:]],
            cwd=tmp_path, env=outside, capture_output=True, text=True, check=False,
        )  # fmt: skip
        wrong = {int(n) for n in re.findall(rf"{file}:(\d+):.*error", done.stdout)}
        assert wrong == lines, done.stdout
