"""TD3+BC: TD3 on recorded episodes alone, held to their actions (Fujimoto & Gu 2021).

The policy maximises the value of its actions, scaled by the size of values, less its squared
distance from the recorded ones. Nothing acts in an environment but evaluation: a step is an update.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field as field
from torch import Tensor

from rlbench.agents.td3 import TD3, TD3Config
from rlbench.config import Float, Int, IntList
from rlbench.errors import UserError
from rlbench.learning.algorithms.off_policy import make_updates
from rlbench.learning.algorithms.recorded_replay import RecordedReplay
from rlbench.learning.data import recorded_episodes
from rlbench.learning.data.recorded_lanes import IdleLanes
from rlbench.learning.data.replay import Field
from rlbench.learning.environments.batched_lanes import Lanes
from rlbench.learning.environments.facts import EnvFacts
from rlbench.learning.environments.lanes import Step
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.equations import losses, returns
from rlbench.learning.networks import encoders
from rlbench.learning.optim.learner import LearnerConfig, Metrics

_TD3: dict[str, Any] = dict(TD3Config.model_fields)  # fields that mean the same here


class TD3BCConfig(LearnerConfig):
    """Parameters of TD3+BC; names are Stable-Baselines3's, and `alpha` is the paper's."""

    vector_arch: ClassVar[tuple[int, ...]] = (256, 256)
    source: str = field("", description="recorded episodes to learn from: minari:ID")
    alpha: Float = field(
        2.5, ge=0, description="weight of values against closeness to recorded actions"
    )
    net_arch: IntList | None = field(
        None, description=str(_TD3["net_arch"].description).replace("400,300", "256,256")
    )
    learning_rate: Float = field(3e-4, gt=0, description="step size of the optimisers")
    max_grad_norm: Float | None = _TD3["max_grad_norm"]
    normalize_obs: bool = field(
        True, description="observations minus mean, over deviation, of the data (vectors)"
    )
    n_critics: Int = _TD3["n_critics"]
    gamma: Float = _TD3["gamma"]
    tau: Float = _TD3["tau"]
    batch_size: Int = field(256, ge=1, description="transitions per update, per seed")
    policy_delay: Int = _TD3["policy_delay"]
    target_policy_noise: Float = _TD3["target_policy_noise"]
    target_noise_clip: Float = _TD3["target_noise_clip"]
    # What td3 collects its data by.
    noise_type: ClassVar[None] = None
    buffer_size: ClassVar[int] = 1
    n_steps: ClassVar[int] = 1
    burn_in: ClassVar[int] = 0

    def arch(self, kinds: Sequence[str], own: bool) -> tuple[int, ...]:
        """Widths as those of td3."""
        return super().arch(kinds, False)

    def identity(self) -> dict[str, Any]:
        return recorded_episodes.identity(self)

    def check(self) -> None:
        if not recorded_episodes.is_recorded(self.source):
            raise UserError(
                "td3-bc learns from recorded episodes: rlbench run td3-bc --env ENV --from "
                "minari:ID (in Python source=)"
            )
        if encoders.parse(self.encoder)[1] or self.frame_stack > 1:
            raise UserError(
                "td3-bc learns from single steps: leave out frame_stack, and name an encoder "
                "without a memory"
            )
        if self.net_arch == () and not self.heads():
            raise UserError(
                "net_arch=[] leaves critics that are linear in the action: give a width"
            )


class TD3BC(TD3):
    """S agents that learn from the same recorded episodes, each in an order of its own."""

    Config = TD3BCConfig  # type: ignore[assignment]  # without what collects data
    version = 1
    config: TD3BCConfig  # type: ignore[assignment]
    replay: RecordedReplay  # type: ignore[assignment]

    def build(self) -> None:
        super().build()
        self.updates = make_updates(
            self, [self.replay.draws, self.learning_noise], phase=self.phase
        )

    def make_replay(self, fields: dict[str, Field], state_size: int) -> Any:
        """Sample recorded episodes, which stay when seeds are cut."""
        c, before = self.config, vars(self).get("replay")
        read = functools.partial(recorded_episodes.read, c.source, self.spec, self.action_space)
        known = before.read if before else functools.cache(read)
        return RecordedReplay(known, self.distribution, self.seeds, c.batch_size, self.device)

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        one = math.prod(spec.shape) * spec.raw.itemsize + 4 * int(np.prod(action_space.shape))
        parts = super().estimate_bytes(config, spec, action_space, seeds, n_envs)
        return {**parts, "replay": 2 * (one + 8) * recorded_episodes.known_steps(config.source)}

    @classmethod
    def first_update(cls, config: Any, n_envs: int) -> int:
        return 0

    @classmethod
    def check_env(cls, facts: EnvFacts, config: Any, n_envs: int) -> None:
        super().check_env(facts, config, n_envs)
        if n_envs != 1:
            raise UserError("td3-bc trains in no environments: leave out --n-envs (n_envs=1)")

    @classmethod
    def check_start(cls, config: TD3BCConfig, facts: EnvFacts) -> None:
        """Refuse a data set of other spaces, before a run begins."""
        spec = ObsSpec(facts.observation_space)
        recorded_episodes.check(config.source, spec, facts.action_space)

    def set_horizon(self, total_timesteps: int) -> None:
        self.replay.load()
        if self.normalizer is not None:
            self.normalizer.restore(self.replay.moments())
        super().set_horizon(total_timesteps)

    def lanes(self) -> Lanes:
        return IdleLanes(self.seeds, self.spec)

    def act(self, obs: np.ndarray) -> np.ndarray:
        return np.zeros((*obs.shape[:2], *self.distribution.shape), self.distribution.box)

    def observe(self, step: Step) -> Metrics:
        self.num_timesteps += self.n_envs
        self.learn_now(1)
        return self.metrics

    def objective(self, **batch: Tensor) -> tuple[Tensor, Metrics]:
        """Loss of the policy, `(S,)` (eq. 3 and 5): of values, and of recorded actions."""
        replayed = self.replayed(**batch)
        action = replayed.policy(self.actor).tanh()
        value = replayed.values_of(self.critics, action)[:, 0]
        size = returns.mean(value.detach().abs())
        distance = losses.squared(action, batch["action"]).flatten(1)
        cloning = returns.mean(distance)
        loss = cloning - self.by_row.tensor("alpha", 1) * returns.mean(value) / size
        return loss, {"train/actor_loss": loss, "train/bc_loss": cloning}
