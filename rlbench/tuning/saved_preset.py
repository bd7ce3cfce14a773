"""Preset files: the best setting of a study, with where it comes from."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlbench.common.safe_write import replace_bytes
from rlbench.errors import UserError
from rlbench.experiments.run import Run
from rlbench.preset import read_presets
from rlbench.registry import agent_class
from rlbench.storage.run_folder import seed_ranges, writing
from rlbench.tuning import outcome
from rlbench.tuning.journal import StudyJournal, StudyTrial
from rlbench.tuning.plan import StudyPlan
from rlbench.tuning.space import N_ENVS


def check(file: Path, plan: StudyPlan, study: str) -> None:
    """Check that the presets of a study can be written to a file.

    Raises:
        UserError: It has presets of another agent, or of the same environments from elsewhere.
    """
    if file.suffix != ".toml":
        raise UserError(f"--save-preset {file}: give the name of a TOML file, such as mine.toml")
    if not file.exists():
        return
    for env, values in read_presets(file).items():
        if env in plan.envs and values.get("tuned", {}).get("study") != study:
            raise UserError(
                f"--save-preset {file} has a preset for {env} that is not of this study: give "
                "another file"
            )
    of = tomllib.loads(file.read_text(encoding="utf-8")).get("agent", plan.agent)
    if of != plan.agent:
        raise UserError(f"--save-preset {file} has presets of {of}: give another file")


def save(file: Path, journal: StudyJournal, best: StudyTrial, trials: Sequence[StudyTrial]) -> None:
    """Write the best setting as the preset of each environment; other tables stay as they are.

    Raises:
        UserError: See `check`, or the file cannot be written.
    """
    check(file, journal.plan, journal.folder.name)
    tuned = outcome.tuned_record(journal, trials)
    text = file.read_text(encoding="utf-8") if file.exists() else _head(journal.plan)
    for run in journal.plan.runs(best.setting):
        text = without_table(text, run.env).rstrip("\n") + "\n\n"
        text += _table(run, journal.plan, tuned)
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(file, text.encode("utf-8"))


def without_table(text: str, env: str) -> str:
    """Return a preset file's text without the table of an environment."""
    lines, kept = [], True
    for line in text.splitlines(keepends=True):
        if heading := re.match(r'\["?([^"\]]+)"?\]', line):
            kept = heading[1] != env
        if kept:
            lines.append(line)
    return "".join(lines)


def source_line(plan: StudyPlan, tuned: dict[str, Any]) -> str:
    """Say in a sentence where a preset comes from."""
    space = ", ".join(f"{each.name} {each.text()}" for each in plan.dimensions())
    trials = f"{tuned['trials']} trials of {tuned['steps']:,} steps"
    return (
        f"rlbench tune, study {tuned['study']} of {tuned['date']}: best of {trials} by "
        f"{plan.sampler} over {space} (tuned on seeds {seed_ranges(plan.seeds)})"
    )


def _head(plan: StudyPlan) -> str:
    about = f"# Presets of {plan.agent}, written by rlbench tune --save-preset."
    return f"{about}\n\nagent = {json.dumps(plan.agent)}\n"


def _table(run: Run, plan: StudyPlan, tuned: dict[str, Any]) -> str:
    """Format the table of one environment."""
    values: dict[str, Any] = {"n_timesteps": run.total_timesteps}
    if run.n_envs != agent_class(run.agent).usual_envs(run.config):
        values["n_envs"] = run.n_envs
    parameters = run.config.model_dump(mode="json")
    named = {*run.config.changed(), *(each.name for each in plan.dimensions())} - {N_ENVS}
    values |= {name: parameters[name] for name in parameters if name in named}
    inline = ", ".join(f"{key} = {_toml(value)}" for key, value in tuned.items())
    lines = [
        f"[{json.dumps(run.env)}]",
        f"source = {_toml(source_line(plan, tuned))}",
        f"tuned = {{ {inline} }}",
        *(f"{key} = {_toml(value)}" for key, value in values.items()),
    ]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Format a value; TOML writes most as JSON does, and has no null."""
    return json.dumps("none" if value is None else value, ensure_ascii=False)
