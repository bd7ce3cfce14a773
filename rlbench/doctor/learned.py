"""Checks of what an agent learns: values and actions of probes, and a score that chance has not.

A check returns what is wrong in words, "" where nothing is, and None where it does not apply.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from rlbench import preset
from rlbench.doctor.patient import SEEDS, Patient, greedy, readable, values
from rlbench.envs import probes
from rlbench.envs.cue import Cue
from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.evaluation.episodes import evaluate
from rlbench.registry import agent_class
from rlbench.rows import Evaluation

STEPS = 10_000  # at most, in the environment where chance is to be beaten
EPISODES = 20
LIMIT = 5  # steps of the clock in `Forever`


def constant(patient: Patient) -> str | None:
    """A reward of 1, then the end: the value is 1."""
    return _value(patient, "Constant", [(0.0, 1.0)], 0.6, {
        None: "even that is not learned, so the loss, the optimiser or what is stored is wrong"
    })  # fmt: skip


def seen(patient: Patient) -> str | None:
    """The reward is what is observed: so is the value."""
    return _value(patient, "Seen", [(1.0, 1.0), (-1.0, -1.0)], 0.6,
                  {0: "values do not depend on what is observed"})  # fmt: skip


def delayed(patient: Patient) -> str | None:
    """A reward of 1 at the second step is worth gamma at the first."""
    gamma = patient.gamma
    if gamma is None:
        return None
    return _value(patient, "TwoSteps", [(0.0, gamma)], 0.8, {
        1: "the discount is missing", 0: "what follows a step does not count"
    })  # fmt: skip


def clock(patient: Patient) -> str | None:
    """Episodes that a time limit cuts are worth as much as those that go on."""
    if (gamma := patient.gamma) is None:
        return None
    return _value(patient, "Forever", [(1.0, 1 / (1 - gamma))], 1.0, {
        None: "time limits may be taken for ends: where truncated is true, bootstrap from next_obs",
    }, tolerance=0.13)  # fmt: skip


def after_limit(patient: Patient) -> str | None:
    """What follows a time limit is not what the next episode begins with."""
    if (gamma := patient.gamma) is None:
        return None
    worth = 1 / (1 + gamma)
    return _value(patient, "Swap", [(1.0, worth), (-1.0, -worth)], 1.0, {
        None: "where an episode was cut, what follows may be taken from the next one: bootstrap "
        "from the last observation, not from that of the reset",
    }, tolerance=0.22)  # fmt: skip


def ending(patient: Patient) -> str | None:
    """Nothing follows an end: the same episodes, cut by terminations, are worth less."""
    if (gamma := patient.gamma) is None or patient.box:
        return None
    env = partial(probes.Forever, lie=True)
    if not readable(patient, env):
        return None
    found = values(patient.learn(env), 1.0)
    assert found is not None
    most = (1 - gamma**LIMIT) / (1 - gamma)
    if float(found.max()) < (most + 1 / (1 - gamma)) / 2:
        return ""
    return (
        f"an end after {LIMIT} steps is worth {found.max():.2f}, and {most:.2f} at most is there: "
        "the value of what follows an end counts, where terminated is true"
    )


def batch(patient: Patient) -> str | None:
    """Eight observations with a reward each are learned by heart."""
    env = patient.probe("Pairs")
    if not readable(patient, env):
        return None
    agent, pairs = patient.learn(env, 1.5), env()
    found = [values(agent, obs.reshape(1, -1)) for obs in pairs.seen]
    each = np.array([value[:, 0] for value in found if value is not None]).T
    worst = float(np.sqrt(((each - pairs.rewards) ** 2).mean(1)).max())
    if worst < 0.4:  # without learning it is 0.65
        return ""
    return f"eight fixed rewards are missed by {worst:.2f} (root mean square): it does not fit them"


def action(patient: Patient) -> str | None:
    """The same action is best everywhere."""
    return _actions(patient, "Chosen", {0.0: 1.0})


def action_seen(patient: Patient) -> str | None:
    """What is best depends on what is observed."""
    wanted = {1.0: 2.0, -1.0: 0.0} if patient.box else {1.0: 1.0, -1.0: 0.0}
    return _actions(patient, "ChosenSeen", wanted)


def memory(patient: Patient) -> str | None:
    """A recurrent agent knows what it saw a step ago."""
    if not patient.recurrent or patient.box:
        return None
    agent = patient.learn(partial(Cue, length=2), 0.6)
    wrong = [seed for seed in agent.seeds for cue in (1, -1)
             if 2 * greedy(agent, seed, (cue, 0), (0, 1))[-1] - 1 != cue]  # fmt: skip
    return f"seeds {sorted(set(wrong))} forget what they saw one step ago" if wrong else ""


def chance(patient: Patient, env: str) -> str:
    """It scores more than random actions, in an environment of some size; ends when it does."""
    small = {"net_arch": (64, 64), "learning_starts": 500} if patient.box else {}
    chosen = {key: value for key, value in small.items() if key in patient.fields} | patient.given
    given: dict[str, Any] = {"seeds": list(SEEDS), "device": "cpu", **chosen}
    usual = preset.find(patient.name, env, True, patient.given)
    made = patient.cls.from_preset if usual.name and not patient.foreign else patient.cls
    agent = made(env, **given)
    planned = agent.planned_timesteps or agent.usual_steps(agent.config, agent.env_facts)
    steps = min(planned, STEPS // 2 if patient.box else STEPS)
    other = _returns(agent_class("random")(env, seeds=list(SEEDS)), steps)
    needed = float(other.mean() + 3 * other.std() / np.sqrt(other.size))
    if patient.foreign:
        agent.learn(steps, eval_freq=0)
    else:
        agent.learn(steps, Enough(needed), eval_freq=max(steps // 5, 1))
    own = _returns(agent, steps)
    if own.mean() > needed:
        return ""
    return (
        f"{own.mean():.1f} in {env} after {steps:,} steps, and random actions have "
        f"{other.mean():.1f}: it learns nothing there"
    )


class Enough:
    """Callback that ends training after an evaluation whose mean return is clearly enough."""

    def __init__(self, needed: float) -> None:
        self.needed, self.returns = needed, dict[int, list[float]]()

    def __call__(self, row: Any) -> bool:
        """Return False to end training."""
        if not isinstance(row, Evaluation):
            return True
        returns = self.returns.setdefault(row.step, [])
        returns.append(row.ret)
        enough = self.needed + 0.5 * abs(self.needed)
        return not (row.step and len(returns) == 10 * len(SEEDS) and np.mean(returns) > enough)


def _returns(agent: Any, steps: int) -> np.ndarray:
    """Play episodes of the sealed evaluation by an agent; returns of all seeds."""
    limit = StepLimit.within(steps, None)
    scores = evaluate(agent.policy(), agent.make_env, "final", EPISODES, limit)
    return np.array([score.ret for score in scores if score is not None])


def _value(
    patient: Patient, probe: str, expected: list[tuple[float, float]], share: float,
    said: dict[float | None, str], tolerance: float = 0.1,
) -> str | None:  # fmt: skip
    """Compare values of a probe; `said` explains what a wrong value near a number means."""
    env = patient.probe(probe)
    if env is None or not readable(patient, env):
        return None
    agent = patient.learn(env, share)
    for obs, truth in expected:
        found = values(agent, obs)
        assert found is not None
        worst = float(found[:, 0][np.argmax(np.abs(found[:, 0] - truth))])
        most = max(0.12, tolerance * abs(truth))
        if not abs(worst - truth) <= (2 * most if patient.box else most):
            near = [text for number, text in said.items()
                    if number is not None and abs(worst - number) < 0.12 + number / 20]  # fmt: skip
            why = near[0] if near else said.get(None, "values are wrong")
            return f"what is worth {truth:.2f} has the value {worst:.2f}: {why}"
    return ""


def _actions(patient: Patient, probe: str, wanted: dict[float, float]) -> str:
    agent = patient.learn(patient.probe(probe), 1.0 if patient.box else 0.5)
    near = 0.4 if patient.box else 0.1
    wrong = [seed for seed in agent.seeds for obs, right in wanted.items()
             if abs(float(np.ravel(greedy(agent, seed, obs)[0])[0]) - right) > near]  # fmt: skip
    if not wrong:
        return ""
    every = len(wrong) == len(agent.seeds) * len(wanted)
    why = ": always the worst one, so a sign or an index is wrong" if every else ""
    return f"seeds {sorted(set(wrong))} take the wrong action{why}"
