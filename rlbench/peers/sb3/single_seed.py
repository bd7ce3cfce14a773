"""One seed of a peer: the library's model in its own `learn`, as a generator of rows."""

from __future__ import annotations

import importlib
import time
import warnings
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rlbench.errors import UserError
from rlbench.learning import global_generators
from rlbench.learning.environments.calls import EnvCalls
from rlbench.learning.evaluation.episodes import PULSE_SECONDS
from rlbench.learning.policies.external_policy import ExternalPolicy
from rlbench.learning.rng import lane_seed
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import CHECK_EVERY, WINDOW
from rlbench.peers.sb3 import networks
from rlbench.peers.sb3.environments import Lane
from rlbench.rows import Episode, Metric, Row
from rlbench.user_code.calls import UserCodeError
from rlbench.user_code.imports import first_line

if TYPE_CHECKING:
    from rlbench.peers.sb3.agent import Peer

BROKEN_WEIGHTS = "loss or weights became NaN or infinite"


class SingleSeedRun:
    """Training of one seed's model, and what evaluation needs of it.

    `learn` gives pairs: rows, and the phase of the evaluation that is due, "" if none is.
    """

    def __init__(self, agent: Peer, seed: int, plan: TrainingSchedule) -> None:
        self.agent, self.seed, self.plan = agent, seed, plan
        self.seeds: tuple[int, ...] = (seed,)
        self.setting_of: tuple[int, ...] = (0,)
        self.make_env = agent.make_env
        self.num_timesteps, self.seconds = 0, 0.0
        self.threads = torch.get_num_threads()
        self.model: Any = None
        self.rows: list[Row] = []
        self.ends: list[tuple[float, int]] = []  # of episodes in the last step
        self.recent: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        self.episodes = 0
        self.due: dict[str, Any] | None = None  # due evaluation, with the normalisation to use

    def learn(self, give: Callable[[Any], None]) -> None:
        """Train to the end; runs in the thread of `handed_over`."""
        torch.set_num_threads(self.threads)  # a new thread starts from the default
        self.give, every = give, self.plan.every()
        self.clock = self.pulse = time.perf_counter()
        self.model = self._model()
        self.clock = self.pulse = time.perf_counter()
        if every:
            self._evaluate("grid", self._moments())
        try:
            self.model.learn(self.plan.total_timesteps, callback=self._step, log_interval=None)
        finally:
            EnvCalls.close(self.model.get_env())
        self._evaluate_due()
        self._check()
        self.agent.num_timesteps = self.num_timesteps
        self.agent.learned_from[self.seed] = self.samples
        self.agent.keep_learned(self.seed, self._weights(), self._moments())
        if self.plan.final_episodes:
            self._evaluate("final", self._moments())

    def _model(self) -> Any:
        """Make the model over our lanes, with the seed's previous weights, if any."""
        agent, c = self.agent, self.agent.config
        vec_env = importlib.import_module("stable_baselines3.common.vec_env")
        make = agent.make_env
        if make is None:
            raise UserError("this agent was loaded without an environment: pass env= to load")
        lanes = [
            Lane(make(), lane_seed(self.seed, i), self.ends, watch=i == 0)
            for i in range(agent.n_envs)
        ]
        env = vec_env.DummyVecEnv([lambda lane=lane: lane for lane in lanes])
        env = networks.channels_first(env, agent.spec, c)
        normalize = getattr(c, "normalize_reward", False)
        if c.normalize_obs or normalize:
            env = vec_env.VecNormalize(
                env, norm_obs=c.normalize_obs, norm_reward=normalize, gamma=c.gamma
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # the library's advice on settings, which are intended
                model = agent.make(self.seed, env)
        except (AssertionError, ValueError) as error:
            message = first_line(error)
            raise UserError(f"{agent.name()}: Stable-Baselines3 refuses: {message}") from None
        logger = importlib.import_module("stable_baselines3.common.logger").Logger
        model.set_logger(logger(None, []))
        if self.seed in agent.learned:
            weights = agent.learned[self.seed]["weights"]
            model.policy.load_state_dict({k: torch.as_tensor(v) for k, v in weights.items()})
        return model

    def _step(self, *_: Any) -> bool:
        """Handle a step of the environments; False once the whole budget was learned from."""
        self._evaluate_due()
        plan, n_envs, step = self.plan, self.agent.n_envs, self.model.num_timesteps
        if step - n_envs >= plan.total_timesteps:
            return False
        self.num_timesteps = step

        def crossed(interval: int) -> bool:
            return step // interval > (step - n_envs) // interval

        if self.ends:
            self._finished()
        if crossed(max(plan.total_timesteps // plan.log_points, 1)):
            self._metrics()
        every = plan.every()
        if every and crossed(every):
            self.due = self._moments()
        if crossed(CHECK_EVERY) or self.due is not None:
            self._check()
        if time.perf_counter() - self.pulse > PULSE_SECONDS:
            self._hand()
        return True

    def _finished(self) -> None:
        for ret, length in self.ends:
            self.recent.append((ret, length))
            number, seconds = self.episodes, round(self._spent(), 3)
            self.rows.append(Episode(self.seed, self.num_timesteps, number, ret, length, seconds))
            self.episodes += 1
        self.ends.clear()

    def _metrics(self) -> None:
        """Return the values of its logger, and ours of training episodes and time."""
        seconds = self._spent()
        values = dict(self.model.logger.name_to_value)
        for i, key in enumerate(("rollout/ep_rew_mean", "rollout/ep_len_mean")):
            if self.recent:
                values[key] = sum(end[i] for end in self.recent) / len(self.recent)
        values["time/fps"] = round(self.num_timesteps / max(seconds, 1e-9), 1)
        values["time/time_elapsed"] = round(seconds, 3)
        for key, value in values.items():
            self.rows.append(Metric(self.seed, self.num_timesteps, key, float(value)))

    def _evaluate_due(self) -> None:
        """Evaluate after the updates of the step at which evaluation became due."""
        if self.due is not None:
            moments, self.due = self.due, None
            self._evaluate("grid", moments)

    def _evaluate(self, phase: str, moments: dict[str, Any]) -> None:
        self.seen_by = moments
        self._hand(phase)

    def _hand(self, phase: str = "") -> None:
        """Give rows to the caller, whose turn costs the seed no time and no random numbers."""
        self.seconds = self._spent()
        with global_generators.kept(self.agent.device):
            self.give((self.taken(), phase))
        self.clock = self.pulse = time.perf_counter()

    def taken(self) -> list[Row]:
        """Return the rows that nobody has taken yet, and clear them."""
        rows, self.rows = self.rows, []
        return rows

    def _spent(self) -> float:
        return self.seconds + time.perf_counter() - self.clock

    def _check(self) -> None:
        if not self.finite():
            raise UserCodeError("diverged", BROKEN_WEIGHTS)

    def finite(self) -> bool:
        """Return whether all weights and the last loss are finite."""
        if self.model is None:
            return True
        losses = [value for key, value in self.model.logger.name_to_value.items() if "loss" in key]
        weights = self.model.policy.parameters()
        return bool(np.isfinite(losses).all()) and all(bool(w.isfinite().all()) for w in weights)

    @property
    def samples(self) -> int:
        """Number of steps learned from so far, with repetition."""
        agent, updates = self.agent, self.model.logger.name_to_value.get("train/n_updates", 0)
        return agent.samples_of(agent.config, agent.n_envs, int(updates))

    def policy(self) -> ExternalPolicy:
        """Return the current policy, with the normalisation of the step of its evaluation."""
        turn = networks.turned(self.agent.spec, self.agent.config)
        policy = networks.ObservationAwarePolicy(self.model.policy, self.seen_by, turn)
        return ExternalPolicy(self.seeds, self.agent.spec, [policy])

    def _weights(self) -> dict[str, np.ndarray]:
        state = self.model.policy.state_dict()
        return {key: value.detach().cpu().numpy().copy() for key, value in state.items()}

    def _moments(self) -> dict[str, np.ndarray]:
        """Copy the moments that observations are normalised by; empty without."""
        if not self.agent.config.normalize_obs:
            return {}
        moments = self.model.get_vec_normalize_env().obs_rms
        return {"mean": moments.mean.copy(), "var": moments.var.copy()}
