"""Tables of results: one row per seed, per run, or per seed and point of its curve."""

import pandas as pd

from rlbench.reporting.results import RUN, STATUSES, Results
from rlbench.reporting.stats import iqm, mean_interval, share_interval

SEED = [*RUN, "seed"]
_SUMMARY = {
    **dict.fromkeys(["n", "of"], "int64"),
    **dict.fromkeys(["mean", "iqm", "low", "high", "lowest", "highest"], "float64"),
    **dict.fromkeys(["solved", "ended"], "Int64"),
    **dict.fromkeys(["solved_low", "solved_high", "reward_threshold"], "float64"),
    **dict.fromkeys([f"n_{status}" for status in STATUSES], "int64"),
    **dict.fromkeys(["step", "total_timesteps", "lockstep"], "int64"),
    "seconds": "float64",
    **dict.fromkeys(["device", "path"], "str"),
}


def per_seed(results: Results) -> pd.DataFrame:
    """One row per run and seed: the columns of `results.runs`, and

    score     mean return over the final episodes; NaN unless the seed is done, never left out
    std       standard deviation of those episodes (ddof = 1)
    episodes  how many there are so far
    label     the run's name: its agent, its variant, its digest where it takes that to tell apart
    """
    final = results.evaluations.query("phase == 'final'").groupby(SEED)["return"]
    columns = {"score": final.mean(skipna=False), "std": final.std(skipna=False)}
    scores = pd.DataFrame(columns | {"episodes": final.size()}).reset_index()
    table = results.runs.merge(scores, on=SEED, how="left", validate="one_to_one")
    table["episodes"] = table["episodes"].fillna(0).astype("int64")
    table.loc[table["status"] != "done", ["score", "std"]] = float("nan")
    return _named(table, results)


def overall(results: Results, level: float = 0.95) -> pd.DataFrame:
    """One row per run, over its seeds:

    n, of                   seeds with a final score, seeds in all
    mean, iqm               over the n scores
    low, high               Student-t interval of the mean; NaN where there is none
    lowest, highest         of the n scores
    solved, ended           seeds with a score at or above the reward threshold, among those that
                            are not running any more; <NA> without a threshold
    solved_low, solved_high Clopper-Pearson interval of that share: a diverged or failed seed
                            counts as not solved
    n_done, n_running, n_diverged, n_failed
    step, total_timesteps   reached by the slowest part, asked for
    lockstep, seconds       seeds in the largest part; training time summed over all parts
    reward_threshold, device, path
    """
    rows = [
        {**dict(zip([*RUN, "label"], name, strict=True)), **_summary(seeds, level)}
        for name, seeds in per_seed(results).groupby([*RUN, "label"])
    ]
    return pd.DataFrame(rows, columns=[*RUN, "label", *_SUMMARY]).astype(_SUMMARY)


def curve(results: Results) -> pd.DataFrame:
    """One row per run, seed and point of the grid: `label`, mean `return`, `episodes`."""
    grid = results.evaluations.query("phase == 'grid'").groupby([*SEED, "step"])["return"]
    points = pd.DataFrame({"return": grid.mean(skipna=False), "episodes": grid.size()})
    return _named(points.reset_index(), results)


def number_text(value: float) -> str:
    """A score as people read it: 1,482.1, 9.85, 0.973; "-" where there is none."""
    if pd.isna(value):
        return "-"
    size = abs(value)
    return f"{value:,.{1 if size >= 10 or size == 0 else 2 if size >= 1 else 3}f}"


def interval_text(run: pd.Series) -> str:
    """The interval of a row of `overall` in words; at a ceiling "n of n at x" stands in for it."""
    if pd.notna(run["low"]):
        return f"{number_text(run['low'])} to {number_text(run['high'])}"
    if run["n"] >= 2 and run["lowest"] == run["highest"]:
        return f"{run['n']} of {run['n']} at {run['mean']:g}"
    return "no interval" if run["n"] else "no final score"


def _summary(seeds: pd.DataFrame, level: float) -> dict[str, object]:
    """What `overall` says about one run, from its rows of `per_seed`."""
    scores = seeds["score"].dropna()
    first = seeds.iloc[0]
    low, high = mean_interval(scores, level) or (None, None)
    row: dict[str, object] = {
        "n": len(scores),
        "of": len(seeds),
        "mean": scores.mean(),
        "iqm": iqm(scores),
        "low": low,
        "high": high,
        "lowest": scores.min(),
        "highest": scores.max(),
        **{f"n_{status}": (seeds["status"] == status).sum() for status in STATUSES},
        "step": seeds["step"].min(),
        "lockstep": seeds["lockstep"].max(),
        "seconds": (seeds["seconds"] / seeds["lockstep"]).sum(),  # seeds of a part share its time
        **first[["total_timesteps", "reward_threshold", "device", "path"]],
    }
    if pd.notna(first["reward_threshold"]):
        solved = int((scores >= first["reward_threshold"]).sum())
        ended = int((seeds["status"] != "running").sum())
        row |= {"solved": solved, "ended": ended}
        row["solved_low"], row["solved_high"] = share_interval(solved, ended, level) or (None, None)
    return row


def _named(table: pd.DataFrame, results: Results) -> pd.DataFrame:
    """The table with `label`, agent and variant, behind its run.

    The digest is added where two runs on one env would read the same.
    """
    runs = results.runs[RUN].drop_duplicates()
    label = (runs["agent"] + " " + runs["variant"]).str.strip()
    alike = runs.assign(label=label).duplicated(["env", "label"], keep=False)
    runs["label"] = label.where(~alike, label + " #" + runs["digest"])
    named = table.merge(runs, on=RUN, how="left", validate="many_to_one")
    named.insert(len(RUN), "label", named.pop("label"))
    return named
