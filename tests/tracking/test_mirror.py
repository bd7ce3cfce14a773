"""Mirrors follow files that grow, are cut and grow again, and give one series whatever happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest
from commands import TINY, here

from rlbench.errors import Busy, UserError
from rlbench.tracking import follower
from rlbench.tracking.mirror import Mirror
from rlbench.tracking.trackers import RunFacts, check_installed, names_of

Written = dict[int | None, list[tuple[int, str, float]]]
SHORT = [*TINY, "-n", 300, "--eval-episodes", 2, "--final-episodes", 3, "--no-floor", "--quiet",
         "--jobs", 1]  # fmt: skip


class Notebook:
    """A tracker that keeps what it is told."""

    def __init__(self) -> None:
        self.written: Written = {}
        self.ends: dict[int | None, str] = {}
        self.attached: list[str] = []
        self.facts: RunFacts | None = None

    def open(self, facts: RunFacts, seed: int | None, again: bool) -> Page:
        self.facts = facts
        self.written.setdefault(seed, [])
        return Page(self, seed)

    def where(self, folder: Path) -> str:
        return ""


class Page:
    def __init__(self, book: Notebook, seed: int | None) -> None:
        self.book, self.seed = book, seed
        self.last: dict[str, int] = {}

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.book.written[self.seed] += [(step, key, value) for key, value in values.items()]

    def attach(self, path: Path, step: int) -> None:
        self.book.attached.append(path.name)

    def flush(self) -> None: ...

    def close(self, status: str) -> None:
        self.book.ends[self.seed] = status


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    assert here("run", "dqn", "--env", "CartPole-v1", "--seeds", 2, *SHORT, "--out", out) == 0
    return next(out.glob("*/dqn-*"))


def sorted_series(written: Written) -> dict[int | None, list[tuple[str, int, float]]]:
    return {
        seed: sorted((key, step, value) for step, key, value in points)
        for seed, points in written.items()
    }


def whole(run: Path) -> Notebook:
    book = Notebook()
    Mirror(run, (), "whole", book).finish()
    return book


def test_a_mirror_holds_the_rows_and_their_means(run: Path) -> None:
    book = whole(run)
    (part,) = run.glob("seeds-*")
    metrics = pd.read_csv(part / "metrics.csv")
    evaluations = pd.read_csv(part / "evaluations.csv")
    for seed in (0, 1):
        rows = metrics.query("seed == @seed")
        expected = list(zip(rows["key"], rows["step"], rows["value"], strict=True))
        for name in ("eval", "final"):
            phase = "grid" if name == "eval" else name  # noqa: F841 - of the query
            means = (
                evaluations.query("seed == @seed and phase == @phase")
                .groupby("step")
                .mean(numeric_only=True)
            )
            expected += [(f"{name}/mean_reward", s, v) for s, v in means["return"].items()]
            expected += [(f"{name}/mean_ep_length", s, v) for s, v in means["length"].items()]
        got = sorted_series(book.written)[seed]
        assert [point[:2] for point in got] == [point[:2] for point in sorted(expected)]
        assert [p[2] for p in got] == pytest.approx([p[2] for p in sorted(expected)], nan_ok=True)
    means = metrics.groupby(["key", "step"])["value"].agg(["mean", "count"]).query("count == 2")
    of_all = {(key, step): value for key, step, value in sorted_series(book.written)[None]}
    for key, step, mean in means["mean"].reset_index().to_numpy().tolist():
        assert of_all[key, step] == pytest.approx(mean)
    assert {"rollout/ep_rew_mean", "train/loss", "time/fps", "eval/mean_reward"} <= {
        k for k, _ in of_all
    }
    assert book.ends == {0: "done", 1: "done", None: "done"}
    assert book.attached == ["curve.png"]
    assert book.facts is not None
    assert book.facts.hyperparameters["batch_size"] == 16


def grown(run: Path, copy: Path, share: float) -> None:
    """Let the files of a copied run be a share of the run's, cut anywhere."""
    for file in run.glob("seeds-*/*.csv"):
        content = file.read_bytes()
        new = copy / file.parent.name / f"{file.name}.new"
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(content[: int(len(content) * share)])
        new.replace(new.with_suffix(""))
        (new.parent / "part.json").write_bytes((file.parent / "part.json").read_bytes())
    (copy / "run.json").write_bytes((run / "run.json").read_bytes())


def appended(run: Path, copy: Path, share: float) -> None:
    """Let files that are there grow to this share."""
    for file in run.glob("seeds-*/*.csv"):
        content = file.read_bytes()
        with (copy / file.parent.name / file.name).open("ab") as stream:
            stream.write(content[stream.tell() : int(len(content) * share)])


def test_a_mirror_of_growing_files_is_that_of_whole_ones(run: Path, tmp_path: Path) -> None:
    """Rows come in pieces that end within lines; then a kill cuts the files, and rows come anew."""
    book = Notebook()
    mirror = Mirror(tmp_path, (0, 1), "growing", book)
    mirror.update()  # there is no run yet
    assert book.written == {}
    grown(run, tmp_path, 0.07)
    for share in (0.1, 0.31, 0.5, 0.503):
        appended(run, tmp_path, share)
        mirror.update()
    before = sum(map(len, book.written.values()))
    assert before > 50
    grown(run, tmp_path, 0.3)  # what a checkpoint held, in new files
    mirror.update()
    assert sum(map(len, book.written.values())) == before
    for share in (0.6, 1.0):
        appended(run, tmp_path, share)
        mirror.update()
    mirror.finish()
    assert sorted_series(book.written) == sorted_series(whole(run).written)


def test_one_process_mirrors_a_run_in_a_tracker(run: Path) -> None:
    first, second = (Mirror(run, (), "alone", Notebook()) for _ in range(2))
    first.update()
    with pytest.raises(Busy, match="another process mirrors"):
        second.update()
    first.finish()
    second.finish()


def test_unknown_and_missing_trackers_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"no tracker 'tensorbord'\. Did you mean 'tensorboard'"):
        names_of("tensorbord")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        UserError, match=r"wandb is missing: pip install 'rlbench-workbench\[wandb\]'"
    ):
        check_installed(names_of("wandb"))


CHILD = """
import json, sys
request = json.loads(sys.stdin.readline())
{body}
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.stdin.read()", []),
        ("print('OSError: no route to host')", ["OSError: no route to host"]),
        ("import os; os.abort()", ["its process died (-6)"]),
        ("import time; time.sleep(60)", ["not done 1 s after the end"]),
    ],
)
def test_a_tracker_that_fails_costs_one_warning(
    tmp_path: Path, body: str, said: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is down, crashes or hangs; the block goes on, and ends in time."""
    popen = subprocess.Popen

    def instead(command: list[str], **kwargs: object) -> object:
        return popen([sys.executable, "-c", CHILD.format(body=body)], **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", instead)
    monkeypatch.setattr(follower, "PATIENCE", 1.0)
    lines: list[str] = []
    with follower.mirrored(["mlflow"], {tmp_path: [0]}, lines.append):
        pass
    ending = "; nothing else is affected, and rlbench track RUN --to mlflow writes the mirror later"
    assert lines == [f"Warning: mlflow: {each}{ending}" for each in said]


def test_a_follower_without_its_package_says_so(run: Path) -> None:
    """The real process, told of a tracker that there is not."""
    request = {"tracker": "nothing", "again": False, "runs": {str(run): [0]}}
    done = subprocess.run(
        [sys.executable, "-m", "rlbench.tracking.follower"], input=json.dumps(request) + "\n",
        capture_output=True, text=True, check=False, timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout.startswith("ModuleNotFoundError")
    assert len(done.stdout.splitlines()) == 1
