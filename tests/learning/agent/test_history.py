"""What `learn` keeps and shows: history, callbacks with the agent, progress, notebooks."""

from __future__ import annotations

import sys
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rlbench.agents import DQN, PPO
from rlbench.learning.training import progress_bar
from rlbench.rows import Evaluation, Metric

CARTPOLE = "CartPole-v1"


def test_history_has_every_number_that_a_callback_gets() -> None:
    metrics: dict[tuple[int, int, str], float] = {}
    returns = defaultdict(list)

    def note(row: Any) -> None:
        if isinstance(row, Metric):
            metrics[row.seed, row.step, row.key] = row.value
        if isinstance(row, Evaluation):
            returns[row.seed, row.step].append(row.ret)

    agent = PPO(CARTPOLE, seeds=[3, 5], n_steps=32)
    assert agent.history.empty
    table = agent.learn(200, note, eval_freq=100, eval_episodes=3).history
    assert list(table.columns[:2]) == ["seed", "step"]
    found = {
        (int(row["seed"]), int(row["step"]), key): row[key]
        for _, row in table.iterrows()
        for key in table.columns[2:]
        if not np.isnan(row[key])
    }
    means = {(*point, "eval/mean_reward"): np.mean(each) for point, each in returns.items()}
    assert set(metrics) | set(means) <= set(found)
    for key, value in {**metrics, **means}.items():
        assert found[key] == pytest.approx(value)
    assert set(table["seed"]) == {3, 5}
    assert {len(each) for each in returns.values()} == {3}
    assert list(table.columns[2:4]) == ["rollout/ep_len_mean", "rollout/ep_rew_mean"]


def test_history_is_of_the_latest_call_and_names_settings() -> None:
    agent = PPO(CARTPOLE, seeds=2, n_steps=16, settings=[{"gamma": 0.9}, {"gamma": 0.99}])
    agent.learn(64)
    assert agent.learn(32).history["step"].max() == 32
    assert agent.history.groupby(["setting", "seed"]).ngroups == 4


def test_a_callback_of_two_arguments_gets_the_agent() -> None:
    agent = DQN(CARTPOLE, learning_starts=10, batch_size=8, buffer_size=100)
    seen: list[Any] = []
    agent.learn(
        30, [lambda row, agent: seen.append(agent), lambda row, agent=None: seen.append(agent)]
    )
    assert seen
    assert all(each is agent for each in seen)
    steps: list[int] = []

    class Stop:
        def __call__(self, row: Any, agent: Any) -> bool:
            steps.append(agent.num_timesteps)
            return agent.num_timesteps < 20

    agent.learn(1_000_000, Stop())
    assert max(steps) < 100_000
    mixed: list[Any] = []
    agent.learn(20, lambda *row: mixed.append(row))  # as before: one argument
    assert {len(each) for each in mixed} == {1}


@pytest.mark.parametrize(
    ("terminal", "verbose", "asked", "shown"),
    [(True, 0, None, True), (False, 0, None, False), (True, 1, None, False),
     (True, 0, False, False), (False, 0, True, True)],
)  # fmt: skip
def test_progress_is_shown_where_a_person_watches(
    terminal: bool, verbose: int, asked: bool | None, shown: bool,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(progress_bar, "watched", lambda: terminal)
    monkeypatch.setattr(progress_bar, "PATIENCE", 0.0)
    monkeypatch.setattr(progress_bar, "EVERY", 0.0)
    agent = PPO(CARTPOLE, n_steps=16, verbose=verbose)
    agent.learn(64, progress_bar=asked)
    assert ("64 of 64 steps" in capsys.readouterr().err) == shown


def test_short_training_draws_no_bar_that_nobody_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress_bar, "watched", lambda: True)
    PPO(CARTPOLE, n_steps=16).learn(32)
    assert capsys.readouterr().err == ""


def test_a_notebook_gets_one_line_that_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    class ZMQInteractiveShell:
        pass

    pictures: list[str] = []
    handle = SimpleNamespace(update=lambda shown: pictures.append(shown))
    display = SimpleNamespace(HTML=str, display=lambda shown, display_id: handle)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=ZMQInteractiveShell))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(progress_bar, "EVERY", 0.0)
    assert progress_bar.watched()
    PPO(CARTPOLE, n_steps=16).learn(640, progress_bar=True)
    assert len(pictures) > 1
    assert "<progress" in pictures[-1]
    assert "640 of 640 steps, mean return" in pictures[-1]


def test_an_agent_is_a_table_in_a_notebook() -> None:
    agent = DQN(CARTPOLE, seeds=2, learning_rate=0.01, learning_starts=10, batch_size=8)
    html = agent.learn(60)._repr_html_()
    assert "<b>DQN</b>" in html
    for text in (
        CARTPOLE,
        "0, 1",
        "60 of 60",
        "mlp 64-64",
        "learning_rate=0.01",
        "mean of 2 seeds",
    ):
        assert text in html
    assert "<script>" not in PPO("CartPole-v1", encoder="mlp")._repr_html_()
