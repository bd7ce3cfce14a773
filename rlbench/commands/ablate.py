"""An ablation: its cells computed as a suite, then what each switch is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from rlbench.commands import bench
from rlbench.commands.bench import Options
from rlbench.common.console import console as new_console
from rlbench.errors import UserError
from rlbench.execution.stopping import StopSignal
from rlbench.experiments import suite
from rlbench.experiments.planning import plan
from rlbench.experiments.suite import Suite

__all__ = ["Options", "ablate"]


def ablate(
    text: str, seeds: Sequence[int], out: Path, options: Options, dry_run: bool, stop: StopSignal
) -> int:
    """Compute what is missing of the suite in `text` and print and draw effects; the exit code.

    Raises:
        UserError: a mistake; nothing has been written then.
    """
    read = suite.loads(text, "rlbench ablate")
    _check(read, seeds)
    if dry_run:
        return bench.dry_run(read, seeds, out, options, stop)
    code = bench.bench(read, text, seeds, out, options, stop)
    if code > 1:  # stopped
        return code
    from rlbench.reporting.report import section_ablation

    home = bench.home_of(read, out)
    try:
        found = section_ablation.effects_in(home)
    except UserError:
        if code:  # nothing could be run, and why has been said
            return code
        raise
    if not options.quiet:
        section_ablation.print_effects(found, new_console())
    try:
        files = section_ablation.save(found, home)
    except OSError as error:
        raise UserError(f"cannot write to {home}: {error.strerror or error}") from None
    if not options.quiet:
        for file in files:
            click.echo(file)
    return code


def _check(read: Suite, seeds: Sequence[int]) -> None:
    """Refuse a switch that turns nothing: its two cells would be one run."""
    assert read.ablation
    agent, cells = read.ablation.agent, read.ablation.variants()
    for env in read.env:
        runs = {}
        for cell, given in cells.items():
            parameters = {key: value for key, value in given.items() if key != "n_envs"}
            runs[cell] = plan(agent, env.id, seeds, parameters=parameters, preset=read.preset,
                              total_timesteps=0)  # fmt: skip
        for effect in read.ablation.effects():
            if runs[effect.on].config == runs[effect.off].config:
                raise UserError(
                    f"--switch {effect.switch} changes nothing of {agent} on {env.id}, which has "
                    "it so without: give it another value, or take an agent without it"
                )
