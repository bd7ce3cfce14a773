"""What a reader must know before believing a number: made from the facts, each only where it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd

from rlbench.reporting.report import texts
from rlbench.reporting.report.evidence import Evidence
from rlbench.reporting.report.facts import LOST, MISSING
from rlbench.reporting.report.inference import ALPHA, least_p
from rlbench.reporting.report.texts import counted, listing, some

FEW_SEEDS = 5
SMALL = 1_000  # test images


def caveats(found: Evidence) -> list[str]:
    """All that apply, those that can turn a conclusion over first."""
    return [line for make in CAVEATS for line in make(found)]


def _competing(found: Evidence) -> pd.DataFrame:
    return found.cells[found.cells["label"].isin(found.names)]


def _lost(found: Evidence) -> Iterator[str]:
    for _, cell in _competing(found).iterrows():
        states = [s for s in (*LOST, MISSING, "running") if cell[f"n_{s}"]]
        if not states:
            continue
        each = listing(f"{cell[f'n_{s}']} {s}" for s in states)
        end = "it has no score" if not cell["n"] else (
            f"its mean is over the other {counted(cell['n'], 'seed')}, "
            "and flatters it if hard seeds are the ones that are gone"
        )  # fmt: skip
        yield f"{cell['label']} on {cell['env']}: of {counted(cell['of'], 'seed')} {each}; {end}."


def _few(found: Evidence) -> Iterator[str]:
    cells = _competing(found)
    few = cells[(cells["n"] > 0) & (cells["n"] < FEW_SEEDS)]
    if few.empty:
        return
    sizes = sorted(set(few["n"]))
    which = some(sorted({f"{c['label']} on {c['env']}" for _, c in few.iterrows()}), "cells", 3)
    p = least_p(sizes[-1], sizes[-1])
    yield (f"Few seeds (n = {listing(sizes, 'or')}: {which}): intervals are wide and lean on "
           f"normality; two entrants with {counted(sizes[-1], 'seed')} cannot differ with less "
           f"than p = {p:.2g}, before any adjustment.")  # fmt: skip


def _powerless(found: Evidence) -> Iterator[str]:
    tested = found.pairs[found.pairs["p_holm"].notna()]
    weak = tested[tested["least_p"] * len(tested) > ALPHA]
    if len(weak) and len(weak) < len(tested):
        envs = some(sorted(set(weak["env"])), "environments")
        yield (f"{counted(len(weak), 'comparison')} (on {envs}) had too few seeds to be decided "
               "ahead of all others.")  # fmt: skip


def _budgets(found: Evidence) -> Iterator[str]:
    for env, here in _competing(found).groupby("env"):
        budgets = here[here["n_missing"] < here["of"]].groupby("total_timesteps")["label"].apply(list)
        if len(budgets) > 1:
            each = "; ".join(f"{listing(names)} {steps:,}" for steps, names in budgets.items())
            yield f"Budgets differ on {env}, in steps a seed: {each}."


def _ceilings(found: Evidence) -> Iterator[str]:
    cells = _competing(found)
    flat = cells[(cells["n"] > 1) & (cells["lowest"] == cells["highest"])]
    for (env, mean), here in flat.groupby(["env", "mean"]):
        score = texts.plain(texts.score_text(mean, here.iloc[0])) + texts.unit(here.iloc[0])
        many = "All seeds" if len(here) == 1 else "Each of them with all seeds"
        yield (f"{listing(here['label'])} on {env}: {many.lower()} at {score}. No spread was seen, "
               "so there is no interval, and scores at a common limit tell nobody apart.")  # fmt: skip


def _presets(found: Evidence) -> Iterator[str]:
    for env, here in _competing(found).groupby("env"):
        tuned: dict[bool, list[str]] = {True: [], False: []}
        for _, cell in here.iterrows():
            key = tuple(cell[["env", "agent", "variant", "digest"]])
            if record := found.scope.records.get(key):
                tuned[bool(record.run.get("preset"))].append(cell["label"])
        if tuned[True] and tuned[False]:
            yield (f"On {env} {listing(tuned[True])} use settings tuned for it, "
                   f"{listing(tuned[False])} do not.")  # fmt: skip
    peers = sorted(name for name in found.names if name.startswith("sb3-"))
    if peers:
        yield (f"{listing(peers)}: where settings are equal they were tuned with our agents, not "
               "with theirs; see the settings.")  # fmt: skip


def _times(found: Evidence) -> Iterator[str]:
    cells = _competing(found)
    cells = cells[cells["seconds_per_seed"].notna()]
    machines = sorted({*cells["platform"] + ", " + cells["device"]})
    if len(machines) == 1:
        yield (f"All times are from one kind of machine ({machines[0]}), with whatever else ran on "
               "it: read them as orders of magnitude.")  # fmt: skip
    elif machines:
        yield f"Times are from {len(machines)} kinds of machines ({listing(machines)}): not comparable."
    sizes = sorted({*cells["lockstep"], *cells["lockstep_most"]})
    if len(sizes) > 1:
        yield (f"Between {sizes[0]} and {sizes[-1]} seeds trained together: seconds of a seed fall "
               "with their number, and compare programs as they were run, not algorithms.")  # fmt: skip


def _images(found: Evidence) -> Iterator[str]:
    cells = _competing(found)
    for items, here in cells[(cells["measure"] == "test accuracy") & (cells["n"] > 0)].groupby("items"):
        if items < SMALL:
            envs = some(sorted(set(here["env"])), "environments")
            yield (f"Test sets are small on {envs}: one of {items} images is {100 / items:.2g} "
                   "points. All seeds see the same images; intervals over seeds do not cover "
                   "which images these are.")  # fmt: skip


def _seeds(found: Evidence) -> Iterator[str]:
    for env, here in found.seeds[found.seeds["label"].isin(found.names)].groupby("env"):
        sets = {tuple(sorted(mine["seed"])) for _, mine in here.groupby("label")}
        if len({len(s) for s in sets}) > 1:
            sizes = sorted({len(s) for s in sets})
            yield f"Entrants have different numbers of seeds on {env}: {listing(sizes)}."


def _versions(found: Evidence) -> Iterator[str]:
    parts = [part for record in found.scope.records.values() for part in record.parts]
    commits = sorted({str(part["commit"]) for part in parts if part.get("commit")})
    if len(commits) > 1:
        yield f"Results are from {len(commits)} commits of rlbench: see what they were made with."
    dirty = [commit for commit in commits if commit.endswith("+")]
    if dirty:
        yield f"Code had changes on top of {listing(dirty)}: such results cannot be made again from it."
    for name in sorted({name for part in parts for name in part.get("versions") or {}}):
        versions = {part["versions"][name] for part in parts if name in (part.get("versions") or {})}
        if len(versions) > 1:
            yield f"Results are from different versions of {name}: {listing(sorted(versions))}."


def _aggregates(found: Evidence) -> Iterator[str]:
    if found.common.left_out:
        yield f"Not in the aggregates: {'; '.join(found.common.left_out)}."


CAVEATS: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    _lost, _few, _powerless, _budgets, _seeds, _ceilings, _presets, _images, _times, _versions,
    _aggregates,
)  # fmt: skip
