"""Commands that export agents as models, and apply these: export, predict."""

from __future__ import annotations

from pathlib import Path

import click

from rlbench.cli import completion, options
from rlbench.errors import UserError


@click.command(short_help="Write the agent of a RUN as a model, or its episodes as a data set.")
@click.argument("run_name", metavar="RUN", shell_complete=completion.runs)
@click.option(
    "--seed", type=click.IntRange(min=0),
    help="Whose agent.  [default: the first; for minari all]",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["onnx", "torch", "safetensors", "minari"]),
    default="onnx", show_default=True,
    help="torch: a program for torch.export.load; safetensors: weights alone; minari: episodes.",
)  # fmt: skip
@click.option(
    "--episodes", type=click.IntRange(min=1), help="With minari: of each agent.  [default: 100]"
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="The file.  [default: export/seed-K.onnx, or .pt2, .safetensors, in the run's folder] "
    "With minari the id of the data set.  [default: rlbench/RUN-v0]",
)  # fmt: skip
@options.trust
@options.out
def export(
    run_name: str,
    seed: int | None,
    form: str,
    episodes: int | None,
    output: Path | None,
    out: Path,
) -> None:
    """Write the policy of one seed of a RUN to a file that needs no rlbench, and a card beside it.

    The model takes observations as the environment gives them, in batches, and returns actions.
    Hidden states and stacked frames are inputs and outputs with names. It is compared with the
    agent on 1,000 observations of the sealed evaluation, and removed where it differs.

    With --format minari the agents play episodes as in evaluation, from other reset seeds, and
    these become a Minari data set, which clone and td3-bc learn from.

    \b
    Examples:
      rlbench export latest
      rlbench export dqn-CartPole-v1-50k --seed 2 -o cartpole.onnx
      rlbench export latest --format torch
      rlbench export latest --format minari --episodes 20
    """  # noqa: D301
    if form == "minari":
        from rlbench.commands.export_episodes import export_episodes

        export_episodes(
            run_name, seed, episodes or 100, None if output is None else str(output), out
        )
        return
    if episodes is not None:
        raise UserError("--episodes goes with --format minari: leave it out")
    from rlbench.commands.export import export as export_

    export_(run_name, seed, form, output, out)


@click.command(short_help="Apply an exported model to data in files.")
@click.argument("model", metavar="MODEL", type=click.Path(path_type=Path))
@click.argument(
    "data", metavar="DATA...", nargs=-1, required=True, type=click.Path(path_type=Path)
)  # fmt: skip
@click.option(
    "-o", "--output", metavar="FILE.csv", type=click.Path(path_type=Path),
    help="Write the lines to a file instead of printing them.",
)  # fmt: skip
def predict(model: Path, data: tuple[Path, ...], output: Path | None) -> None:
    """Print what a MODEL of rlbench export says about every item of DATA, as CSV.

    DATA: images, folders of images (below folders of classes too), .npz, .npy or .csv files. With
    classes that are known, a last line on stderr says how many are right.

    \b
    Examples:
      rlbench predict digits.onnx scans/
      rlbench predict cartpole.onnx states.csv -o actions.csv
    """  # noqa: D301
    from rlbench.commands.predict import predict as predict_

    predict_(model, data, output)
