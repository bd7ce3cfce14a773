"""Names of runs that a person can type: `dqn-CartPole-v1-50k`.

A name is AGENT-ENV-STEPS, the env without what comes before "/" or ":" in its id and with its
wrappers: `ppo-CartPole-v1+mask-velocity-400k`, `dqn-Catch-v0-30k`. Several runs may share one.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rlbench.common.plain_text import plain_text

_UNITS = {"M": 1_000_000, "k": 1_000}
_PLAIN_BELOW = 2_000


def run_name(record: Mapping[str, Any]) -> str:
    """Return the name AGENT-ENV-STEPS of a run, from its run.json (or the fields of it)."""
    env, steps = short_env(record["env"]), steps_text(record["total_timesteps"])
    return plain_text(f"{record['agent']}-{env}-{steps}")


def short_env(env: str) -> str:
    """Return an env's name without its namespace or module: `Catch-v0` of `rlbench/Catch-v0`."""
    base, plus, wrappers = env.partition("+")
    return base.rpartition("/")[2].rpartition(":")[2] + plus + wrappers


def steps_text(steps: int) -> str:
    """Format a number of steps, with all its digits: 1500, 2.5k, 50k, 21580, 1.5M.

    It is the shortest of all spellings, from 2,000 on with a unit where two are equally short.
    """
    if steps < _PLAIN_BELOW:
        return str(steps)
    units = {unit: size for unit, size in _UNITS.items() if steps >= size}
    return min([f"{_plain(Decimal(steps) / units[u])}{u}" for u in units] + [str(steps)], key=len)


def _plain(number: Decimal) -> str:
    """Format a number without exponent and without zeros behind its last digit."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
