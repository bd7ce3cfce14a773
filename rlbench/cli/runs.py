"""Commands on runs that are there: tag, note, track, rm, merge, verify, compact."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rlbench.cli import completion, options


@click.command(short_help="Give a RUN tags, words to find it by.")
@click.argument("run_name", metavar="RUN", shell_complete=completion.runs)
@click.argument("tags", metavar="[TAG]...", nargs=-1)
@click.option("--remove", is_flag=True, help="Remove these tags instead of adding them.")
@options.out
def tag(run_name: str, tags: tuple[str, ...], remove: bool, out: Path) -> None:
    """Give a RUN tags, words that rlbench list runs finds it by, and print those that it has.

    \b
    Examples:
      rlbench tag latest baseline paper
      rlbench tag dqn-CartPole-v1-50k --remove paper
      rlbench tag dqn-CartPole-v1-50k
    """  # noqa: D301
    from rlbench.commands import labels

    if remove and not tags:
        raise click.UsageError("--remove needs the tags to remove: give a TAG")
    labels.tag(run_name, tags, remove, out)


@click.command(short_help="Write a note on a RUN, or print it.")
@click.argument("run_name", metavar="RUN", shell_complete=completion.runs)
@click.argument("text", metavar="[TEXT]...", nargs=-1)
@click.option("--remove", is_flag=True, help="Remove the note.")
@options.out
def note(run_name: str, text: tuple[str, ...], remove: bool, out: Path) -> None:
    """Write a note on a RUN, in place of the one that it has; without TEXT print it.

    \b
    Examples:
      rlbench note latest "learning rate of Mnih et al., seed 3 looks odd"
      rlbench note dqn-CartPole-v1-50k
      rlbench note dqn-CartPole-v1-50k --remove
    """  # noqa: D301
    from rlbench.commands import labels

    if remove and text:
        raise click.UsageError("--remove takes no TEXT: give one of the two")
    labels.note(run_name, " ".join(text) if text else None, remove, out)


@click.command(short_help="Mirror a RUN in TensorBoard, Weights & Biases or MLflow.")
@click.argument("run_name", metavar="RUN", shell_complete=completion.runs)
@options.track_to
@click.option("--again", is_flag=True, help="Begin new runs there, in place of those of before.")
@options.out
def track(run_name: str, to: tuple[str, ...], again: bool, out: Path) -> int:
    """Write the curves of a RUN to trackers, from its rows: the series that --track writes.

    What a tracker has already is not written twice. Trackers read their own settings, such as
    MLFLOW_TRACKING_URI or WANDB_MODE=offline.

    \b
    Examples:
      rlbench track latest
      rlbench track dqn-CartPole-v1-50k --to tensorboard,mlflow
    """  # noqa: D301
    from rlbench.commands.track import track as track_

    return track_(run_name, to, out, again)


@click.command(short_help="Delete RUNs, after asking.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=completion.runs)
@click.option("--yes", "-y", is_flag=True, help="Remove without asking.")
@click.option("--dry-run", is_flag=True, help="Say what would go; remove nothing.")
@options.out
def rm(runs: tuple[str, ...], yes: bool, dry_run: bool, out: Path) -> None:
    """Delete RUNs with their seeds, agents and figures, after asking.

    A run that another process is writing is refused, and so is everything that is not a run.
    Links are not followed. A bench that planned the run shows it as missing.

    \b
    Examples:
      rlbench rm dqn-CartPole-v1-50k --dry-run
      rlbench rm latest
      rlbench rm dqn-CartPole-v1-50k ppo-CartPole-v1-50k --yes
    """  # noqa: D301
    from rlbench.commands.remove import remove

    remove(runs, yes, dry_run, out)


@click.command(short_help="Join folders of results into one.")
@click.argument(
    "folders", metavar="FOLDER...", nargs=-1, required=True,
    type=click.Path(path_type=Path),
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Check, and say what would be new; write nothing.")
@options.out
def merge(folders: tuple[Path, ...], dry_run: bool, out: Path) -> None:
    """Check FOLDERs of results, such as those of several machines, and join them in --out.

    Runs are joined seed by seed. Where a seed has other rows in one folder than in another, both
    are named and nothing is written. Repeating the command adds what is new since.

    \b
    Examples:
      rlbench merge from_a from_b
      rlbench merge from_a from_b --out all_results --dry-run
    """  # noqa: D301
    from rlbench.commands.merge import merge as merge_

    merge_(folders, out, dry_run)


@click.command(short_help="Check every file of results against its checksum.")
@click.argument("path", metavar="[PATH]", required=False, type=click.Path(path_type=Path))
@options.out
def verify(path: Path | None, out: Path) -> None:
    """Check that every file of finished runs at or below PATH is what was written, byte for byte.

    PATH: a folder of results, a run or a part.  [default: --out]

    Exit code 1 if a file was changed or is missing. Files that earlier versions wrote without a
    checksum are counted. Nothing is written.

    \b
    Examples:
      rlbench verify
      rlbench verify results/CartPole-v1
    """  # noqa: D301
    from rlbench.commands.verify import verify as verify_

    sys.exit(verify_(path or out))


@click.command(short_help="Write the rows of finished runs as Parquet, which is read faster.")
@options.out
def compact(out: Path) -> None:
    """Write the rows of all finished runs below --out as Parquet files in its folder `compact`.

    Tables, comparisons and reports of the whole folder are then made of these: they are the same,
    and large stores are read faster. CSV files stay; runs that go on afterwards, or are new, are
    read from theirs. Repeat the command to take them in; delete the folder `compact` to undo it.

    \b
    Examples:
      rlbench compact
      rlbench compact --out all_results
    """  # noqa: D301
    from rlbench.commands.compact import compact as compact_

    compact_(out)
