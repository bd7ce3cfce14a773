"""The script that measures on a GPU: it must never be what fails.

Measurements run for real on the CPU at tiny size (slow); the runner with ones that fail, hang, die
and leave processes behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))  # its modules import each other by name

import gpu  # noqa: E402
import gpu_right  # noqa: E402
import gpu_runner  # noqa: E402
import gpu_speed  # noqa: E402
from gpu_runner import Emit, Measurement, Place, Runner  # noqa: E402

from rlbench import registry  # noqa: E402


def good(emit: Emit, place: Place) -> None:
    emit(value=1.5, right=True)


def failing(emit: Emit, place: Place) -> None:
    emit(value=1)
    raise ZeroDivisionError("by design\nof the test")


def hanging(emit: Emit, place: Place) -> None:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    emit(value=2)
    stuck_here()


def stuck_here() -> None:
    time.sleep(100)


def dying(emit: Emit, place: Place) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def silent(emit: Emit, place: Place) -> None:
    os.write(1, b"something on stdout")


def run(tmp_path: Path, *measurements: Measurement, **options: Any) -> tuple[bool, list[Any]]:
    runner = Runner(tmp_path, options.pop("seconds", 30.0), "cpu", smoke=True, **options)
    return runner.run(measurements), gpu_runner.read_lines(tmp_path / "lines.jsonl")


def test_a_failure_is_a_line_and_the_next_begins(tmp_path: Path) -> None:
    fine, lines = run(tmp_path, Measurement("a/failing", failing), Measurement("a/good", good))
    assert not fine
    assert [line["name"] for line in lines] == ["a/failing", "a/failing", "a/good"]
    assert lines[1]["error"] == "ZeroDivisionError: by design"
    assert "line" in lines[1]["traceback"] and "in failing" in lines[1]["traceback"]  # noqa: PT018
    table = (tmp_path / "table.md").read_text()
    assert "| good | 1.5 | yes |" in table
    assert "- a/failing: ZeroDivisionError: by design" in table


def test_a_hang_ends_at_its_limit_with_all_it_started(tmp_path: Path) -> None:
    begun = time.monotonic()
    fine, lines = run(
        tmp_path, Measurement("a/hanging", hanging, seconds=1.0), Measurement("a/good", good)
    )
    assert time.monotonic() - begun < 10.0
    assert not fine
    assert [line.get("error") for line in lines] == [None, "took longer than 1 s", None]
    assert "in stuck_here" in lines[1]["traceback"]  # where it stood
    assert not _children(os.getpid())


def _children(pid: int) -> list[str]:
    """Processes below this one, and those of its groups, that still run the sleep."""
    listed = subprocess.run(["ps", "-eo", "ppid,args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if line.split()[0] == str(pid)
            and "time.sleep(100)" in line]  # fmt: skip


def test_deaths_silence_and_wrong_answers(tmp_path: Path) -> None:
    def wrong(emit: Emit, place: Place) -> None:
        emit(check="sum", right=False)

    fine, lines = run(
        tmp_path, Measurement("a/dying", dying), Measurement("a/silent", silent),
        Measurement("b/wrong", wrong),
    )  # fmt: skip
    assert not fine
    assert lines[0]["error"] == "its process ended with SIGSEGV"
    assert "Segmentation fault" in lines[0]["traceback"]  # faulthandler's
    assert lines[1]["error"] == "no result"
    assert "something on stdout" in lines[1]["traceback"]
    table = (tmp_path / "table.md").read_text()
    assert "## Wrong\n\n- b/wrong: check sum, right NO" in table


def test_right_alone_is_success(tmp_path: Path) -> None:
    assert run(tmp_path, Measurement("a/good", good))[0]


def test_what_there_is_no_time_for_is_listed(tmp_path: Path) -> None:
    fine, lines = run(
        tmp_path, Measurement("a/hanging", hanging), Measurement("a/good", good), seconds=3.5
    )
    assert not fine
    assert lines[-1]["not run"] == "no time left"
    assert "## Not run\n\n- a/good: no time left" in (tmp_path / "table.md").read_text()


def test_beside_each_other_where_time_is_not_measured(tmp_path: Path) -> None:
    def noted(emit: Emit, place: Place) -> None:
        begun = time.monotonic()
        time.sleep(0.5)
        emit(begun=begun, ended=time.monotonic())

    some = [Measurement(f"a/{i}", noted, beside=True) for i in range(3)]
    alone = [Measurement(f"b/{i}", noted) for i in range(2)]
    _, lines = run(tmp_path, *some, *alone, beside=2)
    spans = {line["name"]: (line["begun"], line["ended"]) for line in lines}

    def overlap(a: str, b: str) -> bool:
        return spans[a][0] < spans[b][1] and spans[b][0] < spans[a][1]

    assert overlap("a/0", "a/1")
    assert not any(overlap("b/0", name) for name in spans if name != "b/0")
    assert sum(overlap("a/2", name) for name in ("a/0", "a/1")) < 2  # two at once


def test_a_second_run_adds_and_replaces_in_the_table(tmp_path: Path) -> None:
    def second(emit: Emit, place: Place) -> None:
        emit(value=7)
        emit(name="split/x", value=len(place.lines))

    run(tmp_path, Measurement("a/x", failing), Measurement("a/y", good))
    with (tmp_path / "lines.jsonl").open("a") as file:
        file.write('{"name": "a/cut", "val')  # as a kill may leave it
    _, lines = run(tmp_path, Measurement("a/x", second))
    assert len(lines) == 5
    assert lines[-1]["value"] == 3  # earlier lines are passed on
    table = (tmp_path / "table.md").read_text()
    assert "| x | 7 |" in table
    assert "| y | 1.5 | yes |" in table
    assert "## split" in table
    assert "by design" not in table


KILLED = """
import os, sys, time
sys.path.insert(0, {benchmarks!r})
from pathlib import Path
from gpu_runner import Measurement, Runner
def lines(emit, place):
    emit(pid=os.getpid())
    for i in range(10**6):
        emit(value=i, text="x" * 300)
Runner(Path({folder!r}), 60.0, "cpu").run([Measurement("a/lines", lines)])
"""


def test_kill_9_leaves_valid_lines_and_no_process(tmp_path: Path) -> None:
    code = KILLED.format(benchmarks=str(ROOT / "benchmarks"), folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    file = tmp_path / "lines.jsonl"
    until = time.monotonic() + 60.0
    while time.monotonic() < until and len(gpu_runner.read_lines(file)) < 50:
        time.sleep(0.05)
    process.kill()
    process.wait()
    text = file.read_text()
    whole = text if text.endswith("\n") else text.rpartition("\n")[0]
    lines = [json.loads(line) for line in whole.splitlines()]
    assert len(lines) >= 50
    assert "## a" in (tmp_path / "table.md").read_text()
    for _ in range(50):
        try:
            os.kill(lines[0]["pid"], 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the measurement outlived the script")


@pytest.mark.slow
def test_a_fork_that_cannot_use_a_gpu_becomes_a_new_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where this process has used the GPU, forks of it cannot."""
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    script = str(ROOT / "benchmarks" / "gpu.py")
    options = ["--out", str(tmp_path), "--device", "cpu", "--smoke"]
    monkeypatch.setattr(sys, "argv", [script, *options])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    fine, lines = run(tmp_path, *gpu.chosen(["machine/*"]))
    assert fine
    assert lines[0]["torch"] == torch.__version__


def test_every_agent_and_encoder_is_checked() -> None:
    """All agents with networks of ours, and all cells, convolutions and a user's module."""
    ours = {name for name in registry.agents() if not name.startswith("sb3-")}
    kinds = {name: registry.agent_class(name) for name in ours}
    named = {name for name, kind in kinds.items()
             if kind.__name__ in {case.agent for case in gpu_right.CASES.values()}}  # fmt: skip
    classical = {"knn", "logistic-regression", "majority", "random", "random-forest", "svm"}
    assert named == ours - classical
    encoders = {str(case.parameters.get("encoder")) for case in gpu_right.CASES.values()}
    assert {"rnn", "gru", "lstm", "attention", "cnn+gru", str(gpu_right.Own)} <= encoders
    assert {case.parameters.get("cnn") for case in gpu_right.CASES.values()} >= {"nature"}


def test_another_rounding_is_within_the_bound_and_tf32_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check can fail: batches changed by 1e-6 pass, by TF32's 1e-3 and more they do not."""
    place = Place("cpu", False, tmp_path, time.monotonic() + 60.0, ())
    here = gpu_right.Follower._here
    generator = torch.Generator().manual_seed(0)
    found = {}
    checks = gpu_right.Checks(gpu_right.CASES["dqn mlp"], place, tmp_path)
    for scale in (0.0, 1e-6, 3e-3):

        def changed(self: Any, tensor: Any, own: Any, scale: float = scale) -> Any:
            x = here(self, tensor, own)
            noise = torch.empty(x.shape).normal_(generator=generator)
            return x * (1.0 + scale * noise) if x.dtype == torch.float32 else x

        monkeypatch.setattr(gpu_right.Follower, "_here", changed)
        found[scale] = checks.captured()
    assert found[0.0]["difference"] == 0.0
    assert found[0.0]["captured"]
    assert 0.0 < found[1e-6]["difference"] < gpu_right.BOUND / 10
    assert found[1e-6]["right"]
    assert not found[3e-3]["right"]


def test_a_wrong_row_or_a_forgotten_update_is_found(tmp_path: Path) -> None:
    """Another seed's batches, and an optimiser that is not restored."""
    place = Place("cpu", True, tmp_path, time.monotonic() + 60.0, ())
    checks = gpu_right.Checks(gpu_right.tiny(gpu_right.CASES["dqn mlp"]), place, tmp_path)
    assert checks.alone()["difference"] == 0.0
    follower = gpu_right.Follower(
        gpu_right.make(checks.case, "cpu", [gpu_right.ALONE]), checks.noted, [gpu_right.ALONE]
    )
    follower.agent.learner.stack.data.add_(0.01)  # as if its weights were another's
    assert not follower.take().difference()["right"]
    half = checks._follower().take(0, checks.half)
    other = checks._follower()
    other.agent.learner.optimizer.updates = half.taken()  # but has the first weights
    assert not other.take(checks.half).difference()["right"]


def test_nan_is_not_right() -> None:
    import numpy as np

    one, nan = np.ones((2, 3), np.float32), np.full((2, 3), np.nan, np.float32)
    assert not gpu_right.compared([nan], [one], [0 * one])["right"]


def test_aims_are_judged_by_what_was_measured(tmp_path: Path) -> None:
    def line(**values: Any) -> dict[str, Any]:
        return {"name": "fast/x", **values}

    lines = (
        line(work="sac-256", who="ours, cuda", seeds=10, **{"steps/s": 7300.0}),
        line(work="images", who="ours, cuda", seeds=4, **{"steps/s": 300.0}),
        line(work="images", who="sb3, cuda", seeds=1, **{"steps/s": 200.0}),
        {"name": "auto/choice", "work": "ppo", "seeds": 1, "right": False},
    )
    found: list[Any] = []
    place = Place("cuda", False, tmp_path, 0.0, lines)
    gpu_speed.aims(lambda **values: found.append(values["reached"]), place)
    assert found == [True, "not measured", False, False]


def test_the_device_is_asked_what_it_spent() -> None:
    """Events of a profile by their kind: the names are those of CUDA 12."""

    class Event:
        def __init__(self, key: str, device: str, on_device: float, on_host: float) -> None:
            self.key, self.device_type, self.count = key, f"DeviceType.{device}", 2
            self.self_device_time_total, self.self_cpu_time_total = on_device, on_host

    events = [
        Event("Memcpy HtoD (Pinned -> Device)", "CUDA", 3.0, 0.0),
        Event("cutlass_80_simt_sgemm", "CUDA", 5.0, 0.0),
        Event("aten::mm", "CPU", 5.0, 50.0),  # its kernel is listed by itself
        Event("cudaGraphLaunch", "CPU", 0.0, 7.0),
        Event("cuLaunchKernel", "CPU", 0.0, 2.0),
        Event("cudaStreamSynchronize", "CPU", 0.0, 11.0),
    ]
    assert gpu_speed.by_kind(events, 1) == {
        "transfer us": 3.0, "kernels us": 5.0, "launch us": 9.0, "waiting us": 11.0,
        "CUDA calls": 6.0,
    }  # fmt: skip


SOME = ["machine/facts", "right/dqn mlp", "right/dqn own module", "right/ppo lstm", "right/sac mlp",
        "runs/dqn", "fast/dqn-1*", "fast/update", "auto/*", "profile/*", "aims/*"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "some", [SOME, pytest.param(["*"], marks=pytest.mark.exhaustive)], ids=["some", "all"]
)
def test_smoke(some: list[str], tmp_path: Path) -> None:
    """All measurements at tiny size, as a process: each has a line, and none an error."""
    command = [sys.executable, "benchmarks/gpu.py", "--out", str(tmp_path), "--smoke"]
    command += [word for name in some for word in ("--only", name)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    listed = subprocess.run([*command, "--list"], cwd=ROOT, env=env, capture_output=True, text=True,
                            check=True)  # fmt: skip
    process = subprocess.run([*command, "--device", "cpu", "--minutes", "8"], cwd=ROOT, env=env,
                             capture_output=True, text=True, check=False)  # fmt: skip
    lines = gpu_runner.read_lines(tmp_path / "lines.jsonl")
    wrong = [line for line in lines if gpu_runner.bad(line)]
    assert not wrong
    assert process.returncode == 0, process.stderr
    names = listed.stdout.split("\n")[:-1]
    assert set(names) == {gpu_runner._of(line) for line in lines}
    assert {line["difference"] for line in lines if "difference" in line} == {0.0}  # on one device
    assert all(line["captured"] for line in lines if line.get("check") == "captured"
               and line["name"] != "right/dqn own module")  # fmt: skip
    assert [file.suffixes for file in tmp_path.glob("trace-*")] == [[".json", ".gz"]]
    assert "## split" in (tmp_path / "table.md").read_text()


@pytest.mark.slow
def test_without_a_gpu_every_failure_is_a_line(tmp_path: Path) -> None:
    """As on a machine whose torch finds no GPU: the script itself ends well."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    command = [sys.executable, "benchmarks/gpu.py", "--out", str(tmp_path), "--smoke", "--only",
               "right/dqn mlp", "--only", "runs/dqn", "--only", "fast/dqn-1", "--only",
               "machine/facts"]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert process.returncode == 1, process.stderr
    errors = [line for line in gpu_runner.read_lines(tmp_path / "lines.jsonl") if "error" in line]
    assert {line["name"] for line in errors} == {
        "machine/facts", "right/dqn mlp", "runs/dqn", "fast/dqn-1",
    }  # fmt: skip
