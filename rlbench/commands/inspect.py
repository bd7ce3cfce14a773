"""The `show` command: agents, suites and finished runs, without training."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import click

from rlbench import registry
from rlbench.common.console import console as new_console
from rlbench.errors import NoRun, UserError, nearest
from rlbench.experiments import suite
from rlbench.storage import run_folder, run_names
from rlbench.storage.labels import read_labels
from rlbench.storage.run_folder import RunFolder


def show(name: str, out: Path) -> None:
    """Print an agent's parameters, a suite's file, or a run's settings and state."""
    if name in registry.agents() or re.fullmatch(r"[\w.]+:\w+", name):
        _show_agent(name)
        return
    if name in suite.names() or name.endswith(".toml"):
        click.echo(suite.read_text(name), nl=False)
        return
    try:
        folder = run_folder.find_run(name, out)
    except NoRun:
        runs = run_names.names_of(run_folder.run_folders(out)).values()
        hint = nearest(name, [*registry.agents(), *suite.names(), *runs])
        raise UserError(f"no agent, suite or run '{name}'.{hint} (rlbench list)") from None
    _show_run(folder)


def show_time_profile(name: str, out: Path) -> None:
    """Print where the time of a run went, summed over its parts."""
    from rlbench.reporting.console.tables import print_split

    run = RunFolder(run_folder.find_run(name, out))
    profiles = [info for part in run.parts() if (info := part.read()).get("time")]
    if not profiles:
        raise UserError(
            f"{run.path.name} does not say where its time went: Stable-Baselines3's and "
            "scikit-learn's agents do not, nor do runs of earlier versions"
        )
    seconds: Counter[str] = Counter()
    for info in profiles:
        seconds.update(info["time"])
    steps = sum(info["step"] * len(info["seeds"]) for info in profiles)
    print_split(dict(seconds), steps, new_console())
    for timing in (info["compile"] for info in profiles if "compile" in info):
        cost, before, after = (timing[key] for key in ("seconds", "update_before", "update_after"))
        repaid = f"repaid after {cost / (before - after):,.0f} updates" if before > after else ""
        click.echo(
            f"compiled in {cost:.1f} s: an update takes {1e3 * after:.2f} ms instead of "
            f"{1e3 * before:.2f} ms, {repaid or 'which it never repays'}"
        )


def show_program(name: str, out: Path) -> None:
    """Print the programs that replay the updates of a run's agent, of one seed on a CPU.

    Raises:
        UserError: there is no such run, or its agent has no updates to record.
    """
    from rlbench.experiments.run import Run
    from rlbench.learning.environments.make import env_factory
    from rlbench.learning.training.traced_updates import programs

    run = Run.from_json(RunFolder(run_folder.find_run(name, out)).read(), ())
    # Of what changes no program, what costs time is left out.
    quick = {"compile": False, "learning_starts": 0}
    config = run.config.model_copy(
        update={key: value for key, value in quick.items() if hasattr(run.config, key)}
    )
    agent = registry.agent_class(run.agent)(
        env_factory(run.env, run.env_kwargs), n_envs=run.n_envs, device="cpu", config=config
    )
    agent.set_horizon(run.total_timesteps)
    for objective, program in programs(agent).items():
        click.echo(f"# {run.agent} on {run.env}: {objective}, for one seed on a CPU")
        click.echo(program)


def _show_agent(name: str) -> None:
    cls = registry.agent_class(name)
    about = registry.agents().get(name) or (cls.__doc__ or "").strip().partition("\n")[0]
    click.echo(f"{name}: {about}\n")
    for field, schema in cls.Config.model_json_schema()["properties"].items():
        default = default_text(cls.Config.model_fields[field].default)
        click.echo(
            f"{field} = {default}  ({type_text(schema)})\n    {schema.get('description', '')}"
        )
    able = " or ".join(kind.__name__ for kind in cls.action_spaces)
    click.echo(f"\nactions: {able}; steps are env steps per seed")
    for env, values in registry.presets(name).items():
        text = " ".join(f"{k}={v}" for k, v in values.items() if k != "source")
        click.echo(f"preset {env}: {text}\n  source: {values.get('source', '')}")


def default_text(default: Any) -> str:
    """Format a default as `-p` takes it: `true`, `64,64`, `none`."""
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default).lower()


def type_text(schema: dict[str, Any]) -> str:
    """Format a field's type and bounds: `number > 0`, `adam|sgd`, `number or none`."""
    if "anyOf" in schema:
        return " or ".join(type_text(part) for part in schema["anyOf"])
    if "enum" in schema:
        return "|".join(schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"]).strip('"')
    kind = {"null": "none", "array": "integers", "boolean": "true|false"}.get(
        schema["type"], schema["type"]
    )
    signs = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    return " ".join([kind, ", ".join(bounds)]).strip()


def _versions(folder: Path) -> list[str]:
    """Return the versions that the parts of a run were made with, each set of them once."""
    each = []
    for part in RunFolder(folder).parts():
        with contextlib.suppress(UserError):  # tables warn of a part that is damaged
            each.append(part.read().get("versions") or {})
    lines = [", ".join(f"{name} {number}" for name, number in one.items()) for one in each]
    return [line for line in dict.fromkeys(lines) if line]


def _show_run(folder: Path) -> None:
    from rlbench.reporting.console.tables import print_summary
    from rlbench.reporting.tables.load import load

    run = RunFolder(folder).read()
    click.echo(f"{'name':18} {run_names.run_name(run)}")
    for key in ("agent", "env", "env_kwargs", "variant", "preset", "total_timesteps", "n_envs",
                "eval_freq", "eval_episodes", "final_episodes", "eval_max_steps", "created",
                "command"):  # fmt: skip
        click.echo(f"{key:18} {run.get(key)}")
    for number, versions in enumerate(_versions(folder)):
        click.echo(f"{'' if number else 'versions':18} {versions}")
    labels = read_labels(folder)
    if labels.tags:
        click.echo(f"{'tags':18} {' '.join(labels.tags)}")
    if labels.note:
        click.echo(f"{'note':18} " + labels.note.replace("\n", "\n" + " " * 19))
    click.echo("parameters")
    for key, value in run["config"].items():
        mark = "*" if key in run.get("changed", {}) else " "
        click.echo(f"  {mark} {key:26} {value}")
    click.echo("  (* differs from its default)\n")
    print_summary(load(folder), new_console())
