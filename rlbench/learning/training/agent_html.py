"""An agent as a small table, for notebooks."""

from __future__ import annotations

import html
import reprlib
from typing import TYPE_CHECKING

from rlbench.common.number_format import number_text
from rlbench.config import plain
from rlbench.learning.networks.encoders import EncoderConfig
from rlbench.learning.training.history import History

if TYPE_CHECKING:
    from rlbench.learning.core.agent_core import AgentCore

SHOWN = ("rollout/ep_rew_mean", "eval/mean_reward", "eval/accuracy", "train/loss")


def table(agent: AgentCore, history: History | None) -> str:
    """Return the HTML of an agent: where, how far, which network, what is not usual."""
    config = agent.setting_configs[0] if agent.settings else agent.config
    horizon = "" if agent.total_timesteps is None else f" of {agent.total_timesteps:,}"
    changed = [f"{name}={plain(value)}" for name, value in config.changed().items()]
    rows = {
        "environment": agent.env_name or "none",
        "seeds": reprlib.repr(list(dict.fromkeys(agent.seeds))).strip("[]") or "none is left",
        "settings": str(len(agent.settings)) if agent.settings else "",
        "environments per seed": str(agent.n_envs) if agent.n_envs > 1 else "",
        "steps per seed": f"{agent.num_timesteps:,}{horizon}",
        "network": config.describe(agent.spec) if isinstance(config, EncoderConfig) else "",
        "parameters": ", ".join(changed) or "defaults",
        "device": str(agent.device),
    }
    for key in SHOWN:
        values = [*history.last.get(key, {}).values()] if history else []
        if values:
            mean = sum(values) / len(values)
            seeds = f"{len(values)} seed{'s' * (len(values) > 1)}"
            rows[key] = f"{number_text(mean)} (mean of {seeds})"
    lines = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(text)}</td></tr>'
        for name, text in rows.items()
        if text
    )
    return f"<table><caption><b>{html.escape(type(agent).__name__)}</b></caption>{lines}</table>"
