"""Tags and notes: kept beside a run, shown, and no part of what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import TINY, here, run_folder
from report_files import write_suite
from store_files import write_part, write_run

from rlbench.errors import UserError
from rlbench.reporting.report import write_report
from rlbench.reporting.tables.load import load
from rlbench.storage.labels import Labels, change_labels, read_labels

NAME = "dqn-CartPole-v1-50k"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = write_run(tmp_path)
    write_part(run, {seed: {0: [1.0], 50_000: [5.0]} for seed in range(3)},
               final={seed: [3.0] for seed in range(3)})  # fmt: skip
    return run


def test_tags_are_added_shown_and_removed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run.parent.parent
    assert here("tag", NAME, "baseline", "👩\u200d🔬", "baseline", "--out", out) == 0
    assert here("tag", "latest", "paper", "--out", out) == 0
    assert here("tag", NAME, "--out", out) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{NAME}: baseline 👩\u200d🔬 paper"
    assert here("tag", NAME, "paper", "baseline", "--remove", "--out", out) == 0
    assert read_labels(run) == Labels(("👩\u200d🔬",))
    assert here("tag", NAME, "papers", "--remove", "--out", out) == 2
    assert "no tag 'papers' to remove: its tags are 👩\u200d🔬" in capsys.readouterr().err
    assert here("tag", NAME, "--remove", "--out", out) == 2
    assert here("tag", NAME, "👩\u200d🔬", "--remove", "--out", out) == 0
    assert capsys.readouterr().out == f"{NAME}: no tags\n"


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("two words", "such as two-words"),
        ("a\nb", "such as a-b"),
        ("a,b", "such as a-b"),
        ("\x1b[31m", "invisible"),
        ("\u202e", "invisible"),
        ("x" * 61, "61 characters: use 1 to 60"),
    ],
)
def test_what_is_no_tag_is_refused(
    tag: str, said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("tag", NAME, "good", tag, "--out", run.parent.parent) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert read_labels(run) == Labels()
    _, offers, word = said.partition("such as ")
    if offers:
        assert here("tag", NAME, word, "--out", run.parent.parent) == 0
        assert read_labels(run) == Labels((word,))


def test_a_note_is_written_shown_replaced_and_removed(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = run.parent.parent
    assert here("note", NAME, "--out", out) == 0
    assert capsys.readouterr().out == f"{NAME} has no note\n"
    assert here("note", NAME, "first \x1b[1mline\r\nsecond\n", "--out", out) == 0
    assert here("note", NAME, "--out", out) == 0
    assert capsys.readouterr().out == "first \\x1b[1mline\nsecond\n"
    assert here("tag", NAME, "kept", "--out", out) == 0
    assert here("note", NAME, "several", "words", "--out", out) == 0
    assert read_labels(run) == Labels(("kept",), "several words")
    assert here("note", NAME, "x" * 10_001, "--out", out) == 2
    assert "10,001 characters, at most 10,000" in capsys.readouterr().err
    assert here("note", NAME, "x", "--remove", "--out", out) == 2
    assert here("note", NAME, "--remove", "--out", out) == 0
    assert read_labels(run) == Labels(("kept",))


def test_labels_are_shown_and_are_columns(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(load(run).runs["tags"]) == set(load(run).runs["note"]) == {""}
    change_labels(run, add=["a", "b"], note="one\ntwo")
    assert set(load(run).runs["tags"]) == {"a b"}
    assert set(load(run).runs["note"]) == {"one two"}
    assert here("show", run) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", NAME]
    at = lines.index(f"{'tags':18} a b")
    assert lines[at + 1 : at + 3] == [f"{'note':18} one", f"{'':18} two"]


@pytest.mark.slow
def test_labels_change_no_report(run: Path) -> None:
    bench = write_suite(run.parent.parent, [{"env": "CartPole-v1", "agent": "dqn"}])
    before = {file: file.read_bytes() for file in write_report([bench], run.parent.parent, None)}
    change_labels(run, add=["secret"], note="my eyes only")
    write_report([bench], run.parent.parent, None)
    assert before == {file: file.read_bytes() for file in before}
    assert len(before) > 3


def test_runs_are_listed_by_their_labels(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run.parent.parent
    write_part(write_run(out, digest="11112222"), {0: {0: [1.0]}}, final={0: [3.0]})
    change_labels(run, add=["baseline", "paper"], note="one\ntwo")
    for word in ("paper", "one two"):
        assert here("list", "runs", word, "--out", out) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert line.split("\t")[-2:] == ["baseline paper", "one two"]
    assert here("list", "runs", "--out", out) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


DAMAGED = ["{", "[]", '{"tags": [1], "note": ""}', '{"tags": "a", "note": ""}', '{"tags": []}',
           '{"tags": [], "note": null}', "[" * 10_000]  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED, ids=lambda text: text[:30])
def test_a_damaged_file_of_labels_hides_no_result(
    content: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "labels.json").write_text(content)
    assert len(load(run).runs) == 3
    assert here("tag", NAME, "x", "--out", run.parent.parent) == 2
    assert "labels.json is damaged" in capsys.readouterr().err
    (run / "labels.json").unlink()  # as the message says
    assert here("tag", NAME, "x", "--out", run.parent.parent) == 0


def test_labels_are_not_written_through_links(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "mine.txt"
    other.write_text('{"tags": [], "note": ""}')
    (run / "labels.json").symlink_to(other)
    change_labels(run, add=["x"])
    assert other.read_text() == '{"tags": [], "note": ""}'
    link = tmp_path / "link"
    link.symlink_to(run)
    with pytest.raises(UserError, match="symbolic link"):
        change_labels(link, add=["y"])


def test_run_takes_labels_also_where_the_run_exists(tmp_path: Path) -> None:
    args = ["run", "random", "--env", "CartPole-v1", "--seeds", "1", "--final-episodes", "1", "-q",
            "--out", tmp_path]  # fmt: skip
    assert here(*args, "--tag", "a b") == 2
    assert not list(tmp_path.iterdir())
    assert here(*args, "--tag", "one", "--note", "mine") == 0
    run = run_folder(tmp_path, "random")
    assert read_labels(run) == Labels(("one",), "mine")
    written = (run / "seeds-0" / "part.json").stat().st_mtime_ns
    assert here(*args, "--tag", "two") == 0
    assert read_labels(run) == Labels(("one", "two"), "mine")
    assert (run / "seeds-0" / "part.json").stat().st_mtime_ns == written
    identity = json.loads((run / "run.json").read_text())["identity"]
    assert "tags" not in identity
    assert "note" not in identity


def test_a_run_that_is_stopped_has_its_labels(tmp_path: Path) -> None:
    args = ["run", "dqn", "--env", "CartPole-v1", *TINY, "-n", "5000", "--seeds", "1", "-q"]
    stopped = here(*args, "--tag", "x", "--max-seconds", "0.01", "--jobs", "1", "--out", tmp_path)
    assert stopped == 124
    assert read_labels(run_folder(tmp_path)) == Labels(("x",))
