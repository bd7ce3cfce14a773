"""Trials as parts on an executor: the study is that of the processes of one machine."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import eager, here, wait_for
from ray_nodes import TwoNodes, two_nodes
from test_tune import SEARCH, SMALL, opened, settings, told_once

from rlbench.errors import UserError
from rlbench.execution.attempt import JobOutcome, run_job
from rlbench.execution.dispatch import Executor
from rlbench.execution.jobs import Job, Progress
from rlbench.execution.stopping import StopSignal
from rlbench.reporting.tables.load import load
from rlbench.tuning.participant import Participant, TrialProgress, Work
from rlbench.tuning.plan import StudyFolder, study_plan
from rlbench.tuning.space import parse, split
from rlbench.tuning.trial_parts import TrialParts

ENVS = ("CartPole-v1", "MountainCar-v0")
COMMAND = ["tune", "dqn", "--env", "CartPole-v1", *SMALL, *SEARCH, "--name", "study",
           "--no-confirm", "--sampler", "random", "--trials", "4", "-q"]  # fmt: skip
SLURM = ["--executor", "slurm", "--slurm-cluster", "local", "--jobs", "2"]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    with two_nodes(monkeypatch) as two:
        yield two


class Inline(Executor):
    """Computes a job here as soon as it is asked for news, or ends it as it is told to."""

    def __init__(self, stop: StopSignal, ends: dict[int, JobOutcome] | None = None) -> None:
        self.slots, self.stop, self.ends = 2, stop, ends or {}
        self.jobs: list[Job] = []
        self.count = 0

    def start(self, job: Job) -> None:
        self.jobs.append(job)

    def poll(self) -> Iterator[tuple[Job, Progress | JobOutcome]]:
        if self.jobs:
            job, self.count = self.jobs.pop(0), self.count + 1
            news: list[Progress] = []
            outcome = self.ends.get(self.count) or run_job(job, news.append, self.stop)
            yield from ((job, each) for each in news[-1:])
            yield job, outcome

    def close(self) -> None:
        self.jobs.clear()


class Watcher:
    def __init__(self) -> None:
        self.seen: list[TrialProgress] = []

    def update(self, process: int, progress: TrialProgress) -> None:
        self.seen.append(progress)

    def poll(self) -> None:
        pass


def begun(out: Path, trials: int, *envs: str) -> Work:
    parameters = {"learning_starts": 50, "net_arch": [16], "buffer_size": 300, "batch_size": 16}
    plan = study_plan("dqn", envs, (1000, 1001), dimensions=parse("dqn", split(SEARCH[1::2])),
                      parameters=parameters, preset=False, steps=200, eval_freq=100,
                      eval_episodes=2, sampler="random")  # fmt: skip
    folder = StudyFolder(out / "studies" / "study")
    folder.open(plan)
    return Work(folder, plan, 4, trials, 2, "cpu")


def search(
    work: Work, monkeypatch: pytest.MonkeyPatch, ends: dict[int, JobOutcome] | None = None
) -> tuple[list[str], Watcher]:
    stop, watcher = StopSignal(), Watcher()
    monkeypatch.setattr("rlbench.tuning.trial_parts.make_executor", lambda *_: Inline(stop, ends))
    parts = TrialParts(opened(work.folder.path.parents[1]), work, watcher, stop)
    return parts.search(), watcher


def test_scores_are_those_of_trials_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two environments, where a value depends on all trials."""
    work = begun(tmp_path / "parts", 3, *ENVS)
    lines, watcher = search(work, monkeypatch)
    assert lines == []
    assert watcher.seen
    assert watcher.seen[-1].total == 200
    together = begun(tmp_path / "together", 3, *ENVS)
    Participant(opened(tmp_path / "together"), together, print).work(StopSignal())
    assert settings(tmp_path / "parts") == settings(tmp_path / "together")
    results = [
        [each.result for each in opened(tmp_path / name).trials()] for name in ("parts", "together")
    ]
    assert results[0] == results[1]
    assert told_once(tmp_path / "parts") == 3
    assert not list((work.folder.path / "workers").iterdir())


def test_a_lost_part_leaves_its_trial_and_a_fault_fails_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an executor gave up is told, and gone on with by the same command."""
    work = begun(tmp_path, 3, "CartPole-v1")
    ends = {
        1: JobOutcome(137, "its worker was lost"),
        2: JobOutcome(2, "no such environment", "failed"),
    }
    lines, _ = search(work, monkeypatch, ends)
    assert lines == ["trial 0: its worker was lost; it is free for others"]
    trials = opened(tmp_path).trials()
    assert [each.state for each in trials] == ["running", "failed", "done"]
    assert trials[1].reason == "no such environment"
    assert opened(tmp_path).is_free(trials[0])
    with pytest.raises(UserError, match="no runs in"):  # trials are no results
        load(tmp_path)
    assert search(work, monkeypatch)[0] == []
    assert [each.state for each in opened(tmp_path).trials()] == ["done", "failed", "done"]
    assert told_once(tmp_path) == 3


def test_an_executor_that_takes_no_job_fails_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is another trial taken: its setting is to be sampled when there are results."""
    work = begun(tmp_path, 4, "CartPole-v1")
    lines, _ = search(work, monkeypatch, {1: JobOutcome(2, "Slurm took no job: limit")})
    assert lines == ["trial 0: Slurm took no job: limit; it is free for others"]
    assert [each.state for each in opened(tmp_path).trials()] == ["running", "done"]
    assert search(work, monkeypatch)[0] == []
    assert [each.state for each in opened(tmp_path).trials()] == ["done"] * 4


def test_a_part_that_another_job_computes_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a job does that a killed driver left in a queue, and that begins before ours."""
    work = begun(tmp_path, 3, "CartPole-v1")
    lines, _ = search(work, monkeypatch, {1: JobOutcome(2, "is being written", busy=True)})
    assert lines == []
    assert [each.state for each in opened(tmp_path).trials()] == ["done"] * 3
    assert told_once(tmp_path) == 3


def test_a_stopped_part_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows and its checkpoint are in the folder of its trial, which is taken over."""
    work = begun(tmp_path, 1, "CartPole-v1")
    stop = StopSignal()
    monkeypatch.setattr("rlbench.execution.checkpoint_pace.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("rlbench.learning.training.trainer.PULSE_SECONDS", 0.0)

    class Stopping(Inline):
        def poll(self) -> Iterator[tuple[Job, Progress | JobOutcome]]:
            def report(progress: Progress) -> None:
                stop.code = 130 * (progress.step >= 120)

            if self.jobs:
                job = self.jobs.pop(0)
                yield job, run_job(job, report, stop)

    monkeypatch.setattr("rlbench.tuning.trial_parts.make_executor", lambda *_: Stopping(stop))
    assert TrialParts(opened(tmp_path), work, Watcher(), stop).search() == []
    (trial,) = opened(tmp_path).trials()
    assert opened(tmp_path).is_free(trial)
    assert list(tmp_path.rglob("checkpoint.npz"))
    steps: list[int] = []
    monkeypatch.setattr(Watcher, "update", lambda _, __, progress: steps.append(progress.step))
    search(work, monkeypatch)
    assert settings(tmp_path)[0][1] == "done"
    together = begun(tmp_path / "together", 1, "CartPole-v1")
    Participant(opened(tmp_path / "together"), together, print).work(StopSignal())
    assert settings(tmp_path) == settings(tmp_path / "together")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--prune", "halving"], "on an executor each is a part of its own: leave it out"),
        (["--lockstep", "4"], "--lockstep is for --executor local"),
    ],
)
def test_what_means_nothing_on_an_executor_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], said: str
) -> None:
    assert here(*COMMAND, *SLURM, *given, "--out", tmp_path) == 2
    assert said in capsys.readouterr().err
    assert here(*COMMAND, "--trials", 1, "-n", 50, "--jobs", 1, *given, "--out", tmp_path) == 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    assert here(*COMMAND, "-n", 3000, "--jobs", 1, "--out", out) == 0
    return out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_driver_of_slurm_jobs_is_stopped_and_goes_on(
    tmp_path: Path, whole: Path, number: int
) -> None:
    """Jobs of a killed driver go on to their end, and their trials are taken as they are."""
    pytest.importorskip("submitit")
    command = [*COMMAND, "-n", "3000", *SLURM, "--out", tmp_path]
    child = eager(*command, cwd=tmp_path)
    parts = "studies/study/workers/*/env-0/seeds-*/episodes.csv"
    wait_for(lambda: len(list(tmp_path.glob(parts))) == 2, child)
    child.send_signal(number)
    assert child.wait(90) == (130 if number == signal.SIGINT else -number)
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert here(*command) == 0
    assert settings(tmp_path) == settings(whole)
    assert told_once(tmp_path) == 4
    assert not list((tmp_path / "studies" / "study" / "workers").iterdir())


@pytest.mark.slow
def test_stopped_and_without_a_worker_and_a_node_of_ray(
    nodes: TwoNodes, tmp_path: Path, whole: Path
) -> None:
    """Ctrl-C brings states back; then what is killed takes no trial with it."""
    command = [*COMMAND, "-n", "3000", "--executor", "ray", "--address", nodes.address]
    parts = tmp_path / "studies" / "study" / "workers"
    child = eager(*command, "--out", tmp_path, cwd=tmp_path)
    wait_for(lambda: nodes.begun() == 2, child)
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 130, (tmp_path / "log").read_text()
    left = [each for each in opened(tmp_path).trials() if each.state == "running"]
    assert left
    assert all(opened(tmp_path).is_free(each) for each in left)
    assert list(parts.glob("*/env-0/seeds-*/checkpoint.npz"))
    child = eager(*command, "--out", tmp_path, cwd=tmp_path)
    wait_for(lambda: nodes.begun() == 2, child)
    nodes.trainers(second=False)[0].kill()
    nodes.lose_second()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(400)
    assert child.returncode == 0, (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert settings(tmp_path) == settings(whole)
    assert told_once(tmp_path) == 4
