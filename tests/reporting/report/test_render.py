"""The page: whole in itself, the same bytes every time, and of one mind with its tables."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import ROOT, environment, here
from image_runs import write_data_run
from report_files import write_bench, write_seeds, write_suite

from rlbench.reporting.figures.style import COLORS
from rlbench.reporting.report import formatting, section_scores, write_report
from rlbench.reporting.report.inputs import scope
from rlbench.reporting.report.render import in_the_dark
from rlbench.reporting.report.report_data import collect

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Elements with their attributes, tables as lists of rows of cells; tags have to match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.tables: list[list[list[str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element of an SVG without content, `<path/>`."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"style", "script", "svg"} & set(self.open):
            return
        self.words.append(data)
        if self.open and {"td", "th"} & set(self.open):
            separator = " | " if self.open[-1] == "small" else ""
            self.tables[-1][-1][-1] += separator + data.strip()

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a bench with everything in it, image data too."""
    root = tmp_path_factory.mktemp("report")
    write_bench(root)
    write_data_run(root, "dqn", {0: [(0, 0.1), (50, 0.8)]}, {0: 0.9, 1: 0.93}, preset="Digits")
    write_data_run(root, "supervised", test={0: 0.95, 1: 0.96}, changed={"loss": "mse"},
                   config={"loss": "mse", "evil": "<script>alert(1)</script> & | `x`"})  # fmt: skip
    page, *_ = write_report(
        [root / "benches" / "trial", *root.glob("rlbench_*")], output=root / "x.html"
    )
    return page


def test_it_is_whole_in_itself(report: Path) -> None:
    text = report.read_text()
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"link", "iframe", "object", "img"}
    for _, attrs in page.elements:
        assert not any(name.startswith("on") for name in attrs)
        assert attrs.get("href", "#").startswith("#")
        assert "src" not in attrs
    (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; ")
    style = re.findall(r"<style>.*?</style>", text, re.S)
    assert len(style) == 1
    assert "url(" not in style[0]
    assert "@import" not in style[0]
    assert "http" not in text.replace("http-equiv", "")


def test_the_script_is_small_and_not_needed(report: Path) -> None:
    """What it reads is data; what it makes of the page is there without it."""
    text = report.read_text()
    data, script = re.findall(r"<script[^>]*>(.*?)</script>", text, re.S)
    values = json.loads(data)
    assert values["names"] == ["dqn", "a2c", "ppo", "supervised"]
    assert values["curves"][1]["0"][-1][2].startswith("404.5 (402.3 to 406.7)")
    assert len(script.strip().splitlines()) < 120
    for word in ("fetch", "XMLHttp", "import", "eval", "innerHTML", "cookie", "Storage"):
        assert word not in script
    page = Page(text)
    plots = [attrs for _, attrs in page.elements if "data-curve" in attrs]
    assert {int(plot["data-curve"]) for plot in plots} < set(range(len(values["curves"])))
    for plot in plots:
        assert all(len(box) == 7 for box in json.loads(plot["data-boxes"]))
    hidden = [attrs for _, attrs in page.elements if "hidden" in attrs]
    assert [attrs.get("class") for attrs in hidden] == ["legend"]  # of use to the script only


def test_colours_are_those_of_the_page(report: Path) -> None:
    """Figures take them from variables, which there is a light and a dark set of."""
    text = report.read_text()
    for svg in re.findall(r"<svg role.*?</svg>", text, re.S):
        assert "var(--c" in svg
        assert not re.search(r"#[0-9a-f]{6}", svg)
    light, dark = (
        re.findall(r"--c\d+: (#[0-9a-f]{6})", line) for line in text.splitlines() if "--c0:" in line
    )
    assert len(light) == len(dark) == len(COLORS)
    assert in_the_dark("#000000") == "#808080"
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_it_can_be_read_aloud(report: Path) -> None:
    page = Page(report.read_text())
    images = [attrs for _, attrs in page.elements if attrs.get("role") == "img"]
    assert len(images) >= 9
    assert all(len(image["aria-label"]) > 20 for image in images)
    assert len({image["aria-label"] for image in images}) == len(images)
    anchors = {attrs["id"] for attrs in page.all("section")}
    assert {link["href"][1:] for link in page.all("a")} == anchors
    assert page.all("html") == [{"lang": "en"}]
    regions = [attrs for tag, attrs in page.elements if attrs.get("role") == "region"]
    assert len(regions) >= len(page.tables)
    assert all(region["aria-label"] and region["tabindex"] == "0" for region in regions)
    assert all(head.get("scope") for head in page.all("th"))


def test_words_are_explained_where_they_stand_and_at_the_end(report: Path) -> None:
    page, text = Page(report.read_text()), report.with_suffix(".md").read_text()
    terms = report.read_text().partition('<dl class="terms">')[2]
    titles = {abbr["title"] for abbr in page.all("abbr")}
    glossary = text.partition("## Glossary")[2]
    assert glossary.count("\n- **") == terms.count("<dt>")
    assert "- **IQM**: interquartile mean" in glossary
    assert any(title.startswith("interquartile mean") for title in titles)
    assert all(title in glossary.replace("\\", "") for title in titles)


def test_it_begins_with_a_sentence_and_a_picture(report: Path) -> None:
    text = report.read_text()
    sentence = Page(text).all("meta")
    (description,) = (m["content"] for m in sentence if m.get("name") == "description")
    assert description.startswith("ppo is better") or "is better than" in description
    assert text.index('class="headline"') < text.index('class="panels"') < text.index("<h2>")
    row = "a2c (3 of 10 seeds lost)"
    assert row in re.sub(r"<[^>]*>", "", text)


def test_many_entrants_have_rows_and_few_have_columns(tmp_path: Path) -> None:
    for i in range(9):
        for env in ("A-v0", "B-v0"):
            write_seeds(tmp_path, f"agent{i}", {0: 1.0 + i, 1: 2.0 + i}, env)
    many = section_scores.glance(collect(scope([tmp_path])))
    assert list(many.columns) == ["*entrant", "A-v0", "B-v0"]
    assert [row[0].text for row in many.rows] == [f"agent{i}" for i in range(9)]
    few = section_scores.glance(collect(scope([*tmp_path.glob("*/agent[0-7]-*")])))
    assert list(few.columns) == ["*environment", *(f"agent{i}" for i in range(8))]
    assert [cell.text for cell in few.rows[1]] == [
        "B-v0", *(f"{number:.2f}" for number in np.arange(1.5, 9)),
    ]  # fmt: skip


def test_what_is_not_there_is_said_and_never_a_number(report: Path) -> None:
    page = Page(report.read_text())
    glance, states = page.tables[0], page.tables[1]
    rows = {row[0].partition(" |")[0]: row for row in glance}
    place = glance[0].index("a2c")
    assert rows["Acrobot-v1"][place] == "10 missing"
    assert rows["CartPole-v1"][place] == (
        "410.0 | 370.0 to 450.0; n = 7 of 10: 1 diverged, 1 failed, 1 timeout"
    )
    where = {row[0]: row for row in states}
    assert where["Acrobot-v1"][states[0].index("a2c")] == "10 missing"
    assert where["CartPole-v1"][states[0].index("a2c")] == "7 done, 1 diverged, 1 failed, 1 timeout"
    for row in (row for table in page.tables for row in table):
        assert not {"nan", "NaN", "inf", "None", "<NA>"} & {c for cell in row for c in cell.split()}
        if row[0] == "a2c" and "0 of 10" in row[1:6]:
            assert not any(re.match(r"[−\d.]+$", cell) for cell in row[1:5])
    said = " ".join(page.words)
    assert "seed 9 timeout: why timeout" in said
    assert "dqn on Nowhere-v0: seed 0 failed: no environment" in said


def test_what_people_wrote_stays_text(report: Path) -> None:
    assert "<script>alert" not in report.read_text()
    assert "<script>alert(1)</script> & | `x`" in " ".join(Page(report.read_text()).words)
    assert "<script>" not in report.with_suffix(".md").read_text().replace("\\<script", "")


def test_markdown_csv_and_parquet_agree(report: Path) -> None:
    folder = report.with_name("x-tables")
    names = {file.stem for file in folder.iterdir()}
    assert names == {"seeds", "cells", "comparisons", "aggregates", "improvements", "profiles",
                     "curves", "costs"}  # fmt: skip
    for name in names:
        parquet = pd.read_parquet(folder / f"{name}.parquet")
        assert parquet.to_csv(index=False) == (folder / f"{name}.csv").read_text()
        assert len(parquet)
    text, page = report.with_suffix(".md").read_text(), Page(report.read_text())
    plain = text.replace("\\", "").replace("**", "")
    for row in (row for table in page.tables for row in table):
        assert row[0].partition(" |")[0] in plain
    for _, cell in pd.read_parquet(folder / "cells.parquet").query("n > 0").iterrows():
        score = formatting.score_text(cell["mean"], cell)
        assert any(line.startswith(f"| {cell['label']} | {score}") for line in plain.splitlines())
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) > 1
    for before, after in zip(text.splitlines(), text.splitlines()[1:]):
        if before.startswith("|") and after.startswith("|"):
            bars = [len(re.findall(r"(?<!\\)\|", line)) for line in (before, after)]
            assert bars[0] == bars[1], after


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    write_seeds(tmp_path / "results", "dqn", {0: 1.0, 1: 2.0, 2: "failed"})
    write_seeds(tmp_path / "results", "ppo", {0: 1.5, 1: 2.5})
    written = []
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "rlbench", "report", "results", "-o", seed]
        env = environment() | {"PYTHONHASHSEED": seed, "MPLBACKEND": "agg"}
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[0] == os.path.join(seed, "report.html")  # noqa: PTH118
        folder = tmp_path / seed
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        written.append({file.relative_to(folder): file.read_bytes() for file in files})
    assert written[0] == written[1]
    assert len(written[0]) == 18
    assert str(tmp_path).encode() not in b"".join(written[0].values())


def test_it_needs_no_torch(tmp_path: Path) -> None:
    write_seeds(tmp_path, "dqn", {0: 1.0})
    code = (
        "import sys; from pathlib import Path; from rlbench.reporting.report import write_report\n"
        f"write_report([{str(tmp_path)!r}])\n"
        "assert not {'torch', 'gymnasium', 'rlbench.learning'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), check=True, timeout=120
    )


def test_little_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One run of one seed, by the command line; beside it only running, failed or random ones."""
    write_seeds(tmp_path / "one", "dqn", {0: 1.0})
    write_seeds(tmp_path / "gone", "dqn", {0: "failed", 1: "running"})
    write_seeds(tmp_path / "floor", "random", {0: 5.0})
    for name in ("one", "gone", "floor"):
        assert here("report", tmp_path / name) == 0
        assert capsys.readouterr().out.startswith(str(tmp_path / name / "report.html"))
        Page((tmp_path / name / "report.html").read_text())


def test_mistakes_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_seeds(tmp_path / "runs", "dqn", {0: 1.0})
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    write_suite(tmp_path, [{"env": "CartPole-v1", "agent": "dqn"}])
    for arguments, line in (
        (["empty"], "no runs in empty"),
        (["nowhere"], "no folder and no bench 'nowhere'"),
        (["trial", "--out", "."], "nothing of trial has run yet"),
        (["smoke"], "start it with `rlbench bench smoke`"),
        (["runs", "--baseline", "dqm"], "Did you mean 'dqn'?"),
        (["runs", "-o", "file"], "cannot write the report: "),
    ):
        assert here("report", *arguments) == 2
        error = capsys.readouterr().err
        assert line in error
        assert len(error.splitlines()) == 1
