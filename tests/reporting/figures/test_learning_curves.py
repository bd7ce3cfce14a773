"""What is in a figure is what is in the tables; the pictures themselves were looked at."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.text import Text
from store_files import EPISODES, METRICS, write_part, write_run

from rlbench.errors import UserError
from rlbench.reporting.figures.learning_curves import figure, learning_curve, save
from rlbench.reporting.figures.plot_options import PlotOptions
from rlbench.reporting.figures.style import GREY, LINE_WIDTH, SEED_WIDTH
from rlbench.reporting.statistics.intervals import mean_interval
from rlbench.reporting.tables.load import load


def run_with(root: Path, seeds: dict[int, list[float]], **changes: Any) -> None:
    """A run whose seeds have these returns at 0, 10000, 20000, ..."""
    grid = {seed: {10_000 * i: [r] for i, r in enumerate(rs)} for seed, rs in seeds.items()}
    write_part(
        write_run(root, **changes), grid, {seed: rs[-1:] for seed, rs in seeds.items() if rs}
    )


def panel(root: Path, **options: Any) -> Axes:
    (axes,) = learning_curve(load(root), options=PlotOptions(**options)).axes
    return axes


def labels(axes: Axes) -> list[str]:
    """Texts at the ends of lines, from the top."""
    texts = sorted(axes.texts, key=lambda text: -text.get_position()[1])
    return [" ".join(text.get_text().split()) for text in texts]


def note(axes: Axes) -> str:
    figure = axes.figure
    assert figure is not None
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def lines(axes: Axes, **wanted: object) -> list[Line2D]:
    return [
        line
        for line in axes.get_lines()
        if all(getattr(line, f"get_{name}")() == value for name, value in wanted.items())
    ]


def xy(line: Line2D) -> list[list[float]]:
    return np.asarray(line.get_xydata()).tolist()


def curves(axes: Axes) -> list[Line2D]:
    return lines(axes, linewidth=LINE_WIDTH)


def bands(axes: Axes) -> list[np.ndarray]:
    """Corners of each band."""
    found = [c.get_paths() for c in axes.collections if isinstance(c, PolyCollection)]
    return [np.concatenate([path.vertices for path in paths]) for paths in found if paths]


def test_mean_seeds_and_band(tmp_path: Path) -> None:
    run_with(tmp_path, {0: [10, 100, 500], 1: [30, 200, 500], 2: [20, 450, 500]})
    axes = panel(tmp_path)
    assert labels(axes) == ["dqn", "reward threshold 475"]
    assert note(axes) == (
        "Line: mean over seeds, n = 3; band: 95 % t-interval of the mean, cut at the bounds 0 and "
        "500; thin: single seeds."
    )
    (mean,) = curves(axes)
    assert xy(mean) == [[0, 20], [10_000, 250], [20_000, 500]]
    seeds = [[y for _, y in xy(line)] for line in lines(axes, linewidth=SEED_WIDTH)]
    assert seeds[:3] == [[10, 100, 500], [30, 200, 500], [20, 450, 500]]
    (corners,) = bands(axes)
    assert corners[:, 0].max() == 10_000  # all seeds are equal at 20000: no band there
    heights = sorted(set(corners[corners[:, 0] == 10_000, 1]))
    assert heights == pytest.approx(tuple(mean_interval([100, 200, 450], bounds=(0, 500)) or ()))


def test_threshold_and_random_policy_are_lines(tmp_path: Path) -> None:
    run_with(tmp_path, {0: [10, 400], 1: [12, 410]})
    run_with(tmp_path, {0: [20], 1: [24]}, agent="random", digest="00000000")
    axes = panel(tmp_path)
    assert labels(axes) == ["reward threshold 475", "dqn", "random policy 22.0"]
    ((_, floor), _) = xy(lines(axes, linestyle=":", color=GREY)[0])
    ((_, threshold), _) = xy(lines(axes, linestyle="--", color=GREY)[0])
    assert (floor, threshold) == (22, 475)


def test_random_alone_is_a_curve(tmp_path: Path) -> None:
    run_with(tmp_path, {0: [20], 1: [24]}, agent="random", reward_threshold=None)
    axes = panel(tmp_path)
    assert labels(axes) == ["random"]
    assert note(axes) == "Line: mean over seeds, n = 2; dots: single seeds, too few for a band."


def test_a_diverged_seed_ends_with_an_x(tmp_path: Path) -> None:
    grid = {0: {0: [1], 5000: [2], 9000: [3]}, 1: {0: [1], 5000: [7]}}
    write_part(write_run(tmp_path), grid, {0: [3]}, status={1: "diverged"})
    axes = panel(tmp_path)
    (end,) = lines(axes, marker="x")
    assert xy(end) == [[5000, 7]]
    assert "dqn, n = 1 to 2 (x: 1 diverged)" in labels(axes)
    assert "x: a seed that broke off" in note(axes)


def test_two_envs_are_two_panels_of_the_same_colours(tmp_path: Path) -> None:
    for env in ("CartPole-v1", "Acrobot-v1"):
        run_with(tmp_path, {0: [10, 20], 1: [30, 50]}, env=env)
    run_with(tmp_path, {0: [10, 20]}, agent="a2c")
    run_with(tmp_path, {0: []}, env="Acrobot-v1", agent="ppo")
    figure = learning_curve(load(tmp_path), title="both")
    acrobot, cartpole = figure.axes
    assert figure.get_suptitle() == "both"
    assert [axes.get_title("left") for axes in figure.axes] == ["Acrobot-v1", "CartPole-v1"]
    assert labels(acrobot)[-1] == "ppo, not evaluated yet"  # never left out
    colors = [
        {str(line.get_label()): line.get_color() for line in curves(axes)} for axes in figure.axes
    ]
    assert colors[0]["dqn"] == colors[1]["dqn"]
    assert len({*colors[0].values(), *colors[1].values()}) == 3
    assert cartpole.get_xlabel() == "environment steps per seed"
    assert cartpole.get_ylabel() == "episode return"


@pytest.mark.parametrize("count", [3, 4, 7])
def test_seeds_are_shown_where_they_can_be_told_apart(count: int, tmp_path: Path) -> None:
    for i in range(count):
        run_with(tmp_path, {s: [10, 100 + i + s] for s in range(3)}, agent=f"a{i}")
    figure = learning_curve(load(tmp_path))
    seeds = sum(len(lines(axes, linewidth=SEED_WIDTH, alpha=0.4)) for axes in figure.axes)
    assert len(figure.axes) == (count if count > 6 else 1)  # small multiples
    assert seeds == (0 if 3 < count <= 6 else 3 * count)
    assert sum(len(bands(axes)) for axes in figure.axes) == count
    if count == 3:
        assert not lines(panel(tmp_path, seeds=False), linewidth=SEED_WIDTH, alpha=0.4)


def test_small_multiples_show_the_others_in_grey(tmp_path: Path) -> None:
    for i in range(7):
        run_with(tmp_path, {0: [10, 100 + i], 1: [20, 300]}, agent=f"a{i}")
    figure = learning_curve(load(tmp_path))
    assert [axes.get_title("left") for axes in figure.axes] == [f"a{i}, n = 2" for i in range(7)]
    first = figure.axes[0]
    for axes in figure.axes:
        assert len(curves(axes)) == 1
        (grey,) = [
            c for c in axes.collections if isinstance(c, LineCollection) and c.get_zorder() == 1
        ]
        assert len(grey.get_segments()) == 6
        assert (axes.get_xlim(), axes.get_ylim()) == (first.get_xlim(), first.get_ylim())
        assert labels(axes) == []
    assert "Grey: the other entrants. Dashed: reward threshold 475." in note(first)
    (one,) = learning_curve(load(tmp_path), options=PlotOptions(facet="env")).axes
    assert len(curves(one)) == 7
    assert len(labels(one)) == 8


def test_labels_do_not_overlap(tmp_path: Path) -> None:
    """All six end at the same height."""
    for i in range(6):
        run_with(tmp_path, {0: [10, 500], 1: [20, 500]}, agent="dqn", variant=f"a={'x ' * 20}{i}",
                 digest=f"{i:08}")  # fmt: skip
    axes = panel(tmp_path)
    figure = axes.figure
    assert figure is not None
    figure.draw_without_rendering()  # type: ignore[union-attr]
    boxes = sorted((Text.get_window_extent(text) for text in axes.texts), key=lambda box: box.y0)
    assert len(boxes) == 7
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))


def test_smoothing_averages_the_last_evaluations_and_says_so(tmp_path: Path) -> None:
    run_with(tmp_path, {0: [10, 100, 400], 1: [30, 200, 300]})
    axes = panel(tmp_path, smooth=2)
    (mean,) = curves(axes)
    assert xy(mean) == [[0, 20], [10_000, 85], [20_000, 250]]
    assert xy(lines(axes, linewidth=SEED_WIDTH, alpha=0.4)[0]) == [
        [0, 10],
        [10_000, 55],
        [20_000, 250],
    ]
    assert axes.get_ylabel() == "episode return\nmean of 2 evaluations"
    assert "mean of up to 2 evaluations" in note(axes)


def test_points_at_zero_are_left_out_of_a_log_axis_and_it_is_said(tmp_path: Path) -> None:
    run_with(tmp_path, {0: [10, 100, 400], 1: [30, 200, 300]})
    axes = panel(tmp_path, logx=True)
    assert axes.get_xscale() == "log"
    assert [x for x, _ in xy(curves(axes)[0])] == [10_000, 20_000]
    assert 5_000 < axes.get_xlim()[0] < 10_000
    assert "Points at 0 have no place on a logarithmic axis" in note(axes)
    assert "logarithmic" not in note(panel(tmp_path))


@pytest.mark.parametrize(("times", "scale"), [(9.9, "linear"), (10, "log")])
def test_seconds_tenfold_apart_have_a_log_axis(tmp_path: Path, times: float, scale: str) -> None:
    for agent, pace in (("dqn", 1.0), ("ppo", times)):
        run_with(tmp_path, {0: [10, 100, 400], 1: [1, 2, 3]}, agent=agent)
        file = next((tmp_path / "CartPole-v1").glob(f"{agent}-*/*/evaluations.csv"))
        rows = [line.split(",") for line in file.read_text().splitlines()]
        for row in rows[1:]:
            row[-1] = str(pace * int(row[1]) / 1000)
        file.write_text("\n".join(map(",".join, rows)) + "\n")
    axes = panel(tmp_path, x="seconds")
    assert axes.get_xscale() == scale
    assert axes.get_xlabel() == "training seconds per seed"
    assert xy(curves(axes)[0])[-1] == [10, 201.5]  # 20 seconds of two seeds in lockstep
    assert panel(tmp_path, x="seconds", xlim=(0.0, 5.0)).get_xscale() == "linear"


def test_episodes_and_updates_are_counted(tmp_path: Path) -> None:
    run_with(tmp_path, {0: [10, 100, 400]})
    part = next(tmp_path.glob("*/*/seeds-0"))
    ends = [4_000, 9_000, 10_000, 15_000]
    text = "".join(f"0,{step},{i},20.0,20,0.1\n" for i, step in enumerate(ends))
    (part / "episodes.csv").write_text(EPISODES + text)
    text = "".join(f"0,{step},train/n_updates,{step / 10}\n" for step in (5_000, 15_000, 20_000))
    (part / "metrics.csv").write_text(METRICS + text)
    assert [x for x, _ in xy(curves(panel(tmp_path, x="episodes"))[0])] == [0, 3, 4]
    updates = curves(panel(tmp_path, x="updates"))[0]
    assert [x for x, _ in xy(updates)] == [0, 1000, 2000]


def test_limits_and_statistics(tmp_path: Path) -> None:
    run_with(tmp_path, {s: [10 * s, 20 * s, 40 * s] for s in range(1, 8)})
    axes = panel(tmp_path, stat="median", xlim=(0.0, 15_000.0), ylim=(-1.0, 99.0))
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 15_000), (-1, 99))
    assert [y for _, y in xy(curves(axes)[0])] == [40, 80, 160]
    assert {*bands(axes)[0][:, 1]} >= {10, 70}  # the least and the greatest of seven seeds
    assert "Line: median over seeds, n = 7; band: 95 % interval of the median" in note(axes)
    assert "Line: interquartile mean" in note(panel(tmp_path, stat="iqm"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": "images"}, "has no images in its tables: use --x steps or --x episodes or --x seco"),
        ({"x": "updates"}, "dqn on CartPole-v1 has no updates in its tables"),
        ({"logx": True, "xlim": (0, 5)}, "--xlim 0,5: a logarithmic axis begins above 0"),
        ({"xlim": (5, 6)}, "no point on CartPole-v1 is there: they are from 0 to 10000"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    run_with(tmp_path, {0: [10, 20]})
    with pytest.raises(UserError, match=message):
        panel(tmp_path, **options)


def test_what_was_evaluated_before_training_only_has_no_log_axis(tmp_path: Path) -> None:
    run_with(tmp_path, {0: [10], 1: [20]})
    with pytest.raises(UserError, match="all points on CartPole-v1 are at 0: leave it out"):
        panel(tmp_path, logx=True)
    assert panel(tmp_path).get_xscale() == "linear"


def test_environments_are_not_overlaid(tmp_path: Path) -> None:
    for env in ("CartPole-v1", "Acrobot-v1"):
        run_with(tmp_path, {0: [-90, -80]}, env=env)
    assert len(figure(load(tmp_path), options=PlotOptions(facet="env")).axes) == 2


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_ending_chooses_the_kind_of_file(tmp_path: Path, kind: str) -> None:
    run_with(tmp_path / "r", {0: [10, 100], 1: [30, 200]})
    picture = learning_curve(load(tmp_path / "r"))
    first = save(picture, tmp_path / f"a.{kind}")
    again = save(learning_curve(load(tmp_path / "r")), tmp_path / f"b.{kind.upper()}")
    assert [file.name for file in (*first, *again)] == [f"a.{kind}", f"b.{kind.upper()}"]
    content = first[0].read_bytes()
    assert content == again[0].read_bytes()
    assert content.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind])
    if kind == "svg":
        assert b">reward threshold 475</text>" in content
    with pytest.raises(UserError, match=r"cannot write .*c.jpg: a figure is a .png, .svg or .pdf"):
        save(picture, tmp_path / "c.jpg")


def test_ticks_are_thousands(tmp_path: Path) -> None:
    run_with(tmp_path, {0: [10, 20]})
    ticks = panel(tmp_path).xaxis.get_major_formatter()
    assert [ticks(x) for x in (0, 500, 1500, 50_000, 2e6)] == ["0", "500", "1.5k", "50k", "2M"]


@pytest.mark.parametrize(
    ("seeds", "text"),
    [
        ({0: [10]}, "Line: the only seed, n = 1."),
        ({0: [10], 1: [30], 2: [30]}, "n = 3; band: 95 % t-interval of the mean, cut at the bound"),
        ({0: [5, 5], 1: [5, 5]}, "Line: mean over seeds, n = 2; dots: single seeds"),
        ({0: [5, 5], 1: [5, 5], 2: [5, 5]}, "Line: mean over seeds, n = 3; thin: single seeds"),
    ],
)
def test_little_is_enough(tmp_path: Path, seeds: dict[int, list[float]], text: str) -> None:
    run_with(tmp_path, seeds)
    axes = panel(tmp_path)
    assert text in note(axes)
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]


def test_a_wide_band_does_not_flatten_the_curve(tmp_path: Path) -> None:
    """The t-interval of three seeds is 4.3 standard errors wide; nothing bounds it here."""
    run_with(tmp_path, {0: [0, 0], 1: [0, 300], 2: [0, 250]}, env="X-v0", reward_threshold=None)
    low, high = panel(tmp_path).get_ylim()
    assert -60 < low <= 0
    assert 300 <= high < 360
    assert bands(panel(tmp_path))[0][:, 1].max() > 500


def test_nothing_to_plot_is_said(tmp_path: Path) -> None:
    run_with(tmp_path, {0: []})
    with pytest.raises(UserError, match="wait for the first evaluation"):
        learning_curve(load(tmp_path))


def test_files_are_whole_and_always_the_same_bytes(tmp_path: Path) -> None:
    run_with(tmp_path / "results", {0: [10, 100], 1: [30, 200]})
    run_with(tmp_path / "results", {0: [-500, -90], 1: [-500, -95]}, env="Acrobot-v1")
    results = load(tmp_path)
    first = save(figure := learning_curve(results), tmp_path / "v1.5" / "curve")
    again = save(figure, tmp_path / "again")
    anew = save(learning_curve(results), str(tmp_path / "anew"))
    other = save(learning_curve(results, title="other"), tmp_path / "other")
    assert [path.name for path in first] == ["curve.png", "curve.svg"]
    for one, two, three, four in zip(first, again, anew, other, strict=True):
        assert one.read_bytes() == two.read_bytes() == three.read_bytes() != four.read_bytes()
    assert {path.name for path in (tmp_path / "v1.5").iterdir()} == {"curve.png", "curve.svg"}
    assert first[0].read_bytes().startswith(b"\x89PNG")


def test_global_state_is_neither_used_nor_changed(tmp_path: Path) -> None:
    run_with(tmp_path, {0: [10, 100], 1: [30, 200]})
    plain = save(learning_curve(load(tmp_path)), tmp_path / "plain")
    changes: Any = {"lines.linewidth": 9, "font.size": 30, "axes.facecolor": "red", "svg.id": "x"}
    with mpl.rc_context(changes):
        before = dict(mpl.rcParams)
        changed = save(learning_curve(load(tmp_path)), tmp_path / "changed")
        assert dict(mpl.rcParams) == before
    for one, two in zip(plain, changed, strict=True):
        assert one.read_bytes() == two.read_bytes()
