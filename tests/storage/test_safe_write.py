"""Files in folders that others can write to: links, left temporary files, logs without end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import environment, here, run_folder
from matplotlib.figure import Figure

from rlbench.common.safe_write import LOG_LIMIT, clean, replace_bytes, trim_log
from rlbench.errors import UserError
from rlbench.execution.attempt import run_job
from rlbench.execution.jobs import Job
from rlbench.execution.stopping import StopSignal
from rlbench.learning import checkpoint
from rlbench.reporting.figures import learning_curves
from rlbench.reporting.report import write
from rlbench.rows import Metric
from rlbench.storage.locks import locked
from rlbench.storage.run_folder import FILES, RunFolder, RunPart, write_json

PRECIOUS = b"precious\n"
RUN = ["run", "random", "--env", "probes:Noise", "-n", "60", "--final-episodes", "2", "--device",
       "cpu", "--no-floor", "--quiet"]  # fmt: skip


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    file = tmp_path / "precious"
    file.write_bytes(PRECIOUS)
    return file


def fake(name: str, folder: Path) -> None:
    """Write a file of a results folder."""
    file = folder / name
    if name == "part.json":
        RunPart(folder).write_info(
            {"seeds": [0], "status": {"0": "running"}, "reason": {}, "step": 0}
        )
    elif name == "suite.json":
        write_json(file, {})
    elif name == "test.npz":
        RunPart(folder).write_arrays(name, {"a": np.zeros(2)})
    elif name in ("checkpoint.npz", "agent.npz"):
        checkpoint.save(file, {"a": np.zeros(2)})
    else:
        learning_curves.save(Figure(), folder / "curve")


@pytest.mark.parametrize(
    "name",
    ["part.json", "suite.json", "checkpoint.npz", "agent.npz", "test.npz", "curve.png"],
)
def test_links_are_replaced(tmp_path: Path, precious: Path, name: str) -> None:
    """A link at the file's place, or at a name that a temporary file could have."""
    folder = tmp_path / "part"
    folder.mkdir()
    pid = os.getpid()
    traps = [f"{name}.tmp", f"{name}.{pid}.tmp", f".{name}.{pid}"]
    for place in (name, *traps):
        (folder / place).symlink_to(precious)
    fake(name, folder)
    assert precious.read_bytes() == PRECIOUS
    assert not (folder / name).is_symlink()
    assert (folder / name).stat().st_size > 10
    assert all((folder / trap).is_symlink() for trap in traps)


def test_links_of_reports_are_replaced(
    tmp_path: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "render", lambda found: ("page", "text"))
    monkeypatch.setattr(write, "tables", lambda found: {"seeds": pd.DataFrame({"a": [1]})})
    (tmp_path / "report-tables").mkdir()
    names = ["report.html", "report.md", "report-tables/seeds.csv"]
    for name in names:
        (tmp_path / name).symlink_to(precious)
        trap = tmp_path / name
        trap.with_name(f".{trap.name}.{os.getpid()}").symlink_to(precious)
    write.write(None, tmp_path / "report.html")  # type: ignore[arg-type]
    assert precious.read_bytes() == PRECIOUS
    assert not any((tmp_path / name).is_symlink() for name in names)


@pytest.mark.parametrize("name", FILES.values())
@pytest.mark.parametrize("there", [True, False])
def test_rows_are_not_written_through_a_link(tmp_path: Path, name: str, there: bool) -> None:
    """Anew and going on; both ways out that the message names work."""
    part = RunPart(tmp_path / "part")
    part.reserve([0])
    part.begin()
    sizes = part.flush()
    part.close()
    target, file = tmp_path / "target", part.path / name
    before = file.read_bytes() + b"more,rows\n"
    if there:
        target.write_bytes(before)
    file.unlink()
    file.symlink_to(target)
    for way in (None, sizes):
        with pytest.raises(UserError, match=rf"{name} is a symbolic link") as error:
            part.begin(way)
        assert "\n" not in str(error.value)
        part.close()
    assert target.exists() == there
    assert not there or target.read_bytes() == before
    file.unlink()
    file.write_bytes(before)  # a file in its place
    part.begin(sizes)
    part.close()
    assert file.stat().st_size == sizes[name]
    file.unlink()
    file.symlink_to(target)
    part.clear()  # --again
    part.begin()
    part.close()
    assert not file.is_symlink()


def test_a_file_with_two_names_keeps_its_content(tmp_path: Path) -> None:
    """A copy of hard links (`cp -al`) stays as it was when the run goes on."""
    part = RunPart(tmp_path / "part")
    part.reserve([0])
    part.begin()
    sizes = part.flush()
    part.close()
    copies = {name: (tmp_path / name, part.path / name) for name in FILES.values()}
    for copy, file in copies.values():
        file.write_bytes(file.read_bytes() + b"more,rows\n")
        copy.hardlink_to(file)
    for way in (sizes, None):
        part.begin(way)
        part.write(Metric(0, 1, "a", 1.0))
        part.close()
        assert (part.path / "metrics.csv").read_bytes().endswith(b"\n0,1,a,1.0\n")
        assert all(copy.read_bytes().endswith(b"more,rows\n") for copy, _ in copies.values())


def test_devices_are_not_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`save("/dev/null")` as root would make it an ordinary file, for all on the machine."""
    device = tmp_path / "null"
    monkeypatch.setattr(Path, "is_char_device", lambda path: path == device)
    device.touch()
    with pytest.raises(OSError, match="device"):
        replace_bytes(device, b"new")
    assert device.read_bytes() == b""
    assert list(tmp_path.iterdir()) == [device]


@pytest.mark.parametrize("kind", ["run.json", "part.json", "evaluations.csv", "lock", "agent.npz"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    """Nobody ever writes to it."""
    assert here(*RUN, "--seeds", "0-0", "--out", tmp_path) == 0
    run = run_folder(tmp_path, "random")
    file = run / kind if kind == "run.json" else run / "seeds-0" / kind
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    assert here("list", "runs", "--out", tmp_path) == (0 if kind in ("lock", "agent.npz") else 2)
    assert here("eval", run) == {"lock": 0, "evaluations.csv": 1}.get(kind, 2)


def test_links_to_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Results and an environment's folder may be links; the folders of runs and parts may not."""
    real, out = tmp_path / "real", tmp_path / "out"
    real.mkdir()
    out.symlink_to(real)
    (tmp_path / "elsewhere").mkdir()
    (real / "probes_Noise").symlink_to(tmp_path / "elsewhere")
    assert here(*RUN, "--seeds", "0-0", "--out", out) == 0
    run = run_folder(out, "random")
    assert (tmp_path / "elsewhere" / run.name / "seeds-0" / "evaluations.csv").is_file()

    (tmp_path / "trap").mkdir()
    (run / "seeds-1").symlink_to(tmp_path / "trap")
    assert here(*RUN, "--seeds", "1-1", "--out", out) == 2
    assert "seeds-1 is a symbolic link" in capsys.readouterr().err
    (run / "seeds-1").unlink()
    run.rename(tmp_path / "moved")
    run.symlink_to(tmp_path / "moved")
    assert here(*RUN, "--seeds", "0-0", "--again", "--out", out) == 2
    assert f"{run.name} is a symbolic link" in capsys.readouterr().err
    assert list((tmp_path / "trap").iterdir()) == []
    assert (tmp_path / "moved" / "seeds-0" / "agent.npz").is_file()
    assert here(*RUN, "--seeds", "1-1", "--out", tmp_path / "other") == 0  # the way out


def test_a_lock_is_not_a_link(tmp_path: Path, precious: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "lock").symlink_to(precious)
    with pytest.raises(UserError, match="cannot write to"), locked(tmp_path / "part", "it"):
        pass
    assert precious.read_bytes() == PRECIOUS


WRITER = """
import sys, time
from pathlib import Path
from rlbench.common.safe_write import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"new")
    file.flush()
    print("ready", flush=True)
    sys.stdin.readline()
"""


def writer(file: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file)], env=environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_temporary_files_of_killed_processes_are_deleted(tmp_path: Path) -> None:
    """Those of a live process stay, also where it stands still; a user's other files stay."""
    alive, dead = writer(tmp_path / "part.json"), writer(tmp_path / "checkpoint.npz")
    try:
        alive.send_signal(signal.SIGSTOP)
        dead.kill()
        dead.wait(10)
        for name in ("evaluations.csv.tmp", "part.json.123.tmp", "notes.txt"):  # of older versions
            (tmp_path / name).write_text("left")
        assert len(list(tmp_path.glob("*.tmp"))) == 4
        clean(tmp_path, "*.tmp")
        (left,) = tmp_path.glob("*.tmp")
        assert left.name.startswith("part.json.")
        assert (tmp_path / "notes.txt").exists()
    finally:
        dead.communicate()  # closes its pipes
        alive.send_signal(signal.SIGCONT)
    alive.communicate("\n", timeout=10)
    assert alive.returncode == 0
    assert (tmp_path / "part.json").read_bytes() == b"new"
    assert not list(tmp_path.glob("*.tmp"))


def test_a_run_deletes_what_killed_processes_left(tmp_path: Path) -> None:
    assert here(*RUN, "--seeds", "0-0", "--out", tmp_path) == 0
    run = run_folder(tmp_path, "random")
    part = run / "seeds-0"
    left = [run / "run.json.99.tmp", part / "part.json.99.tmp", part / "checkpoint.npz.tmp"]
    info = json.loads((part / "part.json").read_text())
    info["status"] = {"0": "running"}
    info.pop("checksums")
    write_json(part / "part.json", info)
    for file in left:
        file.write_text("left")
    (run / "mine.tmp").write_text("a user's")
    assert here(*RUN, "--seeds", "0-0", "--out", tmp_path) == 0
    assert not any(file.exists() for file in left)
    assert (run / "mine.tmp").exists()
    assert json.loads((part / "part.json").read_text())["status"] == {"0": "done"}


def test_cleaning_while_others_write(tmp_path: Path) -> None:
    """No writer loses its file to somebody who cleans all the time."""
    code = (
        "import sys, pathlib, rlbench.common.safe_write as s\n"
        "while True: s.clean(pathlib.Path(sys.argv[1]), '*.tmp')"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment())
    try:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            replace_bytes(tmp_path / "part.json", b"content")
    finally:
        child.kill()
        child.wait(10)
    assert (tmp_path / "part.json").read_bytes() == b"content"


def test_a_log_is_cut(tmp_path: Path) -> None:
    """Its end stays, and what is appended afterwards follows it."""
    log = tmp_path / "output.log"
    with log.open("ab", buffering=0) as file:
        file.write(b"x" * LOG_LIMIT)
        trim_log(log)
        assert log.stat().st_size == LOG_LIMIT
        file.write(b"end\n")
        trim_log(log)
        file.write(b"more\n")
    text = log.read_bytes()
    assert text.startswith(b"[cut: a log keeps its last 500,000 bytes]\nxxx")
    assert text.endswith(b"xend\nmore\n")
    assert len(text) < LOG_LIMIT // 2 + 100
    trim_log(tmp_path / "missing")


@pytest.mark.slow
def test_output_is_cut(tmp_path: Path) -> None:
    """What two processes print without end is cut while they go on."""
    args = [*RUN, "--seeds", "0-1", "--jobs", "2", "--out", tmp_path / "out"]
    args[args.index("probes:Noise")] = "hazards:Loud"
    child = subprocess.run(
        [sys.executable, "-m", "rlbench", *map(str, args)], cwd=tmp_path, env=environment(),
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    logs = list((tmp_path / "out").glob("*/*/seeds-*/output.log"))
    assert len(logs) == 2
    for log in logs:
        text = log.read_text()
        assert len(text) <= LOG_LIMIT
        assert "[cut: a log keeps its last 500,000 bytes]" in text
        assert "last words" in text


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_output_is_not_written_through_a_link(tmp_path: Path, precious: Path, link: Any) -> None:
    log = tmp_path / "output.log"
    link(log, precious)
    code = (
        "import sys, pathlib; from rlbench.execution import process_pool as p; "
        "p.speak_into(pathlib.Path(sys.argv[1]))"
    )
    subprocess.run(
        [sys.executable, "-c", f"{code}; print('hello')", str(log)], env=environment(), check=True
    )
    assert precious.read_bytes() == PRECIOUS
    assert log.read_text() == "hello\n"
    assert not log.is_symlink()


def test_error_log_replaces_a_link_and_is_clipped(
    tmp_path: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A traceback replaces a link, and loses its middle where it is long."""

    def fail(*args: object) -> bool:
        raise ZeroDivisionError("x" * 3_000_000 + "the end")

    monkeypatch.setattr("rlbench.execution.worker.compute", fail)
    job = Job(None, tmp_path, (0,))  # type: ignore[arg-type]
    part = RunFolder(tmp_path).part([0])
    part.reserve([0])
    (part.path / "error.log").symlink_to(precious)
    assert run_job(job, lambda progress: None, StopSignal()).code == 1
    assert precious.read_bytes() == PRECIOUS
    text = (part.path / "error.log").read_text()
    assert len(text) < LOG_LIMIT + 100
    assert text.startswith("Traceback")
    assert text.endswith("the end\n")
    assert "[cut: 2,000," in text
