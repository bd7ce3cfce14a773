"""The interface shaped like Stable-Baselines3's, so that habits and tools carry over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from rlbench.config import HABITS
from rlbench.errors import UserError
from rlbench.learning import serialization
from rlbench.user_code.trust import trusting

if TYPE_CHECKING:
    import torch

    from rlbench.learning.policies.policy import Policy


def refuse_others(function: str, others: dict[str, Any]) -> None:
    """Refuse arguments that a function has not, with what there is instead."""
    for name in others:
        raise UserError(f"{function} has no argument '{name}'.{HABITS.get(name, '')}")


class Interface:
    """`learn`, `predict`, `save` and `load` of every agent."""

    seeds: tuple[int, ...]

    def learn(
        self,
        total_timesteps: int,
        callback: Callable[[Any], Any] | Sequence[Callable[[Any], Any]] | None = None,
        *,
        eval_freq: int | Literal["auto"] | None = "auto",
        eval_episodes: int = 10,
        eval_max_steps: int | None = None,
        progress_bar: bool = False,
        log_interval: int | None = None,
        **others: Any,
    ) -> Self:
        """Train for `total_timesteps` env steps per seed; returns self.

        `callback`, or each of a list, gets every row (training episodes, evaluations, metrics,
        ended seeds, see `rlbench.rows`); training stops when it returns False.
        `eval_freq` is in env steps per seed; 0 evaluates never, None at ten points; "auto" is None
        for agents that keep their best weights (`keep_best=true`), since evaluation finds these,
        else 0. Evaluation cuts an episode after `eval_max_steps`: by default at the environment's
        own limit, else after a tenth of the steps trained, but 1,000 at least and 27,000 at most.
        With `verbose=1`, `log_interval` says how often a table is printed: each time so many
        hundredths of training have passed, 5 by default, which are 20 tables (Stable-Baselines3
        counts episodes, or rollouts; here seeds train side by side and end theirs at different
        steps). Every evaluation prints a table of its own.
        Learning again starts schedules and the training environments anew, with the weights
        reached. A seed that fails or diverges is cut out, with a warning in the log `rlbench`.
        """
        from rlbench.learning.training import trainer

        refuse_others("learn", others)
        trainer.learn(
            cast(Any, self), total_timesteps, callback, eval_freq, eval_episodes, eval_max_steps,
            progress_bar, log_interval,
        )  # fmt: skip
        return self

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Actions of a one-seed agent as Stable-Baselines3 gives them: (action, state)."""
        if not self.seeds:
            raise UserError("every seed of this agent failed or diverged: there is nothing left")
        if len(self.seeds) != 1:
            raise UserError(
                f"this agent holds seeds {list(self.seeds)}: "
                f"use agent.policy(seed={self.seeds[0]}).predict(...)"
            )
        return self.live_policy().predict(observation, state, episode_start, deterministic)

    def live_policy(self) -> Policy:
        """The policy over the weights in training, not a frozen copy."""
        raise NotImplementedError

    def save(self, path: str | Path, replay: bool = True) -> Path:
        """Write all seeds to one file of arrays and JSON: everything that training depends on.

        `replay=False` leaves the replay memory out, for a small file to act with; training that
        goes on from there begins with an empty one.
        """
        return serialization.save(cast(Any, self), path, replay)

    @classmethod
    def load(
        cls,
        path: str | Path,
        env: Any = None,
        *,
        seed: int | None = None,
        device: str | torch.device = "auto",
        trust: bool = False,
        verbose: int = 0,
        **others: Any,
    ) -> Self:
        """Read what `save` wrote; `seed` picks one of the seeds.

        The file holds no code. If it names an encoder of your own, that class is imported: from
        installed packages, or with `trust=True` from the current folder too.

        Raises:
            UserError: the file is missing, broken, of another agent, or names an encoder that is
                not trusted.
        """
        refuse_others("load", others)
        with trusting(trust):
            return serialization.load(cast(Any, cls), path, env, seed, device, verbose)
