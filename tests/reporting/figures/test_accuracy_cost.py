"""The figure shows what the rows say; the pictures themselves were looked at."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from image_runs import write_data_run
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from store_files import write_part, write_run

from rlbench.errors import UserError
from rlbench.reporting.figures.accuracy_cost import COSTS, LEVELS
from rlbench.reporting.figures.learning_curves import figure, save
from rlbench.reporting.figures.plot_options import AXES, PlotOptions
from rlbench.reporting.statistics.intervals import mean_interval
from rlbench.reporting.tables.load import load

CURVE = [(0, 0.1), (100, 0.6), (200, 0.8)]


def panels(root: Path) -> list[Axes]:
    return figure(load(root)).axes


def lines(axes: Axes, **wanted: object) -> list[list[list[float]]]:
    return [
        np.asarray(line.get_xydata()).tolist()
        for line in axes.get_lines()
        if all(getattr(line, f"get_{name}")() == value for name, value in wanted.items())
    ]


def labels(axes: Axes) -> list[str]:
    """Texts at the ends of lines, from the top."""
    found = sorted(axes.texts, key=lambda text: -text.get_position()[1])
    return [" ".join(text.get_text().split()) for text in found]


def texts(picture: Figure) -> list[Text]:
    """All but the labels of ticks, of which some are beyond the axes, and not drawn."""
    found = list(picture.texts)
    for axes in picture.axes:
        found += [*axes.texts, axes.xaxis.label, axes.yaxis.label, axes._left_title]  # type: ignore[attr-defined]
    return [text for text in found if text.get_text()]


def box(text: Text) -> Bbox:
    """Where a text is, without the arrow that it may have."""
    return Text.get_window_extent(text)


def outside(picture: Figure) -> list[str]:
    """Texts that leave the figure."""
    picture.draw_without_rendering()
    edge = picture.bbox.bounds
    return [
        t.get_text() for t in texts(picture) if Bbox.union([picture.bbox, box(t)]).bounds != edge
    ]


def test_three_panels_of_the_same_curves(tmp_path: Path) -> None:
    grid = {0: CURVE, 1: [(0, 0.2), (100, 0.1), (200, 0.8)], 2: [(0, 0.15), (100, 0.8), (200, 0.8)]}
    test = {0: 0.5, 1: 0.75, 2: 1.0}
    write_data_run(tmp_path, grid=grid, test=test, uses=4, pace=0.5)
    picture = figure(load(tmp_path))
    assert [axes.get_xlabel() for axes in picture.axes] == [AXES[cost] for cost in COSTS]
    for axes, factor in zip(picture.axes, (1, 4, 0.5 / 3), strict=True):  # three seeds share it
        means = [[0, 0.15], [100 * factor, 0.5], [200 * factor, 0.8]]
        assert lines(axes, linewidth=1.8) == [pytest.approx(np.array(means))]
        seed = [[x * factor, y] for x, y in CURVE]
        assert lines(axes, linewidth=0.7)[0] == pytest.approx(np.array(seed))
        assert lines(axes, marker="D") == [[[pytest.approx(200 * factor), 0.75]]]  # of the test
        (band,) = [c for c in axes.collections if isinstance(c, PolyCollection)]
        corners = np.concatenate([path.vertices for path in band.get_paths()])
        heights = sorted(set(corners[np.isclose(corners[:, 0], 100 * factor), 1]))
        assert heights == pytest.approx((0, 1))  # cut at what a share can be
        assert (mean_interval([0.1, 0.6, 0.8]) or (0, 0))[0] < 0
        assert axes.get_xscale() == axes.get_yscale() == "linear"
        assert axes.get_ylim() == picture.axes[0].get_ylim()
    assert [labels(axes) for axes in picture.axes] == [[], [], ["dqn (mlp 64-64), test 75.0 %"]]
    heading, note = (text.get_text() for text in picture.texts)
    assert heading == "digits (200 test images)"
    assert "n = 3; band: 95 % t-interval of the mean, cut at the bounds 0 % and 100 %" in note


@pytest.mark.parametrize(("longer", "scale"), [(200 * 9, "linear"), (200 * 10, "log")])
def test_costs_far_apart_have_a_log_axis(tmp_path: Path, longer: int, scale: str) -> None:
    """From the first point above 0 on, in that panel alone."""
    write_data_run(tmp_path, grid={0: CURVE}, test={0: 0.8}, uses=1)
    far = [(0, 0.1), (longer, 0.8)]
    write_data_run(tmp_path, "ppo", grid={0: far}, test={0: 0.8}, uses=1, pace=0.001)
    images, samples, seconds = panels(tmp_path)
    assert images.get_xscale() == scale
    assert samples.get_xscale() == scale
    assert seconds.get_xscale() == "linear"
    if scale == "log":
        assert 80 < images.get_xlim()[0] < 100
        xs = [x for curve in lines(images, linewidth=1.8) for x, _ in curve]
        assert sorted(xs) == [100, 200, longer]


def test_errors_are_on_a_log_axis_where_they_are_few(tmp_path: Path) -> None:
    write_data_run(tmp_path / "a", grid={0: CURVE}, test={0: 0.89})
    write_data_run(tmp_path / "b", grid={0: CURVE}, test={0: 0.9})
    low, high = (panels(tmp_path / name)[0] for name in "ab")
    assert (low.get_yscale(), high.get_yscale()) == ("linear", "function")
    heights = high.transData.transform([(0, y) for y in (0.5, 0.9, 0.99, 1.0)])[:, 1]
    assert np.isfinite(heights).all()  # 100 % too
    half, steps = 0.5 / 200, np.diff(heights)  # half an image is added to the error
    logs = np.diff(np.log([0.5 + half, 0.1 + half, 0.01 + half, half]))
    assert steps / steps[0] == pytest.approx(logs / logs[0])
    assert high.get_ylabel() == "validation accuracy\n(log of the error)"


def test_what_is_not_trained_step_by_step_is_a_line(tmp_path: Path) -> None:
    write_data_run(tmp_path, grid={0: CURVE}, test={0: 0.8})
    for place, agent in enumerate(LEVELS):
        write_data_run(tmp_path, agent, test={0: 0.5 + place / 1000}, network="")
    write_data_run(tmp_path / "x", "knn", status={0: "failed"}, variant="k=3", network="")
    picture = figure(load(tmp_path))
    for axes in picture.axes:
        heights = sorted(xy[0][1] for xy in lines(axes, linestyle=":"))
        assert heights == [0.5 + place / 1000 for place in range(len(LEVELS))]
        assert len(lines(axes, linewidth=1.8)) == 1
    names = [text for text in texts(picture) if text.get_text().startswith(LEVELS)]
    said = {text.get_text().split(",")[0] for text in names}
    assert said == {*LEVELS, "knn k=3"}
    assert "random, n = 1, test 50.5 %" in [text.get_text() for text in names]
    assert "knn k=3, no test yet" in labels(picture.axes[-1])
    assert outside(picture) == []
    boxes = sorted((box(text) for text in picture.axes[-1].texts), key=lambda box: box.y0)
    assert len(boxes) == len(LEVELS) + 2
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))


def test_levels_alone_are_drawn(tmp_path: Path) -> None:
    write_data_run(tmp_path, "knn", test={0: 0.95}, network="")
    assert lines(panels(tmp_path)[0], linestyle=":") == [[[0, 0.95], [1, 0.95]]]


def test_running_failed_and_unbegun_seeds_are_said(tmp_path: Path) -> None:
    grid = {0: CURVE, 1: CURVE[:2], 2: CURVE[:2]}
    write_data_run(tmp_path, grid=grid, test={0: 0.8}, status={1: "diverged"})
    write_data_run(tmp_path, "ppo", status={0: "running"})
    picture = figure(load(tmp_path))
    assert lines(picture.axes[0], marker="x") == [[[100, 0.6]]]
    assert labels(picture.axes[-1]) == [
        "dqn (mlp 64-64), n = 1 to 3 (x: 1 diverged), test 80.0 %",
        "ppo (mlp 64-64), not evaluated yet, no test yet",
    ]
    assert lines(picture.axes[0], marker="D")[0] == [[200, 0.8]]


def test_a_failed_seed_has_no_diamond(tmp_path: Path) -> None:
    """Negative control: its test accuracy is there, and would move the mean."""
    write_data_run(tmp_path, grid={0: CURVE, 1: CURVE}, test={0: 0.8, 1: 0.2}, status={1: "failed"})
    assert lines(panels(tmp_path)[0], marker="D") == [[[200, 0.8]]]


def test_a_row_of_panels_for_each_data_set(tmp_path: Path) -> None:
    write_data_run(tmp_path, grid={0: CURVE}, test={0: 0.8})
    write_data_run(tmp_path, "ppo", grid={0: CURVE}, test={0: 0.8}, task="Rows")
    write_data_run(tmp_path, "ppo", grid={0: CURVE}, test={0: 0.8}, data="mnist", items=5000)
    picture = figure(load(tmp_path), title="both")
    assert picture.get_suptitle() == "both"
    assert len(picture.axes) == 6
    digits, mnist = picture.axes[2], picture.axes[5]
    assert {text.split(" (")[0] for text in labels(digits)} == {"dqn, Classify", "ppo, Rows"}
    assert [text.split(" (")[0] for text in labels(mnist)] == ["ppo"]
    assert "mnist (5,000 test images)" in [text.get_text() for text in picture.texts]


def test_many_runs_with_long_names_stay_in_the_picture(tmp_path: Path) -> None:
    long = "learning_rate=0.0003 exploration_fraction=0.1 optimizer=adamw weight_decay=0.01 " * 2
    for i in range(9):
        variant = (long if i % 3 == 0 else "") + f"v={i}"
        write_data_run(tmp_path, f"dqn{i}", grid={0: CURVE}, test={0: 0.8}, variant=variant)
    write_data_run(tmp_path, "knn", test={0: 0.95}, network="", variant=long)
    assert outside(figure(load(tmp_path))) == []


def test_one_axis_is_one_panel_for_each_data_set(tmp_path: Path) -> None:
    write_data_run(tmp_path, grid={0: CURVE}, test={0: 0.8})
    write_data_run(tmp_path, "ppo", grid={0: CURVE}, test={0: 0.95}, data="mnist", items=5000)
    picture = figure(load(tmp_path), options=PlotOptions(x="images", smooth=2))
    assert [axes.get_xlabel() for axes in picture.axes] == ["images seen in training"] * 2
    low, high = picture.axes
    assert low.get_ylabel() == "validation accuracy\nmean of 2 evaluations"
    assert high.get_ylabel() == "validation accuracy\n(log of the error)\nmean of 2 evaluations"
    assert lines(low, linewidth=1.8) == [[[0, 0.1], [100, 0.35], [200, pytest.approx(0.7)]]]
    assert lines(low, marker="D") == [[[200, 0.8]]]  # not smoothed
    assert outside(picture) == []
    with pytest.raises(UserError, match="--xlim on image data needs one axis: add --x images"):
        figure(load(tmp_path), options=PlotOptions(xlim=(0, 100)))


def test_above_six_entrants_each_has_a_row_of_panels(tmp_path: Path) -> None:
    for i in range(7):
        write_data_run(tmp_path, f"a{i}", grid={0: CURVE}, test={0: 0.8})
    write_data_run(tmp_path, "knn", test={0: 0.7}, network="")
    picture = figure(load(tmp_path))
    assert len(picture.axes) == 21
    titles = [axes.get_title("left") for axes in picture.axes]
    assert titles[::3] == [f"a{i} (mlp 64-64), n = 1, test 80.0 %" for i in range(7)]
    assert not any(titles[1::3] + titles[2::3])
    said = picture.texts[-1].get_text().replace("\n", " ")
    assert "Grey: the other entrants. Dotted: knn, n = 1, test 70.0 %." in said
    assert outside(picture) == []


def test_kinds_of_runs_do_not_mix(tmp_path: Path) -> None:
    write_part(write_run(tmp_path), {0: {0: [9.0], 500: [10.0]}}, {0: [500.0]})
    assert [axes.get_ylabel() for axes in panels(tmp_path)] == ["episode return"]
    write_data_run(tmp_path, "ppo", grid={0: CURVE}, test={0: 0.8})
    with pytest.raises(UserError, match=r"ppo on .* learns from a data set, dqn on .* does not"):
        figure(load(tmp_path))


def test_nothing_to_plot_is_said(tmp_path: Path) -> None:
    write_data_run(tmp_path, status={0: "running"})
    with pytest.raises(UserError, match="wait for the first evaluation"):
        figure(load(tmp_path))


def test_files_are_always_the_same_bytes(tmp_path: Path) -> None:
    write_data_run(tmp_path / "r", grid={0: CURVE, 1: CURVE}, test={0: 0.8, 1: 0.95})
    write_data_run(tmp_path / "r", "knn", test={0: 0.9}, network="")
    first = save(figure(load(tmp_path / "r")), tmp_path / "a")
    again = save(figure(load(tmp_path / "r")), tmp_path / "b")
    other = save(figure(load(tmp_path / "r"), title="other"), tmp_path / "c")
    for one, two, three in zip(first, again, other, strict=True):
        assert one.read_bytes() == two.read_bytes() != three.read_bytes()
