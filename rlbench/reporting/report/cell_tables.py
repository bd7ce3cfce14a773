"""Tables of a report's data: one row per seed, and one per cell of environment x entrant."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from rlbench.protocol import default_eval_max_steps
from rlbench.reporting.report.inputs import FLOOR, MISSING, ReportInputs, tuning_seeds
from rlbench.reporting.statistics.intervals import iqm, mean_interval, share_interval
from rlbench.reporting.statistics.reference_scores import ACCURACY_BOUNDS
from rlbench.reporting.tables.load import RUN, STATUSES, Results
from rlbench.reporting.tables.summaries import BOUNDS, ENDED, per_seed
from rlbench.storage.run_folder import seed_ranges

STATES = (*STATUSES, MISSING)
CELL = ["env", "label"]
RETURN, ACCURACY = "return", "test accuracy"
_CELLS = {
    **dict.fromkeys([*RUN, "label", "measure", "device", "platform", "path", "why"], "str"),
    **dict.fromkeys(["n", "of", "lost", *(f"n_{state}" for state in STATES)], "int64"),
    **dict.fromkeys(["mean", "low", "high", "lowest", "highest", "iqm", "threshold"], "float64"),
    **dict.fromkeys(BOUNDS, "float64"),
    **dict.fromkeys(["solved", "ended"], "Int64"),
    **dict.fromkeys(["solved_low", "solved_high", "seconds", "seconds_per_seed"], "float64"),
    **dict.fromkeys(["step", "total_timesteps", "lockstep", "lockstep_most", "items"], "int64"),
    **dict.fromkeys(["cut", "played", "tuned_on"], "int64"),
    "step_limit": "Int64",
}


def seed_table(results: Results) -> pd.DataFrame:
    """Make a table with one row per run and seed.

    The columns are those of `summaries.per_seed`, whose `score` is the test accuracy on image data
    and the mean final return elsewhere, and

    measure      which of the two; bound_low and bound_high are those of this score
    own_seconds  training seconds of the part, divided by the seeds that shared them
    """
    seeds = per_seed(results)
    on_images = seeds["data"] != ""
    seeds["score"] = seeds["accuracy"].where(on_images, seeds["score"])
    seeds["measure"] = on_images.map({True: ACCURACY, False: RETURN}).astype("str")
    seeds.loc[on_images, BOUNDS] = ACCURACY_BOUNDS
    seeds["own_seconds"] = seeds["seconds"] / seeds["lockstep"]
    return seeds


def cell_table(scope: ReportInputs, seeds: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Make a table with one row per environment and entrant, over its seeds.

    n, of, lost              seeds with a score, seeds in all, seeds that ended without a score;
                             n_done, ..., n_missing by status
    mean, low, high          of the scores, with a Student-t interval, NaN where there is none; it
                             is cut at bound_low and bound_high, the range of a score
    lowest, highest, iqm     of the scores
    solved, ended            seeds at or above the reward threshold of those that ended, <NA> if
                             there is no threshold; solved_low, solved_high: Clopper-Pearson
    seconds, seconds_per_seed  training time of all parts, and of a seed
    lockstep, lockstep_most  seeds that trained together: in the smallest part, in the largest
    step, total_timesteps    steps of the slowest seed, and planned
    cut, played              final episodes or test images, see `summaries.overall`
    step_limit               steps after which evaluation cuts an episode, if the run says so
    tuned_on                 seeds that the setting was tuned on, of those with a score
    why                      reasons of the seeds that are not done: "seed 3 diverged: loss is nan"
    """
    rows = []
    by_run: dict[Any, pd.DataFrame] = dict(list(seeds.groupby([*RUN, "label"])))
    for name, mine in by_run.items():
        record = scope.records.get(name[:-1])
        platforms = {str(p.get("platform") or "") for p in record.parts} if record else set()
        row = dict(zip([*RUN, "label"], name, strict=True)) | _summary(mine, level)
        row["step_limit"] = record.run.get("eval_max_steps") if record else None
        tuned = tuning_seeds(record.run) if record else frozenset()
        row["tuned_on"] = mine.loc[mine["score"].notna(), "seed"].isin(tuned).sum()
        rows.append(row | {"platform": ", ".join(sorted(filter(None, platforms)))})
    table = pd.DataFrame(rows, columns=list(_CELLS)).astype(_CELLS)
    table["floor"] = table["agent"] == FLOOR
    return table.sort_values(["env", "floor", "label"], ignore_index=True)


def entrants(cells: pd.DataFrame) -> list[str]:
    """List the labels of the entrants, in order; the random agent only if it is alone."""
    labels = cells.loc[~cells["floor"], "label"]
    return sorted(set(labels if len(labels) else cells["label"]))


def floor_of(cells: pd.DataFrame) -> pd.Series | None:
    """Return the row of the random agent among the cells of one environment, or None.

    Of several, one with the step limit that most entrants have, since in an environment without an
    end the limit decides the score; of these, the one with the most seeds.
    """
    floors = cells[cells["floor"]]
    if floors.empty:
        return None
    entrant_limits = [
        (-1, default_eval_max_steps(steps)) if pd.isna(limit) else (limit,)
        for limit, steps in cells.loc[~cells["floor"], ["step_limit", "total_timesteps"]].values
    ]
    limits = floors["step_limit"].fillna(-1)
    alike = [sum(limit in own for own in entrant_limits) for limit in limits]
    ranked = floors.assign(alike=alike).sort_values(["alike", "n", "digest"])
    return ranked.drop(columns="alike").iloc[-1]


def environments(cells: pd.DataFrame) -> list[str]:
    """List the environments of the cells, sorted."""
    return sorted(set(cells["env"]))


def state_text(cell: Any, short: bool = False) -> str:
    """Count seeds by status: "8 done, 1 diverged, 1 missing"; `short` leaves out those done."""
    there = [state for state in STATES if cell[f"n_{state}"]]
    if short:
        there = [state for state in there if state != "done"]
    return ", ".join(f"{cell[f'n_{state}']} {state}" for state in there)


def _summary(seeds: pd.DataFrame, level: float) -> dict[str, Any]:
    scores = seeds["score"].dropna()
    first, ran = seeds.iloc[0], seeds[seeds["total_timesteps"] > 0]  # a run of them is there
    bounds = seeds["bound_low"].min(), seeds["bound_high"].max()
    low, high = mean_interval(scores, level, bounds) or (math.nan, math.nan)
    parts = ran if len(ran) else seeds
    times = ran["own_seconds"].dropna()
    row: dict[str, Any] = {
        "measure": first["measure"],
        "n": len(scores),
        "of": len(seeds),
        "lost": seeds["lost"].sum(),
        **{f"n_{state}": (seeds["status"] == state).sum() for state in STATES},
        "mean": scores.mean(),
        "low": low,
        "high": high,
        "iqm": iqm(scores),
        "lowest": scores.min(),
        "highest": scores.max(),
        **dict(zip(BOUNDS, bounds, strict=True)),
        "threshold": seeds["reward_threshold"].max(),
        "seconds": times.sum(min_count=1),
        "seconds_per_seed": times.mean(),
        "lockstep": parts["lockstep"].min(),
        "lockstep_most": parts["lockstep"].max(),
        "step": parts["step"].min(),
        "total_timesteps": parts["total_timesteps"].max(),
        "device": parts["device"].iloc[0],
        "path": parts["path"].iloc[0],
        "items": seeds["items"].max(),
        "cut": seeds["cut"].sum(),
        "played": seeds["items"].sum(),
        "why": "; ".join(_ends(seeds)),
    }
    if first["measure"] == RETURN and pd.notna(row["threshold"]):
        solved = int((scores >= row["threshold"]).sum())
        ended = int(seeds["status"].isin(ENDED).sum())
        row |= {"solved": solved, "ended": ended}
        row["solved_low"], row["solved_high"] = share_interval(solved, ended, level) or (None, None)
    return row


def _ends(seeds: pd.DataFrame) -> list[str]:
    """Describe how seeds ended that are not done, grouped by reason."""
    rest = seeds[(seeds["status"] != "done") | (seeds["score"].isna())]
    reasons = []
    for (status, reason), some in rest.groupby(["status", "reason"], sort=False):
        many = "seeds" if len(some) > 1 else "seed"
        which = seed_ranges(some["seed"].tolist())
        state = "done without a score" if status == "done" else status
        reasons.append(f"{many} {which} {state}" + (f": {reason}" if reason else ""))
    return reasons
