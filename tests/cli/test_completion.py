"""Shell completion, as a shell asks for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from commands import environment, here
from report_files import write_suite
from store_files import write_run

from rlbench.cli.completion import VARIABLE
from rlbench.cli.main import main

BASH = """
eval "$(rlbench completion bash)"
compopt() { echo "compopt $*"; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_rlbench_completion rlbench
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs, two of one name and one that is damaged, below the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLBENCH_OUT", raising=False)
    out = tmp_path / "results"
    write_run(out)
    write_run(out, digest="11112222")
    write_run(out, digest="33334444", total_timesteps=2_500)
    write_run(out, agent="ppo", digest="55556666", total_timesteps=1_000_000)
    damaged = write_run(out, agent="ppo", digest="77778888")
    (damaged / "run.json").write_text("{")
    own = write_run(out, agent="mine_My_DQN", digest="9999aaaa")
    record = json.loads((own / "run.json").read_text())
    (own / "run.json").write_text(json.dumps(record | {"agent": "mine:My_DQN"}))
    write_suite(out, [{"env": "CartPole-v1", "agent": "dqn"}], name="my-bench")
    return out


def complete(*words: str) -> list[str]:
    """What may stand in place of the last of these words."""
    items = ShellComplete(main, {}, "rlbench", VARIABLE).get_completions([*words[:-1]], words[-1])
    return [f"({item.type})" if item.type != "plain" else item.value for item in items]


RUNS = ["dqn-11112222", "dqn-3f2a91bc", "dqn-CartPole-v1-2.5k"]
CASES: dict[tuple[str, ...], list[str]] = {
    ("r",): ["report", "results", "resume", "rm", "run"],
    ("run", "dq"): ["dqn"],
    ("ablate", "sac"): ["sac"],
    ("run", "dqn", "--env", "CartPole-"): ["CartPole-v0", "CartPole-v1"],
    ("eval", "--env", "rlbench/Cu"): ["rlbench/Cue-v0"],
    ("run", "dqn", "--encoder", "l"): ["lstm"],
    ("run", "dqn", "--wrap", "mask"): ["mask-velocity"],
    ("run", "dqn", "--wrap", "TimeL"): ["TimeLimit"],
    ("run", "dqn", "--data", "mn"): ["mnist"],
    ("data", "get", "fa"): ["fashion-mnist"],
    ("data", ""): ["check", "get", "list"],
    ("bench", "smo"): ["smoke"],
    ("bench", "my_suite"): ["(file)"],
    ("show", "dq"): ["dqn", *RUNS],
    ("show", "cla"): ["classic", "classify"],
    ("resume", "dqn-"): RUNS,
    ("compare", "dqn-CartPole-v1-2.5k", "pp"): ["ppo-CartPole-v1-1M"],
    ("run", "clone", "--from", "ppo-C"): ["ppo-CartPole-v1-1M"],
    ("rm", "mi"): ["mine:My_DQN-CartPole-v1-50k"],
    ("tag", "la"): ["latest"],
    ("note", "--out", "elsewhere", ""): ["(file)"],
    ("eval", "results/Cart"): ["(file)"],
    ("completion", ""): ["bash", "zsh", "fish"],
    ("run", "dqn", "--no-fl"): ["--no-floor"],
    ("", "", "ru"): ["run"],
    ("nonsense", "plo"): ["plot"],
}


@pytest.mark.parametrize("words", CASES, ids=" ".join)
def test_it_completes(words: tuple[str, ...]) -> None:
    assert complete(*words) == CASES[words]


def test_runs_in_another_folder_are_completed(store: Path) -> None:
    store.rename("elsewhere")
    assert complete("rm", "--out", "elsewhere", "dqn-C") == ["dqn-CartPole-v1-2.5k"]
    assert complete("rm", "dqn-C") == ["(file)"]


def test_every_name_that_is_completed_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    names = complete("rm", "")
    assert len(names) == 6
    for name in names:
        assert here("rm", name, "--dry-run") == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "rlbench").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rlbench "$@"\n')
    (folder / "rlbench").chmod(0o755)
    env = environment()
    env["PATH"] = f"{folder}:{env['PATH']}"

    def replies(*words: str) -> list[str]:
        command = ["bash", "-c", BASH, "bash", *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.split()

    assert replies("rlbench", "resume", "dqn-C") == ["dqn-CartPole-v1-2.5k"]
    assert replies("rlbench", "run", "dqn", "--env", "CartPole-v") == ["CartPole-v0", "CartPole-v1"]
    assert replies("rlbench", "resume", "nothing")[:3] == ["compopt", "-o", "default"]


@pytest.mark.parametrize(("shell", "word"), [("zsh", "compdef"), ("fish", "complete --no-files")])
def test_scripts_of_other_shells(shell: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert here("completion", shell) == 0
    text = capsys.readouterr().out
    assert word in text
    assert f"{VARIABLE}={shell}_complete" in text


def test_completion_imports_no_torch() -> None:
    """Which would take seconds at every press of a key."""
    program = (
        "import sys\n"
        "from click.shell_completion import ShellComplete\n"
        "from rlbench.cli.main import main\n"
        f"for words in {list(CASES)}:\n"
        f"    complete = ShellComplete(main, {{}}, 'rlbench', '{VARIABLE}')\n"
        "    complete.get_completions(list(words[:-1]), words[-1])\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
