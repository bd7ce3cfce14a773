"""Results in the formats of others: marl-eval's JSON, a LaTeX table, one Parquet file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from rlbench.common.number_format import number_text
from rlbench.errors import UserError
from rlbench.reporting.tables.load import RUN, Results
from rlbench.reporting.tables.summaries import overall, per_seed

FORMATS = {"marl-eval": ".json", "latex": ".tex", "parquet": ".parquet"}


def exported(results: Results, form: str) -> bytes:
    """Return the content of a file in one of FORMATS.

    Raises:
        UserError: There is nothing to write.
    """
    if results.evaluations.empty:
        raise UserError("there are no evaluations to export yet")
    if form == "marl-eval":
        return (json.dumps(marl_eval(results), indent=1) + "\n").encode()
    return latex(results).encode() if form == "latex" else parquet(results)


def marl_eval(results: Results) -> dict[str, Any]:
    """Return evaluations by environment, task, algorithm, run and step, as marl-eval reads them.

    A task is an environment of Gymnasium, an algorithm a run's label, a run a seed. Steps are those
    of the grid, `absolute_metrics` the sealed final evaluation; seeds that are not done have none,
    and are left out.
    """
    seeds = per_seed(results)
    done = seeds.loc[seeds["status"] == "done", [*RUN, "seed", "label", "data"]]
    rows = results.evaluations.merge(done, on=[*RUN, "seed"])
    content: dict[str, Any] = {}
    for (env, label, seed), mine in rows.groupby(["env", "label", "seed"], sort=True):
        run: dict[str, Any] = {}
        for i, (_, points) in enumerate(mine.query("phase == 'grid'").groupby("step")):
            run[f"step_{i}"] = {"step_count": int(points["step"].iloc[0]), **_metrics(points)}
        run["absolute_metrics"] = _metrics(mine.query("phase == 'final'"))
        tasks = content.setdefault("gymnasium", {}).setdefault(str(env), {})
        tasks.setdefault(str(label), {})[f"seed_{seed}"] = run
    return content


def _metrics(rows: pd.DataFrame) -> dict[str, list[float]]:
    images = (rows["split"] != "episodes").any()
    return {"return": rows["return"].tolist()} | (
        {"accuracy": rows["accuracy"].tolist()} if images else {}
    )


def latex(results: Results) -> str:
    """Return a table in LaTeX (booktabs): entrants by environment, means with their intervals."""
    table = overall(results)
    cells: dict[str, dict[str, str]] = {}
    counts = set()
    for _, run in table.iterrows():
        of, scale = ("accuracy_", 100.0) if run["data"] else ("", 1.0)
        cells.setdefault(run["label"], {})[run["env"]] = _cell(run, of, scale)
        counts.add(f"{run[f'{of}n']} of {run['of']}")
    envs = sorted(set(table["env"]))
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{l{'r' * len(envs)}}}",
        "\\toprule",
        " & ".join(["", *map(_escaped, envs)]) + r" \\",
        "\\midrule",
        *(
            " & ".join([_escaped(label), *(row.get(env, "--") for env in envs)]) + r" \\"
            for label, row in sorted(cells.items())
        ),
        "\\bottomrule",
        "\\end{tabular}",
        f"% Mean over seeds with a score (n = {', '.join(sorted(counts))}) and 95 % t-interval of "
        "the final evaluation; accuracies in %.",
    ]
    return "\n".join(lines) + "\n"


def _cell(run: pd.Series, of: str, scale: float) -> str:
    mean, low, high = (scale * run[f"{of}{name}"] for name in ("mean", "low", "high"))
    if math.isnan(mean):
        return "--"
    ends = "" if math.isnan(low) else f" [{number_text(low)}, {number_text(high)}]"
    return f"${number_text(mean)}${ends}"


def _escaped(text: str) -> str:
    """Escape what means something in LaTeX."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {character: f"\\{character}" for character in "&%$#_{}"}
    return "".join(special.get(character, character) for character in text)


def parquet(results: Results) -> bytes:
    """Return all evaluations as one Parquet file, each with what its run is and was set to."""
    settings = results.parameters().drop(columns=["seed"]).drop_duplicates(RUN)
    about = ["status", "total_timesteps", "n_envs", "device", "network", "data"]
    rows = results.evaluations.merge(results.runs[[*RUN, "seed", *about]], on=[*RUN, "seed"])
    settings.columns = [name if name in RUN else f"config.{name}" for name in settings.columns]
    return rows.merge(settings, on=RUN, how="left").to_parquet(index=False)


def default_file(form: str, out: Path) -> Path:
    """Return where an export is written unless another file is named."""
    return out / f"results{FORMATS[form]}"
