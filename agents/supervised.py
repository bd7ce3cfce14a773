"""Supervised: a classifier that is shown the labels, on the same images as the agents.

It stands in the same environments, sees the same images in the same order, has the same networks
and writes the same rows; only that it learns from labels (cross-entropy, or squared error) where
agents learn from rewards. What rewards cost is the difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field as field
from torch import Tensor

from rlbench.config import Float, Int
from rlbench.errors import UserError
from rlbench.learning import row_values
from rlbench.learning.agent import Agent
from rlbench.learning.data.normalization import Normalizer
from rlbench.learning.data.preprocessing import LaneContext, ObservationPipeline
from rlbench.learning.data.step_window import StepWindow
from rlbench.learning.environments.facts import EnvFacts, check_labels
from rlbench.learning.environments.lanes import Step
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.equations import losses
from rlbench.learning.networks.action_distributions import distribution
from rlbench.learning.networks.layers import Generators
from rlbench.learning.networks.models import QNetwork, sizes
from rlbench.learning.optim.learner import Aux, Learner, LearnerConfig, Metrics
from rlbench.learning.policies.network_policies import GreedyQ
from rlbench.learning.rng import RandomStream, generator
from rlbench.learning.training.best_weights import BestWeights

_MISTAKES = "rollout/mistakes"


class SupervisedConfig(LearnerConfig):
    """Parameters of supervised learning. A step shows one image, or a part of one, in each lane."""

    learning_rate: Float = field(1e-3, gt=0, description="step size of the optimiser")
    max_grad_norm: Float | None = field(
        None, gt=0, description="largest gradient norm of a seed; none: no clipping"
    )
    batch_size: Int = field(
        64, ge=1, description="images per update and seed, which are shown at once"
    )
    loss: Literal["cross_entropy", "mse"] = field(
        "cross_entropy",
        description="cross-entropy of a softmax, or squared error to one-hot label",
    )
    class_weight: Literal["none", "balanced"] = field(
        "none", description="balanced: every class counts as much, however rare its images are"
    )
    feedback: Literal["full", "bandit"] = field(
        "full",
        description="full: every label; bandit: it draws its answers from its softmax and learns "
        "the label only of those that were right",
    )
    keep_best: bool = field(
        True,
        description="end with the weights that were best on validation images (early stopping, "
        "per seed)",
    )


class Supervised(Agent):
    """S classifiers, each with its own order of the images."""

    Config = SupervisedConfig
    version = 1
    action_spaces = (spaces.Discrete,)
    env_bytes = 200  # they are batched
    takes_settings = True
    config: SupervisedConfig

    def build(self) -> None:
        c, seeds = self.config, len(self.seeds)
        self.q = self.network([generator(seed, "init") for seed in self.seeds], c)
        self.learner = Learner(self.q, c, self.device, by_row=self.by_row)
        self.best = BestWeights(self.learner.stack)
        self.normalizer = Normalizer(seeds, self.spec) if c.normalize_obs else None
        self.context = LaneContext(
            self.spec, self.q.state_size, (seeds, self.n_envs), self.normalizer
        )
        self.distribution = distribution(self.action_space)
        self.draws = RandomStream(self.seeds, "exploration", (self.n_envs, 1))
        self.predicts_labels = c.feedback == "bandit"
        if not self.predicts_labels:  # else the lanes count its answers
            self.metrics[_MISTAKES] = torch.zeros(seeds, device=self.device)
        steps, self.weights = 1, None
        if self.make_env is not None:
            data = self.env_facts.data
            assert data is not None  # see check_env
            steps = data.image_steps
            if c.class_weight == "balanced":
                counts = np.zeros(self.n_classes, np.int64)
                counts[: len(data.label_counts)] = data.label_counts
                share = counts.sum() / (self.n_classes * np.maximum(counts, 1))
                self.weights = torch.from_numpy(share.astype(np.float32)).to(self.device)
        # With a memory it learns from whole images, each from an empty memory on.
        self.window = StepWindow(steps if self.q.state_size else 1)

    def network(self, generators: Generators, config: SupervisedConfig) -> QNetwork:
        return QNetwork(generators, self.spec, self.n_classes, config)

    @property
    def n_classes(self) -> int:
        """Number of classes, as the actions name them."""
        return int(self.action_space.n)  # type: ignore[attr-defined]  # checked: Discrete

    @classmethod
    def usual_envs(cls, config: Any) -> int:
        return config.batch_size

    @classmethod
    def check_env(cls, facts: EnvFacts, config: Any, n_envs: int) -> None:
        super().check_env(facts, config, n_envs)
        check_labels(facts, cls.name())
        if n_envs != config.batch_size:
            raise UserError(
                f"{cls.name()} shows a batch at once: set batch_size={n_envs} instead of n_envs"
            )

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        of = sizes(QNetwork, spec, int(action_space.n), config)
        pixels = math.prod(spec.seen)
        copies = 1 + Learner.copies(config)  # the best weights too
        return {
            "images": seeds * n_envs * pixels * (spec.dtype.itemsize + 4),
            "networks": 4 * seeds * copies * of.parameters,
            "updates": seeds * of.update(n_envs, spec),
        }

    def act(self, obs: np.ndarray) -> np.ndarray:
        context = self.context
        inputs, hidden, frames = context.see(obs, context.carry, context.episode_start)
        context.pending = {"seen": inputs, "first": np.asarray(context.episode_start)}
        uniform = self.draws.next()  # (S, N, 1)
        if self.predicts_labels:
            outputs, hidden = self.q.act(inputs, hidden, self.device)
            action = self.distribution.to_env(self.distribution.sample(outputs, uniform, None))
        else:  # labels do not depend on actions; where to look in Glimpse is not taught
            action = (uniform[..., 0] * self.n_classes).astype(np.int64)
        context.carry = (*frames, hidden) if self.q.state_size else frames
        return action

    def observe(self, step: Step) -> Metrics:
        c, context, answer = self.config, self.context, step.answer
        if answer is None:
            raise UserError(f"{self.name()} needs labels: step.answer of image data")
        taught = answer.answered & answer.right if c.feedback == "bandit" else answer.answered
        if self.q.state_size or answer.answered.any():
            self.window.add(**context.pending, label=answer.label, taught=taught)
        context.episode_start = step.terminated | step.truncated
        if self.normalizer is not None:
            self.normalizer.update(step.obs)
        self.num_timesteps += self.n_envs
        if self.window.full():
            self.update(**self.window.take(self.device))
        return self.metrics

    def on_env_reset(self) -> None:
        self.context.reset()
        self.window.clear()

    def update(self, seen: Tensor, first: Tensor, label: Tensor, taught: Tensor) -> None:
        """One gradient step of every seed: fields (S, N, T, ...), taught where a label is shown."""
        rate, samples = self.learner.rate(self.progress()), label[0].numel()
        fields = {"seen": seen, "first": first, "label": label, "taught": taught}
        metrics, aux = self.learner.step(self.objective, rate, samples, **fields)
        self.metrics |= metrics
        if _MISTAKES in self.metrics:  # else it goes on from an older file, which has no count
            before = torch.as_tensor(self.metrics[_MISTAKES], device=self.device)
            self.metrics[_MISTAKES] = before + aux["wrong"]
        self.metrics["train/learning_rate"] = row_values.metric(rate)
        self.metrics["train/n_updates"] = self.learner.optimizer.updates

    def objective(
        self, seen: Tensor, first: Tensor, label: Tensor, taught: Tensor
    ) -> tuple[Tensor, Metrics, Aux]:
        """`loss` of these fields, `(S,)`; how many were named wrongly before this update."""
        if self.q.state_size:
            empty = torch.zeros(*first.shape[:2], self.q.state_size, device=self.device)
            outputs, _ = self.q.unroll(seen, empty, first.float())
        else:
            outputs = self.q.forward(seen.flatten(1, 2))
        label, taught = label.flatten(1), taught.flatten(1).float()  # (S, B)
        loss = self.loss(outputs, label, taught)
        correct = (outputs.detach().argmax(-1) == label).float()
        count, right = taught.sum(-1), (correct * taught).sum(-1)
        metrics = {"train/loss": loss, "train/accuracy": right / count.clamp(min=1)}
        return loss, metrics, {"wrong": count - right}

    def loss(self, outputs: Tensor, label: Tensor, taught: Tensor) -> Tensor:
        """Weighted mean loss over what is taught: (S, B, classes), (S, B), (S, B) -> (S,)."""
        each = losses.CLASSIFICATION[self.config.loss](outputs, label)
        weight = taught if self.weights is None else taught * self.weights[label]
        return losses.weighted_mean(each, weight)

    @property
    def keeps_best(self) -> bool:
        return self.config.keep_best

    def on_validation(self, accuracy: np.ndarray, balanced: np.ndarray) -> None:
        equal = self.config.class_weight == "balanced"  # judged by what it learns for
        self.best.update(self.learner.stack, balanced if equal else accuracy)

    def before_final_evaluation(self) -> None:
        if self.keeps_best:
            self.best.restore_best(self.learner.stack)

    def policy_over(
        self, network: QNetwork, pipeline: ObservationPipeline, seeds: Sequence[int], frozen: bool
    ) -> GreedyQ:
        policy = GreedyQ(seeds, pipeline, network, self.action_start, self.device)
        policy.exploration_rate = lambda: 0.0
        policy.meaning = "logit"
        return policy

    def parts(self) -> dict[str, Any]:
        return {
            "learner": self.learner,
            "network": self.q,
            "best": self.best,
            "window": self.window,
            "lookout": self.context,
            "draws": self.draws,
            "normalizer": self.normalizer,
        }
