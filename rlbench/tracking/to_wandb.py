"""Weights & Biases: a run per seed and one of all seeds, in one group.

Where they go is W&B's own setting (WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE). W&B cannot be asked
which steps it has, so that `wandb/rlbench.json` in the run's folder says it. Runs that are written
offline are written anew by every mirror, from the first row on.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb

from rlbench.common.safe_write import replace_bytes
from rlbench.tracking.trackers import RunFacts, commas, title

PROJECT = "rlbench"
STEP = "global_step"
STATE = "rlbench.json"


class WandbRun:
    """Run of one seed, or of all together."""

    def __init__(self, run: Any, state: _State, of: str) -> None:
        self.run, self.state, self.of = run, state, of
        self.last: dict[str, int] = {} if run.offline else state.read().get(of, {}).get("last", {})

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log values by key at a step."""
        if not self.run.offline:  # before, so that a kill in between doubles no step
            self.state.write(self.of, self.run.id, self.last)
        self.run.log({**values, STEP: step})

    def attach(self, path: Path, step: int) -> None:
        """Attach a figure or film at a step."""
        kind: Any = path.suffix[1:]
        film = kind in ("gif", "mp4")
        media: Any = wandb.Video(str(path), format=kind) if film else wandb.Image(str(path))
        self.run.log({f"figures/{path.stem}": media, STEP: step})

    def flush(self) -> None:
        """Do nothing: W&B sends what it is given by itself."""

    def close(self, status: str) -> None:
        """End the tracker's run as its seed ended."""
        self.run.finish(exit_code=0 if status == "done" else 1)


class _State:
    """What W&B holds of the tracker runs of one run: id and last steps of each, in a file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "wandb" / STATE

    def read(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content

    def write(self, of: str, name: str, last: Mapping[str, int]) -> None:
        content = {**self.read(), of: {"id": name, "last": last}}
        replace_bytes(self.file, json.dumps(content).encode())


class Wandb:
    """Tracker that writes to the Weights & Biases project that its settings name."""

    def __init__(self) -> None:
        self.settings = wandb.Settings(
            console="off", silent=True, disable_git=True, save_code=False, x_disable_stats=True
        )

    def open(self, facts: RunFacts, seed: int | None, again: bool) -> WandbRun:
        """Open the tracker's run of a seed, or of all seeds where `seed` is None."""
        of = commas(facts.seeds) if seed is None else str(seed)
        state = _State(facts.folder)
        before = state.read().get(of, {}).get("id", "")
        known = "" if again else before
        name = known or secrets.token_hex(4)
        if before:  # `wandb sync` would upload both
            for old in state.file.parent.glob(f"offline-run-*-{before}"):
                shutil.rmtree(old)
        state.write(of, name, state.read()[of]["last"] if known else {})
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), group=facts.group, id=name,
            name=f"{facts.name} {title(seed)}", job_type="aggregate" if seed is None else "seed",
            config=dict(facts.hyperparameters), dir=str(facts.folder), resume="allow",
            reinit="create_new", settings=self.settings,
        )  # fmt: skip
        run.define_metric(STEP, hidden=True)
        run.define_metric("*", step_metric=STEP)
        return WandbRun(run, state, of)

    def where(self, folder: Path) -> str:
        """Return how or where the mirror of a run is looked at."""
        if os.environ.get("WANDB_MODE") == "offline":
            return f"wandb sync {folder}/wandb/offline-run-*"
        return f"project {os.environ.get('WANDB_PROJECT', PROJECT)}"


tracker = Wandb
