"""Search spaces: what is read, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import here

from rlbench.errors import UserError
from rlbench.tuning import space
from rlbench.tuning.usual_spaces import usual_space


def parsed(*texts: str, agent: str = "dqn") -> list[space.Dimension]:
    return space.parse(agent, space.split(texts))


def test_forms_are_read() -> None:
    rate, gamma, units, target, layers, double = parsed(
        "learning_rate=log:1e-5..1e-2", "gamma=lin:0.9..0.999", "train-freq=int:1..16",
        "target_update_interval=log:10..2000", "net_arch=64,64|128", "double=true|false",
    )  # fmt: skip
    assert (rate.low, rate.high, rate.log, rate.whole) == (1e-5, 1e-2, True, False)
    assert (gamma.low, gamma.high, gamma.log) == (0.9, 0.999, False)
    assert units.name == "train_freq"
    assert units.whole
    assert (target.log, target.whole) == (True, True)  # a whole number by its field
    assert layers.choices == ("64,64", 128)
    assert double.choices == (True, False)


def test_text_is_read_back() -> None:
    """study.json holds texts."""
    texts = ["learning_rate=log:1e-05..0.01", "gamma=lin:0.9..0.999", "train_freq=int:1..16",
             "net_arch=64,64|128", "max_grad_norm=none|0.5|10", "double=true|false"]  # fmt: skip
    dimensions = parsed(*texts)
    again = space.parse("dqn", [(each.name, each.text()) for each in dimensions])
    assert again == dimensions


def test_a_space_file_may_hold_lists(tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text(
        'learning_rate = "log:1e-5..1e-2"\nbatch_size = [32, 64]\nnet_arch = [[64, 64], [32]]\n'
    )
    rate, batch, layers = space.parse("dqn", space.read(file))
    assert rate.log
    assert batch.choices == (32, 64)
    assert layers.choices == ("64,64", "32")
    space.check("dqn", [rate, batch, layers], {})


WRONG = [
    (["-s", "lerning_rate=log:1e-5..1e-2"], "no parameter 'lerning_rate'"),
    (["-s", "learning_rate"], "not of the form"),
    (["-s", "learning_rate=log:0..1e-2"], "no logarithm of 0"),
    (["-s", "learning_rate=log:1e-2..1e-5"], "larger end first"),
    (["-s", "gamma=lin:0.9..0.9"], "is empty"),
    (["-s", "gamma=lin:0.9..1.5"], "gamma=1.5"),
    (["-s", "gamma=lin:0.9"], "LOW..HIGH"),
    (["-s", "gamma=0.9"], "-p gamma=0.9"),
    (["-s", "batch_size=int:16.5..64"], "whole number"),
    (["-s", "batch_size=32"], "-p batch_size=32"),
    (["-s", "batch_size=32|32"], "twice"),
    (["-s", "batch_size=32|"], "a choice is empty"),
    (["-s", "net_arch=int:16..256"], "net_arch is no number"),
    (["-s", "double=lin:0..1"], "double is no number"),
    (["-s", "n_envs=0|1"], "0 is no number of environments"),
    (["-s", "gamma=lin:0.9..0.99", "-p", "gamma=0.95"], "by -s and set by -p"),
    (["-s", "gamma=lin:0.9..0.99", "-s", "gamma=lin:0.8..0.99"], "there twice"),
    (["-s", "gamma=lin:0.9..0.99", "--sampler", "grid"], "gamma is a range"),
    (["-s", "gamma=lin:0.9..0.99", "--space", "x.toml"], "give one of the two"),
    (["--space", "nowhere.toml"], "cannot be read"),
    (["--seeds", "0-4"], "seeds 0-4 are tuned on and confirmed on"),
    (["--confirm-seeds", "1003-1010"], "seeds 1003-1004 are tuned on"),
    (["--eval-freq", "0"], "kept apart from tuning"),
    (["--env", "CartPole-v1"], "twice"),
    (["--save-preset", "mine.txt"], "TOML file"),
    (["--preset", "nonesuch"], "no preset of this name"),
    (["-n", "0"], "trains for no steps"),
    (["--preset", "fast", "--no-preset"], "exclude each other"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_mistakes_are_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert here("tune", "dqn", "--env", "CartPole-v1", *arguments, "--max-seconds", 1) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("Error: ")
    assert said in line
    assert not list(tmp_path.iterdir())  # nothing was written


FILES = [
    ("--preset", "[[", "cannot be read"),
    ("--preset", "learning_rate = 1e-3", 'is in no table such as ["CartPole-v1"]'),
    ("--preset", '["Pendulum-v1"]\nlearning_rate = 1e-3', "has no preset for CartPole-v1"),
    ("--save-preset", 'agent = "ppo"\n["Acrobot-v1"]\ngamma = 0.9', "has presets of ppo"),
    ("--space", "", "names no parameter"),
    ("--space", "batch_size = [32]", "give two values or more"),
]


@pytest.mark.parametrize(("option", "text", "said"), FILES)
def test_mistakes_in_files_are_one_line(
    option: str, text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.toml"
    file.write_text(text)
    words = ["tune", "dqn", "--env", "CartPole-v1", option, file, "--out", tmp_path / "out"]
    assert here(*words, "--max-seconds", 1) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


def test_a_damaged_study_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "studies" / "mine" / "study.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"format": 1, "plan": {"agent": 5}}')
    words = ["tune", "dqn", "--env", "CartPole-v1", "--name", "mine", "--out", tmp_path]
    assert here(*words, "--max-seconds", 1) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert "is damaged" in line
    assert "choose another --name" in line


def test_peers_are_not_halved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = here("tune", "sb3-dqn", "--env", "CartPole-v1", "--prune", "halving", "--out", tmp_path)
    assert code == 2
    assert "one seed after the other" in capsys.readouterr().err


def test_without_optuna_one_line_says_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    assert here("tune", "dqn", "--env", "CartPole-v1", "--out", tmp_path) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert "pip install 'rlbench-workbench[tune]'" in line


@pytest.mark.parametrize("agent", ["dqn", "ppo", "sac", "supervised", "sb3-ppo", "knn"])
def test_usual_spaces_are_valid(agent: str) -> None:
    dimensions = usual_space(agent)
    assert dimensions
    space.check(agent, dimensions, {})


def test_an_agent_without_parameters_has_no_space() -> None:
    with pytest.raises(UserError, match="random has no usual ranges"):
        usual_space("random")
