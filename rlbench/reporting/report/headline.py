"""The one sentence that a report begins with: what is decided first, then what is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from rlbench.common.number_format import count_text, number_text
from rlbench.reporting.report import formatting
from rlbench.reporting.report.formatting import listing, some
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.report.tests_and_aggregates import ALPHA

MOST = 3  # differences in the sentence, and scores where there is nothing to compare
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class _Difference(NamedTuple):
    """A decided comparison, as the winner sees it."""

    winner: str
    loser: str
    text: str  # "on CartPole-v1 by 12.3 (95 % 4.00 to 20.6)"


def headline(data: ReportData) -> str:
    """Write the sentence."""
    pairs = data.pairs[data.pairs["verdict"] != "no score"]
    if pairs.empty:
        return _alone(data)
    decisions = pairs[pairs["verdict"].isin(["a", "b"])]
    if decisions.empty:
        return _undecided(pairs)
    clauses = _decided(data, decisions)
    if more := len(decisions) - min(len(decisions), MOST):
        clauses.append(
            f"{count_text(more, 'more difference')} {'is' if more == 1 else 'are'} decided"
        )
    return _sentence([*clauses, *_open(pairs, decisions)])


def _open(pairs: pd.DataFrame, decisions: pd.DataFrame) -> Iterator[str]:
    """Write clauses on what is not decided: whole environments, and single comparisons."""
    alone = ~pairs["env"].isin(decisions["env"])
    rest = pairs[alone]
    envs: dict[str, list[str]] = {"tied": [], "undecided": []}
    for env, here in rest.groupby("env"):
        envs[_verdict(here)].append(str(env))
    if envs["tied"]:
        where = some(envs["tied"], "other environments", MOST)
        yield f"on {where} all that are compared score the same"
    others = pairs[~alone & (pairs["verdict"] == "undecided")]
    places = []
    if envs["undecided"]:
        places.append(f"on {some(envs['undecided'], 'other environments', MOST)}")
    if len(others):
        places.append(f"in {count_text(len(others), 'other comparison')}")
    if places:
        seeds = _seeds(pd.concat([rest[rest["env"].isin(envs["undecided"])], others]))
        yield f"{' and '.join(places)} {seeds} cannot tell"


def _verdict(pairs: pd.DataFrame) -> str:
    """Return "tied" if all pairs are, else "undecided"."""
    return "tied" if (pairs["verdict"] == "tied").all() else "undecided"


def _decided(data: ReportData, decisions: pd.DataFrame) -> list[str]:
    """Write a clause for each winner and loser; every environment has its turn."""
    order = decisions.assign(size=decisions["effect"].abs()).sort_values(
        ["p_holm", "size", "env", "a"], ascending=[True, False, True, True]
    )
    order = order.assign(turn=order.groupby("env").cumcount())
    order = order.sort_values(["turn", "p_holm"], kind="stable").head(MOST)
    differences = [_difference(data, pair) for _, pair in order.iterrows()]
    clauses: dict[tuple[str, str], list[str]] = {}
    for one in differences:
        clauses.setdefault((one.winner, one.loser), []).append(one.text)
    return [
        f"{winner} is better than {loser} {listing(texts)}"
        for (winner, loser), texts in clauses.items()
    ]


def _difference(data: ReportData, pair: pd.Series) -> _Difference:
    """Describe a decided comparison."""
    loser = {"a": "b", "b": "a"}[pair["verdict"]]
    sign = 1 if pair["verdict"] == "a" else -1
    cell = data.cell(pair["env"], pair["a"])
    points = cell is not None and bool(formatting.unit(cell))
    ends = sorted(sign * pair[end] * (100 if points else 1) for end in ("low", "high"))
    value = sign * pair["difference"] * (100 if points else 1)
    text = f"on {pair['env']} by {_number(value)}" + " points" * points
    if pd.notna(pair["low"]):
        text += f" (95 % {_number(ends[0])} to {_number(ends[1])})"
    return _Difference(pair[pair["verdict"]], pair[loser], text)


def _number(value: float) -> str:
    return formatting.minus(number_text(value))


def _undecided(pairs: pd.DataFrame) -> str:
    """Write the sentence where nothing is decided."""
    envs = some(sorted(set(pairs["env"])), "environments", MOST)
    if _verdict(pairs) == "tied":
        return f"All that are compared score the same on {envs}."
    tests = pairs["p_holm"].notna().sum()
    too_few = tests and pairs["least_p"].min() * tests > ALPHA
    names = sorted({*pairs["a"], *pairs["b"]})
    what = "are too few to tell" if too_few else "cannot tell"
    if len(names) == 2:
        return _sentence([f"{_seeds(pairs)} {what} {listing(names)} apart on {envs}"])
    what = "are too few to decide" if too_few else "cannot decide"
    one = count_text(len(pairs), "comparison")
    return _sentence([f"{_seeds(pairs)} {what} any of {one} on {envs}"])


def _alone(data: ReportData) -> str:
    """Write the sentence where there is nothing to compare."""
    cells = data.cells[data.cells["label"].isin(data.names) & (data.cells["n"] > 0)]
    if cells.empty:
        return f"There is no score yet of {some(data.names, 'entrants', MOST)}."
    scores = [
        f"{cell['label']} scores {formatting.score_text(cell['mean'], cell)}"
        f"{formatting.unit(cell)} ({_span(cell)}) on {cell['env']}"
        for _, cell in cells.head(MOST).iterrows()
    ]
    return _sentence([*scores, "there is nothing to compare"])


def _span(cell: pd.Series) -> str:
    """Format the interval of a mean, or why there is none."""
    return "95 % " * bool(pd.notna(cell["low"])) + formatting.span_text(cell)


def _seeds(pairs: pd.DataFrame) -> str:
    """Count seeds in words: "five seeds", or "the seeds" where numbers differ."""
    sizes = {*pairs["n_a"], *pairs["n_b"]}
    if len(sizes) != 1:
        return "the seeds"
    (n,) = sizes
    word = _WORDS[n] if n < len(_WORDS) else f"{n}"
    return f"{word} seed" + "s" * (n != 1)


def _sentence(clauses: list[str]) -> str:
    """Join clauses; the first word keeps its letters unless it is a word of ours."""
    text = "; ".join(clauses) + "."
    first = text.partition(" ")[0]
    return text[0].upper() + text[1:] if first in (*_WORDS, "the") else text
