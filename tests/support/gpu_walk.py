"""Agents stepped on a GPU without memory, as a program: `gpu_walk.py FOLDER`.

It prints one line of JSON for each case. It is a process of its own, since torch keeps the device
guard that it needs, and would end the process where that is missing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from agent_cases import CASES
from fake_gpu import GPU, Refused, fake_gpu, load_guard
from masked_worlds import Masked
from worlds import World

from rlbench.agents import DQN, SAC
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Metric

STEPS = 48
ON_POLICY = {"n_steps": 8, "batch_size": 12}
MORE: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "c51": (DQN, partial(World, "mixed"), {"distribution": "c51", "n_atoms": 5}),
    "qr": (DQN, World, {"distribution": "qr", "noisy": True, "gradient_steps": 3}),
    "iqn": (DQN, World, {"distribution": "iqn", "iqn_embedding": 8, "n_steps": 2}),
}
SPOILED = ["value", "array", "other device", "copy in a graph"]


def build(case: str) -> Any:
    kind, env, parameters = {**CASES, **MORE}[case]
    known = kind.Config.model_fields
    on_policy = "gae_lambda" in known or "q_lambda" in known
    small = {**(ON_POLICY if on_policy else CASES["dqn frames"][2]), **parameters}
    small["batch_size"] = ON_POLICY["batch_size"]
    given = {name: small[name] for name in small if name in known or name == "n_envs"}
    return kind(env, seeds=(4, 5), **{"hidden_size": 4, **given})


def stepped(agent: Any) -> Any:
    agent.set_horizon(400)
    lanes = agent.lanes()
    lanes.reset()
    for _ in range(STEPS):
        agent.observe(lanes.step(agent.act(lanes.obs)))
    lanes.close()
    return agent


def spoil(agent: Any, what: str) -> None:
    """Have updates do what a GPU waits for, or refuses."""
    update: Callable[[], None] = agent.update

    def spoiled() -> None:
        update()
        loss = agent.metrics["train/actor_loss"]
        if what == "value":
            float(loss[0])
        elif what == "array":
            loss.cpu()
        elif what == "other device":
            loss + torch.ones(2)
        elif agent.updates.graphs.calls.get((1, 0), 0) > 3:  # while it is captured, not before
            loss.copy_(torch.ones(2))

    agent.update = spoiled


def walk(case: str) -> dict[str, Any]:
    with fake_gpu() as gpu:
        agent = stepped(build(case))
        return {
            "fetched": gpu.fetched,
            "captured": gpu.captured,
            "updates": agent.learner.optimizer.updates,
            "whole": agent.updates.whole,
            "devices": sorted({str(x.stack.data.device) for x in agent.learners()}),
        }


def trained_walk() -> dict[str, Any]:
    """The trainer's loop between two evaluations, with metrics at four points."""
    with fake_gpu() as gpu:
        agent = build("sac")
        agent.set_horizon(STEPS)
        schedule = TrainingSchedule(STEPS, eval_freq=0, final_episodes=0, log_points=4)
        rows = list(Trainer(agent, schedule).rows())
    metrics = sum(isinstance(row, Metric) for row in rows)
    return {"fetched": gpu.fetched, "metrics": metrics, "steps": agent.num_timesteps}


def spoiled_walk(what: str) -> str:
    with fake_gpu():
        agent = SAC(partial(World, "vector", "box"), seeds=(4, 5), learning_starts=10, batch_size=8)
        spoil(agent, what)
        try:
            stepped(agent)
        except Refused as error:
            return str(error)
    return ""


if __name__ == "__main__":
    torch.set_num_threads(1)
    Masked.strict = False  # a GPU without memory chooses no action
    load_guard(Path(sys.argv[1]))
    assert GPU.type == "cuda"
    for name in [name for name in {**CASES, **MORE} if not {"dropout", "her"} & {*name.split()}]:
        try:
            found: Any = walk(name)
        except Refused as error:
            found = str(error)
        print(json.dumps([name, found]), flush=True)
    print(json.dumps(["trainer", trained_walk()]), flush=True)
    for name in SPOILED:
        print(json.dumps([name, spoiled_walk(name)]), flush=True)
