"""A user's mistake: exit code 2, one line on stderr with the way out, never a traceback."""

from __future__ import annotations

import itertools
import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from commands import ROOT, TINY, here, process, run_folder, tables

from rlbench.config import parse_assignments
from rlbench.experiments.planning import plan
from rlbench.experiments.run import Run
from rlbench.experiments.suite_cells import command_again
from rlbench.storage.run_folder import RunFolder

DQN = ["run", "dqn", "--env", "CartPole-v1"]
IMAGES = ["run", "dqn", "--env", "rlbench/Classify-Digits-v0"]
MISTAKES: dict[str, tuple[list[str], str]] = {
    "command": (["runn"], "Did you mean 'run'"),
    "agent": (["run", "dqm", "--env", "CartPole-v1"], "Did you mean 'dqn'"),
    "no env": (["run", "dqn"], "--env"),
    "env": (["run", "dqn", "--env", "CartPol-v1"], "Did you mean 'CartPole-v1'"),
    "env version": (["run", "dqn", "--env", "CartPole-v77"], "CartPole"),
    "option": ([*DQN, "--sedes", "3"], "--seeds"),
    "missing module": (["run", "dqn", "--env", "no_such_module:Env"], "cannot import"),
    "missing class": (["run", "dqn", "--env", "probes:NoSuchThing"], "NoSuchThing"),
    "no environment": (["run", "dqn", "--env", "os:getcwd"], "os:getcwd"),
    "no module": (["run", "dqn", "--env", ":Env"], ":Env"),
    "parameter": ([*DQN, "-p", "gama=0.9"], "Did you mean 'gamma'"),
    "not key=value": ([*DQN, "-p", "gamma"], "key=value"),
    "type": ([*DQN, "-p", "gamma=high"], "gamma"),
    "no number": ([*DQN, "-p", "batch_size=true"], "batch_size"),
    "no whole number": ([*DQN, "-p", "batch_size=1.5"], "batch_size"),
    "range": ([*DQN, "-p", "gamma=1.5"], "gamma"),
    "nan": ([*DQN, "-p", "learning_rate=nan"], "learning_rate"),
    "infinite": ([*DQN, "-p", "learning_rate=1e999"], "learning_rate"),
    "choice": ([*DQN, "-p", "optimizer=adm"], "optimizer"),
    "layer without units": ([*DQN, "-p", "net_arch=64,0"], "net_arch"),
    "negative layer": ([*DQN, "-p", "net_arch=-3"], "net_arch"),
    "layer of words": ([*DQN, "-p", "net_arch=big"], "net_arch"),
    "continuous actions": (["run", "dqn", "--env", "Pendulum-v1"], "Discrete"),
    "no seed": ([*DQN, "--seeds", "0"], "seed"),
    "seeds": ([*DQN, "--seeds", "a-b"], "seeds"),
    "seed twice": ([*DQN, "--seeds", "1,1"], "twice"),
    "steps": ([*DQN, "-n", "many"], "steps"),
    "broken steps": ([*DQN, "-n", "1.5"], "steps"),
    "negative steps": ([*DQN, "-n", "-5"], "-5"),
    "jobs": ([*DQN, "--jobs", "0"], "jobs"),
    "episodes": ([*DQN, "--eval-episodes", "none"], "eval-episodes"),
    "kwargs": ([*DQN, "--env-kwargs", "{broken"], "broken"),
    "kwargs list": ([*DQN, "--env-kwargs", "[1]"], "JSON object"),
    "unknown kwarg": ([*DQN, "--env-kwargs", "wings=2"], "wings"),
    "training on test images": ([*IMAGES, "--env-kwargs", "split=test"], "training images"),
    "epochs nan": ([*IMAGES, "--epochs", "nan"], "finite"),
    "epochs infinite": ([*IMAGES, "--epochs", "inf"], "finite"),
    "device": ([*DQN, "--device", "tpu"], "tpu"),
    "memory": ([*DQN, "-p", "buffer_size=1e15"], "B"),
    "show": (["show", "dqm"], "Did you mean 'dqn'"),
    "list": (["list", "agent"], "agents"),
    "resume": (["resume", "nothing"], "nothing"),
    "eval": (["eval", "nothing"], "nothing"),
    "plot": (["plot", "nothing"], "nothing"),
}


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What stderr said: one line that starts with `Error:`, beside an announcement."""
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    lines = said.err.strip().splitlines()
    assert lines[-1].startswith("Error:"), said.err
    assert sum(line.startswith("Error:") for line in lines) == 1
    return lines[-1]


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly one line, which names what is wrong; nothing has been written."""
    monkeypatch.chdir(tmp_path)
    args, hint = MISTAKES[case]
    assert here(*args) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    assert line.startswith("Error:")
    assert hint in line
    assert list(tmp_path.iterdir()) == []


def test_mistake_in_a_process(tmp_path: Path) -> None:
    """The same from outside: code and line as a shell sees them."""
    args, hint = MISTAKES["missing module"]
    ended = process(*args, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("Error:")
    assert hint in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_missing_cuda_device_is_refused(
    device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here(*DQN, "--device", device, "--out", tmp_path) == 2
    assert "CUDA" in one_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_out_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out"
    file.write_text("mine")
    assert here(*DQN, *TINY, "-n", "50", "--out", file) == 2
    assert "--out" in one_line(capsys)
    assert file.read_text() == "mine"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny finished run."""
    out = tmp_path_factory.mktemp("original")
    assert here(*DQN, *TINY, "-n", "60", "--seeds", "0-0", "--quiet", "--out", out) == 0
    return out


@pytest.fixture
def finished(tmp_path: Path, original: Path) -> tuple[list[str | Path], Path]:
    """The arguments of that run, and a folder of it that may be damaged."""
    out = shutil.copytree(original, tmp_path / "out")
    return [*DQN, *TINY, "-n", "60", "--seeds", "0-0", "--out", out], run_folder(out)


def test_out_holds_something_else(
    finished: tuple[list[str | Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the run's folder would be there are someone else's files: they stay."""
    args, folder = finished
    for file in sorted(folder.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    (folder / "thesis.tex").write_text("mine")
    assert here(*args) == 2
    assert "something else" in one_line(capsys)
    assert [file.name for file in folder.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"format": 99}', '{"format": 1}', "\xff"]
)
@pytest.mark.parametrize("command", ["run", "resume", "show", "eval", "plot"])
def test_corrupt_run_json(
    text: str,
    command: str,
    finished: tuple[list[str | Path], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    args, folder = finished
    (folder / "run.json").write_text(text, encoding="latin-1")
    full = args if command == "run" else [command, folder, "--out", folder.parent.parent]
    assert here(*full) == 2
    one_line(capsys)


def test_run_json_of_another_version(
    finished: tuple[list[str | Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = finished
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(run | {"agent_version": 99}))
    assert here("eval", folder) == 2
    assert "version 99" in one_line(capsys)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"seeds": 3, "status": {}}'])
def test_corrupt_part_json(
    text: str, finished: tuple[list[str | Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    args, folder = finished
    (part,) = folder.glob("seeds-*/part.json")
    part.write_text(text)
    assert here(*args) == 2
    assert "part.json" in one_line(capsys)


@pytest.mark.parametrize("cut", ["half", "empty", "noise", "foreign"])
def test_again_heals_bad_checkpoint(
    cut: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, and `--again` (which the message offers) gets out of it."""
    args = [*DQN, *TINY, "-n", "2000", "--seeds", "2", "--out", tmp_path]
    assert here(*args, "--max-seconds", "0.1") == 124
    (file,) = tmp_path.glob("*/dqn-*/seeds-*/checkpoint.npz")
    data = file.read_bytes()
    other = {"half": data[: len(data) // 2], "empty": b"", "noise": b"\x80" * 500}
    if cut == "foreign":
        from rlbench.learning import checkpoint

        checkpoint.save(file, {"something": [1, 2, 3]})
    else:
        file.write_bytes(other[cut])
    capsys.readouterr()
    assert here(*args) == 2
    line = one_line(capsys)
    assert "checkpoint.npz" in line
    assert "--again" in line
    assert here(*args, "--again", "--quiet", "-n", "2000") == 0


def test_damaged_agent_file_is_named(
    finished: tuple[list[str | Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = finished
    (file,) = folder.glob("seeds-*/agent.npz")
    file.write_bytes(file.read_bytes()[:-200])
    assert here("eval", folder) == 2
    assert "agent.npz" in one_line(capsys)


def test_a_run_without_agents_names_the_command_that_makes_them(
    finished: tuple[list[str | Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`eval` and `resume` do not send each other's users back; what is named here works."""
    _, folder = finished
    for file in folder.glob("seeds-*/agent.npz"):
        file.unlink()
    assert here("resume", folder) == 2
    assert "nothing left to do" in one_line(capsys)
    assert here("eval", folder) == 2
    line = one_line(capsys)
    assert "its agents were not kept" in line
    assert "resume" not in line
    monkeypatch.chdir(tmp_path)
    _, *words = shlex.split(line.partition("Train again: ")[2])
    assert here(*words, "--quiet") == 0
    capsys.readouterr()
    again = run_folder(tmp_path / "retrained")
    assert again.name == folder.name
    assert tables(again) == tables(folder)
    assert here("eval", again) == 0


@pytest.mark.parametrize("agent", ["dqn", "ppo", "sb3-dqn", "rainbow", "random"])
def test_reference_results_can_be_trained_again(agent: str) -> None:
    """The command for each of them plans the same run, also where presets have changed."""
    for file in sorted((ROOT / "results/reference/CartPole-v1").glob(f"{agent}-*/run.json")):
        run = Run.from_json(RunFolder(file.parent).read(), (0, 1))
        words = shlex.split(command_again(run))[2:]
        said = dict(zip(words[1::2], words[2::2], strict=False))
        assert words[0] == agent
        assert said["--seeds"] == "0-1"
        planned = plan(
            agent, said["--env"], (0, 1), preset="--no-preset" not in words,
            parameters=parse_assignments(b for a, b in itertools.pairwise(words) if a == "-p"),
            total_timesteps=int(said["-n"]), n_envs=int(said["--n-envs"]),
            eval_freq=run.eval_freq, eval_episodes=run.eval_episodes,
        )  # fmt: skip
        assert planned.identity() == run.identity(), file


def test_a_run_inside_a_run_is_refused(
    finished: tuple[list[str | Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    args, folder = finished
    assert here(*args, "--out", folder) == 2
    assert "choose another --out" in one_line(capsys)
