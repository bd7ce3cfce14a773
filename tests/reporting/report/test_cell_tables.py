"""Cells, costs and inference say what a naive reckoning of the files says."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd
import pytest
from image_runs import write_data_run
from report_files import write_bench, write_seeds
from scipy.stats import permutation_test, rankdata

from rlbench.errors import UserError
from rlbench.reporting.report import tests_and_aggregates
from rlbench.reporting.report.caveats import caveats
from rlbench.reporting.report.cell_tables import STATES
from rlbench.reporting.report.inputs import scope
from rlbench.reporting.report.report_data import ReportData, collect


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    return collect(scope([write_bench(tmp_path_factory.mktemp("bench"))]))


def finals(run: Path) -> dict[int, float]:
    """Mean final return by seed, read by hand."""
    returns: dict[int, list[float]] = {}
    for file in run.glob("*/evaluations.csv"):
        for row in csv.DictReader(file.read_text().splitlines()):
            if row["phase"] == "final":
                returns.setdefault(int(row["seed"]), []).append(float(row["return"]))
    return {seed: fmean(values) for seed, values in returns.items()}


def test_cells_are_what_the_files_say(bench: ReportData) -> None:
    for _, cell in bench.cells[bench.cells["n"] > 0].iterrows():
        scores = [*finals(Path(cell["path"])).values()]
        assert cell["n"] == len(scores)
        assert cell["mean"] == pytest.approx(fmean(scores))
        assert (cell["lowest"], cell["highest"]) == (min(scores), max(scores))
        assert cell["solved"] == sum(s >= cell["threshold"] for s in scores)


def test_every_seed_is_somewhere(bench: ReportData) -> None:
    assert (bench.cells[[f"n_{state}" for state in STATES]].sum(axis=1) == bench.cells["of"]).all()
    a2c = bench.cell("CartPole-v1", "a2c")
    assert a2c is not None
    assert [a2c[f"n_{s}"] for s in STATES] == [7, 0, 0, 1, 1, 1, 0]
    assert a2c["ended"] == 10  # lost seeds have not solved it
    assert a2c["why"].startswith("seed 7 diverged: why diverged; seed 8 failed")
    missing = bench.cell("Acrobot-v1", "a2c")
    assert missing is not None
    assert missing["why"] == "seeds 0-9 missing"
    assert missing[["n", "n_missing", "ended"]].tolist() == [0, 10, 0]
    nowhere = bench.cell("Nowhere-v0", "dqn")
    assert nowhere is not None
    assert (nowhere["n_failed"], nowhere["why"]) == (1, "seed 0 failed: no environment")
    assert missing[["mean", "seconds", "iqm"]].isna().all()


def welch(x: pd.Series, y: pd.Series) -> float:
    error = np.var(x, ddof=1) / len(x) + np.var(y, ddof=1) / len(y)
    return float(abs(np.mean(x) - np.mean(y)) / np.sqrt(error))


def test_the_verdicts_are_those_of_scipys_test(bench: ReportData) -> None:
    scores = {key: mine["score"].dropna() for key, mine in bench.seeds.groupby(["env", "label"])}
    tested = bench.pairs[bench.pairs["p"].notna()]
    p_values = []
    for _, row in tested.iterrows():
        a, b = scores[row["env"], row["a"]], scores[row["env"], row["b"]]
        found = permutation_test(
            (a, b),
            welch,
            alternative="greater",
            n_resamples=4_000,
            rng=np.random.default_rng(1),
        )
        assert row["p"] == pytest.approx(found.pvalue, abs=0.03)
        worst = [
            np.append(s, [s.min() - 1e6] * int(row[f"lost_{k}"])) for k, s in zip("ab", (a, b))
        ]
        worst = np.split(rankdata(np.concatenate([np.maximum(s, -1e5) for s in worst])), [10])
        lost = permutation_test(worst, welch, alternative="greater", n_resamples=4_000,
                                rng=np.random.default_rng(1))  # fmt: skip
        if row["lost_a"]:
            assert row["p_worst"] == pytest.approx(lost.pvalue, abs=0.03)
            agree = (worst[0].mean() > worst[1].mean()) == (row["difference"] > 0)
            p_values.append(max(row["p"], row["p_worst"]) if agree else 1.0)
        else:
            assert np.isnan(row["p_worst"])
            p_values.append(row["p"])
    # Holm, step by step
    order, last = np.argsort(p_values), 0.0
    for rank, i in enumerate(order):
        last = max(last, min(1.0, p_values[i] * (len(order) - rank)))
        assert tested["p_holm"].iloc[i] == pytest.approx(last)
    verdicts = bench.pairs.set_index(["env", "a", "b"])["verdict"].to_dict()
    assert verdicts == {
        ("Acrobot-v1", "a2c", "dqn"): "no score", ("Acrobot-v1", "a2c", "ppo"): "no score",
        ("Acrobot-v1", "dqn", "ppo"): "undecided", ("CartPole-v1", "a2c", "dqn"): "undecided",
        ("CartPole-v1", "a2c", "ppo"): "undecided", ("CartPole-v1", "dqn", "ppo"): "a",
    }  # fmt: skip


def test_what_is_tested_is_chosen_without_looking(tmp_path: Path) -> None:
    for agent in ("dqn", "sb3-dqn", "ppo", "random"):
        write_seeds(tmp_path, agent, {0: 1.0, 1: 2.0})
    cells = collect(scope([tmp_path])).cells
    assert tests_and_aggregates.family(cells, None) == ([("dqn", "sb3-dqn")], "peers")
    against = tests_and_aggregates.family(cells, "ppo")
    assert against == ([("dqn", "ppo"), ("sb3-dqn", "ppo")], "baseline")
    assert tests_and_aggregates.family(cells, "random").pairs[0] == ("dqn", "random")
    with pytest.raises(UserError, match=r"'pp'\. Did you mean 'ppo'"):
        tests_and_aggregates.family(cells, "pp")
    write_seeds(tmp_path, "ppo", {0: 1.0}, variant="encoder=gru", digest="aaaa0000")
    write_seeds(tmp_path, "ppo", {0: 1.0}, variant="encoder=mlp", digest="bbbb0000")
    cells = collect(scope([tmp_path])).cells
    assert tests_and_aggregates.family(cells, "ppo encoder=gru").kind == "baseline"
    with pytest.raises(UserError, match="could be 'ppo, encoder=gru' or 'ppo, encoder=mlp'"):
        tests_and_aggregates.family(cells[cells["variant"] != ""], "ppo")


def test_equal_scores_are_tied_and_no_test(tmp_path: Path) -> None:
    for agent in ("dqn", "ppo"):
        write_seeds(tmp_path, agent, dict.fromkeys(range(5), 500.0))
    found = collect(scope([tmp_path]))
    assert found.pairs[["verdict", "difference"]].values.tolist() == [["tied", 0.0]]
    assert math.isnan(found.pairs["p_holm"].iloc[0])


@pytest.mark.parametrize(("n", "m", "least"), [(3, 3, 0.1), (3, 10, 1 / 286), (0, 5, math.nan)])
def test_the_least_p(n: int, m: int, least: float) -> None:
    assert tests_and_aggregates.least_p(n, m) == pytest.approx(least, nan_ok=True)


def test_aggregates_are_over_what_all_have(bench: ReportData) -> None:
    """a2c was meant to run in both environments: it stays, without a number."""
    assert bench.common == (["Acrobot-v1", "CartPole-v1"], ["a2c", "dqn", "ppo"])
    rows = bench.aggregates.set_index(["label", "statistic"])
    assert rows["value"].isna()["a2c", "IQM"]
    scale = bench.scales["CartPole-v1"]
    assert (scale.low, scale.high) == (21.0, 475.0)
    means = [(404.5 - 21) / (475 - 21), (-94.5 + 499.5) / (-100 + 499.5)]
    assert rows.loc[("dqn", "mean"), "value"] == pytest.approx(fmean(means))
    assert set(bench.profiles["label"]) == {"dqn", "ppo"}
    both = bench.improvements.set_index(["a", "b"])["value"]
    assert both["dqn", "ppo"] + both["ppo", "dqn"] == pytest.approx(1)


def test_one_run_more_moves_no_interval_of_the_others(tmp_path: Path) -> None:
    for agent in ("dqn", "ppo"):
        write_seeds(tmp_path, agent, {s: 100.0 + 7 * s**2 + len(agent) * s for s in range(12)})
        write_seeds(tmp_path, agent, {s: s * 1.0 for s in range(12)}, env="Acrobot-v1")
    before = collect(scope([tmp_path])).pairs
    write_seeds(tmp_path, "a2c", {0: 3.0, 1: 4.0})
    after = collect(scope([tmp_path])).pairs
    both = before.merge(after, on=["env", "a", "b", "p", "low", "high", "improvement"])
    assert len(both) == len(before) == 2


def test_cost_table_has_areas_goals_and_counts(tmp_path: Path) -> None:
    """Curves go from 10 over half the score to the score, at 0, 25,000 and 50,000 steps."""
    write_seeds(tmp_path, "dqn", {0: 400.0, 1: 480.0, 2: 960.0, 3: "diverged"})
    found = collect(scope([tmp_path]))
    (cost,) = found.costs.to_dict("records")
    areas = [((10 + s / 2) / 2 + (s / 2 + s) / 2) / 2 for s in (400, 480, 960)]
    assert cost["area"] == pytest.approx(fmean(areas))
    assert cost["area_n"] == 3
    assert (cost["goal"], cost["reached"], cost["of"]) == (475, 2, 4)
    assert math.isinf(cost["steps"])  # half of the seeds were never there
    (cell,) = found.cells.to_dict("records")
    assert cell["seconds"] == pytest.approx(61.5)
    assert cell["seconds_per_seed"] == pytest.approx(61.5 / 4)
    assert set(found.points["seconds"]) == {1.5 / 4}


def test_image_data_is_scored_by_accuracy(tmp_path: Path) -> None:
    grid = [(0, 0.1), (100, 0.92)]
    write_data_run(tmp_path, "dqn", {0: grid, 1: grid}, {0: 0.9, 1: 0.94}, items=200)
    write_data_run(tmp_path, "random", test={0: 0.1})
    found = collect(scope([tmp_path]))
    cell = found.cells.iloc[0]
    assert (cell["measure"], cell["mean"]) == ("test accuracy", pytest.approx(0.92))
    (scale,) = found.scales.values()
    assert (scale.low, scale.high) == (0.1, 1.0)
    assert found.costs[["goal", "steps", "reached"]].values.tolist() == [[0.9, 100.0, 2]]
    assert any("one of 200 images is 0.5 points" in line for line in caveats(found))


def test_caveats_come_from_facts(tmp_path: Path, bench: ReportData) -> None:
    said = " ".join(caveats(bench))
    assert "a2c on CartPole-v1: of 10 seeds 1 diverged, 1 failed and 1 timeout" in said
    assert "a2c on Acrobot-v1: of 10 seeds 10 missing; it has no score" in said
    assert "dqn on Nowhere-v0: of 1 seed 1 failed; it has no score" in said
    for absent in ("Few seeds", "Budgets differ", "All seeds are equal", "Test sets", "commits"):
        assert absent not in said
    write_seeds(tmp_path, "dqn", {0: 500.0, 1: 500.0}, preset="CartPole-v1")
    write_seeds(tmp_path, "ppo", {0: 1.0}, total_timesteps=70_000, part={"commit": "abc+"})
    said = " ".join(caveats(collect(scope([tmp_path]))))
    for line in (
        "Few seeds (n = 1 or 2:", "less than p = 0.33", "on CartPole-v1 dqn 50,000, ppo 70,000",
        "dqn on CartPole-v1 at 500", "on CartPole-v1 dqn, and not ppo", "from 2 commits",
        "changes on top of abc+", "Between 1 and 2 seeds trained together",
        "different numbers of seeds on CartPole-v1: 1 and 2",
    ):  # fmt: skip
        assert line in said, line
