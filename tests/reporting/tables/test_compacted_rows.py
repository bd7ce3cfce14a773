"""Rows that `rlbench compact` wrote as Parquet are those of the CSV files, or are not read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import TINY, here, run_folder
from damage import same_tables
from image_runs import write_data_run

from rlbench.reporting.tables.compacting import compact
from rlbench.reporting.tables.load import Results, collect, load
from rlbench.reporting.tables.row_files import FILES
from rlbench.storage.records import checksum
from rlbench.storage.run_folder import RunFolder, write_json
from rlbench.storage.verifying import verify

ARGS = ["run", "dqn", "--env", "CartPole-v1", "-n", "100", "--eval-episodes", "2",
        "--final-episodes", "5", *TINY, "--quiet", "--no-floor", "--jobs", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two parts, and a part on images of which a seed is still running."""
    out = tmp_path_factory.mktemp("whole") / "results"
    for seeds in ("0-1", "2-2"):
        assert here(*ARGS, "--seeds", seeds, "--out", out) == 0
    write_data_run(out, "ppo", test={0: 0.8, 1: 0.9}, status={3: "diverged", 4: "running"})
    return out


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "results")


@pytest.fixture
def compacted(store: Path) -> Path:
    compact(store)
    return store


def record_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "compact" / "compact.json").read_text())
    return found


def parquet_of(out: Path, name: str) -> Path:
    return out / "compact" / f"{name}-{record_of(out)['files'][f'{name}.csv']}.parquet"


def rewrite(out: Path, change: Callable[[pa.Table], pa.Table], **options: Any) -> None:
    """Change the Parquet file of evaluations, with checksums that fit."""
    record, file = record_of(out), parquet_of(out, "evaluations")
    table = change(pq.read_table(file))
    pq.write_table(table, file, **{"compression": "none"} | options)
    total = checksum(file.read_bytes())
    record["files"]["evaluations.csv"] = total
    file.rename(file.with_name(f"evaluations-{total}.parquet"))
    write_json(out / "compact" / "compact.json", record)


def alter_csv(out: Path) -> Path:
    """Change a score in a CSV file, which then has as many bytes as before."""
    file = run_folder(out) / "seeds-2" / "evaluations.csv"
    *lines, last = file.read_text().splitlines(keepends=True)
    fields = last.split(",")
    fields[4] = "9" + fields[4][1:] if fields[4][0] != "9" else "8" + fields[4][1:]
    file.write_text("".join([*lines, ",".join(fields)]))
    return file


def assert_same(one: Results, other: Results) -> None:
    assert not one.problems
    assert not other.problems
    for first, second in zip(one.tables(), other.tables(), strict=True):
        pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_tables_are_the_same_and_csv_files_are_not_read(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load(store)
    assert here("compact", "--out", store) == 0
    said = capsys.readouterr().out
    assert "of 2 parts in" in said
    assert "1 part not finished, or damaged" in said
    assert_same(load(store), before)
    assert not verify(store).different
    changed = alter_csv(store)
    assert_same(load(store), before)  # of the Parquet file: what was written
    assert [each.file for each in verify(store).different] == [changed]
    shutil.rmtree(store / "compact")
    assert "seeds-2" in collect(store).problems[0]  # negative control


def test_single_runs_and_parts_are_read_as_before(store: Path) -> None:
    run = run_folder(store)
    paths = (run, run / "seeds-2", run / "seeds-0-1")
    before = [load(path) for path in paths]
    compact(store)
    for path, expected in zip(paths, before, strict=True):
        assert_same(load(path), expected)


@pytest.mark.parametrize("name", ["evaluations", "episodes", "metrics"])
def test_a_changed_file_is_named_and_not_believed(compacted: Path, name: str) -> None:
    before, file = load(compacted), parquet_of(compacted, name)
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    results = collect(compacted)
    (problem,) = results.problems
    assert f"{file} is corrupt (its checksum" in problem
    assert same_tables(results, before)
    assert [each.file for each in verify(compacted).different] == [file]
    assert here("list", "runs", "--out", compacted) == 0
    assert here("report", "--out", compacted, "--strict") == 2


def test_runs_that_go_on_are_read_from_their_csv_files(compacted: Path) -> None:
    """More seeds, a seed that is computed again, and the whole run anew with other evaluations."""
    run = RunFolder(run_folder(compacted))
    run.part([0, 1]).cut([0])
    assert here(*ARGS, "--seeds", "0,3", "--out", compacted) == 0
    results = load(compacted)
    shutil.rmtree(compacted / "compact")
    assert_same(results, load(compacted))
    assert set(results.runs.query("agent == 'dqn'")["seed"]) == {0, 1, 2, 3}
    compact(compacted)
    assert_same(load(compacted), results)


@pytest.mark.parametrize("how", ["rows", "column", "compressed", "missing", "no parquet"])
def test_hostile_files_are_refused(compacted: Path, how: str) -> None:
    """With checksums that fit; the CSV files are read instead."""
    before = load(compacted)
    changes: dict[str, Callable[[pa.Table], pa.Table]] = {
        "rows": lambda table: pa.concat_tables([table, table]),
        "column": lambda table: table.rename_columns(["sneed", *table.column_names[1:]]),
        "compressed": lambda table: table,
        "missing": lambda table: table.set_column(
            4, "return", pa.array([None] * len(table), pa.float64())
        ),
    }
    if how == "no parquet":
        record, file = record_of(compacted), parquet_of(compacted, "evaluations")
        total = checksum(b"PAR1 is how it begins")
        file.with_name(f"evaluations-{total}.parquet").write_bytes(b"PAR1 is how it begins")
        record["files"]["evaluations.csv"] = total
        write_json(compacted / "compact" / "compact.json", record)
    else:
        rewrite(compacted, changes[how], **{"compression": "zstd"} if how == "compressed" else {})
    results = collect(compacted)
    (problem,) = results.problems
    assert "is corrupt (" in problem
    assert same_tables(results, before)


def test_rows_that_no_run_writes_are_not_believed(compacted: Path) -> None:
    """Of a file with the right form and checksum: the CSV file of that part is read."""
    before = load(compacted)
    rewrite(compacted, lambda table: table.set_column(
        3, "episode", pa.array(np.zeros(len(table), np.int64))))  # fmt: skip
    assert same_tables(collect(compacted), before)


def test_more_rows_than_a_csv_file_has_room_for_are_not_read(compacted: Path) -> None:
    """A run-length encoded column takes a few bytes for any number of rows."""
    before, record = load(compacted), record_of(compacted)
    for part in record["parts"]:
        part["rows"] = dict.fromkeys(FILES, 10**12)
    write_json(compacted / "compact" / "compact.json", record)
    assert_same(load(compacted), before)


def test_a_damaged_record_is_named(compacted: Path) -> None:
    before, file = load(compacted), compacted / "compact" / "compact.json"
    for content in (
        b"{}",
        b"[",
        b'{"format": 1, "files": {"evaluations.csv": "../x"}, "parts": []}',
    ):
        file.write_bytes(content)
        results = collect(compacted)
        assert str(file) in results.problems[0]
        assert same_tables(results, before)


def test_nothing_to_compact_is_a_users_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data_run(tmp_path, "ppo", test={0: 0.8}, status={1: "running"})
    assert here("compact", "--out", tmp_path) == 2
    assert "no part in" in capsys.readouterr().err
    assert here("compact", "--out", tmp_path / "none") == 2
    assert not (tmp_path / "compact").exists()
