"""What no implementation can do without: the environment's steps, and the products of matrices.

Both are timed alone, in the same form as who is measured, so that a gap has a name. The products
are those of our own update: noted once while it runs, then repeated on the same memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from timing import Measure, timed
from torch.utils._python_dispatch import TorchDispatchMode
from work import Work, agent

from rlbench.learning.compile import compiled_update
from rlbench.learning.compile.dense_kernels import array, tracing
from rlbench.learning.environments.batched_lanes import lanes_for
from rlbench.learning.environments.make import env_factory
from rlbench.learning.environments.source import EnvSource

ATEN, OURS = torch.ops.aten, torch.ops.rlbench
Call = Callable[[], object]


class Products(TorchDispatchMode):
    """Takes note of all products of matrices, and convolutions, that run under it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result, kind = func(*args, **(kwargs or {})), func.overloadpacket
        if kind in (ATEN.convolution, ATEN.convolution_backward):
            self.calls.append(lambda: func(*args))
        elif kind in (ATEN.mm, ATEN.bmm, ATEN.addmm, ATEN.baddbmm):  # without what is added
            (a, b), out = args[-2:], torch.empty_like(result)
            product = torch.bmm if a.ndim == 3 else torch.mm
            self.calls.append(lambda: product(a, b, out=out))
        elif func.namespace == "rlbench":
            self._ours(kind, *args)
        return result

    def _ours(self, kind: Any, *args: Any) -> None:
        """Products within our own kernels."""
        if kind is OURS.affine:
            self._arrays(array(args[0]), array(args[1]))
        elif kind is OURS.input_grad:
            self._arrays(array(args[0]), array(args[1]).swapaxes(1, 2))
        elif kind is OURS.weight_grad:
            self._arrays(array(args[1]).swapaxes(1, 2), array(args[0]))
        elif kind in (OURS.unroll, OURS.unroll_back):  # (S, B, T, .) and, for both, the weights
            _, _, memory, first, weight = args[:5]
            hidden, wide = array(weight), first.shape[2]
            h = np.ones((*memory.shape[:2], hidden.shape[1]), np.float32)
            z = np.ones((*memory.shape[:2], hidden.shape[2]), np.float32)
            for _ in range(wide):
                pair = (h, hidden) if kind is OURS.unroll else (z, hidden.swapaxes(1, 2))
                self._arrays(*pair)
            if kind is OURS.unroll_back:
                self._arrays(h.repeat(wide, 1).swapaxes(1, 2), z.repeat(wide, 1))

    def _arrays(self, a: np.ndarray, b: np.ndarray) -> None:
        out = np.empty((len(a), a.shape[1], b.shape[2]), np.float32)
        self.calls.append(lambda: np.matmul(a, b, out))


def products(work: Work, seeds: int) -> Measure:
    """Env steps per second, all seeds together, if acting and learning were their products only."""
    made, lanes = agent(work, seeds), work.n_envs
    recorded, compiled_update.warmed_up = (
        compiled_update.warmed_up,
        lambda *_: False,
    )  # what is recorded cannot be watched
    made.learn(lanes * work.all_settings().get("n_steps", work.all_settings()["batch_size"]))
    with Products() as update, tracing():
        if work.agent == "ppo":
            made.train()
        else:
            made.update()
    compiled_update.warmed_up = recorded
    every = made.config.n_steps * lanes if work.agent == "ppo" else made.config.train_freq
    act = _acting(made)

    def run(steps: int) -> None:
        with torch.inference_mode():
            for _ in range(steps // lanes):
                for call in act:
                    call()
            for _ in range(steps // every):
                for call in update.calls:
                    call()

    return timed(run, seeds)


def _acting(made: Any) -> list[Call]:
    """The products of one choice of actions: numpy's for layers, torch's for convolutions."""
    net, lead = made.learner.network, (len(made.seeds), made.n_envs)
    with Products() as seen:
        made.context.reset()
        obs = np.zeros((*lead, *made.observation_space.shape), made.observation_space.dtype)
        look = made.context
        net.act(*look.see(obs, look.carry, look.episode_start)[:2], made.device)
    if seen.calls:
        return seen.calls
    parts = [net]
    if hasattr(net, "critic"):  # which acts only to carry a memory of its own
        parts = [net.actor, net.policy]
        if net.state_size > net.actor.state_size:
            parts.append(net.critic)
    weights = [p.data.numpy() for part in parts for p in part.parameters() if p.ndim == 3]
    return [_product(lead, weight) for weight in weights if min(weight.shape[1:]) > 1]


def _product(lead: tuple[int, int], weight: np.ndarray) -> Call:
    x = np.ones((*lead, weight.shape[1]), np.float32)
    out = np.empty((*lead, weight.shape[2]), np.float32)
    return lambda: np.matmul(x, weight, out=out)


def lanes(work: Work, seeds: int) -> Measure:
    """Env steps per second, all seeds together, of our lanes alone with random actions."""
    source = EnvSource(work.env)
    made = lanes_for(source, range(seeds), work.n_envs)
    space, lead = source.facts.action_space, (seeds, work.n_envs)
    space.seed(0)
    drawn = [[space.sample() for _ in range(seeds * work.n_envs)] for _ in range(1000)]
    actions = [np.array(each).reshape(*lead, *space.shape) for each in drawn]  # type: ignore[misc]
    made.reset()

    def run(steps: int) -> None:
        for i in range(steps // work.n_envs):
            made.step(actions[i % len(actions)])

    return timed(run, seeds)


def environment(work: Work) -> Measure:
    """Env steps per second of the bare environment, stepped and reset with random actions."""
    env = env_factory(work.env)()
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(10_000)]
    env.reset(seed=0)

    def run(steps: int) -> None:
        for i in range(steps):
            _, _, terminated, truncated, _ = env.step(actions[i % len(actions)])
            if terminated or truncated:
                env.reset()

    return timed(run)
