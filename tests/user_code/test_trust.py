"""Names in files run no code unasked: proved by modules that leave a trace."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from commands import TINY, environment, here

import rlbench
from rlbench import plugins
from rlbench.agents import DQN, Clone
from rlbench.errors import UserError
from rlbench.experiments.planning import plan
from rlbench.storage.run_folder import RunFolder
from rlbench.user_code import trust

MODULE = """
from pathlib import Path
import gymnasium, numpy as np, torch
HERE = Path(__file__).parent
(HERE / "imported").touch()

class Game(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {}
    def step(self, action):
        self.t += 1
        return np.zeros(2, np.float32), 1.0, self.t > 9, False, {}

class Same(gymnasium.Wrapper):
    pass

class Net(torch.nn.Module):
    def __init__(self, space):
        super().__init__()
        self.linear = torch.nn.Linear(space.shape[0], 3)
    def forward(self, obs):
        return self.linear(obs)

def make(**kwargs):
    (HERE / "called").touch()
    return Game()

def wrap(env):
    (HERE / "called").touch()
    return env

gymnasium.register("OfTheirs-v0", Game)
"""
COMMAND = {"command": "touch called", "cmd": "touch called", "args": ["touch", "called"]}
# Name of the environment, of the encoder, and what is said.
REFUSED = {
    "builtin": ("os:system", "auto", "standard library"),
    "function of the library": ("subprocess:call", "auto", "standard library"),
    "class of the library": ("subprocess:Popen", "auto", "standard library"),
    "function of a package": ("numpy.testing:rundocs", "auto", "not a subclass of gymnasium.Env"),
    "class of a package": ("installed:Path", "auto", "not a subclass of gymnasium.Env"),
    "function as wrapper": ("CartPole-v1+pandas:read_pickle:x", "auto", "gymnasium.Wrapper"),
    "environment as wrapper": ("CartPole-v1+probes:Noise", "auto", "gymnasium.Wrapper"),
    "library as wrapper": ("CartPole-v1+os:remove:x", "auto", "standard library"),
    "their class": ("theirs:Game", "auto", "theirs.py, not in an installed package"),
    "their function": ("theirs:make", "auto", "not in an installed package"),
    "their id": ("theirs:OfTheirs-v0", "auto", "not in an installed package"),
    "their wrapper": ("CartPole-v1+theirs:Same", "auto", "not in an installed package"),
    "their second wrapper": ("CartPole-v1+blank+theirs:wrap", "auto", "not in an installed"),
    "folder": ("data.theirs:Game", "auto", "data, not in an installed package"),
    "instead of a package": ("double:Game", "auto", "double.py, not in an installed package"),
    "their encoder": ("CartPole-v1", "theirs:Net", "not in an installed package"),
    "below a memory": ("CartPole-v1", "theirs:Net+lstm", "not in an installed package"),
    "library as encoder": ("CartPole-v1", "os:system", "standard library"),
    "function as encoder": ("CartPole-v1", "torch:load", "not a subclass of torch.Module"),
}


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with modules in it that somebody else wrote."""
    (tmp_path / "data").mkdir()
    for file in ("theirs.py", "double.py", "data/theirs.py"):
        (tmp_path / file).write_text(MODULE)
    (tmp_path / "elsewhere").mkdir()
    for file in ("installed.py", "double.py"):
        (tmp_path / "elsewhere" / file).write_text("from pathlib import Path\n")
    monkeypatch.chdir(tmp_path)
    before = dict(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "elsewhere")])
    monkeypatch.delenv(trust.VARIABLE, raising=False)
    yield tmp_path
    gymnasium.registry.pop("OfTheirs-v0", None)
    for name in set(sys.modules) - set(before):
        if name.partition(".")[0] in ("theirs", "data", "double", "installed"):
            del sys.modules[name]


def traces(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*") if file.name in ("imported", "called"))


def forget(folder: Path) -> None:
    """As in a new process."""
    for trace in ("imported", "called"):
        (folder / trace).unlink(missing_ok=True)
    del sys.modules["theirs"], gymnasium.registry["OfTheirs-v0"]


def told_run(folder: Path, env: str, encoder: str, kwargs: dict[str, Any]) -> Path:
    """The folder of a run as somebody else would send it."""
    planned = plan("dqn", "CartPole-v1", [0], parameters={"encoder": encoder})
    told = {**planned.to_json(), "identity": planned.identity(), "format": 1, "data": None}
    run = folder / "sent/run"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({**told, "env": env, "env_kwargs": kwargs}))
    RunFolder(run).part([0]).reserve([0])
    return run


def told_suite(folder: Path, env: str, encoder: str, kwargs: dict[str, Any]) -> Path:
    file = folder / "sent.toml"
    name, *wraps = env.split("+")
    given = ", ".join(f"{key} = {json.dumps(value)}" for key, value in kwargs.items())
    file.write_text(
        f'name = "sent"\nseeds = 1\npreset = false\n[variant.x]\nagents = ["dqn"]\n'
        f'encoder = "{encoder}"\n[[env]]\nid = "{name}"\nwraps = {json.dumps(wraps)}\n'
        f"steps = 0\nkwargs = {{ {given} }}\n"
    )
    return file


@pytest.mark.parametrize("case", REFUSED)
def test_names_in_files_run_nothing(
    case: str, theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`eval`, `resume` and `bench` refuse in one line, before anything is imported or called."""
    env, encoder, said = REFUSED[case]
    kwargs = COMMAND if ":" in env.partition("+")[0] else {}
    run = told_run(theirs, env, encoder, kwargs)
    suite = told_suite(theirs, env, encoder, kwargs)
    for command in (
        ["eval", run],
        ["resume", run],
        ["bench", suite, "--dry-run"],
        ["bench", suite],
    ):
        assert here(*command) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert said in line
        assert line.startswith("Error: ")
    assert traces(theirs) == []
    assert "theirs" not in sys.modules


TRUSTED = {
    "class": ("theirs:Game", "auto", ["imported"]),
    "function": ("theirs:make", "auto", ["called", "imported"]),
    "id": ("theirs:OfTheirs-v0", "auto", ["imported"]),
    "wrapper": ("CartPole-v1+theirs:wrap", "auto", ["called", "imported"]),
    "folder": ("data.theirs:Game", "auto", ["imported"]),
    "encoder": ("CartPole-v1", "theirs:Net", ["imported"]),
}


@pytest.mark.parametrize("case", TRUSTED)
def test_what_is_trusted_is_used(
    case: str, theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Negative control: the same names with `--trust`, which ends with the command."""
    env, encoder, left = TRUSTED[case]
    assert here("bench", told_suite(theirs, env, encoder, {}), "--dry-run", "--trust") == 0
    assert traces(theirs) == left
    assert not trust.trusted()
    assert here("eval", told_run(theirs, env, encoder, {}), "--trust") == 2
    assert "no trained agent yet" in capsys.readouterr().err


@pytest.mark.parametrize("env", ["os:system", "subprocess:call", "subprocess:Popen"])
def test_the_standard_library_is_never_called(env: str, theirs: Path) -> None:
    """Not even where a file is trusted: it has no environments."""
    for command in ("eval", "resume"):
        run = told_run(theirs / command, env, "auto", COMMAND)
        assert here(command, run, "--trust") == 2
    assert traces(theirs) == []


def test_installed_classes_are_used(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Classes of installed packages, ids that they register, and modules on PYTHONPATH."""
    names = ["probes:Noise", "CartPole-v1+gymnasium.wrappers:FlattenObservation",
             "gymnasium.envs.classic_control:CartPoleEnv", "gymnasium:CartPole-v1"]  # fmt: skip
    for number, env in enumerate(names):
        assert here("eval", told_run(theirs / str(number), env, "torch.nn:Flatten", {})) == 2
        assert "no trained agent yet" in capsys.readouterr().err
    assert traces(theirs) == []


def test_saved_agents_import_installed_modules_only(theirs: Path) -> None:
    """A file, and the file of a teacher; and what the program has imported needs no trust."""
    from probes import Noise

    sys.path.insert(0, "")
    made = DQN(Noise, encoder="theirs:Net", learning_starts=10, device="cpu").learn(20)
    file = made.save(theirs / "agent.npz")
    assert DQN.load(file, device="cpu").config.encoder == "theirs:Net"
    forget(theirs)
    sys.path.remove("")
    learner: Any = Clone(Noise, source=str(file), n_steps=8, n_envs=2, batch_size=8, device="cpu")
    for load in (lambda: DQN.load(file), lambda: learner.learn(16)):
        with pytest.raises(
            UserError, match=r"theirs\.py, not in an installed package.*RLBENCH_TRUST"
        ):
            load()
    assert traces(theirs) == []
    assert DQN.load(file, device="cpu", trust=True).config.encoder == "theirs:Net"
    assert traces(theirs) == ["imported"]


def test_ones_own_run_goes_on(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run of one's own environment, stopped: the command that it names goes on, and no other."""
    args = ["--env", "theirs:Game", "--encoder", "theirs:Net", "--seeds", "1", *TINY]
    assert here("run", "dqn", *args, "-n", "600", "--eval-freq", "0", "--max-seconds", "0.1") == 124
    told = capsys.readouterr().err.partition("go on with: rlbench ")[2]
    words = shlex.split(told.splitlines()[0])
    assert words[-1] == "--trust"
    forget(theirs)
    assert here(*words[:-1]) == 2
    assert "add --trust to import it" in capsys.readouterr().err
    assert here("eval", words[1], "--trust") == 2  # not trained yet
    told = capsys.readouterr().err.strip()
    assert shlex.split(told.partition("rlbench ")[2]) == words
    forget(theirs)
    assert here(*words) == 0
    assert here("eval", words[1], "--trust", "--episodes", "2") == 0


def test_agents_of_other_packages(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The metadata of a package in the current folder names a module there."""
    facts = theirs / "theirs-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[rlbench.agents]\ntheirs = theirs:Agent\n")
    sys.path.insert(0, "")
    plugins.forget()
    run = told_run(theirs, "CartPole-v1", "auto", {})
    told = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**told, "agent": "theirs"}))
    suite = told_suite(theirs, "CartPole-v1", "auto", {})
    suite.write_text(suite.read_text().replace('"dqn"', '"theirs"'))
    try:
        for command in (["eval", run], ["resume", run], ["bench", suite, "--dry-run"]):
            assert here(*command) == 2
            assert "agent 'theirs' is in" in capsys.readouterr().err
    finally:
        plugins.forget()
    assert traces(theirs) == []


def test_what_is_installed(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found without the current folder, by whatever name that has in the path."""
    assert trust.outside("numpy.linalg") is None
    assert trust.outside("installed") is None
    assert trust.outside("nowhere_at_all") is None
    assert trust.outside("rlbench.agents") is None
    for entry in ("", ".", str(theirs), f"{theirs}/data/.."):
        monkeypatch.setattr(sys, "path", [entry, *sys.path])
        assert Path(str(trust.outside("theirs"))).samefile(theirs / "theirs.py")
        assert trust.outside("theirs.more") is not None
    (theirs / "elsewhere/folder").mkdir()
    assert trust.outside("folder") == str(theirs / "elsewhere/folder")
    monkeypatch.chdir(theirs / "data")
    assert trust.outside("installed") is None


def test_the_current_folder_replaces_no_package(theirs: Path) -> None:
    """It is searched only once something of the user's lies there."""
    script = (
        "import sys\nsys.path.remove('')\n"
        "from rlbench.user_code.imports import import_module\n"
        "import_module('gymnasium.wrappers'); print('' in sys.path)\n"
        "import_module('theirs'); print('' in sys.path)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=theirs, env=environment(),
                           capture_output=True, text=True, check=True)  # fmt: skip
    assert ended.stdout.split() == ["False", "True"]


def test_a_preset_file_runs_no_code(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its encoder is a name in a file as that of a suite; one that is typed is not."""
    file = theirs / "sent.toml"
    file.write_text('["CartPole-v1"]\nencoder = "theirs:Net"\n')
    words = ["run", "dqn", "--env", "CartPole-v1", "--preset", "sent.toml", *TINY[1:], "-n", "60",
             "--seeds", "1", "--no-floor", "-q", "--jobs", "1"]  # fmt: skip
    assert here(*words, "--out", theirs / "out") == 2
    assert "theirs.py, not in an installed package: add --trust" in capsys.readouterr().err
    with pytest.raises(UserError, match="not in an installed package"):
        DQN.from_preset("CartPole-v1", preset=file)
    assert traces(theirs) == []
    assert DQN.from_preset("CartPole-v1", preset=file, encoder="mlp").config.encoder == "mlp"
    assert here(*words, "--trust", "--out", theirs / "out") == 0
    assert traces(theirs) == ["imported"]


@pytest.mark.slow
def test_a_python_program_agrees_by_the_variable(
    theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the message says, for what has no `trust=True`; in worker processes too."""
    file = told_suite(theirs, "theirs:Game", "theirs:Net", {})
    words: dict[str, Any] = {"quiet": True, "out": theirs / "out"}
    with pytest.raises(UserError) as refusal:
        rlbench.bench(file, **words)
    assert traces(theirs) == []
    (way,) = re.findall(r"\(in Python: os\.environ\['(\w+)'\] = '1'\)", str(refusal.value))
    monkeypatch.setenv(way, "1")
    assert set(rlbench.bench(file, jobs=2, **words).runs["status"]) == {"done"}
    assert traces(theirs) == ["imported"]
