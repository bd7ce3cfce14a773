"""The sealed evaluation: fixed episodes, its own environments, and no trace in training."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import TINY, here, run_folder, table
from lockstep import SHORT, differences, rows_of, train
from probes import Canary, Mixed, Noise, Poison
from stable_baselines3.common.evaluation import evaluate_policy

from rlbench.agents import DQN, Random
from rlbench.learning.environments.masks import SEED
from rlbench.learning.evaluation.episodes import evaluate, play
from rlbench.learning.policies.policy import Policy
from rlbench.learning.rng import evaluation_seeds, lane_seed
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.rows import Episode, Evaluation, SeedEnded


def resets(log: Path) -> set[int]:
    """The reset seeds that canaries received; resets without one go on from the last."""
    return {int(line) for line in log.read_text().split() if line != "None"}


def test_evaluation_never_sees_a_training_seed(tmp_path: Path) -> None:
    """Canaries in a real run: what training received and what evaluation received are disjoint."""
    train(partial(Canary, log=str(tmp_path / "with")), 3, n_envs=2)
    train(
        partial(Canary, log=str(tmp_path / "bare")),
        3,
        n_envs=2,
        plan=TrainingSchedule(150, 0, 1, 0),
    )
    looked = {SEED}  # of the reset that shows whether there are masks
    training, both = resets(tmp_path / "bare") - looked, resets(tmp_path / "with") - looked
    assert training == {lane_seed(seed, lane) for seed in range(3) for lane in range(2)}
    assert len(training) == 6
    fixed = set(evaluation_seeds("grid", 3)) | set(evaluation_seeds("final", 4))
    assert both == training | fixed
    assert not training & fixed


def test_reset_seeds_of_training_and_evaluation_lie_in_disjoint_halves() -> None:
    training = {lane_seed(s, n, life) for s in range(200) for n in range(4) for life in range(2)}
    fixed = evaluation_seeds("grid", 1000) + evaluation_seeds("final", 1000)
    assert len(training) == 1600
    assert min(training) >= 2**30 > max(fixed)
    assert len(set(fixed)) == 2000


def test_the_final_phase_uses_fresh_episodes() -> None:
    grid, final = evaluation_seeds("grid", 100), evaluation_seeds("final", 100)
    assert not set(grid) & set(final)
    assert evaluation_seeds("final", 30) == final[:30]  # fewer episodes are the first of more


def test_episodes_are_the_same_for_all_agents_seeds_and_points() -> None:
    """dqn and random, seeds 0-2 and 7-8: equal reset seeds, which are those in the rows."""
    _, rows = train(Noise, 3)
    agent = Random(Noise, seeds=(7, 8))
    agent.set_horizon(0)
    for phase, episodes in (("grid", 3), ("final", 4)):
        theirs = [row for row in rows if isinstance(row, Evaluation) and row.phase == phase]
        mine = [s for s in evaluate(agent.policy(), Noise, phase, episodes) if s is not None]
        for episode in range(episodes):
            used = {row.eval_seed for row in theirs if row.episode == episode}
            used |= {score.eval_seed for score in mine if score.episode == episode}
            assert used == {evaluation_seeds(phase, episodes)[episode]}


@pytest.mark.parametrize(
    "plan",
    [
        TrainingSchedule(150, 0, 1, 0),
        TrainingSchedule(150, 10, 7, 5),
        TrainingSchedule(150, None, 2, 1),
    ],
)
@pytest.mark.parametrize("env", [Noise, "CartPole-v1"])
def test_evaluating_changes_nothing_in_training(env: Any, plan: TrainingSchedule) -> None:
    """However often and long: weights, streams, replay and training episodes are bit-equal."""
    agent, rows = train(env, 2)
    other, its_rows = train(env, 2, plan=plan)
    assert differences(agent.state(), other.state()) == []
    for seed in (0, 1):
        mine, its = (
            [row for row in rows_of(some, seed) if isinstance(row, Episode)]
            for some in (rows, its_rows)
        )
        assert mine == its
        assert mine


def test_a_changed_training_would_be_noticed() -> None:
    """Negative control: one more observation moves the comparison above."""
    agent, _ = train(Noise, 2)
    other, _ = train(
        Noise, 2, steps=151, plan=TrainingSchedule(151, 75, 3, 4), exploration_fraction=0.2
    )
    assert differences(agent.state(), other.state())


@pytest.mark.parametrize(
    ("steps", "eval_freq", "points"),
    [
        (200, None, list(range(0, 201, 20))),
        (205, None, list(range(0, 201, 20))),
        (200, 60, [0, 60, 120, 180]),
        (200, 0, []),
        (0, None, [0]),
    ],
)
def test_each_episode_is_played_once_per_grid_point(
    steps: int, eval_freq: int | None, points: list[int]
) -> None:
    """Step 0 and ten points, or as asked; every episode once per seed and point; then the end."""
    _, rows = train(Noise, 2, steps=steps, plan=TrainingSchedule(steps, eval_freq, 3, 25))
    found = [row for row in rows if isinstance(row, Evaluation)]
    grid = Counter((r.seed, r.step, r.episode) for r in found if r.phase == "grid")
    final = Counter((r.seed, r.step, r.episode) for r in found if r.phase == "final")
    assert grid == Counter((s, t, e) for s in range(2) for t in points for e in range(3))
    assert final == Counter((s, steps, e) for s in range(2) for e in range(25))


def naive(policy: Any, make: Any, reset_seeds: list[int]) -> list[tuple[float, int]]:
    """One environment, one episode after the other."""
    ends = []
    for reset_seed in reset_seeds:
        env = make()
        obs, _ = env.reset(seed=reset_seed)
        total, length, over = 0.0, 0, False
        while not over:
            action, _ = policy.predict(obs, deterministic=True)
            obs, reward, terminated, truncated, _ = env.step(action)
            total, length, over = total + float(reward), length + 1, terminated or truncated
        ends.append((total, length))
    return ends


@pytest.mark.parametrize("env", ["CartPole-v1", "Acrobot-v1"])
def test_scores_are_those_of_a_naive_loop(env: str) -> None:
    """25 episodes in ten lanes: every return, length and seed as one by one."""
    make = partial(gymnasium.make, env, max_episode_steps=60)
    agent, _ = train(make, 2)
    seeds = evaluation_seeds("final", 25)
    scores = [s for s in evaluate(agent.policy(), make, "final", 25) if s is not None]
    for row in range(2):
        mine = [s for s in scores if s.row == row]
        assert [s.episode for s in mine] == list(range(25))
        assert [s.eval_seed for s in mine] == seeds
        expected = naive(agent.policy(seed=row), make, seeds)
        assert [(s.ret, s.length) for s in mine] == expected


def test_a_larger_evaluation_begins_with_the_smaller_one() -> None:
    """The first 12 of 30 episodes: `rlbench eval --episodes` replays a part of the final ones."""
    agent, _ = train(Noise, 2)
    some = [s for s in evaluate(agent.policy(), Noise, "final", 12) if s is not None]
    more = [s for s in evaluate(agent.policy(), Noise, "final", 30) if s is not None]
    assert some == [s for s in more if s.episode < 12]


def test_an_environment_that_fails_ends_its_seed_only() -> None:
    """Policies that differ meet different ends: one failing lane is one seed's failure."""

    class Trap(Noise):
        """Fails on action 2."""

        def step(self, action: Any) -> Any:
            if action == 2:
                raise RuntimeError("stepped into the trap")
            return super().step(action)

    class Stubborn(Policy):
        def step(self, obs: np.ndarray, carry: Any, first: np.ndarray, deterministic: bool) -> Any:
            return np.array([[0], [2]]) + np.zeros(obs.shape[:2], int), None

    policy = Stubborn((0, 1), DQN(Noise).spec)
    scores = [s for s in play(policy, Trap, [1, 2, 3]) if s is not None]
    assert [(s.row, s.episode) for s in scores if not s.error] == [(0, 0), (0, 1), (0, 2)]
    (failed,) = [s for s in scores if s.error]
    assert failed.row == 1
    assert "stepped into the trap" in failed.error


def test_a_return_that_is_no_number_is_not_a_row() -> None:
    """Poisoned in evaluation: the seeds are `diverged`, and no row holds NaN."""
    env = partial(Poison, victims=evaluation_seeds("grid", 3), how="nan-reward", after=1)
    _, rows = train(env, 2)
    assert {row.status for row in rows if isinstance(row, SeedEnded)} == {"diverged"}
    assert all(np.isfinite(row.ret) for row in rows if isinstance(row, Evaluation))


@pytest.mark.filterwarnings("ignore:Evaluation environment is not wrapped")
@pytest.mark.parametrize("n_envs", [1, 3])
def test_stable_baselines_evaluates_our_agents(n_envs: int) -> None:
    """Its own `evaluate_policy` accepts policy and agent, and finds what a naive loop finds."""
    from stable_baselines3.common.env_util import make_vec_env

    agent, _ = train("CartPole-v1", 1, steps=300)
    for model in (agent, agent.policy(seed=0)):
        venv = make_vec_env("CartPole-v1", n_envs=n_envs, seed=11)
        found, lengths = evaluate_policy(
            model, venv, n_eval_episodes=n_envs, return_episode_rewards=True
        )
        assert isinstance(found, list)
        assert isinstance(lengths, list)
        expected = naive(
            agent, partial(gymnasium.make, "CartPole-v1"), [11 + i for i in range(n_envs)]
        )
        assert sorted(zip(found, lengths, strict=True)) == sorted(expected)


@pytest.mark.filterwarnings("ignore:Evaluation environment is not wrapped")
def test_stable_baselines_evaluates_on_dictionaries() -> None:
    """It hands on a dictionary of batches, as every vector environment does."""
    agent = DQN(Mixed, device="cpu", **SHORT)
    mean, _ = evaluate_policy(agent.policy(seed=0), Mixed(), n_eval_episodes=2)
    assert np.isfinite(mean)


def test_a_run_writes_every_episode_once(tmp_path: Path) -> None:
    """Through the command line: 11 points of 2 episodes and 100 final ones, for each seed."""
    assert here("run", "dqn", "--env", "CartPole-v1", "--seeds", "2", "-n", "200",
                "--eval-episodes", "2", *TINY, "--quiet", "--out", tmp_path) == 0  # fmt: skip
    rows = table(run_folder(tmp_path), "evaluations")
    keys = [(row["seed"], row["phase"], row["step"], row["episode"]) for row in rows]
    assert len(set(keys)) == len(keys) == 2 * (11 * 2 + 100)
    floor = table(run_folder(tmp_path, "random"), "evaluations")
    final = {row["eval_seed"] for row in rows if row["phase"] == "final"}
    assert final == {row["eval_seed"] for row in floor if row["phase"] == "final"}
