"""The sentence that a report begins with: decided things first, in words that need no table."""

from __future__ import annotations

from pathlib import Path

from image_runs import write_data_run
from report_files import write_seeds

from rlbench.reporting.report.headline import headline
from rlbench.reporting.report.inputs import scope
from rlbench.reporting.report.report_data import collect


def said(root: Path) -> str:
    return headline(collect(scope([root])))


def test_what_is_decided_comes_first(tmp_path: Path) -> None:
    for agent, base in (("dqn", 100.0), ("ppo", 200.0)):
        write_seeds(tmp_path, agent, {s: base + s for s in range(10)})
        write_seeds(tmp_path, agent, {s: base * 0 + s for s in range(10)}, env="Acrobot-v1")
    assert said(tmp_path) == (
        "ppo is better than dqn on CartPole-v1 by 100.0 (95 % 97.2 to 102.8); "
        "on Acrobot-v1 ten seeds cannot tell."
    )


def test_what_is_left_open_beside_what_is_decided(tmp_path: Path) -> None:
    for agent, base in (("dqn", 100.0), ("ppo", 200.0), ("sac", 200.5)):
        write_seeds(tmp_path, agent, {s: base + s for s in range(10)})
    text = said(tmp_path)
    assert text.count(" is better than dqn on CartPole-v1 by ") == 2
    assert text.endswith("; in 1 other comparison ten seeds cannot tell.")


def test_only_some_of_many_differences_are_said(tmp_path: Path) -> None:
    for i in range(5):
        write_seeds(tmp_path, f"agent{i}", {s: 100.0 * i + s for s in range(10)})
        write_seeds(tmp_path, f"agent{i}", dict.fromkeys(range(10), 7.0), env="Flat-v0")
    text = said(tmp_path)
    assert text.count(" is better than ") <= 3
    assert "7 more differences are decided" in text
    assert text.endswith("; on Flat-v0 all that are compared score the same.")


def test_what_seeds_cannot_tell(tmp_path: Path) -> None:
    for agent in ("dqn", "ppo"):
        write_seeds(tmp_path / "ten", agent, {s: float(s) for s in range(10)})
        write_seeds(tmp_path / "two", agent, {0: 1.0, 1: 2.0})
        for env in ("A-v0", "B-v0"):
            write_seeds(tmp_path / "more", agent, {s: float(s) for s in range(8)}, env=env)
            write_seeds(tmp_path / "more", f"sb3-{agent}", {s: 1.0 * s for s in range(9)}, env=env)
    assert said(tmp_path / "ten") == "Ten seeds cannot tell dqn and ppo apart on CartPole-v1."
    assert (
        said(tmp_path / "two") == "Two seeds are too few to tell dqn and ppo apart on CartPole-v1."
    )
    assert (
        said(tmp_path / "more") == "The seeds cannot decide any of 4 comparisons on A-v0 and B-v0."
    )


def test_nothing_to_compare(tmp_path: Path) -> None:
    write_seeds(tmp_path / "one", "dqn", {0: 1.0, 1: 2.0, 2: 3.0})
    write_seeds(tmp_path / "lost", "dqn", {0: "failed"})
    write_seeds(tmp_path / "lost", "ppo", {0: "failed"})
    assert said(tmp_path / "one") == (
        "dqn scores 2.00 (95 % 0.0 to 4.48) on CartPole-v1; there is nothing to compare."
    )
    assert said(tmp_path / "lost") == "There is no score yet of dqn and ppo."


def test_accuracies_differ_in_points(tmp_path: Path) -> None:
    for agent, base in (("dqn", 0.9), ("ppo", 0.8)):
        write_data_run(tmp_path, agent, test={s: base + 0.001 * s for s in range(8)}, items=500)
    assert " by 10.0 points (95 % 9.7" in said(tmp_path).replace("9.74", "9.7")
