"""Ranges that are searched where nobody says which."""

from __future__ import annotations

from rlbench import registry
from rlbench.errors import UserError
from rlbench.tuning.space import Dimension, parse

# Parameters in the order of how much they tend to matter (Andrychowicz et al. 2021, Eimer et al.
# 2023). Each is searched by the agents that have it.
RANGES = {
    "learning_rate": "log:1e-5..1e-2",
    "gamma": "lin:0.9..0.999",
    "gae_lambda": "lin:0.8..1.0",
    "clip_range": "lin:0.1..0.4",
    "ent_coef": "log:1e-6..1e-1",
    "vf_coef": "lin:0.2..1.0",
    "max_grad_norm": "log:0.1..10",
    "target_update_interval": "log:10..2000",
    "exploration_fraction": "lin:0.02..0.5",
    "exploration_final_eps": "log:0.005..0.2",
    "C": "log:1e-3..1e3",
    "n_neighbors": "int:1..30",
    "n_estimators": "log:10..500",
}


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
