"""Write a report: the page, its Markdown, and its tables as CSV and Parquet."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from rlbench.common.safe_write import replace_bytes
from rlbench.reporting.report.render import render
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.tables.csv_export import to_csv


def tables(data: ReportData) -> dict[str, pd.DataFrame]:
    """Return the tables behind the page in full precision, without paths or notes."""
    return {
        "seeds": data.seeds.drop(columns=["path", "tags", "note"]),
        "cells": data.cells.drop(columns="path"),
        "comparisons": data.pairs,
        "aggregates": data.aggregates,
        "improvements": data.improvements,
        "profiles": data.profiles,
        "curves": data.points,
        "costs": data.costs,
    }


def write(data: ReportData, page: Path) -> list[Path]:
    """Write `page` (.html), its Markdown beside it, and the folder `<stem>-tables`.

    Each file is replaced atomically. Returns the files, the page first.
    """
    html, text = render(data)
    contents = {page: html.encode(), page.with_suffix(".md"): text.encode()}
    folder = page.with_name(f"{page.stem}-tables")
    for name, table in tables(data).items():
        contents[folder / f"{name}.csv"] = to_csv(table)
        contents[folder / f"{name}.parquet"] = table.to_parquet(index=False)
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, content)
    return [*contents]
