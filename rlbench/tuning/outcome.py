"""What comes out of a study: a table of trials, and the record of how much was tuned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rlbench.common.safe_write import replace_bytes
from rlbench.config import plain
from rlbench.reporting.tables.csv_export import to_csv
from rlbench.storage.provenance import now
from rlbench.storage.run_folder import seed_ranges, writing
from rlbench.tuning.journal import StudyJournal, StudyTrial
from rlbench.tuning.plan import StudyPlan

TRIALS = "trials.csv"
LEAST = 2  # trials that a figure shows


def trial_table(journal: StudyJournal, trials: Sequence[StudyTrial]) -> pd.DataFrame:
    """Make a table with one row per trial, environment and seed.

    trial, state          number in the study; done, pruned, failed or running
    value                 what the study maximises; NaN unless the trial is done
    env, seed, score      of one seed: see `objective.seed_score`
    step                  at its last evaluation
    lost                  why the seed failed or diverged, or ""
    reason, seconds       of the trial: why it failed, and how long it took
    and a column for each parameter that is searched
    """
    names = [each.name for each in journal.plan.dimensions()]
    values = journal.values(trials)
    rows = []
    for trial in trials:
        setting = {name: _plain(trial.setting[name]) for name in names}
        head = {"trial": trial.number, "state": trial.state, "value": values.get(trial.number)}
        tail = {"reason": trial.reason, "seconds": trial.seconds, **setting}
        scores = journal.scores(trial)
        for env in journal.plan.envs:
            for seed in journal.plan.seeds:
                curve = trial.result.curves.get(env, {}).get(seed, [])
                rows.append({
                    **head, "env": env, "seed": seed, "score": scores.get(env, {}).get(seed),
                    "step": curve[-1][0] if curve else 0,
                    "lost": trial.result.lost.get(env, {}).get(seed, ""), **tail,
                })  # fmt: skip
    columns = ["trial", "state", "value", "env", "seed", "score", "step", "lost", "reason",
               "seconds", *names]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).astype({"value": "float64", "score": "float64"})


def write(journal: StudyJournal, trials: Sequence[StudyTrial]) -> None:
    """Write `trials.csv` beside the journal."""
    file = journal.folder / TRIALS
    with writing(file):
        replace_bytes(file, to_csv(trial_table(journal, trials)))


def draw(journal: StudyJournal, trials: Sequence[StudyTrial]) -> list[Path]:
    """Draw the figures of a study beside its journal; return the files.

    Importances need a few trials that differ; without them that figure is left out.
    """
    from rlbench.reporting.figures import study_figures
    from rlbench.reporting.figures.learning_curves import save

    table = trial_table(journal, trials)
    done = table[table["state"] == study_figures.DONE]
    if done["trial"].nunique() < LEAST:
        return []
    plan = journal.plan
    title = f"{plan.agent} on {', '.join(plan.envs)}"
    measure = score_name(plan)
    scales: dict[str, study_figures.Scale] = {
        each.name: "choice" if each.choices else "log" if each.log else "lin"
        for each in plan.dimensions()
    }
    figures = {
        "history": study_figures.history(table, title, measure),
        "slices": study_figures.slices(table, scales, title, measure),
        "parallel": study_figures.parallel(table, scales, title, measure),
    }
    if shares := journal.importances(trials):
        figures["importances"] = study_figures.importances(shares, title)
    return [
        file for name, figure in figures.items() for file in save(figure, journal.folder / name)
    ]


def score_name(plan: StudyPlan) -> str:
    """Name what a study maximises."""
    if len(plan.envs) > 1:
        return "place among all trials"
    return "last evaluation" if plan.objective == "final" else "mean of the curve"


def tuned_record(journal: StudyJournal, trials: Sequence[StudyTrial]) -> dict[str, Any]:
    """Return how a setting of this study was found, for presets and runs.

    `steps` are those of a whole trial and seed, `env_steps` all that the study has trained.
    """
    plan = journal.plan
    trained = sum(
        curve[-1][0]
        for trial in trials
        for by_seed in trial.result.curves.values()
        for curve in by_seed.values()
        if curve
    )
    return {
        "study": journal.folder.name,
        "trials": len(trials),
        "seeds": seed_ranges(plan.seeds),
        "steps": max(plan.steps),
        "env_steps": trained,
        "date": now()[:10],
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else plain(value)
