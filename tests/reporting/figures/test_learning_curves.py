"""What is in a figure is what is in the tables; the pictures themselves were looked at."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from store_files import write_part, write_run

from rlbench.errors import UserError
from rlbench.reporting.figures.learning_curves import learning_curve, save
from rlbench.reporting.statistics.intervals import mean_interval
from rlbench.reporting.tables.load import load


def run_with(root: Path, seeds: dict[int, list[float]], **changes: Any) -> None:
    """A run whose seeds have these returns at 0, 10000, 20000, ..."""
    grid = {seed: {10_000 * i: [r] for i, r in enumerate(rs)} for seed, rs in seeds.items()}
    write_part(
        write_run(root, **changes), grid, {seed: rs[-1:] for seed, rs in seeds.items() if rs}
    )


def panel(root: Path) -> Axes:
    (axes,) = learning_curve(load(root)).axes
    return axes


def legend(axes: Axes) -> list[str]:
    box = axes.get_legend()
    return [text.get_text() for text in box.get_texts()] if box else []


def lines(axes: Axes, **wanted: object) -> list[Line2D]:
    return [
        line
        for line in axes.get_lines()
        if all(getattr(line, f"get_{name}")() == value for name, value in wanted.items())
    ]


def xy(line: Line2D) -> list[list[float]]:
    return np.asarray(line.get_xydata()).tolist()


def test_mean_seeds_and_band(tmp_path: Path) -> None:
    run_with(tmp_path, {0: [10, 100, 500], 1: [30, 200, 500], 2: [20, 450, 500]})
    axes = panel(tmp_path)
    assert legend(axes) == [
        "dqn, n = 3, mean and 95 % t-interval, cut at the bounds 0\nand 500",
        "reward threshold",
    ]
    (mean,) = lines(axes, linewidth=2)
    assert xy(mean) == [[0, 20], [10_000, 250], [20_000, 500]]
    seeds = [[y for _, y in xy(line)] for line in lines(axes, linewidth=0.7)]
    assert seeds == [[10, 100, 500], [30, 200, 500], [20, 450, 500]]
    (band,) = [c for c in axes.collections if isinstance(c, PolyCollection)]
    corners = np.concatenate([path.vertices for path in band.get_paths()])
    assert corners[:, 0].max() == 10_000  # all seeds are equal at 20000: no band there
    heights = sorted(set(corners[corners[:, 0] == 10_000, 1]))
    assert heights == pytest.approx(tuple(mean_interval([100, 200, 450], bounds=(0, 500)) or ()))


def test_threshold_and_random_policy_are_lines(tmp_path: Path) -> None:
    run_with(tmp_path, {0: [10, 400], 1: [12, 410]})
    run_with(tmp_path, {0: [20], 1: [24]}, agent="random", digest="00000000")
    axes = panel(tmp_path)
    assert legend(axes)[1:] == ["reward threshold", "random policy"]
    (floor,) = lines(axes, label="random policy")
    assert (floor.get_linestyle(), xy(floor)) == (":", [[0, 22], [1, 22]])
    (threshold,) = lines(axes, label="reward threshold")
    assert (threshold.get_linestyle(), xy(threshold)) == ("--", [[0, 475], [1, 475]])


def test_random_alone_is_a_curve(tmp_path: Path) -> None:
    run_with(tmp_path, {0: [20], 1: [24]}, agent="random", reward_threshold=None)
    assert legend(panel(tmp_path)) == ["random, n = 2, mean"]


def test_a_diverged_seed_ends_with_an_x(tmp_path: Path) -> None:
    grid = {0: {0: [1], 5000: [2], 9000: [3]}, 1: {0: [1], 5000: [7]}}
    write_part(write_run(tmp_path), grid, {0: [3]}, status={1: "diverged"})
    axes = panel(tmp_path)
    (end,) = lines(axes, marker="x")
    assert xy(end) == [[5000, 7]]
    assert legend(axes)[0] == "dqn, n = 1 to 2 (x: 1 diverged), mean"


def test_two_envs_are_two_panels_of_the_same_colours(tmp_path: Path) -> None:
    for env in ("CartPole-v1", "Acrobot-v1"):
        run_with(tmp_path, {0: [10, 20], 1: [30, 50]}, env=env)
    run_with(tmp_path, {0: [10, 20]}, agent="a2c")
    run_with(tmp_path, {0: []}, env="Acrobot-v1", agent="ppo")
    figure = learning_curve(load(tmp_path), title="both")
    acrobot, cartpole = figure.axes
    assert figure.get_suptitle() == "both"
    assert [axes.get_title("left") for axes in figure.axes] == ["Acrobot-v1", "CartPole-v1"]
    assert legend(acrobot)[1] == "ppo, not evaluated yet"  # never left out
    colors = [
        {str(line.get_label()).split(",")[0]: line.get_color() for line in lines(axes, linewidth=2)}
        for axes in figure.axes
    ]
    assert colors[0]["dqn"] == colors[1]["dqn"]
    assert len({*colors[0].values(), *colors[1].values()}) == 3
    assert cartpole.get_xlabel() == "environment steps per seed"
    assert cartpole.get_ylabel() == "episode return"


def test_ticks_are_thousands(tmp_path: Path) -> None:
    run_with(tmp_path, {0: [10, 20]})
    ticks = panel(tmp_path).xaxis.get_major_formatter()
    assert [ticks(x) for x in (0, 500, 1500, 50_000, 2e6)] == ["0", "500", "1.5k", "50k", "2M"]


@pytest.mark.parametrize(
    ("seeds", "text"),
    [
        ({0: [10]}, "n = 1"),
        ({0: [10], 1: [30], 2: [30]}, "n = 3, mean and 95 % t-interval, cut at the bound 0"),
        ({0: [5, 5], 1: [5, 5]}, "n = 2, mean"),
    ],
)
def test_little_is_enough(tmp_path: Path, seeds: dict[int, list[float]], text: str) -> None:
    run_with(tmp_path, seeds)
    figure = learning_curve(load(tmp_path))
    assert legend(figure.axes[0])[0] == f"dqn, {text}"
    figure.draw_without_rendering()


def test_a_wide_band_does_not_flatten_the_curve(tmp_path: Path) -> None:
    """The t-interval of two seeds is 12.7 standard errors wide."""
    run_with(tmp_path, {0: [0, 400], 1: [0, 500]}, reward_threshold=None)
    low, high = panel(tmp_path).get_ylim()
    assert -100 < low <= 0
    assert 500 <= high < 650


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
