"""Options of executors: what they mean, and which of them go together."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from commands import here

from rlbench.errors import UserError
from rlbench.execution.executor_choice import LOCAL, choose


def test_local_is_the_default() -> None:
    assert choose("local", sbatch=(), address=None, time=None) == LOCAL


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("30:00", 30), ("4:00:00", 240), ("1-00", 1440), ("1-02:30", 1590),
     ("2-00:00:00", 2880), ("0:00:10", 1)],
)  # fmt: skip
def test_time_is_read_as_slurm_reads_it(text: str, minutes: int) -> None:
    assert choose("slurm", time=text).minutes == minutes


def test_parameters_of_sbatch() -> None:
    choice = choose("slurm", partition="gpu", sbatch=("account=lab", "nice=5"), num_gpus=1.0)
    assert choice.sbatch == {"partition": "gpu", "account": "lab", "nice": 5}
    assert choose("ray", num_gpus=0.25, address="a:1")[1:4] == ("a:1", 1, 0.25)


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("ray", {"time": "5"}, "--time is for --executor slurm: add it, or leave --time out"),
        ("local", {"sbatch": ("a=b",)}, "--slurm is for --executor slurm"),
        ("local", {"num_cpus": 2.0}, "--num-cpus is for --executor ray or --executor slurm"),
        ("slurm", {"time": "soon"}, "--time soon: give minutes or HH:MM:SS"),
        ("slurm", {"sbatch": ("gpu",)}, "--slurm gpu: give KEY=VALUE"),
        ("slurm", {"num_gpus": 0.5}, "--num-gpus 0.5: a Slurm job has whole ones"),
    ],
)
def test_what_does_not_go_together(kind: str, given: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        choose(kind, **given)


@pytest.mark.parametrize(("kind", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_an_extra_that_is_not_installed(
    kind: str,
    package: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [each for each in sys.modules if each.startswith(f"rlbench.execution.{kind}_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    file = tmp_path / "s.toml"
    file.write_text(
        'name = "s"\nseeds = 1\nagents = ["random"]\n[[env]]\nid = "CartPole-v1"\nsteps = 50\n'
    )
    assert here("bench", file, "--executor", kind, "--out", tmp_path / "out") == 2
    assert f"pip install 'rlbench-workbench[{kind}]'" in capsys.readouterr().err
    assert here("bench", file, "--executor", kind, "--jobs", "1", "--out", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()
