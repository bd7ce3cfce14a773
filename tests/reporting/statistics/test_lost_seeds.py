"""Nobody wins by losing seeds: all that compares, ranks or counts takes lost seeds for lost."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import here
from image_runs import write_data_run
from report_files import write_seeds
from scipy.stats import mannwhitneyu

from rlbench.reporting.report import section_scores, write_report
from rlbench.reporting.report.caveats import caveats
from rlbench.reporting.report.inputs import scope
from rlbench.reporting.report.regressions import regressions
from rlbench.reporting.report.report_data import ReportData, collect
from rlbench.reporting.report.summary_text import how_much, which
from rlbench.reporting.statistics.two_samples import compare
from rlbench.reporting.tables.load import load

Scores = Mapping[int, float | str]
TEN = range(10)
LOSER: Scores = {s: 500.0 if s < 4 else "diverged" for s in TEN}
STEADY: Scores = {s: 150.0 + s for s in TEN}
ENVS = {"CartPole-v1": 475.0, "Acrobot-v1": -100.0}


def evidence(root: Path, **agents: Scores) -> ReportData:
    for env, threshold in ENVS.items():
        for agent, scores in agents.items():
            write_seeds(root, agent, scores, env=env, reward_threshold=threshold)
    return collect(scope([root]))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    """dqn has four seeds at 500 and lost six, ppo has ten around 155."""
    return evidence(tmp_path_factory.mktemp("lost"), dqn=LOSER, ppo=STEADY)


def test_the_first_screen_decides_nothing(found: ReportData) -> None:
    (said,) = which(found)
    assert said.startswith(
        "dqn and ppo: undecided: 6 of 10 seeds lost by dqn on Acrobot-v1; undecided: 6 of 10 seeds "
        "lost by dqn on CartPole-v1; "
    )
    assert "(12 of 20 seeds lost)" in how_much(found)[0]
    assert "+345.5 [no interval] on CartPole-v1 (6 of 10 seeds lost by dqn)" in how_much(found)[1]
    said = " ".join(caveats(found))
    assert "dqn on CartPole-v1: of 10 seeds 6 diverged; its mean is over the other 4 seeds" in said


def test_without_loss_the_same_scores_are_decided(tmp_path: Path) -> None:
    """Control: four seeds of four, and ten of which some have not ended."""
    four: Scores = dict.fromkeys(range(4), 500.0)
    waits = {**four, **dict.fromkeys(range(4, 10), "running")}
    for name, scores in {"four": four, "waits": waits}.items():
        assert which(evidence(tmp_path / name, dqn=scores, ppo=STEADY))[0].startswith(
            "dqn beats ppo on 2 of 2 environments"
        )


@pytest.mark.parametrize("agent", ["dqn", "z"])
def test_winning_over_lost_seeds_and_in_spite_of_them(tmp_path: Path, agent: str) -> None:
    """The one that lost seeds may be beaten; it may win where few lost seeds do not matter."""
    low = {s: 50.0 + s if s < 6 else "failed" for s in TEN}
    assert which(evidence(tmp_path / "a", **{agent: low}, ppo=STEADY))[0].startswith(
        f"ppo beats {agent} on 2 of 2 environments"
    )
    few = {s: 500.0 + s if s else "timeout" for s in TEN}
    assert which(evidence(tmp_path / "b", **{agent: few}, ppo=STEADY))[0].startswith(
        f"{agent} beats ppo on 2 of 2 environments"
    )
    both = {s: 500.0 + s if s < 5 else "failed" for s in TEN}
    steady = {s: 150.0 + s if s < 5 else "failed" for s in TEN}
    (said,) = which(evidence(tmp_path / "c", **{agent: both}, ppo=steady))
    assert said.count("undecided: 5 of 10 seeds lost by") == 2


def test_lost_seeds_are_named_among_many_entrants(tmp_path: Path) -> None:
    agents = {f"a{i}": {s: 100.0 * i + s for s in TEN} for i in range(3)}
    lines = which(evidence(tmp_path, **agents, dqn=LOSER))
    assert lines[1].startswith("CartPole-v1: undecided between a2 and dqn; beaten by")
    assert "undecided: 6 of 10 seeds lost by dqn" in lines[1]


def test_equal_scores_beside_lost_seeds_are_no_tie(tmp_path: Path) -> None:
    five_hundred = dict.fromkeys(TEN, 500.0)
    found = evidence(tmp_path, dqn=LOSER, ppo=five_hundred)
    assert set(found.pairs["verdict"]) == {"undecided"}
    assert "All seeds are equal of ppo on" in " ".join(caveats(found))


def where(table: pd.DataFrame, **values: str) -> pd.DataFrame:
    """The rows with these values."""
    return table[(table[list(values)] == list(values.values())).all(axis="columns")]


def test_the_worst_rank_is_a_rank(tmp_path: Path) -> None:
    """p_worst does not depend on how far apart scores are; P(a > b) is Mann and Whitney's."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(3, 1, 8), rng.normal(0, 1, 9)
    found = compare([*a, math.nan, math.nan], b, rng, lost=(2, 0))
    far = compare([*(a * 1e6), math.nan, math.nan], np.minimum(b, a.min() - 1), rng, lost=(2, 0))
    assert far.p_worst == pytest.approx(found.p_worst, abs=0.01)
    whole = np.append(a, [-1e9, -1e9])
    assert found.improvement == mannwhitneyu(whole, b).statistic / 90
    assert found.p == max(found.p_permutation, found.p_worst)
    assert (found.n_a, found.lost_a, found.difference) == (8, 2, a.mean() - b.mean())
    plain = compare(a, b, np.random.default_rng(1))
    assert plain.p == plain.p_permutation
    assert math.isnan(plain.p_worst)
    other = compare([*a, *[math.nan] * 20], b, rng, lost=(20, 0))
    assert other.difference > 0 > other.improvement - 0.5
    assert other.p == 1


def test_tables_and_bold(found: ReportData) -> None:
    head, *rows = [section_scores.glance(found).columns, *section_scores.glance(found).rows]
    assert list(head) == ["*environment", "dqn", "ppo"]
    for _, dqn, ppo in rows:
        assert (dqn.text, dqn.note) == ("500.0", "4 of 10 at 500; n = 4 of 10: 6 diverged")
        assert (dqn.kind, ppo.kind) == ("", "best")
    scores = {row[0].text: row for row in section_scores.scores(found).rows if len(row) > 1}
    assert scores["dqn"][1].kind == ""
    assert [scores["dqn"][i].text for i in (2, 5, 6)] == ["4 of 10 at 500", "4 of 10", "4 of 10"]
    compared = [row for row in section_scores.comparisons(found).rows if len(row) > 1]
    for row in compared:
        assert [row[i].text for i in (4, 5, 6)] == [
            "0.40", "4 of 10, 10", "undecided: 6 of 10 seeds lost by dqn",
        ]  # fmt: skip
        assert row[6].kind == ""


def test_aggregates_profiles_and_probabilities(found: ReportData) -> None:
    iqm = where(found.aggregates, statistic="IQM").sort_values("label")
    assert iqm[["n", "lost", "of"]].values.tolist() == [[4, 12, 20], [10, 0, 20]]
    assert iqm["value"].is_monotonic_decreasing  # of those with a score, and that is said
    assert where(found.profiles, label="dqn")["share"].max() == pytest.approx(0.4)
    assert "12 of 20 seeds lost, counted as worst" in found.profiles["method"].iloc[0]
    assert found.improvements["value"].tolist() == pytest.approx([0.4, 0.6])
    assert (found.improvements["low"] < found.improvements["value"]).all()


def test_an_entrant_that_lost_all_is_last(tmp_path: Path) -> None:
    """Where all seeds of an environment are lost there is no mean, but there are profiles and P."""
    found = evidence(tmp_path, dqn=dict.fromkeys(TEN, "failed"), ppo=STEADY)
    assert set(found.pairs["verdict"]) == {"no score"}
    assert found.pairs["improvement"].tolist() == [0.0, 0.0]
    assert where(found.aggregates, label="dqn")["value"].isna().all()
    assert where(found.profiles, label="dqn")["share"].max() == 0
    assert where(found.improvements, a="dqn", b="ppo")["value"].tolist() == [0]


def test_a_seed_that_is_lost_later_was_never_there(tmp_path: Path) -> None:
    """Steps to a threshold: four seeds get there at 50,000 steps, and two diverge afterwards."""
    folder = write_seeds(tmp_path, "dqn", dict.fromkeys(range(4), 480.0))
    (part,) = folder.glob("seeds-*/part.json")
    text = part.read_text()
    assert collect(scope([tmp_path])).costs[["steps", "reached"]].values.tolist() == [[50_000, 4]]
    for seed in (2, 3):
        text = text.replace(f'"{seed}": "done"', f'"{seed}": "diverged"')
    part.write_text(text)
    found = collect(scope([tmp_path]))
    assert found.costs[["steps", "reached", "of"]].values.tolist() == [[math.inf, 2, 4]]
    assert found.cells[["solved", "ended", "lost"]].values.tolist() == [[2, 4, 2]]


def test_seeds_done_without_a_score_are_lost(tmp_path: Path) -> None:
    found = evidence(tmp_path, dqn={0: 500.0, 1: math.nan, 2: "running"}, ppo={0: 1.0, 1: 2.0})
    assert found.pairs[["n_a", "of_a", "lost_a"]].values.tolist() == [[1, 3, 1]] * 2
    assert "of 3 seeds 1 stopped and 1 done without a score" in " ".join(caveats(found))


def test_exported_tables_tell_lost_seeds(tmp_path: Path) -> None:
    for env in ENVS:
        for agent, scores in (("dqn", LOSER), ("ppo", STEADY), ("z", {0: "failed"})):
            write_seeds(tmp_path, agent, scores, env=env)
    page, *files = write_report([tmp_path], output=tmp_path / "x.html")
    text = re.sub(r"<[^>]*>", "", page.read_text())
    assert text.count("undecided: 6 of 10 seeds lost by dqn") >= 4
    read = {f.name: pd.read_csv(f) for f in files if f.suffix == ".csv"}
    assert read["seeds.csv"]["lost"].sum() == 14
    assert read["cells.csv"].set_index("label")["lost"].to_dict() == {"dqn": 6, "ppo": 0, "z": 1}
    pairs = read["comparisons.csv"].query("b == 'ppo'")
    assert pairs[["of_a", "lost_a", "lost_b"]].values.tolist() == [[10, 6, 0]] * 2
    assert (pairs["p"] < 0.01).all()
    assert (pairs["p_worst"] > 0.05).all()
    assert (pairs["p_holm"] == 1).all()


def test_compare_ranks_those_that_lost_seeds_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [write_seeds(tmp_path, a, s) for a, s in (("dqn", LOSER), ("ppo", STEADY))]
    assert here("compare", *runs) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    names = [line[0] for line in lines if line and line[0] in ("dqn", "ppo")]
    assert names == ["ppo", "dqn"]
    assert any("runs that lost seeds come last" in " ".join(line) for line in lines)
    data = tmp_path / "data"
    grid = [(0, 0.1), (100, 0.99)]
    good = write_data_run(data, "dqn", {0: grid, 1: grid}, {0: 0.99}, status={1: "failed"})
    other = write_data_run(data, "ppo", {0: grid, 1: grid}, {0: 0.8, 1: 0.8})
    assert here("compare", good, other) == 0
    shown = capsys.readouterr().out.splitlines()
    dqn, ppo = (next(i for i, line in enumerate(shown) if name in line.split()[:1])
                for name in ("dqn", "ppo"))  # fmt: skip
    assert ppo < dqn
    assert "(1 of 2)" in shown[dqn]


def verdict(root: Path, before: Scores, now: Scores) -> list[str]:
    write_seeds(root / "before", "dqn", before)
    write_seeds(root / "now", "dqn", now)
    table = regressions(load(root / "now"), load(root / "before"))
    return table[["verdict", "said"]].iloc[0].tolist()


def test_against_earlier_results(tmp_path: Path) -> None:
    half = {s: 150.0 + s if s < 4 else "failed" for s in TEN}
    # As many lost as before, and better ones left: not decided with lost seeds ranked worst.
    assert verdict(tmp_path / "a", half, LOSER) == [
        "undecided", "6 of 10 diverged; 6 of 10 seeds lost before",
    ]  # fmt: skip
    # None lost any more, but worse than those that were left: which of the two is better?
    assert verdict(tmp_path / "b", LOSER, STEADY) == ["undecided", "6 of 10 seeds lost before"]
    # None lost, and better than all there were.
    assert verdict(tmp_path / "c", half, {s: 300.0 + s for s in TEN})[0] == "better"
    # Seeds in common are the same, but those that were lost are there now: not equal.
    whole = {s: 150.0 + s for s in TEN}
    assert verdict(tmp_path / "d", half, whole)[0] == "undecided"
    assert verdict(tmp_path / "e", half, half)[0] == "equal"
    assert verdict(tmp_path / "f", STEADY, LOSER)[0] == "worse"
    out = tmp_path / "f"
    assert here("compare", "--against", out / "before", "--out", out / "now") == 1
