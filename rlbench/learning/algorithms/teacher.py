"""Trained agents as teachers of `clone`: reading them from files, and their actions."""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from rlbench import plugins
from rlbench.errors import UserError
from rlbench.learning import checkpoint, named_objects, serialization
from rlbench.learning.agent import Agent
from rlbench.learning.policies.policy import Policy


def load(
    path: str,
    seeds: Sequence[int],
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    device: torch.device,
) -> Policy:
    """Read the policy of an agent file, or of all parts of a run's folder, for these seeds.

    Seed k gets the policy number k modulo their number, in the order of their seeds. So the teacher
    of a seed depends neither on the seeds beside it nor on how the run was divided.

    Raises:
        UserError: the file is missing, damaged, of other spaces, or of an agent without weights.
    """
    saved = [serialization.read(file) for file in agent_files(Path(path))]
    first, cls = saved[0], _class_of(saved[0].agent, path)
    spaces_here: dict[str, Any] = {
        "observation_space": observation_space,
        "action_space": action_space,
    }
    for name, space in spaces_here.items():
        if (own := first.spaces[name]) != space:
            raise UserError(f"{path} was trained on {name} {own}, the environment has {space}")
    serialization.check_version(path, first, cls.version)
    if "learner" not in first.state:
        raise UserError(
            f"{path} holds {cls.name()}, which has no network to learn from: name a run of an "
            "agent that has, such as dqn or ppo"
        )
    config = cls.Config.build(cls.name(), first.config)
    named_objects.check(path, encoder=getattr(config, "encoder", ""))
    agent = cls(
        seeds=len(seeds),  # rows: those it teaches may be the same, and it draws no numbers
        n_envs=first.n_envs,
        device=str(device),
        config=_for_acting(config),
        **spaces_here,
    )
    with serialization.damage_named(path):
        state = _joined([part.state for part in saved])
        rows = np.argsort([seed for part in saved for seed in part.seeds])
        chosen = [int(rows[seed % len(rows)]) for seed in seeds]
        agent.restore(checkpoint.select({**state, "replay": None}, chosen))
    return agent.policy()


def agent_files(path: Path) -> list[Path]:
    """List the file itself, or those of all parts of a run.

    Raises:
        UserError: A folder holds no trained agent.
    """
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("seeds-*/agent.npz"))
    if not files:
        raise UserError(f"{path} holds no trained agent: there is no seeds-*/agent.npz in it")
    return files


def digest(path: str) -> str:
    """Digest of the content of these files, 16 hexadecimal digits."""
    content = hashlib.sha256()
    for file in agent_files(Path(path)):
        try:
            content.update(file.read_bytes())
        except OSError as error:
            raise UserError(f"{file} cannot be read ({error.strerror})") from None
    return content.hexdigest()[:16]


def _joined(trees: Sequence[Any]) -> Any:
    """Concatenate states along the seed axis: the reverse of `checkpoint.select`."""
    first = trees[0]
    if isinstance(first, dict):
        return {key: _joined([tree[key] for tree in trees]) for key in first}
    if isinstance(first, list):
        return [item for tree in trees for item in tree]
    return np.concatenate(trees) if isinstance(first, np.ndarray) else first


def _for_acting(config: Any) -> Any:
    """Copy a configuration with a small replay buffer: a teacher does not learn."""
    if not hasattr(config, "buffer_size"):
        return config
    return config.model_copy(update={"buffer_size": min(config.buffer_size, 2000)})


def _class_of(name: str, path: str) -> type[Agent]:
    """Find the class of an agent by name (as `rlbench.registry`, which agents do not import)."""
    named_objects.check(path, agent=name)
    if (plugin := plugins.find("agents", name)) is not None:
        return plugins.loaded(plugin)
    try:
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            raise ImportError
        module = importlib.import_module(f"rlbench.agents.{name.replace('-', '_')}")
    except ImportError:
        raise UserError(f"{path} holds '{name}', and there is no such agent here") from None
    own = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, Agent)]
    return next(kind for kind in own if kind.__module__ == module.__name__)


class Teacher:
    """A policy that is read on first use, with its carry."""

    def __init__(self, *source: Any) -> None:
        self.source = source  # arguments of `load`
        self.policy: Policy | None = None
        self.carry: tuple[np.ndarray, ...] | None = None

    def read(self) -> Policy:
        """Read the file on the first call."""
        if self.policy is None:
            self.policy = load(*self.source)
        return self.policy

    def act(self, obs: np.ndarray, first: np.ndarray) -> np.ndarray:
        """Actions, `(S, N, *obs) -> (S, N, *action)`; `first` (S, N) marks episode starts."""
        action, self.carry = self.read().step(obs, self.carry, first, True)
        return action

    def restart(self) -> None:
        """Begin new episodes in all lanes."""
        self.carry = None

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {str(i): part for i, part in enumerate(self.carry or ())}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.carry = tuple(np.asarray(state[key]) for key in sorted(state)) or None
