"""Random configurations, each trained in three ways that must agree bit for bit.

A configuration is drawn from its number: `python -c "import mixes; print(mixes.compared(17))"`
trains number 17 again.
"""

from __future__ import annotations

import tempfile
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from gymnasium import spaces
from lockstep import differences, make, rows_of, state_of
from worlds import World, image, vector

from rlbench.agents import A2C, DQN, PPO, PQN, SAC, TD3, Clone, Reinforce, Supervised
from rlbench.learning import checkpoint
from rlbench.learning.compile import compiled_update
from rlbench.learning.training import trainer as trainer_module
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Heartbeat

SEEDS, ALONE = (4, 5, 6), 5
DATA = ("rlbench/Classify-Digits-v0", "rlbench/Rows-Digits-v0")
OFF_POLICY = ("learning_starts", "buffer_size", "train_freq", "gradient_steps", "n_steps")


class Mix(NamedTuple):
    """What is trained, for how many steps, and after which it is stopped and resumed."""

    kind: Any
    env: Any
    parameters: dict[str, Any]
    steps: int
    stop: int


class Drawn(World):
    """A World with any observation space."""

    def __init__(self, obs: spaces.Space[Any], action: str) -> None:
        super().__init__("vector", action)
        self.observation_space = deepcopy(obs)


def pick(rng: np.random.Generator, *options: Any) -> Any:
    return options[rng.integers(len(options))]


def picture(rng: np.random.Generator) -> spaces.Box:
    """An image space of any layout, type and number of channels."""
    least = 36 if rng.random() < 0.15 else 8  # convolutions: nature, or small
    height, width = rng.integers(least, least + 4, 2).tolist()
    channels = int(rng.integers(1, 5))
    last, first = (height, width, channels), (channels, height, width)
    shape = pick(rng, last, last, last, first, (height, width), (2, height, width, channels))
    if len(shape) == 3 and rng.random() < 0.2:
        return spaces.Box(0.0, 1.0, shape, np.float32)
    return image(*shape)


def observation(rng: np.random.Generator) -> spaces.Space[Any]:
    kind = pick(rng, "vector", "image", "image", "number", "numbers", "dict", "tuple")
    if kind == "dict":
        parts = {"look": picture(rng), "kind": spaces.Discrete(3), "pose": vector(2)}
        return spaces.Dict(parts)
    if kind == "tuple":
        return spaces.Tuple([vector(int(rng.integers(1, 4))), picture(rng)])
    if kind == "numbers":
        return spaces.MultiDiscrete([3, 2])
    if kind == "number":
        return spaces.Discrete(4, start=2)
    return picture(rng) if kind == "image" else vector(int(rng.integers(1, 7)))


def head(rng: np.random.Generator) -> dict[str, Any]:
    """Parameters of DQN's values and replay."""
    distribution = pick(rng, None, None, "c51", "qr", "iqn")
    sizes = {"n_atoms": 5, "v_min": -4.0, "v_max": 6.0, "n_quantiles": 3, "iqn_samples": 3,
             "iqn_target_samples": 2, "iqn_acting_samples": 4, "iqn_embedding": 5}  # fmt: skip
    switches = {name: bool(rng.random() < 0.4) for name in ("dueling", "noisy", "prioritized")}
    return {"distribution": distribution, **sizes, **switches, "double": bool(rng.random() < 0.6),
            "loss": pick(rng, "huber", "mse"), "gamma": pick(rng, 0.99, 0.99, 0.0),
            "target_update_interval": 10}  # fmt: skip


def mix(number: int, folder: Path) -> Mix:
    """Configuration of this number; a clone's teacher is saved in the folder."""
    rng = np.random.default_rng([number, 2027])
    kind = pick(rng, DQN, DQN, DQN, SAC, TD3, PPO, A2C, Reinforce, PQN, Supervised, Clone)
    off_policy, obs = kind in (DQN, SAC, TD3), observation(rng)
    memory = pick(rng, None, None, None, "lstm", "gru", "rnn")
    given = {
        "encoder": memory or "auto",
        "net_arch": pick(rng, (), (1,), (8,), (8,), (7, 5)),
        "head_arch": pick(rng, None, (), (1,), (6,)),
        "activation": pick(rng, "relu", "tanh"),
        "layer_norm": bool(rng.random() < 0.2),
        "hidden_size": 4,
        "frame_stack": pick(rng, 1, 1, 1, 2, 4),
        "batch_size": int(rng.integers(4, 34)),
        "n_envs": int(rng.integers(1, 4)),
        "optimizer": pick(rng, "adam", "rmsprop", "sgd"),
        "max_grad_norm": pick(rng, None, 0.5),
        "lr_schedule": pick(rng, "constant", "linear"),
        "normalize_obs": isinstance(obs, spaces.Box) and len(obs.shape) == 1,
        "sequence_length": 4,
        "burn_in": 1,
        "n_steps": pick(rng, 1, 1, 3) if off_policy else 4,
        "learning_starts": 14,
        "buffer_size": 90,
        "train_freq": pick(rng, 1, 2, 4),
        "n_critics": pick(rng, 1, 2, 3),
        "n_epochs": 2,
        "ent_coef": 0.1,
        "class_weight": pick(rng, "none", "balanced"),
        "share_encoder": pick(rng, None, True, False),
    }
    action = pick(rng, "discrete", "multi", "box6")
    if kind is DQN:
        given |= head(rng)
        given["n_steps"] = given["n_steps"] if given["gamma"] else 1
    if kind in (SAC, TD3):
        action = pick(rng, "box", "box6")
        given["net_arch"] = given["net_arch"] or (8,)
    if kind in (DQN, PQN):
        action = "discrete"
    env: Any = partial(Drawn, obs, action)
    if kind is Supervised:
        env = pick(rng, *DATA)
        given |= {"n_envs": given["batch_size"], "normalize_obs": False}
        given["frame_stack"] = 1 if memory else given["frame_stack"]
    steps = 44 if off_policy else 60
    if kind is Supervised:  # with a memory it learns once an image
        steps = (24 if memory else 5) * given["batch_size"]
    stop = int(rng.integers(steps // 4, 3 * steps // 4))
    if kind is Clone:
        teacher = make(DQN if action == "discrete" else PPO, env, (7, 3))
        given["source"] = str(teacher.save(folder / "teacher.npz", replay=False))
    if kind.name() not in ("sac", "ppo", "a2c", "reinforce"):
        del given["ent_coef"]
    known = {*kind.Config.model_fields, "n_envs"}
    return Mix(kind, env, {k: v for k, v in given.items() if k in known}, steps, stop)


def trained(
    mixed: Mix, seeds: Any, recorded: bool, stop: int | None = None, folder: Path | None = None
) -> tuple[Any, list[Any]]:
    """An agent and its rows; with `stop` it is saved after so many steps and goes on as another."""

    def start() -> Trainer:
        agent = make(mixed.kind, mixed.env, seeds, **mixed.parameters)
        agent.set_horizon(mixed.steps)
        return Trainer(agent, TrainingSchedule(mixed.steps, 0, 1, 1, log_points=12))

    due = mock.patch.object(compiled_update, "warmed_up", return_value=recorded)
    with due, mock.patch.object(trainer_module, "PULSE_SECONDS", -1.0):
        trainer, rows = start(), []
        running = trainer.rows()
        while (row := next(running, None)) is not None:
            rows.append(row)
            if stop and isinstance(row, Heartbeat) and row.can_checkpoint and row.step >= stop:
                stop = None
                assert folder is not None
                state = checkpoint.load(checkpoint.save(folder / "state.npz", trainer.state()))
                trainer.close()
                trainer = start()
                assert trainer.restore(state)
                running = trainer.rows()
        trainer.close()
    return trainer.agent, rows


def recordings(agent: Any) -> int:
    return sum(len(p.recordings) for each in agent.learners() for p in each.programs.values())


def compared(number: int, thorough: bool = True) -> tuple[int, list[str]]:
    """How many updates configuration `number` made, and what differs between three seeds without
    recordings and one of them alone, recorded and interrupted; if `thorough`, also three seeds
    recorded, and the same interrupted."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mixed = mix(number, folder)
        eager = trained(mixed, SEEDS, False)
        others = [trained(mixed, (ALONE,), True, mixed.stop, folder)]
        if thorough:
            others.append(trained(mixed, SEEDS, True))
            others.append(trained(mixed, SEEDS, True, mixed.stop, folder))
    found = []
    assert not recordings(eager[0])
    for agent, rows in others:
        assert recordings(agent), mixed
        for seed in agent.seeds:
            found += differences(state_of(eager[0], seed), state_of(agent, seed))
            if rows_of(eager[1], seed) != rows_of(rows, seed):
                found.append(f"rows of seed {seed} among {len(agent.seeds)}")
    return eager[0].learner.optimizer.updates, found
