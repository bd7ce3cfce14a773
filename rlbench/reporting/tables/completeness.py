"""Check that the rows of a file are valid, and that those of finished seeds are complete."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rlbench.config import digest
from rlbench.protocol import (
    EVAL_EPISODES,
    FINAL_EPISODES,
    default_eval_freq,
    grid_size,
    grid_steps,
    is_grid_step,
    last_step,
)
from rlbench.storage.records import check_seal, corrupt

KEYS = {  # columns that tell the rows of a file apart
    "evaluations.csv": ["seed", "phase", "step", "episode"],
    "episodes.csv": ["seed", "episode"],
    "metrics.csv": ["seed", "step", "key"],
}
SPLITS = {"grid": "validation", "final": "test"}  # on image data


def check_run(file: Path, run: Mapping[str, Any]) -> None:
    """Reject a run.json whose settings do not match its digest and folder.

    Raises:
        UserError: They differ, or the file was changed after it was written.
    """
    if identity := run.get("identity"):
        _check_identity(file, run, identity)
    check_seal(file, run)


def _check_identity(file: Path, run: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    for name in ("eval_freq", "eval_episodes", "final_episodes"):
        if run.get(name) is None:
            raise corrupt(file, f"it lacks '{name}'")
    total = run["total_timesteps"]
    usual = {
        "n_envs": 1,
        "eval_freq": default_eval_freq(total),
        "eval_episodes": EVAL_EPISODES,
        "final_episodes": FINAL_EPISODES,
        "env_kwargs": {},
    }
    expected = {
        **{name: identity.get(name) for name in ("agent", "agent_version", "env")},
        "total_timesteps": identity.get("total_timesteps"),
        **{name: identity.get(name, default) for name, default in usual.items()},
        "changed": identity.get("config", {}),
    }
    for name, value in expected.items():
        if name in run and run[name] != value:
            raise corrupt(file, f"its {name} is {run[name]!r}, and {value!r} in its identity")
    if digest(dict(identity)) != run["digest"]:
        raise corrupt(file, f"its digest {run['digest']} is not that of its identity")
    before, _, last = file.parent.name.rpartition("-")
    if before and len(last) == 8 and last.isalnum() and last != run["digest"]:
        raise corrupt(file, f"it belongs in a folder {run['agent']}-{run['digest']}")


def check_rows(file: Path, rows: pd.DataFrame) -> None:
    """Reject duplicate rows, and values that no run writes.

    Raises:
        UserError: There are such rows.
    """
    numbers = rows[[name for name in ("step", "episode", "length") if name in rows]]
    if (numbers < 0).any(axis=None):
        raise corrupt(file, "a step, an episode or a length is negative")
    key = KEYS[file.name]
    if len(twice := rows.loc[rows.duplicated(key), key]):
        values = ", ".join(f"{name} {value}" for name, value in twice.iloc[0].items())
        raise corrupt(file, f"{values} is in it twice")
    if file.name == "episodes.csv":
        for seed, mine in rows.groupby("seed")["episode"]:
            if len(missing := np.setdiff1d(np.arange(len(mine)), mine)):
                raise corrupt(file, f"seed {seed} lacks episode {missing[0]}")
    if file.name == "evaluations.csv":
        _check_evaluations(file, rows)


def _check_evaluations(file: Path, rows: pd.DataFrame) -> None:
    scores = rows[["return", "epsilon", "time", "accuracy"]]
    for name, valid in (
        ("phase", rows["phase"].isin(SPLITS)),
        ("split", rows["split"].isin(["episodes", *SPLITS.values()])),
        ("cut", rows["cut"].between(0, rows["items"])),
        *((str(name), ~np.isinf(scores[name])) for name in scores),
    ):
        _refuse(file, rows, name, valid)
    episodes = rows[["phase", "episode", "eval_seed"]].drop_duplicates()
    if len(twice := episodes[episodes.duplicated(["phase", "episode"])]):
        phase, episode = twice.iloc[0][["phase", "episode"]]
        raise corrupt(file, f"{phase} episode {episode} has several eval_seeds")


def _refuse(
    file: Path, rows: pd.DataFrame, what: str, valid: pd.Series, column: str | None = None
) -> None:
    """Reject the file unless all rows are `known`.

    The message has `what` and the value of `column`.
    """
    if not valid.all():
        seed, value = (rows.loc[~valid, name].iloc[0] for name in ("seed", column or what))
        raise corrupt(file, f"seed {seed} has {what} {value}")


def check_complete(
    file: Path, rows: pd.DataFrame, run: Mapping[str, Any], status: Mapping[str, str]
) -> None:
    """Reject evaluations that the run did not plan, and finished seeds without all of them.

    Scores must be finite, and on image data those of the split that belongs to the phase. A
    run.json without `identity` does not say what was planned, and is accepted.

    Raises:
        UserError: Rows are missing, or there are too many.
    """
    if not run.get("identity"):
        return
    total, n_envs, freq = run["total_timesteps"], run["n_envs"], run["eval_freq"]
    counts = {"grid": run["eval_episodes"], "final": run["final_episodes"]}
    splits = rows["phase"].map(SPLITS) if run.get("data") else "episodes"
    _refuse(file, rows, "split", rows["split"] == splits)
    for name in ("return", "epsilon", "time"):
        _refuse(file, rows, name, rows[name].notna())
    if run.get("data"):
        _refuse(file, rows, "accuracy", rows["accuracy"].between(0, 1))
        counts = {phase: min(count, 1) for phase, count in counts.items()}
    last, step = last_step(total, n_envs), rows["step"]
    in_grid = is_grid_step(step, n_envs, freq) & (step <= last)
    on_grid = in_grid.where(rows["phase"] == "grid", step == last)
    _refuse(file, rows, "an evaluation that was not planned at step", on_grid, "step")
    _refuse(file, rows, "episode", rows["episode"] < rows["phase"].map(counts).astype("int64"))
    row_counts = rows.groupby(["seed", "phase"]).size().to_dict()
    due = {"grid": counts["grid"] * grid_size(total, n_envs, freq), "final": counts["final"]}
    for seed in (int(seed) for seed, state in status.items() if state == "done"):
        for phase, count in due.items():
            if (missing := count - row_counts.get((seed, phase), 0)) > 0:
                have = rows.query("seed == @seed and phase == @phase")["step"].value_counts()
                steps = [last] if phase == "final" else grid_steps(total, n_envs, freq)
                first = next(at for at in steps if have.get(at, 0) < counts[phase])
                raise corrupt(file, f"seed {seed} lacks {missing} of {count} {phase} rows, "
                                    f"the first at step {first}")  # fmt: skip
