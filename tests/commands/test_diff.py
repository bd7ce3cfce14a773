"""`rlbench diff` and `rlbench results`: what differs between runs, and results for other tools."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from commands import TINY, here

import rlbench
from rlbench.reporting.tables.summaries import overall

SHORT = ["-n", "200", "--eval-episodes", "1", "--final-episodes", "2", "-q", "--no-floor",
         "--jobs", "1"]  # fmt: skip
CART = ["run", "dqn", "--env", "CartPole-v1", *TINY, *SHORT]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two") / "results"
    assert here(*CART, "--seeds", "2", "--out", folder) == 0
    assert here(*CART, "--seeds", "0-2", "-p", "gamma=0.9", "--out", folder) == 0
    return folder


def digests(out: Path) -> tuple[str, str]:
    runs = rlbench.load(out).runs
    gamma = runs["variant"].str.contains("gamma")
    return runs.loc[~gamma, "digest"].iloc[0], runs.loc[gamma, "digest"].iloc[0]


def test_settings_and_the_first_row(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = digests(out)
    assert here("diff", one, other, "--out", out) == 1
    said = capsys.readouterr().out
    assert "gamma" in said
    assert "0.9" in said
    assert "learning_rate" not in said
    assert "made with: equal" in said
    assert "compared are the seeds of both: 0-1" in said
    metrics = [
        rlbench.load(out).metrics.query(
            "digest == @digest and seed < 2 and not key.str.startswith('time')"
        )
        for digest in (one, other)
    ]
    a, b = (each.set_index(["step", "seed", "key"])["value"].sort_index() for each in metrics)
    common = a.index.intersection(b.index)
    step = min(place[0] for place in common if a[place] != b[place])
    assert f"step {step}, key" in said.split("metrics:")[1].splitlines()[0]


def test_a_run_and_its_copy_are_equal(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Computed anew elsewhere, with other times; then one number is changed."""
    one, _ = digests(out)
    assert here(*CART, "--seeds", "2", "--out", tmp_path) == 0
    copy = next(tmp_path.glob("CartPole-v1/dqn-*"))
    capsys.readouterr()
    assert here("diff", one, copy, "--out", out) == 0
    assert "settings: equal" in capsys.readouterr().out
    file = next(copy.glob("seeds-*/episodes.csv"))
    lines = file.read_text().splitlines()
    seed, step, episode, ret, *rest = lines[3].split(",")
    lines[3] = ",".join([seed, step, episode, str(float(ret) + 1), *rest])
    file.write_text("\n".join(lines) + "\n")
    part = file.with_name("part.json")
    record = json.loads(part.read_text())
    part.write_text(
        json.dumps({k: v for k, v in record.items() if k not in ("checksum", "checksums")})
    )
    assert here("diff", one, copy, "--out", out) == 1
    said = capsys.readouterr().out
    assert f"of seed {seed}, episode {episode}, step {step}: return" in said


def test_latex(out: Path, tmp_path: Path) -> None:
    assert here("results", "--export", "latex", "-o", tmp_path / "t.tex", "--out", out) == 0
    text = (tmp_path / "t.tex").read_text()
    assert r"\begin{tabular}{lr}" in text
    assert r"target\_update\_interval" in text
    assert text.count(r" \\") == 1 + len(overall(rlbench.load(out)))
    assert "n = 2 of 2, 3 of 3" in text


def test_parquet_has_settings(out: Path) -> None:
    assert here("results", "--export", "parquet", "--out", out) == 0
    table = pd.read_parquet(io.BytesIO((out / "results.parquet").read_bytes()))
    results = rlbench.load(out)
    assert len(table) == len(results.evaluations)
    assert set(table["config.gamma"]) == {0.9, 0.99}
    assert (table["status"] == "done").all()


def test_marl_eval(out: Path, tmp_path: Path) -> None:
    one, _ = digests(out)
    file = tmp_path / "m.json"
    assert here("results", one, "--export", "marl-eval", "-o", file, "--out", out) == 0
    content = json.loads(file.read_text())
    (runs,) = content["gymnasium"]["CartPole-v1"].values()
    assert sorted(runs) == ["seed_0", "seed_1"]
    final = rlbench.load(out).evaluations.query("digest == @one and seed == 1 and phase == 'final'")
    assert runs["seed_1"]["absolute_metrics"]["return"] == final["return"].tolist()
    assert [runs["seed_1"][f"step_{i}"]["step_count"] for i in range(11)] == [*range(0, 201, 20)]


def test_a_column_for_each_hyperparameter(out: Path) -> None:
    results = rlbench.load(out)
    table = results.parameters()
    assert len(table) == len(results.runs) == 5
    joined = results.runs.merge(table)
    assert len(joined) == 5
    assert joined.groupby("gamma")["seed"].count().to_dict() == {0.9: 3, 0.99: 2}
    assert set(table["net_arch"]) == {"16"}
