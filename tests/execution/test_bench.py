"""Benchmarks as real processes: what breaks, hangs or is killed takes nothing else with it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import hazards
import psutil
import pytest
from commands import environment, here, table, tables, wait_for

from rlbench.common.number_format import number_text
from rlbench.experiments import suite_cells
from rlbench.learning.rng import lane_seed
from rlbench.reporting.statistics.intervals import mean_interval
from rlbench.reporting.tables.load import load

HASTY = """
import sys
import rlbench.execution.process_pool
rlbench.execution.process_pool.GRACE = 1.0
from rlbench.cli.main import main
main(sys.argv[1:], prog_name="rlbench")
"""
HEAD = 'name = "trial"\nseeds = 2\npreset = false\neval_episodes = 1\n'


def suite(folder: Path, agents: str, *envs: str, more: str = "") -> Path:
    file = folder / "trial.toml"
    tables_of = "".join(f"[[env]]\n{env}\n" for env in envs)
    file.write_text(f"{HEAD}agents = {agents}\n{more}\n{tables_of}")
    return file


def start(*args: object, cwd: Path, path: Path | None = None) -> subprocess.Popen[bytes]:
    """`rlbench ARGS` in the background, which kills without much grace."""
    env = environment()
    if path:
        env["PYTHONPATH"] += f"{os.pathsep}{path}"
    with (cwd / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", HASTY, *map(str, args)], cwd=cwd, env=env, stdout=log, stderr=log
        )


def parts(out: Path, agent: str = "*") -> dict[str, dict[str, Any]]:
    """What part.json says, by environment and folder of the part."""
    files = out.glob(f"*/{agent}-*/seeds-*/part.json")
    return {f"{f.parts[-4]}/{f.parts[-2]}": json.loads(f.read_text()) for f in files}


def test_every_way_to_go_wrong(tmp_path: Path) -> None:
    """A crash, a divergence, a hang and a missing environment: each is what it is, the others are
    done, and nothing is tried again unless one says so."""
    flag, out = tmp_path / "flag", tmp_path / "out"
    flag.touch()
    poison = f'kwargs = {{ victims = [{lane_seed(1, 0)}], how = "nan-reward" }}'
    file = suite(
        tmp_path, '["dqn"]',
        f'id = "probes:Poison"\n{poison}\nsteps = 100',
        f'id = "hazards:Hang"\nkwargs = {{ file = "{flag}" }}\nsteps = 100\ntimeout = 15',
        'id = "no_such_module:Env"\nsteps = 100',
        'id = "probes:Noise"\nsteps = 100',
    )  # fmt: skip
    child = start("bench", file, "--no-report", "--jobs", "2", "--out", out, cwd=tmp_path)
    assert child.wait(120) == 1
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert log.count("Warning: dqn on no_such_module:Env") == 1
    states = {name: set(part["status"].values()) for name, part in parts(out).items()}
    assert states == {"probes_Poison/seeds-0-1": {"done", "diverged"},
                      "hazards_Hang/seeds-0-1": {"timeout"},
                      "probes_Noise/seeds-0-1": {"done"}}  # fmt: skip
    assert parts(out)["hazards_Hang/seeds-0-1"]["reason"]["1"] == "took longer than its 15 s"
    assert not list(out.glob("no_such*"))
    for text in ("1/2, 1 diverged", "0/2, 2 timeout", "0/2, 2 failed", "2/2"):
        assert text in log
    runs = load(out).runs
    assert sorted(runs["status"]) == ["diverged", "done", "done", "done", "timeout", "timeout"]

    before = {p: p.stat().st_mtime_ns for p in out.rglob("part.json")}
    assert here("bench", file, "--no-report", "--out", out, "--quiet") == 1
    assert {p: p.stat().st_mtime_ns for p in out.rglob("part.json")} == before
    flag.unlink()
    assert here("bench", file, "--no-report", "--out", out, "--quiet", "--again", "timeout") == 1
    again = parts(out)
    assert set(again["hazards_Hang/seeds-0-1"]["status"].values()) == {"done"}
    assert again["probes_Poison/seeds-0-1"]["status"]["1"] == "diverged"


def test_a_constructor_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its cells fail, after one wait for all of them; the others go on."""
    monkeypatch.setattr(suite_cells, "PATIENCE", 1.0)
    flag, out = tmp_path / "flag", tmp_path / "out"
    flag.touch()
    file = suite(
        tmp_path, '["random", "dqn", "ppo"]',
        f'id = "hazards:Stuck"\nkwargs = {{ file = "{flag}" }}\nsteps = 50',
        'id = "probes:Noise"\nagents = ["random"]\nsteps = 50',
    )  # fmt: skip
    before = threading.active_count()
    assert here("bench", file, "--no-report", "--dry-run", "--out", out) == 1
    assert threading.active_count() == before + 1
    said = f"random, dqn, ppo on hazards:Stuck file={flag}: its constructor did not return within"
    assert said in capsys.readouterr().err
    assert here("bench", file, "--no-report", "--out", out) == 1
    assert said in capsys.readouterr().err
    assert set(parts(out)) == {"probes_Noise/seeds-0-1"}
    flag.unlink()
    assert (
        here("bench", file, "--no-report", "--out", out, "--quiet") == 0
    )  # negative control: it is made now


def test_agents_that_break_their_process(tmp_path: Path) -> None:
    """An exception, a segmentation fault, an exit: failed with the reason and a log, each alone."""
    path, out = hazards.install(tmp_path / "installed"), tmp_path / "out"
    more = "".join(f'[variant.{how}]\nagents = ["hazard"]\nhow = "{how}"\n'
                   for how in ("raise", "crash", "exit"))  # fmt: skip
    file = suite(tmp_path, "[]", 'id = "probes:Noise"\nsteps = 100', more=more)
    child = start(
        "bench", file, "--no-report", "--seeds", "2-2", "--out", out, cwd=tmp_path, path=path
    )
    assert child.wait(120) == 1
    reasons = {}
    for run in out.glob("*/hazard-*"):
        record = json.loads((run / "seeds-2" / "part.json").read_text())
        assert record["status"] == {"2": "failed"}
        how = json.loads((run / "run.json").read_text())["config"]["how"]
        reasons[how] = record["reason"]["2"]
        assert "last words" in (run / "seeds-2" / "output.log").read_text()
        traced = {"raise": "error.log", "crash": "output.log"}.get(how)
        assert traced is None or "hazards.py" in (run / "seeds-2" / traced).read_text()
    assert "ZeroDivisionError: out of coffee" in reasons["raise"]
    assert "SIGSEGV" in reasons["crash"]
    assert "exit code 3" in reasons["exit"]


SLOW = 'id = "hazards:Slow"\nsteps = 1000'


def bench_and_kill(tmp_path: Path, whole: bool) -> tuple[int, Path, Path]:
    """Kill -9 a bench of two cells, or the worker of its second; code, suite and results."""
    out = tmp_path / "out"
    file = suite(tmp_path, '["dqn"]', 'id = "probes:Noise"\nsteps = 60', SLOW)
    child = start("bench", file, "--no-report", "--out", out, "--jobs", "2", cwd=tmp_path)
    log = out / "hazards_Slow"

    def ready() -> bool:
        done = parts(out).get("probes_Noise/seeds-0-1", {}).get("status", {})
        return set(done.values()) == {"done"} and any(log.glob("*/seeds-*/episodes.csv"))

    wait_for(ready, child, 120)
    workers = [p for p in psutil.Process(child.pid).children() if "spawn_main" in p.cmdline()[-2]]
    (child if whole else workers[0]).kill()  # the longest is the first
    code = child.wait(60)
    psutil.wait_procs(workers, timeout=60)
    assert set(parts(out)["hazards_Slow/seeds-0-1"]["status"].values()) == {"running"}
    return code, file, out


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
def test_killed_and_gone_on(tmp_path: Path, whole: bool) -> None:
    """Kill -9 of everything, or of one worker: what was finished stays, and the same command ends
    with the rows of a run that nobody disturbed."""
    code, file, out = bench_and_kill(tmp_path, whole)
    assert code == (-signal.SIGKILL if whole else 1)
    assert whole or "killed (SIGKILL); it can go on" in (tmp_path / "log").read_text()
    (kept,) = out.glob("probes_Noise/*/seeds-0-1/part.json")
    before = kept.stat().st_mtime_ns
    assert here("bench", file, "--no-report", "--out", out, "--quiet") == 0
    assert kept.stat().st_mtime_ns == before
    if whole:
        (command,) = [c for c in manifest(out)["commands"] if "Slow" in c]
        assert here(*command.split()[1:], "--quiet", "--out", tmp_path / "plain") == 0
        (mine,), (its,) = (o.glob("hazards_Slow/dqn-*") for o in (out, tmp_path / "plain"))
        assert mine.name == its.name
        assert tables(mine) == tables(its)


def manifest(out: Path) -> dict[str, Any]:
    return json.loads((out / "benches" / "trial" / "suite.json").read_text())


@pytest.mark.slow
def test_two_at_once(tmp_path: Path) -> None:
    """Two benchmarks of one suite share the work: both end well, and no seed is there twice."""
    out = tmp_path / "out"
    file = suite(tmp_path, '["dqn", "random"]', 'id = "probes:Noise"\nsteps = 300', SLOW)
    args = ["bench", file, "--no-report", "--out", out, "--seeds", "4"]
    children = [start(*args, "--jobs", n, cwd=tmp_path)
                for n in (1, 2)]  # fmt: skip
    assert [child.wait(200) for child in children] == [0, 0]
    runs = load(out).runs
    assert len(runs) == 16
    assert set(runs["status"]) == {"done"}


@pytest.mark.slow
def test_no_time_left_for_one_that_hangs(tmp_path: Path) -> None:
    """`--max-seconds` ends also what gives no sign of life; so does SIGTERM."""
    (tmp_path / "flag").touch()
    env = f'id = "hazards:Hang"\nkwargs = {{ file = "{tmp_path / "flag"}" }}\nsteps = 100'
    file, out = suite(tmp_path, '["dqn"]', env), tmp_path / "out"
    begun = time.monotonic()
    child = start("bench", file, "--no-report", "--out", out, "--max-seconds", "25", cwd=tmp_path)
    assert child.wait(90) == 124
    assert 25 <= time.monotonic() - begun < 70
    child = start("bench", file, "--no-report", "--out", out, cwd=tmp_path)
    (episodes,) = out.glob("*/*/seeds-0-1/metrics.csv")
    before = episodes.stat().st_mtime_ns
    wait_for(lambda: episodes.stat().st_mtime_ns > before, child, 60)
    child.terminate()
    assert child.wait(60) == 143
    assert set(parts(out)["hazards_Hang/seeds-0-1"]["status"].values()) == {"running"}
    assert "the same command goes on" in (tmp_path / "log").read_text()


def test_again_leaves_the_others(tmp_path: Path) -> None:
    """A seed that diverged is computed anew without those that trained beside it."""
    poison = f'id = "probes:Poison"\nkwargs = {{ victims = [{lane_seed(1, 0)}] }}\nsteps = 100'
    file, out = suite(tmp_path, '["dqn"]', poison), tmp_path / "out"
    assert here("bench", file, "--no-report", "--out", out, "--quiet") == 1
    (run,) = out.glob("probes_Poison/dqn-*")
    rows = [row for row in table(run, "evaluations") if row["seed"] == "0"]
    assert here("bench", file, "--no-report", "--out", out, "--quiet", "--again", "failed") == 1
    found = {name: part["status"] for name, part in parts(out, "dqn").items()}
    assert found == {
        "probes_Poison/seeds-0-1": {"0": "done"},
        "probes_Poison/seeds-1": {"1": "failed"},
    }
    assert [row for row in table(run, "evaluations") if row["seed"] == "0"] == rows
    assert len(load(out).runs) == 2


def test_a_bench_ends_with_its_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Means and intervals as the rows say, "-" where there is none, and a command that works."""
    poison = f"victims = {[lane_seed(seed, 0) for seed in (0, 1)]}"
    file = suite(tmp_path, '["random", "dqn"]', 'id = "probes:Noise"\nsteps = 60',
                 f'id = "probes:Poison"\nkwargs = {{ {poison} }}\nsteps = 100')  # fmt: skip
    out = tmp_path / "out"
    assert here("bench", file, "--out", out) == 1
    said = capsys.readouterr().out
    (run,) = out.glob("probes_Noise/dqn-*")
    rows = [row for row in table(run, "evaluations") if row["phase"] == "final"]
    seeds = [[float(row["return"]) for row in rows if row["seed"] == seed] for seed in "01"]
    means = [sum(returns) / len(returns) for returns in seeds]
    low, high = mean_interval(means) or (0.0, 0.0)
    span = f"{number_text(low)} to {number_text(high)}"
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert f"dqn {number_text(sum(means) / 2)} {span} 2" in lines
    assert "dqn - 0 of 2" in lines
    page = out / "benches" / "trial" / "report.html"
    assert f" report  {page}" in said
    page.unlink()
    assert here("bench", file, "--no-report", "--out", out) == 1
    command = re.findall(r"report +rlbench (.*)", capsys.readouterr().out)[0].split()
    assert not page.exists()
    assert here(*command) == 0
    assert page.is_file()
    capsys.readouterr()
    assert here("bench", file, "--no-report", "--out", out, "--quiet") == 1
    assert not capsys.readouterr().out


@pytest.mark.slow
def test_shards_copied_together_are_the_whole(tmp_path: Path) -> None:
    """Two machines with a share each; then there is nothing left to do."""
    file = suite(tmp_path, '["dqn", "random"]', 'id = "probes:Noise"\nsteps = 60',
                 'id = "probes:Chosen"\nsteps = 60')  # fmt: skip
    for share in (1, 2):
        out = tmp_path / str(share)
        assert (
            here("bench", file, "--no-report", "--shard", f"{share}/2", "--out", out, "--quiet")
            == 0
        )
        assert len(list(out.rglob("part.json"))) == 2
        assert len(manifest(out)["cells"]) == 4
        shutil.copytree(out, tmp_path / "all", dirs_exist_ok=True)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "all").rglob("part.json")}
    assert len(before) == 4
    assert here("bench", file, "--no-report", "--out", tmp_path / "all", "--quiet") == 0
    assert {p: p.stat().st_mtime_ns for p in before} == before


@pytest.mark.slow
def test_films_and_vector_environments_of_a_suite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `rlbench run` has them: films change no row, vector environments are another run."""
    more = '[variant.small]\nagents = ["dqn"]\nlearning_starts = 50\nnet_arch = [16]\n'
    more += "buffer_size = 300\nbatch_size = 16\n"
    file = suite(tmp_path, '["random"]', 'id = "CartPole-v1"\nsteps = 300',
                 'id = "probes:Noise"\nsteps = 100', more=more)  # fmt: skip
    text = file.read_text().replace("seeds = 2", "seeds = 1\nfinal_episodes = 2")
    file.write_text(text)
    bench = ["bench", file, "--no-report", "--jobs", 1, "-q"]
    assert here(*bench, "--out", tmp_path / "plain") == 0
    capsys.readouterr()
    assert here(*bench, "--video-every", 200, "--out", tmp_path / "filmed") == 0
    assert "Warning: dqn small on probes:Noise is not filmed" in capsys.readouterr().err
    for folder in (tmp_path / "plain").glob("*/dqn-*"):
        there = tmp_path / "filmed" / folder.relative_to(tmp_path / "plain")
        assert tables(there) == tables(folder)
        films = sorted(file.stem for file in there.glob("videos/*"))
        steps = (0, 210) if "CartPole" in str(folder) else ()
        assert films == [f"seeds-0-step-{step:09d}" for step in steps]
    ray = ["--executor", "ray", "--address", "127.0.0.1:1", "--video-every", 200]
    assert here(*bench, *ray, "--out", tmp_path / "ray") == 2
    assert "films stay on the nodes" in capsys.readouterr().err

    out = tmp_path / "vector"
    file.write_text(text.partition('[[env]]\nid = "probes')[0])
    assert here(*bench, "--env-vector", "--out", out) == 0
    (run,) = out.glob("*/dqn-*/run.json")
    assert json.loads(run.read_text())["identity"]["env_vector"] == "registered"
    assert run.parent.name not in {each.name for each in (tmp_path / "plain").glob("*/dqn-*")}
    assert {each.parent.name for each in out.glob("*/random-*/run.json")} == {
        each.name for each in (tmp_path / "plain").glob("CartPole-v1/random-*")
    }
    before = run.stat().st_mtime_ns, parts(out, "dqn")
    command = json.loads((out / "benches" / "trial" / "suite.json").read_text())["commands"][1]
    assert here(*shlex.split(command)[1:], "--device", "cpu", "--no-floor", "--out", out) == 0
    assert "--env-vector registered" in command
    file.write_text(file.read_text().replace("steps = 300", 'steps = 300\nvector = "registered"'))
    assert here(*bench, "--out", out) == 0
    assert (run.stat().st_mtime_ns, parts(out, "dqn")) == before  # the same run, done before


def test_a_stop_ends_a_list_of_suites(tmp_path: Path) -> None:
    """SIGINT in the first suite: the second is not begun. The same command goes on with both."""
    one = suite(tmp_path, '["dqn"]', 'id = "CartPole-v1"\nsteps = 3_000')
    text = one.read_text().replace("trial", "second").replace('"dqn"', '"random"')
    (tmp_path / "second.toml").write_text(text)
    (tmp_path / "all.toml").write_text('name = "all"\nsuites = ["trial.toml", "second.toml"]\n')
    command = ["bench", "all.toml", "--quiet", "--no-report"]
    child = start(*command, cwd=tmp_path)
    wait_for(lambda: any("step" in part for part in parts(tmp_path / "results").values()), child)
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 130
    benches = tmp_path / "results" / "benches"
    assert [path.name for path in benches.iterdir()] == ["trial"]
    assert here(command[0], tmp_path / "all.toml", *command[2:], "--out", tmp_path / "results") == 0
    assert sorted(path.name for path in benches.iterdir()) == ["second", "trial"]
    for agent in ("dqn", "random"):
        (part,) = parts(tmp_path / "results", agent).values()
        assert part["status"] == {"0": "done", "1": "done"}
