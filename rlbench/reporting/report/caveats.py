"""Caveats of a report, each shown only if it applies."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from rlbench.common.number_format import count_text
from rlbench.reporting.report import formatting
from rlbench.reporting.report.cell_tables import ACCURACY, STATES
from rlbench.reporting.report.formatting import entrants, listing, some
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.report.tests_and_aggregates import ALPHA, least_p
from rlbench.reporting.statistics.intervals import coverage_of_two_kinds
from rlbench.reporting.statistics.resampling import Array
from rlbench.reporting.tables.summaries import cut_text

FEW_SEEDS = 5
LEAST_COVERAGE = 0.9  # coverage, with one seed in five failing, below which there is a caveat
SMALL = 1_000  # test images


def caveats(data: ReportData) -> list[str]:
    """List the caveats that apply, those that can reverse a conclusion first."""
    return [line for make in CAVEATS for line in make(data)]


def _competing(data: ReportData) -> pd.DataFrame:
    return data.cells[data.cells["label"].isin(data.names)]


def _lost_seeds(data: ReportData) -> Iterator[str]:
    for _, cell in _competing(data).iterrows():
        each = [f"{cell[f'n_{s}']} {s}" for s in (*STATES[2:], "running") if cell[f"n_{s}"]]
        if empty := cell["n_done"] - cell["n"]:
            each.append(f"{empty} done without a score")
        if not each:
            continue
        end = "it has no score"
        if cell["n"]:
            end = f"its mean is over the other {count_text(cell['n'], 'seed')}"
            if cell["lost"]:
                end += (
                    " and flatters it; a comparison is decided only if it also holds with the lost "
                    "seeds ranked worst"
                )
        where = f"{cell['label']} on {cell['env']}"
        yield f"{where}: of {count_text(cell['of'], 'seed')} {listing(each)}; {end}."


def _skipped_files(data: ReportData) -> Iterator[str]:
    for problem in data.scope.results.problems:
        yield f"Left out: {problem}."


def _few(data: ReportData) -> Iterator[str]:
    cells = _competing(data)
    few = cells[(cells["n"] > 0) & (cells["n"] < FEW_SEEDS)]
    if few.empty:
        return
    sizes = sorted(set(few["n"]))
    which = some(sorted({f"{c['label']} on {c['env']}" for _, c in few.iterrows()}), "cells", 3)
    p = least_p(sizes[-1], sizes[-1])
    yield (
        f"Few seeds (n = {listing(sizes, 'or')}: {which}): intervals are wide and lean on "
        f"normality; two entrants with {count_text(sizes[-1], 'seed')} cannot differ with less "
        f"than p = {p:.2g}, before any adjustment."
    )


def _two_kinds(data: ReportData) -> Iterator[str]:
    cells = _competing(data)
    cells = cells[cells["low"].notna()]
    cover = {n: coverage_of_two_kinds(n) for n in sorted(set(cells["n"]))}
    cover = {n: share for n, share in cover.items() if share < LEAST_COVERAGE}
    if not cover:
        return
    each = listing((f"{100 * share:.0f} % at n = {n}" for n, share in cover.items()), "and")
    text = (
        "95 % intervals of so few seeds assume scores of one kind. Where one seed in five fails, "
        f"they cover the mean in {each} of all cases, since often no such seed is among these."
    )
    examples = {}
    few = cells[cells["n"].isin(list(cover))]
    for _, cell in few.iterrows():
        own = (data.seeds["env"] == cell["env"]) & (data.seeds["label"] == cell["label"])
        scores = data.seeds.loc[own, "score"].dropna().to_numpy()
        name = f"{cell['label']} on {cell['env']}"
        if (scores == scores.max()).sum() > 1 or scores.max() == cell["bound_high"]:
            examples[name] = "at a ceiling"
        elif two_groups(scores):
            examples[name] = "in two groups"
    for what in ("in two groups", "at a ceiling"):
        if names := sorted(name for name, kind in examples.items() if kind == what):
            text += f" Scores are {what} here: {some(names, 'cells')}."
    yield text


def two_groups(scores: Array) -> bool:
    """Return whether a gap between scores is wider than the spread on either side of it.

    False for three or fewer scores.
    """
    values = np.sort(scores)
    if values.size < 4:
        return False
    at = int(np.argmax(np.diff(values)))
    inside = max(values[at] - values[0], values[-1] - values[at + 1])
    return bool(values[at + 1] - values[at] > 2 * inside)


def _bounds(data: ReportData) -> Iterator[str]:
    sentences = []
    for env, here in _competing(data).groupby("env"):
        percent = bool((here["measure"] == ACCURACY).all())
        bounds = here["bound_low"], here["bound_high"]
        if text := cut_text(here["low"], here["high"], bounds, percent):
            sentences.append(f"on {env} {text}")
    if sentences:
        text = "; ".join(sentences)
        yield f"Intervals that reached beyond what a score can be are cut there: {text}."


def _powerless(data: ReportData) -> Iterator[str]:
    tests = data.pairs[data.pairs["p_holm"].notna()]
    weak = tests[tests["least_p"] * len(tests) > ALPHA]
    if len(weak) and len(weak) < len(tests):
        envs = some(sorted(set(weak["env"])), "environments")
        yield (
            f"{count_text(len(weak), 'comparison')} (on {envs}) had too few seeds to be decided "
            "ahead of all others."
        )


def _budgets(data: ReportData) -> Iterator[str]:
    sentences = []
    for env, here in _competing(data).groupby("env"):
        ran = here[here["total_timesteps"] > 0]
        budgets = ran.groupby("total_timesteps")["label"].apply(list)
        if len(budgets) > 1:
            each = ", ".join(f"{entrants(names)} {steps:,}" for steps, names in budgets.items())
            sentences.append(f"on {env} {each}")
    if sentences:
        yield f"Budgets differ, in steps a seed: {'; '.join(sentences)}."


def _ceilings(data: ReportData) -> Iterator[str]:
    cells = _competing(data)
    flat = cells[(cells["n"] > 1) & (cells["lowest"] == cells["highest"]) & (cells["lost"] == 0)]
    sentences = []
    for (env, _), here in flat.groupby(["env", "mean"]):
        score = formatting.plain(
            formatting.score_text(here["mean"].iloc[0], here.iloc[0])
        ) + formatting.unit(here.iloc[0])
        sentences.append(f"{entrants(list(here['label']))} on {env} at {score}")
    if sentences:
        yield (
            f"All seeds are equal of {'; '.join(sentences)}: no spread was seen, so there is no "
            "interval, and scores at a common limit tell nobody apart."
        )


def _cut(data: ReportData) -> Iterator[str]:
    for _, cell in data.cells[data.cells["cut"] > 0].iterrows():
        what = (
            "test images were not answered"
            if cell["measure"] == ACCURACY
            else "episodes did not end"
        )
        record = data.record(cell)
        steps = record.run.get("eval_max_steps") if record else None
        limit = f"the limit of {steps:,} steps" if steps else "the step limit of evaluation"
        yield (
            f"{cell['label']} on {cell['env']}: {cell['cut']:,} of {cell['played']:,} final {what} "
            f"within {limit} and were cut there: with another limit the score would be another."
        )


def _presets(data: ReportData) -> Iterator[str]:
    sentences = []
    for env, here in _competing(data).groupby("env"):
        preset_use: dict[bool, list[str]] = {True: [], False: []}
        for _, cell in here.iterrows():
            if record := data.record(cell):
                preset_use[bool(record.run.get("preset"))].append(cell["label"])
        if preset_use[True] and preset_use[False]:
            sentences.append(
                f"on {env} {entrants(preset_use[True])}, and not {entrants(preset_use[False])}"
            )
    if sentences:
        yield f"Settings were tuned for the environment of some only: {'; '.join(sentences)}."
    peers = sorted(name for name in data.names if name.startswith("sb3-"))
    if peers:
        yield (
            f"{listing(peers)}: where settings are equal they were tuned with our agents, not "
            "with theirs; see the settings."
        )


def _imported(data: ReportData) -> Iterator[str]:
    for _, cell in _competing(data).iterrows():
        record = data.record(cell)
        source = record.run.get("imported") if record else None
        if isinstance(source, dict):
            yield (
                f"{cell['label']} on {cell['env']} was imported from {source.get('file')}: its "
                f"score is of {source.get('protocol')}, not of the sealed evaluation, so that a "
                "difference from others may be one of protocols."
            )


def _tuned_seeds(data: ReportData) -> Iterator[str]:
    for _, cell in data.cells[data.cells["tuned_on"] > 0].iterrows():
        record = data.record(cell)
        assert record
        source = record.run["tuned"].get("study")
        study = f" in study {source}" if source else ""
        yield (
            f"{cell['label']} on {cell['env']}: its setting was tuned{study} on "
            f"{cell['tuned_on']} of the {count_text(cell['n'], 'seed')} that its score is over "
            "(†), so that the score is too high by an unknown amount: train other seeds."
        )


def _times(data: ReportData) -> Iterator[str]:
    cells = _competing(data)
    cells = cells[cells["seconds_per_seed"].notna()]
    machines = sorted({*cells["platform"] + ", " + cells["device"]})
    if len(machines) == 1:
        yield (
            f"All times are from one kind of machine ({machines[0]}), with whatever else ran on "
            "it: read them as orders of magnitude."
        )
    elif machines:
        yield f"Times are from different machines ({listing(machines)}): not comparable."
    sizes = sorted({*cells["lockstep"], *cells["lockstep_most"]})
    if len(sizes) > 1:
        yield (
            f"Between {sizes[0]} and {sizes[-1]} seeds trained together: seconds of a seed fall "
            "with their number, and compare programs as they were run, not algorithms."
        )


def _images(data: ReportData) -> Iterator[str]:
    cells = _competing(data)
    cells = cells[(cells["measure"] == ACCURACY) & (cells["n"] > 0) & (cells["items"] < SMALL)]
    for items in sorted(set(cells["items"])):
        envs = some(sorted(set(cells.loc[cells["items"] == items, "env"])), "environments")
        yield (
            f"Test sets are small on {envs}: one of {items} images is {100 / items:.2g} points. "
            "All seeds see the same images; intervals over seeds do not cover which images "
            "these are."
        )


def _seeds(data: ReportData) -> Iterator[str]:
    for env, here in data.seeds[data.seeds["label"].isin(data.names)].groupby("env"):
        sets = {tuple(sorted(mine["seed"])) for _, mine in here.groupby("label")}
        if len({len(s) for s in sets}) > 1:
            sizes = sorted({len(s) for s in sets})
            yield f"Entrants have different numbers of seeds on {env}: {listing(sizes)}."


def _versions(data: ReportData) -> Iterator[str]:
    parts = [part for record in data.scope.records.values() for part in record.parts]
    commits = sorted({str(part["commit"]) for part in parts if part.get("commit")})
    if len(commits) > 1:
        yield f"Results are from {len(commits)} commits of rlbench: see what they were made with."
    dirty = [commit for commit in commits if commit.endswith("+")]
    if dirty:
        yield f"Code had changes on top of {listing(dirty)}, and cannot be had again from there."
    for name in sorted({name for part in parts for name in part.get("versions") or {}}):
        versions = {
            part["versions"][name] for part in parts if name in (part.get("versions") or {})
        }
        if len(versions) > 1:
            yield f"Results are from different versions of {name}: {listing(sorted(versions))}."


def _aggregates(data: ReportData) -> Iterator[str]:
    envs, names = data.common.envs, data.common.names
    if envs and (len(envs) < len(data.envs) or len(names) < len(data.names)):
        yield (
            f"Aggregates are over {len(envs)} of {len(data.envs)} environments and "
            f"{len(names)} of {len(data.names)} entrants: those that all have in common and "
            "whose scores can be normalised."
        )


CAVEATS: tuple[Callable[[ReportData], Iterator[str]], ...] = (
    _imported,
    _lost_seeds,
    _tuned_seeds,
    _skipped_files,
    _few,
    _two_kinds,
    _bounds,
    _powerless,
    _budgets,
    _seeds,
    _cut,
    _ceilings,
    _presets,
    _images,
    _times,
    _versions,
    _aggregates,
)
