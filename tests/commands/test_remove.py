"""Removing runs: what goes, what is asked, and what is refused."""

from __future__ import annotations

import io
import os
import pty
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from commands import environment, here
from report_files import write_suite
from store_files import write_part, write_run

from rlbench.errors import Busy, UserError
from rlbench.reporting.report.inputs import MISSING, scope
from rlbench.reporting.tables.load import collect, load
from rlbench.storage.locks import Queue, locked
from rlbench.storage.run_folder import RunFolder, find_run

NAME = "dqn-CartPole-v1-50k"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run of three seeds, and another."""
    run = write_run(tmp_path / "out")
    write_part(run, {0: {0: [1.0]}, 1: {0: [2.0]}}, final={0: [3.0], 1: [3.0]})
    write_part(run, {7: {0: [1.0]}}, final={7: [3.0]})
    (run / "curve.png").write_bytes(b"x" * 1_000)
    ppo = write_run(tmp_path / "out", agent="ppo")
    write_part(ppo, {0: {0: [1.0]}}, final={0: [3.0]})
    return tmp_path / "out"


@pytest.fixture
def run(out: Path) -> Path:
    return find_run(NAME, out)


def contents(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_it_says_what_goes_and_removes_it(
    out: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, size = contents(out), sum(f.stat().st_size for f in run.rglob("*") if f.is_file())
    assert here("rm", NAME, run, "--dry-run", "--out", out) == 0
    assert contents(out) == before
    text = f"{NAME}: {run}, seeds 0-1,7, {size / 1000:.3g} kB\n"
    assert capsys.readouterr().out.startswith(text + "nothing was removed; without --dry-run")
    assert here("rm", NAME, "--yes", "--out", out) == 0
    assert capsys.readouterr().out == f"{text}removed this run: {size / 1000:.3g} kB\n"
    assert contents(out) == {path for path in before if not path.is_relative_to(run)}
    assert len(load(out).runs) == 1
    assert here("rm", NAME, "--yes", "--out", out) == 2


def test_several_runs_go_together_or_not_at_all(out: Path) -> None:
    before = contents(out)
    assert here("rm", NAME, "ppo-CartPole-v1-51k", "--yes", "--out", out) == 2
    assert contents(out) == before
    assert here("rm", NAME, "ppo-CartPole-v1-50k", "--yes", "--out", out) == 0
    assert not list(out.glob("*/*"))


def test_files_that_rlbench_did_not_write_are_named(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "thesis.tex").write_text("mine")
    assert here("tag", run, "x") == 0
    assert here("rm", run, "--dry-run") == 0
    assert "with other files: thesis.tex\n" in capsys.readouterr().out


def test_without_a_terminal_it_needs_yes(
    out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(out)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert here("rm", NAME, "--out", out) == 2
    assert capsys.readouterr().err == (
        "Error: nobody can be asked whether to remove this run: give --yes to remove\n"
    )
    assert contents(out) == before


@pytest.mark.parametrize(
    ("answer", "code", "left"), [("y\n", 0, 1), ("n\n", 0, 2), ("\n", 0, 2), ("\x03", 130, 2)]
)
def test_a_person_is_asked(answer: str, code: int, left: int, out: Path) -> None:
    person, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "rlbench", "rm", NAME, "--out", str(out)],
        stdin=terminal, stdout=terminal, stderr=terminal, env=environment(), start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # its terminal, for Ctrl-C
    )  # fmt: skip
    os.close(terminal)
    said = b""
    while not said.endswith(b"[y/N]: "):
        said += os.read(person, 1000)
    time.sleep(0.5)  # as a person would: Python looks for signals before it begins to read
    os.write(person, answer.encode())
    try:
        assert child.wait(60) == code
    finally:
        child.kill()
        child.wait()
        os.close(person)
    assert b"Traceback" not in said
    assert len(list(out.glob("*/*/run.json"))) == left


def test_a_run_that_is_written_is_refused(out: Path, run: Path) -> None:
    part = run / "seeds-0-1"
    for folder in (run, part):
        with locked(folder, "x"):
            assert here("rm", NAME, "--yes", "--out", out) == 2
            with pytest.raises(Busy):
                RunFolder(run).delete()
    with Queue([part]):
        assert here("rm", NAME, "--yes", "--out", out) == 2
    assert len(load(run).runs) == 3
    assert here("rm", NAME, "--yes", "--out", out) == 0


REFUSED: dict[str, tuple[str, str]] = {
    "a folder": ("thesis", "is no run, it has no run.json"),
    "a file": ("thesis/thesis.tex", "is no run, it has no run.json"),
    "the folder above": ("..", "is no run, it has no run.json"),
    "this folder": (".", "is no run, it has no run.json"),
    "all of the system": ("/", "is no run, it has no run.json"),
    "the store": ("out", "is no run, it has no run.json"),
    "an env": ("out/CartPole-v1", "is no run, it has no run.json"),
    "a part": ("out/CartPole-v1/dqn-3f2a91bc/seeds-7", "is only a part of a run"),
    "a file of a part": ("out/CartPole-v1/dqn-3f2a91bc/seeds-7/part.json", "only a part of a run"),
    "a link": ("link", "is a symbolic link, and rm follows none"),
    "a link in the store": ("out/CartPole-v1/dqn-00000000", "is a symbolic link"),
    "a link by its name": ("dqn-00000000", "is a symbolic link"),
    "a linked env": ("linked/dqn-3f2a91bc", "is a symbolic link"),
    "a broken link": ("broken", "is no run"),
    "somebody else's run.json": ("other", "is corrupt"),
    "no run of this name": ("dqn-CartPole-v1-5k", "Did you mean"),
    "half a name": ("CartPole-v1", "no run"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_all_that_is_no_run_is_refused(
    case: str, out: Path, run: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    here_now = out.parent
    monkeypatch.chdir(here_now)
    for name in ("thesis", "other"):
        (here_now / name).mkdir()
        (here_now / name / f"{name}.tex").write_text("mine")
    (here_now / "other" / "run.json").write_text('{"laps": 3}')
    (here_now / "link").symlink_to(run)
    (here_now / "broken").symlink_to("nowhere")
    (here_now / "linked").symlink_to(run.parent)
    (run.parent / "dqn-00000000").symlink_to(run)
    before = contents(here_now)
    text, said = REFUSED[case]
    assert here("rm", "ppo-CartPole-v1-50k", text, "--yes", "--out", "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert contents(here_now) == before


def test_the_current_folder_is_not_removed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run / "seeds-7")
    for text in ("..", str(run), "../../dqn-3f2a91bc"):
        assert here("rm", text, "--yes") == 2
    assert len(load(run).runs) == 3
    monkeypatch.chdir(run.parent)
    assert here("rm", "dqn-3f2a91bc", "--yes") == 0
    assert not run.exists()


def test_links_in_a_run_are_removed_and_not_followed(out: Path, run: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(run / "seeds-7", elsewhere / "seeds-8")
    (elsewhere / "mine.txt").write_text("mine")
    before = contents(elsewhere)
    (run / "seeds-8").symlink_to(elsewhere / "seeds-8")
    (run / "folder").symlink_to(elsewhere)
    (run / "seeds-7" / "file").symlink_to(elsewhere / "mine.txt")
    assert here("rm", NAME, "--yes", "--out", out) == 0
    assert not run.exists()
    assert contents(elsewhere) == before


def test_what_an_interruption_leaves_can_be_removed(
    out: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmtree, calls = shutil.rmtree, []

    def interrupted(path: Path, **more: Any) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rmtree(path, **more)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            RunFolder(run).delete()
    assert find_run(NAME, out) == run
    assert set(collect(out).runs["agent"]) == {"ppo"}
    assert here("rm", NAME, "--yes", "--out", out) == 0
    assert not run.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_run_that_cannot_be_removed(run: Path) -> None:
    run.chmod(0o500)
    with pytest.raises(UserError, match="cannot"):
        RunFolder(run).delete()
    run.chmod(0o700)


def test_a_bench_reports_it_as_missing(out: Path) -> None:
    cells = [{"env": "CartPole-v1", "agent": agent, "seeds": [0]} for agent in ("dqn", "ppo")]
    bench = write_suite(out, cells)
    assert set(scope([bench]).planned.runs["status"]) == {"done"}
    assert here("rm", NAME, "--yes", "--out", out) == 0
    planned = scope([bench]).planned.runs
    assert dict(planned[["agent", "status"]].values.tolist()) == {"dqn": MISSING, "ppo": "done"}
