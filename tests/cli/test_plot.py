"""`rlbench plot`: its options, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import here
from store_files import write_part, write_run

RUN = "CartPole-v1/dqn-3f2a91bc"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    grid = {seed: {0: [10.0], 5_000: [100.0 + seed], 10_000: [400.0]} for seed in range(3)}
    write_part(write_run(tmp_path), grid, {seed: [400.0] for seed in grid})
    return tmp_path


def test_every_option_together(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--x steps --facet env --stat iqm --smooth 2 --logx --no-seeds --xlim 100,10000"
    target = store / "new" / "curve.svg"
    chosen = [*options.split(), "--ylim", "-10,500", "-o", target, "--out", store]
    assert here("plot", RUN, *chosen) == 0
    assert capsys.readouterr().out == f"{target}\n"
    text = target.read_text()
    for said in ("mean of 2 evaluations", "interquartile mean", "CartPole-v1", "1k"):
        assert said in text
    assert "single seeds" not in text


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--xlim 5,1", "--xlim 5,1: the first end must be less than the second"),
        ("--xlim 5", "--xlim 5: give two numbers, as in --xlim 0,500"),
        ("--ylim a,b", "--ylim a,b: give two numbers, as in --ylim 0,500"),
        ("--ylim 0,nan", "--ylim 0,nan: both ends must be finite numbers"),
        ("--xlim 0,100 --logx", "a logarithmic axis begins above 0: leave out --logx, or begin"),
        ("--xlim 1,2", "no point on CartPole-v1 is there: they are from 0 to 10000"),
        ("--x images", "dqn on CartPole-v1 has no images in its tables: use --x steps or --x epi"),
        ("--x frames", "'frames' is not one of 'steps', 'episodes', 'seconds'"),
        ("--smooth 0", "'--smooth': 0 is not in the range x>=1"),
        ("-o curve.xyz", "cannot write curve.xyz: a figure is a .png, .svg or .pdf file"),
        ("-o curve.jpg", "cannot write curve.jpg: a figure is a .png, .svg or .pdf file"),
    ],
)
def test_mistakes_are_one_line(
    store: Path, wrong: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("plot", RUN, *wrong.split(), "--out", store) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize(
    "advised", ["--xlim 0,500", "--ylim 0,500", "--x episodes", "--xlim 0,100", "--logx"]
)
def test_what_the_messages_advise_works(store: Path, advised: str) -> None:
    assert here("plot", RUN, *advised.split(), "-o", store / "x.svg", "--out", store) == 0
