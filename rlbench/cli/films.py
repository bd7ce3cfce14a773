"""Commands that show trained agents: watch, video."""

from __future__ import annotations

from pathlib import Path

import click

from rlbench.cli import completion, options


@click.command(short_help="Show what an agent of RUN does, in a window or as a film.")
@click.argument("run_name", metavar="RUN", shell_complete=completion.runs)
@click.option("--seed", type=click.IntRange(min=0), help="Whose agent.  [default: the first]")
@click.option("--episodes", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path),
    help="Write a .gif or .mp4 instead of showing a window: needs no display.",
)  # fmt: skip
@options.trust
@options.out
def watch(run_name: str, seed: int | None, episodes: int, output: Path | None, out: Path) -> None:
    """Show what a trained agent of RUN does, in a window or as a film.

    It plays the first episodes of the final evaluation, without learning.

    \b
    Examples:
      rlbench watch latest
      rlbench watch dqn-CartPole-v1-50k --seed 2 --episodes 3 -o film.gif
    """  # noqa: D301
    from rlbench.commands.watch import watch as watch_

    watch_(run_name, out, seed, episodes, output)


@click.command(short_help="Film agents of RUN side by side, with what they choose by.")
@click.argument("run_name", metavar="RUN", shell_complete=completion.runs)
@click.option("--seeds", help="5 (= 0 to 4), 0-9, or 3,7,11.  [default: the first 4]")
@click.option("--episodes", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path),
    help="A .mp4 or .gif.  [default: a file in videos/ in the run's folder]",
)  # fmt: skip
@click.option(
    "--saliency", is_flag=True,
    help="Of images: show where the chosen action's value depends on them.",
)  # fmt: skip
@options.trust
@options.out
def video(
    run_name: str,
    seeds: str | None,
    episodes: int,
    output: Path | None,
    saliency: bool,
    out: Path,
) -> None:
    """Film the trained agents of RUN on the first episodes of the final evaluation.

    Seeds are side by side, each with its return so far and, as bars, the action values or
    probabilities that it chooses by. No display is needed.

    \b
    Examples:
      rlbench video latest
      rlbench video dqn-CartPole-v1-50k --seeds 0-2 -o film.gif
      rlbench video dqn-Catch-v0-30k --saliency
    """  # noqa: D301
    from rlbench import config
    from rlbench.commands.watch import video as video_

    seed_list = None if seeds is None else config.parse_seeds(seeds)
    video_(run_name, out, seed_list, episodes, output, saliency)
