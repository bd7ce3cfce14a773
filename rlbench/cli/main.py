"""Command line: parse options, call one function, print the result. Imports nothing heavy."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from rlbench import __version__
from rlbench.cli import completion, options
from rlbench.cli.exchange import diff, import_, results
from rlbench.cli.extending import doctor, new
from rlbench.cli.films import video, watch
from rlbench.cli.models import export, predict
from rlbench.cli.results import compare, data, list_, plot, report, serve, show
from rlbench.cli.runs import compact, merge, note, rm, tag, track, verify
from rlbench.cli.suites import ablate, bench
from rlbench.cli.tuning import sensitivity, tune
from rlbench.console.spinner import spinner
from rlbench.distribution import clash
from rlbench.errors import UserError, nearest, skipped_shown
from rlbench.execution.stopping import StopSignal, leave
from rlbench.learning.hardware.failures import explained
from rlbench.process import configure_process, set_mkl_rounding


class _Group(click.Group):
    """Command group that suggests the nearest command for an unknown one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        unknown = args and args[0] not in self.commands and not args[0].startswith("-")
        if unknown and not ctx.resilient_parsing:  # else a shell asks for completions
            raise UserError(
                f"no command '{args[0]}'.{nearest(args[0], self.commands)} (rlbench --help)"
            )
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reject empty arguments, as an unset shell variable leaves of `--out "$OUT"`."""
        if ctx.resilient_parsing:  # a shell asks for completions
            return super().parse_args(ctx, args)
        for before, word in zip(["", *args], args, strict=False):
            if not word or (word.startswith("--") and word.endswith("=")):
                option = (word or before).rstrip("=")
                what = (
                    f"{option} has no value" if option.startswith("-") else "an argument is empty"
                )
                raise UserError(f"{what} (an empty shell variable?): give one, or leave it out")
        return super().parse_args(ctx, args)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command; print a user's mistake as one line on stderr and exit with code 2."""
        try:
            if completion.VARIABLE not in os.environ and (warning := clash()):
                click.echo(f"Warning: {warning}", err=True)
            set_mkl_rounding()  # before anything multiplies
            kwargs |= {"standalone_mode": False, "complete_var": completion.VARIABLE}
            with skipped_shown():
                code = super().main(*args, **kwargs)
            leave(code if isinstance(code, int) else 0)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            sys.exit(2)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "rlbench"
            message = error.format_message().removesuffix(".")
            click.echo(f"Error: {message} ({command} --help)", err=True)
        except (UserError, click.ClickException) as error:
            click.echo(f"Error: {error}", err=True)
        except (click.Abort, KeyboardInterrupt):
            leave(130)
        except (RuntimeError, MemoryError, OSError, ImportError) as error:
            if not (line := explained(error)):
                raise
            click.echo(f"Error: {line}", err=True)
        leave(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rlbench")
def main() -> None:
    """Deep-reinforcement-learning benchmarks: many seeds at once, honest statistics.

    A RUN is its name AGENT-ENV-STEPS, its digest, its folder, or "latest": the run that was
    started or written last, other than a floor.

    \b
    Examples:
      rlbench run dqn --env CartPole-v1
      rlbench list runs
      rlbench plot latest
      rlbench show dqn-CartPole-v1-50k
    """  # noqa: D301


@main.command()
@click.argument("agent", shell_complete=completion.agents)
@click.option(
    "--env", required=True, shell_complete=completion.envs,
    help="Gymnasium id, package.module:EnvId or :Class.",
)  # fmt: skip
@click.option("--seeds", help="5 (= 0 to 4), 0-9, or 3,7,11  [default: 5]")
@click.option("--seed", type=click.IntRange(min=0), help="Just this one seed.")
@options.steps
@click.option(
    "--n-envs", type=click.IntRange(min=1),
    help="Environments per seed.  [default: preset, else agent's]",
)  # fmt: skip
@click.option(
    "-p", "parameters", multiple=True, metavar="KEY=VALUE",
    help="Set a parameter (repeatable); rlbench show AGENT lists them.",
)  # fmt: skip
@click.option(
    "--encoder", metavar="NAME", shell_complete=completion.encoders,
    help="The network below: auto, mlp, cnn, rnn, gru, lstm, cnn+lstm, package.module:Class.",
)  # fmt: skip
@options.preset
@click.option(
    "--eval-freq", type=click.IntRange(min=0),
    help="Env steps per seed between evaluations, 0: only at the end.  [default: a tenth]",
)  # fmt: skip
@click.option(
    "--eval-episodes", type=click.IntRange(min=1), default=10, show_default=True,
    help="Episodes per evaluation before the final one; on image data all images.",
)  # fmt: skip
@options.final_episodes
@options.eval_max_steps
@click.option(
    "--epochs", type=click.FloatRange(min=0),
    help="Passes over the training images, instead of -n.",
)  # fmt: skip
@click.option(
    "--data", shell_complete=completion.datasets,
    help="Images for rlbench/Classify-v0 and the like: a name or path.",
)  # fmt: skip
@click.option(
    "--from",
    "source",
    metavar="RUN|minari:ID",
    shell_complete=completion.runs,
    help="For clone: the run whose agents it learns from (or an agent.npz), or a Minari data set; "
    "for td3-bc: that.",
)
@click.option("--env-kwargs", help="Arguments of the environment: '{\"gravity\": 5}' or gravity=5")
@click.option(
    "--wrap", "wraps", multiple=True, metavar="NAME[:ARGS]", shell_complete=completion.wrappers,
    help="Put a wrapper around the environment (repeatable), such as TimeLimit:100 or "
    "RescaleAction:min_action=-1,max_action=1; rlbench list wrappers.",
)  # fmt: skip
@options.env_vector
@click.option(
    "--compile", "compiled", is_flag=True,
    help="Compile updates (-p compile=true): pays in long runs, rounds otherwise.",
)  # fmt: skip
@click.option("--tag", "tags", multiple=True, help="Give the run a tag (repeatable).")
@click.option("--note", help="Write a note on the run.")
@click.option("--again", is_flag=True, help="Compute these seeds anew, deleting what is there.")
@options.floor
@options.track
@options.video_every
@options.trust
@options.progress
@options.out
def run(
    agent: str,
    env: str,
    seeds: str | None,
    seed: int | None,
    n_timesteps: str | None,
    n_envs: int | None,
    parameters: tuple[str, ...],
    encoder: str | None,
    preset: bool | str,
    eval_freq: int | None,
    eval_episodes: int,
    final_episodes: int,
    eval_max_steps: int | None,
    epochs: float | None,
    data: str | None,
    source: str | None,
    env_kwargs: str | None,
    wraps: tuple[str, ...],
    env_vector: str,
    compiled: bool,
    tags: tuple[str, ...],
    note: str | None,
    again: bool,
    floor: bool,
    track: tuple[str, ...],
    video_every: int | None,
    device: str,
    jobs: int,
    stop: StopSignal,
    quiet: bool,
    out: Path,
) -> int:
    """Train AGENT on an environment, several seeds at once.

    AGENT: a name that rlbench list agents shows, or package.module:Class, a subclass of one.

    Repeating a run computes only what is missing: nothing, more seeds, or the rest of a run that
    was stopped.

    \b
    Examples:
      rlbench run dqn --env CartPole-v1
      rlbench run dqn --env Acrobot-v1 -n 100k --seeds 10 -p learning_rate=1e-3
      rlbench run ppo --env CartPole-v1 --wrap mask-velocity --encoder lstm
      rlbench run clone --env CartPole-v1 --from dqn-CartPole-v1-50k
    """  # noqa: D301
    from rlbench import config, registry
    from rlbench.storage import labels, run_folder

    registry.check_agent(agent)
    labels.check_tags(tags)
    labels.check_note(note or "")
    settings = config.parse_assignments(parameters)
    options.check_parameters(agent, settings)
    if encoder is not None:
        if settings.get("encoder", encoder) != encoder:
            raise UserError("--encoder and -p encoder= differ: give one of the two")
        settings["encoder"] = encoder
    if compiled:
        settings["compile"] = True
    if seed is not None and seeds is not None:
        raise UserError("--seed and --seeds both choose seeds: give one of the two")
    seed_list = config.parse_seeds(seeds if seeds is not None else "5")
    if seed is not None:
        seed_list = config.read_seeds([seed])
    steps = None if n_timesteps is None else config.parse_steps(n_timesteps)
    kwargs = config.parse_json_object(env_kwargs, "--env-kwargs") if env_kwargs else {}
    if data is not None and kwargs.get("data", data) != data:
        raise UserError("--data and --env-kwargs data= differ: give one of the two")
    if source is not None:
        given = Path(source).is_file() or source.startswith("minari:")
        settings["source"] = source if given else str(run_folder.find_run(source, out))
    if epochs is not None and steps is not None:
        raise UserError("--epochs and -n both set the length of training: give one of the two")

    with spinner(quiet=quiet):
        from rlbench.commands import train as commands_train
        from rlbench.experiments import planning

        if data is not None:
            kwargs["data"] = planning.known_as(data)
        configure_process()
        plan = planning.plan(
            agent,
            env,
            seed_list,
            wraps=wraps,
            parameters=settings,
            preset=preset,
            total_timesteps=steps,
            epochs=epochs,
            n_envs=n_envs,
            eval_freq=eval_freq,
            eval_episodes=eval_episodes,
            final_episodes=final_episodes,
            eval_max_steps=eval_max_steps,
            env_kwargs=kwargs,
            env_vector=env_vector,
            device=device,
        )
    besides = commands_train.Besides(track, video_every)
    return commands_train.train(plan, out, jobs, stop, quiet, again, floor, tags, note, besides)


@main.command()
@click.argument("run_name", metavar="RUN", shell_complete=completion.runs)
@options.floor
@options.track
@options.video_every
@options.trust
@options.progress
@options.out
def resume(
    run_name: str,
    floor: bool,
    track: tuple[str, ...],
    video_every: int | None,
    device: str,
    jobs: int,
    stop: StopSignal,
    quiet: bool,
    out: Path,
) -> int:
    """Go on with a run that was stopped or killed. RUN: its name, folder or digest.

    \b
    Examples:
      rlbench resume latest
      rlbench resume dqn-CartPole-v1-50k --jobs 2
    """  # noqa: D301
    with spinner(quiet=quiet):
        from rlbench.commands import train as commands_train

        configure_process()
    besides = commands_train.Besides(track, video_every)
    return commands_train.resume(run_name, out, device, jobs, stop, quiet, floor, besides)


@main.command("eval", short_help="Play the sealed episodes, of a finished run or with any agent.")
@click.argument("run_name", metavar="[RUN]", required=False, shell_complete=completion.runs)
@click.option("--agent", metavar="package.module:thing", help="Score this instead of a RUN.")
@click.option("--env", shell_complete=completion.envs, help="With --agent: where.")
@click.option(
    "--deterministic/--stochastic", default=True,
    help="Without randomness of the policy, or with it.  [default: deterministic]",
)  # fmt: skip
@click.option(
    "--episodes", type=click.IntRange(min=1),
    help="The first so many final episodes; on image data always all test images.  "
    "[default: as many as the run had, else 100]",
)  # fmt: skip
@options.eval_max_steps
@click.option(
    "--env-kwargs", help="Play in an environment with these arguments changed: how do agents fare?"
)
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda, cuda:1")
@options.trust
@options.out
def evaluate(
    run_name: str | None,
    agent: str | None,
    env: str | None,
    deterministic: bool,
    episodes: int | None,
    eval_max_steps: int | None,
    env_kwargs: str | None,
    device: str,
    out: Path,
) -> None:
    """Play the final evaluation of a finished RUN again, from its saved agents.

    Or score anything with predict(obs, state, episode_start, deterministic) on the same episodes:
    an object, or what makes one when called without arguments.

    \b
    Examples:
      rlbench eval latest
      rlbench eval sac-Pendulum-v1-20k --env-kwargs g=12
      rlbench eval --agent my_agents:best --env CartPole-v1
    """  # noqa: D301
    if run_name is None or agent is not None:
        if run_name is not None or agent is None or env is None:
            raise UserError("give a RUN, or both of --agent package.module:thing and --env ENV")
        if env_kwargs is not None:
            raise UserError(
                "--env-kwargs needs a RUN: it changes the environment of a finished run"
            )
        from rlbench.commands import evaluate_external

        sys.exit(evaluate_external.score(agent, env, episodes, deterministic, eval_max_steps))
    if eval_max_steps is not None:
        raise UserError(
            "--eval-max-steps needs --agent: a RUN is evaluated with its own step limit"
        )
    from rlbench import config

    overrides = config.parse_json_object(env_kwargs, "--env-kwargs") if env_kwargs else None
    from rlbench.commands.evaluate import evaluate as evaluate_

    sys.exit(evaluate_(run_name, out, episodes, device, overrides, deterministic))


for _command in (
    bench, ablate, tune, sensitivity, plot, compare, report, serve, list_, show, tag, note, track,
    rm, merge, verify, compact, diff, results, import_, export, predict, watch, video, data, new,
    doctor, completion.completion,
):  # fmt: skip
    main.add_command(_command)


if __name__ == "__main__":
    main()
