"""`rlbench import`: files that the libraries themselves have written, and what is broken."""

from __future__ import annotations

import csv
import json
import struct
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import here
from stable_baselines3 import A2C
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.monitor import Monitor

import rlbench
from rlbench.importing import results
from rlbench.reporting.tables.summaries import per_seed
from rlbench.storage.run_folder import RunFolder

CARTPOLE = "CartPole-v1"


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Stable-Baselines3 writes while A2C trains."""
    folder = tmp_path_factory.mktemp("sb3")
    env = Monitor(gymnasium.make(CARTPOLE), str(folder))
    judge = EvalCallback(
        Monitor(gymnasium.make(CARTPOLE)), n_eval_episodes=3, eval_freq=200,
        log_path=str(folder), verbose=0,
    )  # fmt: skip
    A2C("MlpPolicy", env, seed=0, device="cpu").learn(600, judge)
    env.close()
    return folder


def load(out: Path) -> Any:
    return rlbench.load(out)


def test_monitor(logs: Path, tmp_path: Path) -> None:
    """Episodes, their steps, and a score of the last hundred; the environment is in the file."""
    file = logs / "monitor.csv"
    assert here("import", file, "--agent", "a2c", "--out", tmp_path) == 0
    found = load(tmp_path)
    lines = list(csv.DictReader(file.read_text().splitlines()[1:]))
    returns = [float(row["r"]) for row in lines]
    assert found.episodes["return"].tolist() == returns
    assert found.episodes["step"].tolist() == np.cumsum([int(r["l"]) for r in lines]).tolist()
    run = per_seed(found).iloc[0]
    assert (run["env"], run["agent"], run["variant"]) == (
        CARTPOLE, "imported-a2c", "another protocol",
    )  # fmt: skip
    assert run["score"] == pytest.approx(np.mean(returns[-100:]))
    assert run["status"] == "done"
    assert not found.problems


def test_evaluations(logs: Path, tmp_path: Path) -> None:
    file = logs / "evaluations.npz"
    words = ["import", file, "--agent", "a2c", "--env", CARTPOLE, "--seed", "7"]
    assert here(*words, "--out", tmp_path) == 0
    arrays = np.load(file)
    grid = load(tmp_path).evaluations.query("phase == 'grid'")
    assert grid["return"].tolist() == arrays["results"].ravel().tolist()
    assert sorted(set(grid["step"])) == arrays["timesteps"].tolist()
    assert grid["length"].tolist() == arrays["ep_lengths"].ravel().tolist()
    run = per_seed(load(tmp_path)).iloc[0]
    assert run["score"] == pytest.approx(arrays["results"][-1].mean())
    assert run["seed"] == 7


def test_several_files_are_seeds_and_none_is_imported_twice(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy elsewhere is another seed; the same file with the same rows is not."""
    file, out = logs / "monitor.csv", tmp_path / "results"
    copy = write(tmp_path, "monitor.csv", file.read_bytes())
    assert here("import", file, copy, file, "--agent", "a2c", "--out", out) == 0
    assert "seed 0 was there already" in capsys.readouterr().out
    assert here("import", copy, file, "--agent", "a2c", "--seed", "5", "--out", out) == 0
    assert load(out).runs["seed"].tolist() == [0, 1]
    assert load(out).runs["digest"].nunique() == 1
    longer = write(tmp_path, "monitor.csv", file.read_text() + "9.0,9,99.0\n")
    assert here("import", longer, "--agent", "a2c", "--seed", "1", "--out", out) == 2
    assert "has seed 1 already" in capsys.readouterr().err
    assert here("import", longer, "--agent", "a2c", "--out", out) == 0
    assert load(out).runs["seed"].tolist() == [0, 1, 2]
    assert not load(out).problems


def test_an_import_that_was_killed_goes_on(logs: Path, tmp_path: Path) -> None:
    """Its part is unfinished and nobody's: the same command writes it anew."""
    words = ["import", logs / "monitor.csv", "--agent", "a2c", "--out", tmp_path]
    assert here(*words) == 0
    (whole,) = load(tmp_path).runs["path"].unique()
    part = RunFolder(Path(whole)).parts()[0]
    part.reserve([0])
    (part.path / "episodes.csv").write_text("seed,step")
    assert here(*words) == 0
    assert load(tmp_path).runs["status"].tolist() == ["done"]
    assert not load(tmp_path).problems


def cleanrl(folder: Path, name: str, returns: list[float]) -> Path:
    """A run as CleanRL's scripts write it, by tensorboard's own writer."""
    tensorboard = pytest.importorskip("tensorboard")
    assert tensorboard
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    place = folder / name
    writer = EventFileWriter(str(place))
    text = "|param|value|\n|-|-|\n|env_id|CartPole-v1|\n|learning_rate|0.001|\n|seed|3|"
    tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
    value = Summary.Value(tag="hyperparameters/text_summary", tensor=tensor)
    writer.add_event(Event(wall_time=1.0, step=0, summary=Summary(value=[value])))
    for i, ret in enumerate(returns):
        step = 10 * (i + 1)
        for tag, number in (
            ("charts/episodic_return", ret), ("charts/episodic_length", 10), ("losses/td_loss", i),
        ):  # fmt: skip
            value = Summary.Value(tag=tag, simple_value=number)
            event = Event(wall_time=2.0 + i, step=step, summary=Summary(value=[value]))
            writer.add_event(event)
    writer.close()
    return place


def test_cleanrl(tmp_path: Path) -> None:
    """Names, seed and hyperparameters are the file's own."""
    returns = [float(i) for i in range(150)]
    folder = cleanrl(tmp_path, "CartPole-v1__dqn__3__1700000000", returns)
    assert here("import", folder, "--out", tmp_path / "out") == 0
    found = load(tmp_path / "out")
    run = per_seed(found).iloc[0]
    assert (run["env"], run["agent"], run["seed"]) == (CARTPOLE, "imported-dqn", 3)
    assert run["score"] == pytest.approx(np.mean(returns[-100:]))
    assert found.episodes["step"].tolist() == [10 * (i + 1) for i in range(150)]
    assert set(found.episodes["length"]) == {10}
    losses = found.metrics.query("key == 'losses/td_loss'")["value"]
    assert losses.tolist() == list(range(150))
    assert found.parameters()["learning_rate"].tolist() == ["0.001"]


def test_event_files_that_are_cut_or_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A last record without an end is left out; a changed byte is refused."""
    folder = cleanrl(tmp_path, "CartPole-v1__dqn__3__1700000000", [1.0] * 20)
    file = next(folder.iterdir())
    content = file.read_bytes()
    file.write_bytes(content[:-5])
    assert here("import", folder, "--out", tmp_path / "out") == 0
    assert len(load(tmp_path / "out").episodes) == 20
    changed = bytearray(content)
    changed[len(content) // 2] ^= 0xFF
    for damaged in (bytes(changed), struct.pack("<Q", 2**62) + content[8:], b"no events at all"):
        file.write_bytes(damaged)
        capsys.readouterr()
        assert here("import", folder, "--agent", "x", "--out", tmp_path / "other") == 2
        said = capsys.readouterr().err
        assert "cannot be imported" in said
        assert said.count("\n") == 1
    assert not (tmp_path / "other").exists()


def test_wandb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "chart.csv"
    names = [f"run-{i} - charts/episodic_return{end}" for i in (1, 2) for end in ("", "__MIN")]
    rows = [["100", "20", "1", "", ""], ["200", "40", "2", "60", "3"]]
    text = "\n".join(",".join(f'"{cell}"' for cell in row) for row in [["Step", *names], *rows])
    file.write_text(text + "\n")
    words = ["import", file, "--agent", "ppo", "--env", CARTPOLE, "--out", tmp_path / "out"]
    assert here(*words) == 0
    scores = per_seed(load(tmp_path / "out")).set_index("seed")["score"]
    assert scores.to_dict() == {0: 30.0, 1: 60.0}
    file.write_text('"Step","a - loss","a - return"\n"1","2","3"\n')
    assert here(*words) == 2
    assert "name one by --return" in capsys.readouterr().err
    assert here(*words, "--return", "return") == 0


def marl(path: Path, seeds: Any) -> Path:
    path.write_text(json.dumps({"gymnasium": {CARTPOLE: {"qmix": seeds}}}))
    return path


def test_marl_eval(tmp_path: Path) -> None:
    seeds = {
        f"seed_{k}": {
            "step_0": {"step_count": 0, "return": [1.0, 2.0 + k]},
            "step_1": {"step_count": 500, "return": [10.0, 20.0]},
            "absolute_metrics": {"return": [30.0, 40.0 + k]},
        }
        for k in (4, 9)
    }
    assert here("import", marl(tmp_path / "m.json", seeds), "--out", tmp_path / "out") == 0
    found = per_seed(load(tmp_path / "out")).set_index("seed")
    assert found["score"].to_dict() == {4: 37.0, 9: 39.5}
    assert set(found["agent"]) == {"imported-qmix"}
    grid = load(tmp_path / "out").evaluations.query("phase == 'grid' and seed == 9")
    assert grid["return"].tolist() == [1.0, 11.0, 10.0, 20.0]


def test_what_is_exported_comes_back(tmp_path: Path) -> None:
    """marl-eval's JSON of a run of ours, imported, has the same scores."""
    out = tmp_path / "results"
    short = {"seeds": 2, "final_episodes": 3, "quiet": True, "floor": False, "jobs": 1}
    ours = rlbench.run("random", CARTPOLE, out=out, **short)  # type: ignore[arg-type]
    file = tmp_path / "all.json"
    assert here("results", "--export", "marl-eval", "-o", file, "--out", out) == 0
    assert here("import", file, "--out", tmp_path / "other") == 0
    before, after = (per_seed(each)["score"].tolist() for each in (ours, load(tmp_path / "other")))
    assert after == pytest.approx(before)


def test_imported_results_stand_in_comparisons_and_say_so(logs: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    short = {"seeds": 2, "final_episodes": 2, "quiet": True, "floor": False, "jobs": 1}
    rlbench.run("random", CARTPOLE, out=out, **short)  # type: ignore[arg-type]
    rlbench.run("a2c", CARTPOLE, out=out, total_timesteps=200, eval_episodes=1, **short)  # type: ignore[arg-type]
    copy = write(tmp_path, "monitor.csv", (logs / "monitor.csv").read_bytes())
    assert here("import", logs / "monitor.csv", copy, "--agent", "a2c", "--out", out) == 0
    comparison = rlbench.compare(out=out)
    labels = {name for name in comparison.scores["label"] if "imported" in name}
    assert labels == {"imported-a2c, another protocol"}
    text = rlbench.report(out=out).with_suffix(".md").read_text()
    assert "was imported from monitor.csv" in text
    assert "not of the sealed evaluation" in text
    assert "not known: imported" in text
    assert here("list", "runs", "--out", out) == 0
    assert here("show", "imported-a2c-CartPole-v1-600", "--out", out) in (0, 2)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


HEAD = '#{"t_start": 1.0, "env_id": "CartPole-v1"}\nr,l,t\n'
HUGE = json.dumps({"e": {"t": {"a": {"s": {"x": {"step_count": 1, "return": [10**400]}}}}}})
BROKEN: dict[str, tuple[str, str | bytes, str]] = {
    "empty monitor": ("monitor.csv", "", "no monitor.csv"),
    "no episodes": ("monitor.csv", HEAD, "has no episode"),
    "cut line": ("monitor.csv", HEAD + "1.0,5\n", "line 3 is not complete"),
    "word": ("monitor.csv", HEAD + "one,5,1.0\n", "r in line 3 is 'one'"),
    "nan": ("monitor.csv", HEAD + "nan,5,1.0\n", "not a finite number"),
    "negative": ("monitor.csv", HEAD + "1.0,-5,1.0\n", "not a count"),
    "other csv": ("monitor.csv", HEAD.replace("r,l,t", "a,b"), "lacks r, l or t"),
    "bytes": ("monitor.csv", b"#{}\n\xff\xfe\x00", "no monitor.csv"),
    "deep monitor": ("monitor.csv", "#" + "[" * 100_000 + "\nr,l,t\n", "no monitor.csv"),
    "cut in the middle": ("monitor.csv", HEAD + "1.0,5\n1.0,5,2.0", "line 3 is not complete"),
    "too long": ("monitor.csv", HEAD + f"1.0,{2**62},1.0\n" * 3, "the sum of l up to line 4"),
    "too much": ("monitor.csv", HEAD + "9999.0,5,1.0\n", "a return of 9999"),
    "no npz": ("evaluations.npz", b"nothing", "no evaluations.npz"),
    "no csv": ("chart.csv", "a,b\n1,2\n", "no column of steps"),
    "no json": ("marl.json", "[1, 2", "no JSON of marl-eval"),
    "list": ("marl.json", "[1, 2]", "no JSON object"),
    "deep": ("marl.json", "[" * 100_000, "no JSON of marl-eval"),
    "no steps": ("marl.json", '{"e": {"t": {"a": {"s": {"x": {"return": [1]}}}}}}', "step_count"),
    "a list of steps": ("marl.json", '{"e": {"t": {"a": {"s": {"x": [1]}}}}}', "no JSON object"),
    "huge": ("marl.json", HUGE, "not a finite number"),
    "unknown": ("results.xlsx", "", "known are monitor.csv"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content, said = BROKEN[case]
    file = write(tmp_path, name, content)
    words = ["--agent", "x", "--env", CARTPOLE, "--out", tmp_path / "out"]
    assert here("import", file, *words) == 2
    error = capsys.readouterr().err
    assert said in error, error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_last_line_that_is_cut_is_left_out(tmp_path: Path) -> None:
    """As of a training that was killed, or is still running."""
    file = write(tmp_path, "monitor.csv", HEAD + "1.0,5,1.0\n2.0,5,2.0\n3.0,1")
    assert here("import", file, "--agent", "x", "--out", tmp_path / "out") == 0
    assert load(tmp_path / "out").episodes["return"].tolist() == [1.0, 2.0]


def test_lengths_that_are_no_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "evaluations.npz"
    np.savez(
        file, timesteps=np.arange(2), results=np.ones((2, 1)), ep_lengths=np.full((2, 1), 1e30)
    )
    assert here("import", file, "--agent", "x", "--env", CARTPOLE, "--out", tmp_path / "o") == 2
    assert "the longest length is" in capsys.readouterr().err


def test_pickles_are_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "evaluations.npz"
    objects = np.array([print], dtype=object)
    np.savez(file, timesteps=np.arange(1), results=objects, ep_lengths=objects)
    assert here("import", file, "--agent", "x", "--env", CARTPOLE, "--out", tmp_path / "o") == 2
    assert "Python objects" in capsys.readouterr().err


def test_size_names_and_missing_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, "monitor.csv", HEAD + "1.0,5,1.0\n")
    for words, said in (
        ([file], "does not say which agent it is of: give --agent NAME"),
        ([file, "--agent", "../x"], "can be no name"),
        ([file, "--agent", "x", "--env", "a b"], "can be no name"),
        ([tmp_path / "nothing.npz", "--agent", "x"], "there is no such file"),
    ):
        assert here("import", *words, "--out", tmp_path / "out") == 2
        assert said in capsys.readouterr().err
    monkeypatch.setattr(results, "LARGEST", 10)
    assert here("import", file, "--agent", "x", "--out", tmp_path / "out") == 2
    assert "it is larger than" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
