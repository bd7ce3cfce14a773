"""What a report writes: the page, its Markdown, and its tables as CSV and Parquet."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from rlbench.common.safe_write import replace_bytes
from rlbench.reporting.report.render import render
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.tables.csv_export import to_csv


def tables(found: ReportData) -> dict[str, pd.DataFrame]:
    """The tables behind the page, in full precision; paths of this machine are left out."""
    return {
        "seeds": found.seeds.drop(columns="path"),
        "cells": found.cells.drop(columns="path"),
        "comparisons": found.pairs,
        "aggregates": found.aggregates,
        "improvements": found.improvements,
        "profiles": found.profiles,
        "curves": found.points,
        "costs": found.costs,
    }


def write(found: ReportData, page: Path) -> list[Path]:
    """Write `page` (.html), its Markdown beside it, and the folder `<stem>-tables`; each file is
    replaced as a whole. The files, the page first.
    """
    html, text = render(found)
    contents = {page: html.encode(), page.with_suffix(".md"): text.encode()}
    folder = page.with_name(f"{page.stem}-tables")
    for name, table in tables(found).items():
        contents[folder / f"{name}.csv"] = to_csv(table)
        contents[folder / f"{name}.parquet"] = table.to_parquet(index=False)
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, content)
    return [*contents]
