"""Summary tables: one row per seed, per run, or per seed and point of its curve."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from rlbench.common.number_format import number_text
from rlbench.reporting.statistics.intervals import Bounds, iqm, mean_interval, share_interval
from rlbench.reporting.statistics.reference_scores import ACCURACY_BOUNDS
from rlbench.reporting.tables.load import RUN, STATUSES, Results

SEED = [*RUN, "seed"]
TASK = ["network", "data", "data_digest", "task", "options"]
_MEASURES = ("", "accuracy_", "g_")  # of returns, accuracies, g_means: what follows
ENDED = ("done", "diverged", "failed", "timeout")  # statuses after which no score will come
BOUNDS = ["bound_low", "bound_high"]
_SPREAD = ["n", "mean", "low", "high", "lowest", "highest"]
_SUMMARY = {
    **{f"{of}{name}": "float64" for of in _MEASURES for name in _SPREAD},
    **dict.fromkeys([*(f"{of}n" for of in _MEASURES), "of", "lost", "items"], "int64"),
    **dict.fromkeys(["cut", "played"], "int64"),
    "iqm": "float64",
    **dict.fromkeys(["solved", "ended"], "Int64"),
    **dict.fromkeys(["solved_low", "solved_high", "reward_threshold"], "float64"),
    **dict.fromkeys(BOUNDS, "float64"),
    **dict.fromkeys([f"n_{status}" for status in STATUSES], "int64"),
    **dict.fromkeys(["step", "total_timesteps", "lockstep"], "int64"),
    "seconds": "float64",
    **dict.fromkeys(["device", "path", *TASK], "str"),
}


def per_seed(results: Results) -> pd.DataFrame:
    """Make a table with one row per run and seed.

    The columns are those of `results.runs`, and

    score     mean return over the final episodes; NaN unless the seed is done, never left out
    std       standard deviation of those episodes (ddof = 1)
    episodes  how many there are so far
    cut       how many of them, or of the test images, were cut by the step limit of evaluation
    items     the same on ordinary environments; on image data the test images visited so far
    accuracy  share of the test images that were classified correctly, from 0 to 1
    g_mean    geometric mean of the recalls of the classes on these; NaN if there is none
    lost      whether the seed ended without a score: diverged, failed, timed out or scored NaN
    label     the run's name: its agent, its variant, and its digest where needed to be unique
    """
    rows = results.evaluations.query("phase == 'final'")
    final, tests = rows.groupby(SEED), rows.query("split == 'test'").groupby(SEED)
    returns = final["return"]
    columns = {"score": returns.mean(skipna=False), "std": returns.std(skipna=False)}
    columns |= {"episodes": final.size(), "items": final["items"].sum(), "cut": final["cut"].sum()}
    g_mean = results.metrics.query("key == 'test/g_mean'").groupby(SEED)["value"].last()
    each = pd.DataFrame(columns), tests["accuracy"].mean(), g_mean.rename("g_mean")
    scores = pd.concat([_with_text(values) for values in each], axis=1).reset_index()
    table = results.runs.merge(scores, on=SEED, how="left", validate="one_to_one")
    counts = ["episodes", "items", "cut"]
    table[counts] = table[counts].fillna(0).astype("int64")
    table.loc[table["status"] != "done", ["score", "std", "accuracy", "g_mean"]] = float("nan")
    measure = table["accuracy"].where(table["data"] != "", table["score"])
    table["lost"] = table["status"].isin(ENDED) & measure.isna()
    return _named(table, results)


def _with_text(values: pd.DataFrame | pd.Series) -> pd.DataFrame | pd.Series:
    """Return values by seed with an index of text, where that of their rows was in categories."""
    names = values.index.to_frame(index=False)
    index = pd.MultiIndex.from_frame(names.astype(dict.fromkeys(RUN, "str")))
    return values.set_axis(index)


def overall(results: Results, level: float = 0.95) -> pd.DataFrame:
    """Make a table with one row per run, over its seeds.

    n, of, lost             seeds with a final score, seeds in all, seeds that ended without a score
    mean, iqm               over the n scores
    low, high               Student-t interval of the mean, cut at bound_low and bound_high, the
                            least and greatest possible return; NaN where there is none
    lowest, highest         of the n scores
    solved, ended           seeds with a score at or above the reward threshold, among those that
                            are not running or stopped; <NA> without a threshold
    solved_low, solved_high Clopper-Pearson interval of that share: a diverged, failed or
                            timed-out seed counts as not solved
    n_done, n_running, n_stopped, n_diverged, n_failed, n_timeout
    step, total_timesteps   reached by the slowest part, and planned
    lockstep, seconds       seeds in the largest part; training time summed over all parts
    reward_threshold, device, path, and network, data, data_digest, task, options as in `runs`
    cut, played             final episodes, or test images, cut by the step limit of evaluation, of
                            all that were played
    items                   test images of a run on image data, or final episodes, of a seed
    accuracy_n, g_n, accuracy_mean, ...   n, mean, low, high, lowest, highest of these
    """
    rows = [
        {**dict(zip([*RUN, "label"], name, strict=True)), **_summary(seeds, level)}
        for name, seeds in per_seed(results).groupby([*RUN, "label"])
    ]
    return pd.DataFrame(rows, columns=[*RUN, "label", *_SUMMARY]).astype(_SUMMARY)


def curve(results: Results) -> pd.DataFrame:
    """Make a table with one row per run, seed and grid point: label, mean return, episodes."""
    grid = results.evaluations.query("phase == 'grid'").groupby([*SEED, "step"])["return"]
    points = pd.DataFrame({"return": grid.mean(skipna=False), "episodes": grid.size()})
    return _named(points.reset_index(), results)


def percent_text(accuracy: float, items: int) -> str:
    """Format an accuracy in percent to the resolution of the images: 97.5 of 360, 97.52 of more."""
    if pd.isna(accuracy):
        return "-"
    return f"{100 * min(max(accuracy, 0.0), 1.0):.{1 if items < 1000 else 2}f}"


def cut_text(
    low: ArrayLike, high: ArrayLike, bounds: tuple[ArrayLike, ArrayLike], percent: bool = False
) -> str:
    """Describe how intervals were clipped: "cut at the bounds 0 and 500", or "" where none was."""
    rows = np.broadcast_arrays(low, high, *bounds)
    ends, limits = np.array(rows, dtype=np.float64).reshape(2, 2, -1)
    values = np.unique(limits[ends == limits])
    at = [f"{100 * bound:g} %" if percent else f"{bound:g}" for bound in values]
    return f"cut at the bound{'s' * (len(at) > 1)} {' and '.join(at)}" if at else ""


def cut_of(runs: pd.DataFrame | pd.Series, of: str = "", percent: bool = False) -> str:
    """Apply `cut_text` to a row of `overall`: to returns, or to the measure with prefix `of`."""
    bounds = ACCURACY_BOUNDS if of else (runs["bound_low"], runs["bound_high"])
    return cut_text(runs[f"{of}low"], runs[f"{of}high"], bounds, percent)


def interval_text(
    run: pd.Series, of: str = "", text: Callable[[float], str] = number_text, unit: str = ""
) -> str:
    """Format the interval of a row of `overall`; at a ceiling "10 of 10 at x" replaces it.

    Of the returns, or with `of` "accuracy_" or "g_" of these.
    """
    n, _, low, high, lowest, highest = (run[f"{of}{name}"] for name in _SPREAD)
    if pd.notna(low):
        return f"{text(low)} to {text(high)}{unit}"
    if n >= 2 and lowest == highest:
        return f"{n} of {run['of']} at {text(lowest).removesuffix('.0')}{unit}"
    return "no interval" if n else "no final score"


def _summary(seeds: pd.DataFrame, level: float) -> dict[str, object]:
    """Summarise one run from its rows of `per_seed`."""
    scores = seeds["score"].dropna()
    first = seeds.iloc[0]
    row: dict[str, object] = {
        "of": len(seeds),
        "lost": seeds["lost"].sum(),
        "iqm": iqm(scores),
        **_spread("", scores, level, tuple(first[BOUNDS])),
        **_spread("accuracy_", seeds["accuracy"], level, ACCURACY_BOUNDS),
        **_spread("g_", seeds["g_mean"], level, ACCURACY_BOUNDS),
        "items": seeds["items"].max(),
        "cut": seeds["cut"].sum(),
        "played": seeds["items"].sum(),
        **{f"n_{status}": (seeds["status"] == status).sum() for status in STATUSES},
        "step": seeds["step"].min(),
        "lockstep": seeds["lockstep"].max(),
        # Seeds of a part share its time; a part that has not begun has none.
        "seconds": (seeds["seconds"] / seeds["lockstep"]).sum(min_count=1),
        **first[["total_timesteps", "reward_threshold", *BOUNDS, "device", "path", *TASK]],
    }
    if pd.notna(first["reward_threshold"]):
        solved = int((scores >= first["reward_threshold"]).sum())
        ended = int(seeds["status"].isin(ENDED).sum())
        row |= {"solved": solved, "ended": ended}
        row["solved_low"], row["solved_high"] = share_interval(solved, ended, level) or (None, None)
    return row


def _spread(of: str, scores: pd.Series, level: float, bounds: Bounds) -> dict[str, object]:
    there = scores.dropna()
    low, high = mean_interval(there, level, bounds) or (None, None)
    values = (len(there), there.mean(), low, high, there.min(), there.max())
    return {f"{of}{name}": value for name, value in zip(_SPREAD, values, strict=True)}


def _named(table: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Add `label`, agent and variant or a name of `results.labels`, behind the run's columns.

    The digest is added where two runs on one environment would have the same label.
    """
    runs = results.runs[RUN].drop_duplicates()
    label = (runs["agent"] + " " + runs["variant"]).str.strip()
    if results.labels:
        keys = runs[RUN].itertuples(index=False, name=None)
        given = pd.Series([results.labels.get(key) for key in keys], runs.index, dtype="str")
        label = given.fillna(label)
    alike = runs.assign(label=label).duplicated(["env", "label"], keep=False)
    runs["label"] = label.where(~alike, label + " #" + runs["digest"])
    labelled_rows = table.merge(runs, on=RUN, how="left", validate="many_to_one")
    labelled_rows.insert(len(RUN), "label", labelled_rows.pop("label"))
    return labelled_rows
