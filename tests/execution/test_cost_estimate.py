"""How work is cut for processes, and what earlier runs say about time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.experiments.cost_estimate import (
    GUESS,
    START,
    CostEstimate,
    estimate,
    estimate_trial,
    makespan,
    memory,
    split,
)
from rlbench.experiments.planning import plan
from rlbench.storage.run_folder import RunFolder


def whole(*seconds: float) -> list[CostEstimate]:
    return [CostEstimate(s, "", 0.18) for s in seconds]


@pytest.mark.parametrize(
    ("seconds", "jobs", "parts"),
    [
        ((100,), 1, [1]),
        ((100,), 2, [2]),
        ((100, 100), 2, [1, 1]),
        ((1000, 10, 10), 2, [2, 1, 1]),  # what is longer than its share
        ((100, 100, 100), 2, [1, 1, 2]),  # the last fills both processes
        ((100, 100, 100), 3, [1, 1, 1]),
        ((4, 4, 4), 2, [1, 1, 1]),  # it would all be starting
    ],
)
def test_split_balances_processes(seconds: tuple[float, ...], jobs: int, parts: list[int]) -> None:
    found = split(whole(*seconds), [10] * len(seconds), jobs)
    assert sorted(found) == sorted(parts)


@settings(max_examples=60, deadline=None)
@given(
    seconds=st.lists(st.floats(4, 5000), max_size=9),
    jobs=st.integers(1, 6),
    seeds=st.integers(1, 12),
)
def test_split_is_never_much_worse_than_whole_cells(
    seconds: list[float], jobs: int, seeds: int
) -> None:
    """And never makes more parts than there are seeds or processes."""
    estimates = whole(*seconds)
    parts = split(estimates, [seeds] * len(seconds), jobs)
    assert all(1 <= n <= min(jobs, seeds) for n in parts)
    costs = [e.of(-(-seeds // n), seeds) for e, n in zip(estimates, parts, strict=True)
             for _ in range(n)]  # fmt: skip
    assert makespan(costs, jobs) <= makespan(seconds, jobs) + 1e-6
    if jobs == 1:
        assert parts == [1] * len(seconds)


def test_makespan_equals_the_schedule_by_hand() -> None:
    """By hand: 5 | 4 1 | 3 2."""
    assert makespan([3, 1, 5, 2, 4], 3) == 5
    assert makespan([3, 1, 5, 2, 4], 1) == 15
    assert makespan([], 2) == 0


def test_estimates_come_from_the_nearest_run(tmp_path: Path) -> None:
    """A guess, then runs of the agent in the environment, then the run itself."""
    run = plan("dqn", "CartPole-v1", range(3), total_timesteps=1000)
    two, three = 1.18, 1.36  # a further seed of a lockstep program costs 0.18 of the first
    assert estimate(run, tmp_path).source == "a guess"
    assert estimate(run, tmp_path).seconds == pytest.approx(GUESS * 1000 * three + START)
    other = plan("dqn", "CartPole-v1", range(3), total_timesteps=500)
    write(other.folder(tmp_path), (0, 1), 500, "00:00:00", "00:01:40")
    assert estimate(run, tmp_path).source == "runs like it"
    assert estimate(run, tmp_path).seconds == pytest.approx(100 / 500 * 1000 * three / two + START)
    write(run.folder(tmp_path), (7,), 1000, "00:00:00", "00:00:50")
    assert estimate(run, tmp_path).source == "this run"
    assert estimate(run, tmp_path).seconds == pytest.approx(50 * three + START)


@pytest.mark.parametrize("agent", ["sb3-dqn", "sb3-ppo"])
def test_seeds_of_peers_cost_alike(agent: str, tmp_path: Path) -> None:
    """They train one after the other: thirty take ten times as long as three."""
    run = plan(agent, "CartPole-v1", range(30), total_timesteps=1000)
    write(run.folder(tmp_path), (0, 1, 2), 1000, "00:00:00", "00:01:00")
    found = estimate(run, tmp_path)
    assert found.seconds == pytest.approx(600 + START)
    assert found.of(10, 30) == pytest.approx(200 + START)
    assert estimate_trial(run, 6.0, 10).seconds == pytest.approx(600 + START)
    assert estimate_trial(run, 6.0, 0).source == "a guess"


def write(folder: RunFolder, seeds: tuple[int, ...], step: int, begun: str, ended: str) -> None:
    part = folder.part(seeds)
    day = "2026-01-01T{}+00:00".format
    status = {str(seed): "done" for seed in seeds}
    part.write_info({"seeds": list(seeds), "status": status, "step": step, "restarts": 0,
                     "started": day(begun), "updated": day(ended)})  # fmt: skip
    (folder.path / "run.json").write_text(json.dumps({}))


def test_memory_is_what_the_agent_says() -> None:
    """A replay memory of 1000 transitions more is so many bytes more, for each seed."""
    small, large = (
        memory(plan("dqn", "CartPole-v1", range(3), total_timesteps=10, preset=False,
                    parameters={"buffer_size": size}))
        for size in (1000, 2000)
    )  # fmt: skip
    assert 3 * 1000 * 2 * 16 <= large - small <= 3 * 1000 * 100
