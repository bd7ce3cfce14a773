"""Checks of how an agent is built: gradients, random numbers, lockstep, traced updates, files.

A check returns what is wrong in words, "" where nothing is, and None where it does not apply.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlbench.doctor.patient import SEEDS, Patient
from rlbench.doctor.states import differences, state_of
from rlbench.errors import UserError
from rlbench.learning.global_generators import seeded
from rlbench.learning.optim.learner import Learner

STEPS = 160  # enough for updates, ends of episodes and target networks
_SHORT: dict[str, Any] = {"learning_starts": 40, "buffer_size": 120, "batch_size": 20}


def _trained(patient: Patient, seeds: Any = SEEDS, steps: int = STEPS, **more: Any) -> Any:
    agent = patient.make(patient.probe("Noise"), seeds, **_SHORT, **more)
    return agent.learn(steps, eval_freq=0)


def determinism(patient: Patient) -> str:
    """The same seeds give the same bits, whatever global generators hold."""
    with seeded(1):
        one = _trained(patient)
    with seeded(2):
        other = _trained(patient)
    if wrong := differences(one.state(), other.state()):
        return (
            f"the same seeds end in another state ({_some(wrong)}): random numbers must come from "
            "rlbench.learning.rng, not from global generators"
        )
    return ""


def lockstep(patient: Patient) -> str:
    """A seed alone is what it is beside others, bit for bit; two seeds are not the same."""
    both, alone = _trained(patient), _trained(patient, SEEDS[1:])
    if wrong := differences(state_of(both, SEEDS[1]), state_of(alone, SEEDS[1])):
        return (
            f"seed {SEEDS[1]} alone is not what it is beside seed {SEEDS[0]} ({_some(wrong)}): "
            "something is summed, shared or drawn over the seed axis"
        )
    if not differences(state_of(both, SEEDS[0]), state_of(both, SEEDS[1])):
        return "two seeds end in the same state: they draw the same random numbers"
    return ""


def forgetting(patient: Patient) -> str | None:
    """What a recurrent agent saw before an episode's end is not in its hidden state after it."""
    if not patient.recurrent or patient.foreign:
        return None
    carries = []
    for before in (1.0, -1.0):
        agent = patient.make(patient.probe("Noise"), **_SHORT)
        agent.set_horizon(STEPS)
        lanes = agent.lanes()
        lanes.reset()
        shape = lanes.obs.shape
        for number in range(3):
            action = agent.act(np.full(shape, before, np.float32))
            over = np.full(shape[:2], number == 2)
            following = np.full(shape, before, np.float32)
            step = lanes.step(action)
            agent.observe(step._replace(
                obs=following, next_obs=following, reward=np.zeros_like(step.reward),
                terminated=over, truncated=np.zeros_like(over),
            ))  # fmt: skip
        agent.act(np.full(shape, 0.5, np.float32))
        lanes.close()
        context = getattr(agent, "context", None)
        if context is None or context.carry is None:
            return None
        carries.append(context.state()["carry"])
    if differences(*carries):
        return (
            "its hidden state after an episode's end depends on what it saw before: reset it where "
            "an episode starts (context.episode_start)"
        )
    return ""


def gradients(patient: Patient) -> str | None:
    """Every parameter of what learns gets a gradient from some update, and all are finite."""
    if patient.foreign:
        return None
    agent = patient.make(patient.probe("Noise"), **_SHORT)
    learners = agent.learners()
    if not learners:
        return None
    agent.set_horizon(STEPS)
    lanes = agent.lanes()
    lanes.reset()
    reached: dict[str, bool] = {}
    finite = True
    while agent.num_timesteps < STEPS and finite:
        agent.observe(lanes.step(agent.act(lanes.obs)))
        for number, learner in enumerate(learners):
            finite &= bool(torch.isfinite(learner.stack.grad).all())
            for name, moved in _moved(learner):
                key = f"{name} of network {number + 1}" if number else name
                reached[key] = reached.get(key, False) or moved
    lanes.close()
    if not finite:
        return "gradients are NaN or infinite"
    still = [name for name, moved in reached.items() if not moved]
    if not still:
        return ""
    return f"{len(still)} of {len(reached)} parameters never get a gradient: {_some(still)}"


def _moved(learner: Learner) -> list[tuple[str, bool]]:
    """Say of each parameter whether all seeds have a gradient that is not 0."""
    data, grad = learner.stack.data, learner.stack.grad
    moved = []
    for name, parameter in learner.network.named_parameters():
        if not parameter.requires_grad:
            continue
        start = (parameter.data_ptr() - data.data_ptr()) // data.element_size()
        part = grad[:, start : start + parameter[0].numel()]
        moved.append((name, bool((part != 0).any(-1).all())))
    return moved


def traced(patient: Patient) -> str | None:
    """Updates that are traced and replayed give the same bits as those that are not."""
    if patient.foreign or "record" not in patient.fields:
        return None
    agents = []
    for record in (True, False):
        agent = patient.make(patient.probe("Noise"), record=record, **_SHORT)
        for learner in agent.learners():
            learner.warm_up = False  # traced at the first update
        agents.append(agent.learn(STEPS, eval_freq=0))
    if wrong := differences(*(agent.state() for agent in agents)):
        return (
            f"traced updates end in another state than others ({_some(wrong)}): an objective reads "
            "something that changes and is not passed to it; pass it as a tensor"
        )
    return ""


def files(patient: Patient) -> str:
    """A saved agent is the same when it is read, and goes on as the one that was not saved."""
    agent = _trained(patient)
    with tempfile.TemporaryDirectory() as folder:
        saved = agent.save(Path(folder) / "agent.npz")
        try:
            again = patient.cls.load(saved, patient.probe("Noise"), device="cpu", trust=True)
        except UserError as error:
            return f"it cannot be read again: {error}"
    if wrong := differences(agent.state(), again.state()):
        return f"read again it is another one ({_some(wrong)})"
    if patient.peer:
        return ""
    for each in (agent, again):
        each.learn(STEPS // 2, eval_freq=0)
    if wrong := differences(agent.state(), again.state()):
        return f"what is read again goes on differently ({_some(wrong)}): parts() lacks something"
    obs = np.asarray(agent.observation_space.sample(), np.float32)
    one, other = (each.policy(seed=SEEDS[0]).predict(obs)[0] for each in (agent, again))
    return "" if np.array_equal(one, other) else "its policy acts differently when it is read again"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(name.strip("/") for name in names[:2]) + more
