"""The `ablate` command: run the cells as a suite, then estimate the effect of each switch."""

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
    """Run the missing cells of the suite in `text`, then print and draw effects.

    Returns the exit code.

    Raises:
        UserError: The suite is not valid; nothing has been written.
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
        effects = section_ablation.effects_in(home)
    except UserError:
        if code:  # nothing could run, and the reason is printed
            return code
        raise
    if not options.quiet:
        section_ablation.print_effects(effects, new_console())
    try:
        files = section_ablation.save(effects, home)
    except OSError as error:
        raise UserError(f"cannot write to {home}: {error.strerror or error}") from None
    if not options.quiet:
        for file in files:
            click.echo(file)
    return code


def _check(read: Suite, seeds: Sequence[int]) -> None:
    """Reject a switch that changes nothing, since its two cells would be the same run."""
    assert read.ablation
    agent, cells = read.ablation.agent, read.ablation.variants()
    for env in read.env:
        runs = {}
        for cell, settings in cells.items():
            parameters = {key: value for key, value in settings.items() if key != "n_envs"}
            runs[cell] = plan(agent, env.id, seeds, parameters=parameters, preset=read.preset,
                              total_timesteps=0)  # fmt: skip
        for effect in read.ablation.effects():
            if runs[effect.on].config == runs[effect.off].config:
                raise UserError(
                    f"--switch {effect.switch} changes nothing: {agent} on {env.id} has this value "
                    "already; give it another value"
                )
