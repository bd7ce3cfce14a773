"""Render a report's data as sections, one HTML page, and the same in Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from rlbench import __version__
from rlbench.common.number_format import count_text
from rlbench.common.plain_text import plain_text
from rlbench.reporting.figures.style import COLORS, DASHES, luminance
from rlbench.reporting.report import (
    figures,
    score_panels,
    section_ablation,
    section_costs,
    section_scores,
    section_sensitivity,
    terms,
)
from rlbench.reporting.report.caveats import caveats
from rlbench.reporting.report.cell_tables import ACCURACY
from rlbench.reporting.report.document import (
    Block,
    Code,
    Figure,
    Panels,
    Points,
    Section,
    Table,
    Terms,
)
from rlbench.reporting.report.headline import headline
from rlbench.reporting.report.page_templates import templates
from rlbench.reporting.report.report_data import ReportData
from rlbench.reporting.report.section_aggregates import together
from rlbench.reporting.report.section_settings import settings
from rlbench.reporting.report.section_tuning import tuning
from rlbench.reporting.report.summary_text import summary
from rlbench.reporting.report.tests_and_aggregates import SEED

KEY = (
    "Lines are means over the seeds that are there, with a 95 % t-interval as a band; with up to "
    "three entrants thin lines are seeds, ended by × where they were lost. Dashed: the reward "
    "threshold; dotted: the random policy."
)
DARK_PAGE = (20, 24, 29)  # --page of report.css in the dark
DARK_CONTRAST = 4.5  # of a colour on it


def sections(data: ReportData) -> Iterator[Section]:
    """List the sections of the page below its picture, without empty ones."""
    glance = [section_scores.glance(data)] if section_scores.fits(data) else []
    yield Section("summary", "Summary", [summary(data), *glance])
    if warnings := caveats(data):
        yield Section("caveats", "Keep in mind", [Points(warnings)])
    yield Section("states", "What ran", [section_scores.states(data), *_reasons(data)])
    yield Section("scores", "Final scores", [section_scores.scores(data)])
    if data.scope.effects:
        yield Section("switches", "Switches", [*_switches(data)])
    if data.scope.grids:
        yield Section("sensitivity", "Sensitivity", [*_sensitivity(data)])
    if len(data.pairs):
        yield Section(
            "comparisons", "Comparisons", [_selection_text(data), section_scores.comparisons(data)]
        )
    if data.sequential:
        yield Section("looks", "Seeds until decided", [section_scores.looks(data)])
    if curve_figures := list(figures.curves(data)):
        yield Section("curves", "Learning curves", [KEY, *curve_figures])
    if len(data.aggregates):
        yield together(data)
    yield Section("efficiency", "Sample efficiency", [section_costs.efficiency(data)])
    yield Section("time", "Time", [section_costs.times(data)])
    if (data.cells["measure"] == ACCURACY).any():
        yield Section("images", "Image data", [*_accuracy(data), *section_costs.accuracies(data)])
    yield from _how(data)
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
    yield Section("sources", "Make it again", again)


def _how(data: ReportData) -> Iterator[Section]:
    """Make the sections on settings and where they come from."""
    if tuned := list(tuning(data)):
        yield Section("tuning", "How much was each entrant tuned", tuned)
    if setting_tables := list(settings(data)):
        yield Section("settings", "Settings", [*setting_tables])


def _glossary(parts: Sequence[Section], picture: Panels) -> Iterator[Section]:
    """Make the section that explains words of the others."""
    texts = (text for part in parts for text in _texts(part))
    if words := terms.used([picture.caption, *texts]):
        yield Section("glossary", "Glossary", [Terms(words)])


def _texts(section: Section) -> Iterator[str]:
    """List the texts of a section in which words are explained."""
    for block in section.blocks:
        if isinstance(block, str):
            yield block
        elif isinstance(block, Points):
            yield from block.items
        elif isinstance(block, Table):
            yield from (block.caption, *(name for name, _ in block.heads()))
        elif isinstance(block, Figure | Panels):
            yield block.caption


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
    if kind == "plan":
        return "Tested is what was planned before the first score."
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
        alt = f"Effect of each switch, the numbers are in the table. {description}."
        picture = figures.picture(section_ablation.figure(data, table), alt, "switches")
        yield Figure(section_ablation.CAPTION, [picture], wide=True)
    yield block


def _sensitivity(data: ReportData) -> Iterator[Block]:
    for grid in section_sensitivity.grids(data):
        yield section_sensitivity.table([grid])
        drawing = section_sensitivity.figure(grid)
        alt = f"Score against each parameter: {grid.agent}; the numbers are in the table of scores."
        picture = figures.picture(drawing, alt, f"sensitivity-{grid.agent}")
        yield Figure(section_sensitivity.CAPTION, [picture], wide=True)


def _accuracy(data: ReportData) -> Iterator[Figure]:
    """Make the section on what accuracy costs, if anything has been evaluated."""
    if data.scope.results.evaluations["split"].isin(["validation", "test"]).any():
        about = "Accuracy against what it costs; colours are those of its own legend."
        yield Figure(about, [figures.on_images(data)], wide=True)


def render(data: ReportData) -> tuple[str, str]:
    """Return the page as HTML and as Markdown."""
    cells = data.cells[data.cells["label"].isin(data.names)]
    facts = [
        count_text(len(data.envs), "environment"),
        count_text(len(data.names), "entrant"),
        count_text(int(cells["of"].sum()), "seed"),
    ]
    looks = figures.looks(data)
    parts, picture = list(sections(data)), score_panels.score_panels(data)
    words = {"headline": headline(data), "title": data.scope.title, "about": data.scope.about}
    context = words | {
        "facts": facts,
        "about_results": about_results(data),
        "picture": picture,
        "sections": [*parts, *_glossary(parts, picture)],
        "places": {name: place for place, name in enumerate(looks)},
        "entrant_looks": [(place, *_look(look)) for place, look in enumerate(looks.values())],
        "colors": [(color, in_the_dark(color)) for color in COLORS],
        "values": {"names": list(looks), "curves": figures.curve_values(data)},
    }
    environment = templates()
    filters: dict[str, Any] = {
        "kind": lambda block: type(block).__name__,
        "explained": lambda text: terms.explained(plain_text(text), set(data.names)),
        "tabs": lambda text: Markup("&#9;").join(
            escape(plain_text(one)) for one in text.split("\t")
        ),
        "compact": lambda value: json.dumps(value, separators=(",", ":")),
        "md": _md,
        "fence": _fence,
    }
    environment.filters |= filters
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False}
    html = environment.get_template("report.html.j2").render(context)
    return html, environment.get_template("report.md.j2").render(context)


def about_results(data: ReportData) -> dict[str, str]:
    """Return what an index of reports tells about this one, by name; tabs are between names."""
    parts = [part for record in data.scope.records.values() for part in record.parts]
    dates = [str(part.get("updated") or part.get("started") or "")[:10] for part in parts]
    seeds = int(data.cells.loc[data.cells["label"].isin(data.names), "of"].sum())
    return {
        "date": max(dates, default=""),
        "environments": "\t".join(data.envs),
        "entrants": "\t".join(data.names),
        "seeds": f"{seeds}",
    }


def _look(look: dict[str, Any]) -> tuple[int, str]:
    """Return the place of an entrant's colour, and its line as a style of a CSS border."""
    line = ("solid", "dashed", "dotted")[DASHES.index(look["linestyle"])]
    return COLORS.index(look["color"]), line


def in_the_dark(color: str) -> str:
    """Mix a colour with white until it can be seen on a dark page."""
    parts = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
    dark = luminance(np.array(DARK_PAGE) / 255)
    for share in range(0, 100, 5):
        mixed = [round(part + (255 - part) * share / 100) for part in parts]
        if (luminance(np.array(mixed) / 255) + 0.05) / (dark + 0.05) >= DARK_CONTRAST:
            break
    return "#" + "".join(f"{part:02x}" for part in mixed)


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
