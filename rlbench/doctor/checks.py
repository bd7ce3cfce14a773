"""All checks of an agent, in the order in which a failure explains those after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from gymnasium import spaces

from rlbench.doctor import learned, mechanics
from rlbench.doctor.patient import Patient
from rlbench.errors import UserError
from rlbench.user_code.calls import UserCodeError
from rlbench.user_code.imports import first_line

Check = Callable[[Patient], str | None]
CHECKS: dict[str, Check] = {
    "value of a constant reward": learned.constant,
    "value of what is observed": learned.seen,
    "discount over two steps": learned.delayed,
    "best action": learned.action,
    "best action for what is observed": learned.action_seen,
    "time limits are no ends": learned.clock,
    "what follows a time limit": learned.after_limit,
    "ends end values": learned.ending,
    "memory of one step": learned.memory,
    "memory ends with an episode": mechanics.forgetting,
    "one batch is learned by heart": learned.batch,
    "gradients": mechanics.gradients,
    "determinism": mechanics.determinism,
    "a seed alone and beside others": mechanics.lockstep,
    "traced updates": mechanics.traced,
    "save and load": mechanics.files,
}
CHANCE = "better than chance"


class Finding(NamedTuple):
    """Result of a check: `wrong` is "" where it passed, and None where it does not apply."""

    check: str
    wrong: str | None


def examine(patient: Patient, env: str | None = None) -> Iterator[Finding]:
    """Do all checks; the last one is in `env`, by default CartPole-v1 or Pendulum-v1.

    Raises:
        UserError: The agent cannot play the probes at all.
    """
    patient.make(patient.probe("Noise"))
    continuous = patient.box or not issubclass(spaces.Discrete, tuple(patient.cls.action_spaces))
    env = env or ("Pendulum-v1" if continuous else "CartPole-v1")
    last: dict[str, Check] = {CHANCE: partial(_chance, env=env)}
    for name, check in (CHECKS | last).items():
        try:
            yield Finding(name, check(patient))
        except UserCodeError as error:
            yield Finding(name, error.reason())
        except UserError as error:
            yield Finding(name, str(error))
        except Exception as error:  # of the agent, whatever it is
            yield Finding(name, f"{type(error).__name__}: {first_line(error)}")


def _chance(patient: Patient, env: Any) -> str:
    return learned.chance(patient, env)
