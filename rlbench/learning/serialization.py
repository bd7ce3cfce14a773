"""Saved agents: arrays and JSON, with the spaces they were trained on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from gymnasium import spaces

from rlbench.common.plain_text import plain_text
from rlbench.errors import UserError
from rlbench.learning import checkpoint, named_objects
from rlbench.learning.environments import space_json

if TYPE_CHECKING:
    from rlbench.learning.agent import Agent

A = TypeVar("A", bound="Agent")


def save(agent: Agent, path: str | Path, replay: bool) -> Path:
    """Write an agent; see `Agent.save`."""
    meta = {
        "agent": agent.name(),
        "version": agent.version,
        "config": agent.config.model_dump(mode="json"),
        "seeds": list(agent.seeds),
        "n_envs": agent.n_envs,
        "observation_space": space_json.to_json(agent.observation_space),
        "action_space": space_json.to_json(agent.action_space),
        "total_timesteps": agent.total_timesteps,
    }
    state = agent.state()
    if not replay and "replay" in state:
        state["replay"] = None
    path = _path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return checkpoint.save(path, {"agent": meta, "state": state})
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise  # the disk, not the path
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def _path(path: Any) -> Path:
    try:
        return Path(path)
    except TypeError:
        raise UserError(f"path must be the name of a file, not {path!r}") from None


class Saved(NamedTuple):
    """Content of an agent's file, checked as far as possible without building the agent."""

    agent: str
    version: int
    config: dict[str, Any]
    seeds: list[int]
    n_envs: int
    total_timesteps: int | None
    spaces: dict[str, spaces.Space[Any]]  # by the arguments of an agent
    state: dict[str, Any]


def read(path: str | Path) -> Saved:
    """Read an agent's file without building or importing anything.

    Raises:
        UserError: The file is missing, damaged, or holds no agent.
    """
    saved = checkpoint.load(_path(path))
    with damage_named(path):
        meta, total = saved["agent"], saved["agent"]["total_timesteps"]
        names = ("observation_space", "action_space")
        found = Saved(
            meta["agent"],
            meta["version"],
            dict(meta["config"]),
            [_whole(seed, 0) for seed in meta["seeds"]],
            _whole(meta["n_envs"], 1),
            None if total is None else _whole(total, 0),
            {name: space_json.from_json(meta[name]) for name in names},
            dict(saved["state"]),
        )
        if not isinstance(found.agent, str) or not found.seeds:
            raise ValueError("it names no agent, or no seeds")
        return found


@contextmanager
def damage_named(path: str | Path) -> Iterator[None]:
    """Convert errors within the block, which only reads a saved agent, to damage of the file."""
    try:
        yield
    except (UserError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        why = plain_text(f"{type(error).__name__}: {error}", 200)
        raise UserError(f"{path} is damaged or holds no agent ({why})") from None


def _whole(value: Any, low: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ValueError(f"{value!r} is no whole number from {low} on")
    return value


def check_version(path: str | Path, saved: Saved, version: int) -> None:
    """Reject files of another version of the agent."""
    if saved.version != version:
        raise UserError(
            f"{path} was written by {saved.agent} version {saved.version}, "
            f"this is version {version}: train it again"
        )


def load(
    cls: type[A], path: str | Path, env: Any, seed: int | None, device: Any, verbose: int = 0
) -> A:
    """Load an agent; see `Agent.load`.

    Errors of the environment, device or encoder pass unchanged.
    """
    saved = read(path)
    if saved.agent != cls.name():
        raise UserError(f"{path} holds {saved.agent}, not {cls.name()}")
    check_version(path, saved, cls.version)
    if seed is not None and seed not in saved.seeds:
        raise UserError(f"{path} has no seed {seed}, it has {saved.seeds}")
    rows = [row for row, s in enumerate(saved.seeds) if seed in (None, s)]
    config = cls.Config.build(cls.name(), saved.config)
    named_objects.check(str(path), encoder=getattr(config, "encoder", ""))
    spaces_given: dict[str, Any] = {} if env is not None else {**saved.spaces}
    agent = cls(
        env,
        seeds=[saved.seeds[r] for r in rows],
        n_envs=saved.n_envs,
        device=device,
        verbose=verbose,
        config=config,
        **spaces_given,
    )
    for name, space in saved.spaces.items():
        if getattr(agent, name) != space:
            raise UserError(
                f"{path} was trained on {name} {space}, the environment has {getattr(agent, name)}"
            )
    agent.total_timesteps = saved.total_timesteps
    with damage_named(path):
        agent.restore(checkpoint.select(saved.state, rows))
    return agent
