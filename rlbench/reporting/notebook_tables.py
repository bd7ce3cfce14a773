"""Results as HTML tables, for notebooks."""

from __future__ import annotations

import html

import pandas as pd

from rlbench.common.number_format import number_text
from rlbench.reporting.console.tables import unscored
from rlbench.reporting.tables.load import Results
from rlbench.reporting.tables.summaries import interval_text, overall, percent_text

NOTE = "mean over the seeds with a score, in brackets its 95 % t-interval"
MOST = 50  # rows


def runs_table(results: Results) -> str:
    """Return a table with a row per run: seeds, score with its interval, steps and seconds."""
    table = overall(results)
    rows = [
        {
            "environment": run["env"],
            "run": run["label"],
            "seeds": _seeds(run),
            "score": _score(run),
            "solved": "" if pd.isna(run["solved"]) else f"{run['solved']} of {run['ended']}",
            "steps": f"{run['step']:,}",
            "seconds": number_text(run["seconds"]),
        }
        for _, run in table.iterrows()
    ]
    notes = [f"score: {NOTE}"] if rows else ["no runs"]
    notes += [f"left out: {problem}" for problem in results.problems]
    return _html(pd.DataFrame(rows), notes)


def comparison_tables(scores: pd.DataFrame, differences: pd.DataFrame) -> str:
    """Return both tables of a comparison: scores per entrant, and differences between them."""
    each = [
        {
            "environment": cell["env"],
            "entrant": cell["label"],
            "seeds": f"{cell['n']} of {cell['of']}",
            cell["measure"]: _interval(cell["mean"], cell["low"], cell["high"]),
        }
        for _, cell in scores.iterrows()
    ]
    pairs = [
        {
            "environment": pair["env"],
            "difference": f"{pair['a']} − {pair['b']}",
            "of means": _interval(pair["difference"], pair["low"], pair["high"]),
            "p": number_text(pair["p_holm"]),
            "verdict": {"a": pair["a"], "b": pair["b"]}.get(pair["verdict"], pair["verdict"]),
        }
        for _, pair in differences.iterrows()
    ]
    tested = "Welch's interval; p of a permutation test, adjusted by Holm over all rows"
    return _html(pd.DataFrame(each).fillna(""), [NOTE]) + _html(pd.DataFrame(pairs), [tested])


def _seeds(run: pd.Series) -> str:
    of = "accuracy_" if run["data"] else ""
    rest = unscored(run, of)
    return f"{run[f'{of}n']} of {run['of']}: {rest}" if rest else str(run[f"{of}n"])


def _score(run: pd.Series) -> str:
    of = "accuracy_" if run["data"] else ""
    if not run[f"{of}n"]:
        return "-"
    if of:
        mean = percent_text(run["accuracy_mean"], run["items"])
        text = interval_text(run, of, lambda value: percent_text(value, run["items"]))
        return f"{mean} % [{text}]"
    return f"{number_text(run['mean'])} [{interval_text(run)}]"


def _interval(mean: float, low: float, high: float) -> str:
    """Format a mean with its interval: "23.1 [11.9 to 34.3]"."""
    if pd.isna(mean):
        return "-"
    ends = "no interval" if pd.isna(low) else f"{number_text(low)} to {number_text(high)}"
    return f"{number_text(mean)} [{ends}]"


def _html(table: pd.DataFrame, notes: list[str]) -> str:
    """Return a table of text, without an index, and notes below it, all escaped."""
    shown = table.head(MOST)
    if len(table) > MOST:
        notes = [f"{len(table) - MOST} rows more", *notes]
    body = shown.to_html(index=False, escape=True, border=0) if len(table) else ""
    for tag in ("th", "td"):  # not every page has a style for tables
        body = body.replace(f"<{tag}>", f'<{tag} style="padding:0.1em 0.6em;text-align:left">')
    return body + "".join(f"<div><small>{html.escape(note)}</small></div>" for note in notes)
