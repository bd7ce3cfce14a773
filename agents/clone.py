"""Clone: a network that learns what a trained agent does, by its actions (Pomerleau 1991).

The teacher acts in the training environments, and the clone learns its action for every
observation: behaviour cloning, the supervised baseline where images have no labels. Or a Minari
data set takes the teacher's place: its episodes are played back. It is scored on the same episodes
as everyone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field as field
from torch import Tensor

from rlbench.config import Float, Int
from rlbench.errors import UserError
from rlbench.learning import row_values
from rlbench.learning.agent import Agent
from rlbench.learning.algorithms.rollouts import minibatches
from rlbench.learning.algorithms.teacher import Teacher, agent_files, digest
from rlbench.learning.data import recorded_episodes
from rlbench.learning.data.normalization import Normalizer
from rlbench.learning.data.preprocessing import LaneContext, ObservationPipeline
from rlbench.learning.data.recorded_lanes import RecordedTeacher
from rlbench.learning.data.rollout import items
from rlbench.learning.data.step_window import StepWindow
from rlbench.learning.environments.batched_lanes import Lanes
from rlbench.learning.environments.facts import EnvFacts
from rlbench.learning.environments.lanes import Step
from rlbench.learning.environments.masks import ACTION_MASKS
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.equations import losses
from rlbench.learning.networks import encoders
from rlbench.learning.networks.action_distributions import Distribution, Gaussian, distribution
from rlbench.learning.networks.layers import Generators
from rlbench.learning.networks.models import QNetwork, sizes
from rlbench.learning.optim.learner import Learner, LearnerConfig, Metrics
from rlbench.learning.policies.network_policies import NetworkPolicy
from rlbench.learning.rng import PermutationStream, generator


class CloneConfig(LearnerConfig):
    """Parameters of behaviour cloning. Steps are env steps; names are those of `ppo`."""

    source: str = field(
        "",
        description="the trained agents to learn from: a run's folder, which --from RUN finds, or "
        "an agent.npz. Number k, modulo how many there are, teaches seed k. Or recorded episodes: "
        "minari:ID",
    )
    learning_rate: Float = field(1e-3, gt=0, description="step size of the optimiser")
    n_steps: Int = field(
        128, ge=1, description="steps of each environment between two rounds of updates"
    )
    batch_size: Int = field(
        64, ge=1, description="steps per minibatch, per seed (recurrent: in whole sequences)"
    )
    n_epochs: Int = field(4, ge=1, description="passes over these steps")
    sequence_length: Int | None = field(
        None,
        ge=1,
        description="recurrent encoders: steps of backpropagation through time, a divisor of "
        "n_steps, at most batch_size; none: the largest such",
    )
    action_masks: bool = field(True, description=ACTION_MASKS)

    def length(self) -> int:
        """Steps of a training sequence with a recurrent encoder, else 1."""
        if not encoders.parse(self.encoder)[1]:
            return 1
        most = min(self.batch_size, self.n_steps)
        usual = max(n for n in range(1, most + 1) if self.n_steps % n == 0)
        return self.sequence_length or usual

    def identity(self) -> dict[str, Any]:
        return recorded_episodes.identity(self)

    def check(self) -> None:
        if not self.source:
            raise UserError(
                "clone learns from a trained agent: rlbench run clone --env ENV --from RUN "
                "(in Python source=, the path of a run or of an agent.npz), or from a data set: "
                "--from minari:ID"
            )
        if self.n_steps % self.length() or self.length() > self.batch_size:
            raise UserError(
                f"sequence_length={self.sequence_length} must divide n_steps={self.n_steps} and be "
                f"at most batch_size={self.batch_size}"
            )


class Clone(Agent):
    """S clones, each with a teacher of its own and N environments in which that one acts."""

    Config = CloneConfig
    version = 1
    action_spaces = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary, spaces.Box)
    default_envs = 8
    predicts_labels = False
    takes_settings = True
    takes_masks = True
    exact = True  # its teacher may normalise
    config: CloneConfig

    def build(self) -> None:
        c, seeds = self.config, len(self.seeds)
        self.distribution = distribution(self.action_space)
        self.net = self.network([generator(seed, "init") for seed in self.seeds], c)
        self.learner = Learner(self.net, c, self.device, by_row=self.by_row)
        self.normalizer = Normalizer(seeds, self.spec) if c.normalize_obs else None
        self.context = LaneContext(
            self.spec, self.net.state_size, (seeds, self.n_envs), self.normalizer
        )
        self.window, self.length = StepWindow(c.n_steps), c.length()
        self.order = PermutationStream(
            self.seeds, "minibatch", self.n_envs * c.n_steps // self.length
        )
        # A clone that only acts needs no teacher: it is read when training begins.
        self.teacher = self.make_teacher()

    def make_teacher(self) -> Teacher | RecordedTeacher:
        """Make what gives the actions to learn; recorded episodes stay when seeds are cut."""
        source, there = self.config.source, (self.observation_space, self.action_space)
        if not recorded_episodes.is_recorded(source):
            return Teacher(source, self.seeds, *there, self.device)
        if isinstance(known := vars(self).get("teacher"), RecordedTeacher):
            return known
        read = functools.partial(recorded_episodes.read, source, self.spec, self.action_space)
        return RecordedTeacher(read, self.n_envs)

    def network(self, generators: Generators, config: CloneConfig) -> QNetwork:
        return QNetwork(generators, self.spec, distribution(self.action_space).outputs, config)

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        kind = distribution(action_space)
        of, steps = sizes(QNetwork, spec, kind.outputs, config), n_envs * config.n_steps
        pixels = math.prod(spec.seen)
        # Seen, put in another order, and as float32 where the network reads all of it at once.
        step = pixels * (2 * spec.dtype.itemsize + 4) + 16 * kind.actions + 8 * of.state_size
        return {
            "steps": seeds * steps * step,
            "networks": 4 * seeds * Learner.copies(config) * of.parameters,
            "updates": seeds * of.update(min(config.batch_size, steps), spec),
        }

    @classmethod
    def first_update(cls, config: Any, n_envs: int) -> int:
        return config.n_steps * n_envs

    @classmethod
    def check_start(cls, config: CloneConfig, facts: EnvFacts) -> None:
        """Refuse a source that cannot teach in this environment, before a run begins."""
        there = facts.observation_space, facts.action_space
        if recorded_episodes.is_recorded(config.source):
            recorded_episodes.check(config.source, ObsSpec(there[0]), there[1])
        else:
            Teacher(config.source, [0], *there, torch.device("cpu")).read()

    @classmethod
    def teacher_digest(cls, config: CloneConfig) -> str:
        return "" if recorded_episodes.is_recorded(config.source) else digest(config.source)

    @classmethod
    def teacher_files(cls, config: CloneConfig) -> list[Path]:
        recorded = not config.source or recorded_episodes.is_recorded(config.source)
        return [] if recorded else agent_files(Path(config.source))

    def set_horizon(self, total_timesteps: int) -> None:
        self.teacher.read()
        super().set_horizon(total_timesteps)

    def lanes(self) -> Lanes:
        if isinstance(self.teacher, RecordedTeacher):
            return self.teacher.make_lanes(self.seeds)
        return super().lanes()

    def act(self, obs: np.ndarray) -> np.ndarray:
        context = self.context
        action = self.teacher.act(obs, context.episode_start)
        inputs, hidden, frames = context.see(obs, context.carry, context.episode_start)
        context.pending = {"seen": inputs, "target": self.target(action)}
        context.carry = frames
        if self.net.state_size:
            context.pending |= {"first": context.episode_start.astype(np.float32), "memory": hidden}
            context.carry = (*frames, self.net.act(inputs, hidden, self.device)[1])
        return action

    def target(self, action: np.ndarray) -> np.ndarray:
        """Targets of the network's outputs for actions, `(S, N, *action) -> (S, N, K)`."""
        kind, lead = self.distribution, action.shape[:2]
        if isinstance(kind, Gaussian):
            width = np.where(kind.half > 0, kind.half, 1.0)
            return ((action - kind.middle) / width).reshape(*lead, -1).astype(kind.dtype)
        return (action - kind.start).reshape(*lead, -1).astype(kind.dtype)

    def observe(self, step: Step) -> Metrics:
        self.window.add(**self.context.pending)
        self.context.episode_start = step.terminated | step.truncated
        if self.normalizer is not None:
            self.normalizer.update(step.obs)
        self.num_timesteps += self.n_envs
        if self.window.full():
            self.train(self.window.take(self.device))
        return self.metrics

    def on_env_reset(self) -> None:
        self.context.reset()
        self.window.clear()
        self.teacher.restart()

    def train(self, fields: dict[str, Tensor]) -> None:
        """Learn from fields `(S, N, T, ...)` on several epochs of minibatches."""
        c, rate = self.config, self.learner.rate(self.progress())
        length = self.length if self.net.state_size else None
        batch_items = {name: items(values, length) for name, values in fields.items()}
        if self.net.state_size:  # the hidden state before the first step of each sequence
            batch_items["memory"] = batch_items["memory"][:, :, 0]
        size = c.batch_size // self.length
        for batch in minibatches(batch_items, self.order, size, c.n_epochs):
            samples = batch["target"].shape[1] * self.length
            self.metrics |= self.learner.step(self.objective, rate, samples, **batch).metrics
        self.metrics["train/learning_rate"] = row_values.metric(rate)
        self.metrics["train/n_updates"] = self.learner.optimizer.updates

    def objective(
        self,
        seen: Tensor,
        target: Tensor,
        first: Tensor | None = None,
        memory: Tensor | None = None,
    ) -> tuple[Tensor, Metrics]:
        """Mean loss of a minibatch, `(S,)`.

        The cross-entropy of actions, summed over their parts, or the squared error of the mean.
        """
        if memory is None or first is None:
            outputs = self.net(seen)  # (S, B, outputs)
        else:
            outputs, _ = self.net.unroll(seen, memory, first)
        target = target.reshape(*outputs.shape[:2], -1)  # (S, B, K)
        if isinstance(self.distribution, Gaussian):
            loss = losses.squared(outputs, target).sum(-1).mean(-1)
            return loss, {"train/loss": loss}
        log_prob, _ = self.distribution.evaluate(outputs, target, None)
        loss = -log_prob.mean(-1)
        parts = self.distribution.parts(outputs)
        predicted = torch.stack([part.argmax(-1) for part in parts], -1)
        accuracy = (predicted == target).all(-1).float().mean(-1)
        return loss, {"train/loss": loss, "train/accuracy": accuracy}

    def policy_over(
        self, network: QNetwork, pipeline: ObservationPipeline, seeds: Sequence[int], frozen: bool
    ) -> Cloned:
        policy = Cloned(seeds, pipeline, network, self.action_start, self.device)
        policy.distribution = self.distribution
        return policy

    def parts(self) -> dict[str, Any]:
        return {
            "learner": self.learner,
            "network": self.net,
            "window": self.window,
            "lookout": self.context,
            "teacher": self.teacher,
            "order": self.order,
            "normalizer": self.normalizer,
        }


class Cloned(NetworkPolicy):
    """The most probable action; with `deterministic=False` a sample, of categories."""

    distribution: Distribution

    def randomness(self) -> str:
        categories = not isinstance(self.distribution, Gaussian)
        return "actions drawn from its distribution" if categories else ""

    def choose(self, outputs: np.ndarray, deterministic: bool) -> np.ndarray:
        kind = self.distribution
        if deterministic or isinstance(kind, Gaussian):  # which has learned no deviation
            return kind.to_env(kind.mode(outputs))
        uniform = np.stack([g.random((outputs.shape[1], kind.actions)) for g in self.generators])
        return kind.to_env(kind.sample(outputs, uniform))
