"""Render a report's data as sections, one HTML page, and the same in Markdown."""

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


def sections(data: ReportData) -> Iterator[Section]:
    """List the sections of the page, without empty ones."""
    yield Section("summary", "Summary", [summary(data), section_scores.glance(data)])
    if warnings := caveats(data):
        yield Section("caveats", "What to keep in mind", [Points(warnings)])
    yield Section("states", "What ran", [section_scores.states(data), *_reasons(data)])
    pictures = list(interval_figures.dots(data))
    dots = [Figure(DOTS, pictures)] if pictures else []
    yield Section("scores", "Final scores", [*dots, section_scores.scores(data)])
    if data.scope.effects:
        yield Section("switches", "Switches", [*_switches(data)])
    if len(data.pairs):
        yield Section(
            "comparisons", "Comparisons", [_selection_text(data), section_scores.comparisons(data)]
        )
    if curve_figures := list(figures.curves(data)):
        yield Section("curves", "Learning curves", [KEY, *curve_figures])
    if len(data.aggregates):
        yield together(data)
    yield Section("efficiency", "Sample efficiency", [section_costs.efficiency(data)])
    yield Section("time", "Time", [section_costs.times(data)])
    if (data.cells["measure"] == ACCURACY).any():
        yield Section("images", "Image data", [*_accuracy(data), *section_costs.accuracies(data)])
    if setting_tables := list(section_costs.settings(data)):
        yield Section("settings", "Settings", [*setting_tables])
    source_tables = (
        f"Everything random in this report is drawn with seed {SEED}: the same results give the "
        f"same bytes. Made by rlbench {__version__}."
    )
    again: list[Block] = [
        "The runs:",
        Code(data.scope.commands),
        section_costs.sources(data),
        source_tables,
    ]
    yield Section("sources", "How to make it again", again)


def _reasons(data: ReportData) -> Iterator[Points]:
    """List why seeds are not done."""
    rows = data.cells[data.cells["why"] != ""]
    lines = [f"{cell['label']} on {cell['env']}: {cell['why']}" for _, cell in rows.iterrows()]
    if lines:
        yield Points(lines)


def _selection_text(data: ReportData) -> str:
    """Describe how the tested comparisons were chosen."""
    kind = data.family.kind
    if kind == "baseline":
        return f"Tested is every entrant against the baseline, {data.family.pairs[0][1]}."
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


def _switches(data: ReportData) -> Iterator[Block]:
    table = section_ablation.effects(data)
    block = section_ablation.effect_table(data, table)
    if table["difference"].notna().any():
        description = "; ".join(f"{env}: {section_ablation.ends(data, env)}" for env in data.envs)
        picture = Picture(
            figures.svg(section_ablation.figure(data, table)),
            f"Effect of each switch, the numbers are in the table. {description}.",
        )
        yield Figure(section_ablation.CAPTION, [picture], wide=True)
    yield block


def _accuracy(data: ReportData) -> Iterator[Figure]:
    """Make the section on what accuracy costs, if anything has been evaluated."""
    if data.scope.results.evaluations["split"].isin(["validation", "test"]).any():
        about = "Accuracy against what it costs; colours are those of its own legend."
        yield Figure(about, [figures.on_images(data)], wide=True)


def render(data: ReportData) -> tuple[str, str]:
    """Return the page as HTML and as Markdown."""
    cells = data.cells[data.cells["label"].isin(data.names)]
    facts = [
        formatting.counted(len(data.envs), "environment"),
        formatting.counted(len(data.names), "entrant"),
        formatting.counted(int(cells["of"].sum()), "seed"),
    ]
    context = {
        "title": data.scope.title,
        "about": data.scope.about,
        "facts": facts,
        "sections": list(sections(data)),
        "keys": {name: _css(look) for name, look in figures.looks(data).items()},
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
    html = templates.get_template("report.html.j2").render(context)
    return html, templates.get_template("report.md.j2").render(context)


def _css(look: dict[str, Any]) -> str:
    """Return an entrant's line style as a CSS border."""
    place = figures.DASHES.index(look["linestyle"])
    return f"3px {('solid', 'dashed', 'dotted')[place]} {look['color']}"


def _base64(svg: bytes) -> str:
    return base64.b64encode(svg).decode("ascii")


def _md(text: object) -> str:
    """Escape text for a cell or sentence of Markdown."""
    line = " ".join(plain_text(text).split())
    line = re.sub(r"[\\`*_|<>\[\]#$~&]", r"\\\g<0>", line)
    line = re.sub(r"^[-+=]", r"\\\g<0>", line)
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", line)


def _fence(lines: Sequence[str]) -> str:
    """Return a fence longer than any in these lines of code."""
    ticks = re.findall("`+", "".join(lines))
    return "`" * max(3, 1 + max(map(len, ticks), default=0))
