"""Plan of a bench that adds seeds until its comparisons are decided: `plan.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rlbench.common.safe_write import read_file
from rlbench.errors import UserError
from rlbench.storage.records import check_seal, corrupt

FILE = "plan.json"


class PlannedComparison(NamedTuple):
    """Two entrants on an environment: their names, and their run folders within results."""

    env: str
    a: str
    b: str
    folder_a: str
    folder_b: str


class SequentialPlan(BaseModel):
    """What is fixed before the first score; seeds come in this order, `group` at a time."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    alpha: float = Field(0.05, gt=0, lt=1)
    group: int = Field(5, ge=2)
    seeds: tuple[int, ...]
    comparisons: tuple[PlannedComparison, ...]
    known: int = Field(0, ge=0)  # seeds that had ended when it was written

    @property
    def looks(self) -> int:
        """Number of looks, at most."""
        return len(self.seeds) // self.group

    def to_json(self) -> dict[str, Any]:
        """Return the content of plan.json."""
        record = self.model_dump(mode="json")
        named = [each._asdict() for each in self.comparisons]
        return {"format": 1, **record, "comparisons": named}

    def differences(self, other: SequentialPlan) -> list[str]:
        """List the fields in which another plan differs."""
        mine, theirs = (plan.model_dump(exclude={"known"}) for plan in (self, other))
        return [name for name, value in mine.items() if value != theirs[name]]


def read(home: Path) -> SequentialPlan | None:
    """Read the plan in a bench's folder; None if it has none.

    Raises:
        UserError: The file is damaged, or was changed after it was written.
    """
    file = home / FILE
    if not file.is_file():
        return None
    try:
        record = json.loads(read_file(file))
        check_seal(file, record)
        fields = {key: record[key] for key in SequentialPlan.model_fields}
        fields["comparisons"] = [PlannedComparison(**each) for each in fields["comparisons"]]
        return SequentialPlan(**fields)
    except (ValueError, TypeError, KeyError, AttributeError, ValidationError) as error:
        raise corrupt(file, str(error).partition("\n")[0]) from None


def planned(
    group: int,
    seeds: Sequence[int],
    alpha: float,
    comparisons: Sequence[PlannedComparison],
    known: int = 0,
) -> SequentialPlan:
    """Return a plan.

    Raises:
        UserError: There is nothing to compare, or too few seeds for one look.
    """
    if not comparisons:
        raise UserError(
            "--until-decided needs two entrants that meet on an environment: add an agent to the "
            "suite"
        )
    if len(seeds) < group:
        raise UserError(f"--until-decided: {len(seeds)} seeds are fewer than one group of {group}")
    whole = len(seeds) // group * group
    return SequentialPlan(
        alpha=alpha,
        group=group,
        seeds=tuple(seeds[:whole]),
        comparisons=tuple(comparisons),
        known=known,
    )
