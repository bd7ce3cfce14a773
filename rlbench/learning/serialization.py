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
from rlbench.learning.core import sb3_habits
from rlbench.learning.environments import space_json
from rlbench.learning.environments.masked_space import MaskedSpace
from rlbench.learning.environments.source import EnvSource

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
        **_settings(agent),
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


def _settings(agent: Agent) -> dict[str, Any]:
    """Return what is saved of an agent's settings: nothing where it has none."""
    if not agent.settings:
        return {}
    names = set().union(*agent.settings)
    settings = [config.model_dump(mode="json", include=names) for config in agent.setting_configs]
    return {"settings": settings, "rows": list(agent.setting_of)}


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
    settings: list[dict[str, Any]]
    rows: list[int]  # setting of each row


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
            [dict(setting) for setting in meta.get("settings", [])],
            [_whole(each, 0) for each in meta.get("rows", [0] * len(meta["seeds"]))],
        )
        if not isinstance(found.agent, str) or not found.seeds:
            raise ValueError("it names no agent, or no seeds")
        return found


def _as_trained(env: Any, saved: Saved) -> Any:
    """Return an environment without masks where training had none, whether it gives any or not."""
    masked = isinstance(saved.spaces["observation_space"], MaskedSpace)
    if masked or env is None or isinstance(env, EnvSource):
        return env
    return EnvSource(sb3_habits.single(env)[0])


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
    cls: type[A],
    path: str | Path,
    env: Any,
    seed: int | None,
    setting: int | None,
    device: Any,
    verbose: int = 0,
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
    if setting is not None and (not saved.settings or setting not in saved.rows):
        has = f"it has {sorted(set(saved.rows))}" if saved.settings else "nor any other"
        raise UserError(f"{path} has no setting {setting}, {has}")
    ids = list(zip(saved.seeds, saved.rows, strict=True))
    rows = [row for row, (s, h) in enumerate(ids) if seed in (None, s) and setting in (None, h)]
    if not rows:
        raise UserError(f"{path} has seed {seed} and setting {setting}, but not together")
    alone = saved.settings[setting] if setting is not None else {}
    config = cls.Config.build(cls.name(), {**saved.config, **alone})
    named_objects.check(str(path), encoder=getattr(config, "encoder", ""))
    given: dict[str, Any] = {} if env is not None else {**saved.spaces}
    if saved.settings and setting is None:
        given["settings"] = saved.settings
    agent = cls(
        _as_trained(env, saved),
        seeds=list(dict.fromkeys(saved.seeds[r] for r in rows)),
        n_envs=saved.n_envs,
        device=device,
        verbose=verbose,
        config=config,
        **given,
    )
    if agent.settings:
        there = list(zip(agent.seeds, agent.setting_of, strict=True))
        if there != [ids[r] for r in rows]:  # rows were cut out
            agent.keep_seeds([there.index(ids[r]) for r in rows])
    for name, space in saved.spaces.items():
        if getattr(agent, name) != space:
            raise UserError(
                f"{path} was trained on {name} {space}, the environment has {getattr(agent, name)}"
            )
    agent.total_timesteps = saved.total_timesteps
    with damage_named(path):
        agent.restore(checkpoint.select(saved.state, rows))
    return agent
