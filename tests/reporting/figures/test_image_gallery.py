"""What the galleries show is what is in the answers; the pictures themselves were looked at."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from image_runs import write_answers, write_data_run
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from store_files import write_part, write_run

from rlbench.errors import UserError
from rlbench.reporting.figures.image_gallery import confusion, mistakes, paths, save_gallery
from rlbench.reporting.figures.style import luminance
from rlbench.reporting.tables.test_answers import (
    MAX_IMAGES,
    NO_CLASS,
    confusion_counts,
    most_common_mistake,
    read_answers,
)

LABELS = [0, 0, 1, 1, 2, 2]
SEEDS = [[0, 1, 1, 1, 2, 0], [0, 1, 1, 2, 2, 1], [0, 2, 1, 1, 2, 1]]


def run_with(root: Path, predictions: Any = SEEDS, labels: Any = LABELS, **changes: Any) -> Path:
    count = len(np.atleast_2d(predictions))
    run = write_data_run(root, test=dict.fromkeys(range(count), 0.7), task="Glimpse")
    write_answers(next(run.glob("seeds-*")), predictions, labels, changes)
    return run


def walks(count: int = 2, steps: int = 4) -> dict[str, Any]:
    """Windows of 3 pixels that go down by a row each step and stay at the end."""
    corners = [[(min(t, 2), i) for t in range(steps)] for i in range(count)]
    return {
        "path_images": np.full((count, 8, 8, 1), 9, np.uint8),
        "paths": np.array(corners, np.int16),
        "path_predictions": np.arange(count, dtype=np.int16),
        "path_labels": np.zeros(count, np.int16),
        "window": np.array(3),
    }


def captions(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes]


def test_confusion_by_hand(tmp_path: Path) -> None:
    answers = read_answers(run_with(tmp_path))
    thirds = [[3, 2, 1], [0, 5, 1], [1, 2, 3]]  # of three seeds, rows are true
    assert confusion_counts(answers) == pytest.approx(np.array(thirds) / 3)
    (axes,) = confusion(answers).axes
    written = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    assert written == {
        (0, 0): "1", (1, 0): "0.7", (2, 0): "0.3", (1, 1): "1.7", (2, 1): "0.3",
        (0, 2): "0.3", (1, 2): "0.7", (2, 2): "1",
    }  # fmt: skip
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["c0", "c1", "c2"]
    title = " ".join(axes.get_title("left").split())
    assert "6 test images, 61.1 % right (images, mean of 3 seeds)" in title


def test_right_is_blue_and_wrong_is_orange(tmp_path: Path) -> None:
    (axes,) = confusion(read_answers(run_with(tmp_path))).axes
    red, _, blue, _ = np.moveaxis(np.asarray(axes.images[0].get_array()), -1, 0)
    right = np.eye(3, dtype=np.bool_)
    assert (blue > red)[right].all()
    wrong = ~right & (np.array([[3, 2, 1], [0, 5, 1], [1, 2, 3]]) > 0)
    assert (blue < red)[wrong].all()
    assert (blue == red)[1, 0]  # nothing there: white


def test_numbers_can_be_read_on_their_squares(tmp_path: Path) -> None:
    labels = np.arange(10).repeat(20)
    rng = np.random.default_rng(0)
    guesses = np.where(rng.random(200) < np.linspace(0, 1, 200), labels, rng.integers(0, 10, 200))
    (axes,) = confusion(read_answers(run_with(tmp_path, guesses, labels))).axes
    light = luminance(np.asarray(axes.images[0].get_array()))
    written = {str(text.get_color()) for text in axes.texts}
    assert len(written) == 2
    for text in axes.texts:
        column, row = (int(place) for place in text.get_position())
        own = luminance(np.array(to_rgb(str(text.get_color()))))
        dark, bright = sorted([float(own), float(light[row, column])])
        assert (bright + 0.05) / (dark + 0.05) >= 4


def test_many_classes_have_a_scale_in_place_of_numbers(tmp_path: Path) -> None:
    labels = np.arange(50).repeat(4)
    guesses = labels.copy()
    guesses[0] = 49
    matrix, scale = confusion(read_answers(run_with(tmp_path, guesses, labels))).axes
    assert len(matrix.texts) == 0
    assert scale.get_ylim() == (0, 25)  # percent: one of four
    assert len(matrix.get_yticks()) == 50


@pytest.mark.parametrize("odd", [-1, 3, 77])
def test_an_answer_that_is_no_class_is_counted(tmp_path: Path, odd: int) -> None:
    answers = read_answers(run_with(tmp_path, [odd, 0, 1, 1, 2, 2]))
    assert confusion_counts(answers).tolist() == [[1, 0, 0, 1], [0, 2, 0, 0], [0, 0, 2, 0]]
    assert captions(mistakes(answers)) == [f"c0 → {NO_CLASS}\n(1 of 1 seed)"]


def test_mistakes_are_those_of_most_seeds_first(tmp_path: Path) -> None:
    answers = read_answers(run_with(tmp_path))
    assert answers.shown.tolist() == [1, 5, 3]  # wrong in 3, 3 and 1 of 3 seeds
    assert most_common_mistake(answers, 1) == (1, 2)
    figure = mistakes(answers)
    assert captions(figure) == [
        "c0 → c1\n(2 of 3 seeds)", "c2 → c1\n(2 of 3 seeds)", "c1 → c2\n(1 of 3 seeds)",
    ]  # fmt: skip
    shown = [np.asarray(axes.images[0].get_array())[0, 0] for axes in figure.axes]
    assert shown == [1, 5, 3]  # as bright as their index: the right image under each caption
    assert "3 of the 3 test images that some of 3 seeds got wrong" in " ".join(
        figure.get_suptitle().split()
    )


def test_parts_are_put_together(tmp_path: Path) -> None:
    """The worst images of all seeds, also those that one part alone has kept."""
    run = run_with(tmp_path, SEEDS[:1])
    other = run / "seeds-7-8"
    other.mkdir()
    part = next(run.glob("seeds-0"))
    record = (part / "part.json").read_text()
    (other / "part.json").write_text(record.replace("[0]", "[7]").replace('"0"', '"7"'))
    write_answers(other, SEEDS[1:], LABELS, {"seeds": np.array([7, 8])})
    answers = read_answers(run)
    assert answers.predictions.tolist() == SEEDS
    assert answers.shown.tolist() == [1, 5, 3]  # 3 is in the second part only
    write_answers(other, SEEDS[1:], [0, 0, 1, 1, 2, 1], {"seeds": np.array([7, 8])})
    with pytest.raises(UserError, match=r"seeds-7-8/test.npz is corrupt \(its test images"):
        read_answers(run)


def test_no_more_than_a_page_of_mistakes(tmp_path: Path) -> None:
    labels = np.arange(4).repeat(40)
    answers = read_answers(run_with(tmp_path, (labels + 1) % 4, labels))
    figure = mistakes(answers)
    assert len(figure.axes) == MAX_IMAGES == 60
    assert "60 of the 160 test images that the only seed got wrong" in " ".join(
        figure.get_suptitle().split()
    )


def test_paths_are_numbered_squares(tmp_path: Path) -> None:
    answers = read_answers(run_with(tmp_path, **walks()))
    figure = paths(answers)
    assert captions(figure) == ["true c0, predicted c0", "true c0, predicted c1"]
    right, wrong = (axes.title for axes in figure.axes)
    assert right.get_color() != wrong.get_color()
    for i, axes in enumerate(figure.axes):
        squares = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        corners = [(square.get_y(), square.get_x()) for square in squares]
        assert corners == [(row - 0.5, i - 0.5) for row in (0, 1, 2, 2)]  # around whole pixels
        assert {square.get_width() for square in squares} == {3}
        assert len({square.get_edgecolor() for square in squares}) == 4
        assert [text.get_text() for text in axes.texts] == ["1", "2", "3-4"]  # none over another


def test_what_there_is_is_saved(tmp_path: Path) -> None:
    run = run_with(tmp_path / "a", **walks(1, 1))
    names = ["confusion", "mistakes", "paths"]
    files = [f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    assert save_gallery(run) == [run / file for file in files]
    perfect = run_with(tmp_path / "b", LABELS)
    assert [path.name for path in save_gallery(perfect, tmp_path / "c")] == files[:2]
    assert not list(perfect.glob("*.png"))
    assert len(list((tmp_path / "c").iterdir())) == 2


def test_same_bytes_and_no_global_state(tmp_path: Path) -> None:
    run = run_with(tmp_path, **walks())
    first = save_gallery(run, tmp_path / "first")
    changes: Any = {"font.size": 30, "image.cmap": "jet", "axes.facecolor": "red"}
    with mpl.rc_context(changes):
        before = dict(mpl.rcParams)
        again = save_gallery(run, tmp_path / "again")
        assert dict(mpl.rcParams) == before
    write_answers(next(run.glob("seeds-*")), SEEDS[::-1], [0, 0, 1, 1, 2, 0], walks(3))
    other = save_gallery(run, tmp_path / "other")
    assert len(first) == 6
    for one, two, three in zip(first, again, other, strict=True):
        assert one.read_bytes() == two.read_bytes() != three.read_bytes()


def test_without_answers_there_is_no_gallery(tmp_path: Path) -> None:
    run = write_data_run(tmp_path, status={0: "running"})
    with pytest.raises(UserError, match=r"has no test answers: .* when done"):
        save_gallery(run)
    ordinary = write_run(tmp_path)
    write_part(ordinary, {0: {}}, {0: [1.0]})
    with pytest.raises(UserError, match="has no test answers"):
        save_gallery(ordinary)
    with pytest.raises(UserError, match="holds 2 runs"):
        save_gallery(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": np.zeros(5, np.int16)},
        {"labels": np.full(6, 3, np.int16)},
        {"images": np.zeros((1, 8, 8, 1), np.uint8)},
        {"predictions": np.zeros(6, np.int16)},
        {"seeds": np.array(3)},
        {"class_names": np.array([{}])},
        {"paths": np.zeros((1, 2, 2), np.int16)},
    ],
)
def test_corrupt_answers_are_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    run = run_with(tmp_path)
    write_answers(next(run.glob("seeds-*")), SEEDS, LABELS, changes)
    with pytest.raises(UserError, match=r"test.npz is corrupt .*restore it, or delete") as refusal:
        save_gallery(run)
    assert "\n" not in str(refusal.value)


def test_cut_and_pickled_files_are_refused(tmp_path: Path) -> None:
    run = run_with(tmp_path)
    file = next(run.glob("*/test.npz"))
    whole = file.read_bytes()
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 30):
        file.write_bytes(whole[:cut])
        with pytest.raises(UserError, match=r"test.npz is corrupt"):
            read_answers(run)
    file.write_bytes(whole)
    assert len(read_answers(run).predictions) == 3
