"""Write the tables of docs/agents/ between their markers: `python docs/agent_tables.py`.

To be repeated after a change of an agent's Config, of presets, of results/reference or of
docs/agents/published.csv. Markers are lines such as `<!-- parameters dqn -->`, and `<!-- end -->`.
"""

from __future__ import annotations

import csv
import functools
import itertools
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import pandas as pd

import rlbench
from rlbench import registry
from rlbench.commands.inspect import default_text, type_text
from rlbench.common.number_format import number_text
from rlbench.config import Config
from rlbench.learning.agent import Agent
from rlbench.learning.networks.encoders import EncoderConfig
from rlbench.learning.optim.learner import LearnerConfig
from rlbench.peers.sb3.config import PeerConfig
from rlbench.reporting.tables.summaries import interval_text, overall, percent_text

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "agents"
REFERENCE = ROOT / "results" / "reference"
BLOCK = re.compile(r"(<!-- (\w+)( [^>]+)? -->\n)(.*?)(<!-- end -->)", re.DOTALL)
FOLDED = "Parameters that are used with a switch or a recurrent encoder"
HEAD = "| parameter | default | range | meaning |\n|---|---|---|---|\n"


def base_of(cls: type[Agent]) -> type[Agent] | None:
    """Return the agent of which a class is a variant, or None."""
    bases = (kind for kind in cls.__mro__[1:] if issubclass(kind, Agent))
    return next((kind for kind in bases if kind.__module__.startswith("rlbench.agents.")), None)


def declared(config: type[Config]) -> list[str]:
    """List the fields of a Config: those of the class itself, then those of its bases."""
    names = (name for kind in config.__mro__ for name in vars(kind).get("__annotations__", ()))
    return [name for name in dict.fromkeys(names) if name in config.model_fields]


@functools.cache
def schemas(config: type[Config]) -> dict[str, dict[str, Any]]:
    """Return the JSON schema of each parameter of a Config."""
    schema: dict[str, dict[str, Any]] = config.model_json_schema()["properties"]
    return schema


def defaults_of(config: type[Config]) -> dict[str, Any]:
    """Return the defaults of a Config by name."""
    return {name: field.default for name, field in config.model_fields.items()}


def range_text(schema: dict[str, Any], metadata: Iterable[Any]) -> str:
    """Format a type and its bounds, which the schema of `number or none` leaves out."""
    span = type_text(schema).replace("|", " / ").replace(">=", "≥").replace("<=", "≤")
    for text in ("integer or string or integers", "integer or integers"):  # spellings of one thing
        span = span.replace(text, "integers" if "string" in text else "integer")
    bounds = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    given = [f"{s} {getattr(m, k):g}" for m in metadata for k, s in bounds.items() if hasattr(m, k)]
    kind, none, _ = span.partition(" or none")
    return f"{kind} {', '.join(given)}{none}" if given and not set(span) & set("<>≤≥") else span


def row(config: type[Config], name: str) -> str:
    """Format one parameter as a line of a table."""
    schema = schemas(config)[name]
    span = range_text(schema, config.model_fields[name].metadata)
    meaning = schema.get("description", "").replace("|", r"\|").replace("*", r"\*")
    return (
        f"| `{name}` | `{default_text(config.model_fields[name].default)}` | {span} | {meaning} |"
    )


def table(config: type[Config], names: Iterable[str]) -> str:
    """Format parameters as a table."""
    return HEAD + "\n".join(row(config, name) for name in names) + "\n"


def folded(summary: str, text: str) -> str:
    """Hide text behind a line that opens it."""
    return f"<details>\n<summary>{summary}</summary>\n\n{text}\n</details>\n"


def parameters(agent: str) -> str:
    """Write the parameters of an agent that are not the same for all.

    For a variant of another agent only those that differ from it or are used here alone. What has
    no effect under the defaults is folded.
    """
    cls = registry.agent_class(agent)
    config, base = cls.Config, base_of(cls)
    defaults, unused = defaults_of(config), config().unused()
    if base is not None:
        others, idle = defaults_of(base.Config), base.Config().unused()
        kept = [n for n in declared(config) if defaults[n] != others.get(n, ...)
                or (n in idle and n not in unused)]  # fmt: skip
        return table(config, kept) if kept else "It has no parameters of its own.\n"
    shared = defaults_of(LearnerConfig) if issubclass(config, LearnerConfig) else {}
    own = [n for n in declared(config) if n not in shared or defaults[n] != shared[n]]
    own = ["learning_rate"] * bool(shared) + [name for name in own if name != "learning_rate"]
    text = table(config, [name for name in own if name not in unused])
    if rest := [name for name in own if name in unused]:
        text += "\n" + folded(FOLDED, table(config, rest))
    if shared:
        text += "\nOthers are those of [all networks and optimisers](shared_parameters.md).\n"
    return text


def shared(_: str) -> str:
    """Write the parameters of encoders and optimisers."""
    mine = [name for name in declared(LearnerConfig) if name not in EncoderConfig.model_fields]
    encoder = table(EncoderConfig, declared(EncoderConfig))
    return f"## Encoder\n\n{encoder}\n## Optimiser\n\n{table(LearnerConfig, mine)}"


def fixed(agent: str) -> str:
    """Write what a peer of Stable-Baselines3 has no setting for, with the reason.

    `all` stands for what holds for every peer, which the tables of agents leave out.
    """
    of_all = _fixed(PeerConfig)
    own = of_all if agent == "all" else _fixed(registry.agent_class(agent).Config)
    kept = [text for name, text in own.items() if agent == "all" or of_all.get(name) != text]
    if not kept:
        return "Nothing besides what is fixed for all of them.\n"
    return "\n".join(["| parameter | fixed at | why |", "|---|---|---|", *kept]) + "\n"


def _fixed(config: type[Config]) -> dict[str, str]:
    """Format the parameters of a Config that have a single value."""
    lines = {}
    for name, schema in schemas(config).items():
        point = schema.get("minimum") == schema.get("maximum", math.inf)
        if "const" in schema or schema.get("type") == "null" or point:
            default = default_text(config.model_fields[name].default)
            lines[name] = f"| `{name}` | `{default}` | {schema.get('description', '')} |"
    return lines


def presets(agent: str) -> str:
    """Write the environments that an agent has tuned parameters for, with budgets and sources."""
    base = base_of(registry.agent_class(agent))
    of_base = registry.presets(base.name()) if base else {}
    head = "| environment | budget | parameters besides those of `{}` |" if of_base else (
        "| environment | budget | source |")  # fmt: skip
    lines: dict[str, list[str]] = {}  # environments by what is said about them
    for env, values in registry.presets(agent).items():
        steps, epochs = values.get("n_timesteps"), values.get("epochs")
        budget = f"{steps:,} steps" if steps else f"{epochs:,} passes"
        theirs = {"source": values.get("source"), **of_base.get(env, {})}
        mine = {k: v for k, v in values.items() if k not in theirs or theirs[k] != v}
        mine.pop("source", None)
        text = " ".join(f"`{k}={default_text(v)}`" for k, v in mine.items()) or "none"
        source = re.sub(r", of rlbench/\S+$", "", values.get("source", ""))
        lines.setdefault(f"{budget} | {text if of_base else source} |", []).append(env)
    rows = [f"| {', '.join(envs)} | {about}" for about, envs in lines.items()]
    return "\n".join([head.format(base.name() if base else ""), "|---|---|---|", *rows]) + "\n"


def scores(names: str) -> str:
    """Write our scores of some runs of results/reference, and published ones, by environment."""
    agent, _, runs = names.partition(" ")
    folders, lines = [REFERENCE / run for run in runs.split()], dict[str, list[str]]()
    rows = overall(rlbench.load(*folders)) if folders else pd.DataFrame()
    for folder in folders:
        run = rows[rows["digest"] == folder.name.rpartition("-")[2]].iloc[0]
        lines.setdefault(run["env"], []).append(_our_score(run, folder))
    with (PAGES / "published.csv").open(encoding="utf-8", newline="") as file:
        for one in csv.DictReader(file):
            if one["agent"] == agent:
                steps = f"{int(one['steps']):,}" if one["steps"] else "not said"
                where = f"[{one['protocol']}](index.md#{_anchor(one['protocol'])}), {one['source']}"
                cells = one["environment"], one["who"], steps, one["n"], one["score"], where
                lines.setdefault(one["environment"], []).append(f"| {' | '.join(cells)} |")
    head = "| environment | whose | steps a seed | n | score | protocol, and where it is from |\n"
    return head + "|---|---|---|---|---|---|\n" + "\n".join(itertools.chain(*lines.values())) + "\n"


def _our_score(run: pd.Series, folder: Path) -> str:
    command = json.loads((folder / "run.json").read_text("utf-8"))["command"]
    command = re.sub(r" (--jobs \S+|--out \S+|-q)(?= |$)", "", command)
    if run["data"]:  # the test accuracy, in percent
        unit = " %"
        mean = percent_text(run["accuracy_mean"], run["items"])
        span = interval_text(run, "accuracy_", lambda x: percent_text(x, run["items"]), unit)
    else:
        unit, mean, span = "", number_text(run["mean"]), interval_text(run)
    score = span if span.startswith(f"{run['n']} of") else f"{mean}{unit}, {span}"
    where = f"[sealed evaluation](index.md#sealed-evaluation), `{command}`"
    name = f"**ours**, `{run['agent']}`"
    return (
        f"| {run['env']} | {name} | {run['total_timesteps']:,} | {run['n']} | {score} | {where} |"
    )


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


WRITERS = {
    "parameters": parameters,
    "shared": shared,
    "fixed": fixed,
    "presets": presets,
    "scores": scores,
}


def written(text: str) -> str:
    """Write all tables of a page anew."""

    def fill(block: re.Match[str]) -> str:
        begin, kind, names, _, end = block.groups(default="")
        return f"{begin}\n{WRITERS[kind]((names or '').strip())}\n{end}"

    return BLOCK.sub(fill, text)


@click.command(help=(__doc__ or "").partition("\n")[0])
def main() -> None:
    """Write the tables of all pages."""
    for page in sorted(PAGES.glob("*.md")):
        old = page.read_text("utf-8")
        if (new := written(old)) != old:
            page.write_text(new, "utf-8")
            click.echo(f"{page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
