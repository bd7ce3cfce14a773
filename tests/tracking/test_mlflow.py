"""Runs in MLflow, read back by its client from a database file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import TINY, here

SHORT = [*TINY, "-n", 300, "--eval-episodes", 2, "--final-episodes", 3, "--no-floor", "--quiet",
         "--jobs", 1]  # fmt: skip


def points(client: Any, run: Any) -> list[tuple[str, int, float]]:
    """All values of a run in MLflow, none left out."""
    return sorted(
        (key, each.step, each.value)
        for key in run.data.metrics
        for each in client.get_metric_history(run.info.run_id, key)
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of libraries
def test_values_in_mlflow_are_those_of_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run per seed below one of all seeds; a second mirror adds nothing, --again replaces."""
    mlflow = pytest.importorskip("mlflow")
    address = f"sqlite:///{tmp_path}/m.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.chdir(tmp_path)  # artifacts go to ./mlruns
    out = tmp_path / "results"
    words = ["run", "dqn", "--env", "CartPole-v1", *SHORT, "--out", out]
    assert here(*words, "--seeds", 2, "--track", "mlflow") == 0
    client = mlflow.MlflowClient(address)
    experiment = client.get_experiment_by_name("rlbench").experiment_id

    def runs() -> dict[str, Any]:
        return {each.data.tags["rlbench.run"]: each for each in client.search_runs([experiment])}

    first = runs()
    assert set(first) == {"all-seeds", "seed-0", "seed-1"}
    assert all(each.info.status == "FINISHED" for each in first.values())
    (part,) = out.glob("*/dqn-*/seeds-*")
    metrics = pd.read_csv(part / "metrics.csv")
    final = pd.read_csv(part / "evaluations.csv").query("phase == 'final'")
    for seed in (0, 1):
        own = first[f"seed-{seed}"]
        rows = metrics.query("seed == @seed")
        expected = sorted(zip(rows["key"], rows["step"], rows["value"], strict=True))
        got = [each for each in points(client, own) if not each[0].startswith(("eval/", "final/"))]
        assert [each[:2] for each in got] == [each[:2] for each in expected]
        assert [each[2] for each in got] == pytest.approx([e[2] for e in expected], nan_ok=True)
        score = final.query("seed == @seed")["return"].mean()
        assert own.data.metrics["final/mean_reward"] == pytest.approx(score)
        assert own.data.params["batch_size"] == "16"
        assert own.data.tags["mlflow.parentRunId"] == first["all-seeds"].info.run_id
    of_all = first["all-seeds"].data.metrics
    assert of_all["final/mean_reward"] == pytest.approx(final["return"].mean())
    assert not any(math.isnan(value) for value in of_all.values())
    assert client.list_artifacts(first["all-seeds"].info.run_id, "figures")

    before = {name: points(client, run) for name, run in first.items()}
    assert here("track", "latest", "--to", "mlflow", "--out", out) == 0
    assert {name: points(client, run) for name, run in runs().items()} == before
    assert here("track", "latest", "--to", "mlflow", "--again", "--out", out) == 0
    again = runs()
    assert {name: points(client, run) for name, run in again.items()} == before
    assert not {r.info.run_id for r in again.values()} & {r.info.run_id for r in first.values()}

    assert here(*words, "--seeds", 3, "--track", "mlflow") == 0  # a seed more: means are of three
    more = runs()
    assert set(more) == {"all-seeds", "seed-0", "seed-1", "seed-2"}
    assert points(client, more["seed-0"]) == before["seed-0"]
    scores = pd.concat(map(pd.read_csv, out.glob("*/dqn-*/seeds-*/evaluations.csv")))
    mean = scores.query("phase == 'final'").groupby("seed")["return"].mean().mean()
    assert more["all-seeds"].data.metrics["final/mean_reward"] == pytest.approx(mean)
    parents = {run.data.tags.get("mlflow.parentRunId") for run in more.values()}
    assert parents == {None, more["all-seeds"].info.run_id}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of libraries
def test_an_mlflow_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    out = tmp_path / "results"
    assert here("run", "random", "--env", "CartPole-v1", "--seeds", 1, "--final-episodes", 2,
                "--no-floor", "--quiet", "--out", out) == 0  # fmt: skip
    capsys.readouterr()
    assert here("track", "latest", "--to", "mlflow", "--out", out) == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: mlflow: ")
    assert "Traceback" not in said
