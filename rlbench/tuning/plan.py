"""Plan of a study: what is searched, where, on which seeds and how; the content of study.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from rlbench import registry
from rlbench.config import digest, read_seeds
from rlbench.errors import UserError
from rlbench.experiments.planning import plan as plan_run
from rlbench.experiments.preflight import preflight
from rlbench.experiments.run import Run
from rlbench.learning.agent import Agent
from rlbench.storage.locks import locked
from rlbench.storage.provenance import command, machine, now
from rlbench.storage.records import read_study
from rlbench.storage.run_folder import bounded, seed_ranges, write_json, writing
from rlbench.storage.run_names import short_env, steps_text
from rlbench.tuning import space
from rlbench.tuning.space import N_ENVS, Dimension

Objective = Literal["final", "curve"]
Aggregate = Literal["mean", "iqm"]
Sampler = Literal["tpe", "gp", "random", "grid"]
Prune = Literal["none", "halving"]
FIRST_SEED = 1000  # tuning seeds are from here up, reported seeds below
FOLDER = "studies"  # below the folder of results


class StudyPlan(BaseModel):
    """What a study searches. All fields determine its trials, so none may change later."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    agent: str
    envs: tuple[str, ...]
    steps: tuple[int, ...]  # of each environment
    seeds: tuple[int, ...]
    parameters: dict[str, Any]  # set for all trials
    preset: bool | str
    env_kwargs: dict[str, Any]
    n_envs: int | None
    space: dict[str, Any]  # as a space file has it
    objective: Objective
    aggregate: Aggregate
    sampler: Sampler
    prune: Prune
    eval_freq: int | None
    eval_episodes: int

    def dimensions(self) -> list[Dimension]:
        """Return the search space."""
        return space.parse(self.agent, self.space.items(), "study.json:")

    def name(self) -> str:
        """Return the name that a study has unless it is given one."""
        where = short_env(self.envs[0]) if len(self.envs) == 1 else f"{len(self.envs)}-envs"
        steps = steps_text(max(self.steps))
        return f"{self.agent}-{where}-{steps}-{self.digest()[:6]}".replace(":", "_")

    def digest(self) -> str:
        """Return what stands for the whole plan: other plans have others."""
        return digest(self.model_dump(mode="json"))

    def runs(
        self, setting: Mapping[str, Any], sources: Sequence[Any] = (), device: str = "auto"
    ) -> list[Run]:
        """Return the run of a setting in each environment, on the tuning seeds.

        `sources` are the environments as the runs of another setting have looked at them.

        Raises:
            UserError: The agent cannot take the setting.
        """
        given = dict(setting)
        n_envs = given.pop(N_ENVS, self.n_envs)
        return [
            plan_run(
                self.agent,
                env,
                self.seeds,
                parameters={**self.parameters, **given},
                preset=self.preset,
                total_timesteps=steps,
                n_envs=n_envs,
                env_kwargs=dict(self.env_kwargs),
                eval_freq=self.eval_freq,
                eval_episodes=self.eval_episodes,
                source=sources[at] if sources else None,
                device=device,
            )
            for at, (env, steps) in enumerate(zip(self.envs, self.steps, strict=True))
        ]

    def base(self) -> dict[str, Any]:
        """Return the values that the searched parameters have without the study, of the first env.

        Where the presets of several environments differ, it is one of several.
        """
        run = self.runs({})[0]
        values = run.config.model_dump(mode="json")
        return {
            each.name: run.n_envs if each.name == N_ENVS else values[each.name]
            for each in self.dimensions()
        }


class StudyFolder(NamedTuple):
    """Folder of a study: `study.json`, `journal.log`, and what comes out."""

    path: Path

    def open(self, plan: StudyPlan) -> None:
        """Create the folder, or check that it holds this plan.

        Raises:
            UserError: It cannot be written, or holds another study.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path, str(self.path), wait=60):
            file = self.path / "study.json"
            if file.exists():
                self._check(plan)
                return
            record = {
                "format": 1,
                "plan": plan.model_dump(mode="json"),
                "created": now(),
                "command": command(),
                **machine(("optuna", *registry.agent_class(plan.agent).libraries)),
            }
            write_json(file, record)

    def read(self) -> StudyPlan:
        """Return the plan in study.json.

        Raises:
            UserError: The file is missing or damaged.
        """
        file = self.path / "study.json"
        record = read_study(file)
        try:
            return StudyPlan(**record["plan"])
        except (KeyError, TypeError, ValidationError) as error:
            first = str(error).splitlines()[0]
            raise UserError(f"{file} is damaged ({first}): choose another --name") from None

    def _check(self, plan: StudyPlan) -> None:
        there, asked = (each.model_dump(mode="json") for each in (self.read(), plan))
        differing = [key for key, value in asked.items() if there[key] != value]
        if differing:
            raise UserError(
                f"{self.path} is a study with other {', '.join(differing)}: choose another --name, "
                "or repeat the command that began it"
            )


def study_folder(out: Path, name: str) -> StudyFolder:
    """Return the folder of a study below the folder of results."""
    return StudyFolder(out / FOLDER / bounded(name))


def study_plan(  # noqa: PLR0913
    agent: str,
    envs: Sequence[str],
    seeds: Sequence[int],
    *,
    dimensions: Sequence[Dimension],
    parameters: Mapping[str, Any],
    preset: bool | str,
    steps: int | None,
    n_envs: int | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    objective: Objective = "final",
    aggregate: Aggregate = "mean",
    sampler: Sampler = "tpe",
    prune: Prune = "none",
    eval_freq: int | None = None,
    eval_episodes: int = 10,
) -> StudyPlan:
    """Plan a study, and check that its agent and environments can be trained.

    Raises:
        UserError: Something does not go together. Nothing has been written then.
    """
    space.check(agent, dimensions, dict(parameters))
    if sampler == "grid" and (ranges := [d.name for d in dimensions if not d.choices]):
        raise UserError(
            f"--sampler grid tries every choice, and {ranges[0]} is a range: give "
            f"{ranges[0]}=a|b|c, or another sampler"
        )
    if prune == "halving" and registry.agent_class(agent).trainer is not Agent.trainer:
        raise UserError(
            f"--prune halving compares trials on the way, and {agent} trains one seed after the "
            "other: leave it out"
        )
    if eval_freq == 0:
        raise UserError("--eval-freq 0 evaluates at the end only, which is kept apart from tuning")
    plan = StudyPlan(
        agent=agent, envs=tuple(envs), steps=(0,) * len(envs), seeds=read_seeds(seeds),
        parameters=dict(parameters), preset=preset, env_kwargs=dict(env_kwargs or {}),
        n_envs=n_envs, space={each.name: each.text() for each in dimensions}, objective=objective,
        aggregate=aggregate, sampler=sampler, prune=prune, eval_freq=eval_freq,
        eval_episodes=eval_episodes,
    )  # fmt: skip
    totals, names = [], []
    for env in envs:
        run = plan_run(agent, env, plan.seeds, parameters=dict(parameters), preset=preset,
                       total_timesteps=steps, n_envs=n_envs, env_kwargs=dict(plan.env_kwargs),
                       eval_freq=eval_freq, eval_episodes=eval_episodes)  # fmt: skip
        preflight(run, play=False)
        if run.total_timesteps < 1:
            raise UserError(f"{agent} trains for no steps: give -n STEPS")
        totals.append(run.total_timesteps)
        names.append(run.env)
    if len(set(names)) < len(names):
        raise UserError("--env names an environment twice")
    return plan.model_copy(update={"steps": tuple(totals), "envs": tuple(names)})


def apart(tuning: Sequence[int], confirming: Sequence[int]) -> None:
    """Check that no seed is tuned and reported on.

    Raises:
        UserError: Some are.
    """
    if both := sorted(set(tuning) & set(confirming)):
        raise UserError(
            f"seeds {seed_ranges(both)} are tuned on and confirmed on, and a setting looks better "
            "than it is on seeds it was chosen by: give other --confirm-seeds or --seeds"
        )
