"""Trainer of a peer: one seed after the other, each in one `learn` of the library."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from rlbench.errors import UserError
from rlbench.learning import global_generators
from rlbench.learning.evaluation import evaluation_rows
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.peers.generator_thread import handed_over
from rlbench.peers.sb3.single_seed import BROKEN_WEIGHTS, SingleSeedRun
from rlbench.rows import Heartbeat, Row, SeedEnded
from rlbench.user_code.calls import UserCodeError
from rlbench.user_code.imports import first_line

if TYPE_CHECKING:
    from rlbench.peers.sb3.agent import Peer


class SequentialTrainer:
    """Trainer of the seeds of a peer. State can be saved only between two seeds."""

    split = None  # the library's loop is its own
    resume_note = "the seed under way began anew: Stable-Baselines3 cannot go on inside one"

    def __init__(self, agent: Peer, plan: TrainingSchedule) -> None:
        self.agent, self.plan = agent, plan
        self.seeds = agent.seeds
        self.ended: list[int] = []
        self.seed_seconds: dict[int, float] = {}
        self.now = 0  # env steps of the seed under way
        self.work: Generator[Any, None, None] | None = None

    @property
    def seconds(self) -> float:
        """Seconds of training so far, of all seeds together."""
        return sum(self.seed_seconds.values())

    @property
    def step(self) -> int:
        """Env steps per seed: the mean over seeds; ended seeds count in full."""
        total = len(self.ended) * self.plan.total_timesteps + self.now
        return total // len(self.seeds)

    def rows(self) -> Iterator[Row]:
        """Train all seeds that have not ended."""
        yield Heartbeat(self.step, can_checkpoint=True, force_checkpoint=True)
        for seed in self.seeds:
            if seed not in self.ended:
                for row in self._train(SingleSeedRun(self.agent, seed, self.plan)):
                    yield row._replace(step=self.step) if isinstance(row, Heartbeat) else row
                yield Heartbeat(self.step, can_checkpoint=True, force_checkpoint=True)

    def _train(self, one: SingleSeedRun) -> Iterator[Row]:
        status, reason = "done", ""
        self.work = handed_over(one.learn)
        try:
            for rows, phase in self._turns():
                self.now = one.num_timesteps
                self.seed_seconds[one.seed] = one.seconds
                yield from rows
                yield Heartbeat(self.step, can_checkpoint=False)
                if phase:
                    yield from self._evaluate(one, phase)
        except UserError:
            raise
        except UserCodeError as fault:
            status, reason = fault.status, fault.reason()
        except Exception as error:  # of the environment, or of a library that met NaN
            fine = one.finite()
            status = "failed" if fine else "diverged"
            reason = f"{type(error).__name__}: {first_line(error)}" if fine else BROKEN_WEIGHTS
        finally:
            self._end_work()
        yield from one.taken()
        self.seed_seconds[one.seed] = one.seconds
        if reason:
            reason = f"{reason} at step {one.num_timesteps}"
            self.agent.drop(one.seed)
        self.ended.append(one.seed)
        self.now = 0
        yield SeedEnded(one.seed, one.num_timesteps, status, reason)

    def _turns(self) -> Iterator[tuple[list[Row], str]]:
        """Yield what the seed gives, with its own random generators during its turns."""
        while True:
            with global_generators.kept(self.agent.device):
                item = next(self.work, None) if self.work else None
            if item is None:
                return
            yield item

    def _evaluate(self, one: SingleSeedRun, phase: str) -> Iterator[Row]:
        broken: evaluation_rows.Broken = {}
        counts = {"grid": self.plan.eval_episodes, "final": self.plan.final_episodes}
        yield from evaluation_rows.episode_rows(
            one, phase, counts[phase], one.seconds, broken, self.plan.limit
        )
        for status, reason in broken.values():
            raise UserCodeError(status, reason)

    def _end_work(self) -> None:
        if self.work is not None:
            self.work.close()

    def close(self) -> None:
        """End the seed at work and close all environments."""
        self._end_work()
        if self.agent.make_env is not None:
            self.agent.make_env.close()

    def state(self) -> dict[str, Any]:
        """Return what the seeds that ended have learned."""
        return {
            "seeds": list(self.agent.seeds),
            "ended": self.ended,
            "seed_seconds": {str(seed): seconds for seed, seconds in self.seed_seconds.items()},
            "learned": {str(seed): part for seed, part in self.agent.learned.items()},
            "learned_from": {str(seed): n for seed, n in self.agent.learned_from.items()},
            "num_timesteps": self.agent.num_timesteps,
        }

    def restore(self, state: dict[str, Any]) -> bool:
        """Continue with the seeds that had not ended; False if there are any."""
        agent = self.agent
        for seed in set(agent.seeds) - set(state["seeds"]):
            agent.drop(seed)
        for seed, part in state["learned"].items():
            agent.keep_learned(int(seed), **part)
        agent.learned_from = {int(seed): n for seed, n in state["learned_from"].items()}
        agent.num_timesteps = state["num_timesteps"]
        self.ended = list(state["ended"])
        self.seed_seconds = {int(seed): seconds for seed, seconds in state["seed_seconds"].items()}
        return len(self.ended) == len(self.seeds)
