"""Agents on image data: alone as with others, stopped as not stopped, and better than chance."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from lockstep import differences, kept, make, rows_of, state_of
from rich.console import Console

from rlbench.agents import (
    A2C,
    DQN,
    PPO,
    Hybrid,
    Supervised,
    SupervisedBandit,
    SupervisedOnline,
)
from rlbench.console.progress import Quiet
from rlbench.errors import UserError
from rlbench.execution.execute import run_jobs
from rlbench.execution.jobs import schedule
from rlbench.execution.stopping import StopSignal
from rlbench.experiments.planning import plan
from rlbench.experiments.preflight import preflight
from rlbench.learning import checkpoint
from rlbench.learning.equations import losses
from rlbench.learning.networks.layers import MLP
from rlbench.learning.networks.stack import StackedParameters
from rlbench.learning.rng import generator
from rlbench.learning.training.best_weights import BestWeights
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Evaluation, Heartbeat, Metric
from rlbench.storage.run_folder import RunFolder

SEEDS = (4, 5, 6)
SHOWN = {"batch_size": 12, "n_envs": 12, "net_arch": (8,)}
REPLAY = {"learning_starts": 12, "batch_size": 12, "train_freq": 4, "gamma": 0.0, "n_envs": 4}
CASES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "supervised": (Supervised, "Classify", {"encoder": "mlp", "dropout": 0.3, **SHOWN}),
    "supervised cnn": (Supervised, "Classify", {"loss": "mse", "optimizer": "momentum", **SHOWN}),
    "supervised lstm": (Supervised, "Rows", {"encoder": "lstm", **SHOWN}),
    "supervised parts": (
        Supervised, "Glimpse", {"encoder": "gru", "normalize_obs": True, **SHOWN},
    ),
    "supervised rare": (Supervised, "Imbalanced", {"class_weight": "balanced", **SHOWN}),
    "supervised wrapped": (
        Supervised,
        "Classify-v0+shuffle-pixels",
        {"encoder": "mlp", "optimizer": "adamw", "weight_decay": 0.1, **SHOWN},
    ),
    "online": (SupervisedOnline, "Classify", {"encoder": "mlp", "lr_schedule": "cosine"}),
    "bandit": (SupervisedBandit, "Stream", {"batch_size": 3, "n_envs": 3, "encoder": "mlp"}),
    "bandit memory": (
        SupervisedBandit, "Rows", {"batch_size": 3, "n_envs": 3, "encoder": "gru"},
    ),
    "dqn": (DQN, "Classify", {"encoder": "mlp", "dropout": 0.2, **REPLAY}),
    "dqn cnn": (DQN, "Imbalanced", {**REPLAY, "gamma": 0.1}),
    "dqn right": (DQN, "Classify", {"encoder": "mlp", "loss": "cross_entropy", **REPLAY}),
    "dqn tries": (DQN, "Retry", {**REPLAY, "gamma": 0.5}),
    "ppo": (PPO, "Stream", {"n_envs": 3, "encoder": "mlp", "dropout": 0.2}),
    "ppo lstm": (PPO, "Glimpse", {"n_envs": 3, "encoder": "lstm"}),
    "hybrid gru": (
        Hybrid, "Glimpse", {"n_envs": 3, "encoder": "gru", "label_coef": 2.0, "ent_coef": 0.1},
    ),
    "hybrid": (Hybrid, "Retry", {"n_envs": 3, "encoder": "mlp", "normalize_advantage": False}),
    "a2c rows": (A2C, "Rows", {"n_envs": 3, "encoder": "gru", "gamma": 0.0}),
}  # fmt: skip
STEPS = 240
PLAN = TrainingSchedule(STEPS, 80, log_points=10)


def start(case: str, seeds: Any = SEEDS) -> Trainer:
    kind, env, parameters = CASES[case]
    name = f"rlbench/{env}" if "-" in env else f"rlbench/{env}-Digits-v0"
    agent = make(kind, name, seeds, hidden_size=4, **parameters)
    agent.set_horizon(STEPS)
    return Trainer(agent, PLAN)


@cache
def whole(case: str) -> tuple[Any, list[Any]]:
    trainer = start(case)
    rows = list(trainer.rows())
    return trainer.agent, rows


@pytest.mark.parametrize("case", CASES)
def test_image_training_in_lockstep_equals_single_seeds(case: str) -> None:
    """Bit for bit: weights, moments, memories, streams, and every row but the clock's."""
    agent, rows = whole(case)
    trainer = start(case, (5,))
    its_rows = list(trainer.rows())
    assert differences(state_of(agent, 5), state_of(trainer.agent, 5)) == []
    assert rows_of(rows, 5) == rows_of(its_rows, 5)
    assert "/learner/weights" in differences(state_of(agent, 4), state_of(trainer.agent, 5))
    assert agent.learner.optimizer.updates >= 2


@pytest.mark.parametrize("case", ["online", "bandit", "dqn", "dqn tries"])
def test_mistakes_are_counted_from_the_first_image_on(case: str) -> None:
    """At every image, by hand: what was answered, or with all labels what would have been."""
    trainer = start(case, (5,))
    trainer.plan = PLAN._replace(eval_freq=0)
    agent, lanes, wrong = trainer.agent, trainer.lanes, 0
    step, act = lanes.step, agent.act
    named: Any = None

    def acts(obs: Any) -> Any:
        nonlocal named
        if not agent.predicts_labels:
            named = agent.policy(seed=5).predict(obs[0], deterministic=True)[0]
        return act(obs)

    def steps(action: Any) -> Any:
        nonlocal wrong
        taken = step(action)
        assert taken.answer is not None
        answers = action[0] if agent.predicts_labels else named
        wrong += ((answers != taken.answer.label[0]) & taken.answer.answered[0]).sum()
        return taken

    agent.act, lanes.step = acts, steps  # type: ignore[method-assign]
    rows = [r for r in trainer.rows() if isinstance(r, Metric) and r.key == "rollout/mistakes"]
    assert rows[-1].step == STEPS
    assert 0 < rows[-1].value == wrong
    values = [row.value for row in rows]
    assert values == sorted(values)
    assert len(values) >= 9


@pytest.mark.parametrize("case", CASES)
def test_stopped_in_the_middle(case: str, tmp_path: Path) -> None:
    """Saved at two safe ticks, and taken up by another trainer: the same rows and state."""
    agent, rows = whole(case)
    trainer, its_rows, ticks = start(case), [], 0
    running = trainer.rows()
    while (row := next(running, None)) is not None:
        its_rows.append(row)
        if isinstance(row, Heartbeat) and row.can_checkpoint:
            ticks += 1
            if ticks in (4, 7):
                state = checkpoint.load(checkpoint.save(tmp_path / "state.npz", trainer.state()))
                trainer = start(case)
                assert trainer.restore(state)
                running = trainer.rows()
    assert ticks > 8
    assert differences(agent.state(), trainer.agent.state()) == []
    for seed in SEEDS:
        assert rows_of(rows, seed) == rows_of(its_rows, seed)
    assert sum(kept(row) for row in rows) > 50


@pytest.mark.parametrize("case", CASES)
def test_cutting_seeds_leaves_the_others(case: str) -> None:
    agent, _ = whole(case)
    trainer = start(case)
    for row in trainer.rows():
        if (
            isinstance(row, Heartbeat)
            and row.can_checkpoint
            and len(trainer.agent.seeds) == 3
            and row.step > 60
        ):
            trainer.agent.keep_seeds([2, 0])
            trainer.lanes.keep_seeds([2, 0])
    assert trainer.agent.seeds == (6, 4)
    for seed in (6, 4):
        assert differences(state_of(agent, seed), state_of(trainer.agent, seed)) == []


LEARNS: dict[str, tuple[Any, str, int, float, dict[str, Any]]] = {
    "supervised": (Supervised, "Classify", 8000, 0.82, {"encoder": "mlp"}),
    "squared error": (Supervised, "Classify", 8000, 0.9, {"encoder": "mlp", "loss": "mse"}),
    "bandit": (SupervisedBandit, "Classify", 8000, 0.5, {"encoder": "mlp", "batch_size": 4}),
    "lstm by rows": (Supervised, "Rows", 80_000, 0.8, {"encoder": "lstm", "batch_size": 32}),
    "mlp by rows": (Supervised, "Rows", 80_000, -0.6, {"encoder": "mlp", "batch_size": 32}),
    "dqn": (DQN, "Classify", 12_000, 0.8,
            {"encoder": "mlp", "gamma": 0.0, "batch_size": 64, "train_freq": 8, "n_envs": 8,
             "learning_rate": 1e-3}),
}  # fmt: skip


@pytest.mark.parametrize("case", LEARNS)
def test_agents_learn_held_out_images(case: str) -> None:
    """Better on held-out images than a bound; worse than one for what cannot be learned."""
    kind, env, steps, bound, parameters = LEARNS[case]
    agent = kind(f"rlbench/{env}-Digits-v0", seeds=2, device="cpu", net_arch=(64,), **parameters)
    agent.set_horizon(steps)
    rows = list(Trainer(agent, TrainingSchedule(steps, 0)).rows())
    accuracy = [r.accuracy for r in rows if isinstance(r, Evaluation) and r.phase == "final"]
    assert len(accuracy) == 2
    if bound < 0:
        assert 0.1 < max(accuracy) < -bound
    else:
        assert min(accuracy) > bound, accuracy


def test_losses_equal_torch_and_a_loop() -> None:
    """Against torch, and the weighted mean of a balanced class weight against a loop."""
    outputs = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32))
    label = torch.tensor([[0, 1, 2, 2, 1], [2, 2, 2, 0, 0]])
    ours = losses.cross_entropy(outputs, label)
    theirs = torch.nn.functional.cross_entropy(outputs.flatten(0, 1), label.flatten(),
                                               reduction="none")  # fmt: skip
    torch.testing.assert_close(ours.flatten(), theirs)
    hot = torch.eye(3)[label]
    torch.testing.assert_close(losses.one_hot_error(outputs, label), (outputs - hot).pow(2).sum(-1))
    agent = Supervised("rlbench/Imbalanced-Digits-v0", seeds=2, batch_size=5, device="cpu",
                       class_weight="balanced")  # fmt: skip
    assert agent.weights is not None
    assert agent.make_env is not None
    images = agent.make_env().unwrapped.batch([0], 1)
    counts = np.bincount(images.labels[images.pool])
    np.testing.assert_allclose(agent.weights.numpy() * counts, [counts.sum() / 2] * 2, rtol=1e-5)
    binary, taught = label.clamp(max=1), torch.tensor([[1.0, 0, 1, 1, 0], [0, 0, 0, 0, 0]])
    found = agent.loss(outputs[..., :2], binary, taught)
    w = agent.weights[binary[0]] * taught[0]
    each = losses.cross_entropy(outputs[0, :, :2], binary[0])
    torch.testing.assert_close(found[0], sum(w * each) / sum(w))
    assert found[1] == 0.0  # nothing is taught


def test_the_best_weights_come_back() -> None:
    stack = StackedParameters(
        MLP([generator(0, "init"), generator(1, "init")], 3, [2]), torch.device("cpu")
    )
    best, first = BestWeights(stack), stack.data.clone()
    best.update(stack, np.array([0.5, 0.5]))
    stack.data += 1.0
    best.update(stack, np.array([0.6, 0.5]))  # a tie stays with the earlier
    second = stack.data.clone()
    stack.data += 1.0
    best.restore_best(stack)
    torch.testing.assert_close(stack.data, torch.stack([second[0], first[1]]))
    nothing = BestWeights(stack)
    stack.data.zero_()
    nothing.restore_best(stack)
    assert not stack.data.any()


def test_final_weights_are_those_of_the_best_validation() -> None:
    """What was learned is ruined on the way: the test accuracy is that of the best point."""
    for keep, bounds in ((True, (0.5, 1.0)), (False, (0.0, 0.45))):
        agent = Supervised("rlbench/Classify-Digits-v0", seeds=1, device="cpu", encoder="mlp",
                           learning_rate=1e-3, keep_best=keep)  # fmt: skip
        agent.set_horizon(12_800)
        found = []
        for row in Trainer(agent, TrainingSchedule(12_800, 3200)).rows():
            if isinstance(row, Evaluation):
                found.append(row.accuracy)
            if isinstance(row, Heartbeat) and 6400 < row.step < 12_800:
                agent.learner.stack.data.mul_(-0.5)
        assert bounds[0] <= found[-1] <= bounds[1], found


UNSTABLE = {"net_arch": (16,), "encoder": "mlp", "learning_rate": 0.2, "batch_size": 50}


def unstable(**changes: Any) -> Any:
    """Two seeds, of which seed 0 at least is best long before the end."""
    given = {**UNSTABLE, "seeds": 2, "n_envs": 50, **changes}
    return Supervised("rlbench/Classify-Digits-v0", device="cpu", **given)


def test_learn_keeps_the_best_weights_as_the_command_line_does(tmp_path: Path) -> None:
    """Bit for bit the weights that `rlbench run` saves, and not the last ones."""
    planned = plan("supervised", "rlbench/Classify-Digits-v0", (0, 1), parameters=UNSTABLE,
                   preset=False, total_timesteps=3000, device="cpu")  # fmt: skip
    jobs = schedule(planned, tmp_path, 1, False)
    assert [end.code for end in run_jobs(jobs, 1, Quiet(Console(quiet=True)), StopSignal())] == [0]
    saved = Supervised.load(RunFolder(jobs[0].folder).part((0, 1)).agent)
    learned = unstable().learn(3000).learner.stack.data
    assert torch.equal(learned, saved.learner.stack.data)
    last = unstable(keep_best=False).learn(3000, eval_freq=None).learner.stack.data
    assert not torch.equal(learned[0], last[0])


@pytest.mark.parametrize("how", ["stopped by the callback", "in pieces"])
def test_learn_ends_with_the_best_weights_however_it_ends(how: str) -> None:
    agent, weights, scores = unstable(seeds=1), [], []

    def watch(row: Any) -> bool:
        if isinstance(row, Evaluation):
            weights.append(agent.learner.stack.data.clone())
            scores.append(row.accuracy)
        return how == "in pieces" or len(scores) < 9

    agent.learn(1500, watch)
    if how == "in pieces":
        agent.learn(1500, watch)
    best = int(np.argmax(scores))  # the earlier one of equals
    assert best < len(scores) - 1
    assert torch.equal(agent.learner.stack.data, weights[best])


def test_keep_best_without_evaluations_is_told(caplog: pytest.LogCaptureFixture) -> None:
    unstable().learn(100, eval_freq=0)
    assert "keep_best is ignored with eval_freq=0" in caplog.text
    caplog.clear()
    unstable(keep_best=False).learn(100, eval_freq=0)
    assert not caplog.text
    planned = plan("supervised", "rlbench/Classify-Digits-v0", (0,), eval_freq=0, device="cpu")
    assert "keep_best is ignored with eval_freq=0" in preflight(planned)
    assert "keep_best" not in preflight(replace(planned, eval_freq=None))


def test_agents_in_python_learn_from_training_images_only() -> None:
    """As on the command line: validation and test images are for evaluation."""
    for split in ("validation", "test"):
        env = gymnasium.make("rlbench/Classify-Digits-v0", split=split)
        with pytest.raises(UserError, match="training is on the training images"):
            Supervised(env, device="cpu").learn(64)


@pytest.mark.parametrize(
    ("env", "parameters", "said"),
    [
        ("CartPole-v1", {}, "clone"),
        ("rlbench/Classify-Digits-v0", {"n_envs": 3}, "batch_size=3"),
        ("rlbench/Classify-Digits-v0", {"loss": "hinge"}, "cross_entropy"),
    ],
)
def test_users_mistakes_are_refused(env: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Supervised(env, device="cpu", **parameters)


def test_a_run_keeps_to_its_images(tmp_path: Path) -> None:
    """A path says not what is in the file: more seeds of a run need the images of the first."""
    folder, identity = RunFolder(tmp_path / "run"), {"agent": "dqn"}
    names = {"env": "rlbench/Classify-v0", "agent": "dqn", "variant": "", "digest": "0"}
    first: dict[str, Any] = {**names, "total_timesteps": 1, "n_envs": 1, "config": {},
             "data": {"name": "own", "digest": "1", "variant": "Classify"}}  # fmt: skip
    for _ in range(2):
        folder.open(identity, first)
    with pytest.raises(UserError, match="other images"):
        folder.open(identity, {**first, "data": {**first["data"], "digest": "2"}})
