"""Joined folders are what one folder would have been; a contradiction leaves all as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import here, tables

from rlbench.reporting.tables.load import load
from rlbench.storage.locks import locked
from rlbench.storage.records import sealed

RUN = ["run", "random", "--env", "CartPole-v1", "--no-floor", "-q", "--eval-episodes", "1",
       "--final-episodes", "3", "-n", "300", "--jobs", "1"]  # fmt: skip


def made(out: Path, seeds: str) -> Path:
    assert here(*RUN, "--seeds", seeds, "--out", out) == 0
    (file,) = out.glob("*/*/run.json")
    return file.parent


def content(folder: Path) -> dict[str, bytes]:
    """All files but locks, and figures, which are no results."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    files = [file for file in files if file.name != "lock" and file.stem != "curve"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_seeds_of_two_folders_are_those_of_one(tmp_path: Path) -> None:
    """Overlapping seeds are taken once: a part of which some seeds are there is cut."""
    one, two, whole = tmp_path / "one", tmp_path / "two", tmp_path / "whole"
    made(one, "0-1"), made(two, "1-3")
    out = tmp_path / "out"
    assert here("merge", one, two, "--out", out) == 0
    (run,) = out.glob("*/*/run.json")
    reference = made(whole, "0-3")
    assert tables(run.parent) == tables(reference)
    loaded = load(out)
    assert not loaded.problems
    assert sorted(loaded.runs["seed"]) == [0, 1, 2, 3]

    before = content(out)  # idempotent, also into one of the folders
    assert here("merge", one, two, "--out", out) == 0
    assert content(out) == before
    assert here("merge", two, out, "--out", one) == 0
    assert sorted(load(one).runs["seed"]) == [0, 1, 2, 3]
    assert not load(one).problems


def test_other_rows_of_a_seed_are_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, out = tmp_path / "one", tmp_path / "two", tmp_path / "out"
    made(one, "2")
    run = made(two, "0-2")
    file = run / "seeds-0-2" / "evaluations.csv"
    lines = file.read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line.startswith("1,"))
    fields = lines[at].split(",")
    fields[4] = "77.0"
    lines[at] = ",".join(fields)
    file.write_text("".join(lines))
    record = json.loads((file.parent / "part.json").read_text())

    assert here("merge", one, two, "--out", out) == 2  # damaged, as its checksum says
    assert "its checksum is not that" in capsys.readouterr().err
    record.pop("checksums")
    (file.parent / "part.json").write_text(json.dumps(sealed(record)))
    before = content(one)
    assert here("merge", two, "--out", one) == 2
    said = capsys.readouterr().err
    assert "Conflict: seed 1 has other rows in" in said
    assert "1 conflict: nothing was written" in said
    assert content(one) == before
    assert here("merge", one, "--out", out) == 0  # the ways out: without it,
    shutil.rmtree(run)
    made(two, "3")  # or without what is wrong
    assert here("merge", one, two, "--out", out) == 0
    assert sorted(load(out).runs["seed"]) == [0, 1, 2]


def test_an_unfinished_part_gives_way_to_the_finished_one(tmp_path: Path) -> None:
    """Merging again after more was computed brings what is new; rows so far must agree."""
    one, out = tmp_path / "one", tmp_path / "out"
    run = made(one, "2")
    part = run / "seeds-0-1"
    finished = content(run)
    record = json.loads((part / "part.json").read_text())
    record.pop("checksums")
    record |= {"status": {"0": "running", "1": "running"}, "step": 100}
    (part / "part.json").write_text(json.dumps(sealed(record)))
    lines = (part / "episodes.csv").read_text().splitlines(keepends=True)
    (part / "episodes.csv").write_text("".join(lines[:3]))
    (part / "agent.npz").unlink()
    assert here("merge", one, "--out", out) == 0
    assert set(load(out).runs["status"]) == {"stopped"}
    for name, text in finished.items():
        (run / name).write_bytes(text)
    assert here("merge", one, "--out", out) == 0
    (merged,) = out.glob("*/*/run.json")
    assert content(merged.parent) == finished


def test_what_is_being_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, out = tmp_path / "one", tmp_path / "out"
    run = made(one, "1")
    with locked(run / "seeds-0", "the part"):
        assert here("merge", one, "--out", out) == 2
    assert "is being written by another process" in capsys.readouterr().err
    assert not out.exists()
    assert here("merge", one, "--out", out, "--dry-run") == 0
    assert not out.exists()
    assert here("merge", tmp_path, "--out", out) == 2
    assert "no results in" in capsys.readouterr().err


@pytest.mark.slow
def test_shards_and_seeds_of_a_suite_add_up(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(
        'name = "s"\nseeds = 2\nagents = ["random"]\neval_episodes = 1\nfinal_episodes = 3\n'
        '[[env]]\nid = "CartPole-v1"\nsteps = 100\n[[env]]\nid = "Acrobot-v1"\nsteps = 100\n'
    )
    args = ["bench", file, "--jobs", "1", "--no-report", "-q"]
    for name, more in (("a", ["--shard", "1/2"]), ("b", ["--shard", "2/2"]),
                       ("c", ["--seeds", "2-3"])):  # fmt: skip
        here(*args, *more, "--out", tmp_path / name)
    out = tmp_path / "out"
    assert here("merge", *(tmp_path / name for name in "abc"), "--out", out) == 0
    suite = json.loads((out / "benches" / "s" / "suite.json").read_text())
    assert [cell["seeds"] for cell in suite["cells"]] == [[0, 1, 2, 3]] * 2
    assert "--seeds 0-3 " in suite["commands"][0]
    assert sorted(load(out).runs["seed"]) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert here("report", out / "benches" / "s", "-o", tmp_path / "r.html") == 0
    other = tmp_path / "b" / "benches" / "s" / "suite.toml"
    other.write_text(other.read_text() + "# mine\n")
    assert here("merge", tmp_path / "b", "--out", out) == 2


def test_files_that_cannot_be_read_or_written_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written, whatever file of a folder is damaged."""
    run = made(tmp_path / "one", "0-1")
    part = run / "seeds-0-1"
    bench = tmp_path / "one" / "benches" / "s"
    bench.mkdir(parents=True)
    suite = {"format": 1, "name": "s", "cells": [], "suite": {}}
    (bench / "suite.json").write_text(json.dumps(sealed(suite)))
    (bench / "suite.toml").write_text('name = "s"\n')
    info = json.loads((part / "part.json").read_text())
    plain = json.dumps({k: v for k, v in info.items() if k not in ("checksums", "checksum")})
    rows = (part / "evaluations.csv").read_text()

    def lose(folder: Path) -> None:
        (folder / part.relative_to(tmp_path / "one") / "evaluations.csv").unlink()

    def spoil(folder: Path) -> None:
        place = folder / part.relative_to(tmp_path / "one")
        (place / "part.json").write_text(plain)
        (place / "evaluations.csv").write_text(rows.replace("\n0,", "\nzero,", 1))

    def plan(folder: Path) -> None:
        (folder / "benches" / "s" / "plan.json").write_text("{")

    def forget(folder: Path) -> None:
        (folder / "benches" / "s" / "suite.toml").unlink()

    for damage, file in ((lose, "evaluations.csv"), (spoil, "evaluations.csv"),
                         (plan, "plan.json"), (forget, "suite.toml")):  # fmt: skip
        other = tmp_path / damage.__name__
        shutil.copytree(tmp_path / "one", other)
        damage(other)
        capsys.readouterr()
        assert here("merge", tmp_path / "one", other, "--out", tmp_path / "out") == 2
        said = capsys.readouterr().err
        assert f"{file} is corrupt" in said
        assert said.count("\n") == 1
        assert not (tmp_path / "out").exists()
    (tmp_path / "file").touch()
    assert here("merge", tmp_path / "one", "--out", tmp_path / "file") == 2
    assert "Not a directory" in capsys.readouterr().err
