"""What a mirror asks of a tracker, and which trackers there are."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from rlbench.distribution import install
from rlbench.errors import UserError, nearest

TRACKERS = ("tensorboard", "wandb", "mlflow")  # also the names of the packages and of our extras
ALL_SEEDS = "all-seeds"


class RunFacts(NamedTuple):
    """What trackers are told about a run."""

    name: str  # AGENT-ENV-STEPS
    digest: str
    created: str  # time: a run that was deleted and made anew is another one
    folder: Path
    seeds: tuple[int, ...]
    hyperparameters: Mapping[str, bool | int | float | str]

    @property
    def group(self) -> str:
        """What the tracker runs of all seeds have in common."""
        return f"{self.name}-{self.digest}"


def title(seed: int | None) -> str:
    """Name the tracker run of a seed, or of all seeds together."""
    return ALL_SEEDS if seed is None else f"seed-{seed}"


class TrackerRun(Protocol):
    """One run in a tracker: that of a seed, or of all seeds together."""

    last: dict[str, int]  # step of the last value that is there already, by key

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add values at a step."""

    def attach(self, path: Path, step: int) -> None:
        """Add a picture or film."""

    def flush(self) -> None:
        """Let all that was logged be seen."""

    def close(self, status: str) -> None:
        """End with the status of the seed: `done`, `stopped`, or how it failed."""


class Tracker(Protocol):
    """A tracker that the runs of one group are opened in."""

    def open(self, facts: RunFacts, seed: int | None, again: bool) -> TrackerRun:
        """Open the run of a seed, or of all: with `again` a new one, else that which is there."""

    def where(self, folder: Path) -> str:
        """Say where a person sees the runs of a run's folder."""


def names_of(text: str) -> tuple[str, ...]:
    """Read names of trackers, separated by commas.

    Raises:
        UserError: There is no such tracker.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in TRACKERS:
            raise UserError(
                f"no tracker '{name}'.{nearest(name, TRACKERS)} There are {', '.join(TRACKERS)}"
            )
    return names


def check_installed(names: Iterable[str]) -> None:
    """Refuse trackers whose package is not there.

    Raises:
        UserError: It is missing.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise UserError(f"{name} is missing: {install(name)}")


def tracker(name: str) -> Tracker:
    """Return a tracker by its name; its package is imported here."""
    opened: Tracker = importlib.import_module(f"rlbench.tracking.to_{name}").tracker()
    return opened


def commas(seeds: Sequence[int]) -> str:
    """Format seeds for a hyperparameter."""
    return ",".join(map(str, seeds))
