"""What was altered on disk is found: each byte of a part that has ended is under a checksum."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import TINY, here, run_folder
from damage import without_checksums

from rlbench.agents import Random
from rlbench.errors import Skipped, UserError
from rlbench.reporting.tables.load import load
from rlbench.storage.records import sealed
from rlbench.storage.run_folder import RunPart, json_text
from rlbench.storage.verifying import verify

SHORT = ["-n", "120", "--eval-freq", "60", "--eval-episodes", "1", "--final-episodes", "3",
         "--quiet", "--jobs", "1"]  # fmt: skip


def fail(*_: Any) -> Any:
    raise ZeroDivisionError("out of coffee")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two parts with agents, its floor, answers on images, and a part that failed."""
    out = tmp_path_factory.mktemp("whole")
    for seeds in ("0-1", "2-2"):
        args = ["run", "dqn", "--env", "CartPole-v1", *TINY, *SHORT]
        assert here(*args, "--seeds", seeds, "--out", out) == 0
    digits = ["run", "majority", "--env", "rlbench/Classify-Digits-v0", "--eval-freq", "0"]
    assert here(*digits, "--seeds", "1", "--quiet", "--out", out) == 0
    failing = ["run", "random", "--env", "CartPole-v1", *SHORT, "-n", "150", "--seeds", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Random, "observe", fail)
        assert here(*failing, "--out", out) == 1
    return out


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "results")


def flip(file: Path, rng: np.random.Generator) -> bytes:
    """Change one byte of a file; return what was in it before."""
    before = file.read_bytes()
    changed = bytearray(before)
    changed[int(rng.integers(len(changed)))] ^= int(rng.integers(1, 256))
    file.write_bytes(changed)
    return before


def flips_found(store: Path, count: int) -> tuple[int, int]:
    """Change single bytes of finished parts, one at a time; return how many were found, of all."""
    rng, found = np.random.default_rng(0), 0
    files = [
        file for part in sorted(store.glob("*/*/seeds-*")) for file in sorted(part.iterdir())
        if file.stat().st_size and file.name not in ("lock", "output.log")
    ]  # fmt: skip
    assert {file.name for file in files} == {
        "part.json", "evaluations.csv", "episodes.csv", "metrics.csv", "agent.npz", "test.npz",
        "error.log",
    }  # fmt: skip
    for _ in range(count):
        file = files[int(rng.integers(len(files)))]
        before = flip(file, rng)
        found += file in [each.file for each in verify(file.parent).different]
        file.write_bytes(before)
    return found, count


def test_single_byte_changes_are_found(store: Path) -> None:
    assert not verify(store).different
    found, of = flips_found(store, 150)
    assert found == of


@pytest.mark.exhaustive
def test_each_of_1000_single_byte_changes_is_found(store: Path) -> None:
    found, of = flips_found(store, 1_000)
    assert found == of


def test_without_checksums_nothing_is_known(store: Path) -> None:
    """Negative control: a store of an earlier version, with a digit changed in a score."""
    without_checksums(store)
    digit_changed(store)
    found = verify(store)
    assert (found.same, found.different) == (0, [])
    assert {file.name for file in found.unknown} >= {"run.json", "part.json", "evaluations.csv"}
    assert not load(store).problems


def digit_changed(store: Path) -> Path:
    """Change the return in the last row of a part, to one that is possible."""
    file = run_folder(store) / "seeds-2" / "evaluations.csv"
    *lines, last = file.read_text().splitlines(keepends=True)
    fields = last.split(",")
    fields[4] = "321.0"
    file.write_text("".join([*lines, ",".join(fields)]))
    return file


def test_the_command_prints_a_table_and_ends_with_1(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("verify", store) == 0
    assert "0 files not as written" in capsys.readouterr().out
    score = digit_changed(store)
    agent = run_folder(store) / "seeds-0-1" / "agent.npz"
    flip(agent, np.random.default_rng(1))
    (run_folder(store) / "seeds-0-1" / "metrics.csv").unlink()
    assert here("verify", "--out", store) == 1
    said = capsys.readouterr().out
    assert f"{score} " in said
    assert f"{agent} " in said
    assert "metrics.csv" in said
    assert "is missing" in said
    assert "3 files not as written" in said
    assert here("verify", store / "nothing") == 2
    assert "is no folder: name a results folder" in capsys.readouterr().err
    (store / "empty").mkdir()
    assert here("verify", store / "empty") == 2
    assert here("verify", store) == 1  # a way out that the message names


def test_agents_may_be_deleted_and_rows_may_not(store: Path) -> None:
    run = run_folder(store)
    (run / "seeds-0-1" / "agent.npz").unlink()
    found = verify(store)
    assert [file.name for file in found.not_kept] == ["agent.npz"]
    assert not found.different
    (run / "seeds-0-1" / "part.json").unlink()
    (difference,) = verify(store).different
    assert difference == (run / "seeds-0-1" / "part.json", "is missing")


def test_a_part_that_trains_is_not_judged(store: Path) -> None:
    part = run_folder(store) / "seeds-2"
    record = json.loads((part / "part.json").read_text())
    record.pop("checksums")
    record["status"] = {"2": "running"}
    (part / "part.json").write_text(json_text(sealed(record)))
    found = verify(store)
    assert (found.unfinished, found.different) == ([part], [])


@pytest.mark.parametrize("how", ["whitespace", "another name", "deleted"])
def test_a_record_that_reads_the_same_is_found_too(store: Path, how: str) -> None:
    file = run_folder(store) / "seeds-2" / "part.json"
    text = file.read_text()
    changed = {
        "whitespace": text.replace("\n  ", "\n\t ", 1),
        "another name": text.replace('"checksum"', '"checksun"'),
        "deleted": json_text({k: v for k, v in json.loads(text).items() if k != "checksum"}),
    }
    file.write_text(changed[how])
    (difference,) = verify(store).different
    assert difference.file == file


@pytest.mark.parametrize(
    "command",
    [["list", "runs"], ["show", "latest"], ["compare", "RUN"], ["report"], ["plot", "RUN"],
     ["compare", "--against", "OUT"]],
)  # fmt: skip
def test_readers_warn_in_one_line_and_strict_refuses(
    command: list[str], store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run = digit_changed(store), str(run_folder(store))
    places = {"RUN": run, "OUT": str(store), "latest": run}
    args = [*(places.get(word, word) for word in command), "--out", store]
    assert here(*args) == int("--against" in command)  # which ends with 1 where files are damaged
    said = capsys.readouterr().err
    assert said.count("skipped: ") == 1
    assert f"{file} is corrupt (its checksum" in said
    assert here(*args, "--strict") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Error: {file} is corrupt (its checksum")


def test_load_warns_and_strict_refuses(store: Path) -> None:
    assert not load(store, strict=True).problems
    file = digit_changed(store)
    with pytest.warns(Skipped, match="seeds-2"):
        assert set(load(store).runs.query("agent == 'dqn'")["seed"]) == {0, 1}
    with pytest.raises(UserError, match=str(file)):
        load(store, strict=True)


def test_an_altered_agent_is_not_played(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(store)
    flip(run / "seeds-2" / "agent.npz", np.random.default_rng(2))
    assert here("eval", run) == 2
    assert "seeds-2/agent.npz is corrupt (its checksum" in capsys.readouterr().err


def test_new_checksums_never_cover_an_old_change(store: Path) -> None:
    """Seed 0 is to be computed anew beside seed 1, whose score somebody has changed."""
    part = RunPart(run_folder(store) / "seeds-0-1")
    file = part.path / "evaluations.csv"
    before = file.read_bytes()
    flip(file, np.random.default_rng(3))
    with pytest.raises(UserError, match="its checksum is not that"):
        part.cut([0])
    file.write_bytes(before)
    part.cut([0])
    assert not verify(store).different
