"""What people see of a benchmark: states, time left, reasons."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from rlbench.common.number_format import duration
from rlbench.console.suite_board import Board, PlainBoard, Screen, board, print_matrix, summary
from rlbench.execution.attempt import JobOutcome
from rlbench.execution.jobs import Job, Progress
from rlbench.experiments.planning import plan
from rlbench.experiments.run import Run
from rlbench.experiments.suite_cells import SuiteCell
from rlbench.storage.run_folder import RunFolder

STATES = {0: "done", 1: "done", 2: "diverged", 3: "running", 4: "timeout"}


def cell(out: Path, agent: str, env: str, seeds: int = 6, error: str = "") -> SuiteCell:
    run = plan(agent, env, range(seeds), total_timesteps=1000)
    path = run.folder(out).path
    return SuiteCell(env, agent, "", tuple(range(seeds)), None, run, path, error=error)


def write(path: Path, states: dict[int, str]) -> None:
    status = {str(seed): state for seed, state in states.items()}
    reason = {str(s): "reward became NaN" for s, state in states.items() if state == "diverged"}
    part = RunFolder(path).part(list(states))
    part.write_info({"seeds": list(states), "status": status, "reason": reason, "step": 5})


def job(of: SuiteCell, *seeds: int) -> Job:
    assert isinstance(of.run, Run)
    assert of.path is not None
    return Job(of.run, of.path, seeds)


@pytest.fixture
def cells(tmp_path: Path) -> list[SuiteCell]:
    """One cell of every kind of seed, one that is done, one that cannot be, one to do."""
    made = [
        cell(tmp_path, "dqn", "CartPole-v1"),
        cell(tmp_path, "ppo", "CartPole-v1", 2),
        cell(tmp_path, "dqn", "No-v0", 2, error="no environment 'No-v0'"),
        cell(tmp_path, "ppo", "No-v0", 2),
    ]
    assert made[0].path is not None
    assert made[1].path is not None
    write(made[0].path, STATES)
    write(made[1].path, {0: "done", 1: "done"})
    return made


def text(console: Console) -> str:
    return "\n".join(" ".join(line.split()) for line in console.export_text().splitlines())


def test_states_come_from_the_store(cells: list[SuiteCell]) -> None:
    """Seeds in no part are missing; where a cell cannot be, they have failed."""
    assert {seed: state for seed, (state, _) in cells[0].states().items()} == {
        **STATES, 3: "stopped", 5: "missing",
    }  # fmt: skip
    assert summary(cells[0].states()) == "2/6, 1 stopped, 1 timeout, 1 diverged"
    assert set(cells[2].states().values()) == {("failed", "no environment 'No-v0'")}
    assert summary(cells[3].states()) == "0/2"


def test_matrix_in_the_end(cells: list[SuiteCell]) -> None:
    console = Console(record=True, width=50, file=io.StringIO())
    print_matrix(console, cells, [cell.states() for cell in cells])
    said = text(console)
    assert "agent CartPole-v1 No-v0" in said
    assert "dqn 2/6, 1 stopped, 1 timeout, 1 diverged 0/2, 2 failed" in said
    assert "ppo 2/2 0/2" in said
    assert "dqn on CartPole-v1, seeds 2 diverged: reward became NaN" in said
    assert "dqn on No-v0, seeds 0-1 failed: no environment 'No-v0'" in said


def test_plain_board_prints_a_line_per_part(
    cells: list[SuiteCell], capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each part that ends, with the reason; stopping says nothing for each."""
    seen = board(Console(), cells, 1, quiet=False)
    assert type(seen) is PlainBoard
    with seen:
        seen.ended(job(cells[1], 0, 1), JobOutcome(0))
        seen.ended(job(cells[0], 0, 1, 2, 3, 4), JobOutcome(1))
        seen.ended(job(cells[0], 5), JobOutcome(1, "took longer than its 5 s", "timeout"))
        seen.ended(job(cells[3], 0), JobOutcome(143, "stopped"))
    assert capsys.readouterr().out.splitlines() == [
        "ppo on CartPole-v1, seeds 0-1: done (1 of 4 cells done)",
        "dqn on CartPole-v1, seeds 0-4: seeds 2 diverged: reward became NaN (1 of 4 cells done)",
        "dqn on CartPole-v1, seeds 5: took longer than its 5 s (1 of 4 cells done)",
    ]


def test_the_first_line_of_a_reason(
    cells: list[SuiteCell], capsys: pytest.CaptureFixture[str]
) -> None:
    """A line stays a line, whatever an exception says."""
    with board(Console(), cells, 1, quiet=False) as seen:
        seen.ended(job(cells[0], 5), JobOutcome(1, "ValueError: one\ntwo\n\nthree", "failed"))
    assert capsys.readouterr().out.splitlines() == [
        "dqn on CartPole-v1, seeds 5: ValueError: one (1 of 4 cells done)"
    ]
    console = Console(record=True, width=200, file=io.StringIO())
    print_matrix(console, cells[:1], [{0: ("failed", "ValueError: one\ntwo")}])
    assert text(console).splitlines()[-1] == "dqn on CartPole-v1, seeds 0 failed: ValueError: one"


def test_quiet_says_what_goes_wrong(
    cells: list[SuiteCell], capsys: pytest.CaptureFixture[str]
) -> None:
    seen = board(Console(), cells, 1, quiet=True)
    seen.ended(job(cells[1], 0, 1), JobOutcome(0))
    assert capsys.readouterr().out == ""
    seen.ended(job(cells[1], 0, 1), JobOutcome(1, "out of coffee", "failed"))
    assert "out of coffee" in capsys.readouterr().out


def test_time_left_scales_estimates_by_the_measured_pace(
    cells: list[SuiteCell], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs takes twice its estimate, so what waits will: 10 s of the one, 100 of the other."""
    clock = [0.0]
    monkeypatch.setattr("rlbench.console.suite_board.time.monotonic", lambda: clock[0])
    runs, waits = job(cells[0], 3), job(cells[3], 0, 1)
    seen = Board(Console(quiet=True), cells, 2)
    seen.costs = {runs.key: 10.0, waits.key: 50.0}
    assert seen.remaining() is None
    seen.update(runs, Progress(0, 1000, 0.0, None))
    assert seen.remaining() is None
    clock[0] = 10.0
    seen.update(runs, Progress(500, 1000, 0.0, None))
    assert seen.remaining() == pytest.approx(100.0)  # the longest of 10 and 100, in two processes
    seen.jobs = 1
    assert seen.remaining() == pytest.approx(110.0)
    seen.ended(runs, JobOutcome(0))
    assert seen.remaining() == pytest.approx(100.0)


def test_live_board_shows_progress_and_time_left(cells: list[SuiteCell]) -> None:
    """On a terminal: how far what runs is, and what is left."""
    console = Console(record=True, width=90, force_terminal=True, file=io.StringIO())
    seen = board(console, cells, 1, quiet=False)
    assert isinstance(seen, Screen)
    with seen:
        seen.update(job(cells[0], 3), Progress(250, 1000, 0.0, None))
        console.print(seen._picture())
    said = text(console)
    assert "2/6, 1 stopped, 1 timeout, 1 diverged at 25 %" in said
    assert "4 of 12 seeds done · 1 running" in said


def test_a_low_terminal_shows_what_is_not_done(cells: list[SuiteCell]) -> None:
    """Agents that are done everywhere go first, and the line above says how many."""
    assert cells[1].path is not None
    console = Console(record=True, width=80, height=7, force_terminal=True, file=io.StringIO())
    screen = board(console, cells[:2], 1, quiet=False)
    assert isinstance(screen, Screen)
    console.print(screen._picture())
    said = text(console).splitlines()
    assert said[0] == "4 of 8 seeds done · 0 running · finished agents hidden: 1"
    assert [line.split()[0] for line in said[3:] if line[:1].isalpha()] == ["dqn"]


def test_notes_of_the_trial_are_printed_once(
    cells: list[SuiteCell], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing with --quiet."""
    news = Progress(0, 1000, 0.0, None, note="lanes may be identical")
    for quiet in (False, True):
        seen = board(Console(), cells, 1, quiet=quiet)
        seen.update(job(cells[0], 3), news)
        seen.update(job(cells[0], 3), news)
        said = "" if quiet else "dqn on CartPole-v1: lanes may be identical\n"
        assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "less than 1 s"),
        (89, "89 s"),
        (90, "2 min"),
        (3540, "59 min"),
        (3600 * 3.4, "3 h 24 min"),
    ],
)
def test_durations_are_formatted(seconds: float, said: str) -> None:
    assert duration(seconds) == said
