"""Runs on image data: accuracy, the gap to supervised learning, and cost."""

import math
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import pandas as pd

from rlbench import registry
from rlbench.reporting.statistics.intervals import difference_interval
from rlbench.reporting.statistics.reference_scores import ACCURACY_BOUNDS
from rlbench.reporting.tables.load import RUN, Results
from rlbench.reporting.tables.summaries import SEED, overall, per_seed

REFERENCE = "supervised"  # the agent that learns from labels
LABELS_AND_REWARDS = "labels and rewards"
_TOLD = {  # what agents of rlbench learn from; all others that it has from rewards
    **dict.fromkeys(
        ("supervised", "supervised-online", "knn", "logistic-regression", "majority",
         "random-forest", "svm"), "labels"),
    "supervised-bandit": "labels of right guesses",
    "hybrid": LABELS_AND_REWARDS,
    "clone": "a trained agent",
    "random": "nothing",
}  # fmt: skip
GOALS = (90, 95)  # percent of the validation images
_COLUMNS = {
    "told": "str",
    **dict.fromkeys(["gap", "gap_low", "gap_high"], "float64"),
    **dict.fromkeys(["gap_to", "gap_why"], "str"),
    **{f"images_{goal}": "float64" for goal in GOALS},
    **{f"reached_{goal}": "int64" for goal in GOALS},
}


def accuracy_table(results: Results, level: float = 0.95) -> pd.DataFrame:
    """Make a table with one row per run on image data, by data set, the best run first.

    Runs that lost seeds come last.

    Columns are those of `tables.overall`, whose `label` is told apart within the data set, and

    set                   the data set's name, with its digest where two have the same one
    told                  what the agent learns from: labels, rewards or both; empty where only its
                          author knows
    gap                   mean test accuracy minus that of the same network with labels, which is
                          the `supervised` run on the same data whose `network` reads the same
    gap_low, gap_high     Welch's interval of that difference; NaN where there is none
    gap_to, gap_why       label of that run; or why there is no gap
    images_90, images_95  images seen when validation accuracy first was there at a point of the
                          grid (nothing is interpolated): the median over all seeds, inf where half
                          of them or more have not come so far, NaN before the first point; a seed
                          that was lost later on counts as one that has not
    reached_90, _95       the number of seeds that have
    uses                  gradient samples per image seen, mean over seeds

    If there are several candidates for the same network with labels, those with the same task come
    first, then those with the same options of the environment, then those with a test accuracy; of
    what is left the best in validation is taken.
    """
    runs = _told_apart(overall(results, level).query("data != ''"))
    points = validation_points(results)
    ends = points.groupby(SEED)["accuracy"].last().groupby(RUN).mean().rename("validation")
    last = results.evaluations.query("images > 0").sort_values("images").groupby(SEED).last()
    uses = (last["samples"] / last["images"]).groupby(RUN).mean().rename("uses")
    for column in (ends, uses):
        runs = runs.merge(column, on=RUN, how="left", validate="one_to_one")
    every = per_seed(results)
    seeds = dict(list(every.groupby(RUN)["accuracy"]))
    lost_seeds = {run: set(mine["seed"]) for run, mine in every[every["lost"]].groupby(RUN)}
    grids = dict(list(points.groupby(RUN)))
    rows = []
    for _, run in runs.iterrows():
        row, grid = _gap(run, runs, seeds, level), grids.get(tuple(run[RUN]))
        row["told"] = told(run["agent"])
        for goal in GOALS:
            images, reach_count = _images_to(
                goal, grid, run["of"], lost_seeds.get(tuple(run[RUN]), set())
            )
            row[f"images_{goal}"], row[f"reached_{goal}"] = images, reach_count
        rows.append(row)
    table = runs.join(pd.DataFrame(rows, index=runs.index, columns=list(_COLUMNS)).astype(_COLUMNS))
    order = ["set", "last", "accuracy_mean", "label"]
    table["last"] = (table["lost"] > 0) | (table["accuracy_n"] == 0)
    sorted_table = table.sort_values(order, ascending=[True, True, False, True], ignore_index=True)
    return sorted_table.drop(columns="last")


def told(agent: str) -> str:
    """Say what an agent learns from, "" of one that is not rlbench's."""
    return _TOLD.get(agent, "rewards" if agent in registry.own_agents() else "")


def validation_points(results: Results) -> pd.DataFrame:
    """One row per run on image data, seed and point of its grid: the columns of `evaluations`."""
    rows = results.evaluations.query("phase == 'grid' and split == 'validation'")
    return rows.sort_values([*SEED, "step"], ignore_index=True)


def _told_apart(runs: pd.DataFrame) -> pd.DataFrame:
    """Add `set`, and labels with task, wrappers and digest where they are needed to be unique."""
    names = runs[["data", "data_digest"]].drop_duplicates()
    twice = runs["data"].isin(names.loc[names["data"].duplicated(), "data"])
    sets = runs["data"].where(~twice, runs["data"] + " " + runs["data_digest"])
    label = runs["label"]
    for text in (runs["task"], runs["env"].str.replace(r"^[^+]*", "", regex=True)):
        several = text.groupby(sets).transform("nunique") > 1
        label = label.where(~several | (text == ""), label + ", " + text)
    alike = pd.DataFrame({"set": sets, "label": label}).duplicated(keep=False)
    label = label.where(~alike, label + " #" + runs["digest"])
    return runs.assign(set=sets, label=label)


def _gap(
    run: pd.Series, runs: pd.DataFrame, seeds: Mapping[Any, pd.Series], level: float
) -> dict[str, object]:
    """Return the gap of a run to the same network with labels, or why there is none."""
    if not run["network"]:
        return {"gap_to": "", "gap_why": "no network"}
    same = ["data", "data_digest", "network"]
    able = runs[(runs["agent"] == REFERENCE) & (runs[same] == run[same]).all(axis="columns")]
    if able.empty:
        return {"gap_to": "", "gap_why": f"no {REFERENCE} run"}
    near = able.assign(
        same_task=able["task"] == run["task"],
        same_options=able["options"] == run["options"],
        tested=able["accuracy_n"] > 0,
    )
    order = ["same_task", "same_options", "tested", "validation"]
    other = near.sort_values(order, ascending=False, kind="stable").iloc[0]
    if (other[RUN] == run[RUN]).all():
        return {"gap_to": "", "gap_why": "the reference"}
    mine, theirs = (seeds[tuple(each[RUN])].dropna() for each in (run, other))
    for each, scores in ((run, mine), (other, theirs)):
        if scores.empty:
            return {"gap_to": other["label"], "gap_why": f"{each['agent']} not done"}
    low, high = difference_interval(mine, theirs, level, ACCURACY_BOUNDS) or (math.nan, math.nan)
    gap = mine.mean() - theirs.mean()
    return {"gap": gap, "gap_low": low, "gap_high": high, "gap_to": other["label"], "gap_why": ""}


def _images_to(
    goal: int, grid: pd.DataFrame | None, seeds: int, lost_seeds: Set[int]
) -> tuple[float, int]:
    """Return the images seen until validation accuracy was `goal` percent, median over all seeds.

    Also the number of seeds that reached it and were not lost.
    """
    if grid is None:
        return math.nan, 0
    there = (grid["accuracy"] >= goal / 100) & ~grid["seed"].isin(lost_seeds)
    first = grid[there].groupby("seed")["images"].first()
    return float(np.median([*first, *[math.inf] * (seeds - len(first))])), len(first)
