"""Commands that run suites: bench and ablate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rlbench.cli import completion, options
from rlbench.console.spinner import spinner
from rlbench.errors import UserError
from rlbench.execution.executor_choice import ExecutorChoice
from rlbench.execution.executors import parallel_jobs
from rlbench.execution.stopping import StopSignal
from rlbench.process import configure_process

if TYPE_CHECKING:
    from rlbench.experiments.suite import Suite


@click.command(short_help="Compute a suite: agents x environments x seeds.")
@click.argument("suite", shell_complete=completion.suites)
@click.option("--seeds", help="Instead of the suite's: 5 (= 0 to 4), 0-9, or 3,7,11.")
@options.dry_run
@click.option("--shard", metavar="I/N", help="Only the I-th of N shares, for N machines.")
@click.option(
    "--again", multiple=True, type=click.Choice(["failed", "diverged", "timeout"]),
    help="Try seeds that ended so once more (repeatable).",
)  # fmt: skip
@click.option(
    "--until-decided", is_flag=True,
    help="Add groups of seeds to comparisons that are open, up to --max-seeds.",
)  # fmt: skip
@click.option(
    "--group", type=click.IntRange(min=2), default=5, show_default=True,
    help="Seeds between two looks.",
)  # fmt: skip
@click.option(
    "--max-seeds", type=click.IntRange(min=2), default=30, show_default=True,
    help="Most seeds of an entrant, from the first of --seeds on.",
)  # fmt: skip
@click.option(
    "--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05,
    show_default=True, help="Chance of any wrong decision, over all looks and comparisons.",
)  # fmt: skip
@click.option("--baseline", metavar="NAME", help="Compare all with this entrant only.")
@options.report
@options.env_vector
@options.track
@options.video_every
@options.trust
@options.executor
@options.progress
@options.out
def bench(
    suite: str,
    seeds: str | None,
    dry_run: bool,
    shard: str | None,
    again: tuple[str, ...],
    until_decided: bool,
    group: int,
    max_seeds: int,
    alpha: float,
    baseline: str | None,
    report: bool,
    env_vector: str,
    executor: ExecutorChoice,
    track: tuple[str, ...],
    video_every: int | None,
    device: str,
    jobs: int,
    stop: StopSignal,
    quiet: bool,
    out: Path,
) -> int:
    """Compute every cell of SUITE that is not there yet: agents x environments x seeds.

    SUITE is a name (rlbench list suites) or a TOML file; rlbench show SUITE prints one to start
    from. Cells are ordinary runs. Repeating the command goes on where it was stopped. A suite that
    lists others, as reference does, computes them one after another.

    \b
    Examples:
      rlbench bench smoke --jobs 2
      rlbench bench smoke --dry-run
      rlbench bench my_suite.toml --until-decided --max-seeds 20
      rlbench bench my_suite.toml --executor slurm --time 4:00:00
    """  # noqa: D301
    _check_until_decided(until_decided)
    if video_every and executor.kind == "ray":
        raise UserError(
            "--video-every: films stay on the nodes of a Ray cluster: leave it out, and film the "
            "trained agents with rlbench video"
        )
    from rlbench import config
    from rlbench.experiments import suite as suites

    members = suites.load_all(suite)
    share = (1, 1) if shard is None else _share(shard)
    chosen = None if seeds is None else config.parse_seeds(seeds)
    with spinner(quiet=quiet):
        from rlbench.commands import bench as workflow  # imports torch: check arguments first

        configure_process()
        workflow.check_all(members)
        jobs = parallel_jobs(jobs, executor, device)
    how = workflow.Options(device, jobs, share, again, quiet, report, executor, track, video_every)

    def compute(read: Suite, text: str) -> int:
        seed_list = chosen or read.seeds
        if env_vector:
            envs = [env.model_copy(update={"vector": env_vector}) for env in read.env]
            read = read.model_copy(update={"env": tuple(envs)})
        if until_decided:
            seed_list = tuple(range(seed_list[0], seed_list[0] + max_seeds))
        if dry_run:
            return workflow.dry_run(read, seed_list, out, how, stop)
        if until_decided:
            from rlbench.commands.until_decided import Design, bench_until_decided

            design = Design(alpha, group, baseline)
            return bench_until_decided(read, text, seed_list, design, out, how, stop)
        return workflow.bench(read, text, seed_list, out, how, stop)

    code = 0
    for read, _, text in members:
        stop.resume()  # after the results of the suite before
        code = max(code, compute(read, text))
        if stop():
            break
    return code


@click.command(short_help="Switch parts of an agent on and off: what is each worth?")
@click.argument("agent", shell_complete=completion.agents)
@click.option(
    "--env", "envs", required=True, multiple=True, shell_complete=completion.envs,
    help="Where (repeatable).",
)  # fmt: skip
@click.option(
    "--switch", "switches", required=True, multiple=True, metavar="KEY[=VALUE],...",
    help="dueling, or n_steps=3: on so, off false or as without it (repeatable). What belongs "
    "together: distribution=c51+v_min=0+v_max=100.",
)  # fmt: skip
@click.option("--seeds", default="10", show_default=True, help="10 (= 0 to 9), 0-9, or 3,7,11.")
@options.steps
@click.option(
    "-p", "parameters", multiple=True, metavar="KEY=VALUE",
    help="Set a parameter, on and off (repeatable); n_envs may be one.",
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
def ablate(
    agent: str,
    envs: tuple[str, ...],
    switches: tuple[str, ...],
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
    """Train AGENT with all switches on, none, each alone, and each left out, on the same seeds.

    Then a table and a figure say what each is worth, added to none and kept among all, with
    intervals. It is a suite: repeating the command goes on where it was stopped, and rlbench report
    tells the rest.

    \b
    Examples:
      rlbench ablate dqn --env CartPole-v1 --switch double,dueling,n_steps=3
      rlbench ablate ppo --env CartPole-v1 --switch gae_lambda=0.9 --seeds 5
    """  # noqa: D301
    from rlbench import config, registry
    from rlbench.experiments import ablation

    registry.check_agent(agent)
    options.check_parameters(agent, config.parse_assignments(parameters), allowed={"n_envs"})
    text = ablation.suite_text(
        agent,
        envs,
        [switch for option in switches for switch in ablation.split(option)],
        parameters,
        steps=None if n_timesteps is None else config.parse_steps(n_timesteps),
        preset=preset,
        eval_freq=eval_freq,
        final_episodes=final_episodes,
        eval_max_steps=eval_max_steps,
    )
    seed_list = config.parse_seeds(seeds)
    with spinner(quiet=quiet):
        from rlbench.commands import ablate as workflow

        configure_process()
        jobs = parallel_jobs(jobs, executor, device)
    how = workflow.Options(device, jobs, quiet=quiet, report=report, executor=executor)
    return workflow.ablate(text, seed_list, out, how, dry_run, stop)


def _check_until_decided(given: bool) -> None:
    """Refuse options that mean nothing without --until-decided.

    Raises:
        UserError: One of them was given without it.
    """
    context = click.get_current_context()
    for name in ("group", "max_seeds", "alpha", "baseline"):
        source = context.get_parameter_source(name)
        if not given and source is click.core.ParameterSource.COMMANDLINE:
            raise UserError(f"--{name.replace('_', '-')} is for --until-decided: add it")


def _share(text: str) -> tuple[int, int]:
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise UserError(f"--shard {text}: give I/N with I from 1 to N, for example 2/3")
    return int(number), int(of)
