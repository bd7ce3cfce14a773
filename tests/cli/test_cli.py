"""What commands do when all is well: numbers, files, and how little is done twice."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import TINY, eager, environment, here, process, run_folder, table, tables, wait_for
from damage import without_checksums

from rlbench.config import parse_assignments
from rlbench.execution.attempt import run_job
from rlbench.execution.jobs import schedule
from rlbench.execution.stopping import StopSignal
from rlbench.experiments.planning import plan

RUN = ["run", "dqn", "--env", "CartPole-v1", "-n", "200", "--eval-episodes", "2", *TINY]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three seeds; tests only read it."""
    out = tmp_path_factory.mktemp("done")
    assert here(*RUN, "--seeds", "3", "--quiet", "--out", out) == 0
    return out


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of seeds with its time and content; run.json with its content."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "lock"]
    return {
        str(file.relative_to(folder)): (file.stat().st_mtime_ns, file.read_bytes())
        for file in files
        if not file.name.startswith("curve")
    }


def test_run_in_a_process(tmp_path: Path, done: Path) -> None:
    """The command as typed: exit code 0, a table on stdout, progress on stderr, and the files."""
    ended = process(*RUN, "--seeds", "3", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "dqn" in ended.stdout
    assert "solved" in ended.stdout
    assert "3 in lockstep" in ended.stdout
    assert "200 steps a seed, seeds 0-2" in ended.stderr
    folder = run_folder(tmp_path / "results")
    assert tables(folder) == tables(run_folder(done))
    assert json.loads((folder / "run.json").read_text())["command"].startswith("rlbench run dqn")
    for name in ("curve.png", "curve.svg", "seeds-0-2/agent.npz", "seeds-0-2/part.json"):
        assert (folder / name).stat().st_size > 100
    assert run_folder(tmp_path / "results", "random")


def test_progress_never_passes_the_total(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """128 environments step together: 384 steps, of which 300 were asked for."""
    args = ["run", "a2c", "--env", "CartPole-v1", "-n", "300", "--n-envs", "128", "--seed", "0"]
    assert here(*args, "--eval-episodes", "2", "--out", tmp_path) == 0
    said = capsys.readouterr()
    assert "300 steps a seed (rounded up to 384)" in said.err
    assert "step 300 of 300" in said.err
    assert not re.search(r"step 3[0-9][1-9]", said.err)
    assert "384 steps a seed" in said.out
    assert "384 of 300" not in said.out


def test_repeating_a_run_computes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [*RUN, "--seeds", "2", "--out", tmp_path]
    assert here(*args) == 0
    before = snapshot(tmp_path)
    capsys.readouterr()
    assert here(*args) == 0
    assert "all done" in capsys.readouterr().err
    assert snapshot(tmp_path) == before


def test_more_seeds_later_computes_the_missing_ones(tmp_path: Path, done: Path) -> None:
    """Seed 0, then 0 to 2: a second part, the first untouched, the numbers as in one go."""
    base = [*RUN, "--quiet", "--out", tmp_path]
    assert here(*base, "--seeds", "0-0") == 0
    folder = run_folder(tmp_path)
    before = snapshot(folder / "seeds-0")
    assert here(*base, "--seeds", "3") == 0
    assert sorted(part.name for part in folder.glob("seeds-*")) == ["seeds-0", "seeds-1-2"]
    assert snapshot(folder / "seeds-0") == before
    assert tables(folder) == tables(run_folder(done))


def test_again_computes_anew(tmp_path: Path) -> None:
    args = [*RUN, "--seeds", "2", "--quiet", "--out", tmp_path]
    assert here(*args) == 0
    folder = run_folder(tmp_path)
    rows, before = tables(folder), snapshot(folder)
    assert here(*args, "--again") == 0
    assert tables(folder) == rows
    assert snapshot(folder) != before


def test_jobs_change_no_number(tmp_path: Path, done: Path) -> None:
    """Two processes of one and two seeds against one of three: rows and agents are equal."""
    assert here(*RUN, "--seeds", "3", "--jobs", "2", "--quiet", "--out", tmp_path) == 0
    one, two = run_folder(done), run_folder(tmp_path)
    assert sorted(part.name for part in two.glob("seeds-*")) == ["seeds-0-1", "seeds-2"]
    assert tables(one) == tables(two)
    from rlbench.agents import DQN

    whole, alone = (
        DQN.load(folder / name / "agent.npz", seed=2, device="cpu").online.data.numpy().tobytes()
        for folder, name in ((one, "seeds-0-2"), (two, "seeds-2"))
    )
    assert whole == alone


def test_a_changed_parameter_is_another_run(tmp_path: Path) -> None:
    base = [*RUN, "--quiet", "--seeds", "0-0", "-n", "60", "--out", tmp_path]
    assert here(*base) == 0
    assert here(*base, "-p", "gamma=0.9") == 0
    assert here(*base, "-p", "gamma=0.99") == 0  # the default: the first run
    assert here(*base, "--env-kwargs", "sutton_barto_reward=true") == 0
    runs = [json.loads(file.read_text()) for file in tmp_path.glob("*/dqn-*/run.json")]
    assert len(runs) == 3
    assert len({run["digest"] for run in runs}) == 3


def test_list_prints_agents_environments_and_runs(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for what, expected in [
        ("agents", "dqn\tvalue-based\t"), ("envs", "CartPole-v1"), ("encoders", "mlp"),
        ("presets", ""), ("runs", "CartPole-v1"),
    ]:  # fmt: skip
        assert here("list", what, "--out", done) == 0
        said = capsys.readouterr()
        assert expected in said.out
        assert said.err == ""


def test_show_prints_parameters_and_runs_by_name_digest_and_path(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An agent with every parameter, and a run by name, by digest and by path."""
    from rlbench.agents import DQN

    assert here("show", "dqn") == 0
    said = capsys.readouterr().out
    assert all(field in said for field in DQN.Config.model_fields)
    folder = run_folder(done)
    names: list[object] = [folder.name, folder.name.removeprefix("dqn-"), folder]
    for name in names:
        assert here("show", name, "--out", done) == 0
        assert "CartPole-v1" in capsys.readouterr().out


def test_eval_reproduces_the_recorded_episodes(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_folder(done)
    assert here("eval", folder, "--out", done) == 0
    assert "equal to the recorded final evaluation" in capsys.readouterr().out
    assert here("eval", folder.name, "--episodes", "7", "--out", done) == 0
    assert "over 7 episodes" in capsys.readouterr().out


def test_eval_elsewhere_says_what_changes(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each seed is compared with itself; where nothing changes the change is 0."""
    where = ["eval", run_folder(done), "--episodes", "5", "--out", done, "--env-kwargs"]
    assert here(*where, "sutton_barto_reward=false") == 0
    assert "recorded final evaluation: +0 (no interval" in capsys.readouterr().out
    assert here(*where, "sutton_barto_reward=true") == 0  # -1 an episode, not its length
    said = capsys.readouterr().out
    assert "n = 3 seeds, each against itself" in said
    assert float(re.findall(r"recorded final evaluation: (\S+)", said)[0]) < -5
    assert here(*where, "gravty=5") == 2
    assert "gravty" in capsys.readouterr().err


def test_eval_with_the_randomness_of_training(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """DQN explores as it did at the end, which the recorded evaluation did not; PPO draws."""
    where = ["eval", run_folder(done), "--episodes", "20", "--out", done]
    assert here(*where, "--deterministic") == 0
    plain = capsys.readouterr().out
    assert "equal to the recorded" in plain
    assert here(*where, "--stochastic") == 0
    drawn = capsys.readouterr().out
    assert "stochastic: a random action with probability 0.0" in drawn
    assert "change from the recorded final evaluation:" in drawn
    assert "n = 3 seeds" in drawn
    assert "equal" not in drawn
    returns = [re.findall(r"mean return ([\d.]+)", said) for said in (plain, drawn)]
    assert returns[0] != returns[1]


@pytest.mark.parametrize(
    ("agent", "env", "how"),
    [
        ("ppo", "CartPole-v1", "actions drawn from its distribution"),
        ("sac", "Pendulum-v1", "actions drawn from its distribution"),
        ("random", "CartPole-v1", ""),
        ("td3", "Pendulum-v1", None),
        ("dqn -p learning_starts=9 -p exploration_final_eps=0", "CartPole-v1", None),
        ("dqn -p learning_starts=9 -p noisy=true", "CartPole-v1", "noise in every step"),
    ],
)
def test_which_policies_have_randomness(
    agent: str, env: str, how: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that have none are refused: the same again would be no answer."""
    name, *given = agent.split(" -p ")
    planned = plan(name, env, (0,), parameters=parse_assignments(given), preset=False,
                   total_timesteps=50, eval_freq=0, device="cpu")  # fmt: skip
    (job,) = schedule(planned, tmp_path, 1, False)
    assert run_job(job, lambda _: None, StopSignal()).code == 0
    again = here("eval", job.folder, "--episodes", "4", "--stochastic", "--out", tmp_path)
    said = capsys.readouterr()
    if how is None:
        assert again == 2
        assert "has no randomness here and acts the same with --stochastic" in said.err
    else:
        assert again == 0
        assert (f"stochastic: {how}" if how else "equal to the recorded") in said.out


def test_eval_notices_other_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Negative control: an agent that is not the recorded one gives exit code 1."""
    assert here(*RUN, "--seeds", "2", "--quiet", "--out", tmp_path) == 0
    from rlbench.agents import DQN

    (file,) = run_folder(tmp_path).glob("seeds-*/agent.npz")
    agent = DQN.load(file, device="cpu")
    agent.online.data.mul_(-1.0)
    agent.save(file)
    without_checksums(tmp_path)  # else it is refused before it plays
    assert here("eval", run_folder(tmp_path), "--out", tmp_path) == 1
    assert "NOT equal" in capsys.readouterr().out


def test_plot_writes_the_figure_and_prints_its_path(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "figure"
    assert here("plot", run_folder(done), "-o", target, "--out", done) == 0
    for ending in ("png", "svg"):
        assert (tmp_path / f"figure.{ending}").stat().st_size > 1000
    assert str(target) in capsys.readouterr().out


def test_quiet_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert here(*RUN, "--seeds", "0-0", "--quiet", "--out", tmp_path) == 0
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_a_failed_seed_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are kept, the table shows the failure, and no traceback."""
    from rlbench.learning.rng import lane_seed

    kwargs = json.dumps({"victims": [lane_seed(1, 0)], "after": 60})
    assert here("run", "dqn", "--env", "probes:Poison", "--env-kwargs", kwargs, "--seeds", "3",
                "-n", "200", "--eval-episodes", "2", *TINY, "--out", tmp_path) == 1  # fmt: skip
    said = capsys.readouterr()
    assert "failed" in said.out
    assert "Traceback" not in said.out + said.err
    (part,) = run_folder(tmp_path).glob("seeds-*/part.json")
    info = json.loads(part.read_text())
    assert info["status"] == {"0": "done", "1": "failed", "2": "done"}
    assert "poisoned" in info["reason"]["1"]
    steps = [
        int(row["step"]) for row in table(run_folder(tmp_path), "metrics") if row["seed"] == "1"
    ]
    assert 0 < max(steps) <= 60


def test_every_seed_diverged_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shown as such, with the reason, and never as an unforeseen error."""
    wild = ["-p", "learning_rate=1e30", "-p", "optimizer=sgd", "-p", "loss=mse",
            "-p", "max_grad_norm=none"]  # fmt: skip
    assert here(*RUN, *wild, "--seeds", "2", "--out", tmp_path) == 1
    assert "diverged" in capsys.readouterr().out
    assert not list(tmp_path.rglob("error.log"))


def test_one_writer_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second process on the same run is refused with exit code 2, and the first goes on."""
    args = ["run", "dqn", "--env", "CartPole-v1", "-n", "50000", "--seeds", "2", *TINY,
            "--out", tmp_path]  # fmt: skip
    child = eager(*args, cwd=tmp_path)
    try:
        wait_for(lambda: bool(list(tmp_path.glob("*/dqn-*/seeds-*/checkpoint.npz"))), child)
        assert here(*args) == 2
        said = capsys.readouterr().err.splitlines()
        assert "being written by another process" in said[-1]
        assert child.poll() is None
    finally:
        child.terminate()
        assert child.wait(30) == 143


@pytest.mark.parametrize("args", [["--help"], ["list"], ["bench", "--help"], ["list", "suites"]])
def test_help_and_lists_load_nothing_heavy(args: list[str], tmp_path: Path) -> None:
    script = (
        "import sys\nfrom rlbench.cli.main import main\n"
        f"try:\n    main({args!r}, prog_name='rlbench')\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'pandas', 'gymnasium', 'matplotlib', 'stable_baselines3'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.splitlines()[-1] == "HEAVY []"
    assert len(ended.stdout.splitlines()) > 1


def test_training_loads_only_what_it_uses(tmp_path: Path) -> None:
    """Also in updates: torch would import sympy, for half a second, to compare two shapes."""
    args = [*RUN, "--seed", "0", "--no-floor", "--quiet", "--out", str(tmp_path)]
    script = f"""
import sys
from rlbench.cli.main import main
from rlbench.execution.worker import PartWorker
from rlbench.learning.optim.learner import Learner
step, finish, updates = Learner.step, PartWorker._finish, []
HEAVY = {{"sympy", "torch._dynamo", "torch._inductor", "pandas", "matplotlib", "scipy", "sklearn",
         "optuna", "stable_baselines3"}}

def counted(*args, **named):
    updates.append(1)
    return step(*args, **named)

def finished(self):
    finish(self)
    print("HEAVY", len(updates) > 0, sorted(HEAVY & set(sys.modules)))

Learner.step, PartWorker._finish = counted, finished
main({args!r}, prog_name="rlbench")
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "HEAVY True []" in ended.stdout


def test_random_needs_no_parameters(tmp_path: Path) -> None:
    """The floor of a comparison is a run as any other, also with continuous actions."""
    args = ["run", "random", "--env", "Pendulum-v1", "--quiet", "--out", tmp_path]
    assert here(*args, "--seeds", "0-0") == 0
    rows = table(run_folder(tmp_path, "random"), "evaluations")
    assert len({row["return"] for row in rows if row["phase"] == "final"}) == 100
