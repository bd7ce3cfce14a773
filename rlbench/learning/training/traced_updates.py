"""Trace the updates of a new agent at once, to show the programs that replay them."""

from __future__ import annotations

from rlbench.errors import UserError
from rlbench.learning.core.agent_core import AgentCore
from rlbench.learning.environments.lanes import SeedFailure
from rlbench.learning.training.schedule import overflow_allowed


def programs(agent: AgentCore) -> dict[str, str]:
    """Train until every update is traced, and return their programs by the objective's name.

    The program of an update that cannot be traced is a comment that says why.

    Raises:
        UserError: the agent has no updates that could be traced, makes none within its horizon,
            or its environment failed.
    """
    learners = agent.learners()
    if not learners:
        raise UserError(f"{agent.name()} has no updates to record")
    for learner in learners:
        learner.warm_up = False
    steps = agent.total_timesteps or 0
    lanes = agent.lanes()
    try:
        lanes.reset()
        with overflow_allowed():
            while agent.num_timesteps < steps:
                agent.observe(lanes.step(agent.act(lanes.obs)))
                if all(learner.programs for learner in learners):
                    return {
                        objective.__qualname__: update.program()
                        for learner in learners
                        for objective, update in learner.programs.items()
                    }
    except SeedFailure as error:
        raise UserError(f"the environment failed: {error}") from None
    finally:
        lanes.close()
    raise UserError(f"{agent.name()} makes no update within {steps:,} steps")
