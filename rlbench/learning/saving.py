"""Agents in files: arrays and JSON, with the spaces they were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rlbench.errors import UserError
from rlbench.learning import checkpoint, named, space_json

if TYPE_CHECKING:
    from rlbench.learning.agent import Agent

A = TypeVar("A", bound="Agent")


def save(agent: Agent, path: str | Path, replay: bool) -> Path:
    """See `Agent.save`."""
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
    return checkpoint.save(path, {"agent": meta, "state": state})


def load(cls: type[A], path: str | Path, env: Any, seed: int | None, device: str) -> A:
    """See `Agent.load`."""
    saved = checkpoint.load(path)
    try:
        meta, state = saved["agent"], saved["state"]
        if meta["agent"] != cls.name():
            raise UserError(f"{path} holds {meta['agent']}, not {cls.name()}")
        if meta["version"] != cls.version:
            raise UserError(
                f"{path} was written by {cls.name()} version {meta['version']}, "
                f"this is version {cls.version}: train it again"
            )
        if seed is not None and seed not in meta["seeds"]:
            raise UserError(f"{path} has no seed {seed}, it has {meta['seeds']}")
        rows = [row for row, s in enumerate(meta["seeds"]) if seed in (None, s)]
        config = cls.Config.build(cls.name(), meta["config"])
        named.check(str(path), encoder=getattr(config, "encoder", ""))
        found = {k: space_json.from_json(meta[k]) for k in ("observation_space", "action_space")}
        agent = cls(
            env,
            seeds=[meta["seeds"][r] for r in rows],
            n_envs=meta["n_envs"],
            device=device,
            config=config,
            **({} if env is not None else found),
        )
        for name, space in found.items():
            if getattr(agent, name) != space:
                raise UserError(
                    f"{path} was trained on {name} {space}, "
                    f"the environment has {getattr(agent, name)}"
                )
        agent.total_timesteps = meta["total_timesteps"]
        agent.restore(checkpoint.select(state, rows))
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise UserError(
            f"{path} is damaged or holds no agent ({type(error).__name__}: {error})"
        ) from None
    return agent
