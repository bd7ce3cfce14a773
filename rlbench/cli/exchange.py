"""Commands that take in results of others, give results to others, and compare two runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rlbench.cli import completion, options


@click.command("import", short_help="Read results of others into the store, marked as such.")
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--env", help="The environment.  [default: as the file says]")
@click.option("--agent", help="A name for the entrant.  [default: as the file says]")
@click.option(
    "--seed", type=click.IntRange(min=0),
    help="Number of the first seed.  [default: as the file says, else the next that is free]",
)  # fmt: skip
@click.option(
    "--return", "wanted", metavar="NAME", help="The tag, column or metric that is the return."
)
@options.out
def import_(
    paths: tuple[Path, ...],
    env: str | None,
    agent: str | None,
    seed: int | None,
    wanted: str | None,
    out: Path,
) -> None:
    """Read results of others as entrants of their own, marked "another protocol" everywhere.

    PATH: monitor.csv or evaluations.npz of Stable-Baselines3, a folder of CleanRL's TensorBoard
    run, a CSV of a W&B chart, or a JSON of marl-eval. Nothing is executed. Several files of one
    agent and environment become its seeds.

    \b
    Examples:
      rlbench import logs/seed*/monitor.csv --agent ppo
      rlbench import logs/evaluations.npz --agent ppo --env CartPole-v1
      rlbench import runs/CartPole-v1__dqn__1__1700000000
      rlbench import chart.csv --agent ppo --env CartPole-v1
    """  # noqa: D301
    from rlbench.commands.import_results import import_results

    import_results(paths, env, agent, seed, wanted, out)


@click.command(short_help="Write results as marl-eval's JSON, a LaTeX table or Parquet.")
@click.argument("paths", metavar="[PATH]...", nargs=-1, shell_complete=completion.benches)
@click.option(
    "--export", "form", type=click.Choice(["marl-eval", "latex", "parquet"]), required=True,
    help="marl-eval: for its plots; latex: a table of scores; parquet: every evaluation, with "
    "settings.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="The file.  [default: results.json, .tex or .parquet in --out]",
)  # fmt: skip
@options.out
def results(paths: tuple[str, ...], form: str, output: Path | None, out: Path) -> None:
    """Write the results of runs, benches or folders to one file that other tools read.

    PATH: a RUN, a bench by its name, or a folder with results in it.  [default: all of --out]

    \b
    Examples:
      rlbench results --export latex
      rlbench results smoke --export marl-eval -o smoke.json
      rlbench results --export parquet
    """  # noqa: D301
    from rlbench.commands.results import export

    click.echo(export(paths, form, output, out))


@click.command(short_help="Say what differs between two RUNs: settings, versions, first row.")
@click.argument("one", metavar="RUN1", shell_complete=completion.runs)
@click.argument("other", metavar="RUN2", shell_complete=completion.runs)
@options.out
def diff(one: str, other: str, out: Path) -> None:
    """Say in which settings, versions and machines two RUNs differ, and in which row at first.

    Exit code 0: they are equal, 1: they differ. Times are not compared.

    \b
    Examples:
      rlbench diff dqn-CartPole-v1-50k ppo-CartPole-v1-50k
      rlbench diff latest results/reference/CartPole-v1/dqn-9d7d96dc
    """  # noqa: D301
    from rlbench.commands.diff import diff as diff_

    sys.exit(diff_(one, other, out))
