"""Event files of TensorBoard, read by TensorBoard's own reader."""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import TINY, eager, here, process

pytest.importorskip("tensorboard")
SHORT = [*TINY, "-n", 300, "--eval-episodes", 2, "--final-episodes", 3, "--no-floor", "--quiet",
         "--jobs", 1]  # fmt: skip
Points = dict[str, list[tuple[int, float]]]


def events(folder: Path) -> list[Any]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    (file,) = folder.iterdir()
    return list(EventFileLoader(str(file)).Load())


def points(folder: Path) -> Points:
    """All values in an event file, none purged: what is there twice is seen twice."""
    found: Points = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "scalars":
                number = float(value.tensor.float_val[0])
                found.setdefault(value.tag, []).append((event.step, number))
    return found


def rows(run: Path, seed: int) -> Points:
    table = pd.concat(pd.read_csv(file) for file in run.glob("seeds-*/metrics.csv"))
    table = table[table["seed"] == seed]
    return {
        str(key): list(zip(group["step"], group["value"].astype("float32"), strict=True))
        for key, group in table.groupby("key")
    }


def test_a_run_is_mirrored_while_it_trains_and_afterwards_alike(tmp_path: Path) -> None:
    """Steps of a curve only grow: where one is smaller, TensorBoard drops those before it."""
    assert here("run", "dqn", "--env", "CartPole-v1", "--seeds", 2, *SHORT,
                "--track", "tensorboard", "--out", tmp_path / "tracked") == 0  # fmt: skip
    assert here("run", "dqn", "--env", "CartPole-v1", "--seeds", 2, *SHORT,
                "--out", tmp_path / "plain") == 0  # fmt: skip
    (run,), (plain,) = (list((tmp_path / name).glob("*/dqn-*")) for name in ("tracked", "plain"))
    assert run.name == plain.name  # no part of the digest
    for name in ("evaluations.csv", "episodes.csv"):
        tables = [pd.read_csv(next(each.glob(f"seeds-*/{name}"))) for each in (run, plain)]
        assert tables[0].drop(columns="time").equals(tables[1].drop(columns="time"))
    home = run / "tensorboard"
    assert sorted(each.name for each in home.iterdir()) == ["all-seeds", "seed-0", "seed-1"]
    live = {each.name: points(each) for each in home.iterdir()}
    for curves in live.values():
        assert min(step for step, _ in curves["eval/mean_reward"]) == 0  # which has no metrics
        for key, curve in curves.items():
            assert [step for step, _ in curve] == sorted(step for step, _ in curve), key
    for seed in (0, 1):
        mine = live[f"seed-{seed}"]
        expected = rows(run, seed)
        assert {key: mine[key] for key in expected} == expected
        assert set(mine) - set(expected) == {
            f"{phase}/{what}"
            for phase in ("eval", "final")
            for what in ("mean_reward", "mean_ep_length")
        }
    assert here("track", run, "--to", "tensorboard") == 0
    assert {each.name: points(each) for each in home.iterdir()} == live
    tags = {v.tag for event in events(home / "all-seeds") for v in event.summary.value}
    assert {"figures/curve", "_hparams_/session_start_info", "_hparams_/session_end_info"} <= tags


def test_a_tracker_that_cannot_write_costs_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", "dqn", "--env", "CartPole-v1", *SHORT, "--out", tmp_path]
    assert here(*run, "--seeds", 1) == 0
    (folder,) = tmp_path.glob("*/dqn-*")
    (folder / "tensorboard").write_text("in the way")
    capsys.readouterr()
    assert here(*run, "--seeds", 2, "--track", "tensorboard") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Warning: tensorboard: CannotWrite: cannot write to")
    assert line.endswith("rlbench track RUN --to tensorboard writes the mirror later")
    (folder / "tensorboard").unlink()
    assert here("track", folder, "--to", "tensorboard") == 0


@pytest.mark.slow
def test_no_step_is_doubled_after_a_kill(tmp_path: Path) -> None:
    arguments = ["run", "dqn", "--env", "CartPole-v1", "--seeds", 2, *TINY, "-n", 60_000,
                 "--no-floor", "--jobs", 1, "--track", "tensorboard",
                 "--out", tmp_path]  # fmt: skip
    training = eager(*arguments, cwd=tmp_path)
    until = time.monotonic() + 100
    while time.monotonic() < until:  # until a curve of the mirror has some points
        files = list(tmp_path.glob("*/dqn-*/tensorboard/seed-0/*"))
        if files and len(points(files[0].parent).get("train/loss", [])) > 5:
            break
        time.sleep(0.5)
    training.send_signal(signal.SIGKILL)
    training.wait()
    time.sleep(5.0)  # its follower writes the rest and ends
    (run,) = tmp_path.glob("*/dqn-*")
    before = points(run / "tensorboard" / "seed-0")["train/loss"]
    assert len(before) > 5
    done = process("resume", run, "--track", "tensorboard", "--no-floor", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for seed in (0, 1):
        mine = points(run / "tensorboard" / f"seed-{seed}")
        assert {key: mine[key] for key in rows(run, seed)} == rows(run, seed)
        for key, curve in mine.items():
            assert max(Counter(step for step, _ in curve).values()) == 1, key
