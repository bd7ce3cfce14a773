"""A real drop is found, and nothing else: `rlbench compare --against`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import TINY, here
from image_runs import write_data_run
from pandas.testing import assert_frame_equal
from report_files import write_seeds

from rlbench.errors import UserError
from rlbench.reporting.report.regressions import regressions
from rlbench.reporting.tables.load import load, load_final


def verdicts(now: Path, before: Path, **how: bool) -> dict[str, tuple[str, str]]:
    table = regressions(load(now), load(before), **how)
    names = (table["agent"] + " " + table["variant"]).str.strip()
    return dict(zip(names, zip(table["verdict"], table["said"])))


def scores(mean: float, seeds: int = 10, stream: int = 0) -> dict[int, float]:
    return {s: mean + x for s, x in enumerate(np.random.default_rng(stream).standard_normal(seeds))}


def test_verdicts_of_better_worse_and_undecided_runs(tmp_path: Path) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    cases: list[tuple[str, dict[int, float], Any]] = [
        ("worse", scores(100), scores(90, stream=1)),
        ("better", scores(100), scores(110, stream=1)),
        ("undecided", scores(100), scores(100.2, stream=1)),
        ("same", scores(100), scores(100)),
        ("more", scores(100, 5), scores(100, 8)),  # the five in common are the same
        ("lost", scores(100), {**scores(100), 9: "diverged"}),
        ("waits", scores(100), dict.fromkeys(range(10), "running")),
        ("gone", scores(100), None),
    ]
    for agent, old, new in cases:
        write_seeds(before, agent, old)
        if new is not None:
            write_seeds(now, agent, new)
    assert verdicts(now, before) == {
        "worse": ("worse", ""),
        "better": ("better", ""),
        "undecided": ("undecided", ""),
        "same": ("equal", "identical rows of 10 seeds"),
        "more": ("equal", "identical rows of 5 seeds"),
        "lost": ("worse", "1 of 10 diverged"),
        "waits": ("missing", "10 of 10 stopped"),
        "gone": ("missing", "no such run"),
    }


def test_few_seeds_are_said(tmp_path: Path) -> None:
    write_seeds(tmp_path / "before", "dqn", scores(100, 3))
    write_seeds(tmp_path / "now", "dqn", scores(10, 3, stream=1))
    assert verdicts(tmp_path / "now", tmp_path / "before") == {
        "dqn": ("undecided", "too few seeds to decide")
    }


def test_holm_over_the_runs(tmp_path: Path) -> None:
    """A p that would do alone does not among many; identical runs are no tests."""
    before, now = tmp_path / "before", tmp_path / "now"
    write_seeds(before, "one", scores(0, 5))
    write_seeds(now, "one", scores(-3, 5, stream=1))
    assert verdicts(now, before)["one"][0] == "worse"
    for i in range(3):
        write_seeds(before, f"same{i}", scores(0))
        write_seeds(now, f"same{i}", scores(0))
    assert verdicts(now, before)["one"][0] == "worse"
    for i in range(7):
        write_seeds(before, f"near{i}", scores(0, 4))
        write_seeds(now, f"near{i}", scores(0, 4, stream=1))
    table = regressions(load(now), load(before)).set_index("agent")
    assert table["p_holm"]["one"] == pytest.approx(8 * table["p"]["one"])
    assert table.loc["one", "verdict"] == "undecided"


def test_by_digest_and_else_by_name(tmp_path: Path) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    for digest, base in (("aaaa0000", 1.0), ("bbbb0000", 2.0)):
        write_seeds(before, "dqn", scores(base, 3), digest=digest, variant=f"v={base:g}")
    write_seeds(now, "dqn", scores(1, 3), digest="aaaa0000", variant="v=1")
    write_seeds(now, "dqn", scores(2, 3), digest="cccc0000", variant="v=2")
    assert verdicts(now, before) == {
        "dqn v=1": ("equal", "identical rows of 3 seeds"),
        "dqn v=2": ("equal", "settings differ; identical rows of 3 seeds"),
    }
    write_seeds(now, "dqn", scores(2, 3), digest="dddd0000", variant="v=2")
    assert verdicts(now, before)["dqn v=2"] == (
        "missing",
        "could be cccc0000 or dddd0000: name one",
    )


def test_named_runs_only(tmp_path: Path) -> None:
    before = tmp_path / "before"
    for agent in ("dqn", "ppo"):
        write_seeds(before, agent, scores(1, 3))
    run = write_seeds(tmp_path / "now", "dqn", scores(1, 3))
    assert list(verdicts(run, before, only_matched=True)) == ["dqn"]
    other = write_seeds(tmp_path / "other", "a2c", scores(1, 3))
    with pytest.raises(UserError, match="no run of a2c on CartPole-v1"):
        verdicts(other, before, only_matched=True)
    with pytest.raises(UserError, match="no run of a2c on CartPole-v1"):
        verdicts(tmp_path / "other", before)


def test_final_rows_are_enough(tmp_path: Path) -> None:
    """The table of stores that were read whole, also of more runs than a byte has categories."""
    before, now = tmp_path / "before", tmp_path / "now"
    for i in range(140):
        write_seeds(before, f"agent{i}", scores(i, 3))
        write_seeds(now, f"agent{i}", scores(i, 3, stream=i % 3))
    write_data_run(before, "supervised", test={0: 0.95, 1: 0.96})
    write_data_run(now, "supervised", test={0: 0.95, 1: 0.97})
    assert_frame_equal(
        regressions(load_final(now), load_final(before)), regressions(load(now), load(before))
    )


def test_tests_of_a_large_store_share_their_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    for agent in ("dqn", "ppo"):
        write_seeds(before, agent, scores(100))
        write_seeds(now, agent, scores(101, stream=1))
    alone = regressions(load(now), load(before))
    monkeypatch.setattr("rlbench.reporting.report.regressions.MANY", 1)
    together = regressions(load(now), load(before))
    assert alone["p"].nunique() == 2  # each by splits of its own
    assert together["p"].nunique() == 1
    assert together["p"].to_numpy() == pytest.approx(alone["p"].to_numpy(), abs=0.01)


def test_a_real_regression(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real runs: the same again is equal; rows that dropped are worse, by exit code."""
    monkeypatch.chdir(tmp_path)
    run = ["run", "dqn", "--env", "CartPole-v1", "--seeds", "5", "-n", "150", *TINY, "-q"]
    for out in ("before", "now"):
        assert here(*run, "--out", out) == 0
    capsys.readouterr()
    assert here("compare", "--against", "before", "--out", "now") == 0
    said = capsys.readouterr().out
    assert "equal: identical rows of 5 seeds" in said
    assert "2 equal." in said  # the floor too
    (part,) = Path("now").glob("CartPole-v1/dqn-*/seeds-*")
    rows = (part / "evaluations.csv").read_text().splitlines(keepends=True)
    dropped = []
    for row in rows:
        fields = row.split(",")
        if fields[2] == "final":
            fields[4] = str(1 + float(fields[4]) / 100)
        dropped.append(",".join(fields))
    (part / "evaluations.csv").write_text("".join(dropped))
    record = json.loads((part / "part.json").read_text())
    kept = {key: value for key, value in record.items() if "checksum" not in key}
    (part / "part.json").write_text(json.dumps(kept))  # without it the file would be refused
    assert here("compare", "--against", "before", "--out", "now") == 1
    said = capsys.readouterr().out
    assert "worse" in said
    assert "permutation test of his t, adjusted over 1 run (Holm)" in said
    assert here("compare", "--against", "before", part.parent) == 1
    assert here("compare", "--against", "before", next(Path("now").glob("*/random-*"))) == 0


def test_wrong_use_of_against_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_seeds(tmp_path / "now", "dqn", {0: 1.0})
    for arguments, line in (
        ([], "Missing argument 'RUN...'"),
        (["--against", tmp_path / "nowhere", "--out", tmp_path / "now"], "is no folder"),
        (["--against", tmp_path / "now", "-o", "x", run], "leave out --against"),
        (["--against", tmp_path / "now", "--out", tmp_path], None),
        (["--against", tmp_path / "now", "dqm"], "no run 'dqm'"),
    ):
        code = here("compare", *arguments)
        error = capsys.readouterr().err
        assert code == (2 if line else 0)
        assert (line or "") in error
    assert json.loads((run / "run.json").read_text())["agent"] == "dqn"
