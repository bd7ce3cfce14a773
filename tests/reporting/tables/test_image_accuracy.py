"""What runs on image data come to, by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from image_runs import write_data_run
from store_files import write_part, write_run

from rlbench.commands.catalog import AGENTS
from rlbench.reporting.statistics.intervals import difference_interval
from rlbench.reporting.tables.image_accuracy import accuracy_table, told
from rlbench.reporting.tables.load import load

MINE, THEIRS = {0: 0.9, 1: 0.92, 2: 0.97}, {0: 0.95, 1: 0.96, 2: 0.98, 3: 0.97}


def table(root: Path) -> pd.DataFrame:
    return accuracy_table(load(root)).set_index("label")


def row(root: Path, label: str = "dqn") -> pd.Series:
    return table(root).T[label]


def test_gap_to_the_same_network_with_labels(tmp_path: Path) -> None:
    write_data_run(tmp_path, test=MINE)
    write_data_run(tmp_path, "supervised", test=THEIRS)
    write_data_run(tmp_path, "supervised", test={0: 0.5, 1: 0.6}, network="cnn", variant="cnn")
    write_data_run(tmp_path, "supervised", test={0: 0.5, 1: 0.6}, data="mnist")
    run = row(tmp_path)
    assert run["gap"] == pytest.approx(0.93 - 0.965)
    low, high = difference_interval(list(MINE.values()), list(THEIRS.values())) or (0, 0)
    assert (run["gap_low"], run["gap_high"]) == pytest.approx((low, high))
    assert (run["gap_to"], run["gap_why"]) == ("supervised", "")
    others = table(tmp_path).drop("dqn")
    assert others["gap_why"].tolist() == ["the reference"] * 3
    assert others["gap"].isna().all()


def test_what_each_agent_is_told(tmp_path: Path) -> None:
    """As the list of agents sorts them: labels, rewards, or both; of others nothing is said."""
    write_data_run(tmp_path, test=MINE)
    write_data_run(tmp_path, "hybrid", test=MINE)
    write_data_run(tmp_path, "my_package:Mine", test=MINE)
    runs = table(tmp_path)["told"]
    assert runs["dqn"] == "rewards"
    assert runs["hybrid"] == "labels and rewards"
    assert runs[[label for label in runs.index if "Mine" in label]].tolist() == [""]
    for kind, groups in AGENTS.items():
        for agent in " ".join(groups.values()).split():
            by_labels = told(agent).startswith(("labels", "a trained agent"))
            assert by_labels == (kind in ("supervised", "labels and rewards")), agent
            assert (told(agent) == kind) == (kind == "labels and rewards"), agent


def test_without_a_reference_there_is_a_reason(tmp_path: Path) -> None:
    write_data_run(tmp_path, test=MINE)
    write_data_run(tmp_path, "knn", test={0: 0.9}, network="")
    write_data_run(tmp_path, "ppo", status={0: "running"}, network="cnn")
    write_data_run(tmp_path, "a2c", test=MINE, network="lstm")
    write_data_run(tmp_path, "supervised", test=THEIRS, network="cnn", variant="cnn")
    write_data_run(tmp_path, "supervised", status={0: "failed"}, network="lstm", variant="lstm")
    assert table(tmp_path)["gap_why"].to_dict() == {
        "dqn": "no supervised run",
        "knn": "no network",
        "ppo": "ppo not done",
        "a2c": "supervised not done",
        "supervised cnn": "the reference",
        "supervised lstm": "the reference",
    }
    assert table(tmp_path)["gap"].isna().all()


@pytest.mark.parametrize(("mine", "theirs"), [({0: 0.9}, THEIRS), (MINE, {0: 0.9, 1: 0.9})])
def test_a_gap_without_spread_has_no_interval(
    tmp_path: Path, mine: dict[int, float], theirs: dict[int, float]
) -> None:
    write_data_run(tmp_path, test=mine)
    write_data_run(tmp_path, "supervised", test=theirs)
    run = row(tmp_path)
    means = [float(np.mean(list(scores.values()))) for scores in (mine, theirs)]
    assert run["gap"] == pytest.approx(means[0] - means[1])
    assert run[["gap_low", "gap_high"]].isna().all()


def test_of_several_references_the_nearest_is_taken(tmp_path: Path) -> None:
    """Task, then options, then done, then the best in validation; never the best in the test."""
    noise = {"label_noise": 0.2}
    write_data_run(tmp_path / "0", test=MINE, env_kwargs=noise)

    def add(number: int, validation: float, **changes: Any) -> str:
        grid = {s: [(0, 0.1), (9, validation)] for s in THEIRS}
        given: dict[str, Any] = {"grid": grid, "test": THEIRS, "variant": f"v{number}"} | changes
        write_data_run(tmp_path / str(number), "supervised", **given)
        runs = accuracy_table(load(tmp_path)).set_index("agent")
        return str(runs.T["dqn"]["gap_to"])

    assert add(1, 0.8) == "supervised v1"
    assert add(2, 0.9, test={0: 0.1, 1: 0.2}) == "supervised v2"
    assert add(3, 1.0, task="Rows", env_kwargs=noise) == "supervised v2, Classify"
    assert add(4, 0.7, env_kwargs=noise) == "supervised v4, Classify"
    assert add(5, 1.0, env_kwargs=noise, test={}) == "supervised v4, Classify"
    assert add(6, 0.9, env_kwargs={"data": "digits"} | noise) == "supervised v6, Classify"


def test_images_to_a_goal_are_points_of_the_grid(tmp_path: Path) -> None:
    """0.9 lies between 400 and 1000 images for seed 1: nobody has seen it before 1000."""
    grid = {
        0: [(0, 0.1), (400, 0.9), (1000, 0.95)],
        1: [(0, 0.1), (400, 0.89), (1000, 0.99)],
        2: [(0, 0.1), (400, 0.92), (1000, 0.85)],  # has been there, though it is not any more
    }
    write_data_run(tmp_path, grid=grid, test=dict.fromkeys(grid, 0.9))
    run = row(tmp_path)
    assert (run["images_90"], run["reached_90"]) == (400, 3)
    assert (run["images_95"], run["reached_95"]) == (1000, 2)


def test_seeds_that_never_came_so_far_count(tmp_path: Path) -> None:
    """Leaving them out would make the median the better the more seeds fail."""
    good, bad = [(0, 0.1), (100, 0.96)], [(0, 0.1), (100, 0.3)]
    write_data_run(tmp_path, grid={0: good, 1: bad, 2: bad}, test={0: 0.9}, status={1: "failed"})
    write_data_run(tmp_path, "ppo", grid={0: good, 1: bad}, status={2: "running"})
    write_data_run(tmp_path, "a2c", grid={0: good, 1: good, 2: bad})
    write_data_run(tmp_path, "random", test={0: 0.1})
    runs = table(tmp_path)
    assert runs["images_90"].to_dict() == pytest.approx(
        {"dqn": math.inf, "ppo": math.inf, "a2c": 100, "random": math.nan}, nan_ok=True
    )
    assert runs["reached_90"].to_dict() == {"dqn": 1, "ppo": 1, "a2c": 2, "random": 0}


def test_uses_are_samples_per_image(tmp_path: Path) -> None:
    write_data_run(tmp_path, grid={0: [(0, 0.1), (500, 0.5)], 1: [(0, 0.1)]}, uses=8)
    write_data_run(tmp_path, "random", test={0: 0.1})
    assert row(tmp_path)["uses"] == 8  # of the seed that has seen images
    assert math.isnan(row(tmp_path, "random")["uses"])


def test_the_best_is_first_and_no_score_is_last(tmp_path: Path) -> None:
    write_data_run(tmp_path, "a2c", status={0: "running"})
    for agent, accuracy in {"dqn": 0.8, "ppo": 0.9}.items():
        write_data_run(tmp_path, agent, test={0: accuracy})
    write_data_run(tmp_path, "dqn", test={0: 0.1}, data="abc")
    write_part(write_run(tmp_path), {0: {}}, {0: [500.0]})  # no data: not in it
    runs = accuracy_table(load(tmp_path))
    assert runs[["set", "agent"]].to_numpy().tolist() == [
        ["abc", "dqn"], ["digits", "ppo"], ["digits", "dqn"], ["digits", "a2c"],
    ]  # fmt: skip


def test_labels_and_sets_are_told_apart(tmp_path: Path) -> None:
    for i, task in enumerate(["Classify", "Rows", "Rows"]):
        env = f"rlbench/{task}-v0" + "+noise" * (i == 2)
        write_data_run(tmp_path / str(i), test={0: 0.9}, task=task, env=env)
    write_data_run(tmp_path / "a", "ppo", test={0: 0.9}, env="rlbench/Rows-v0", task="Rows")
    write_data_run(tmp_path / "b", "ppo", test={0: 0.9}, env="rlbench/Rows-MNIST", task="Rows")
    path = write_data_run(tmp_path / "c", "a2c", test={0: 0.9}) / "run.json"
    path.write_text(path.read_text().replace("digits-1", "digits-2"))
    runs = accuracy_table(load(tmp_path))
    assert runs["set"].unique().tolist() == ["digits digits-1", "digits digits-2"]
    digest = runs.loc[runs["agent"] == "ppo", "digest"].iloc[0]
    assert sorted(runs["label"]) == [
        "a2c", "dqn, Classify", "dqn, Rows", "dqn, Rows, +noise",
        f"ppo, Rows #{digest}", f"ppo, Rows #{digest}",
    ]  # fmt: skip


def test_nothing_keeps_its_columns(tmp_path: Path) -> None:
    write_part(write_run(tmp_path / "x"), {0: {}}, {0: [500.0]})
    write_data_run(tmp_path / "y", test=MINE)
    none, some = (accuracy_table(load(tmp_path / name)) for name in "xy")
    assert none.empty
    assert list(none.columns) == list(some.columns)
