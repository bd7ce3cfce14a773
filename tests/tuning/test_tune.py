"""Studies as a user runs them: real processes, killed and resumed."""

from __future__ import annotations

import contextlib
import csv
import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from commands import eager, environment, here, wait_for
from sampled import sampled

from rlbench.execution.stopping import StopSignal
from rlbench.rows import Evaluation
from rlbench.tuning.journal import StudyJournal, TrialBatch
from rlbench.tuning.objective import TrialResult
from rlbench.tuning.participant import Participant, TrialProgress, Work
from rlbench.tuning.plan import StudyFolder, study_plan
from rlbench.tuning.space import parse, split

SMALL = ["-p", "learning_starts=50", "-p", "net_arch=16", "-p", "buffer_size=300", "--no-preset",
         "-p", "batch_size=16", "--device", "cpu", "-n", "400", "--seeds", "2", "--eval-episodes",
         "2"]  # fmt: skip
SEARCH = ["-s", "learning_rate=log:1e-4..1e-2", "-s", "gamma=lin:0.9..0.999"]
TUNE = ["tune", "dqn", "--env", "CartPole-v1", *SMALL, *SEARCH, "--name", "study", "--no-confirm",
        "--jobs", "1", "--lockstep", "3"]  # fmt: skip


def opened(out: Path) -> StudyJournal:
    folder = StudyFolder(out / "studies" / "study")
    return StudyJournal(folder, folder.read())


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "studies" / "study" / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def settings(out: Path) -> list[tuple[int, str, dict[str, Any], dict[int, float]]]:
    """All trials with their scores, without what a clock wrote."""
    journal = opened(out)
    return [
        (each.number, each.state, each.setting, journal.scores(each).get("CartPole-v1", {}))
        for each in journal.trials()
    ]


def started(out: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "rlbench", *TUNE, *arguments, "--out", str(out), "-q"],
        cwd=out.parent, env=environment(),
    )  # fmt: skip


def told_once(out: Path) -> int:
    """Count the trials that have an end in the journal, of which none has two."""
    lines = (out / "studies" / "study" / "journal.log").read_text().splitlines()
    ended = [json.loads(line) for line in lines]
    ended = [each for each in ended if each["op_code"] == 6]  # set_trial_state_values
    assert len({each["trial_id"] for each in ended}) == len(ended)
    return len(ended)


def begun(out: Path, *searched: str, **options: Any) -> Work:
    """Begin a study, of which no trial has been taken."""
    parameters = {"learning_starts": 50, "net_arch": [16], "buffer_size": 300, "batch_size": 16}
    dimensions = parse("dqn", split([*SEARCH[1::2], *searched]))
    plan = study_plan("dqn", ["CartPole-v1"], (1000, 1001), dimensions=dimensions, steps=400,
                      parameters=parameters, preset=False, eval_episodes=2, **options)  # fmt: skip
    folder = StudyFolder(out / "studies" / "study")
    folder.open(plan)
    return Work(folder, plan, 6, 7, 1, "cpu")


def numbers(batch: TrialBatch) -> list[int]:
    return [each.number for each in batch.trials]


def test_a_trial_scores_what_an_ordinary_run_of_it_does(tmp_path: Path) -> None:
    """Same bits: the last point of the grid of `rlbench run -p ...` on the tuning seeds."""
    from rlbench.agents import DQN

    assert here(*TUNE, "--trials", 2, "--out", tmp_path, "-q") == 0
    trial = opened(tmp_path).trials()[1]
    assert trial.state == "done"
    returns: dict[int, list[float]] = {}

    def keep(row: Any) -> None:
        if isinstance(row, Evaluation) and row.step == 400:
            returns.setdefault(row.seed, []).append(row.ret)

    fixed: dict[str, Any] = {
        "learning_starts": 50,
        "net_arch": 16,
        "buffer_size": 300,
        "batch_size": 16,
    }
    agent = DQN("CartPole-v1", seeds=[1000, 1001], device="cpu", **fixed, **trial.setting)
    agent.learn(400, callback=keep, eval_freq=None, eval_episodes=2)
    expected = {seed: sum(of) / 2 for seed, of in returns.items()}
    assert opened(tmp_path).scores(trial) == {"CartPole-v1": expected}
    table = [row for row in rows(tmp_path) if row["trial"] == "1"]
    assert {int(row["seed"]): float(row["score"]) for row in table} == expected
    assert float(table[0]["value"]) == pytest.approx(sum(expected.values()) / 2)


def test_the_first_trial_is_the_setting_without_tuning(tmp_path: Path) -> None:
    assert here(*TUNE, "--trials", 1, "--out", tmp_path, "-q") == 0
    [trial] = opened(tmp_path).trials()
    assert trial.setting == {"learning_rate": 5e-4, "gamma": 0.99}


def test_neither_lockstep_nor_resuming_changes_the_trials(tmp_path: Path) -> None:
    """Random trials are a function of the plan and of their number."""
    one, three = tmp_path / "one", tmp_path / "three"
    for out, trials, h in ((one, 2, 1), (one, 5, 1), (three, 5, 3)):
        how = ["--sampler", "random", "--trials", trials, "--lockstep", h]
        assert here(*TUNE, *how, "--out", out, "-q") == 0
    assert settings(one) == settings(three)
    assert len(settings(one)) == 5


def test_a_grid_has_each_combination_once(tmp_path: Path) -> None:
    grid = ["-s", "learning_rate=1e-3|1e-2", "-s", "gamma=0.9|0.95|0.99", "--sampler", "grid"]
    command = ["tune", "dqn", "--env", "CartPole-v1", *SMALL, *grid, "--name", "study"]
    assert here(*command, "-n", 100, "--no-confirm", "--jobs", 1, "--out", tmp_path, "-q") == 0
    found = [tuple(setting.values()) for _, _, setting, _ in settings(tmp_path)]
    assert found == [(r, g) for r in (1e-3, 1e-2) for g in (0.9, 0.95, 0.99)]


def test_an_impossible_combination_fails_alone(tmp_path: Path) -> None:
    grid = ["-s", "v_min=0|5", "-s", "v_max=2|9", "--sampler", "grid", "-p", "distribution=c51"]
    command = ["tune", "dqn", "--env", "CartPole-v1", *SMALL, *grid, "--name", "study"]
    assert here(*command, "-n", 100, "--no-confirm", "--jobs", 1, "--out", tmp_path, "-q") == 0
    trials = opened(tmp_path).trials()
    assert [each.state for each in trials] == ["done", "done", "failed", "done"]
    assert trials[2].setting == {"v_min": 5, "v_max": 2}
    assert "v_min=5" in trials[2].reason


def test_another_plan_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert here(*TUNE, "--trials", 1, "--out", tmp_path, "-q") == 0
    assert here(*TUNE, "--trials", 1, "--seeds", 3, "--out", tmp_path, "-q") == 2
    assert "a study with other seeds: choose another --name" in capsys.readouterr().err
    assert here(*TUNE, "--trials", 1, "--seeds", 3, "--name", "b", "--out", tmp_path, "-q") == 0


def test_halving_trains_the_worse_half_less(tmp_path: Path) -> None:
    """Against the rule: at each rung those below the median of all that reached it end."""
    halving = ["--prune", "halving", "--sampler", "random", "--trials", 6, "--eval-freq", 50]
    assert here(*TUNE, *halving, "-n", 800, "--lockstep", 6, "--out", tmp_path, "-q") == 0
    trials = opened(tmp_path).trials()
    last = {each.number: max(each.reported) for each in trials}
    assert {each.state for each in trials} == {"done", "pruned"}
    for each in trials:
        assert last[each.number] == (800 if each.state == "done" else last[each.number])
        assert last[each.number] in (200, 400, 800)
        steps = [curve[-1][0] for curve in each.result.curves["CartPole-v1"].values()]
        assert set(steps) == {last[each.number]}  # trained no further
    done = [each for each in trials if each.state == "done"]
    pruned = [each for each in trials if each.state == "pruned"]
    at_first = [each.reported[200] for each in trials]
    for each in done:  # judged among those before it: never the worst of all
        assert each.reported[200] > min(at_first) or each.number == 0 or len(pruned) < 3


def test_a_stopped_batch_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two programs, pruned rows, stopped in each: same trials, and no step is trained twice."""
    monkeypatch.setattr("rlbench.learning.training.trainer.PULSE_SECONDS", 0.0)
    how = {"prune": "halving", "sampler": "random", "eval_freq": 50}
    whole = begun(tmp_path / "whole", "train_freq=1|4", **how)
    Participant(opened(tmp_path / "whole"), whole, print).work(StopSignal())
    expected = settings(tmp_path / "whole")
    assert {state for _, state, _, _ in expected} == {"done", "pruned"}
    out = tmp_path / "stopped"
    work = begun(out, "train_freq=1|4", **how)
    seen: list[tuple[tuple[int, ...], int]] = []
    for stop_at in (150, 260, 470, 10_000):  # steps trained by all programs together
        stop, start = StopSignal(), len(seen)

        def watch(progress: TrialProgress) -> None:
            if progress.step and (progress.trials, progress.step) not in seen[-1:]:
                seen.append((progress.trials, progress.step))
            stop.code = 130 * (len(seen) >= stop_at)  # noqa: B023

        Participant(opened(out), work, watch).work(stop)
        assert stop.code == 130 * (stop_at < 10_000)
        assert bool(list(out.rglob("checkpoint.npz"))) == bool(stop.code)
        assert len(seen) > start
    firsts = [(trials[0], step) for trials, step in seen]
    assert len(set(firsts)) == len(firsts)  # no step twice
    assert len({trials for trials, _ in seen}) > 2
    assert settings(out) == expected
    assert told_once(out) == 7
    assert not list((out / "studies" / "study" / "workers").iterdir())


def test_a_batch_belongs_to_one_process(tmp_path: Path) -> None:
    """Nobody takes the checkpoint of a living process; a dead one's is taken with its trials."""
    begun(tmp_path)
    one, two = opened(tmp_path), opened(tmp_path)
    with contextlib.suppress(KeyboardInterrupt), one.batch(2, 6) as mine:
        mine.checkpoint.write_bytes(b"mine")
        assert numbers(mine) == [0, 1]
        with two.batch(2, 6) as other:
            assert numbers(other) == [2, 3]
            assert not other.checkpoint.exists()
            for number in numbers(other):
                two.fail(number, TrialResult({}, {}), 0.0, "none")
        assert mine.checkpoint.exists()
        raise KeyboardInterrupt
    with contextlib.suppress(KeyboardInterrupt), two.batch(3, 6) as taken:
        assert numbers(taken) == [0, 1]  # no more: its program has these rows
        assert taken.checkpoint.read_bytes() == b"mine"
        raise KeyboardInterrupt
    # Fewer at a time begin anew.
    with two.batch(1, 6) as few:
        assert numbers(few) == [0]
        assert not few.checkpoint.exists()
    assert mine.checkpoint.exists()  # of trial 1
    for number in (0, 1):
        one.fail(number, TrialResult({}, {}), 0.0, "none")
    with one.batch(3, 6) as last:
        assert numbers(last) == [4, 5]
    assert not mine.home.exists()


def test_trials_left_from_a_draw_are_joined_by_the_rest_of_it(tmp_path: Path) -> None:
    """Killed while a batch was drawn: it is the batch that it would have been."""
    drawn = []
    for cut in (False, True):
        out = tmp_path / str(cut)
        begun(out)
        journal = opened(out)
        with journal.batch(12, 20) as batch:
            for number in numbers(batch):
                curves = {seed: [(400, float(number % 5))] for seed in (1000, 1001)}
                journal.end(number, TrialResult({"CartPole-v1": curves}, {}), 0.0, False)
        if cut:
            with contextlib.suppress(KeyboardInterrupt), journal.batch(2, 20):
                raise KeyboardInterrupt
        with journal.batch(4, 20) as batch:
            assert numbers(batch) == [12, 13, 14, 15]
            drawn.append([each.setting for each in batch.trials])
    assert drawn[0] == drawn[1]


@pytest.mark.slow
@pytest.mark.parametrize("prune", sampled(["none", "halving"], ["halving"]))
def test_killed_in_its_batches_and_resumed_is_the_same_study(tmp_path: Path, prune: str) -> None:
    """`kill -9` in two batches: none is lost, none is there twice, and all scores are the same."""
    total = 16
    how = ["--trials", str(total), "--lockstep", "8", "--prune", prune, "-n", "4000", "-q"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for out in (whole, killed):
        out.mkdir()
    assert eager(*TUNE, *how, "--out", whole, cwd=whole).wait() == 0
    for ended in (0, 8):
        child = eager(*TUNE, *how, "--out", killed, cwd=killed)

        def deep(ended: int = ended) -> bool:
            folder = killed / "studies" / "study"
            there = (folder / "study.json").exists() and (folder / "journal.log").exists()
            states = [each.state for each in opened(killed).trials()] if there else []
            steps = [each.reported for each in opened(killed).trials()] if there else []
            half = any(of and 1200 <= max(of) < 3600 for of in steps[ended : ended + 8])
            open_ones = "running" in states[ended : ended + 8]
            return half and open_ones and "running" not in states[:ended]

        wait_for(deep, child)
        child.kill()
        child.wait()
        assert list(killed.rglob("checkpoint.npz"))
    assert eager(*TUNE, *how, "--out", killed, cwd=killed).wait() == 0
    assert settings(killed) == settings(whole)
    expected = {"done"} if prune == "none" else {"done", "pruned"}
    assert {state for _, state, _, _ in settings(whole)} == expected
    assert told_once(killed) == total
    assert rows(killed)
    assert not list((killed / "studies" / "study" / "workers").iterdir())


@pytest.mark.slow
def test_two_processes_share_a_study(tmp_path: Path) -> None:
    """Both train some of the trials, and none is trained twice."""
    out = tmp_path / "out"
    how = ["--trials", "12", "--sampler", "random", "--lockstep", "2"]
    children = [started(out, *how) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    alone = tmp_path / "alone"
    assert started(alone, *how).wait() == 0
    assert settings(out) == settings(alone)
    processes = {each.worker.partition("-")[0] for each in opened(out).trials()}
    assert len(processes) == 2
    assert told_once(out) == 12


def test_a_torn_journal_goes_on(tmp_path: Path) -> None:
    """A line that a kill cut off is removed by the next writer, and its trial is trained again."""
    assert here(*TUNE, "--trials", 2, "--out", tmp_path, "-q") == 0
    before = settings(tmp_path)
    journal = tmp_path / "studies" / "study" / "journal.log"
    content = journal.read_bytes()
    journal.write_bytes(content[:-7])  # within the end of the last trial
    assert here(*TUNE, "--trials", 2, "--out", tmp_path, "-q") == 0
    assert settings(tmp_path) == before
    assert [json.loads(line) for line in journal.read_text().splitlines()]


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, "-m", "rlbench", *TUNE, "--trials", "200", "--out", str(out)],
        cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    table = out / "studies" / "study" / "journal.log"
    end = time.monotonic() + 60
    while not table.exists() or table.stat().st_size < 4000:
        assert time.monotonic() < end
        time.sleep(0.05)
    child.send_signal(2)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "of 200 trials done; the same command goes on" in said.splitlines()[-1]
    done = [each for each in opened(out).trials() if each.state == "done"]
    assert {int(row["trial"]) for row in rows(out) if row["state"] == "done"} == {
        each.number for each in done
    }


def test_the_outcome_is_confirmed_and_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ordinary runs on fresh seeds that know their tuning, and a preset that gives the same run."""
    monkeypatch.chdir(tmp_path)
    command = [word for word in TUNE if word != "--no-confirm"]
    more = ["--trials", 3, "--confirm-seeds", "2", "--save-preset", "mine.toml"]
    assert here(*command, *more) == 0
    said = capsys.readouterr().out
    table = tomllib.loads(Path("mine.toml").read_text())["CartPole-v1"]
    assert table["n_timesteps"] == 400
    assert table["net_arch"] == [16]
    assert table["tuned"]["seeds"] == "1000-1001"
    assert table["tuned"]["trials"] == 3
    assert "(tuned on seeds 1000-1001)" in table["source"]
    records = [
        json.loads(file.read_text()) for file in Path("results").glob("CartPole-v1/dqn-*/run.json")
    ]
    assert len(records) in (1, 2)  # one where the best setting is the one without tuning
    tuned = [record for record in records if record.get("tuned")]
    assert len(tuned) == len(records) - 1
    if tuned:
        assert tuned[0]["tuned"]["study"] == "study"
        assert "fresh seeds 0-1: tuned" in said
    # The preset is the run that confirmed it: nothing is left to do.
    before = {file: file.read_bytes() for file in Path("results").glob("*/*/seeds-*/part.json")}
    run = [
        "run",
        "dqn",
        "--env",
        "CartPole-v1",
        "--preset",
        "mine.toml",
        "--seeds",
        2,
        "--no-floor",
    ]
    assert here(*run, "--device", "cpu") == 0
    assert {f: f.read_bytes() for f in Path("results").glob("*/*/seeds-*/part.json")} == before
    # The same command again trains nothing and writes the same file.
    text = Path("mine.toml").read_text()
    assert here(*command, *more, "-q") == 0
    assert Path("mine.toml").read_text() == text
    # Another study does not overwrite it.
    assert here(*command, *more, "--name", "other", "-q") == 2
