"""The live rows of `rlbench run`, at every width of a terminal."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from rlbench.console.job_rows import JobRows, clock
from rlbench.console.progress import PlainProgress
from rlbench.execution.attempt import STOPPED, JobOutcome
from rlbench.execution.jobs import Job, Progress

TRAINING = Progress(12_500, 50_000, 3100.0, 123.4, (10_000, "evaluation 200.0"), left=12.2)
PLAYING = Progress(
    50_000, 50_000, 3100.0, 98.5, (45_000, "evaluation 201.4"), left=6.0,
    doing="evaluating 3 of 10 episodes, 12,000 steps",
)  # fmt: skip


def job(*seeds: int) -> Job:
    run: Any = SimpleNamespace(total_timesteps=50_000)
    return Job(run, Path("out/CartPole-v1/dqn-1a2b3c4d"), seeds)


def lines(rows: JobRows, width: int) -> list[str]:
    console = Console(width=width, force_terminal=True, color_system=None, file=io.StringIO())
    with console.capture() as capture:
        console.print(rows)
    return capture.get().splitlines()


@pytest.fixture
def rows() -> JobRows:
    """Rows of two jobs; the one of later seeds reported first."""
    made = JobRows()
    made.update(job(3, 4), PLAYING)
    made.update(job(0, 1, 2), TRAINING)
    return made


def test_at_80_columns(rows: JobRows) -> None:
    """Count, time left, labels and separators; seeds in order; columns in line."""
    assert lines(rows, 80) == [
        "seeds 0-2 12,500/50,000 · return 123.4 · eval 200.0 · 3,100 steps/s · 0:12 left",
        "seeds 3-4 50,000/50,000 · evaluating 3 of 10 episodes, 12,000 steps · 0:06 left",
    ]


def test_at_120_columns_all_is_there(rows: JobRows) -> None:
    for line, words in zip(
        lines(rows, 120), (["━", "return", "eval", "steps/s"], ["━", "evaluating"]), strict=True
    ):
        assert all(word in line for word in [*words, "seeds", "0,000", "left", "0:00 elapsed"])


def test_what_is_left_out_first(rows: JobRows) -> None:
    """The narrower, the less, in one order: what is gone at a width is gone below it."""
    order = ["elapsed", "━", "steps/s", "return", "eval ", "seeds"]
    gone: set[str] = set()
    for width in range(130, 24, -1):
        first = lines(rows, width)[0]
        assert len(first) <= width
        assert "12,500/50,000" in first
        assert "0:12 left" in first
        missing = {word for word in order if word not in first}
        assert missing >= gone
        assert missing == set(order[: len(missing)])
        gone = missing
    assert gone == set(order)


@pytest.mark.parametrize("width", [40, 80])
def test_large_counts_and_long_waits_fit(width: int) -> None:
    rows = JobRows()
    rows.update(job(*range(10)), TRAINING._replace(step=1_250_000, total=10_000_000, left=5000.0))
    (line,) = lines(rows, width)
    assert "1,250,000/10,000,000" in line
    assert "1:23:20 left" in line


def test_a_row_keeps_its_columns(rows: JobRows) -> None:
    """They do not move when a number gets shorter."""
    before = [line.index("left") for line in lines(rows, 80)]
    rows.update(job(0, 1, 2), TRAINING._replace(episode_return=9.5, rate=80.0))
    assert [line.index("left") for line in lines(rows, 80)] == before


def test_how_jobs_ended_is_shown(rows: JobRows) -> None:
    rows.ended(job(0, 1, 2), JobOutcome(0))
    rows.ended(job(3, 4), JobOutcome(130, STOPPED))
    first, second = lines(rows, 80)
    assert first.endswith("done")
    assert second.endswith("stopped")
    assert "return  98.5" not in second
    assert "return 98.5" in second


def test_jobs_are_shown_before_they_begin() -> None:
    """Their time begins with their first sign of life."""
    rows = JobRows()
    rows.expect(job(3, 4))
    rows.expect(job(0, 1, 2))
    first, second = lines(rows, 80)
    assert first.split()[:8] == [
        "seeds", "0-2", "0/50,000", "·", "starting", "·", "-:--", "left",
    ]  # fmt: skip
    rows.rows[job(0, 1, 2).key].start -= 100
    rows.update(job(0, 1, 2), TRAINING)
    first, second = lines(rows, 120)
    assert "return 123.4" in first
    assert "0:00 elapsed" in first
    assert "starting" in second


def test_an_unknown_time_is_shown_as_such() -> None:
    rows = JobRows()
    rows.update(job(0), Progress(0, 1000, 0.0, None))
    assert "-:-- left" in lines(rows, 40)[0]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_plain_line_of_what_trains_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The random floor has a score, but no steps, speed or time left."""

    class Floor:
        title = "random CartPole-v1 seeds 0"

    seen: Any = PlainProgress(Console(width=200))
    for score in ("27.5", "22.3"):  # on the grid, and in the end
        seen.update(Floor, Progress(0, 0, 0.0, None, (0, f"evaluation {score}"), left=0.1))
    seen.ended(Floor, JobOutcome(0))
    assert capsys.readouterr().out == "random CartPole-v1 seeds 0: evaluation 22.3\n"
