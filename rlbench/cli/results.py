"""Commands that show, draw and compare finished runs, and list what is available."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import click

from rlbench.cli import completion, options
from rlbench.console.spinner import spinner
from rlbench.errors import UserError
from rlbench.reporting.figures.plot_options import AXES, PlotOptions


def _limits(
    _: click.Context, param: click.Parameter, value: str | None
) -> tuple[float, float] | None:
    """Read the two ends of an axis, such as 0,500."""
    if value is None:
        return None
    option = param.opts[0]
    try:
        low, high = (float(part) for part in value.split(","))
    except ValueError:
        raise UserError(f"{option} {value}: give two numbers, as in {option} 0,500") from None
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(f"{option} {value}: both ends must be finite numbers")
    if low >= high:
        raise UserError(
            f"{option} {value}: the first end must be less than the second, as in {option} 0,500"
        )
    return low, high


@click.command(short_help="Draw learning curves of runs.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=completion.runs)
@click.option(
    "--x", "x", type=click.Choice(list(AXES)),
    help="Horizontal axis.  [default: steps; images, samples and seconds on image data]",
)  # fmt: skip
@click.option(
    "--facet", type=click.Choice(["env", "agent"]),
    help="A panel per environment or per entrant.  [default: env; agent above six "
    "entrants]",
)  # fmt: skip
@click.option(
    "--stat", type=click.Choice(["mean", "median", "iqm"]), default="mean", show_default=True,
    help="What a line shows of the seeds; iqm is the interquartile mean.",
)  # fmt: skip
@click.option(
    "--smooth", type=click.IntRange(min=1), default=1, metavar="K",
    help="Average each seed over its last K evaluations.",
)  # fmt: skip
@click.option("--logx", is_flag=True, help="A logarithmic horizontal axis.")
@click.option("--no-seeds", is_flag=True, help="Leave out single seeds.")
@click.option("--xlim", metavar="A,B", callback=_limits, help="Ends of the horizontal axis.")
@click.option(
    "--ylim", metavar="A,B", callback=_limits,
    help="Ends of the vertical axis; accuracies are 0 to 1.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="A file .png, .svg or .pdf; without ending a .png and a .svg.  [default: curve in the "
    "run's folder, curves in --out for several]",
)  # fmt: skip
@options.strict
@options.out
def plot(
    runs: tuple[str, ...], output: Path | None, out: Path, no_seeds: bool, **chosen: Any
) -> None:
    """Draw learning curves of one or more RUNs, as PNG and SVG.

    \b
    Examples:
      rlbench plot latest
      rlbench plot dqn-CartPole-v1-50k ppo-CartPole-v1-100k --x seconds
      rlbench plot latest --stat iqm --smooth 3 --no-seeds -o curve.pdf
    """  # noqa: D301
    from rlbench.commands.report import plot as plot_

    for file in plot_(runs, output, out, PlotOptions(seeds=not no_seeds, **chosen)):
        click.echo(file)


@click.command("list", short_help="List agents, envs, wrappers, encoders, presets, suites or runs.")
@click.argument(
    "what", default="agents",
    type=click.Choice(["agents", "envs", "wrappers", "encoders", "presets", "suites", "runs"]),
)  # fmt: skip
@click.argument("words", metavar="[TEXT]...", nargs=-1)
@click.option(
    "--env", default="", metavar="ENV", shell_complete=completion.envs,
    help="Of runs and presets: those on ENV, a name or a pattern such as '*Catch*'. Of agents: "
    "those that can be used there.",
)  # fmt: skip
@click.option(
    "--agent", default="", metavar="AGENT", shell_complete=completion.agents,
    help="Of runs and presets: those of AGENT, a name or a pattern such as 'sb3-*'. Of envs: those "
    "with actions that AGENT takes, as far as that is known.",
)  # fmt: skip
@click.option(
    "--status", help="Of runs: those with a seed of this status.",
    type=click.Choice(["done", "running", "stopped", "failed", "diverged", "timeout"]),
)  # fmt: skip
@click.option("--tag", default="", help="Of runs: those with this tag.")
@options.strict
@options.out
def list_(
    what: str,
    words: tuple[str, ...],
    env: str,
    agent: str,
    status: str | None,
    tag: str,
    out: Path,
) -> None:
    """List agents, envs, wrappers, encoders, presets, suites or runs that contain every TEXT.

    \b
    Examples:
      rlbench list envs pole
      rlbench list agents --env Pendulum-v1
      rlbench list runs --env CartPole-v1 --status failed
      rlbench list runs | cut -f 1,5

    In a terminal it is a table. Elsewhere it is a line for each, with fields between tabs, in an
    order that later versions only add to; what is not known is empty:

    \b
      runs      name status done seeds score low high steps when env agent
                variant digest path tags note
                (score, low and high of images: 0 to 1)
      agents    name kind actions description
      envs      name family observations actions steps threshold
      presets   agent env steps epochs seeds source settings
      suites    name agents envs seeds description
      wrappers, encoders    name description
    """  # noqa: D301
    from rlbench.commands import catalog
    from rlbench.commands.listing import Filters

    catalog.list_items(what, out, Filters(env, agent, status or "", tag, words))


@click.command(short_help="Show an agent's parameters, a suite, or a run and its state.")
@click.argument("name", metavar="AGENT|SUITE|RUN", shell_complete=completion.shown)
@click.option("--time", "spent", is_flag=True, help="Where the time of a RUN went.")
@click.option(
    "--program", is_flag=True,
    help="The program that a RUN's updates are replayed by, or why they are not.",
)  # fmt: skip
@options.trust
@options.strict
@options.out
def show(name: str, spent: bool, program: bool, out: Path) -> None:
    """Show every parameter of an AGENT, the file of a SUITE, or what a RUN was and how it ended.

    \b
    Examples:
      rlbench show dqn
      rlbench show latest
      rlbench show dqn-CartPole-v1-50k --time
      rlbench show dqn-CartPole-v1-50k --program
    """  # noqa: D301
    from rlbench.commands import inspect as inspect_module

    if spent and program:
        raise click.UsageError("--time and --program each show one thing: give one of the two")
    if spent:
        inspect_module.show_time_profile(name, out)
    elif program:
        inspect_module.show_program(name, out)
    else:
        inspect_module.show(name, out)


@click.command(short_help="Compare RUNs in a table: scores with intervals, and costs.")
@click.argument("runs", metavar="RUN...", nargs=-1, shell_complete=completion.runs)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="Draw them as well: a file .png, .svg or .pdf, or a name without ending for two of them.",
)  # fmt: skip
@click.option(
    "--against", metavar="FOLDER", type=click.Path(path_type=Path),
    help="Check RUNs, or all of --out, against earlier results; exit code 1 if one is worse.",
)  # fmt: skip
@options.strict
@options.out
def compare(runs: tuple[str, ...], output: Path | None, against: Path | None, out: Path) -> None:
    """Compare RUNs in a table: scores with intervals, what they cost, and what labels are worth.

    \b
    Examples:
      rlbench compare dqn-CartPole-v1-50k ppo-CartPole-v1-100k
      rlbench compare latest dqn-CartPole-v1-50k -o both
      rlbench compare --against results/reference
    """  # noqa: D301
    if against is not None:
        if output is not None:
            raise click.UsageError("-o draws RUNs beside each other: leave out --against")
        from rlbench.commands.report import compare_against as compare_against_

        sys.exit(compare_against_(against, runs, out))
    if not runs:
        raise click.UsageError("Missing argument 'RUN...'.")
    from rlbench.commands.report import compare as compare_

    for file in compare_(runs, output, out):
        click.echo(file)


@click.command(short_help="Write a report on a bench, or on any results, as one HTML file.")
@click.argument("paths", metavar="[PATH]...", nargs=-1, shell_complete=completion.benches)
@click.option("--baseline", metavar="NAME", help="Test every entrant against this one.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="A folder, or a file that ends in .html.  [default: in the first PATH]",
)  # fmt: skip
@click.option(
    "--index", is_flag=True,
    help="Write index.html over all reports in PATH instead.  [default: in --out]",
)  # fmt: skip
@options.strict
@options.out
def report(
    paths: tuple[str, ...], baseline: str | None, output: Path | None, index: bool, out: Path
) -> None:
    """Write a report: one HTML file, the same in Markdown, and its tables as CSV and Parquet.

    PATH: a bench by its name or folder, or a folder with results in it.  [default: the newest
    bench, else all of --out]

    \b
    Examples:
      rlbench report
      rlbench report smoke --baseline dqn
      rlbench report --index
    """  # noqa: D301
    from rlbench.commands.report import index as index_
    from rlbench.commands.report import report as report_

    if index:
        if baseline is not None or output is not None:
            raise click.UsageError("--index only lists reports: leave out --baseline and -o")
        click.echo(index_(paths, out))
        return
    with spinner("writing the report") as say:
        files = report_(paths, baseline, output, out, say)
    for file in files:
        click.echo(file)


@click.command(short_help="Show all reports in a browser, on this machine only.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True,
    help="Port of 127.0.0.1; 0: any that is free.",
)  # fmt: skip
@options.out
def serve(port: int, out: Path) -> None:
    """Serve the reports in the folder of results on 127.0.0.1, with an index of them.

    Nothing but reports is served, and to this machine only. Ctrl-C ends it, with exit code 130.

    \b
    Examples:
      rlbench serve
      rlbench serve --port 8080 --out results
    """  # noqa: D301
    from rlbench.commands.serve import serve as serve_

    serve_(out, port, click.echo)


@click.group()
def data() -> None:
    """List, download and check data sets of images.

    \b
    Examples:
      rlbench data list
      rlbench data get mnist
      rlbench data check my_images
    """  # noqa: D301


@data.command("list")
def data_list() -> None:
    """Say which data sets there are, and where.

    \b
    Examples:
      rlbench data list
    """  # noqa: D301
    from rlbench.commands import data as data_module

    click.echo(data_module.listing())


@data.command()
@click.argument("name", shell_complete=completion.datasets)
def get(name: str) -> None:
    """Download the data set NAME into the folder RLBENCH_DATA (default: ~/.cache/rlbench).

    \b
    Examples:
      rlbench data get mnist
      rlbench data get fashion-mnist
    """  # noqa: D301
    from rlbench.commands import data as data_module

    click.echo(data_module.get(name))


@data.command()
@click.argument("name", shell_complete=completion.datasets)
def check(name: str) -> None:
    """Read a data set, NAME or path, and say what is in it.

    \b
    Examples:
      rlbench data check digits
      rlbench data check my_images
    """  # noqa: D301
    from rlbench.commands import data as data_module

    click.echo(data_module.check(name))
