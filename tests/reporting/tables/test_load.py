"""What is on disk is what is in the tables; what is broken there is named in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from commands import ROOT
from image_runs import write_data_run
from store_files import EVALUATIONS, write_part, write_run

from rlbench.errors import UserError
from rlbench.reporting.tables import load as results_module
from rlbench.reporting.tables import row_files
from rlbench.reporting.tables.load import RUN, Results, load
from rlbench.reporting.tables.summaries import overall

IDENTITY = [*RUN, "seed"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two done seeds and a diverged one in a first part, a running one in a second."""
    run = write_run(tmp_path / "results", variant="double=true")
    write_part(
        run,
        {0: {0: [9, 11], 5000: [20, 40]}, 1: {0: [10], 5000: [500]}, 2: {0: [8]}},
        final={0: [100, 200], 1: [500, 500]},
        status={2: "diverged"},
        reason={2: "loss became nan at step 1200"},
    )
    write_part(run, {7: {0: [12.5]}}, step=2500)
    return run


def same(a: Results, b: Results) -> bool:
    tables = ("evaluations", "episodes", "metrics")
    return a.runs.drop(columns="path").equals(b.runs.drop(columns="path")) and all(
        getattr(a, name).equals(getattr(b, name)) for name in tables
    )


def test_runs_have_a_row_per_seed(run: Path) -> None:
    runs = load(run).runs
    assert list(runs.columns) == list(results_module.RUNS)
    assert runs["seed"].tolist() == [0, 1, 2, 7]
    assert runs["status"].tolist() == ["done", "done", "diverged", "stopped"]
    assert runs["reason"].tolist() == ["", "", "loss became nan at step 1200", ""]
    assert runs["lockstep"].tolist() == [3, 3, 3, 1]
    assert runs["step"].tolist() == [50_000] * 3 + [2500]
    assert set(runs["path"]) == {str(run)}
    assert runs[RUN].drop_duplicates().to_numpy().tolist() == [
        ["CartPole-v1", "dqn", "double=true", "3f2a91bc"]
    ]
    assert repr(load(run)) == "Results(1 runs, 4 seeds, 12 evaluations)"


def test_runs_have_a_column_for_each_hyperparameter_when_asked() -> None:
    """Behind the others, by name; what is made of the tables is the same."""
    folder = ROOT / "docs" / "first_hour"
    plain, wide = load(folder), load(folder, parameters=True)
    known = list(plain.runs)
    assert list(wide.runs)[: len(known)] == known
    assert wide.runs[known].equals(plain.runs)
    assert len(wide.runs) > len({*wide.runs["path"]}) > 2
    configs = {
        path: json.loads((Path(path) / "run.json").read_text())["config"]
        for path in wide.runs["path"]
    }
    assert set(list(wide.runs)[len(known) :]) == {
        name for each in configs.values() for name in each
    }
    for row in wide.runs.to_dict("records"):
        config = configs[str(row["path"])]
        for name in list(wide.runs)[len(known) :]:
            value = config.get(name)
            value = ",".join(map(str, value)) if isinstance(value, list) else value
            assert pd.isna(row[name]) if value is None else row[name] == value, name
    assert set(wide.runs.query("gamma == 0.99")["agent"]) == {"dqn"}
    assert overall(wide).equals(overall(plain))


def test_rows_carry_their_run(run: Path) -> None:
    results = load(run)
    assert list(results.evaluations.columns[:5]) == IDENTITY
    assert results.evaluations.query("seed == 0")["return"].tolist() == [9, 11, 20, 40, 100, 200]
    assert results.evaluations.query("seed == 7")["return"].tolist() == [12.5]
    assert list(results.episodes.columns) == [*IDENTITY, *list(row_files.EPISODES)[1:]]
    assert results.metrics["key"].tolist() == ["train/loss"] * 4


def test_root_env_run_and_parts_read_the_same(run: Path) -> None:
    root, parts = run.parent.parent, sorted(run.glob("seeds-*"))
    whole = load(run)
    assert same(whole, load(root))
    assert same(whole, load(str(run.parent)))
    assert same(whole, load(*parts))
    assert same(whole, load(root, run, parts[0]))  # what is named twice is read once
    assert not same(whole, load(parts[0]))


@pytest.mark.parametrize("empty", [b"", None, EVALUATIONS.encode(), EVALUATIONS[:9].encode()])
def test_dtypes_hold_where_there_are_no_rows(tmp_path: Path, empty: bytes | None) -> None:
    part = write_part(write_run(tmp_path), {0: {}, 1: {}}, device=None, seconds=None)
    full = load(write_part(write_run(tmp_path, agent="ppo"), {0: {0: [1.5]}}))
    for name in ("evaluations.csv", "episodes.csv", "metrics.csv"):
        (part / name).unlink()
    if empty is not None:
        (part / "evaluations.csv").write_bytes(empty)
    results = load(part)
    assert len(results.runs) == 2
    for table in ("evaluations", "episodes", "metrics"):
        assert len(getattr(results, table)) == 0
        assert getattr(results, table).dtypes.equals(getattr(full, table).dtypes)
    assert results.runs.drop(columns="device").dtypes.equals(
        full.runs.drop(columns="device").dtypes
    )


def test_a_run_without_parts_is_empty(tmp_path: Path) -> None:
    results = load(write_run(tmp_path))
    assert results.runs.empty
    assert list(results.evaluations.columns) == IDENTITY + list(row_files.EVALUATIONS)[1:]


def test_a_file_cut_anywhere_reads_as_its_whole_lines(run: Path) -> None:
    """As seen while a writer appends: each prefix of the file gives a prefix of its rows."""
    file = next(run.glob("seeds-0*")) / "evaluations.csv"
    whole, returns = file.read_bytes(), load(file.parent).evaluations["return"].tolist()
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    for cut in sorted({*range(0, len(whole), 23), *ends, *(end + 1 for end in ends)}):
        file.write_bytes(whole[:cut])
        lines = max(whole[:cut].count(b"\n") - 1, 0)
        assert load(file.parent).evaluations["return"].tolist() == returns[:lines]


def test_a_cut_number_is_dropped_not_read(run: Path) -> None:
    file = next(run.glob("seeds-7")) / "evaluations.csv"
    whole = file.read_text() + "7,5000,grid,0,499.0,200,0,True,0.0,1.5\n"
    file.write_text(whole[: whole.index("99.0,200")])  # ends in 4: a naive reader sees a return
    assert load(file.parent).evaluations["return"].tolist() == [12.5]
    file.write_text(whole)
    assert load(file.parent).evaluations["return"].tolist() == [12.5, 499.0]


def test_numbers_come_back_bit_for_bit(tmp_path: Path) -> None:
    values = [0.1, 1 / 3, -1e-17, 123456.78901234567, 2**0.5]
    results = load(write_part(write_run(tmp_path), {0: {0: values}}))
    assert results.evaluations["return"].tolist() == values


def test_windows_line_ends_are_read(run: Path) -> None:
    before = load(run)
    for file in run.glob("*/*.csv"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert same(before, load(run))


def test_reference_is_read_only_when_named(run: Path) -> None:
    root = run.parent.parent
    other = write_run(root / "reference", agent="ppo")
    write_part(other, {0: {0: [1]}})
    assert set(load(root).runs["agent"]) == {"dqn"}
    assert set(load(root.parent).runs["agent"]) == {"dqn"}
    assert set(load(root / "reference").runs["agent"]) == {"ppo"}
    assert set(load(root / "reference" / "CartPole-v1").runs["agent"]) == {"ppo"}
    assert set(load(root, other).runs["agent"]) == {"dqn", "ppo"}


def test_one_seed_in_two_parts_is_refused(run: Path) -> None:
    with pytest.raises(UserError, match=r"seed 1 is in .*seeds-0-1-2 and in .*seeds-1: keep one"):
        write_part(run, {1: {}}) and load(run)


def test_agents_of_one_digest_do_not_collide(run: Path) -> None:
    write_part(write_run(run.parent.parent, agent="ppo", variant="double=true"), {0: {0: [1]}})
    assert len(load(run.parent).runs) == 5


def test_a_row_twice_is_refused(run: Path) -> None:
    file = next(run.glob("seeds-7")) / "evaluations.csv"
    row = "7,{step},grid,0,3.0,200,0,True,0.0,1.5\n"
    whole = file.read_text()
    file.write_text(whole + row.format(step=5000))
    assert len(load(run).evaluations) == 13
    file.write_text(whole + row.format(step=0))
    with pytest.raises(UserError, match=r"seeds-7/evaluations.csv .*seed 7, phase grid, step 0"):
        load(run)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("../run.json", "{", "run.json is corrupt"),
        ("../run.json", "[]", "no JSON object"),
        ("../run.json", '{"format": 2}', "its format is 2"),
        ("../run.json", '{"format": 1, "env": "E"}', "lacks 'agent'"),
        ("part.json", "", "part.json is corrupt"),
        ("part.json", '{"seeds": [0], "step": 1}', "part.json .*lacks 'status'"),
        ("part.json", '{"seeds": [0], "step": 1, "status": {}}', "lacks '0'"),
        ("part.json", '{"seeds": [0], "step": 1, "status": {"0": "odd"}}', "status 'odd'"),
        ("part.json", '{"seeds": 3, "step": 1, "status": {}}', "part.json is corrupt"),
        ("part.json", '{"seeds": [0], "step": null, "status": {"0": "done"}}', "part.json is"),
        ("metrics.csv", "seed,step,key\n", "metrics.csv .*first line"),
        ("metrics.csv", "seed,step,key,value\n7,1,a\n", "line 2 has not 4 fields"),
        ("metrics.csv", "seed,step,key,value\n7,1,a,2,3\n", "line 2 has not 4 fields"),
        ("metrics.csv", "seed,step,key,value\n7,1,a,2\n7,1,a,x\n", "metrics.csv is corrupt"),
        ("metrics.csv", "seed,step,key,value\n,1,a,2\n", "metrics.csv is corrupt"),
        ("metrics.csv", "seed,step,key,value\n8,1,a,2\n", "seed 8 is not listed"),
    ],
)
def test_what_is_corrupt_is_named_with_a_way_out(
    run: Path, name: str, content: str, why: str
) -> None:
    (run / "seeds-7" / name).write_text(content)
    with pytest.raises(UserError, match=why) as refusal:
        load(run)
    assert "\n" not in str(refusal.value)
    assert "restore it, or delete" in str(refusal.value)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no runs in"):
        load(tmp_path)
    with pytest.raises(UserError, match="is no folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is no folder"):
        load(write_run(tmp_path) / "run.json")


def test_rows_without_the_later_columns_mean_episodes(run: Path) -> None:
    rows = load(run).evaluations
    assert list(rows.columns) == IDENTITY + list(row_files.EVALUATIONS)[1:]
    assert set(rows["split"]) == {"episodes"}
    assert set(rows["items"]) == {1}
    assert rows["accuracy"].isna().all()
    assert rows[["images", "samples"]].eq(0).all(axis=None)


def test_rows_of_image_data(tmp_path: Path) -> None:
    run = write_data_run(tmp_path, grid={3: [(0, 0.1), (50, 0.75)]}, test={3: 0.8}, items=200)
    rows = load(run).evaluations
    later = ["split", "items", "accuracy", "images", "samples"]
    assert rows[later].to_numpy().tolist() == [
        ["validation", 200, 0.1, 0, 0],
        ["validation", 200, 0.75, 50, 200],
        ["test", 200, 0.8, 50, 200],
    ]
    old = load(write_part(write_run(tmp_path), {0: {0: [1.0]}})).evaluations
    assert rows.dtypes.equals(old.dtypes)


def test_old_and_new_rows_do_not_mix(run: Path) -> None:
    """Ten values under fifteen names, or the other way round, are never read as something else."""
    file = next(run.glob("seeds-7")) / "evaluations.csv"
    old, new = "7,5000,grid,0,3.0,200,0,True,0.0,1.5", ",test,9,0.5,1,2"
    whole = file.read_text()
    file.write_text(whole + old + new + "\n")
    with pytest.raises(UserError, match="line 3 has not 10 fields"):
        load(run)
    header = whole.splitlines()[0] + ",split,items,accuracy,images,samples\n"
    file.write_text(header + old + "\n")
    with pytest.raises(UserError, match="line 2 has not 15 fields"):
        load(run)
    file.write_text(header + old + new + "\n")
    assert load(file.parent).evaluations["items"].tolist() == [9]
    file.write_text(header.replace(",samples", ""))
    with pytest.raises(UserError, match="first line is not"):
        load(run)


def test_runs_name_network_data_and_task(tmp_path: Path) -> None:
    write_part(write_run(tmp_path), {0: {}})
    write_part(write_run(tmp_path, agent="ppo", network="mlp 64-64", data=None), {0: {}})
    kwargs = {"tries": 5, "data": "digits"}
    env = "rlbench/Retry-v0+shuffle-pixels"
    run = write_data_run(tmp_path / "r", task="Retry", status={0: "running"}, env_kwargs=kwargs)
    record = (run / "run.json").read_text()
    (run / "run.json").write_text(record.replace("rlbench_Retry-digits-v0", env))
    told = load(tmp_path).runs[["network", "data", "data_digest", "task", "options"]]
    assert told.to_numpy().tolist() == [
        ["", "", "", "", ""],
        ["mlp 64-64", "", "", "", ""],
        ["mlp 64-64", "digits", "digits-1", "Retry", "tries=5 shuffle-pixels"],
    ]


@pytest.mark.parametrize("data", ["digits", {"name": "digits"}, [1]])
def test_a_data_set_that_is_none_is_refused(tmp_path: Path, data: object) -> None:
    write_part(write_run(tmp_path, data=data), {0: {}})
    with pytest.raises(UserError, match=r"run.json is corrupt"):
        load(tmp_path)


def test_reading_needs_no_torch() -> None:
    names = (
        "tables.load, rlbench.reporting.tables.summaries, rlbench.reporting.tables.image_accuracy, "
        "rlbench.reporting.figures.learning_curves, rlbench.reporting.figures.image_gallery, "
        "rlbench.reporting.console.compare_runs"
    )
    code = f"import sys, rlbench.reporting.{names}; print('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
