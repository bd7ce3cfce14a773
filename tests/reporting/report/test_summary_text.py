"""The sentences of the first screen say what the numbers say, and no more."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from image_runs import write_data_run
from report_files import write_bench, write_seeds

from rlbench.reporting.report import formatting
from rlbench.reporting.report.inputs import scope
from rlbench.reporting.report.report_data import ReportData, collect
from rlbench.reporting.report.summary_text import cost, how_much, summary, sure, which


def found_in(root: Path, baseline: str | None = None) -> ReportData:
    return collect(scope([root]), baseline)


def write_many(root: Path, seeds: int = 10, envs: int = 5) -> None:
    """dqn far ahead of sb3-dqn at first, level with it in the middle, behind at the end."""
    rng = np.random.default_rng(0)
    for i in range(envs):
        for agent, shift in (("dqn", 100 * max(0, 3 - i)), ("sb3-dqn", 100 * max(0, i - 3))):
            scores = {s: 200 + shift + 5 * rng.standard_normal() for s in range(seeds)}
            write_seeds(root, agent, scores, env=f"E{i}-v0")


def test_a_pair_over_environments(tmp_path: Path) -> None:
    write_many(tmp_path)
    found = found_in(tmp_path)
    (said,) = which(found)
    assert said == (
        "dqn beats sb3-dqn on 3 of 5 environments (E0-v0, E1-v0 and E2-v0; Holm-adjusted "
        "p < 0.001); sb3-dqn beats dqn on 1 of 5 environments (E4-v0; Holm-adjusted p < 0.001); "
        "undecided on E3-v0; n = 10 each."
    )
    for verdict, pattern in (
        ("a", r"dqn beats sb3-dqn on (\d)"),
        ("b", r"sb3-dqn beats dqn on (\d)"),
    ):
        (count,) = re.findall(pattern, said)
        assert int(count) == (found.pairs["verdict"] == verdict).sum()
    worst = found.pairs.loc[found.pairs["verdict"].isin(["a", "b"]), "p_holm"].max()
    assert worst < 0.001


def test_few_seeds_decide_nothing_and_it_is_said(tmp_path: Path) -> None:
    """The same gaps with three seeds: no permutation of six scores can be that rare."""
    write_many(tmp_path, seeds=3)
    found = found_in(tmp_path)
    (said,) = which(found)
    assert said.startswith("dqn and sb3-dqn: undecided on 5 environments")
    assert "beats" not in said
    assert "With so few seeds none of these tests could have decided anything." in sure(found)
    write_many(tmp_path / "ten")
    assert "With so few" not in " ".join(sure(found_in(tmp_path / "ten")))


def test_many_pairs_are_said_by_environment(tmp_path: Path) -> None:
    for agent, base in (("a", 400), ("b", 300), ("c", 301), ("d", 100)):
        write_seeds(tmp_path, agent, {s: base + 2.0 * s for s in range(10)})
    for agent in "abcd":
        write_seeds(tmp_path, agent, dict.fromkeys(range(10), 500.0), env="Flat-v0")
        write_seeds(tmp_path, agent, {s: 1.0 * s for s in range(10)}, env="Same-v0")
    write_seeds(tmp_path, "b", {0: "failed"}, env="Sad-v0")
    write_seeds(tmp_path, "c", {0: 3.0}, env="Sad-v0")
    assert which(found_in(tmp_path)) == [
        "CartPole-v1: a beats b, c and d (Holm-adjusted p < 0.001; n = 10 each).",
        "Flat-v0: tied at 500: a, b, c and d (n = 10 each).",
        "Sad-v0: nothing to compare; no score of b (n = 1 each).",
        "Same-v0: undecided between a, b, c and d (n = 10 each).",
    ]


def test_those_in_front_are_named_together(tmp_path: Path) -> None:
    for agent, base in (("a", 400), ("b", 401), ("c", 300), ("d", 100)):
        write_seeds(tmp_path, agent, {s: base + 2.0 * s for s in range(10)})
    assert which(found_in(tmp_path)) == [
        "CartPole-v1: undecided between a and b; beaten by at least one entrant: c and d "
        "(Holm-adjusted p < 0.001; n = 10 each)."
    ]


def test_lost_seeds_are_said(tmp_path: Path) -> None:
    said = which(collect(scope([write_bench(tmp_path)])))
    assert said[2] == (
        "a2c and ppo: undecided: 3 of 10 seeds lost by a2c on CartPole-v1; without a score to "
        "compare on Acrobot-v1; n = 7 and 10, without 3 seeds that gave no score."
    )


def test_how_much_lists_aggregates_and_differences(tmp_path: Path) -> None:
    found = collect(scope([write_bench(tmp_path)]))
    said = how_much(found)
    assert said[0].startswith("Normalised IQM over 2 environments (0 = random, 1 = reference")
    assert said[0].endswith("a2c none (no score in one of the environments).")
    row = found.pairs.query("env == 'CartPole-v1' and a == 'dqn'").iloc[0]
    assert f"+100.0 [+{row['low']:.1f} to +{row['high']:.1f}] on CartPole-v1" in " ".join(said)


def test_cost_is_summed_over_what_all_have_finished(tmp_path: Path) -> None:
    assert cost(collect(scope([write_bench(tmp_path)])))[0].startswith(
        "Training time of a seed, on CartPole-v1: a2c 6.15 s; dqn 6.15 s; ppo 6.15 s."
    )
    write_seeds(tmp_path / "b", "dqn", {0: 1.0}, part={"seconds": None})
    assert cost(found_in(tmp_path / "b")) == ["No training time is recorded."]


@pytest.mark.parametrize(
    ("agents", "line"),
    [
        (["dqn"], "There is nothing to compare: dqn is alone."),
        (["random"], "There is nothing to compare: random is alone."),
    ],
)
def test_summary_of_a_single_run(tmp_path: Path, agents: list[str], line: str) -> None:
    for agent in agents:
        write_seeds(tmp_path, agent, {0: 5.0})
    found = found_in(tmp_path)
    assert which(found) == [line]
    assert sure(found) == [
        "n = 1 seed a cell; every number is over seeds, every interval a 95 % one.",
        "1 of 1 seed done.",
    ]
    assert len(summary(found).items) == len(summary(found).names)


def test_accuracies_are_percents_and_their_differences_points(tmp_path: Path) -> None:
    for agent, base in (("dqn", 0.9), ("ppo", 0.8)):
        write_data_run(tmp_path, agent, test={s: base + 0.001 * s for s in range(8)}, items=500)
    assert "dqn minus ppo: +10.0 points [+9.7 to +10.3] on rlbench_" in " ".join(
        how_much(found_in(tmp_path))
    )


def test_numbers_are_formatted() -> None:
    assert formatting.number(-0.001) == "0.00"
    assert formatting.number(-0.5) == "−0.50"
    assert formatting.p_text(0.0004) == "p < 0.001"
    assert [formatting.p_text(p) for p in (0.0123, 0.5, float("nan"))] == [
        "p = 0.012", "p = 0.50", "not tested",
    ]  # fmt: skip
    assert formatting.count(float("inf")) == "not reached"
    assert [formatting.seconds_text(s) for s in (0.01, 12.3, float("nan"))] == [
        "< 0.1 s",
        "12.3 s",
        "–",
    ]
    assert formatting.listing(["a"]) == "a"
    assert formatting.listing("abc", "or") == "a, b or c"
