"""Behaviour cloning: clones do what their teachers do, each what its own does."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clones import CASES, SMALL, Save, metric, saver, start, train
from gymnasium import spaces
from lockstep import make
from probes import ChosenSeen, Noise
from worlds import World

from rlbench.agents import DQN, KNN, PPO, Clone, Random
from rlbench.agents.clone import CloneConfig
from rlbench.errors import UserError
from rlbench.learning.agent import Agent
from rlbench.learning.algorithms import teacher as teacher_module
from rlbench.learning.data.preprocessing import Carry
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.policies.policy import Policy
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Evaluation

EVERY = pytest.mark.parametrize("case", CASES)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    return saver(tmp_path)


def score(agent: Agent, steps: int) -> float:
    """Mean return of the final evaluation after so many steps."""
    agent.set_horizon(steps)
    rows = list(Trainer(agent, TrainingSchedule(steps, 0, 2, 40)).rows())
    return float(np.mean([row.ret for row in rows if isinstance(row, Evaluation)]))


@pytest.mark.parametrize("encoder", ["mlp", "gru"])
def test_a_clone_reaches_what_its_teacher_reaches(encoder: str, save: Save) -> None:
    """From the actions alone, with whatever network; before learning it does not."""
    teacher = DQN(ChosenSeen, seeds=1, device="cpu", learning_starts=50, net_arch=(16,), gamma=0,
                  learning_rate=1e-2, train_freq=1)  # fmt: skip
    assert score(teacher, 400) == 1.0
    given: dict[str, Any] = {"encoder": encoder, "net_arch": (16,), "n_steps": 8}
    given |= {"seeds": 3, "device": "cpu", "source": save(teacher), "hidden_size": 8}
    assert score(Clone(ChosenSeen, **given), 0) < 1.0
    clone = Clone(ChosenSeen, **given)
    assert score(clone, 640) == 1.0
    assert metric(clone, "accuracy").tolist() == [1.0] * 3
    assert clone.samples == 4 * 640
    assert clone.config.changed()["source"].endswith("agent.npz")


def test_every_seed_has_its_own_teacher(save: Save, tmp_path: Path) -> None:
    """Seed k is taught by number k modulo how many there are, whoever is beside it, and however
    the run of its teachers was divided."""
    teachers = make(DQN, World, (9, 5, 2)).learn(60)
    source = save(teachers)
    for those in ((9,), (2, 5)):
        part = DQN.load(source, device="cpu")
        part.keep_seeds([part.seeds.index(seed) for seed in those])
        folder = tmp_path / f"seeds-{those[0]}"
        folder.mkdir()
        part.save(folder / "agent.npz", replay=False)
    obs = np.random.default_rng(0).standard_normal((1, 50, 3)).astype(np.float32)
    first = np.ones((1, 50), bool)
    said = [teachers.policy(seed).act(obs, first)[0] for seed in sorted(teachers.seeds)]
    assert len({each.tobytes() for each in said}) == 3
    for path in (source, str(tmp_path)):
        for seeds in ((0, 1, 2, 3, 4), (4, 3), (10,)):
            clone = Clone(World, seeds=seeds, device="cpu", source=path)
            clone.set_horizon(10)
            them = clone.teacher.act(*(np.repeat(each, len(seeds), 0) for each in (obs, first)))
            for row, seed in enumerate(seeds):
                np.testing.assert_array_equal(them[row], said[seed % 3])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("Pendulum-v1", {}), (partial(World, "vector", "free"), {"encoder": "lstm"})],
)
def test_continuous_actions(name: Any, parameters: dict[str, Any], save: Save) -> None:
    """The mean error falls to a small share of what it was, in the units of the network."""
    teacher = PPO(name, seeds=2, device="cpu", ortho_init=False)
    given: dict[str, Any] = {"seeds": 2, "device": "cpu", "n_steps": 16, "source": save(teacher)}
    errors: list[np.ndarray] = []
    clone = Clone(name, n_epochs=8, hidden_size=16, learning_rate=3e-3, **parameters, **given)
    clone.learn(4096, lambda row: errors.append(metric(clone, "loss")))
    found = np.stack(errors)  # (rows, S)
    first = int(np.isfinite(found[:, 0]).argmax())
    assert (found[-1] < 0.05 * found[first]).all()
    obs = teacher.make_env().reset(seed=0)[0]  # type: ignore[misc]
    its, own = (agent.policy(1).predict(obs, deterministic=True)[0] for agent in (teacher, clone))
    np.testing.assert_allclose(its, own, atol=0.25)
    np.testing.assert_array_equal(clone.policy(1).predict(obs)[0], own)


@EVERY
def test_targets_are_what_leads_to_the_action(case: str, save: Save) -> None:
    """What a network would have to give for the teacher's action is that action."""
    clone: Any = start(case, save).agent
    rng, kind = np.random.default_rng(0), clone.distribution
    numbers = rng.random((3, 4, kind.actions))
    outputs = rng.standard_normal((3, 4, kind.outputs)).astype(np.float32)
    action = kind.to_env(kind.sample(outputs, numbers, 1.0))
    target = clone.target(action)
    assert target.dtype == kind.dtype
    np.testing.assert_allclose(kind.to_env(target), action, atol=1e-6)


def test_a_bound_that_leaves_nothing_to_choose(save: Save) -> None:
    class Fixed(World):
        def __init__(self) -> None:
            super().__init__("vector", "free")
            bound = np.array([1.0, 3.0], np.float32)
            self.action_space = spaces.Box(np.array([-1.0, 3.0], np.float32), bound)

    clone = Clone(Fixed, device="cpu", source=save(make(PPO, Fixed)), **SMALL).learn(36)
    assert clone.learner.optimizer.updates > 0
    assert not clone.diverged()


class Before(Policy):
    """Answers whether the observation before this one was above 0: it needs a memory."""

    def step(
        self, obs: np.ndarray, carry: Carry | None, first: np.ndarray, deterministic: bool
    ) -> tuple[np.ndarray, Carry]:
        above = (obs[..., 0] > 0).astype(np.int64)
        past = np.zeros_like(above) if carry is None else np.where(first, 0, carry[0])
        return past, (above,)


@pytest.mark.parametrize(("encoder", "low", "high"), [("gru", 0.95, 1.0), ("mlp", 0.5, 0.88)])
def test_a_memory_is_learned_over_borders_of_sequences(
    encoder: str, low: float, high: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the sequences begin in the middle: what was before is in the memory carried."""
    monkeypatch.setattr(
        teacher_module, "load", lambda path, seeds, obs, *_: Before(seeds, ObsSpec(obs))
    )
    clone = Clone(partial(Noise, actions=2), seeds=2, device="cpu", source="x", encoder=encoder,
                  sequence_length=2 if encoder == "gru" else None, n_steps=16,
                  learning_rate=1e-2, hidden_size=16)  # fmt: skip
    found: list[np.ndarray] = []
    clone.learn(8000, lambda row: found.append(metric(clone, "accuracy")))
    late = np.mean(found[-20:])
    assert low <= late <= high


def test_a_clone_can_be_a_teacher(save: Save) -> None:
    agent, _ = train("memory", save)
    other = Clone(World, source=save(agent, name="clone.npz"), device="cpu", **SMALL)
    other.learn(36)
    assert other.learner.optimizer.updates > 0
    assert not other.diverged()


def test_images_too(save: Save) -> None:
    """On image data a clone learns answers instead of labels, and is scored like all."""
    env = "rlbench/Classify-Digits-v0"
    source = save(DQN(env, seeds=1, device="cpu", gamma=0, learning_starts=64), 300)
    clone = Clone(env, seeds=2, device="cpu", source=source, n_steps=8)
    clone.set_horizon(400)
    rows = list(Trainer(clone, TrainingSchedule(400, 200, 1, 1)).rows())
    final = [row for row in rows if isinstance(row, Evaluation) and row.phase == "final"]
    assert [row.split for row in final] == ["test", "test"]
    assert metric(clone, "accuracy").min() > 0.5


def broken(path: str, how: str) -> None:
    """Damage the file of an agent."""
    file = Path(path)
    if how == "cut":
        file.write_bytes(file.read_bytes()[:900])
        return
    with np.load(file) as saved:
        entries = {name: saved[name] for name in saved.files}
    tree = json.loads(str(entries["tree"]))
    meta = tree["tree"]["agent"]
    if how == "no agent":
        tree["tree"] = {"something": 1}
    elif how == "no seeds":
        meta["seeds"] = []
    elif how == "version":
        meta["version"] = 99
    else:
        meta["agent"] = how
    entries["tree"] = np.array(json.dumps(tree))
    np.savez(file, **entries)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("cut", "is damaged"),
        ("no agent", "holds no agent"),
        ("no seeds", "holds no agent"),
        ("version", "was written by dqn version 99, this is version"),
        ("nobody", "holds 'nobody', and there is no such agent here"),
        ("../dqn", "holds '../dqn', and there is no such agent here"),
        ("_teacher", "holds '_teacher', and there is no such agent here"),
    ],
)
def test_damaged_sources_are_refused(how: str, said: str, save: Save) -> None:
    source = save(make(DQN, World))
    Clone(World, source=source, device="cpu").set_horizon(10)
    broken(source, how)
    with pytest.raises(UserError, match=said) as error:
        Clone(World, source=source, device="cpu").set_horizon(10)
    assert source in str(error.value)
    assert "\n" not in str(error.value)


def test_other_sources_are_refused(save: Save) -> None:
    def refused(source: str, said: str, env: Any = World) -> None:
        with pytest.raises(UserError, match=said) as error:
            Clone(env, source=source, device="cpu").learn(10)
        assert "\n" not in str(error.value)
        if source:
            config = CloneConfig.build("clone", {"source": source})
            with pytest.raises(UserError, match=said):
                Clone.check_start(config, EnvSource(env).facts)

    dqn = save(make(DQN, World))
    refused("nowhere.npz", r"nowhere\.npz does not exist")
    refused(str(Path(dqn).parent), r"holds no trained agent: there is no seeds-\*/agent\.npz in it")
    refused("", "rlbench run clone --env ENV --from RUN")
    refused(dqn, "was trained on observation_space", Noise)
    refused(dqn, "was trained on action_space", partial(World, "vector", "offset"))
    refused(save(Random(World)), "holds random, which has no network")
    images = "rlbench/Classify-Digits-v0"
    refused(save(KNN(images)), "holds knn, which has no network", images)
    with pytest.raises(UserError, match="sequence_length=4 must divide n_steps=6"):
        Clone(World, source=dqn, **{**SMALL, "encoder": "gru", "sequence_length": 4})
    with pytest.raises(UserError, match="at most batch_size=5"):
        Clone(World, source=dqn, **{**SMALL, "encoder": "gru", "sequence_length": 6})


def test_lengths_of_sequences() -> None:
    """Where none is said, the longest that divides n_steps and fits into a batch."""
    for batch, steps, length in ((64, 128, 64), (5, 6, 3), (64, 12, 12)):
        given = {"source": "x", "encoder": "gru", "batch_size": batch, "n_steps": steps}
        config = CloneConfig.build("clone", given)
        assert config.length() == length
    assert Clone.first_update(CloneConfig.build("clone", {"source": "x"}), 8) == 1024
