"""A run that was killed and resumed ends as one that was never interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from commands import TINY, arrays, eager, here, run_folder, tables, wait_for

STEPS = 4000


def arguments(out: Path, n_envs: int = 1, steps: int = STEPS) -> list[str | Path]:
    envs = ["--n-envs", str(n_envs)] if n_envs > 1 else []
    return ["run", "dqn", "--env", "CartPole-v1", "--seeds", "3", "-n", str(steps), "--eval-freq",
            "2500", "--eval-episodes", "3", *envs, *TINY, "--out", out]  # fmt: skip


def step_of(out: Path) -> int:
    """How far the run's checkpoint is; -1 where there is none."""
    files = list(out.glob("*/dqn-*/seeds-*/part.json"))
    if not files or not (files[0].parent / "checkpoint.npz").exists():
        return -1
    return int(json.loads(files[0].read_text())["step"])


def interrupt(args: list[str | Path], out: Path, step: int, number: int) -> subprocess.Popen[bytes]:
    """Start it, and send it a signal once its checkpoint has passed `step`."""
    child = eager(*args, cwd=out)
    wait_for(lambda: step_of(out) > step, child)
    child.send_signal(number)
    child.wait(60)
    return child


def check_equal(out: Path, other: Path) -> None:
    one, two = run_folder(out), run_folder(other)
    assert tables(one) == tables(two)
    (mine,), (its,) = (list(folder.glob("seeds-*/agent.npz")) for folder in (one, two))
    assert arrays(mine) == arrays(its)
    assert not list(one.glob("seeds-*/checkpoint.npz"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that was never interrupted."""
    out = tmp_path_factory.mktemp("whole")
    assert here(*arguments(out), "--quiet") == 0
    return out


def test_interrupted_three_times(tmp_path: Path, whole: Path) -> None:
    """SIGINT, resume, SIGTERM, resume, SIGKILL, run again: codes, a hint, equal files and agent."""
    start = arguments(tmp_path)
    for number, step in ((signal.SIGINT, 300), (signal.SIGTERM, 1200), (signal.SIGKILL, 2600)):
        child = interrupt(start, tmp_path, step, number)
        folder = run_folder(tmp_path)
        kill = number == signal.SIGKILL
        assert child.returncode == (-number if kill else 128 + number)
        (part,) = folder.glob("seeds-*/part.json")
        assert set(json.loads(part.read_text())["status"].values()) == {"running"}
        start = ["resume", folder, "--device", "cpu"]
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert log.count(f"rlbench resume {folder}") == 2
    assert here(*arguments(tmp_path), "--quiet") == 0
    check_equal(tmp_path, whole)
    assert json.loads(part.read_text())["restarts"] == 3


def test_killed_with_two_environments_a_seed(tmp_path: Path) -> None:
    """SIGKILL and `rlbench resume`, with open episodes in six environments."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    broken.mkdir()
    child = interrupt(arguments(broken, 2), broken, 2600, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert here("resume", run_folder(broken), "--device", "cpu", "--quiet") == 0
    assert here(*arguments(whole, 2), "--quiet") == 0
    check_equal(broken, whole)


def test_comparison_tells_runs_apart(tmp_path: Path, whole: Path) -> None:
    """Negative control: a run with one parameter changed a little does not pass as the same."""
    assert here(*arguments(tmp_path), "-p", "learning_rate=5.0001e-4", "--quiet") == 0
    assert tables(run_folder(tmp_path)) != tables(run_folder(whole))
    (mine,), (its,) = (run_folder(o).glob("seeds-*/agent.npz") for o in (tmp_path, whole))
    assert arrays(mine) != arrays(its)


def test_max_seconds_stops_with_124_and_resume_ends_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped by the clock: exit code 124 every time, and the same end."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    args = arguments(broken, steps=2500)
    assert here(*args, "--max-seconds", "0.1", "--quiet") == 124
    assert "rlbench resume" in capsys.readouterr().err
    folder = run_folder(broken)
    assert here("resume", folder, "--device", "cpu", "--max-seconds", "0.1", "--quiet") == 124
    assert here("resume", folder, "--device", "cpu", "--quiet") == 0
    assert here(*arguments(whole, steps=2500), "--quiet") == 0
    check_equal(broken, whole)
    capsys.readouterr()
    assert here("resume", folder) == 2
    assert "nothing left to do" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_stopped_in_two_processes(tmp_path: Path, whole: Path, killed: bool) -> None:
    """With --jobs 2 both parts stop and resume; so does one whose process alone is killed."""
    broken = tmp_path
    child = eager(*arguments(broken), "--jobs", "2", cwd=broken)

    def both() -> bool:
        return len(list(broken.glob("*/dqn-*/seeds-*/checkpoint.npz"))) == 2 or (
            len(list(broken.glob("*/dqn-*/seeds-*/episodes.csv"))) == 2
        )

    wait_for(both, child)
    if killed:
        workers = psutil.Process(child.pid).children()
        next(one for one in workers if "spawn_main" in " ".join(one.cmdline())).kill()
    else:
        child.send_signal(signal.SIGTERM)
    assert child.wait(60) == (137 if killed else 143)
    assert ("killed (SIGKILL); it can go on" in (broken / "log").read_text()) == killed
    assert here("resume", run_folder(broken), "--device", "cpu", "--quiet") == 0
    assert tables(run_folder(broken)) == tables(run_folder(whole))


def test_uncapturable_environments_begin_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be restored is said, and the run still comes to its end."""
    args = ["run", "dqn", "--env", "probes:Opaque", "--seeds", "2", "-n", "2500", *TINY,
            "--eval-episodes", "1", "--out", tmp_path]  # fmt: skip
    assert here(*args, "--max-seconds", "0.1") == 124
    capsys.readouterr()
    assert here("resume", run_folder(tmp_path), "--device", "cpu") == 0
    assert "open episodes began anew" in capsys.readouterr().err
    ends = tables(run_folder(tmp_path))["episodes"]
    for seed in ("0", "1"):
        numbers = [int(row["episode"]) for row in ends if row["seed"] == seed]
        assert numbers == list(range(len(numbers)))


def test_a_cut_last_line_is_dropped(tmp_path: Path) -> None:
    """Rows written after the checkpoint, even half a row, are computed again and not kept twice."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert here(*arguments(whole, steps=2000), "--quiet") == 0
    args = [*arguments(broken, steps=2000), "--quiet"]
    assert here(*args, "--max-seconds", "0.1") == 124
    for file in run_folder(broken).glob("seeds-*/*.csv"):
        with file.open("a") as text:
            text.write("0,9999,grid,0,499")
    assert here(*args) == 0
    check_equal(broken, whole)


def test_what_is_left_of_a_deleted_folder(
    tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Curves alone are nothing to keep, and the run begins anew; files of a part are."""
    folder = tmp_path / run_folder(whole).relative_to(whole)
    folder.mkdir(parents=True)
    (folder / "curve.png").write_bytes(b"x")
    (folder / "seeds-0-2").mkdir()
    (folder / "seeds-0-2" / "lock").touch()
    start = [*arguments(tmp_path), "--quiet"]
    assert here(*start) == 0
    check_equal(tmp_path, whole)
    (agent,) = folder.glob("seeds-*/agent.npz")
    for file in (folder / "run.json", agent.with_name("part.json")):
        file.unlink()
        capsys.readouterr()
        assert here(*start) == 2
        assert "has lost its run.json: restore it, or delete" in capsys.readouterr().err
        assert agent.exists()
