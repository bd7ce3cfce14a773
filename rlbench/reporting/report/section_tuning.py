"""Section on tuning: how much each entrant was tuned, and on which seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from rlbench.reporting.report import formatting
from rlbench.reporting.report.document import Block, Points, Table, TableCell
from rlbench.reporting.report.report_data import ReportData

HEADS = ["*entrant", "trials", "steps of a trial", "seeds of a trial", "all steps", "*study"]


def tuning(data: ReportData) -> Iterator[Block]:
    """Make the table and the checklist, if the setting of any entrant was tuned."""
    cells = data.cells[data.cells["label"].isin(data.names)]
    records = [(cell, data.record(cell)) for _, cell in cells.iterrows()]
    found = [(cell, record.run) for cell, record in records if record]
    if not any(run.get("tuned") or run.get("preset") for _, run in found):
        return
    rows: list[list[TableCell]] = []
    for env in data.envs:
        here = [(cell, run) for cell, run in found if cell["env"] == env]
        rows += [[TableCell(env)]] * bool(here)
        rows += [_row(cell["label"], run) for cell, run in here]
    caption = (
        "How much each setting was tuned: settings tried, env steps that each of their seeds "
        "trained, and env steps of the whole search. – : not recorded, or not tuned."
    )
    yield Table(caption, HEADS, rows)
    yield Points(list(_checklist(data, found)))


def _row(label: str, run: Mapping[str, Any]) -> list[TableCell]:
    tuned = run.get("tuned") or {}
    if tuned.get("study"):
        what = f"study {tuned['study']} of {tuned.get('date', '')}"
    elif run.get("preset"):
        what = f"preset {run['preset']}"
    elif run.get("imported"):
        what = "not known: imported"
    else:
        what = "none: default or given parameters"
    numbers = [tuned.get("trials"), tuned.get("steps"), tuned.get("seeds"), tuned.get("env_steps")]
    texts = [f"{n:,}" if isinstance(n, int) else str(n or formatting.NONE) for n in numbers]
    return [TableCell(label, key=label), *map(TableCell, texts), TableCell(what)]


def _checklist(
    data: ReportData, found: Sequence[tuple[pd.Series, Mapping[str, Any]]]
) -> Iterator[str]:
    """Answer the questions of Eimer et al. (2023) that the records answer."""
    mixed = [cell for cell, _ in found if cell["tuned_on"]]
    yield (
        "Seeds for tuning and for results are apart: "
        + (f"no, see {listed(mixed)} (†)" if mixed else "yes, as far as tuning is recorded")
        + "."
    )
    budgets = {(run.get("tuned") or {}).get("env_steps", 0) for _, run in found}
    yield (
        "All entrants had the same budget for tuning: "
        + ("yes" if len(budgets) == 1 and budgets != {0} else "no, or it is not recorded")
        + "."
    )
    seeds = sorted({int(cell["n"]) for cell, _ in found})
    yield f"Seeds that results are over: {formatting.listing(seeds, 'or')}."
    yield (
        "Tuning by rlbench tune is scored by the grid of evaluations, results by the final one: "
        "their episodes differ."
    )
    if studies := dict.fromkeys(
        run["tuned"]["study"] for _, run in found if (run.get("tuned") or {}).get("study")
    ):
        files = formatting.listing(f"studies/{study}/study.json" for study in studies)
        yield f"Search spaces, samplers and all trials: {files}."


def listed(cells: list[pd.Series]) -> str:
    """Name cells: "dqn on CartPole-v1"."""
    return formatting.some([f"{cell['label']} on {cell['env']}" for cell in cells], "cells", 3)
