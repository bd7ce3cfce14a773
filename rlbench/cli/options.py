"""Options that several commands share."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any

import click

from rlbench.errors import Interrupted, Skipped, UserError
from rlbench.execution import executor_choice
from rlbench.execution.executor_choice import CLUSTERS, KINDS
from rlbench.execution.stopping import StopSignal


def out(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--out`, the folder of results, to a command."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path("results"),
        envvar="RLBENCH_OUT",
        show_default=True,
        show_envvar=True,
        help="Folder of results.",
    )(command)


steps = click.option(
    "-n",
    "--n-timesteps",
    "--steps",
    help="Env steps per seed, such as 50k.  [default: preset, else agent's]",
)
preset_flag = click.option(
    "--preset/--no-preset", default=True, help="Use tuned parameters.  [default: use]"
)
_PRESET = click.option(
    "--preset", metavar="[NAME|FILE]", is_flag=False, flag_value="", default="",
    help="Use the tuned parameters of this name (rlbench list presets), or of a file that rlbench "
    "tune saved.  [default: the usual ones]",
)  # fmt: skip
_NO_PRESET = click.option("--no-preset", is_flag=True, help="Use no tuned parameters.")


def preset(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--preset` and `--no-preset`; the command receives `preset`: True, False or text."""

    @functools.wraps(command)
    def with_preset(*args: Any, preset: str, no_preset: bool, **kwargs: Any) -> Any:
        if preset and no_preset:
            raise UserError("--preset and --no-preset exclude each other: give one of the two")
        return command(*args, preset=preset or not no_preset, **kwargs)

    return _PRESET(_NO_PRESET(with_preset))


final_episodes = click.option(
    "--final-episodes", type=click.IntRange(min=1), default=100, show_default=True,
    help="Episodes of the final evaluation, which scores are made of.",
)  # fmt: skip
eval_max_steps = click.option(
    "--eval-max-steps", type=click.IntRange(min=1),
    help="Steps after which evaluation cuts an episode.  [default: the environment's limit, else "
    "a tenth of the steps trained, from 1,000 to 27,000]",
)  # fmt: skip
floor = click.option(
    "--floor/--no-floor", default=True,
    help="Score the random policy too, once for an environment.  [default: score]",
)  # fmt: skip


def _strict(ctx: click.Context, _: click.Parameter, on: bool) -> None:
    if on and not ctx.resilient_parsing:
        warnings.simplefilter("error", Skipped)


strict = click.option(
    "--strict", is_flag=True, expose_value=False, callback=_strict,
    help="Refuse where a file is damaged or was changed, in place of leaving its seeds out.",
)  # fmt: skip
report = click.option(
    "--report/--no-report", default=True,
    help="Write the report in the end, as rlbench report does.  [default: write]",
)  # fmt: skip
dry_run = click.option(
    "--dry-run", is_flag=True, help="Print cells, time and memory; write nothing."
)


# Names in Stable-Baselines3 and other libraries of what is an option here.
_OTHER_WORDS = {"total_timesteps": "-n", "timesteps": "-n", "env_id": "--env", "n_seeds": "--seeds",
                "wrappers": "--wrap"}  # fmt: skip
_SHORT_FOR_PARAMETERS = {"encoder", "compile"}


def check_parameters(
    agent: str, parameters: Mapping[str, Any], allowed: Container[str] = _SHORT_FOR_PARAMETERS
) -> None:
    """Reject `-p n_envs=8` and the like, where the name is an option and not a parameter."""
    from rlbench import registry

    words = dict(_OTHER_WORDS)
    for parameter in click.get_current_context().command.params:
        if isinstance(parameter, click.Option):
            for option in (*parameter.opts, *parameter.secondary_opts):
                words[option.lstrip("-").replace("-", "_")] = option
    for name, value in parameters.items():
        if name not in words or name in allowed:
            continue
        if name not in registry.agent_class(agent).Config.model_fields:
            raise UserError(
                f"-p {name}={value}: {name} is no parameter, use the option {words[name]}"
            )


def _trackers(ctx: click.Context, _: click.Parameter, text: str | None) -> tuple[str, ...]:
    if text is None or ctx.resilient_parsing:
        return ()
    from rlbench.tracking.trackers import names_of

    return names_of(text)


track = click.option(
    "--track", callback=_trackers, metavar="NAME,...",
    help="Mirror rows in tensorboard, wandb, mlflow while they are written; changes no number.",
)  # fmt: skip
video_every = click.option(
    "--video-every", metavar="STEPS", type=click.IntRange(min=1), default=None,
    help="Film the agents at evaluations, the first after each so many steps; changes no number.",
)  # fmt: skip
env_vector = click.option(
    "--env-vector", metavar="[FACTORY]", is_flag=False, flag_value="registered", default="",
    help="Train in vector environments: package.module:make, called with num_envs; envpool:TASK; "
    "or without FACTORY the one that the id registers. Evaluation stays in the single environment.",
)  # fmt: skip
track_to = click.option(
    "--to", callback=_trackers, metavar="NAME,...", default="tensorboard", show_default=True,
    help="Of tensorboard, wandb, mlflow.",
)  # fmt: skip


def _trust(ctx: click.Context, _: click.Parameter, on: bool) -> None:
    from rlbench.user_code.trust import trusting

    ctx.with_resource(trusting(on))


trust = click.option(
    "--trust", is_flag=True, callback=_trust, expose_value=False,
    help="Import and call what files name, from anywhere: it runs their code. Without it only "
    "classes of installed packages are used.",
)  # fmt: skip


def _batched_envs(ctx: click.Context, _: click.Parameter, off: bool) -> None:
    if off:
        from rlbench.learning.environments.twins import batched

        ctx.with_resource(batched(on=False))


def _env_workers(ctx: click.Context, _: click.Parameter, count: int) -> int:
    if count:
        from rlbench.learning.environments.workers import env_workers

        ctx.with_resource(env_workers(count))
    return count


def _eval_workers(ctx: click.Context, _: click.Parameter, count: int) -> None:
    if count:
        if ctx.info_name == "tune":
            raise UserError(
                "tune needs each evaluation before it trains on: it has no eval workers"
            )
        from rlbench.learning.environments.workers import eval_workers

        ctx.with_resource(eval_workers(count))


class _Jobs(click.ParamType[int]):
    """Number of processes; 0 means auto."""

    name = "number or auto"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if value == "auto":
            return 0
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"'{value}' is neither a number from 1 up nor auto", param, ctx)
        return int(value)


def progress(command: Callable[..., int]) -> Callable[..., Any]:
    """Add the options of commands that train.

    The command receives `stop`, returns its exit code.
    """

    @functools.wraps(command)
    def stoppable(*args: Any, max_seconds: float | None, env_workers: int, **kwargs: Any) -> int:
        if env_workers and not kwargs.get("jobs", 1):
            kwargs["jobs"] = 1
        with StopSignal(max_seconds).listening() as stop:
            try:
                return command(*args, stop=stop, **kwargs)
            except (Exception, Interrupted):
                raise
            except BaseException as error:  # the command itself never exits
                from rlbench.user_code.imports import first_line

                what = f"{type(error).__name__}: {first_line(error)}"
                raise UserError(f"an environment or module tried to end rlbench: {what}") from None

    options = [
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1"),
        click.option(
            "--jobs", type=_Jobs(), default="auto", show_default=True, metavar="N|auto",
            help="Processes that share the seeds; auto: one for each core, where that is faster. "
            "Changes no number.",
        ),
        click.option(
            "--no-batched-envs", is_flag=True, callback=_batched_envs, expose_value=False,
            help="Step each environment by itself, also where arrays of all of them give the same "
            "bits sooner. Changes no number.",
        ),
        click.option(
            "--env-workers", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
            callback=_env_workers,
            help="Processes that step the environments of a job, for slow ones; with them --jobs "
            "auto is 1. Changes no number.",
        ),
        click.option(
            "--eval-workers", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
            callback=_eval_workers, expose_value=False,
            help="Processes of a job that play evaluations while it trains on, for slow "
            "environments. Changes no number.",
        ),
        click.option(
            "--max-seconds", type=click.FloatRange(min=0, min_open=True),
            help="Stop after this time (exit code 124); resume goes on.",
        ),
        click.option("--quiet", "-q", is_flag=True, help="Print errors only."),
    ]  # fmt: skip
    return functools.reduce(
        lambda decorated, option: option(decorated), reversed(options), stoppable
    )


_EXECUTOR_OPTIONS = [
    click.option(
        "--executor", type=click.Choice(KINDS), default="local", show_default=True,
        help="Where parts are computed: in processes here, on a Ray cluster, or as Slurm jobs. "
        "Changes no number.",
    ),
    click.option(
        "--address", metavar="HOST:PORT|auto|local",
        help="ray: the cluster, auto for the one that runs here, local for a new one on this "
        "machine.  [default: auto]",
    ),
    click.option("--partition", help="slurm: the partition.  [default: Slurm's]"),
    click.option(
        "--time", metavar="MINUTES|HH:MM:SS",
        help="slurm: time limit of a job; what is not done by then is queued again.  "
        "[default: 60]",
    ),
    click.option(
        "--slurm", "sbatch", multiple=True, metavar="KEY=VALUE",
        help="slurm: another parameter of sbatch, such as account=lab or mem=8G (repeatable).",
    ),
    click.option(
        "--slurm-cluster", type=click.Choice(CLUSTERS),
        help="slurm: local runs the jobs on this machine, without Slurm.  [default: slurm]",
    ),
    click.option(
        "--num-cpus", type=click.FloatRange(min=0, min_open=True),
        help="ray, slurm: CPUs of a part.  [default: 1]",
    ),
    click.option(
        "--num-gpus", type=click.FloatRange(min=0),
        help="ray, slurm: GPUs of a part, with ray also a share such as 0.25.  [default: 0]",
    ),
]  # fmt: skip


def executor(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--executor` and its options to a command, which receives one `executor`."""

    @functools.wraps(command)
    def with_executor(*args: Any, executor: str, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in executor_choice.OPTIONS}
        return command(*args, executor=executor_choice.choose(executor, **given), **kwargs)

    return functools.reduce(
        lambda decorated, option: option(decorated), reversed(_EXECUTOR_OPTIONS), with_executor
    )
