"""Damaged, lost and doubled rows of finished seeds are named, and never make other tables."""

from __future__ import annotations

import io
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import TINY, here, run_folder
from damage import copied, mutate, same_tables, without_checksums
from report_files import write_suite
from sampled import sampled

import rlbench
from rlbench.errors import Skipped, UserError
from rlbench.experiments.cost_estimate import estimate
from rlbench.experiments.planning import plan
from rlbench.protocol import grid_size, grid_steps, is_grid_step, last_step
from rlbench.reporting.report.inputs import scope
from rlbench.reporting.tables.load import Results, collect
from rlbench.storage.run_folder import RunPart

DQN = ["run", "dqn", "--env", "CartPole-v1", *TINY, "-n", "300", "--eval-freq", "200",
       "--eval-episodes", "2", "--quiet"]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two parts of a run that is done, and the floor beside it."""
    out = tmp_path_factory.mktemp("whole")
    for seeds in ("0-1", "2-2"):
        assert here(*DQN, "--seeds", seeds, "--out", out) == 0
    return out


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "results")


def read(store: Path) -> Results:
    """What can be read, every problem in one line that names a file."""
    results = collect(store)
    assert all("\n" not in problem and str(store) in problem for problem in results.problems)
    return results


def change(file: Path, how: Callable[[list[str]], None]) -> None:
    lines = file.read_text().splitlines(keepends=True)
    how(lines)
    file.write_text("".join(lines))


def mutations(whole: Path, place: Path, count: int) -> None:
    before = read(copied(whole, place))
    assert not before.problems
    for number in range(count):
        done = mutate(copied(whole, place), np.random.default_rng(number))
        after = read(place)
        assert after.problems or same_tables(before, after), f"{number}: {done}"


def test_mutations_are_named_or_change_nothing(whole: Path, tmp_path: Path) -> None:
    mutations(whole, tmp_path / "copy", 12)


@pytest.mark.slow
@pytest.mark.parametrize("count", sampled([75, 300], [75]))
def test_mutated_files_are_refused_or_harmless(whole: Path, tmp_path: Path, count: int) -> None:
    mutations(whole, tmp_path / "copy", count)


def test_a_changed_score_is_seen_by_its_checksum_alone(store: Path) -> None:
    """Negative control: without checksums nothing could know."""
    file = next(store.glob("*/dqn-*/seeds-2/evaluations.csv"))

    def how(lines: list[str]) -> None:
        cells = lines[-1].split(",")
        cells[4] = "499.0"
        lines[-1] = ",".join(cells)

    change(file, how)
    (problem,) = read(store).problems
    assert "seeds-2/evaluations.csv" in problem
    assert "checksum" in problem
    without_checksums(store)
    assert not read(store).problems


def worst_removed(lines: list[str]) -> None:
    finals = [line for line in lines if line.startswith("0,") and ",final," in line]
    for line in sorted(finals, key=lambda line: float(line.split(",")[4]))[:20]:
        lines.remove(line)


def final_removed(lines: list[str]) -> None:
    lines[:] = [line for line in lines if ",final," not in line]


def one_point_removed(lines: list[str]) -> None:
    lines[:] = [line for line in lines if not line.startswith("1,200,")]


def phase_renamed(lines: list[str]) -> None:
    lines[5] = lines[5].replace(",grid,", ",gird,")


def split_renamed(lines: list[str]) -> None:
    lines[5] = lines[5].replace(",episodes,", ",test,")


def score_infinite(lines: list[str]) -> None:
    cells = lines[5].split(",")
    lines[5] = ",".join([*cells[:4], "inf", *cells[5:]])


def cut_twice(lines: list[str]) -> None:
    lines[5] = lines[5].rpartition(",")[0] + ",2\n"


def score_empty(lines: list[str]) -> None:
    cells = lines[5].split(",")
    lines[5] = ",".join([*cells[:4], "", *cells[5:]])


def row_doubled(lines: list[str]) -> None:
    lines.append(lines[5])


def point_invented(lines: list[str]) -> None:
    lines.append("0,123," + lines[5].split(",", 2)[2])


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (worst_removed, "seed 0 lacks 20 of 100 final rows, the first at step 300"),
        (final_removed, "seed 0 lacks 100 of 100 final rows"),
        (one_point_removed, "seed 1 lacks 2 of 4 grid rows, the first at step 200"),
        (phase_renamed, "phase gird"),
        (split_renamed, "split test"),
        (score_infinite, "return inf"),
        (cut_twice, "has cut 2"),
        (score_empty, ""),
        (row_doubled, "twice"),
        (point_invented, "not planned at step 123"),
    ],
)
def test_lost_and_impossible_evaluations(
    store: Path, how: Callable[[list[str]], None], why: str
) -> None:
    """In folders of earlier versions, which have no checksums, as in others."""
    without_checksums(store)
    change(next(store.glob("*/dqn-*/seeds-0-1/evaluations.csv")), how)
    results = read(store)
    (problem,) = results.problems
    assert "seeds-0-1/evaluations.csv" in problem
    assert why in problem
    assert sorted(results.runs["seed"]) == [0, 2]  # of the floor, and of the part that is whole
    assert {*results.evaluations.query("agent == 'dqn'")["seed"]} == {2}


@pytest.mark.parametrize("name", ["episodes.csv", "metrics.csv"])
def test_other_rows_come_once_too(store: Path, name: str) -> None:
    without_checksums(store)
    change(next(store.glob("*/dqn-*/seeds-2/" + name)), row_doubled)
    (problem,) = read(store).problems
    assert "twice" in problem


def test_settings_are_those_that_the_digest_stands_for(store: Path) -> None:
    """Every field that moves numbers, also without a checksum."""
    without_checksums(store)
    file = run_folder(store) / "run.json"
    saved = json.loads(file.read_text())
    changes: dict[str, Any] = {
        "total_timesteps": 200, "n_envs": 2, "eval_freq": 300, "eval_episodes": 1,
        "final_episodes": 99, "env": "CartPole-v0", "agent": "ppo", "digest": "0" * 8,
        "env_kwargs": {"x": 1}, "agent_version": 99, "changed": {},
        "identity": {**saved["identity"], "total_timesteps": 200},
    }  # fmt: skip
    for name, value in changes.items():
        file.write_text(json.dumps(saved | {name: value}))
        results = read(store)
        assert len(results.problems) == 1, name
        assert "run.json" in results.problems[0]
        assert set(results.runs["agent"]) == {"random"}
    file.write_text(json.dumps(saved))
    assert not read(store).problems


def test_records_changed_by_hand_are_accepted_as_the_message_says(store: Path) -> None:
    file = run_folder(store) / "run.json"
    file.write_text(file.read_text().replace('"variant": "', '"variant": "my '))
    (problem,) = read(store).problems
    assert 'delete its line "checksum"' in problem
    kept = [line for line in file.read_text().splitlines() if '"checksum"' not in line]
    file.write_text("\n".join(kept).replace(",\n}", "\n}"))
    results = read(store)
    assert not results.problems
    assert any(variant.startswith("my ") for variant in results.runs["variant"])


def test_files_that_are_gone(store: Path) -> None:
    part = next(store.glob("*/dqn-*/seeds-2"))
    for name in ("part.json", "evaluations.csv", "episodes.csv", "metrics.csv", "../run.json"):
        file = part / name
        content = file.read_bytes()
        file.unlink()
        assert len(read(store).problems) == 1, name
        file.write_bytes(content)
    assert not read(store).problems


def test_eval_fails_where_rows_are_missing(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(store)
    assert here("eval", run) == 0
    assert "equal to the recorded final evaluation" in capsys.readouterr().out
    change(next(run.glob("seeds-0-1/evaluations.csv")), final_removed)
    assert here("eval", run) == 1
    said = capsys.readouterr()
    assert "NOT compared: agents or rows of seeds 0-1 are missing or damaged" in said.out
    assert said.err.count("skipped: ") == 1
    shutil.rmtree(run / "seeds-2")
    assert here("eval", run) == 1  # nothing at all is there to compare with
    assert "NOT compared" in capsys.readouterr().out


def test_one_bad_file_costs_its_seeds_only(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(store)
    (run / "seeds-0-1" / "part.json").write_text('{"seeds": [0, 1], "status": 3, "step": null}')
    with pytest.warns(Skipped, match="seeds-0-1/part.json is corrupt"):
        assert sorted(rlbench.load(store).runs["seed"]) == [0, 2]
    for arguments in (["list", "runs", "--out", store], ["show", run], ["compare", run],
                      ["plot", run, "-o", store / "curve"], ["report", store]):  # fmt: skip
        assert here(*arguments) == 0, arguments
        said = capsys.readouterr()
        assert said.err.count("skipped: ") == 1, arguments
        assert "seeds-0-1/part.json" in said.err
    assert "seeds-0-1/part.json is corrupt" in (store / "report.md").read_text()
    with pytest.raises(UserError, match=r"part\.json is corrupt"):
        rlbench.load(run / "seeds-0-1")  # named alone


def test_a_gate_does_not_pass_over_damage(store: Path, whole: Path) -> None:
    assert here("compare", "--against", whole, "--out", store) == 0
    change(next(store.glob("*/dqn-*/seeds-2/evaluations.csv")), final_removed)
    assert here("compare", "--against", whole, "--out", store) == 1


def test_a_bad_suite_is_skipped_beside_another(store: Path) -> None:
    bad = write_suite(store, [{"env": "CartPole-v1", "agent": "dqn"}])
    (bad / "suite.json").write_text("[" * 100_000)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = scope([bad, store])
    assert len(caught) == len(found.results.problems) == 1
    with pytest.raises(UserError, match=r"suite\.json is corrupt"):
        scope([bad])


def test_a_seed_in_two_parts_is_left_out_of_both(store: Path) -> None:
    run = run_folder(store)
    shutil.copytree(run / "seeds-0-1", run / "seeds-copy")
    results = read(store)
    (problem,) = results.problems
    assert "seeds 0-1 are in" in problem
    assert "keep one of them" in problem
    assert results.runs.query("agent == 'dqn'")["seed"].tolist() == [2]
    assert {*results.evaluations.query("agent == 'dqn'")["seed"]} == {2}


def test_more_seeds_and_again_keep_checksums_right(store: Path) -> None:
    assert here(*DQN, "--seed", "5", "--out", store) == 0
    assert here(*DQN, "--seed", "2", "--again", "--out", store) == 0
    results = read(store)
    assert not results.problems
    assert results.runs.query("agent == 'dqn'")["seed"].tolist() == [0, 1, 2, 5]
    for part in run_folder(store).glob("seeds-*/part.json"):
        assert set(json.loads(part.read_text())["checksums"]) == {
            "agent.npz", "evaluations.csv", "episodes.csv", "metrics.csv"
        }  # fmt: skip


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"seeds": [2**70]}, "seeds"),
        ({"seeds": [0, 0]}, "seeds"),
        ({"step": None}, "step"),
        ({"seconds": float("inf")}, "seconds"),
        ({"reason": {"2": 5}}, "reason"),
        ({"started": 5}, "started"),
        ({"time": {"act": None}}, "time"),
    ],
)
def test_types_of_a_part_are_checked_once_for_all_readers(
    store: Path, record: dict[str, Any], why: str
) -> None:
    part = next(store.glob("*/dqn-*/seeds-2"))
    file = part / "part.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | record))
    (problem,) = read(store).problems
    assert f"its {why} is" in problem
    with pytest.raises(UserError, match=f"its {why} is"):
        RunPart(part).read()
    assert estimate(plan("dqn", "CartPole-v1", [0]), store).source == "runs like it"  # of others


def test_half_a_character_in_a_reason(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lone surrogate is in no file and on no terminal: it is shown as its code."""
    args = ["run", "dqn", "--env", "hazards:Surrogate", *TINY, "-n", "300", "--seeds", "2",
            "--out", store, "--quiet"]  # fmt: skip
    assert here(*args) == 1
    assert here("list", "runs", "--out", store) == 0
    reasons = rlbench.load(store).runs["reason"]
    assert reasons.str.contains(r"half \ud800", regex=False).any()


def test_the_grid_is_what_training_does() -> None:
    """Counted step by step, for every small number of steps, environments and intervals."""
    rng = np.random.default_rng(0)
    for _ in range(2000):
        total, n_envs, every = (int(rng.integers(low, 60)) for low in (0, 1, 0))
        done, points = 0, [0] if every else []
        while done < total:
            done += n_envs
            if every and done // every - (done - n_envs) // every:
                points.append(done)
        assert list(grid_steps(total, n_envs, every)) == points
        assert grid_size(total, n_envs, every) == len(points)
        assert last_step(total, n_envs) == done
        assert [s for s in range(done + 1) if is_grid_step(s, n_envs, every)] == points


@pytest.mark.slow
def test_a_bench_goes_on_beside_a_damaged_cell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "trial.toml", tmp_path / "out"
    text = 'name = "trial"\nseeds = 1\nagents = ["random"]\neval_freq = 0\n'
    file.write_text(text + '[[env]]\nid = "probes:Noise"\nsteps = 20\n')
    assert here("bench", file, "--no-report", "--out", out, "--quiet") == 0
    (part,) = out.glob("probes_Noise/*/seeds-0/part.json")
    part.write_text('{"seeds": "0"}')
    file.write_text(file.read_text() + '[[env]]\nid = "CartPole-v1"\nsteps = 20\n')
    capsys.readouterr()
    assert here("bench", file, "--no-report", "--out", out, "--quiet") == 1
    assert "seeds-0/part.json is corrupt" in " ".join(capsys.readouterr().err.split())
    (other,) = out.glob("CartPole-v1/*/seeds-0/part.json")
    assert json.loads(other.read_text())["status"] == {"0": "done"}


@pytest.mark.slow
def test_a_damaged_gallery_is_no_end_of_a_finished_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["run", "majority", "--env", "rlbench/Classify-Digits-v0", "--seeds", "1",
            "--eval-freq", "0", "--quiet", "--out", tmp_path]  # fmt: skip
    assert here(*args) == 0
    (file,) = tmp_path.glob("*/majority-*/seeds-0/test.npz")
    whole = file.read_bytes()
    capsys.readouterr()
    for damaged in (whole[:-40], whole[:200] + b"\xff" * 8 + whole[208:], b"", b"PK\x03\x04"):
        file.write_bytes(damaged)
        assert here(*args) == 0
        said = capsys.readouterr().err
        assert said.count("skipped: ") == 1
        assert "test.npz is corrupt" in said
    with np.load(io.BytesIO(whole)) as saved:
        np.savez(file, **{**saved, "labels": saved["labels"][::-1]})  # whole, and another
    assert here(*args) == 0
    assert "checksum" in capsys.readouterr().err
    assert not collect(tmp_path).problems  # rows do not depend on it
