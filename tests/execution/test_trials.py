"""Settings as rows of one program score what each scores alone."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rlbench.execution import trials
from rlbench.execution.trials import (
    TrialEnd,
    TrialFault,
    TrialLost,
    TrialPoint,
    TrialPulse,
    TrialRestart,
    TrialTraining,
    programs,
)
from rlbench.experiments.planning import plan
from rlbench.experiments.run import Run
from rlbench.learning import checkpoint

SEEDS = (1000, 1001)
SMALL = {"learning_starts": 50, "net_arch": [16], "buffer_size": 300, "batch_size": 16}
SETTINGS: list[dict[str, Any]] = [
    {"learning_rate": 1e-3, "gamma": 0.9},
    {"learning_rate": 1e-2, "gamma": 0.99, "batch_size": 8},  # another program
    {"learning_rate": 3e-3, "gamma": 0.95, "target_update_interval": 50},
    {"learning_rate": 1e-2, "exploration_final_eps": 0.3},
]


def runs(settings: Sequence[dict[str, Any]], agent: str = "dqn") -> list[Run]:
    return [
        plan(agent, "CartPole-v1", SEEDS, parameters={**SMALL, **setting}, preset=False,
             total_timesteps=400, eval_episodes=2, device="cpu")
        for setting in settings
    ]  # fmt: skip


def points(news: Iterable[Any], setting: int) -> list[tuple[int, int, float]]:
    return [
        (each.seed, each.step, each.score)
        for each in news
        if isinstance(each, TrialPoint) and each.setting == setting
    ]


@pytest.fixture(scope="module")
def alone() -> list[list[tuple[int, int, float]]]:
    return [sorted(points(TrialTraining([run], SEEDS), 0)) for run in runs(SETTINGS)]


def test_scores_are_those_of_each_setting_alone(alone: list[Any]) -> None:
    made = runs(SETTINGS)
    assert programs(made) == [[0, 2, 3], [1]]
    news = list(TrialTraining(made, SEEDS))
    assert [sorted(points(news, at)) for at in range(4)] == alone
    assert sorted(each.setting for each in news if isinstance(each, TrialEnd)) == [0, 1, 2, 3]
    assert len({str(each) for each in alone}) == 4  # settings do differ in their scores
    assert (0, 2, 3) in {each.settings for each in news if isinstance(each, TrialPulse)}


def test_a_dropped_setting_is_cut_out_and_the_others_score_the_same(alone: list[Any]) -> None:
    dropped: set[int] = set()
    news = []
    for each in TrialTraining(runs(SETTINGS), SEEDS, dropped):
        news.append(each)
        if isinstance(each, TrialPulse) and each.step >= 120:
            dropped.add(2)
    last = max(step for _, step, _ in points(news, 2))
    assert last < 400
    assert 2 not in [each.setting for each in news if isinstance(each, TrialEnd)]
    for at in (0, 1, 3):
        assert sorted(points(news, at)) == alone[at]
    assert not [each for each in news if isinstance(each, TrialLost)]


def test_all_may_be_dropped() -> None:
    dropped: set[int] = set()
    steps = []
    for each in TrialTraining(runs(SETTINGS[:1]), SEEDS, dropped):
        if isinstance(each, TrialPulse):
            steps.append(each.step)
            dropped.add(0)
    assert max(steps) == 0


def test_a_program_that_fails_is_taken_apart(
    alone: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One setting cannot be built: it fails alone, and the others score what they do."""
    build = trials._agent

    def picky(made: Sequence[Run], group: Sequence[int], seeds: Sequence[int]) -> Any:
        if any(made[at].config.model_dump()["learning_rate"] == 3e-3 for at in group):
            raise ValueError("not 0.003")
        return build(made, group, seeds)

    monkeypatch.setattr(trials, "_agent", picky)
    news = list(TrialTraining(runs(SETTINGS), SEEDS))
    assert [each for each in news if isinstance(each, TrialFault)] == [
        TrialFault(2, "ValueError: not 0.003")
    ]
    assert [each.setting for each in news if isinstance(each, TrialRestart)] == [0, 2, 3]
    for at in (0, 1, 3):
        assert sorted(points(news, at)) == alone[at]


def test_peers_are_programs_of_their_own() -> None:
    made = [plan("sb3-dqn", "CartPole-v1", SEEDS, parameters={"gamma": g}, total_timesteps=100)
            for g in (0.9, 0.95)]  # fmt: skip
    assert programs(made) == [[0], [1]]


def stopped(training: TrialTraining, pulse: int) -> tuple[list[Any], dict[str, Any]]:
    """What is said until state can be saved for the `pulse`-th time, from 0 on; and the state."""
    told: list[Any] = []
    pulses = 0
    for each in training:
        if isinstance(each, TrialPulse) and each.can_checkpoint:
            if pulse == pulses:
                return told, copy.deepcopy(training.state())
            pulses += 1
        told.append(each)
    raise AssertionError(f"only {pulses} pulses")


@pytest.mark.parametrize(
    "pulse",  # before, in and between two programs
    [*(pytest.param(pulse, marks=pytest.mark.slow) for pulse in (0, 1, 404, 500)), 150],
)
def test_training_goes_on_from_a_state(
    alone: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pulse: int
) -> None:
    """To the same scores, without a step that was trained before."""
    monkeypatch.setattr("rlbench.learning.training.trainer.PULSE_SECONDS", 0.0)
    made = runs(SETTINGS)
    told, state = stopped(TrialTraining(made, SEEDS), pulse)
    saved = checkpoint.load(checkpoint.save(tmp_path / "state.npz", state))
    steps = [each.step for each in told if isinstance(each, TrialPulse)]
    rest = list(TrialTraining(made, SEEDS, (), saved))
    for at in range(4):
        assert sorted(points([*told, *rest], at)) == alone[at]
    more = [each.step for each in rest if isinstance(each, TrialPulse)]
    assert not steps or max(steps[-1], 1) <= next(step for step in more if step)
    assert not [each for each in rest if isinstance(each, TrialRestart)]


@pytest.mark.slow
def test_going_on_without_a_dropped_setting(
    alone: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlbench.learning.training.trainer.PULSE_SECONDS", 0.0)
    made = runs(SETTINGS)
    told, state = stopped(TrialTraining(made, SEEDS), 100)
    rest = list(TrialTraining(made, SEEDS, {2}, state))
    for at in (0, 1, 3):
        assert sorted(points([*told, *rest], at)) == alone[at]
    assert max(step for _, step, _ in points([*told, *rest], 2)) < 400


@pytest.mark.slow
def test_a_state_that_does_not_fit_is_left(
    alone: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of another version may: the program begins anew, as a whole."""
    monkeypatch.setattr("rlbench.learning.training.trainer.PULSE_SECONDS", 0.0)
    made = runs(SETTINGS)
    _, state = stopped(TrialTraining(made, SEEDS), 100)
    del state["trainer"]["agent"]["num_timesteps"]
    news = list(TrialTraining(made, SEEDS, (), state))
    assert [each.setting for each in news if isinstance(each, TrialRestart)] == [0, 2, 3]
    assert (0, 2, 3) in {each.settings for each in news if isinstance(each, TrialPulse)}
    for at in range(4):
        assert sorted(points(news, at)) == alone[at]
