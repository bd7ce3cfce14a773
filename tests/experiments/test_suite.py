"""Suite files: what they mean, every mistake in one line, and the cells that come of them."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import here

import rlbench
from rlbench import registry
from rlbench.commands import train
from rlbench.experiments import suite
from rlbench.experiments.planning import plan
from rlbench.experiments.run import Run
from rlbench.experiments.suite import Suite
from rlbench.experiments.suite_cells import SuiteCell, cells, manifest, shard

GOOD = """
name = "good"
seeds = 3
agents = ["dqn", "random"]
[variant.wide]
agents = ["dqn", "ppo"]
net_arch = [16, 8]
n_envs = 3
[[env]]
id = "CartPole-v1"
steps = 1e3
wraps = ["mask-velocity"]
[[env]]
id = "rlbench/Classify-Digits-v0"
epochs = 2
timeout = 60
"""
HEAD = 'name = "x"\nagents = ["dqn"]\n'
ENV = '[[env]]\nid = "CartPole-v1"\n'
MISTAKES: dict[str, tuple[str, str]] = {
    "no TOML": ("name = ", "cannot be read"),
    "key": ('nam = "x"\n' + ENV, "Did you mean 'name'?"),
    "key of an environment": (HEAD + ENV + "stpes = 5", "number 1 has no key 'stpes'. Did you"),
    "table": (HEAD + '[[envs]]\nid = "x"', "no key 'envs'. Did you mean 'env'?"),
    "missing": ('agents = ["dqn"]\n' + ENV, "lacks name"),
    "no id": (HEAD + "[[env]]\nsteps = 5", "number 1 lacks id"),
    "no environment": (HEAD, "lacks env"),
    "no agent": ('name = "x"\n' + ENV, "names no agents"),
    "agent": ('name = "x"\nagents = ["dqm"]\n' + ENV, "Did you mean 'dqn'?"),
    "agent of a variant": (HEAD + '[variant.a]\nagents = ["pp"]\n' + ENV, "Did you mean 'ppo'?"),
    "variant without agents": (HEAD + "[variant.a]\ngamma = 0.9\n" + ENV, "[variant.a] lacks"),
    "wrapper": (HEAD + ENV + 'wraps = ["mask-velocty"]', "Did you mean 'mask-velocity'?"),
    "parameter": (HEAD + '[variant.a]\nagents = ["dqn"]\ngama = 0.9\n' + ENV,
                  "Did you mean 'gamma'?"),
    "value": (HEAD + '[variant.a]\nagents = ["dqn"]\ngamma = 2\n' + ENV, "gamma=2"),
    "type": (HEAD + ENV + 'steps = "many"', "steps"),
    "no steps": (HEAD + ENV + "steps = -1", "steps"),
    "steps and epochs": (HEAD + ENV + "steps = 5\nepochs = 1", "one of the two"),
    "seeds": (HEAD + 'seeds = "a-b"\n' + ENV, "seeds 'a-b'"),
    "agent of an environment": (HEAD + ENV + 'agents = ["ppo"]', "no agent of this suite 'ppo'"),
    "twice": (HEAD + ENV + ENV, "[[env]] CartPole-v1 twice"),
    "agent twice": ('name = "x"\nagents = ["dqn", "dqn"]\n' + ENV, "agent dqn twice"),
    "name": ('name = "../x"\nagents = ["dqn"]\n' + ENV, "name"),
    "timeout": (HEAD + "timeout = 0\n" + ENV, "timeout"),
    "preset of a variant": (HEAD + '[variant.a]\nagents = ["dqn"]\npreset = "stedy"\n' + ENV,
                            "dqn has no preset of this name on CartPole-v1"),
    "key beside suites": ('name = "x"\nseeds = 3\nsuites = ["smoke"]', "has no seeds"),
    "no such suite in a list": ('name = "x"\nsuites = ["smok"]', "Did you mean 'smoke'?"),
    "one suite twice in a list": ('name = "x"\nsuites = ["smoke", "smoke"]', "the name 'smoke'"),
    "list in a list": (
        'name = "x"\nsuites = ["mine.toml"]', "mine.toml is a list of suites itself"),
}  # fmt: skip
OPTIONS: dict[str, tuple[list[str], str]] = {
    "suite": (["clasic"], "Did you mean 'classic'?"),
    "shard": (["smoke", "--shard", "3/2"], "for example 2/3"),
    "seeds": (["smoke", "--seeds", "0"], "seeds '0'"),
    "again": (["smoke", "--again", "done"], "failed"),
    "device": (["smoke", "--device", "tpu"], "tpu"),
}


def of(text: str, folder: Path) -> Suite:
    file = folder / "suite.toml"
    file.write_text(text)
    return suite.load(str(file))


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_a_suite_is_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, exit code 2, and nothing has been written."""
    text, hint = MISTAKES[case]
    file = tmp_path / "mine.toml"
    file.write_text(text)
    monkeypatch.chdir(tmp_path)
    assert here("bench", "mine.toml", "--quiet") == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("Error:")
    assert hint in line
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("case", OPTIONS)
def test_a_mistaken_option_of_bench_is_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    args, hint = OPTIONS[case]
    monkeypatch.chdir(tmp_path)
    assert here("bench", *args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error:")
    assert hint in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("", range(5)), ("seeds = 2", range(2)), ('seeds = "3-5,9"', (3, 4, 5, 9)),
     ("seeds = [7]", (7,)), ("seeds = [3, 1]", (3, 1))],
)  # fmt: skip
def test_seeds_are_counts_ranges_or_lists(text: str, seeds: Sequence[int], tmp_path: Path) -> None:
    assert of(HEAD + text + "\n" + ENV, tmp_path).seeds == tuple(seeds)


def test_cells_are_entrants_times_environments(tmp_path: Path) -> None:
    """Every entrant in every environment; one budget for all that learn; random needs none."""
    made = cells(of(GOOD, tmp_path), range(3), "cpu", tmp_path)
    assert [(c.env, c.entrant, c.timeout) for c in made] == [
        (env, entrant, timeout)
        for env, timeout in (("CartPole-v1+mask-velocity", None),
                             ("rlbench/Classify-Digits-v0", 60.0))
        for entrant in ("dqn", "random", "dqn wide", "ppo wide")
    ]  # fmt: skip
    steps = [c.run.total_timesteps for c in made if c.run]
    assert steps == [1000, 0, 1000, 1000, 2158, 0, 2158, 2158]
    assert [c.run.n_envs for c in made[2:4] if c.run] == [3, 3]
    assert made[2].run is not None
    assert made[2].run.config.model_dump()["net_arch"] == (16, 8)
    assert not any(c.error for c in made)


def test_an_environment_may_name_its_agents(tmp_path: Path) -> None:
    made = cells(of(GOOD + 'agents = ["ppo", "random"]', tmp_path), (0,), "cpu", tmp_path)
    assert [cell.entrant for cell in made[4:]] == ["random", "ppo wide"]


def test_commands_compute_the_same_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the manifest says to type is the same run, digest and seeds."""
    runs: list[Run] = []

    def note(run: Run, *_: Any) -> int:
        runs.append(run)
        return 0

    monkeypatch.setattr(train, "train", note)
    text = GOOD.replace("seeds = 3", "preset = false\neval_freq = 77")
    text += '[[env]]\nid = "CartPole-v1"\nkwargs = { sutton_barto_reward = true }\n'
    for seeds in ((4,), (0, 1, 2, 9)):
        made = cells(of(text, tmp_path), seeds, "auto", tmp_path)
        runs.clear()
        for cell in made:
            assert here(*shlex.split(cell.command)[1:]) == 0
        assert [r.folder(tmp_path).path for r in runs] == [c.path for c in made]
        assert {r.seeds for r in runs} == {seeds}
        assert [r.variant for r in runs] == [c.run.variant for c in made if c.run]


def test_manifest_names_every_cell(tmp_path: Path) -> None:
    """JSON that names every cell, also one that cannot be."""
    read = of(GOOD.replace("CartPole-v1", "CartPol-v1"), tmp_path)
    made = cells(read, range(3), "cpu", tmp_path)
    told = json.loads(json.dumps(manifest(read, made, tmp_path, "typed")))
    assert [bool(cell["error"]) for cell in told["cells"]] == [True] * 4 + [False] * 4
    assert "Did you mean 'CartPole-v1'?" in told["cells"][0]["error"]
    assert told["cells"][4] == {
        "env": "rlbench/Classify-Digits-v0", "env_kwargs": {}, "agent": "dqn", "variant": "",
        "name": "",
        "digest": told["cells"][4]["folder"][-8:],
        "folder": f"rlbench_Classify-Digits-v0/dqn-{told['cells'][4]['digest']}",
        "seeds": [0, 1, 2], "timeout": 60.0, "error": "",
    }  # fmt: skip
    assert told["cells"][6]["name"] == "wide"
    assert told["cells"][6]["variant"] == "net_arch=16,8 n_envs=3"
    assert told["suite"]["variant"]["wide"]["net_arch"] == [16, 8]
    assert len(told["commands"]) == 8


@pytest.mark.parametrize("of_all", [1, 2, 3, 8, 11])
def test_shards_are_the_whole(of_all: int, tmp_path: Path) -> None:
    """Each cell is in one share, and shares differ by one cell at most."""
    made = cells(of(GOOD, tmp_path), range(3), "cpu", tmp_path)
    shares = [shard(made, number + 1, of_all) for number in range(of_all)]
    names = [cell.title for share in shares for cell in share]
    assert sorted(names) == sorted(cell.title for cell in made)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert shares == [shard(made, number + 1, of_all) for number in range(of_all)]


@pytest.mark.parametrize("name", suite.names())
def test_suites_that_come_along(name: str) -> None:
    """They are well-formed, called like their file, and name known agents (peers may be extra)."""
    tables = tomllib.loads(suite.read_text(name))
    assert tables["name"] == name
    assert suite.builtin()[name].description
    if listed := tables.get("suites"):
        assert [each.suite.name for each in suite.load_all(name)] == listed
        return
    agents = {*tables.get("agents", []), *(a for v in tables.get("variant", {}).values()
                                           for a in v["agents"])}  # fmt: skip
    assert all(a in registry.agents() or a.startswith("sb3-") for a in agents)
    if agents <= set(registry.agents()):
        absent = ("rlbench data get", "pip install")  # images and extras may be absent
        assert all(not cell.error or any(way in cell.error for way in absent)
                   for cell in _cells(name))  # fmt: skip


def test_preset_of_a_variant(tmp_path: Path) -> None:
    """It has the settings that `--preset` gives, and its command says so."""
    text = 'name = "x"\nagents = ["dqn"]\n[variant.a]\nagents = ["dqn"]\npreset = "steady"\n' + ENV
    usual, steady = cells(of(text, tmp_path), (0,), "cpu", tmp_path)
    assert steady.run
    assert usual.run
    assert steady.run.config == plan("dqn", "CartPole-v1", (0,), preset="steady").config
    assert steady.run.config != usual.run.config
    assert "--preset steady" in steady.command
    assert "preset" not in usual.command


def test_a_list_runs_each_of_its_suites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a manifest of its own; the exit code is that of the worst."""
    monkeypatch.chdir(tmp_path)
    for name, env in {"one": "CartPole-v1", "two": "CartPol-v1", "three": "Acrobot-v1"}.items():
        head = f'name = "{name}"\nagents = ["random"]\nseeds = 1\nfinal_episodes = 1\n'
        (tmp_path / f"{name}.toml").write_text(f'{head}[[env]]\nid = "{env}"\n')
    Path("all.toml").write_text('name = "all"\nsuites = ["one.toml", "two.toml", "three.toml"]\n')
    assert here("report", "all.toml") == 2
    assert "start it with `rlbench bench all.toml`" in capsys.readouterr().err
    assert here("bench", "all.toml", "--no-report", "--quiet") == 1
    assert "Did you mean 'CartPole-v1'?" in capsys.readouterr().err
    homes = sorted(path.name for path in Path("results/benches").iterdir())
    assert homes == ["one", "three", "two"]
    assert len(list(Path("results").glob("*/random-*/seeds-0/evaluations.csv"))) == 2
    assert here("report", "all.toml") == 2
    assert "name one, such as `rlbench report results/benches/one`" in capsys.readouterr().err
    assert here("report", "results/benches/one") == 0
    capsys.readouterr()
    assert here("report", "one.toml") == 0
    assert "results/benches/one/report.html" in capsys.readouterr().out
    Path("one.toml").write_text(Path("one.toml").read_text().replace("random", "randon"))
    assert here("report", "one.toml") == 2
    assert "Did you mean 'random'?" in capsys.readouterr().err
    Path("one.toml").write_text(Path("one.toml").read_text().replace("randon", "random"))
    results = rlbench.bench("all.toml", quiet=True, seeds=1)
    assert set(results.runs["env"]) == {"CartPole-v1", "CartPol-v1", "Acrobot-v1"}


def test_mistakes_in_a_list_are_found_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths are relative to the list; the message names the suite."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "suites"
    folder.mkdir()
    (folder / "one.toml").write_text('name = "one"\nagents = ["random"]\nseeds = 1\n' + ENV)
    text = 'name = "two"\n[variant.a]\nagents = ["dqn"]\ngama = 1\n' + ENV
    (folder / "two.toml").write_text(text)
    (folder / "all.toml").write_text('name = "all"\nsuites = ["one.toml", "two.toml"]\n')
    assert here("bench", "suites/all.toml", "--quiet") == 2
    said = capsys.readouterr().err
    assert "two.toml: " in said
    assert "Did you mean 'gamma'?" in said
    assert list(tmp_path.iterdir()) == [folder]
    (folder / "two.toml").unlink()
    assert here("bench", "suites/all.toml", "--quiet") == 2
    assert "all.toml: no suite 'suites/two.toml'" in capsys.readouterr().err


def _cells(name: str) -> list[SuiteCell]:
    read = suite.load(name)
    return cells(read, read.seeds, "cpu", Path("nowhere"))


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert here("list", "suites") == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == suite.names()
    (line,) = [line for line in listed if line.startswith("reference")]
    assert line.split("\t")[1:4] == ["", "", ""]
    assert here("show", "smoke") == 0
    assert capsys.readouterr().out == suite.read_text("smoke")


def test_dry_run_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells with time, where that is from, and memory; 1 where a cell cannot be."""
    text = (
        GOOD.replace("CartPole-v1", "CartPol-v1").replace('"dqn", ', "").replace('"ppo"', '"dqn"')
    )
    file = tmp_path / "suite.toml"
    file.write_text(text)
    monkeypatch.chdir(tmp_path)
    assert here("bench", file, "--dry-run", "--jobs", "2") == 1
    assert list(tmp_path.iterdir()) == [file]
    said = capsys.readouterr()
    lines = [line.split() for line in said.out.splitlines()]
    assert "see above" in said.out
    assert "Did you mean 'CartPole-v1'?" in said.err
    (row,) = [line for line in lines if line[:3] == ["rlbench/Classify-Digits-v0", "dqn", "wide"]]
    assert row[3:7] == ["2,158", "3", "3", "about"]
    assert row[-2:][1] in ("kB", "MB")
    assert "4 cells, with --jobs 2 about" in said.out
