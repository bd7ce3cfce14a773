"""Commands that show and draw what is there, without training."""

from __future__ import annotations

from pathlib import Path

import click

from rlbench import options


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="Where to, without ending.  [default: curve in the run's folder, or in --out for several]",
)  # fmt: skip
@options.out
def plot(runs: tuple[str, ...], output: Path | None, out: Path) -> None:
    """Draw learning curves of one or more RUNs, as PNG and SVG."""
    from rlbench import reading

    for file in reading.plot(runs, output, out):
        click.echo(file)


@click.command("list")
@click.argument(
    "what", default="agents",
    type=click.Choice(["agents", "envs", "wrappers", "encoders", "presets", "suites", "runs"]),
)  # fmt: skip
@options.out
def list_(what: str, out: Path) -> None:
    """List agents, envs, wrappers, encoders, presets, suites or runs."""
    from rlbench import reading

    reading.listing(what, out)


@click.command(short_help="Show an agent's parameters, a suite, or a run's settings and state.")
@click.argument("name", metavar="AGENT|SUITE|RUN")
@options.out
def show(name: str, out: Path) -> None:
    """Show every parameter of an AGENT, the file of a SUITE, or what a RUN was and how it ended."""
    from rlbench import reading

    reading.show(name, out)


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="Draw them as well: where to, without ending.",
)  # fmt: skip
@options.out
def compare(runs: tuple[str, ...], output: Path | None, out: Path) -> None:
    """Compare RUNs in a table: scores with intervals, what they cost, and what labels are worth."""
    from rlbench import reading

    for file in reading.compare(runs, output, out):
        click.echo(file)


@click.group()
def data() -> None:
    """List, download and check data sets of images."""


@data.command("list")
def data_list() -> None:
    """Say which data sets there are, and where."""
    from rlbench import datafiles

    click.echo(datafiles.listing())


@data.command()
@click.argument("name")
def get(name: str) -> None:
    """Download the data set NAME into the folder RLBENCH_DATA (default: ~/.cache/rlbench)."""
    from rlbench import datafiles

    click.echo(datafiles.get(name))


@data.command()
@click.argument("name")
def check(name: str) -> None:
    """Read a data set, NAME or path, and say what is in it."""
    from rlbench import datafiles

    click.echo(datafiles.check(name))
