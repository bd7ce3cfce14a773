"""Commands that vary parameters: tune and sensitivity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rlbench.cli import completion, options
from rlbench.console.spinner import spinner
from rlbench.errors import UserError
from rlbench.execution.executor_choice import ExecutorChoice
from rlbench.execution.executors import parallel_jobs
from rlbench.execution.stopping import StopSignal
from rlbench.process import configure_process

OBJECTIVES, AGGREGATES = ("final", "curve"), ("mean", "iqm")
SAMPLERS, PRUNERS = ("tpe", "gp", "random", "grid"), ("none", "halving")


@click.command(short_help="Search for parameters of an agent, on seeds of its own.")
@click.argument("agent", shell_complete=completion.agents)
@click.option(
    "--env", "envs", required=True, multiple=True, shell_complete=completion.envs,
    help="Where. Repeated: one setting for all, by scores normalised over the trials.",
)  # fmt: skip
@click.option(
    "-s", "--search", "searched", multiple=True, metavar="NAME=VALUES",
    help="Search a parameter (repeatable): learning_rate=log:1e-5..1e-2, gamma=lin:0.9..0.999, "
    "n_epochs=int:1..20, batch_size=32|64. [default: the agent's usual ranges]",
)  # fmt: skip
@click.option(
    "--space", type=click.Path(path_type=Path), metavar="FILE.toml",
    help="The same, from a file.",
)  # fmt: skip
@click.option(
    "--trials", type=click.IntRange(min=1),
    help="Settings to try altogether.  [default: 64, or all of a grid]",
)  # fmt: skip
@click.option(
    "--seeds", default="5", show_default=True,
    help="Seeds of each trial: 5 (= 1000 to 1004), 1000-1009, or a list.",
)  # fmt: skip
@options.steps
@click.option(
    "-p", "parameters", multiple=True, metavar="KEY=VALUE",
    help="Set a parameter in all trials (repeatable).",
)  # fmt: skip
@options.preset
@click.option("--n-envs", type=click.IntRange(min=1), help="Environments per seed.")
@click.option("--env-kwargs", help="Arguments of the environment, as in rlbench run.")
@click.option(
    "--sampler", type=click.Choice(SAMPLERS), default="tpe", show_default=True,
    help="How the next trials are chosen; grid tries all choices.",
)  # fmt: skip
@click.option(
    "--prune", type=click.Choice(PRUNERS), default="none", show_default=True,
    help="halving: at a quarter and a half of training only the better half goes on.",
)  # fmt: skip
@click.option(
    "--objective", type=click.Choice(OBJECTIVES), default="final", show_default=True,
    help="Score of a seed: its last evaluation on the grid, or the mean of all.",
)  # fmt: skip
@click.option(
    "--aggregate", type=click.Choice(AGGREGATES), default="mean", show_default=True,
    help="Score of a trial from those of its seeds.",
)  # fmt: skip
@click.option("--eval-freq", type=click.IntRange(min=0), help="As in rlbench run.")
@click.option(
    "--eval-episodes", type=click.IntRange(min=1), default=10, show_default=True,
    help="Episodes per seed and evaluation.",
)  # fmt: skip
@click.option(
    "--lockstep", type=click.IntRange(min=1), default=8, show_default=True, metavar="H",
    help="Trials that are asked for at once, and train side by side.",
)  # fmt: skip
@click.option(
    "--confirm-seeds", default="20", show_default=True,
    help="Fresh seeds on which the best setting and the one without tuning are compared.",
)  # fmt: skip
@click.option("--no-confirm", is_flag=True, help="Train neither anew on fresh seeds.")
@click.option(
    "--save-preset", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.toml",
    help="Write the best setting to a file that --preset takes.",
)  # fmt: skip
@click.option("--name", help="Name of the study.  [default: AGENT-ENV-STEPS-digest]")
@options.trust
@options.executor
@options.progress
@options.out
def tune(
    agent: str,
    envs: tuple[str, ...],
    searched: tuple[str, ...],
    space: Path | None,
    trials: int | None,
    seeds: str,
    n_timesteps: str | None,
    parameters: tuple[str, ...],
    preset: bool | str,
    n_envs: int | None,
    env_kwargs: str | None,
    sampler: Any,
    prune: Any,
    objective: Any,
    aggregate: Any,
    eval_freq: int | None,
    eval_episodes: int,
    lockstep: int,
    confirm_seeds: str,
    no_confirm: bool,
    save_preset: Path | None,
    name: str | None,
    executor: ExecutorChoice,
    device: str,
    jobs: int,
    stop: StopSignal,
    quiet: bool,
    out: Path,
) -> int:
    """Search for parameters of AGENT: many trials, several seeds each, scored by evaluation.

    Then the best setting and the one without tuning are trained anew on fresh seeds, since the
    best of many looks better than it is. Repeating the command goes on where it was stopped, also
    from several processes or machines that share the folder of results.

    \b
    Examples:
      rlbench tune dqn --env CartPole-v1 --trials 32
      rlbench tune ppo --env Acrobot-v1 -s learning_rate=log:1e-4..1e-2
      rlbench tune ppo --env CartPole-v1 --env Acrobot-v1 -n 100k
      rlbench tune dqn --env CartPole-v1 --save-preset mine.toml
    """  # noqa: D301
    from rlbench import config, registry
    from rlbench.tuning import journal
    from rlbench.tuning import space as spaces

    registry.check_agent(agent)
    journal.imported()
    _check_executor(executor, prune)
    settings = config.parse_assignments(parameters)
    options.check_parameters(agent, settings)
    if space is not None and searched:
        raise UserError("--space and -s both say what is searched: give one of the two")
    steps = None if n_timesteps is None else config.parse_steps(n_timesteps)
    seed_list = tuning_seeds(seeds)
    confirming = () if no_confirm else config.parse_seeds(confirm_seeds)
    kwargs = config.parse_json_object(env_kwargs, "--env-kwargs") if env_kwargs else {}
    from rlbench.commands import tune as workflow
    from rlbench.tuning.plan import apart, study_plan
    from rlbench.tuning.usual_spaces import usual_space

    apart(seed_list, confirming)
    if searched:
        dimensions = spaces.parse(agent, spaces.split(searched))
    elif space is not None:
        dimensions = spaces.parse(agent, spaces.read(space), f"--space {space}:")
    else:
        dimensions = [each for each in usual_space(agent) if each.name not in settings]
    configure_process()
    plan = study_plan(
        agent, envs, seed_list, dimensions=dimensions, parameters=settings, preset=preset,
        steps=steps, n_envs=n_envs, env_kwargs=kwargs, objective=objective, aggregate=aggregate,
        sampler=sampler, prune=prune, eval_freq=eval_freq, eval_episodes=eval_episodes,
    )  # fmt: skip
    how = workflow.TuneOptions(
        trials,
        lockstep,
        parallel_jobs(jobs, executor, device),
        device,
        confirming,
        save_preset,
        quiet,
        executor,
    )
    return workflow.tune(plan, name, out, how, stop)


def _check_executor(executor: ExecutorChoice, prune: str) -> None:
    """Refuse options that mean nothing where each trial is a part of its own.

    Raises:
        UserError: One of them was given.
    """
    source = click.get_current_context().get_parameter_source("lockstep")
    if executor.kind == "local":
        return
    if prune == "halving":
        raise UserError(
            "--prune halving compares trials on the way, and on an executor each is a part of its "
            "own: leave it out, or take --executor local"
        )
    if source is click.core.ParameterSource.COMMANDLINE:
        raise UserError(
            "--lockstep is for --executor local: elsewhere each trial is a part of its own, and "
            "--jobs says how many there are at once; leave it out"
        )


@click.command(short_help="How much does an agent depend on its parameters?")
@click.argument("agent", shell_complete=completion.agents)
@click.option(
    "--env", "envs", required=True, multiple=True, shell_complete=completion.envs,
    help="Where (repeatable): sensitivity is about several.",
)  # fmt: skip
@click.option(
    "-s", "--search", "searched", required=True, multiple=True, metavar="NAME=VALUES",
    help="Vary a parameter (repeatable): learning_rate=log:1e-4..1e-2, or batch_size=32|64.",
)  # fmt: skip
@click.option(
    "--points", type=click.IntRange(min=2), default=5, show_default=True,
    help="Values of each range, evenly from end to end.",
)  # fmt: skip
@click.option("--seeds", default="5", show_default=True, help="5 (= 0 to 4), 0-9, or 3,7,11.")
@options.steps
@click.option(
    "-p", "parameters", multiple=True, metavar="KEY=VALUE",
    help="Set a parameter in all cells (repeatable); n_envs may be one.",
)  # fmt: skip
@options.preset_flag
@click.option("--eval-freq", type=click.IntRange(min=0), help="As in rlbench run.")
@options.final_episodes
@options.eval_max_steps
@options.dry_run
@options.report
@options.executor
@options.progress
@options.out
def sensitivity(
    agent: str,
    envs: tuple[str, ...],
    searched: tuple[str, ...],
    points: int,
    seeds: str,
    n_timesteps: str | None,
    parameters: tuple[str, ...],
    preset: bool,
    eval_freq: int | None,
    final_episodes: int,
    eval_max_steps: int | None,
    dry_run: bool,
    report: bool,
    executor: ExecutorChoice,
    device: str,
    jobs: int,
    stop: StopSignal,
    quiet: bool,
    out: Path,
) -> int:
    """Train AGENT with every combination of some parameters' values.

    Then a table and a figure show the score against each parameter, how much tuning for each
    environment gains over one setting for all (sensitivity), and how many parameters need it. It
    is a suite: repeating the command goes on where it was stopped.

    \b
    Examples:
      rlbench sensitivity ppo --env CartPole-v1 -s "clip_range=0.1|0.2|0.3"
      rlbench sensitivity dqn --env CartPole-v1 -s learning_rate=log:1e-4..1e-2
    """  # noqa: D301
    from rlbench import config, registry
    from rlbench.experiments import sensitivity as analysis
    from rlbench.tuning import space as spaces

    registry.check_agent(agent)
    settings = config.parse_assignments(parameters)
    options.check_parameters(agent, settings, allowed={"n_envs"})
    dimensions = spaces.parse(agent, spaces.split(searched))
    spaces.check(agent, dimensions, settings)
    how = {"preset": preset, "eval_freq": eval_freq, "final_episodes": final_episodes,
           "eval_max_steps": eval_max_steps}  # fmt: skip
    steps = None if n_timesteps is None else config.parse_steps(n_timesteps)
    values = {each.name: each.points(points) for each in dimensions}
    text = analysis.suite_text(agent, envs, values, parameters, steps, how)
    seed_list = config.parse_seeds(seeds)
    with spinner(quiet=quiet):
        from rlbench.commands import sensitivity as workflow

        configure_process()
        jobs = parallel_jobs(jobs, executor, device)
    options_ = workflow.Options(device, jobs, quiet=quiet, report=report, executor=executor)
    return workflow.sensitivity(text, seed_list, out, options_, dry_run, stop)


def tuning_seeds(text: str) -> tuple[int, ...]:
    """Parse seeds to tune on: `5` is 1000 to 1004, ranges and lists are what they say."""
    from rlbench import config
    from rlbench.tuning.plan import FIRST_SEED

    seeds = config.parse_seeds(text)
    return tuple(FIRST_SEED + seed for seed in seeds) if text.strip().isdecimal() else seeds
