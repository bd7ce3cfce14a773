"""Commands for agents, environments and encoders of one's own: new, doctor."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rlbench.cli import completion
from rlbench.console.spinner import spinner
from rlbench.process import configure_process


@click.command(short_help="Write a file to start an agent, environment or encoder from.")
@click.argument("kind", type=click.Choice(["agent", "env", "encoder"]))
@click.argument("name")
def new(kind: str, name: str) -> None:
    """Write NAME.py in the current folder: a commented file that works at once.

    Nothing is overwritten. The next command to try is printed.

    \b
    Examples:
      rlbench new agent my-agent
      rlbench new env my-env
      rlbench new encoder my-net
    """  # noqa: D301
    from rlbench.commands.new import new as new_

    for line in new_(kind, name, Path()):
        click.echo(line)


@click.command(short_help="Check an agent: what it learns of small tasks, and how it is built.")
@click.argument("agent", shell_complete=completion.agents)
@click.option(
    "--env", shell_complete=completion.envs,
    help="Where chance is to be beaten.  [default: CartPole-v1, or Pendulum-v1]",
)  # fmt: skip
@click.option(
    "-p", "parameters", multiple=True, metavar="KEY=VALUE",
    help="Set a parameter (repeatable), in place of the quick ones that checks choose.",
)  # fmt: skip
@click.option(
    "--encoder", metavar="NAME", shell_complete=completion.encoders,
    help="The network below, as in rlbench run.",
)  # fmt: skip
def doctor(agent: str, env: str | None, parameters: tuple[str, ...], encoder: str | None) -> None:
    """Check an AGENT of rlbench or of your own, and say what is wrong with it.

    It trains in probes, whose values and best actions are known, and in one environment where it
    must beat chance. Then come gradients, random numbers, a seed alone and beside others, traced
    updates, and files. About a minute on one core. "-" marks what does not apply. Exit code 1:
    something is wrong.

    \b
    Examples:
      rlbench doctor dqn
      rlbench doctor my_agent:MyAgent --env Acrobot-v1
      rlbench doctor ppo --encoder lstm
    """  # noqa: D301
    from rlbench.config import parse_assignments

    given = parse_assignments(parameters) | ({"encoder": encoder} if encoder else {})
    with spinner():
        from rlbench.commands.doctor import doctor as doctor_  # imports torch

        configure_process()
    sys.exit(doctor_(agent, env, given))
