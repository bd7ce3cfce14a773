"""Files of many parts, read at once, give the tables and the refusals that each alone gives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from damage import copied, mutate
from store_files import write_part, write_run

from rlbench.reporting.tables import load as load_module
from rlbench.reporting.tables import many_files
from rlbench.reporting.tables.load import Results, collect
from rlbench.reporting.tables.many_files import PartFile, ReadRows, read_many
from rlbench.storage.records import checksum, sealed

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs as they are written, of two versions, on images and not: parts in a known order."""
    out = tmp_path_factory.mktemp("whole")
    shutil.copytree(ROOT / "docs" / "first_hour", out / "first_hour")
    grid = {step: [float(step), 1.5] for step in range(0, 50_001, 5_000)}
    for number in range(3):
        run = write_run(out, digest=f"0000000{number}")
        write_part(run, {0: grid, 1: grid}, {0: [7.25] * 100, 1: [8.125] * 100})
    return out


def one_by_one(
    name: str, sources: Sequence[PartFile], *_: object
) -> tuple[list[ReadRows], set[int]]:
    """The oracle: every part is read alone, line by line."""
    return [], set(range(len(sources)))


def both(place: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Results, Results]:
    at_once = collect(place)
    with monkeypatch.context() as patch:
        patch.setattr(load_module, "read_many", one_by_one)
        return at_once, collect(place)


def same(one: Results, other: Results) -> None:
    assert one.problems == other.problems
    for mine, theirs in zip(one.tables(), other.tables(), strict=True):
        pd.testing.assert_frame_equal(mine, theirs, check_exact=True)


def test_tables_are_those_of_each_file_alone(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, alone = both(whole, monkeypatch)
    assert len(at_once.runs["digest"].unique()) > 3
    same(at_once, alone)
    monkeypatch.setattr(many_files, "BATCH", 1)  # a file at a time: no number depends on it
    monkeypatch.setattr(many_files, "BLOCK", 1)
    same(collect(whole), alone)


def sources(place: Path) -> list[PartFile]:
    problems: list[str] = []
    found, doubtful, _ = load_module.part_files(sorted(place.glob("**/seeds-*")), problems)
    assert not problems
    assert not doubtful
    return found


def test_whole_files_are_not_read_twice(whole: Path) -> None:
    """Negative control of all others: not everything is doubtful."""
    for name in ("evaluations.csv", "episodes.csv", "metrics.csv"):
        rows, doubtful = read_many(name, sources(whole))
        assert not doubtful
        assert sum(len(each.table) for each in rows)


@pytest.mark.parametrize("seed", range(12))
def test_damage_is_refused_alike(
    seed: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = copied(whole, tmp_path / "copy")
    done = mutate(place, np.random.default_rng(seed))
    assert done
    same(*both(place, monkeypatch))


def seal(part: Path) -> None:
    """Put the checksums of the files of a part into its record, as a run that ends does."""
    record = json.loads((part / "part.json").read_text())
    sums = {file.name: checksum(file.read_bytes()) for file in part.glob("*.csv")}
    (part / "part.json").write_text(json.dumps(sealed(record | {"checksums": sums})))


@pytest.fixture(scope="module")
def ended(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same runs with checksums in their records."""
    out = copied(whole, tmp_path_factory.mktemp("ended") / "copy")
    for file in out.glob("**/part.json"):
        seal(file.parent)
    return out


def same_final(place: Path) -> None:
    """What is read for final scores is a part of all that is there, and so is the damage."""
    some, every = collect(place, final=True), collect(place)
    assert some.problems == every.problems
    pd.testing.assert_frame_equal(some.runs, every.runs, check_exact=True)
    final = every.evaluations[every.evaluations["phase"] == "final"].reset_index(drop=True)
    rows = some.evaluations.astype(final.dtypes.to_dict())  # text is in categories
    pd.testing.assert_frame_equal(rows, final, check_exact=True)
    assert not len(some.episodes)
    assert not len(some.metrics)


def test_final_rows_alone(whole: Path, ended: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (whole, ended):
        same_final(place)
        assert set(collect(place, final=True).evaluations["split"]) == {"episodes", "test"}
    monkeypatch.setattr(many_files, "_sound", lambda *_: pytest.fail("checked again"))
    collect(ended, final=True)


def test_final_rows_among_others(ended: Path, tmp_path: Path) -> None:
    """As those write who train one seed after the other, in one file."""
    place = copied(ended, tmp_path / "copy")
    file = place / "CartPole-v1" / "dqn-00000001" / "seeds-0-1" / "evaluations.csv"
    header, *lines = file.read_text().splitlines(keepends=True)
    file.write_text(header + "".join(sorted(lines, key=lambda line: line[0])))
    seal(file.parent)
    same_final(place)


@pytest.mark.parametrize("seed", range(12))
def test_damage_is_found_where_final_rows_alone_are_read(
    seed: int, ended: Path, tmp_path: Path
) -> None:
    place = copied(ended, tmp_path / "copy")
    mutate(place, np.random.default_rng(seed))
    same_final(place)


def test_a_file_with_its_checksum_is_not_checked_further(ended: Path, tmp_path: Path) -> None:
    """Rows that no run writes are found unless the record, as it was written, says they were."""
    place = copied(ended, tmp_path / "copy")
    file = next(place.glob("first_hour/**/evaluations.csv"))
    text = file.read_text().replace(",grid,", ",gird,", 1)
    file.write_text(text)
    record_file = file.with_name("part.json")
    record = json.loads(record_file.read_text())
    assert "phase gird" in collect(place, final=True).problems[0]
    record["checksums"]["evaluations.csv"] = checksum(text.encode())
    record_file.write_text(json.dumps({k: v for k, v in record.items() if k != "checksum"}))
    assert "phase gird" in collect(place, final=True).problems[0]
    record_file.write_text(json.dumps(sealed(record)))
    assert not collect(place, final=True).problems
    assert "phase gird" in collect(place).problems[0]


@pytest.mark.slow
def test_300_kinds_of_damage_are_refused_alike(
    whole: Path, ended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(100, 400):
        mutate(copied(whole, tmp_path / "copy"), np.random.default_rng(seed))
        same(*both(tmp_path / "copy", monkeypatch))
        mutate(copied(ended, tmp_path / "copy"), np.random.default_rng(seed))
        same_final(tmp_path / "copy")


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("evaluations.csv", replaced(",grid,", ",gird,")),
        ("evaluations.csv", replaced(",grid,", ",,")),
        ("evaluations.csv", replaced(",1.5,", ",inf,")),
        ("evaluations.csv", replaced("0,0,grid,0,", "9,0,grid,0,")),
        ("evaluations.csv", replaced("0,0,grid,1,", "0,0,grid,0,")),
        ("evaluations.csv", replaced("0,0,grid,1,", "0,0,grid,-1,")),
        ("evaluations.csv", replaced(",200,1,", ",200,99,")),
        ("evaluations.csv", replaced(",200,", ",2e2,")),
        ("evaluations.csv", replaced("\n1,", ",0\n")),
        ("evaluations.csv", replaced("\n", "\r\n")),
        ("evaluations.csv", replaced("\n1,", "\n\n1,")),
        ("episodes.csv", replaced("1,20,0,", "1,20,1,")),
        ("metrics.csv", replaced("train/loss", "")),
        ("metrics.csv", lambda text: text + text.splitlines()[1] + "\n"),
        ("metrics.csv", lambda text: text[:-3]),
        ("metrics.csv", lambda text: ""),
    ],
)
def test_each_rule_holds_for_one_part_among_others(
    name: str,
    how: Callable[[str], str],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = copied(whole, tmp_path / "copy")
    file = place / "CartPole-v1" / "dqn-00000001" / "seeds-0-1" / name
    before = file.read_bytes().decode()
    file.write_bytes(how(before).encode())
    assert file.read_bytes().decode() != before
    at_once, alone = both(place, monkeypatch)
    same(at_once, alone)
    digests = set(at_once.evaluations["digest"])
    assert {"00000000", "00000002"} <= digests  # the others are there in any case
    assert ("00000001" in digests) == (not at_once.problems)
