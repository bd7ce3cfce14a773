"""Names of environments and their wrappers: what they become, and what they move."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import TINY, environment, here, process, run_folder, tables

from rlbench import registry
from rlbench.errors import UserError
from rlbench.experiments.planning import full_id, plan
from rlbench.learning.environments.make import env_factory
from rlbench.storage.run_folder import env_folder

MASKED = "CartPole-v1+mask-velocity"
RUN = ["run", "dqn", "--eval-episodes", "2", *TINY]


@pytest.mark.parametrize(
    ("said", "full"),
    [
        ("CartPole-v1", "CartPole-v1"),
        ("CartPole", "CartPole-v1"),
        ("CartPole-v0", "CartPole-v0"),
        ("CartPole+mask-velocity", MASKED),
        (" CartPole + mask-velocity: 1, 3 +blank", "CartPole-v1+mask-velocity:1,3+blank"),
        ("rlbench/Cue", "rlbench/Cue-v0"),
        ("probes:Noise+blank:0.3", "probes:Noise+blank:0.3"),
        ("no_such", "no_such"),
        ("CartPol+blank", "CartPol+blank"),
    ],
)
def test_full_names_include_the_version(said: str, full: str) -> None:
    assert full_id(said) == full


def test_colons_belong_to_their_piece() -> None:
    """A module's class, arguments, and a wrapper of one's own with arguments."""
    name = "probes:Noise+mask-velocity:0,2+gymnasium.wrappers:FrameStackObservation:3"
    env = env_factory(name, {"width": 5})()
    obs, _ = env.reset(seed=0)
    assert obs.shape == (3, 5)
    assert np.flatnonzero(obs.any(0)).tolist() == [1, 3, 4]
    plain = env_factory("probes:Noise", {"width": 5})()
    assert np.array_equal(obs[-1, [1, 3, 4]], plain.reset(seed=0)[0][[1, 3, 4]])


def test_wrappers_go_from_the_inside_out() -> None:
    layers = "gymnasium.wrappers:FlattenObservation"
    with pytest.raises(UserError, match=r"shape \(100,\)"):
        env_factory(f"rlbench/Catch-v0+{layers}+shuffle-pixels")
    assert env_factory(f"rlbench/Catch-v0+shuffle-pixels+{layers}")().observation_space.shape == (
        100,
    )


def test_a_wrap_is_a_part_of_the_name() -> None:
    """`--wrap` and plus are one run; without, with arguments and in other order it is another."""
    runs = {
        name: plan("dqn", name, [0]) for name in ("CartPole", "CartPole+blank", MASKED + "+blank")
    }
    same = plan("dqn", "CartPole", [0], wraps=["mask-velocity", " blank"])
    assert same.identity() == runs[MASKED + "+blank"].identity()
    runs |= {"p": plan("dqn", "CartPole", [0], wraps=["blank:0.3"])}
    runs |= {"order": plan("dqn", "CartPole", [0], wraps=["blank", "mask-velocity"])}
    assert len({run.folder(Path()).path.name for run in runs.values()}) == 5
    folder = env_folder("rlbench/Catch-v0+blank:0.3+my.own:Wrapper")
    assert folder == "rlbench_Catch-v0_blank_0.3_my.own_Wrapper"


def test_presets_belong_to_the_full_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapped environment without a preset of its own has that of what its wrapper holds."""
    monkeypatch.setattr(registry, "presets", lambda agent: {MASKED: {"gamma": 0.9}})
    within = plan("dqn", "CartPole", [0], wraps=["mask-velocity", "blank:0.1"])
    assert (within.preset, within.config.changed()) == (MASKED, {"gamma": 0.9})
    assert plan("dqn", "CartPole", [0], wraps=["blank:0.1", "mask-velocity"]).preset is None
    tuned = plan("dqn", "CartPole", [0], wraps=["mask-velocity"])
    assert (tuned.preset, tuned.config.changed()) == (MASKED, {"gamma": 0.9})
    assert plan("dqn", "CartPole", [0]).preset is None


@pytest.mark.parametrize(
    ("name", "solved"),
    [
        ("CartPole-v1", 475.0),
        (MASKED + "+blank:0.1", 475.0),
        ("rlbench/Cue-v0+blank:0.1", 0.95),
        ("CartPole-v1+gymnasium.wrappers:NormalizeReward", None),
        ("probes:Noise+blank", None),
        ("Pendulum-v1+mask-velocity", None),
    ],
)
def test_reward_threshold_survives_own_wrappers_only(name: str, solved: float | None) -> None:
    """Our wrappers leave rewards alone, one's own may not."""
    assert plan("random", name, [0]).source.facts.reward_threshold == solved


def test_agents_take_such_names() -> None:
    from rlbench.agents import DQN

    agent = DQN(MASKED, learning_starts=10, net_arch=(8,)).learn(30)
    assert agent.num_timesteps == 30
    assert agent.make_env is not None
    assert not agent.make_env().reset(seed=0)[0][[1, 3]].any()


def test_a_wrapped_run_from_start_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained and drawn, with its floor beside it; found done, played again, and shown."""
    args = [*RUN, "-n", "60", "--seeds", "2", "--out", tmp_path]
    assert here(*args, "--env", "CartPole", "--wrap", "mask-velocity") == 0
    assert f"dqn on {MASKED}" in capsys.readouterr().err
    folder = run_folder(tmp_path)
    assert run_folder(tmp_path, "random").parent == folder.parent
    saved = json.loads((folder / "run.json").read_text())
    assert (saved["env"], saved["reward_threshold"]) == (MASKED, 475.0)
    assert here(*args, "--env", MASKED) == 0
    assert "all done" in capsys.readouterr().err
    assert (folder / "curve.png").stat().st_size > 1000
    assert here("eval", folder, "--episodes", "5") == 0
    assert here("show", folder) == 0
    assert here("list", "runs", "--out", tmp_path) == 0
    assert "mask-velocity" in capsys.readouterr().out


def test_noise_is_resumed_where_it_was(tmp_path: Path) -> None:
    """A stopped run ends with the rows of one that was not."""
    args = [*RUN, "--env", "CartPole-v1+blank:0.3", "-n", "1500", "--seeds", "2", "--quiet"]
    assert here(*args, "--out", tmp_path / "cut", "--max-seconds", "0.1") == 124
    folder = run_folder(tmp_path / "cut")
    assert here("resume", folder, "--quiet") == 0
    assert here(*args, "--out", tmp_path / "whole") == 0
    assert tables(folder) == tables(run_folder(tmp_path / "whole"))


MISTAKES: dict[str, tuple[str, list[str], str]] = {
    "unknown": ("CartPole-v1", ["mask-velocty"], "Did you mean 'mask-velocity'"),
    "nothing": ("CartPole-v1", [" "], "rlbench list wrappers"),
    "a plus too many": ("CartPole-v1+", [], "rlbench list wrappers"),
    "environment": ("CartPol-v1+blank", [], "Did you mean 'CartPole-v1'"),
    "own environment": ("rlbench/Cash-v0", [], "Did you mean 'rlbench/Catch-v0'"),
    "index": ("CartPole-v1", ["mask-velocity:4"], "0 to 3"),
    "no index": ("CartPole-v1", ["mask-velocity:"], "0 to 3"),
    "word for an index": ("CartPole-v1", ["mask-velocity:x"], "0 to 3"),
    "which velocities": ("probes:Noise", ["mask-velocity"], "mask-velocity:1,3"),
    "no vector": ("rlbench/Catch-v0", ["mask-velocity:1"], "vector"),
    "probability": ("CartPole-v1", ["blank:2"], "blank:0.5"),
    "nan": ("CartPole-v1", ["blank:nan"], "blank:0.5"),
    "two probabilities": ("CartPole-v1", ["blank:0.1,0.2"], "blank:0.5"),
    "argument": ("rlbench/Catch-v0", ["shuffle-pixels:3"], "too many"),
    "no image": ("CartPole-v1", ["shuffle-pixels"], "image"),
    "no Box": ("FrozenLake-v1", ["blank"], "Box"),
    "no game": ("CartPole-v1", ["atari"], "ALE/Pong-v5"),
    "missing module": ("CartPole-v1", ["no_such:Wrapper"], "cannot import"),
    "missing class": ("CartPole-v1", ["probes:Nothing"], "has no 'Nothing'"),
    "no wrapper": ("CartPole-v1", ["probes:Constant"], "does not fit"),
    "missing argument": ("CartPole-v1", ["gymnasium.wrappers:TimeLimit"], "max_episode_steps"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistaken_environment_is_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, exit code 2, nothing written."""
    monkeypatch.chdir(tmp_path)
    env, wraps, hint = MISTAKES[case]
    assert here(*RUN, "--env", env, *(x for wrap in wraps for x in ("--wrap", wrap))) == 2
    said = capsys.readouterr()
    (line,) = said.err.strip().splitlines()
    assert line.startswith("Error:")
    assert hint in line
    assert (said.out, list(tmp_path.iterdir())) == ("", [])


def test_a_wrapper_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class; and a function that fails, found in the current folder by a process of its own."""
    (tmp_path / "mine.py").write_text(
        "import gymnasium\nclass Half(gymnasium.ObservationWrapper):\n"
        "    def observation(self, observation):\n        return observation / 2\n"
        "def broken(env):\n    raise ValueError('too warm')\n"
    )
    args = ["run", "random", "--env", "CartPole", "--seeds", "0-0", "--wrap"]
    wrong = process(*args, "mine:broken", cwd=tmp_path)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "Error: wrapper 'mine:broken' does not fit CartPole-v1: too warm\n"
    monkeypatch.syspath_prepend(tmp_path)
    half, whole = (env_factory(name)() for name in ("CartPole+mine:Half", "CartPole"))
    assert np.array_equal(half.reset(seed=0)[0] * 2, whole.reset(seed=0)[0])


def test_missing_extras_are_named(tmp_path: Path) -> None:
    """Without the packages: the line to type, and no traceback."""
    extras = {
        "LunarLander-v3": "box2d", "ALE/Pong-v5": "atari", "PongNoFrameskip-v4+atari": "atari",
        "Hopper-v5": "mujoco", "MinAtar/Breakout-v1": "minatar", "BabyAI-GoTo-v0": "minigrid",
        "popgym-AutoencodeEasy-v0": "popgym",
    }  # fmt: skip
    packages = ["Box2D", "ale_py", "cv2", "mujoco", "minatar", "minatar.gym", "minigrid", "popgym"]
    script = (
        "import sys\n"
        f"for name in {packages}:\n    sys.modules[name] = None\n"
        "from rlbench.cli.main import main\n"
        f"for env in {list(extras)}:\n"
        "    try:\n        main(['run', 'random', '--env', env], prog_name='rlbench')\n"
        "    except SystemExit as end:\n        print(end.code)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.split() == ["2"] * len(extras)
    lines = ended.stderr.splitlines()
    for line, extra in zip(lines, extras.values(), strict=True):
        assert line.startswith("Error: environment")
        assert f"pip install 'rlbench-workbench[{extra}]'" in line


def test_box2d_environments_are_made() -> None:
    pytest.importorskip("Box2D")
    env = env_factory("LunarLander")()
    assert env.reset(seed=0)[0].shape == (8,)
    assert env.spec.id == "LunarLander-v3"


def test_atari_wants_no_frame_skip() -> None:
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    with pytest.raises(UserError, match="--env-kwargs frameskip=1") as said:
        env_factory("ALE/Pong+atari")
    assert "PongNoFrameskip-v4" in str(said.value)
    with pytest.raises(UserError, match="Did you mean 'ALE/Pong-v5'"):
        env_factory("ALE/Pnog-v5")


def test_atari_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ale_py")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"pip install 'rlbench-workbench\[atari\]'"):
        env_factory("PongNoFrameskip-v4+atari")


def test_lists_of_environments_and_wrappers(capsys: pytest.CaptureFixture[str]) -> None:
    """Our own environments come first; every wrapper has its line."""
    assert here("list", "envs") == 0
    lines = capsys.readouterr().out.splitlines()
    own = [line.split()[0] for line in lines if line.startswith("rlbench/")]
    assert {"rlbench/Catch-v0", "rlbench/Catch84-v0", "rlbench/Cue-v0"} < set(own)
    assert "rlbench/Glimpse-MNIST-v0" in own
    assert [line.split()[0] for line in lines[: len(own)]] == own
    assert here("list", "wrappers") == 0
    said = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    known = [name for name, _ in said]
    assert known[:6] == [
        "atari", "blank", "image-max", "mask-velocity", "shuffle-pixels", "terminal-limit",
    ]  # fmt: skip
    assert {"RescaleAction", "ClipAction", "TimeLimit", "FrameStackObservation"} < set(known[4:])
    assert all(len(text) > 20 for _, text in said)


def test_what_is_no_name_is_left_alone() -> None:
    env: Any = gymnasium.make("CartPole-v1")
    assert type(env_factory(env)().unwrapped) is type(env.unwrapped)
    assert env_factory(lambda length: length, {"length": 3})() == 3
