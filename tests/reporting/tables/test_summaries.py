"""Tables by hand: what a seed, a run and a point of a curve come to."""

from pathlib import Path

import pandas as pd
import pytest
from image_runs import write_data_run
from rich.console import Console
from store_files import write_part, write_run

from rlbench.common.number_format import mean_text, number_text
from rlbench.reporting.console.tables import print_summary
from rlbench.reporting.statistics.intervals import mean_interval, share_interval
from rlbench.reporting.tables.load import RUN, Results, load
from rlbench.reporting.tables.summaries import (
    curve,
    interval_text,
    overall,
    per_seed,
    percent_text,
)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Four scores 100, 200, 300, 480 in two parts, one seed of each other status."""
    run = write_run(tmp_path)
    write_part(
        run,
        {0: {0: [9, 11], 5000: [20, 40]}, 1: {0: [10, 12]}, 2: {0: [8]}, 3: {0: [1]}},
        final={0: [90, 110], 1: [200, 200], 2: [7]},
        status={2: "diverged", 3: "failed"},
        reason={2: "loss became nan", 3: "RuntimeError: [bold]no memory"},
        seconds=60.0,
    )
    write_part(run, {4: {}, 5: {}, 6: {}}, {4: [300], 5: [470, 490]}, seconds=30.0, step=42_000)
    return load(tmp_path)


def printed(results: Results, show: object, width: int = 80, terminal: bool = False) -> str:
    console = Console(width=width, force_terminal=terminal, color_system=None, record=True)
    with console.capture() as capture:
        show(results, console)  # type: ignore[operator]
    return capture.get()


def test_per_seed_lists_every_seed(results: Results) -> None:
    table = per_seed(results).set_index("seed")
    assert table["score"].dropna().to_dict() == {0: 100, 1: 200, 4: 300, 5: 480}
    assert table["std"].dropna().to_dict() == {0: pytest.approx(200**0.5), 1: 0, 5: 200**0.5}
    assert table["episodes"].tolist() == [2, 2, 1, 0, 1, 2, 0]
    assert table.loc[[2, 3, 6], "status"].tolist() == ["diverged", "failed", "stopped"]
    assert table.loc[[2, 3, 6], ["score", "std"]].isna().all(axis=None)  # never 0.0


def test_overall_by_hand(results: Results) -> None:
    (run,) = overall(results).to_dict("records")
    scores = [100, 200, 300, 480]
    assert (run["n"], run["of"]) == (4, 7)
    assert (run["mean"], run["iqm"]) == (270, 250)
    assert (run["lowest"], run["highest"]) == (100, 480)
    assert (run["low"], run["high"]) == mean_interval(scores, bounds=(0, 500))
    assert run["high"] == 500 < (mean_interval(scores) or (0, 0))[1]  # as CartPole ends there
    assert (run["solved"], run["ended"]) == (1, 6)
    assert (run["solved_low"], run["solved_high"]) == share_interval(1, 6)
    counts = [run[f"n_{status}"] for status in ("done", "stopped", "diverged", "failed")]
    assert counts == [4, 1, 1, 1]
    assert run["seconds"] == pytest.approx(90)  # of two programs, however many seeds they held
    assert (run["step"], run["lockstep"]) == (42_000, 4)


def test_episodes_of_a_seed_do_not_weigh(tmp_path: Path) -> None:
    """The seed is the unit: a hundred episodes of one seed are one score."""
    write_part(write_run(tmp_path), {0: {}, 1: {}}, {0: [0.0] * 100, 1: [10.0]})
    (run,) = overall(load(tmp_path)).to_dict("records")
    assert (run["n"], run["mean"]) == (2, 5.0)


def test_without_a_threshold_nothing_is_solved(tmp_path: Path) -> None:
    write_part(write_run(tmp_path, reward_threshold=None), {0: {}}, {0: [10.0]})
    run = overall(load(tmp_path)).iloc[0]
    assert run[["solved", "ended", "solved_low", "low"]].isna().all()
    assert (run["n"], run["mean"]) == (1, 10.0)


def test_a_run_without_scores_is_listed(tmp_path: Path) -> None:
    write_part(write_run(tmp_path), {0: {0: [1.0]}, 1: {}})
    run = overall(load(tmp_path)).iloc[0]
    assert (run["n"], run["of"], run["n_stopped"]) == (0, 2, 2)
    assert run[["mean", "iqm", "low", "high", "solved_low"]].isna().all()
    assert interval_text(run) == "no final score"


def test_an_episode_that_is_nan_makes_no_score(tmp_path: Path) -> None:
    part = write_part(
        write_run(tmp_path), {0: {0: [float("nan"), 3]}, 1: {}}, {0: [float("nan"), 3], 1: [1.0]}
    )
    results = load(part)
    assert per_seed(results)["score"].isna().tolist() == [True, False]
    assert curve(results)["return"].isna().all()
    assert "1 of 2 with a final score; 1 done without a score" in printed(results, print_summary)


def test_at_a_ceiling_there_is_no_interval(tmp_path: Path) -> None:
    write_part(write_run(tmp_path), {s: {} for s in range(5)}, {s: [500.0] for s in range(5)})
    run = overall(load(tmp_path)).iloc[0]
    assert run[["low", "high"]].isna().all()
    assert interval_text(run) == "5 of 5 at 500"
    assert (run["solved"], run["solved_high"]) == (5, 1.0)
    assert 0 < run["solved_low"] < 1


def test_labels_tell_runs_apart(tmp_path: Path) -> None:
    for env, agent, variant, digest in [
        ("A-v0", "dqn", "", "11111111"),
        ("A-v0", "dqn", "double=true", "22222222"),
        ("A-v0", "ppo", "", "11111111"),
        ("A-v0", "ppo", "", "33333333"),
        ("B-v0", "dqn", "", "44444444"),
    ]:
        write_part(write_run(tmp_path, env, agent, variant, digest), {0: {0: [1.0]}})
    labels = ["dqn", "dqn double=true", "ppo #11111111", "ppo #33333333", "dqn"]
    results = load(tmp_path)
    assert overall(results)["label"].tolist() == labels
    assert curve(results)["label"].tolist() == labels


def test_curve_is_one_row_per_seed_and_point(results: Results) -> None:
    points = curve(results)
    rows = points[["seed", "step", "return", "episodes"]].to_numpy().tolist()
    assert rows == [
        [0, 0, 10, 2], [0, 5000, 30, 2], [1, 0, 11, 2], [2, 0, 8, 1], [3, 0, 1, 1],
    ]  # fmt: skip
    assert list(points.columns[:5]) == [*RUN, "label"]


def test_tables_of_nothing_keep_their_columns(tmp_path: Path, results: Results) -> None:
    empty = load(write_run(tmp_path / "empty"))
    for table in (per_seed, overall, curve):
        assert table(empty).empty
        assert list(table(empty).columns) == list(table(results).columns)


@pytest.mark.parametrize(
    ("value", "text"),
    [(500, "500.0"), (-1234.56, "-1,234.6"), (9.876, "9.88"), (0.9731, "0.973"), (0, "0.0"),
     (0.02, "0.020"), (0.0042, "0.0042"), (-0.00037, "-0.00037"), (2e-7, "2e-07"),
     (float("nan"), "-"), (float("inf"), "inf"), (pd.NA, "-"), (None, "-")],
)  # fmt: skip
def test_numbers_as_people_read_them(value: float, text: str) -> None:
    assert number_text(value) == text


def test_numbers_are_as_fine_as_their_spread() -> None:
    assert mean_text([12.0, 12.004]) == "12.0020 +- 0.0028"
    assert mean_text([100.0, 200.0]) == "150.0 +- 70.7"
    assert mean_text([7.5]) == "7.50"
    assert mean_text([0.0, 0.0]) == "0.0 +- 0.0"


def test_summary_says_it_all_in_80_columns(results: Results) -> None:
    for terminal in (False, True):
        text = printed(results, print_summary, terminal=terminal)
        assert max(map(len, text.splitlines())) <= 80
        assert "diverged: loss became nan" in text
        assert "failed: RuntimeError: [bold]no memory" in text  # a reason is no markup
        assert "4 of 7 with a final score; 1 stopped, 1 diverged, 1 failed" in text
        assert "(n = 4)" in text
        assert "1 of 6 reach a mean return of 475" in text
        assert text.splitlines()[5].split()[:5] == ["2", "-", "-", "1", "diverged:"]


def test_long_lines_fold_in_a_terminal_only(tmp_path: Path) -> None:
    reason = " ".join(["a long reason"] * 12)
    run = write_run(tmp_path / ("deep" * 20), variant="double=true, n_steps=3")
    results = load(write_part(run, {0: {}}, status={0: "failed"}, reason={0: reason}))
    assert reason in printed(results, print_summary)
    in_terminal = printed(results, print_summary, terminal=True)
    assert reason not in in_terminal
    assert " ".join(in_terminal.split()).count("a long reason") > 6


@pytest.fixture
def images(tmp_path: Path) -> Results:
    """Accuracies 0.8, 0.9 and 0.95; one seed each is running, diverged and tested but failed."""
    write_data_run(
        tmp_path,
        grid={seed: [(0, 0.1), (500, 0.8)] for seed in range(6)},
        test={0: 0.8, 1: 0.9, 2: 0.95, 5: 0.99},
        status={4: "diverged", 5: "failed"},
        g_mean={0: 0.7, 1: 0.8, 2: 0.9, 5: 0.99},
    )
    return load(tmp_path)


def test_accuracy_by_hand(images: Results) -> None:
    seeds = per_seed(images).set_index("seed")
    assert seeds["accuracy"].dropna().to_dict() == {0: 0.8, 1: 0.9, 2: 0.95}  # done seeds only
    assert seeds["g_mean"].dropna().to_dict() == {0: 0.7, 1: 0.8, 2: 0.9}
    assert seeds["score"].dropna().tolist() == pytest.approx([0.6, 0.8, 0.9])
    assert seeds["items"].tolist() == [200, 200, 200, 0, 0, 200]
    assert seeds["std"].isna().all()  # one row of many images is no spread
    (run,) = overall(images).to_dict("records")
    assert (run["accuracy_n"], run["g_n"], run["n"], run["of"]) == (3, 3, 3, 6)
    assert run["accuracy_mean"] == pytest.approx(2.65 / 3)
    assert (run["accuracy_low"], run["accuracy_high"]) == mean_interval(
        [0.8, 0.9, 0.95], bounds=(0, 1)
    )
    assert (run["accuracy_lowest"], run["accuracy_highest"]) == (0.8, 0.95)
    assert (run["g_low"], run["g_high"]) == mean_interval([0.7, 0.8, 0.9], bounds=(0, 1))
    assert (run["network"], run["data"], run["items"]) == ("mlp 64-64", "digits", 200)


def test_validation_is_no_test(tmp_path: Path) -> None:
    """A final row on other images, by mistake, makes no test accuracy."""
    run = write_data_run(tmp_path, grid={0: [(9, 0.7)]}, test={0: 0.8})
    file = next(run.glob("*/evaluations.csv"))
    file.write_text(file.read_text().replace(",test,", ",validation,"))
    assert per_seed(load(run))["accuracy"].isna().all()


def test_ordinary_runs_have_no_accuracy(results: Results) -> None:
    assert per_seed(results)["accuracy"].isna().all()
    run = overall(results).iloc[0]
    assert (run["accuracy_n"], run["data"], run["network"]) == (0, "", "")
    assert run[["accuracy_mean", "accuracy_low", "g_mean"]].isna().all()


@pytest.mark.parametrize(
    ("value", "items", "text"),
    [(0.975, 360, "97.5"), (0.97523, 10_000, "97.52"), (1.02, 360, "100.0"), (-0.1, 9, "0.0"),
     (float("nan"), 10, "-")],
)  # fmt: skip
def test_percentages_are_as_fine_as_the_images(value: float, items: int, text: str) -> None:
    assert percent_text(value, items) == text


def test_summary_of_image_data(images: Results) -> None:
    for terminal in (False, True):
        lines = printed(images, print_summary, terminal=terminal).splitlines()
        assert max(map(len, lines)) <= 80
        assert lines[1].split() == ["seed", "accuracy", "%", "return", "test", "images", "status"]
        assert lines[4].split() == ["1", "90.0", "0.800", "200", "done"]
        assert lines[6].split() == ["3", "-", "-", "0", "stopped"]
        text = " ".join(" ".join(lines).split())
        assert "3 of 6 with a final score; 1 stopped, 1 diverged, 1 failed" in text
        assert "accuracy 88.3 % of 200 test images 69.4 to 100.0 %, 95 % t-interval" in text
        assert "G-mean 0.800 0.552 to 1.00, 95 % t-interval (n = 3)" in text
        assert "accuracy cut at the bound 100 %; G-mean cut at the bound 1" in text


def test_accuracy_at_a_ceiling(tmp_path: Path) -> None:
    write_data_run(tmp_path, test={0: 0.96, 1: 0.96})
    text = printed(load(tmp_path), print_summary)
    assert "2 of 2 at 96 % (n = 2)" in text
    assert "G-mean" not in text  # there is none
