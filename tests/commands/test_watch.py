"""`rlbench watch` plays recorded episodes, and writes a film of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import TINY, here
from PIL import Image


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    assert here("run", "dqn", "--env", "CartPole-v1", "--seeds", "3,5", "-n", 200, *TINY,
                "--eval-freq", 0, "--final-episodes", 3, "--no-floor", "--quiet",
                "--jobs", 1, "--out", out) == 0  # fmt: skip
    return out


def test_a_film_shows_the_final_episodes(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Returns are those that were recorded; there is a frame per step, and they differ."""
    film = tmp_path / "film.gif"
    arguments = ["watch", "latest", "--seed", 5, "--episodes", 2, "-o", film, "--out", results]
    assert here(*arguments) == 0
    (file,) = results.glob("CartPole-v1/dqn-*/seeds-*/evaluations.csv")
    rows = pd.read_csv(file).query("seed == 5 and phase == 'final' and episode < 2")
    lines = [f"seed 5: return {r:.1f}, {n} steps" for r, n in zip(rows["return"], rows["length"])]
    assert capsys.readouterr().out.splitlines() == [*lines, str(film)]
    with Image.open(film) as image:
        assert image.n_frames == rows["length"].sum()  # type: ignore[attr-defined]
        assert image.info["duration"] == 20  # milliseconds: CartPole is drawn at 50 a second
        first = np.asarray(image.convert("RGB"))
        image.seek(8)
        assert (np.asarray(image.convert("RGB")) != first).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["latest"], "there is no display for a window: repeat the command with -o film.gif"),
        (["latest", "-o", "film.avi"], "its name must end in .gif or .mp4"),
        (["latest", "-o", "film.gif", "--seed", 4], "no agent of seed 4: choose from 3,5"),
        (["latest", "-o", "nowhere/film.gif"], "cannot write to nowhere/film.gif"),
        (["nothing", "-o", "film.gif"], "no run 'nothing'"),
    ],
)
def test_mistakes_are_one_line(
    results: Path,
    tmp_path: Path,
    arguments: list[object],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    assert here("watch", *arguments, "--out", results) == 2
    said = capsys.readouterr()
    error = said.err.splitlines()
    assert said.out == ""  # nothing was played
    assert len(error) == 1
    assert message in error[0]
    assert list(tmp_path.iterdir()) == []


def test_an_environment_without_pictures_is_refused(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("run", "random", "--env", "rlbench/Cue-v0", "--seeds", 1, "--final-episodes", 2,
                "--no-floor", "--quiet", "--out", results) == 0  # fmt: skip
    assert here("watch", "random-Cue-v0-0", "-o", "film.gif", "--out", results) == 2
    assert "rlbench/Cue-v0 cannot be drawn" in capsys.readouterr().err
