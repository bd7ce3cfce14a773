"""`rlbench.run`, `bench`, `compare`, `plot` and `report`: the commands, with results returned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import environment, here
from matplotlib.figure import Figure

import rlbench
from rlbench.agents import DQN, PPO
from rlbench.errors import UserError

CARTPOLE = "CartPole-v1"
SHORT: dict[str, Any] = {
    "seeds": 2, "total_timesteps": 300, "eval_episodes": 1, "final_episodes": 2, "quiet": True,
    "floor": False, "jobs": 1, "device": "cpu",
}  # fmt: skip
SUITE = f"""
name = "s"
seeds = 2
agents = ["random"]
final_episodes = 2

[[env]]
id = "{CARTPOLE}"
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two agents."""
    folder = tmp_path_factory.mktemp("api") / "results"
    rlbench.run("dqn", CARTPOLE, out=folder, learning_rate=1e-3, **SHORT)
    rlbench.run(PPO, CARTPOLE, out=folder, n_envs=2, **SHORT)
    return folder


def test_a_run_is_the_command_line_s(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Same folder and rows, and nothing is computed twice."""
    options = ["-n", "300", "--seeds", "2", "--eval-episodes", "1", "--final-episodes", "2"]
    line = ["run", "dqn", "--env", CARTPOLE, *options, "-p", "learning_rate=1e-3", "-q"]
    assert here(*line, "--no-floor", "--jobs", "1", "--device", "cpu", "--out", tmp_path) == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("part.json")}
    results = rlbench.run(DQN, CARTPOLE, out=out, learning_rate=1e-3, **SHORT)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("part.json")} == before
    theirs = rlbench.load(tmp_path)
    assert set(theirs.runs["digest"]) == set(results.runs["digest"])
    columns = ["seed", "step", "phase", "episode", "return"]
    pd.testing.assert_frame_equal(theirs.evaluations[columns], results.evaluations[columns])
    assert capsys.readouterr().out == ""


def test_mistakes_are_one_line_and_write_nothing(tmp_path: Path) -> None:
    for call, said in (
        (lambda: rlbench.run("dqm", CARTPOLE, out=tmp_path), "Did you mean 'dqn'"),
        (lambda: rlbench.run(5, CARTPOLE, out=tmp_path), "agent must be a name"),  # type: ignore[arg-type]
        (lambda: rlbench.run("dqn", CARTPOLE, out=tmp_path, gama=1), "Did you mean 'gamma'"),
        (lambda: rlbench.run("dqn", CARTPOLE, out=tmp_path, jobs=0), "jobs must be at least 1"),
        (lambda: rlbench.bench("nowhere.toml", out=tmp_path), "nowhere"),
        (lambda: rlbench.plot("latest", out=tmp_path), "no run 'latest'"),
        (lambda: rlbench.plot(out=tmp_path, color="red"), "plot has no option 'color'"),
    ):
        with pytest.raises(UserError, match=said):
            call()
    assert not list(tmp_path.iterdir())


def test_comparison(out: Path) -> None:
    comparison = rlbench.compare(out=out)
    pair = comparison.differences.iloc[0]
    assert {pair[side].split(",")[0] for side in ("a", "b")} == {"dqn", "ppo"}
    means = comparison.scores.set_index("label")["mean"]
    assert pair["difference"] == pytest.approx(means[pair["a"]] - means[pair["b"]])
    one = rlbench.run("dqn", CARTPOLE, out=out, learning_rate=1e-3, **SHORT)
    other = "ppo-CartPole-v1-300"
    assert len(rlbench.compare(one, other, out=out).differences) == 1
    html = comparison._repr_html_()
    assert "verdict" in html
    assert f"{pair['a']} − {pair['b']}" in html
    with pytest.raises(UserError, match="no entrant"):
        rlbench.compare(baseline="sac", out=out)


def test_figure_and_report(out: Path, tmp_path: Path) -> None:
    figure = rlbench.plot("dqn-CartPole-v1-300", out=out, title="two seeds", stat="median")
    assert isinstance(figure, Figure)
    assert any(axes.lines for axes in figure.axes)
    shown = pytest.importorskip("IPython.core.formatters").PNGFormatter()(figure)
    assert shown.startswith(b"\x89PNG")  # though nothing has imported pyplot
    page = rlbench.report(rlbench.load(out), output=tmp_path / "page.html", out=out)
    assert page == tmp_path / "page.html"
    assert "dqn" in page.with_suffix(".md").read_text()


def test_results_are_a_table_in_a_notebook(out: Path) -> None:
    html = rlbench.load(out)._repr_html_()
    assert html.count("<tr") == 3
    assert "300" in html
    assert "t-interval" in html
    name = rlbench.load(out).runs.assign(env="<script>")
    shown = rlbench.load(out).of([name, *rlbench.load(out).tables()[1:]])._repr_html_()
    assert "<script>" not in shown


def test_a_suite_in_a_script_without_a_guard(tmp_path: Path) -> None:
    """Processes do not run the calling script once more."""
    (tmp_path / "s.toml").write_text(SUITE)
    script = tmp_path / "script.py"
    script.write_text(
        "import rlbench\nprint('begun')\n"
        "results = rlbench.bench('s.toml', jobs=1, quiet=True, device='cpu')\n"
        "print(sorted(results.runs['status']))\nimport __main__\nprint(__main__.__file__)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment(), capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["begun", "['done', 'done']", str(script)], done.stderr


def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    """KeyboardInterrupt, the handler as before, and the same call goes on from a checkpoint."""
    long = {**SHORT, "total_timesteps": 30_000, "seeds": 1}
    before = signal.getsignal(signal.SIGINT)

    def interrupt() -> None:
        until = time.monotonic() + 60
        while not list(tmp_path.rglob("episodes.csv")) and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt, match="the same call goes on"):
        rlbench.run("a2c", CARTPOLE, out=tmp_path, **long)
    assert signal.getsignal(signal.SIGINT) is before
    part = rlbench.load(tmp_path).runs.iloc[0]
    assert part["status"] == "stopped"
    assert 0 < part["step"] < 30_000
    results = rlbench.run("a2c", CARTPOLE, out=tmp_path, **long)
    assert list(results.runs["status"]) == ["done"]
    assert list(results.runs["step"]) == [30_000]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"env": None}, "env must be the name of an environment, not None"),
        ({"env_kwargs": [1]}, r"env_kwargs must be a dictionary, not \[1\]"),
        ({"eval_episodes": "3"}, "eval_episodes must be a whole number, got '3'"),
        ({"final_episodes": 0}, "final_episodes must be at least 1, got 0"),
        ({"eval_freq": -1}, "eval_freq must be at least 0, got -1"),
        ({"n_envs": 0}, "n_envs must be at least 1, got 0"),
        ({"wraps": "nope"}, "no wrapper 'nope'"),
        ({"preset": Path("nope.toml")}, "--preset nope.toml cannot be read"),
        ({"epochs": 1}, "both say how long"),
    ],
)
def test_wrong_values_of_run_are_one_line(wrong: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        rlbench.run("dqn", **{"env": CARTPOLE, **SHORT, "out": tmp_path / "out", **wrong})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"x": "frames"}, "x='frames': it takes None, steps"),
        ({"stat": "max"}, "stat='max': it takes mean, median, iqm"),
        ({"facet": "seed"}, "facet='seed': it takes None, env, agent"),
        ({"smooth": 0}, "smooth must be at least 1"),
        ({"smooth": "a"}, "smooth must be a whole number"),
        ({"xlim": (5, 1)}, r"xlim=\(5, 1\): give two finite numbers"),
        ({"ylim": "0,5"}, "ylim='0,5': give two finite numbers"),
    ],
)
def test_wrong_options_of_plot_are_one_line(out: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        rlbench.plot(out=out, **wrong)


def test_one_word_may_come_by_itself(tmp_path: Path) -> None:
    short = {**SHORT, "total_timesteps": 0, "seeds": 1}
    results = rlbench.run("random", CARTPOLE, tags="first", out=tmp_path / "out", **short)
    assert results.runs["tags"].iloc[0] == "first"
    file = tmp_path / "s.toml"
    file.write_text(SUITE)
    with pytest.raises(UserError, match="again='done': it takes failed, diverged, timeout"):
        rlbench.bench(file, again="done", out=tmp_path / "other")
    assert not (tmp_path / "other").exists()
