"""The `import` command: read others' results into the store, marked as of another protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlbench.common.console import console as new_console
from rlbench.importing import write as writing
from rlbench.storage.run_folder import seed_ranges


def import_results(
    paths: Sequence[Path],
    env: str | None,
    agent: str | None,
    seed: int | None,
    wanted: str | None,
    out: Path,
) -> None:
    """Read all files, then write what is in them; print a line for each run.

    Raises:
        UserError: A file is broken or does not say what is needed; nothing has been written.
    """
    read = [
        (writing.named(run, env, agent, path), path)
        for path in paths
        for run in writing.read(path, wanted)
    ]
    console = new_console()
    for run, path in read:
        folder, seeds, old = writing.write(run, path, seed, out)
        seed = None if seed is None else max(seed, *(each + 1 for each in seeds))
        console.print(
            f"{run.agent} on {run.env}, seed{'s' * (len(seeds) > 1)} {seed_ranges(seeds)}: "
            f"{run.protocol} ({path.name}) -> {folder}",
            soft_wrap=True, highlight=False,
        )  # fmt: skip
        if old:
            one = len(old) == 1
            console.print(
                f"  seed{'s' * (not one)} {seed_ranges(old)} {'was' if one else 'were'} there "
                "already, from the same file",
                highlight=False, soft_wrap=True,
            )  # fmt: skip
