"""`rlbench bench --until-decided`: rounds of seeds, the plan, and what the report says of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import environment, here
from store_files import write_part

from rlbench.commands import bench, until_decided
from rlbench.errors import UserError
from rlbench.execution.stopping import StopSignal
from rlbench.experiments import sequential_plan, suite_cells
from rlbench.experiments import suite as suites
from rlbench.experiments.sequential_plan import PlannedComparison
from rlbench.reporting.report import inputs
from rlbench.reporting.report.report_data import ReportData, collect
from rlbench.reporting.report.sequential_tests import SequentialComparison
from rlbench.reporting.statistics import sequential
from rlbench.reporting.statistics.sequential import Decision
from rlbench.storage.run_folder import RunFolder


@pytest.fixture(autouse=True)
def few_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequential, "SPLITS", 2_000)


TEXT = """
name = "trial"
eval_freq = 0
final_episodes = 2
agents = ["dqn", "ppo", "a2c"]
[[env]]
id = "CartPole-v1"
steps = 50_000
[[env]]
id = "Acrobot-v1"
steps = 50_000
agents = ["dqn", "ppo"]
"""
Score = Callable[[str, str, int], float | str]  # environment, agent, seed -> a score or a status


def seeds_of(score: Score) -> Callable[..., list[suite_cells.States]]:
    """What takes the place of `bench.compute`: writes parts with these scores."""

    def compute(
        cells: Sequence[suite_cells.SuiteCell], out: Path, *_: object
    ) -> list[suite_cells.States]:
        for cell in cells:
            assert cell.path
            assert cell.run
            todo = [seed for seed, (state, _) in cell.states().items() if state == "missing"]
            if not todo:
                continue
            RunFolder(cell.path).open(
                cell.run.identity(), {**cell.run.to_json(), "created": "", "command": ""}
            )
            values = {seed: score(cell.env, cell.agent, seed) for seed in todo}
            final = {seed: [v, v] for seed, v in values.items() if not isinstance(v, str)}
            status = {seed: v for seed, v in values.items() if isinstance(v, str)}
            write_part(cell.path, {seed: {} for seed in todo}, final, {}, status)
        return [cell.states() for cell in cells]

    return compute


def run(
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    score: Score,
    design: until_decided.Design | None = None,
    text: str = TEXT,
    seeds: int = 20,
) -> None:
    """Run the suite."""
    monkeypatch.setattr(bench, "compute", seeds_of(score))
    options = bench.Options(quiet=True, report=False)
    suite = suites.loads(text, "trial.toml")
    until_decided.bench_until_decided(
        suite, text, range(seeds), design or until_decided.Design(), out, options, StopSignal()
    )


def data_of(out: Path) -> ReportData:
    return collect(inputs.scope([out / "benches" / "trial"]))


def apart(env: str, agent: str, seed: int) -> float:
    """On CartPole ppo is far ahead, and dqn and a2c are alike; on Acrobot all are."""
    noise = np.random.default_rng([seed, len(agent), len(env), ord(agent[0])]).normal()
    return float(noise + 10 * (agent == "ppo" and env == "CartPole-v1"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the suite with the scores of `apart`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequential, "SPLITS", 2_000)
        out = tmp_path_factory.mktemp("store")
        run(out, patch, apart)
    return out


def cell_seeds(out: Path) -> dict[str, int]:
    """Number of seeds in the manifest, by entrant and environment."""
    manifest = json.loads((out / "benches" / "trial" / "suite.json").read_text())
    return {f"{cell['agent']} {cell['env']}": len(cell["seeds"]) for cell in manifest["cells"]}


def test_only_open_comparisons_get_more_seeds(store: Path) -> None:
    seeds = cell_seeds(store)
    assert seeds["ppo CartPole-v1"] == 10  # decided at the first look that could
    assert seeds["dqn CartPole-v1"] == seeds["a2c CartPole-v1"] >= 10
    states = {(c.env, c.a, c.b): c for c in data_of(store).sequential}
    assert [d.verdict for d in states["CartPole-v1", "dqn", "ppo"].looks] == ["open", "b"]
    assert states["CartPole-v1", "a2c", "dqn"].looks[-1].verdict in ("given up", "undecided")


def test_report_has_the_verdicts_of_the_plan(store: Path) -> None:
    data = data_of(store)
    pairs = {(row["env"], row["a"], row["b"]): row for _, row in data.pairs.iterrows()}
    for each in data.sequential:
        row = pairs[each.env, each.a, each.b]
        assert each.last
        assert row["verdict"] == (each.last.verdict if each.last.decided else "undecided")
        assert row["of_a"] == row["of_b"] == len(each.seeds)
        assert (row["p_holm"] <= 0.05) == each.last.decided
        if each.interval:
            assert (row["low"], row["high"]) == pytest.approx(tuple(each.interval))
    with pytest.raises(UserError, match="leave out --baseline"):
        collect(inputs.scope([store / "benches" / "trial"]), "dqn")


def test_lost_seeds_end_a_group_and_rank_worst(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(env: str, agent: str, seed: int) -> float | str:
        if agent == "ppo" and env == "CartPole-v1":
            return "diverged" if seed % 5 else -50.0
        return apart(env, "dqn" if agent == "ppo" else agent, seed)

    run(tmp_path, monkeypatch, score)
    states = {(c.env, c.a, c.b): c.last for c in data_of(tmp_path).sequential}
    decision = states["CartPole-v1", "dqn", "ppo"]
    assert decision
    assert decision.verdict == "a"


def test_nobody_is_a_look_ahead_after_a_stop() -> None:
    """Of open comparisons those with fewest looks come first: others may be decided by them."""
    pairs = [PlannedComparison("E", "a", b, "E/a-1", f"E/{b}-1") for b in "bc"]
    plan = sequential_plan.planned(2, range(6), 0.05, pairs)
    still_open = Decision("open", 1, 0.05, 0.5, 0.0, None)
    states = [SequentialComparison("E", "a", b, (still_open,) * n) for b, n in (("b", 2), ("c", 1))]
    due = {
        name: until_decided._due(
            suite_cells.SuiteCell("E", name, "", (), None, path=Path(f"out/E/{name}-1")),
            plan, states, Path("out"),
        ).seeds
        for name in "abc"
    }  # fmt: skip
    assert due == {"a": (0, 1, 2, 3), "b": (0, 1, 2, 3), "c": (0, 1, 2, 3)}


@pytest.mark.slow
def test_same_decisions_after_any_stop(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computing ends in the middle of every round, and the command is given again."""
    whole = [c.looks for c in data_of(store).sequential]
    compute = seeds_of(apart)
    calls = 0

    def some(cells: Sequence[suite_cells.SuiteCell], out: Path, *rest: Any) -> Any:
        nonlocal calls
        calls += 1
        compute([cell for i, cell in enumerate(cells) if i % 3 == calls % 3], out)
        raise KeyboardInterrupt

    options = bench.Options(quiet=True, report=False)
    for _ in range(60):
        monkeypatch.setattr(bench, "compute", some)
        try:
            until_decided.bench_until_decided(
                suites.loads(TEXT, "trial.toml"), TEXT, range(20), until_decided.Design(),
                tmp_path / "cut", options, StopSignal(),
            )  # fmt: skip
            break
        except KeyboardInterrupt:
            pass
    assert calls > 5
    run(tmp_path / "cut", monkeypatch, apart)
    assert cell_seeds(tmp_path / "cut") == cell_seeds(store)
    cut = [c.looks for c in data_of(tmp_path / "cut").sequential]
    assert str(cut) == str(whole)  # NaN is not equal to itself


def test_plan_is_written_before_the_first_score_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, plans = tmp_path / "benches" / "trial", []

    def score(env: str, agent: str, seed: int) -> float:
        plans.append((home / "plan.json").read_bytes())
        return apart(env, agent, seed)

    run(tmp_path, monkeypatch, score)
    assert set(plans) == {(home / "plan.json").read_bytes()}
    plan = sequential_plan.read(home)
    assert plan is not None
    assert (plan.looks, plan.group, len(plan.comparisons), plan.known) == (4, 5, 4, 0)
    for design, seeds in ((until_decided.Design(group=4), 20), (until_decided.Design(), 25)):
        with pytest.raises(UserError, match=r"plan\.json was planned with other"):
            run(tmp_path, monkeypatch, apart, design, seeds=seeds)
    other = until_decided.Design(baseline="dqn")
    with pytest.raises(UserError, match="other comparisons"):
        run(tmp_path, monkeypatch, apart, other)


def test_changed_plan_is_noticed(store: Path, tmp_path: Path) -> None:
    copied = tmp_path / "store"
    shutil.copytree(store, copied)
    file = copied / "benches" / "trial" / "plan.json"
    file.write_text(file.read_text().replace("0.05", "0.5"))
    with pytest.raises(UserError, match="was changed after it was written"):
        data_of(copied)
    file.write_text("{")
    with pytest.raises(UserError, match="is corrupt"):
        data_of(copied)


def test_seeds_that_were_there_before_the_plan_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = suites.loads(TEXT, "trial.toml")
    cells = suite_cells.cells(suite, range(5), "cpu", tmp_path)
    seeds_of(apart)(cells, tmp_path)
    run(tmp_path, monkeypatch, apart)
    plan = sequential_plan.read(tmp_path / "benches" / "trial")
    assert plan is not None
    assert plan.known == 25
    assert here("report", "trial", "--out", tmp_path) == 0
    assert "after 25 seeds had ended" in (tmp_path / "benches/trial/report.html").read_text()


def test_nothing_to_compare_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = TEXT.replace('"dqn", "ppo", "a2c"', '"dqn"').replace('agents = ["dqn", "ppo"]\n', "")
    with pytest.raises(UserError, match="needs two entrants that meet"):
        run(tmp_path, monkeypatch, apart, text=alone)
    with pytest.raises(UserError, match="4 seeds are fewer than one group of 5"):
        run(tmp_path, monkeypatch, apart, seeds=4)
    assert not list(tmp_path.glob("benches/*/plan.json"))


def test_options_without_until_decided_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("bench", "smoke", "--group", "3", "--out", tmp_path) == 2
    assert "--group is for --until-decided: add it" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_in_a_round_and_gone_on(tmp_path: Path) -> None:
    """Kill -9 of all processes, twice: the same rounds, plan and verdicts in the end."""
    file = tmp_path / "trial.toml"
    file.write_text(
        'name = "trial"\nfinal_episodes = 3\neval_freq = 0\nagents = ["dqn", "ppo", "a2c"]\n'
        '[[env]]\nid = "CartPole-v1"\nsteps = 600\n'
    )
    words = ["bench", file, "--until-decided", "--group", "2", "--max-seeds", "6", "--no-report"]
    assert here(*words, "--out", tmp_path / "whole", "--quiet", "--jobs", 1) == 0
    for wait in (8.0, 14.0):
        process = subprocess.Popen(
            [sys.executable, "-m", "rlbench", *map(str, words), "--out", tmp_path / "cut"],
            cwd=tmp_path, env=environment(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert here(*words, "--out", tmp_path / "cut", "--quiet", "--jobs", 1) == 0
    looks = [
        str([c.looks for c in data_of(tmp_path / name).sequential]) for name in ("whole", "cut")
    ]
    assert looks[0] == looks[1]
    assert cell_seeds(tmp_path / "whole") == cell_seeds(tmp_path / "cut")
