"""Base of classical learners: scikit-learn's estimators as entrants.

They act in the agents' environments and collect the labelled images that are shown; when a policy
is needed, a model is fitted to the images so far. So their accuracy has the same axes. Only this
file imports scikit-learn, and only when a model is made.
"""

from __future__ import annotations

import functools
import importlib
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from rlbench.errors import UserError
from rlbench.learning.agent import Agent
from rlbench.learning.core.agent_core import Metrics
from rlbench.learning.data.preprocessing import Carry
from rlbench.learning.environments.facts import EnvFacts
from rlbench.learning.environments.lanes import Step
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.hardware import memory_budget
from rlbench.learning.policies.policy import Policy
from rlbench.learning.rng import generator

_LOG = logging.getLogger("rlbench")
MAJORITY = "dummy.DummyClassifier"


class ImageCollector:
    """First `most` images that each of S seeds has seen, with their labels.

    That is one pass: later images have been seen already (except under `CountedLanes`).
    """

    def __init__(self, most: int) -> None:
        self.most, self.count = most, 0
        self.pages: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, images: np.ndarray, labels: np.ndarray) -> None:
        """Add images `(S, N, ...)` and labels `(S, N)`."""
        room = self.most - self.count
        if room > 0:
            self.pages.append((images[:, :room], labels[:, :room]))
            self.count += self.pages[-1][1].shape[1]

    def of(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Return images (n, ...) and labels (n,) of one seed, in order of time."""
        images, labels = zip(*((page[row], names[row]) for page, names in self.pages), strict=True)
        return np.concatenate(images), np.concatenate(labels)

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        if not self.pages:
            return {}
        images, labels = zip(*self.pages, strict=True)
        return {"images": np.concatenate(images, 1), "labels": np.concatenate(labels, 1)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.pages = [(state["images"], state["labels"])] if state else []
        self.count = self.pages[0][1].shape[1] if state else 0


class ClassicalLearner(Agent):
    """S models, each fitted to its seed's images; fields of `Config` are scikit-learn's."""

    estimator = ""  # `module.Class` of scikit-learn
    blind = False  # True: needs the labels only, not the images
    action_spaces = (spaces.Discrete,)
    env_bytes = 200  # they are batched
    seed_cost = 1.0
    default_envs = 50  # few images beyond the end of a pass
    saturates = True
    predicts_labels = False

    def build(self) -> None:
        most = 0  # loaded without an environment: no further images
        if self.make_env is not None:
            data = self.env_facts.data
            assert data is not None  # see check_env
            most = data.pass_steps
            self._check_images(most)
        self.album = ImageCollector(most)
        self.models: dict[int, tuple[int, Any]] = {}  # by row, with how many images it is fitted to

    def _check_images(self, most: int) -> None:
        """Check the memory for images, whose number is not known before."""
        pixels = 0 if self.blind else most * int(np.prod(self.spec.shape))
        seeds = len(self.seeds)
        sizes = {
            "images": seeds * pixels * self.spec.dtype.itemsize,
            "models": 4 * (seeds + 2) * pixels,  # those of knn hold all images as float32
        }
        memory_budget.check(sizes, torch.device("cpu"), f"{self.name()} with {seeds} seeds")

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        return {}  # see `_check_images`

    @classmethod
    def usual_steps(cls, config: Any, facts: EnvFacts) -> int:
        return facts.data.pass_steps if facts.data else super().usual_steps(config, facts)

    @classmethod
    def check_env(cls, facts: EnvFacts, config: Any, n_envs: int) -> None:
        super().check_env(facts, config, n_envs)
        data = facts.data if isinstance(facts.observation_space, spaces.Box) else None
        if data is None or data.pass_steps > data.sizes["train"]:
            raise UserError(
                f"{cls.name()} needs a whole image and its label in every step: Classify, Stream "
                "or Imbalanced, such as rlbench/Classify-Digits-v0"
            )

    def act(self, obs: np.ndarray) -> np.ndarray:
        return np.zeros(obs.shape[:2], np.int64)  # labels come whatever it does

    def observe(self, step: Step) -> Metrics:
        if step.answer is None or not step.answer.answered.all():
            raise UserError(f"{self.name()} needs the label of an image in every step")
        images = np.empty((*step.reward.shape, 0)) if self.blind else step.obs
        self.album.add(images, step.answer.label)
        self.num_timesteps += self.n_envs
        return self.metrics

    def policy(self, seed: int | None = None, setting: int | None = None) -> FittedClassifier:
        """Fit models to the images so far; before the first image, the answer is 0."""
        rows = self.row(seed, setting)
        late = [self.seeds[row] for row in rows if not self.fit(row)]
        if late:
            _LOG.warning(
                "%s did not converge on %d images (seeds %s): raise max_iter for a better fit",
                *(self.name(), self.album.count, ", ".join(map(str, late))),
            )
        models = [self.models[row][1] for row in rows]
        return FittedClassifier(
            [self.seeds[row] for row in rows], self.spec, self.action_start, models
        )

    def before_evaluation(self) -> None:
        self.policy()

    def live_policy(self) -> FittedClassifier:
        return self.policy()

    def fit(self, row: int) -> bool:
        """Fit the model of a seed if there are new images; False if it did not converge."""
        if self.models.get(row, (-1, None))[0] == self.album.count:
            return True
        self.models[row] = 0, None
        if not self.album.count:
            return True
        images, labels = self.album.of(row)
        # Most estimators ask for two classes at least.
        model = self._made(self.estimator if np.ptp(labels) else MAJORITY, row)
        with warnings.catch_warnings(record=True) as caught, one_thread():
            warnings.simplefilter("always")
            model.fit(numbers(images, self.spec), labels)
        late = [w for w in caught if w.category.__name__ == "ConvergenceWarning"]
        for other in caught:
            if other not in late:
                warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
        self.models[row] = len(labels), model
        return not late

    def _made(self, name: str, row: int) -> Any:
        """Make an estimator of scikit-learn with our parameters; `n_jobs` defaults to 1."""
        module, _, kind = name.rpartition(".")
        estimator = getattr(importlib.import_module(f"sklearn.{module}"), kind)()
        state = int(generator(self.seeds[row], "init").integers(2**31))
        arguments, defaults = {**self.parameters(), "random_state": state}, estimator.get_params()
        return estimator.set_params(**{key: arguments[key] for key in arguments if key in defaults})

    def parameters(self) -> dict[str, Any]:
        """Return the arguments of the estimator."""
        return self.config.model_dump()

    @property
    def samples(self) -> int:
        """Number of images per seed that models are fitted to."""
        return self.album.count

    def diverged(self) -> dict[int, str]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.models.clear()

    def parts(self) -> dict[str, Any]:
        return {"album": self.album}


class FittedClassifier(Policy):
    """Policy of fitted models; answers 0 where there is none yet (None)."""

    def __init__(
        self, seeds: Sequence[int], spec: ObsSpec, action_start: int, models: Sequence[Any]
    ) -> None:
        super().__init__(seeds, spec, action_start)
        self.models = models

    def step(
        self, obs: np.ndarray, carry: Carry | None, first: np.ndarray, deterministic: bool
    ) -> tuple[np.ndarray, None]:
        action = np.zeros(obs.shape[:2], np.int64)
        with one_thread():
            for row, model in enumerate(self.models):
                if model is not None:
                    action[row] = model.predict(numbers(obs[row], self.spec))
        return action, None


def numbers(images: np.ndarray, spec: ObsSpec) -> np.ndarray:
    """Flatten `(n, *obs)` to (n, features) float32, with bytes scaled to [0, 1]."""
    if not images.size:
        return np.empty((len(images), 0), np.float32)
    return images.reshape(len(images), -1) * np.float32(spec.parts[0].scale)


def one_thread() -> Any:
    """Limit scikit-learn's libraries to one thread within the block, as everything here."""
    return _libraries().limit(limits=1)


@functools.cache
def _libraries() -> Any:
    importlib.import_module("sklearn.neighbors")  # only loaded libraries can be limited
    return importlib.import_module("threadpoolctl").ThreadpoolController()
