"""The index of runs agrees with the tables of all rows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import TINY, environment, here, run_folder
from image_runs import write_data_run

from rlbench.errors import UserError
from rlbench.reporting.tables.load import load
from rlbench.reporting.tables.run_index import index
from rlbench.reporting.tables.summaries import overall
from rlbench.storage.records import read_part
from rlbench.storage.run_folder import RunFolder, write_json

NAN = float("nan")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two parts and three seeds, one of one seed, one on images."""
    out = tmp_path_factory.mktemp("store")
    args = ["run", "dqn", "--env", "CartPole-v1", "-n", "100", "--eval-episodes", "2",
            "--final-episodes", "5", *TINY, "--quiet", "--out", out]  # fmt: skip
    assert here(*args, "--seeds", "2") == 0
    assert here(*args, "--seeds", "3") == 0
    write_data_run(out, "ppo", test={0: 0.8, 1: 0.9, 2: 1.0}, status={3: "diverged", 4: "running"})
    return out


def test_as_in_the_tables(store: Path) -> None:
    """Means, intervals, statuses, and names."""
    runs, problems = index(store)
    assert problems == []
    table = overall(load(store)).set_index("path")
    assert {str(run.path) for run in runs} == set(table.index)
    for run in runs:
        row = table.loc[str(run.path)]
        of = "accuracy_" if run.on_images else ""
        ends = row[f"{of}low"], row[f"{of}high"]
        assert (run.done, len(run.statuses)) == (row["n_done"], row["of"])
        assert run.mean == pytest.approx(row[f"{of}mean"], rel=1e-12)
        assert (run.interval or (NAN, NAN)) == pytest.approx(ends, nan_ok=True)
    assert {run.name for run in runs} >= {"dqn-CartPole-v1-100", "random-CartPole-v1-0"}
    images = next(run for run in runs if run.on_images)
    assert images.status == "diverged"
    assert set(images.statuses.values()) == {"done", "diverged", "stopped"}


def test_scores_in_records_are_those_of_the_rows(store: Path, tmp_path: Path) -> None:
    """Of runs as they are written, and without them, as in parts of earlier versions."""
    sealed_scores, _ = index(store)
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    parts = [(file, read_part(file)) for file in copy.glob("*/*/seeds-*/part.json")]
    assert any(record.get("scores") for _, record in parts)
    for file, record in parts:
        record.pop("scores", None)
        write_json(file, record)
    from_rows, problems = index(copy)
    assert problems == []
    assert [run.scores for run in from_rows] == [run.scores for run in sealed_scores]


def test_a_part_that_is_cut_keeps_the_scores_of_its_other_seeds(
    store: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    run = RunFolder(run_folder(copy))
    before = run.part([0, 1]).read()["scores"]
    run.part([0, 1]).cut([0])
    assert run.part([0, 1]).read()["scores"] == {"1": before["1"]}


def test_damage_is_reported_and_left_out(store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    run = run_folder(copy)
    shutil.copytree(run / "seeds-2", run / "seeds-2-copy")
    file = run / "seeds-0-1" / "evaluations.csv"
    file.write_bytes(file.read_bytes().replace(b",final,", b",grid,", 1))
    runs, problems = index(copy)
    assert "dqn" not in {run.agent for run in runs}
    assert len(problems) == 2
    assert "seeds-0-1/evaluations.csv is corrupt (its checksum" in problems[0]
    assert "seed 2 is in" in problems[1]


def test_a_folder_without_runs(tmp_path: Path) -> None:
    assert index(tmp_path) == ([], [])
    with pytest.raises(UserError, match="is no folder"):
        index(tmp_path / "none")


def test_pandas_is_not_imported(store: Path) -> None:
    """Nor SciPy's tests, each of which takes longer than reading all runs."""
    code = (
        "import sys; from rlbench.reporting.tables.run_index import index;"
        "from pathlib import Path;"
        "runs, _ = index(Path(sys.argv[1])); [run.interval for run in runs];"
        "print({'pandas', 'scipy.stats', 'torch'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code, store], env=environment(),
                           capture_output=True, text=True, check=True)  # fmt: skip
    assert ended.stdout == "set()\n"
