"""The command line on image data: budgets in passes, data of one's own, every picture, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import here, process

import rlbench

SHORT = ["--encoder", "mlp", "-p", "net_arch=16", "-p", "batch_size=8", "-q", "--device", "cpu"]


def own_data(folder: Path) -> Path:
    """Three classes of 9x9 pictures, told apart by where they are bright."""
    rng = np.random.default_rng(3)
    labels = np.arange(90) % 3
    images = rng.integers(0, 60, (90, 9, 9), dtype=np.uint8)
    for i, label in enumerate(labels):
        images[i, 3 * label : 3 * label + 3] += 180
    path = folder / "stripes.npz"
    np.savez(path, images=images, labels=labels)
    return path


def test_a_run_from_start_to_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes become steps; rows, arrays and pictures are there; eval finds the same accuracy."""
    monkeypatch.chdir(tmp_path)
    data = own_data(tmp_path)
    env = ["--env", "rlbench/Classify-v0", "--data", data.name]
    assert here("run", "supervised", *env, "--epochs", "60", "--seeds", "2", *SHORT) == 0
    (run,) = (tmp_path / "results/rlbench_Classify-v0").glob("supervised-*")
    saved = json.loads((run / "run.json").read_text())
    assert saved["total_timesteps"] == 60 * 54
    assert saved["network"] == "mlp 16"
    assert saved["data"] == {**saved["data"], "name": "stripes", "classes": 3, "train": 54,
                             "validation": 18, "test": 18, "variant": "Classify"}  # fmt: skip
    results = rlbench.load(run)
    final = results.evaluations.query("phase == 'final'")
    assert final[["seed", "split", "items"]].values.tolist() == [[0, "test", 18], [1, "test", 18]]
    assert (final["accuracy"] > 0.9).all()
    assert set(results.evaluations.query("phase == 'grid'")["split"]) == {"validation"}
    assert {"test/g_mean", "test/balanced_accuracy"} <= set(results.metrics["key"])
    assert results.episodes.empty
    with np.load(run / "seeds-0-1" / "test.npz") as answers:
        assert answers["predictions"].shape == (2, 18)
        right = (answers["predictions"] == answers["labels"]).mean(-1)
    np.testing.assert_array_equal(right, final["accuracy"])
    assert {"curve.png", "confusion.png"} <= {file.name for file in run.iterdir()}
    capsys.readouterr()
    assert here("eval", run) == 0
    assert "equal to the recorded" in capsys.readouterr().out
    assert here("run", "majority", *env, "--seed", "0", "-q") == 0
    assert here("compare", run, *run.parent.glob("majority-*"), "-o", "both") == 0
    said = capsys.readouterr().out
    assert "stripes, 18 test images" in said
    assert (tmp_path / "both.png").exists()


@pytest.mark.slow
def test_stopped_and_resumed(tmp_path: Path) -> None:
    """Time is up, and the same command goes on: the rows of a run that was never stopped."""
    run = ["run", "dqn", "--env", "rlbench/Rows-Digits-v0", "-n", "30000", "-p", "gamma=0",
           "--n-envs", "4", "--no-preset", "--seeds", "2", *SHORT]  # fmt: skip
    stopped = process(*run, "--max-seconds", "1.5", "--out", "a", cwd=tmp_path)
    assert stopped.returncode == 124, stopped.stderr
    assert process(*run, "--out", "a", cwd=tmp_path).returncode == 0
    assert process(*run, "--out", "b", cwd=tmp_path).returncode == 0
    one, other = (rlbench.load(tmp_path / out) for out in "ab")
    for name in ("evaluations", "metrics"):
        left, right = (getattr(results, name) for results in (one, other))
        if name == "metrics":
            left, right = (t[~t["key"].str.startswith("time/")] for t in (left, right))
        columns = [c for c in left if c != "time"]
        np.testing.assert_array_equal(left[columns].to_numpy(), right[columns].to_numpy())


def test_cloned_from_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A teacher that was changed since it was written teaches nobody, as it is not evaluated."""
    monkeypatch.chdir(tmp_path)
    env = ["--env", "CartPole-v1", "-n", "600", "--seed", "0", "-q", "--eval-freq", "0"]
    assert here("run", "ppo", *env) == 0
    (run,) = (tmp_path / "results/CartPole-v1").glob("ppo-*")
    assert here("run", "clone", *env, "--from", f"CartPole-v1/{run.name}") == 0
    assert here("run", "clone", *env, "--from", run / "seeds-0" / "agent.npz") == 0
    assert len(list(run.parent.glob("clone-*"))) >= 1
    teacher = run / "seeds-0" / "agent.npz"
    teacher.write_bytes(teacher.read_bytes() + b"\0")  # which its reader would not mind
    capsys.readouterr()
    for source in (run, teacher):
        assert here("run", "clone", *env, "--from", source, "--out", "other") == 2
        assert "its checksum is not that of what was written" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    copied = teacher.rename(tmp_path / "copied.npz")  # negative control: without its record
    assert here("run", "clone", *env, "--from", copied, "--out", "other") == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["supervised", "--env", "CartPole-v1"], "clone"),
        (["dqn", "--env", "CartPole-v1", "--epochs", "3"], "give -n"),
        (["dqn", "--env", "rlbench/Classify-v0", "--epochs", "3", "-n", "5"], "give one"),
        (["dqn", "--env", "rlbench/Classify-v0", "--data", "nowhere.npz"], "nowhere.npz"),
        (["dqn", "--env", "rlbench/Classify-Digits-v0", "--data", "x", "--env-kwargs", "data=y"],
         "give one"),
        (["dqn", "--env", "rlbench/Classify-Digits-v0", "--env-kwargs", "lives=3"], "lives"),
        (["dqn", "--env", "rlbench/Classify-Digits-v0", "--env-kwargs", "split=test"], "split"),
        (["dqn", "--env", "rlbench/Classify-v0", "--env-kwargs", "variant=Rows"], "Classify"),
        (["dqn", "--env", "rlbench/Classify-v0", "--epochs", "nan"], "finite"),
        (["dqn", "--env", "rlbench/Classify-v0", "--eval-episodes", "3"], "leave out"),
        (["supervised", "--env", "rlbench/Classify-Digits-v0", "--n-envs", "3"], "batch_size"),
        (["svm", "--env", "rlbench/Rows-Digits-v0"], "whole image"),
        (["clone", "--env", "CartPole-v1"], "--from"),
        (["clone", "--env", "CartPole-v1", "--from", "nothing"], "no run"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert here("run", *arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [["--data"], ["--env-kwargs", "data="]])
def test_other_data_than_the_name_says(
    option: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Refused, with a way out that works."""
    monkeypatch.chdir(tmp_path)
    path = own_data(tmp_path)
    given = [*option, path.name] if len(option) == 1 else [option[0], option[1] + path.name]
    assert here("run", "majority", "--env", "rlbench/Classify-Digits-v0", *given) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"Classify-Digits-v0 is data digits, not {path}" in error
    assert "rlbench/Classify-v0 and the like take any" in error
    assert [*tmp_path.iterdir()] == [path]
    assert here("run", "majority", "--env", "rlbench/Classify-v0", *given, "-q") == 0


def test_data_list_check_and_get(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLBENCH_DATA", str(tmp_path))
    assert here("data", "list") == 0
    assert "rlbench data get mnist" in capsys.readouterr().out
    assert here("data", "check", own_data(tmp_path)) == 0
    assert "3 classes" in capsys.readouterr().out
    assert here("data", "check", "mnist") == 2
    assert "train-images-idx3-ubyte.gz" in capsys.readouterr().err
    assert here("data", "get", "nothing") == 2
    assert "mnist" in capsys.readouterr().err
