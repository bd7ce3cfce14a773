"""docs/reference/tables.md names every column that there is, and none that is not."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from commands import ROOT, TINY, here
from pages import DOCS

import rlbench
from rlbench.experiments.ablation import Ablation
from rlbench.experiments.suite import Env, Suite, Variant
from rlbench.reporting.tables.test_answers import FIELDS, PATH_ARRAYS

PAGE = DOCS / "reference" / "tables.md"
REFERENCE = ROOT / "results" / "reference"
TYPES = {"str": "text", "int64": "integer", "Int64": "integer", "float64": "number"}
TYPES |= {"bool": "true/false"}


def dictionary(text: str) -> dict[str, dict[str, tuple[str, str]]]:
    """Type, and when it is missing, of each name in each section of the page."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for section in text.split("\n## ")[1:]:
        rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
        found[section.partition("\n")[0].lower()] = {
            name: (cells[1], cells[-1].rstrip(" |"))
            for cells in rows
            for name in re.findall(r"`([^`]+)`", cells[0])
        }
    return found


SECTIONS = dictionary(PAGE.read_text("utf-8"))


def differences(section: str, real: dict[str, str]) -> list[str]:
    """Names, and types of names, in which a section differs from what there is."""
    said = {name: kind for name, (kind, _) in SECTIONS[section].items()}
    missing = [f"{name} is not in the page" for name in real.keys() - said.keys()]
    extra = [f"{name} does not exist" for name in said.keys() - real.keys()]
    wrong = [f"{n} is {real[n]}" for n in real.keys() & said.keys() if real[n] != said[n]]
    return sorted(missing + extra + wrong)


def kinds(table: pd.DataFrame) -> dict[str, str]:
    return {str(name): TYPES[str(kind)] for name, kind in table.dtypes.items()}


def names(section: str) -> set[str]:
    return set(SECTIONS[section])


@pytest.fixture(scope="module")
def loaded() -> rlbench.Results:
    return rlbench.load(REFERENCE / "rlbench_Classify-Digits-v0")


@pytest.mark.parametrize("table", ["runs", "evaluations", "episodes", "metrics"])
def test_tables_of_load(table: str, loaded: rlbench.Results) -> None:
    assert differences(table, kinds(getattr(loaded, table))) == []


def test_effects_of_an_ablation() -> None:
    """Earlier versions wrote fewer columns."""
    columns = []
    for file in REFERENCE.glob("benches/*/effects.csv"):
        with file.open(encoding="utf-8", newline="") as text:
            columns.append(set(next(csv.reader(text))))
    assert max(columns, key=len) == set().union(*columns) == names("effects of an ablation")


def test_keys_of_suite_files() -> None:
    assert names("suite files") == set(Suite.model_fields)
    assert names("suite files: env") == set(Env.model_fields)
    assert names("suite files: variant") == set(Variant.model_fields)
    assert names("suite files: ablation") == set(Ablation.model_fields)


def test_arrays_of_test_answers() -> None:
    assert names("test answers") == {*FIELDS, *PATH_ARRAYS}


def test_differences_are_found() -> None:
    """Negative control: a column too many, one too few, one of another type."""
    real = {name: kind for name, (kind, _) in SECTIONS["episodes"].items()}
    real["new"] = real.pop("time")
    real["step"] = "text"
    assert differences("episodes", real) == [
        "new is not in the page", "step is text", "time does not exist",
    ]  # fmt: skip


@pytest.mark.slow
def test_files_of_real_runs_and_a_report(tmp_path: Path) -> None:
    """Two runs and their report: the CSV and Parquet files, and the keys of the JSON files."""
    out = ["--out", tmp_path, "-q", "--jobs", "1"]
    short = ["-n", "300", "--final-episodes", "2"]
    assert here("run", "dqn", "--env", "CartPole-v1", "--seeds", "2", *short, *TINY, *out) == 0
    catch = ["rlbench/Catch-v0", "--seeds", "2", *short, "-p", "learning_starts=100"]
    assert here("run", "dqn", "--env", *catch, *out) == 0
    digits = ["rlbench/Classify-Digits-v0", "--seeds", "2", "-n", "300"]
    assert here("run", "supervised", "--env", *digits, *out) == 0
    assert here("report", tmp_path, "-o", tmp_path / "page" / "report.html") == 0
    written = {file.stem: file for file in tmp_path.glob("page/report-tables/*.parquet")}
    assert {f"report: {name}" for name in written} == {n for n in SECTIONS if "report: " in n}
    for name, file in written.items():
        table = pd.read_parquet(file)
        if len(table):
            assert differences(f"report: {name}", kinds(table)) == []
        with file.with_suffix(".csv").open(encoding="utf-8", newline="") as text:
            assert next(csv.reader(text)) == list(table)
    for table_name in ("evaluations", "episodes", "metrics"):
        (file, *_) = tmp_path.glob(f"CartPole-v1/dqn-*/seeds-*/{table_name}.csv")
        columns = file.read_text("utf-8").partition("\n")[0].split(",")
        assert {"env", "agent", "variant", "digest", *columns} == names(table_name)
    for json_name in ("run.json", "part.json"):
        found = {
            key
            for file in [*tmp_path.rglob(json_name), *REFERENCE.rglob(json_name)]
            for key in json.loads(file.read_text("utf-8"))
        }
        assert found - names(json_name) == set()
        optional = {name for name, (_, when) in SECTIONS[json_name].items() if when}
        assert names(json_name) - found - optional == set()
