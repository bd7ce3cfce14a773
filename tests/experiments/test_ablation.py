"""Ablations: which cells there are, what each switch is worth in them, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import TINY, here
from hypothesis import given
from hypothesis import strategies as st
from report_files import write_seeds, write_suite
from scipy.stats import ttest_ind

from rlbench.errors import UserError
from rlbench.experiments import suite
from rlbench.experiments.ablation import ADDED, REMOVED, Ablation, read, split, suite_text
from rlbench.reporting.report import section_ablation as reporting
from rlbench.reporting.report import write_report

SWITCHES = ("double", "n_steps=3", "distribution=c51+v_min=0+v_max=9", "encoder=cnn+lstm")


def test_the_cells_of_three_switches() -> None:
    ablation = Ablation(agent="dqn", switches=SWITCHES[:3], parameters=("gamma=0.5",))
    atoms = {"distribution": "c51", "v_min": 0, "v_max": 9}
    assert ablation.variants() == {
        "none": {"gamma": 0.5, "double": False},
        "full": {"gamma": 0.5, "double": True, "n_steps": 3, **atoms},
        "only double": {"gamma": 0.5, "double": True},
        "only n_steps": {"gamma": 0.5, "double": False, "n_steps": 3},
        "only distribution": {"gamma": 0.5, "double": False, **atoms},
        "without double": {"gamma": 0.5, "double": False, "n_steps": 3, **atoms},
        "without n_steps": {"gamma": 0.5, "double": True, **atoms},
        "without distribution": {"gamma": 0.5, "double": True, "n_steps": 3},
    }


@given(st.lists(st.sampled_from(SWITCHES), min_size=1, unique=True))
def test_an_effect_is_one_switch(chosen: list[str]) -> None:
    """Whatever is switched: no two cells are the same, all are used, and the two sides of an effect
    differ in its switch and in nothing else."""
    ablation = Ablation(agent="dqn", switches=tuple(chosen))
    cells, effects = ablation.variants(), ablation.effects()
    said = [json.dumps(parameters, sort_keys=True) for parameters in cells.values()]
    assert len(set(said)) == len(said) == {1: 2, 2: 4}.get(len(chosen), 2 * len(chosen) + 2)
    assert {cell for effect in effects for cell in effect[2:]} == set(cells)
    for effect in effects:
        (keys,) = [read(switch) for switch in chosen if effect.switch in read(switch)]
        on, off = cells[effect.on], cells[effect.off]
        assert {key: on[key] for key in keys} == keys
        rest = {key: value for key, value in on.items() if key not in keys}
        assert rest == {key: value for key, value in off.items() if key not in keys}
        assert {key: value for key, value in off.items() if key in keys} == (
            {"double": False} if effect.switch == "double" else {}
        )


def test_switches_as_they_are_typed() -> None:
    assert split("double, net_arch=64,64,n_steps=3") == ["double", "net_arch=64,64", "n_steps=3"]
    assert read("encoder=cnn+lstm+hidden_size=8") == {"encoder": "cnn+lstm", "hidden_size": 8}


def test_the_file_says_what_was_asked_for() -> None:
    envs, parameters = ["CartPole-v1", "probes:Noise"], ["max_grad_norm=none", "n_envs=2"]
    text = suite_text("dqn", envs, SWITCHES[:2], parameters, 1000, preset=False, eval_freq=0)
    found = suite.loads(text, "x")
    assert found.ablation == Ablation(
        agent="dqn", switches=SWITCHES[:2], parameters=tuple(parameters)
    )
    assert [(env.id, env.steps) for env in found.env] == [(env, 1000) for env in envs]
    assert (found.preset, found.eval_freq) == (False, 0)
    assert [cell for _, cell, _ in found.entrants()] == list(found.ablation.variants())
    other = suite_text("dqn", envs, SWITCHES[:1], parameters, 1000, preset=False, eval_freq=0)
    assert suite.loads(other, "x").name != found.name


def write_ablation(root: Path, scores: dict[str, dict[int, float | str]]) -> Path:
    """A bench that is an ablation of `double` and `dueling`, with these seeds in its cells."""
    ablation = Ablation(agent="dqn", switches=("double", "dueling"))
    assert set(scores) == set(ablation.variants())
    cells = []
    for i, (cell, seeds) in enumerate(scores.items()):
        digest = f"{i:08x}"
        write_seeds(root, "dqn", seeds, digest=digest, variant=f"given {i}")
        cells.append({"env": "CartPole-v1", "agent": "dqn", "name": cell, "digest": digest,
                      "variant": f"given {i}", "seeds": list(seeds)})  # fmt: skip
    return write_suite(root, cells, suite={"ablation": ablation.model_dump(mode="json")})


def seeds(*scores: float | str) -> dict[int, float | str]:
    return dict(enumerate(scores))


CELLS: dict[str, dict[int, float | str]] = {
    "none": seeds(100.0, 104.0, 108.0, 112.0, 101.0),
    "full": seeds(300.0, 310.0, 295.0, 305.0, 299.0),
    "only double": seeds(99.0, 107.0, 103.0, 110.0, 104.0),
    "only dueling": seeds(200.0, 220.0, 204.0, 213.0, "diverged"),
}


def test_effects_by_hand(tmp_path: Path) -> None:
    """Differences, intervals and p-values are those of the cells named, for the final score and for
    the mean of the curve, and lost seeds are not counted as scores."""
    found, table = reporting.effects_in(write_ablation(tmp_path, CELLS))
    pairs = {
        ("double", ADDED): ("only double", "none"),
        ("double", REMOVED): ("full", "only dueling"),
        ("dueling", ADDED): ("only dueling", "none"),
        ("dueling", REMOVED): ("full", "only double"),
    }
    assert len(table) == 2 * len(pairs)
    for (switch, way), cells in pairs.items():
        on, off = ([s for s in CELLS[cell].values() if not isinstance(s, str)] for cell in cells)
        rows = table[(table["switch"] == switch) & (table["way"] == way)].set_index("measure")
        row = rows.loc[reporting.SCORE]
        low, high = ttest_ind(on, off, equal_var=False).confidence_interval()
        assert row["difference"] == pytest.approx(np.mean(on) - np.mean(off))
        assert (row["low"], row["high"]) == pytest.approx((low, high))
        assert (row["n_a"], row["n_b"]) == (len(on), len(off))
        # 10, half the score, the score at equal distances: 2.5 + score / 2
        area = rows.loc[reporting.AREA]
        assert area["difference"] == pytest.approx((np.mean(on) - np.mean(off)) / 2)
    verdicts = table.set_index(["switch", "way", "measure"])["verdict"]
    assert verdicts["double", ADDED, reporting.SCORE] == "undecided"
    assert verdicts["dueling", ADDED, reporting.SCORE] == "undecided"  # one of five seeds lost
    assert verdicts["dueling", REMOVED, reporting.SCORE] == "a"
    assert reporting.ends(found, "CartPole-v1") == "none 105.0 (n = 5), full 301.8 (n = 5)"


def test_the_report_tests_switches_and_nothing_else(tmp_path: Path) -> None:
    home = write_ablation(tmp_path, CELLS)
    page = write_report([home])[0].with_suffix(".md").read_text()
    assert "## Switches" in page
    assert page.count(" − dqn ") == 4  # of six pairs
    pairs = pd.read_csv(home / "report-tables" / "comparisons.csv")
    _, table = reporting.effects_in(home)
    finals = table[table["measure"] == reporting.SCORE].set_index(["a", "b"])["p_holm"]
    assert pairs.set_index(["a", "b"])["p_holm"].to_dict() == pytest.approx(finals.to_dict())


def test_no_spread_and_no_score(tmp_path: Path) -> None:
    """Where seeds are equal there is a difference without an interval; without scores a "–"."""
    flat: dict[str, Any] = {**CELLS, "none": seeds(9.0, 9.0), "only double": seeds(9.5, 9.5)}
    flat["full"] = seeds("failed", "failed")
    found, table = reporting.effects_in(write_ablation(tmp_path, flat))
    rows = table[table["measure"] == reporting.SCORE].set_index(["switch", "way"])
    assert rows.loc[("double", ADDED), "difference"] == 0.5
    assert np.isnan(rows["low"]["double", ADDED])
    assert np.isnan(rows["difference"]["double", REMOVED])
    block = reporting.effect_table(found, table)
    assert [row[2].text for row in block.rows[1:]] == ["+0.500", "–", "+200.2", "–"]
    assert [path.name for path in reporting.save((found, table), tmp_path)] == [
        "effects.csv", "effects.png", "effects.svg",
    ]  # fmt: skip


def test_ablate_computes_cells_once_and_draws_effects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It computes all cells, says and draws effects, and does nothing twice."""
    args = ["ablate", "dqn", "--env", "probes:Noise", "--switch", "double,dueling", "-n", "100",
            "--seeds", "2", "--eval-freq", "50", "--out", tmp_path, *TINY[:-2]]  # fmt: skip
    assert here(*args) == 0
    said = capsys.readouterr().out
    assert said.count("kept in full") == said.count("added to none") == 2
    (home,) = (tmp_path / "benches").iterdir()
    made = {"report.html", "effects.csv", "effects.png", "effects.svg"}
    assert made < {path.name for path in home.iterdir()}
    parts = {path: path.read_bytes() for path in tmp_path.glob("*/dqn-*/seeds-*/part.json")}
    assert len(parts) == 4
    assert here(*args, "--no-report") == 0
    assert {path: path.read_bytes() for path in parts} == parts


def test_an_environment_that_cannot_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("ablate", "dqn", "--env", "CartPol", "--switch", "double", "--out", tmp_path) == 1
    error = capsys.readouterr().err
    assert "Did you mean 'CartPole-v1'" in error
    assert "Error:" not in error


def test_a_damaged_ablation_is_told(tmp_path: Path) -> None:
    home = write_ablation(tmp_path, CELLS)
    file = home / "suite.json"
    file.write_text(file.read_text().replace('"switches"', '"swiches"'))
    with pytest.raises(UserError, match=r"suite\.json is corrupt"):
        write_report([home])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["--switch", "loss=huber"],
            "--switch loss changes nothing: dqn on CartPole-v1 has this value already",
        ),
        (["--switch", "double,double"], "double is switched twice"),
        (["--switch", "duble"], "Did you mean 'double'?"),
        (["--switch", "noisy=2"], "noisy=2"),
        (["--switch", "double", "--seeds", "x"], "seeds 'x'"),
        (["--switch", "double", "-p", "gamma"], "not of the form key=value"),
    ],
)
def test_mistakes_are_one_line(
    given: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["ablate", "dqn", "--env", "CartPole-v1", "--no-preset", "--out", tmp_path / "out"]
    assert here(*args, *given) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
