"""Evidence -> sections -> one page of HTML, and the same in Markdown."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rlbench import __version__
from rlbench.common.plain_text import plain_text
from rlbench.reporting.report import (
    figures,
    formatting,
    interval_figures,
    section_ablation,
    section_costs,
    section_scores,
)
from rlbench.reporting.report.caveats import caveats
from rlbench.reporting.report.cell_tables import ACCURACY
from rlbench.reporting.report.document import Block, Code, Figure, Picture, Points, Section
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.report.section_aggregates import together
from rlbench.reporting.report.summary_text import summary
from rlbench.reporting.report.tests_and_aggregates import SEED

KEY = (
    "Thin lines are seeds, ended by × where they were lost; thick ones the mean of those that are "
    "there, with its 95 % t-interval as a band where there is one. Dashed: the reward threshold; "
    "dotted: the random policy."
)
DOTS = (
    "A dot is a seed, the bar above the mean with its 95 % t-interval. Dashed: the reward "
    "threshold; dotted: the random policy, where they are near."
)


def sections(found: ReportData) -> Iterator[Section]:
    """The parts of the page, without those that have nothing to say."""
    yield Section("summary", "Summary", [summary(found), section_scores.glance(found)])
    if warnings := caveats(found):
        yield Section("caveats", "What to keep in mind", [Points(warnings)])
    yield Section("states", "What ran", [section_scores.states(found), *_reasons(found)])
    pictures = list(interval_figures.dots(found))
    dots = [Figure(DOTS, pictures)] if pictures else []
    yield Section("scores", "Final scores", [*dots, section_scores.scores(found)])
    if found.scope.effects:
        yield Section("switches", "Switches", [*_switches(found)])
    if len(found.pairs):
        yield Section(
            "comparisons", "Comparisons", [_chosen(found), section_scores.comparisons(found)]
        )
    if drawn := list(figures.curves(found)):
        yield Section("curves", "Learning curves", [KEY, *drawn])
    if len(found.aggregates):
        yield together(found)
    yield Section("efficiency", "Sample efficiency", [section_costs.efficiency(found)])
    yield Section("time", "Time", [section_costs.times(found)])
    if (found.cells["measure"] == ACCURACY).any():
        yield Section("images", "Image data", [*_accuracy(found), *section_costs.accuracies(found)])
    if shown := list(section_costs.settings(found)):
        yield Section("settings", "Settings", [*shown])
    made = (
        f"Everything random in this report is drawn with seed {SEED}: the same results give the "
        f"same bytes. Made by rlbench {__version__}."
    )
    again: list[Block] = [
        "The runs:",
        Code(found.scope.commands),
        section_costs.sources(found),
        made,
    ]
    yield Section("sources", "How to make it again", again)


def _reasons(found: ReportData) -> Iterator[Points]:
    """Why seeds are not done."""
    rows = found.cells[found.cells["why"] != ""]
    lines = [f"{cell['label']} on {cell['env']}: {cell['why']}" for _, cell in rows.iterrows()]
    if lines:
        yield Points(lines)


def _chosen(found: ReportData) -> str:
    """How the tested comparisons were chosen."""
    kind = found.family.kind
    if kind == "baseline":
        return f"Tested is every entrant against the baseline, {found.family.pairs[0][1]}."
    if kind == "switches":
        return "Tested is each switch of the ablation, with it against without it."
    if kind == "peers":
        return (
            "Tested is every agent against its peer, and nothing else; other differences are to be "
            "read from the intervals. --baseline NAME tests all against one instead."
        )
    return (
        "Tested are all pairs in each environment. --baseline NAME tests all against one, which "
        "are fewer tests, and so decides more."
    )


def _switches(found: ReportData) -> Iterator[Block]:
    table = section_ablation.effects(found)
    block = section_ablation.effect_table(found, table)
    if table["difference"].notna().any():
        said = "; ".join(f"{env}: {section_ablation.ends(found, env)}" for env in found.envs)
        picture = Picture(
            figures.svg(section_ablation.figure(found, table)),
            f"Effect of each switch, the numbers are in the table. {said}.",
        )
        yield Figure(section_ablation.CAPTION, [picture], wide=True)
    yield block


def _accuracy(found: ReportData) -> Iterator[Figure]:
    """What accuracy costs, as soon as anything has been evaluated."""
    if found.scope.results.evaluations["split"].isin(["validation", "test"]).any():
        about = "Accuracy against what it costs; colours are those of its own legend."
        yield Figure(about, [figures.on_images(found)], wide=True)


def render(found: ReportData) -> tuple[str, str]:
    """The page, and its text in Markdown."""
    cells = found.cells[found.cells["label"].isin(found.names)]
    facts = [
        formatting.counted(len(found.envs), "environment"),
        formatting.counted(len(found.names), "entrant"),
        formatting.counted(int(cells["of"].sum()), "seed"),
    ]
    given = {
        "title": found.scope.title,
        "about": found.scope.about,
        "facts": facts,
        "sections": list(sections(found)),
        "keys": {name: _css(look) for name, look in figures.looks(found).items()},
    }
    templates = Environment(
        loader=PackageLoader("rlbench.reporting.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=lambda name: str(name).endswith(".html.j2"),
        finalize=lambda value: value if hasattr(value, "__html__") else plain_text(value),
    )
    filters: dict[str, Any] = {
        "kind": lambda block: type(block).__name__,
        "base64": _base64,
        "md": _md,
        "fence": _fence,
    }
    templates.filters |= filters
    html = templates.get_template("report.html.j2").render(given)
    return html, templates.get_template("report.md.j2").render(given)


def _css(look: dict[str, Any]) -> str:
    """The line of an entrant, as the border of a short box."""
    place = figures.DASHES.index(look["linestyle"])
    return f"3px {('solid', 'dashed', 'dotted')[place]} {look['color']}"


def _base64(svg: bytes) -> str:
    return base64.b64encode(svg).decode("ascii")


def _md(text: object) -> str:
    """Text in a cell or a sentence of Markdown, which shows it as it is."""
    said = " ".join(plain_text(text).split())
    said = re.sub(r"[\\`*_|<>\[\]#$~&]", r"\\\g<0>", said)
    said = re.sub(r"^[-+=]", r"\\\g<0>", said)
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", said)


def _fence(lines: Sequence[str]) -> str:
    """A fence that none of these lines of code can end."""
    ticks = re.findall("`+", "".join(lines))
    return "`" * max(3, 1 + max(map(len, ticks), default=0))
