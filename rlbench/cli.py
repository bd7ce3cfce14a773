"""The command line: parse, call one function, echo. Nothing heavy is imported at module level."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rlbench import __version__
from rlbench.errors import UserError, nearest


class _Group(click.Group):
    """Commands with did-you-mean."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise UserError(
                f"no command '{args[0]}'.{nearest(args[0], self.commands)} (rlbench --help)"
            )
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """A user's mistake ends in one line on stderr and exit code 2, from wherever it comes."""
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
            sys.exit(code if isinstance(code, int) else 0)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            sys.exit(2)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "rlbench"
            said = error.format_message().removesuffix(".")
            click.echo(f"Error: {said} ({command} --help)", err=True)
        except (UserError, click.ClickException) as error:
            click.echo(f"Error: {error}", err=True)
        except (click.Abort, KeyboardInterrupt):
            sys.exit(130)
        sys.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rlbench")
def main() -> None:
    """Deep-reinforcement-learning benchmarks: many seeds at once, honest statistics.

    Start with:  rlbench run dqn --env CartPole-v1
    """


def _out(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path("results"),
        envvar="RLBENCH_OUT",
        show_default=True,
        show_envvar=True,
        help="Folder of results.",
    )(command)


def _progress(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that trains."""
    options = [
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1"),
        click.option(
            "--jobs", type=click.IntRange(min=1), default=1, show_default=True,
            help="Processes that share the seeds. Changes no number.",
        ),
        click.option(
            "--max-seconds", type=click.FloatRange(min=0, min_open=True),
            help="Stop after this time (exit code 124); resume goes on.",
        ),
        click.option("--quiet", "-q", is_flag=True, help="Print errors only."),
    ]  # fmt: skip
    return functools.reduce(lambda made, option: option(made), reversed(options), command)


@main.command()
@click.argument("agent")
@click.option("--env", required=True, help="Gymnasium id, package.module:EnvId or :Class.")
@click.option("--seeds", help="5 (= 0 to 4), 0-9, or 3,7,11  [default: 5]")
@click.option("--seed", type=click.IntRange(min=0), help="Just this one seed.")
@click.option(
    "-n", "--n-timesteps", "--steps", help="Env steps per seed.  [default: preset, else agent's]"
)
@click.option("--n-envs", type=click.IntRange(min=1), help="Environments per seed.  [default: 1]")
@click.option(
    "-p", "parameters", multiple=True, metavar="KEY=VALUE",
    help="Set a parameter (repeatable); rlbench show AGENT lists them.",
)  # fmt: skip
@click.option(
    "--encoder", metavar="NAME",
    help="The network below: auto, mlp, cnn, rnn, gru, lstm, cnn+lstm, package.module:Class.",
)  # fmt: skip
@click.option("--preset/--no-preset", default=True, help="Use tuned parameters.  [default: use]")
@click.option(
    "--eval-freq", type=click.IntRange(min=0),
    help="Env steps per seed between evaluations, 0: only at the end.  [default: a tenth]",
)  # fmt: skip
@click.option(
    "--eval-episodes", type=click.IntRange(min=1), default=10, show_default=True,
    help="Episodes per evaluation. The final evaluation always has 100.",
)  # fmt: skip
@click.option("--env-kwargs", help="Arguments of the environment: '{\"gravity\": 5}' or gravity=5")
@click.option(
    "--wrap", "wraps", multiple=True, metavar="NAME[:ARGS]",
    help="Put a wrapper around the environment (repeatable); rlbench list wrappers.",
)  # fmt: skip
@click.option("--again", is_flag=True, help="Compute these seeds anew, deleting what is there.")
@_progress
@_out
def run(
    agent: str,
    env: str,
    seeds: str | None,
    seed: int | None,
    n_timesteps: str | None,
    n_envs: int | None,
    parameters: tuple[str, ...],
    encoder: str | None,
    preset: bool,
    eval_freq: int | None,
    eval_episodes: int,
    env_kwargs: str | None,
    wraps: tuple[str, ...],
    again: bool,
    device: str,
    jobs: int,
    max_seconds: float | None,
    quiet: bool,
    out: Path,
) -> None:
    """Train AGENT on an environment, several seeds at once.

    Repeating a run computes only what is missing: nothing, more seeds, or the rest of a run that
    was stopped.
    """
    from rlbench import catalog, config

    catalog.check_agent(agent)
    given = config.parse_assignments(parameters)
    if encoder is not None:
        if given.get("encoder", encoder) != encoder:
            raise UserError("--encoder and -p encoder= differ: give one of the two")
        given["encoder"] = encoder
    if seed is not None and seeds is not None:
        raise UserError("--seed is one seed, --seeds are several: give one of the two")
    chosen = config.parse_seeds(seeds or "5") if seed is None else (seed,)
    steps = None if n_timesteps is None else config.parse_steps(n_timesteps)
    kwargs = config.parse_json_object(env_kwargs, "--env-kwargs") if env_kwargs else {}
    from rlbench import workflow  # torch: after what can be said without it

    planned = workflow.plan(
        agent,
        env,
        chosen,
        wraps=wraps,
        parameters=given,
        preset=preset,
        total_timesteps=steps,
        n_envs=n_envs,
        eval_freq=eval_freq,
        eval_episodes=eval_episodes,
        env_kwargs=kwargs,
        device=device,
    )
    sys.exit(workflow.train(planned, out, jobs, max_seconds, quiet, again))


@main.command()
@click.argument("run_name", metavar="RUN")
@_progress
@_out
def resume(
    run_name: str, device: str, jobs: int, max_seconds: float | None, quiet: bool, out: Path
) -> None:
    """Go on with a run that was stopped or killed. RUN: its folder, name or digest."""
    from rlbench import workflow

    sys.exit(workflow.resume(run_name, out, device, jobs, max_seconds, quiet))


@main.command("eval", short_help="Play a finished run's final evaluation again.")
@click.argument("run_name", metavar="RUN")
@click.option(
    "--episodes", type=click.IntRange(min=1), default=100, show_default=True,
    help="The first so many episodes of the final evaluation.",
)  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda, cuda:1")
@_out
def evaluate(run_name: str, episodes: int, device: str, out: Path) -> None:
    """Play the final evaluation of a finished RUN again, from its saved agents."""
    from rlbench import workflow

    sys.exit(workflow.evaluate(run_name, out, episodes, device))


@main.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="Where to, without ending.  [default: curve in the run's folder, or in --out for several]",
)  # fmt: skip
@_out
def plot(runs: tuple[str, ...], output: Path | None, out: Path) -> None:
    """Draw learning curves of one or more RUNs, as PNG and SVG."""
    from rlbench import reading

    for file in reading.plot(runs, output, out):
        click.echo(file)


@main.command("list")
@click.argument(
    "what", default="agents",
    type=click.Choice(["agents", "envs", "wrappers", "encoders", "presets", "runs"]),
)  # fmt: skip
@_out
def list_(what: str, out: Path) -> None:
    """List agents, envs, wrappers, encoders, presets or runs."""
    from rlbench import reading

    reading.listing(what, out)


@main.command(short_help="Show an agent's parameters, or a run's settings and state.")
@click.argument("name", metavar="AGENT|RUN")
@_out
def show(name: str, out: Path) -> None:
    """Show every parameter of an AGENT, or what a RUN was and how it ended."""
    from rlbench import reading

    reading.show(name, out)


if __name__ == "__main__":
    main()
