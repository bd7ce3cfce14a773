"""`rlbench video` and `--video-every`: films of several seeds, and rows that stay as they are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from commands import TINY, here
from PIL import Image

from rlbench.video import training_films

SHORT = [*TINY, "-n", 200, "--final-episodes", 3, "--no-floor", "--quiet", "--jobs", 1]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    assert here("run", "dqn", "--env", "CartPole-v1", "--seeds", "3,5", *SHORT,
                "--eval-freq", 0, "--out", out) == 0  # fmt: skip
    return out


def test_seeds_are_side_by_side_until_the_last_has_ended(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "film.gif"
    assert here("video", "latest", "-o", file, "--out", results) == 0
    (rows,) = results.glob("CartPole-v1/dqn-*/seeds-*/evaluations.csv")
    first = pd.read_csv(rows).query("phase == 'final' and episode == 0")
    said = capsys.readouterr().out.splitlines()
    lines = {
        f"seed {row.seed}: return {row._5:.1f}, {row.length} steps" for row in first.itertuples()
    }
    assert set(said[:-1]) == lines
    assert said[-1] == str(file)
    with Image.open(file) as both:
        assert both.n_frames == first["length"].max()  # type: ignore[attr-defined]
    assert here("video", "latest", "--seeds", "5,", "-o", file, "--out", results) == 0
    with Image.open(file) as one:
        assert one.n_frames == first.query("seed == 5")["length"].item()  # type: ignore[attr-defined]
        assert one.width < both.width


def test_an_mp4_has_a_frame_per_step(results: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    assert here("video", "latest", "--out", results) == 0
    (file,) = results.glob("CartPole-v1/dqn-*/videos/seeds-3,5-final.mp4")
    (rows,) = results.glob("CartPole-v1/dqn-*/seeds-*/evaluations.csv")
    longest = pd.read_csv(rows).query("phase == 'final' and episode == 0")["length"].max()
    frames, seconds = ffmpeg.count_frames_and_secs(str(file))
    assert frames == longest
    assert seconds == pytest.approx(longest / 50, abs=0.05)  # CartPole is drawn at 50 a second
    assert [each.name for each in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["latest", "-o", "film.avi"], "its name must end in .gif or .mp4"),
        (["latest", "-o", "film.gif", "--seeds", "4,"], "no agent of seed 4: choose from 3,5"),
        (["latest", "-o", "nowhere/film.gif"], "cannot write to nowhere/film.gif: No such file"),
        (["latest", "--saliency"], "--saliency: it is for images, and observations are Box"),
    ],
)
def test_mistakes_are_one_line(
    results: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before anything is played."""
    monkeypatch.chdir(tmp_path)
    assert here("video", *arguments, "--out", results) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert message in line
    assert said.out == ""


def test_an_mp4_without_its_package_names_both_ways_out(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert here("video", "latest", "-o", "film.mp4", "--out", results) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'rlbench-workbench[video]', or give a name that ends in .gif" in line


@pytest.mark.parametrize("agent", ["dqn", "ppo"])
def test_films_of_training_change_no_row(agent: str, tmp_path: Path) -> None:
    short = [*SHORT[SHORT.index("-n") :], "--no-preset", "-p", "net_arch=16"]
    run = ["run", agent, "--env", "CartPole-v1", "--seeds", 1, *short, "--eval-episodes", 2,
           "--eval-freq", 50, "--device", "cpu"]  # fmt: skip
    assert here(*run, "--out", tmp_path / "plain") == 0
    assert here(*run, "--video-every", 100, "--out", tmp_path / "filmed") == 0
    (plain,), (filmed,) = (list((tmp_path / name).glob("*/*")) for name in ("plain", "filmed"))
    assert plain.name == filmed.name
    for name in ("evaluations.csv", "episodes.csv", "metrics.csv"):
        tables = [pd.read_csv(next(each.glob(f"seeds-*/{name}"))) for each in (plain, filmed)]
        if name == "metrics.csv":
            tables = [table[~table["key"].str.startswith("time/")] for table in tables]
        kept = [table.drop(columns="time", errors="ignore") for table in tables]
        assert kept[0].equals(kept[1])
    films = sorted(file.stem for file in (filmed / "videos").iterdir())
    steps = [int(film.rpartition("-")[2]) for film in films]
    assert [step // 100 for step in steps] == [0, 1, 2]  # PPO is evaluated after whole rollouts


def test_a_film_that_fails_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: object, step: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(training_films.TrainingFilms, "write", broken)
    loud = [each for each in SHORT if each != "--quiet"]
    assert here("run", "dqn", "--env", "CartPole-v1", "--seeds", 1, *loud, "--video-every", 50,
                "--out", tmp_path) == 0  # fmt: skip
    error = capsys.readouterr().err
    assert error.count("no more films of training: OSError: no space left") == 1


@pytest.mark.parametrize(
    ("agent", "env", "message"),
    [
        ("dqn", "rlbench/Cue-v0", "rlbench/Cue-v0 cannot be drawn"),
        ("sb3-dqn", "CartPole-v1", "film the trained agents with rlbench video"),
    ],
)
def test_what_cannot_be_filmed_is_refused_before_training(
    agent: str, env: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("run", agent, "--env", env, "--seeds", 1, *SHORT, "--video-every", 50,
                "--out", tmp_path) == 2  # fmt: skip
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
