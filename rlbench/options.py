"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def out(command: Callable[..., Any]) -> Callable[..., Any]:
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
    "-n", "--n-timesteps", "--steps", help="Env steps per seed.  [default: preset, else agent's]"
)
preset = click.option(
    "--preset/--no-preset", default=True, help="Use tuned parameters.  [default: use]"
)
dry_run = click.option(
    "--dry-run", is_flag=True, help="Print cells, time and memory; write nothing."
)


class _Jobs(click.ParamType[int]):
    """A number of processes; 0 stands for auto."""

    name = "number or auto"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if value == "auto":
            return 0
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"'{value}' is neither a number from 1 up nor auto", param, ctx)
        return int(value)


def progress(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that trains."""
    options = [
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1"),
        click.option(
            "--jobs", type=_Jobs(), default="auto", show_default=True, metavar="N|auto",
            help="Processes that share the seeds; auto: one for each core, where that is faster. "
            "Changes no number.",
        ),
        click.option(
            "--max-seconds", type=click.FloatRange(min=0, min_open=True),
            help="Stop after this time (exit code 124); resume goes on.",
        ),
        click.option("--quiet", "-q", is_flag=True, help="Print errors only."),
    ]  # fmt: skip
    return functools.reduce(lambda made, option: option(made), reversed(options), command)
