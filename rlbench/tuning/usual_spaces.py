"""Ranges that are searched where nobody says which."""

from __future__ import annotations

from rlbench import registry
from rlbench.errors import UserError
from rlbench.learning.row_parameters import PARAMETERS
from rlbench.tuning.space import Dimension, parse

# Each is searched by the agents that have it.
RANGES = {name: each.range for name, each in PARAMETERS.items() if each.usual}


def usual_space(agent: str) -> list[Dimension]:
    """Return the ranges that an agent's parameters are searched over by default.

    Raises:
        UserError: It has none of the parameters listed here.
    """
    config = registry.agent_class(agent).Config
    dimensions = []
    for name, text in RANGES.items():
        if name in config.model_fields:
            [dimension] = parse(agent, [(name, text)])
            try:
                for value in dimension.ends():
                    config.build(agent, {name: value})
            except UserError:
                continue  # another meaning, or a value that a peer's library cannot take
            dimensions.append(dimension)
    if not dimensions:
        raise UserError(f"{agent} has no usual ranges: say which by -s NAME=VALUES")
    return dimensions
