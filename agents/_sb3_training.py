"""Seeds of a peer, one after the other: each is one `learn`, from which rows are handed over."""

from __future__ import annotations

import importlib
import random
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch

from rlbench.agents._sb3_networks import Sighted
from rlbench.errors import UserError
from rlbench.learning import judge
from rlbench.learning.evaluate import PULSE_SECONDS
from rlbench.learning.handover import handed_over
from rlbench.learning.importing import first_line
from rlbench.learning.outside import Outside
from rlbench.learning.seeds import lane_seed
from rlbench.learning.train import CHECK_EVERY, WINDOW, Plan
from rlbench.rows import Episode, Metric, Row, SeedEnded, Tick

if TYPE_CHECKING:
    from rlbench.agents._sb3 import Peer

BROKEN_WEIGHTS = "loss or weights became NaN or infinite"


class Broken(Exception):
    """A seed cannot go on: `status` is `failed` or `diverged`."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class SeedBySeed:
    """Trains the seeds of a peer. State can be saved between two of them, and nowhere else."""

    anew = "the seed under way began anew: Stable-Baselines3 cannot go on inside one"

    def __init__(self, agent: Peer, plan: Plan) -> None:
        self.agent, self.plan = agent, plan
        self.seeds = agent.seeds
        self.ended: list[int] = []
        self.seed_seconds: dict[int, float] = {}
        self.now = 0  # env steps of the seed under way
        self.work: Iterator[Any] = iter(())

    @property
    def seconds(self) -> float:
        return sum(self.seed_seconds.values())

    @property
    def step(self) -> int:
        """Env steps per seed: the mean over seeds, of which those that ended count whole."""
        total = len(self.ended) * self.plan.total_timesteps + self.now
        return total // len(self.seeds)

    def rows(self) -> Iterator[Row]:
        """Train all seeds that have not ended."""
        yield Tick(self.step, safe=True, milestone=True)
        for seed in self.seeds:
            if seed not in self.ended:
                for row in self._train(OneSeed(self.agent, seed, self.plan)):
                    yield Tick(self.step, safe=False) if isinstance(row, Tick) else row
                yield Tick(self.step, safe=True, milestone=True)

    def _train(self, one: OneSeed) -> Iterator[Row]:
        status, reason = "done", ""
        self.work = handed_over(one.learn)
        try:
            for given in self.work:
                self.now = one.num_timesteps
                self.seed_seconds[one.seed] = one.seconds
                if isinstance(given, str):
                    yield from self._evaluate(one, given)
                else:
                    yield from given
        except UserError:
            raise
        except Broken as error:
            status, reason = error.status, error.reason
        except Exception as error:  # of the environment, or of a library that met NaN
            fine = one.finite()
            status = "failed" if fine else "diverged"
            reason = f"{type(error).__name__}: {error}" if fine else BROKEN_WEIGHTS
        finally:
            self.close()
        self.seed_seconds[one.seed] = one.seconds
        if reason:
            reason = f"{reason} at step {one.num_timesteps}"
            self.agent.drop(one.seed)
        self.ended.append(one.seed)
        self.now = 0
        yield SeedEnded(one.seed, one.num_timesteps, status, reason)

    def _evaluate(self, one: OneSeed, phase: str) -> Iterator[Row]:
        broken: judge.Broken = {}
        counts = {"grid": self.plan.eval_episodes, "final": self.plan.final_episodes}
        yield from judge.episodes(one, phase, counts[phase], one.seconds, broken)
        for status, reason in broken.values():
            raise Broken(status, reason)

    def close(self) -> None:
        self.work.close()  # type: ignore[attr-defined]  # a generator

    def state(self) -> dict[str, Any]:
        """What the seeds that ended have learned."""
        return {
            "seeds": list(self.agent.seeds),
            "ended": self.ended,
            "seed_seconds": {str(seed): spent for seed, spent in self.seed_seconds.items()},
            "learned": {str(seed): part for seed, part in self.agent.learned.items()},
            "learned_from": {str(seed): n for seed, n in self.agent.learned_from.items()},
            "num_timesteps": self.agent.num_timesteps,
        }

    def restore(self, state: dict[str, Any]) -> bool:
        """Go on with the seeds that had not ended; False where there are any."""
        agent = self.agent
        for seed in set(agent.seeds) - set(state["seeds"]):
            agent.drop(seed)
        for seed, part in state["learned"].items():
            agent.keep_learned(int(seed), **part)
        agent.learned_from = {int(seed): n for seed, n in state["learned_from"].items()}
        agent.num_timesteps = state["num_timesteps"]
        self.ended = list(state["ended"])
        self.seed_seconds = {int(seed): spent for seed, spent in state["seed_seconds"].items()}
        return len(self.ended) == len(self.seeds)


class OneSeed:
    """One seed's model, from its first to its last step; what evaluation sees of it.

    `learn` gives lists of rows, and the name of a phase where it is to be evaluated.
    """

    def __init__(self, agent: Peer, seed: int, plan: Plan) -> None:
        self.agent, self.seed, self.plan = agent, seed, plan
        self.seeds: tuple[int, ...] = (seed,)
        self.make_env = agent.make_env
        self.num_timesteps, self.seconds = 0, 0.0
        self.model: Any = None
        self.rows: list[Row] = []
        self.ends: list[tuple[float, int]] = []  # of episodes in the last step
        self.recent: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        self.episodes = 0
        self.due: dict[str, Any] | None = None  # an evaluation, with the moments it is to see by

    def learn(self, give: Callable[[Any], None]) -> None:
        """Train to the end; runs in the thread of `handed_over`."""
        torch.set_num_threads(1)
        self.give, every = give, self.plan.every()
        self.clock = self.pulse = time.perf_counter()
        self.model = self._model()
        self.clock = self.pulse = time.perf_counter()
        if every:
            self._evaluate("grid", self._moments())
        self.model.learn(self.plan.total_timesteps, callback=self._step, log_interval=None)
        self._evaluate_due()
        self._check()
        self.agent.num_timesteps = self.num_timesteps
        self.agent.learned_from[self.seed] = self.samples
        self.agent.keep_learned(self.seed, self._weights(), self._moments())
        if self.plan.final_episodes:
            self._evaluate("final", self._moments())
        self._hand(self.rows)

    def _model(self) -> Any:
        """The model over our lanes, with the weights that the seed has learned before, if any."""
        agent, c = self.agent, self.agent.config
        vec_env = importlib.import_module("stable_baselines3.common.vec_env")
        make = agent.make_env
        if make is None:
            raise UserError("this agent was loaded without an environment: pass env= to load")
        lanes = [Lane(make(), lane_seed(self.seed, i), self.ends) for i in range(agent.n_envs)]
        env = vec_env.DummyVecEnv([lambda lane=lane: lane for lane in lanes])
        scaled = getattr(c, "normalize_reward", False)
        if c.normalize_obs or scaled:
            env = vec_env.VecNormalize(
                env, norm_obs=c.normalize_obs, norm_reward=scaled, gamma=c.gamma
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # advice on settings, which are what was asked for
                model = agent.make(self.seed, env)
        except (AssertionError, ValueError) as error:
            said = first_line(error)
            raise UserError(f"{agent.name()}: Stable-Baselines3 refuses: {said}") from None
        logger = importlib.import_module("stable_baselines3.common.logger").Logger
        model.set_logger(logger(None, []))
        if self.seed in agent.learned:
            weights = agent.learned[self.seed]["weights"]
            model.policy.load_state_dict({k: torch.as_tensor(v) for k, v in weights.items()})
        return model

    def _step(self, *_: Any) -> bool:
        """After every step of the environments; False once all of the budget was learned from."""
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
            self._hand([*self.rows, Tick(step, safe=False)])
        return True

    def _finished(self) -> None:
        for ret, length in self.ends:
            self.recent.append((ret, length))
            number, spent = self.episodes, round(self._spent(), 3)
            self.rows.append(Episode(self.seed, self.num_timesteps, number, ret, length, spent))
            self.episodes += 1
        self.ends.clear()

    def _metrics(self) -> None:
        spent = self._spent()
        values = dict(self.model.logger.name_to_value)
        for i, key in enumerate(("rollout/ep_rew_mean", "rollout/ep_len_mean")):
            if self.recent:
                values[key] = sum(end[i] for end in self.recent) / len(self.recent)
        values["time/fps"] = round(self.num_timesteps / max(spent, 1e-9), 1)
        values["time/time_elapsed"] = round(spent, 3)
        for key, value in values.items():
            self.rows.append(Metric(self.seed, self.num_timesteps, key, float(value)))

    def _evaluate_due(self) -> None:
        """Evaluate after the updates of the step at which it became due, if it did."""
        if self.due is not None:
            moments, self.due = self.due, None
            self._evaluate("grid", moments)

    def _evaluate(self, phase: str, moments: dict[str, Any]) -> None:
        self.seen_by = moments
        self._hand(self.rows)
        self._hand(phase)

    def _hand(self, item: Any) -> None:
        """Give rows or a phase; the caller's turn costs the seed no time and draws no number."""
        if item is self.rows or not isinstance(item, str):
            item, self.rows = list(item), []
        self.seconds = self._spent()
        with streams_kept(self.agent.device):
            self.give(item)
        self.clock = self.pulse = time.perf_counter()

    def _spent(self) -> float:
        return self.seconds + time.perf_counter() - self.clock

    def _check(self) -> None:
        if not self.finite():
            raise Broken("diverged", BROKEN_WEIGHTS)

    def finite(self) -> bool:
        """Whether all weights and the last loss are."""
        if self.model is None:
            return True
        loss = self.model.logger.name_to_value.get("train/loss", 0.0)
        weights = self.model.policy.parameters()
        return bool(np.isfinite(loss)) and all(bool(w.isfinite().all()) for w in weights)

    @property
    def samples(self) -> int:
        agent, updates = self.agent, self.model.logger.name_to_value.get("train/n_updates", 0)
        return agent.samples_of(agent.config, agent.n_envs, int(updates))

    def policy(self) -> Outside:
        """The policy as it is now, seeing by the moments of the step it is evaluated at."""
        return Outside(self.seeds, self.agent.spec, [Sighted(self.model.policy, self.seen_by)])

    def _weights(self) -> dict[str, np.ndarray]:
        state = self.model.policy.state_dict()
        return {key: value.detach().cpu().numpy().copy() for key, value in state.items()}

    def _moments(self) -> dict[str, np.ndarray]:
        """Copies of what observations are normalised by; nothing where they are not."""
        if not self.agent.config.normalize_obs:
            return {}
        moments = self.model.get_vec_normalize_env().obs_rms
        return {"mean": moments.mean.copy(), "var": moments.var.copy()}


class Lane(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A training environment: its first reset has our lane's reset seed; its ends are listed.

    Raises Broken where a reward or an observation is NaN or infinite.
    """

    def __init__(self, env: Any, reset_seed: int, ends: list[tuple[float, int]]) -> None:
        super().__init__(env)
        self.reset_seed: int | None = reset_seed
        self.ends, self.ret, self.length = ends, 0.0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        seed, self.reset_seed = self.reset_seed, None
        obs, info = self.env.reset(seed=seed, options=options)
        self.ret, self.length = 0.0, 0
        return self._checked(obs), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        obs, reward, ended, cut, info = self.env.step(action)
        reward = float(reward)
        if reward - reward:  # NaN where it is NaN or infinite
            raise Broken("diverged", "reward became NaN or infinite")
        self.ret += reward
        self.length += 1
        if ended or cut:
            self.ends.append((self.ret, self.length))
        return self._checked(obs), reward, ended, cut, info

    def _checked(self, obs: Any) -> Any:
        if not np.isfinite(obs).all():
            raise Broken("diverged", "observation became NaN or infinite")
        return obs


@contextmanager
def streams_kept(device: torch.device) -> Iterator[None]:
    """Nothing that is drawn inside moves the global generators, from which the library draws."""
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)  # noqa: NPY002
