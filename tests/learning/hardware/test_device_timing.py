"""`auto` where there is a choice: both devices are timed once a shape, and the answer is kept.

No GPU is needed: trials take the time they are told to, and "cuda" is a CPU by another name.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rlbench.agents import A2C, DQN, IQN, PPO, PQN, SAC, Supervised
from rlbench.experiments import planning, preflight
from rlbench.learning.core import device_trial
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.hardware import device_timing
from rlbench.learning.hardware.device import LARGE, UpdateSize, choose, pick_device
from rlbench.learning.hardware.device_timing import Trial, Work


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A GPU by name, and a cache folder of its own: returned."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "a card")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(device_timing, "_answers", {})
    monkeypatch.setattr(device_timing, "SETTLE", 0.0)
    monkeypatch.setattr(device_timing, "WATCH", 0.0)
    return tmp_path / "rlbench" / "devices"


def trial(seen: list[str], **pauses: float) -> Callable[[], Trial]:
    """A trial of ten steps that takes `pauses[device]` seconds, and writes down where it ran."""

    def start(device: torch.device, check: Callable[[], None]) -> Work:
        seen.append(device.type)

        def work() -> int:
            check()
            time.sleep(pauses[device.type])
            return 10

        return work

    return lambda: Trial({"seeds": 3}, start)


@pytest.mark.parametrize(("best", "other"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_the_faster_device_is_taken_and_remembered(best: str, other: str, gpu: Path) -> None:
    seen: list[str] = []
    made = trial(seen, **{best: 0.001, other: 0.02})
    chosen = choose("auto", None, made)
    assert chosen.device.type == best
    assert chosen.reason.startswith(" (timed: ") and chosen.reason.endswith(f" on {other})")  # noqa: PT018
    assert seen == ["cuda", "cpu"]
    (file,) = gpu.glob("*.json")
    kept = json.loads(file.read_text())
    assert 1e-4 <= kept["seconds"][best] < kept["seconds"][other]
    assert 2e-3 <= kept["seconds"][other] < 1e-2  # 20 ms for ten steps
    device_timing._answers.clear()  # as in another process
    assert choose("auto", None, made) == chosen
    assert seen == ["cuda", "cpu"]  # not again


def test_another_shape_or_card_is_timed_anew(gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    made = trial(seen, cpu=0.0, cuda=0.0)
    choose("auto", None, made)
    choose("auto", None, lambda: made()._replace(shape={"seeds": 4}))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "another card")
    choose("auto", None, made)
    assert len(seen) == 6
    assert len(list(gpu.glob("*.json"))) == 3


@pytest.mark.parametrize(
    "content", [b"", b"\xff{", b"[]", b'{"seconds": {"cpu": "fast"}}',
                b'{"seconds": {"cpu": -1, "cuda": 1}}', b'{"seconds": {"cpu": NaN, "cuda": 1}}'],
)  # fmt: skip
def test_damaged_answers_are_written_anew(content: bytes, gpu: Path) -> None:
    seen: list[str] = []
    made = trial(seen, cpu=0.02, cuda=0.0)
    gpu.mkdir(parents=True)
    file = gpu / f"{device_timing._key(made())}.json"
    file.write_bytes(content)
    assert choose("auto", None, made).device.type == "cuda"
    assert seen == ["cuda", "cpu"]
    assert json.loads(file.read_text())["seconds"]["cpu"] > 0


def test_without_a_folder_to_write_to(gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file stands where the folder should be: the answer holds for this process."""
    gpu.parent.write_text("")
    seen: list[str] = []
    made = trial(seen, cpu=0.0, cuda=0.01)
    assert [choose("auto", None, made).device.type for _ in range(2)] == ["cpu", "cpu"]
    assert seen == ["cuda", "cpu"]


def test_a_link_in_place_of_an_answer_is_not_followed(gpu: Path, tmp_path: Path) -> None:
    made = trial([], cpu=0.0, cuda=0.01)
    gpu.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (gpu / f"{device_timing._key(made())}.json").symlink_to(precious)
    (gpu / f"{device_timing._key(made())}.lock").symlink_to(precious)
    choose("auto", None, made)
    assert precious.read_text() == "mine"


def test_what_cannot_be_timed_is_estimated(gpu: Path) -> None:
    def start(*_: Any) -> Work:
        raise ValueError("no such thing\nand more")

    def made() -> Trial:
        return Trial({"seeds": 1}, start)

    small = choose("auto", lambda: UpdateSize(LARGE - 1, False), made)
    assert small.device.type == "cpu"
    assert small.reason.endswith("launching it; not timed, ValueError: no such thing)")
    assert pick_device("auto", lambda: UpdateSize(LARGE, False), made).type == "cuda"
    assert not list(gpu.glob("*.json"))  # it may be possible another time


def test_a_gpu_that_fails_is_not_taken(gpu: Path) -> None:
    """However large the update is."""

    def start(device: torch.device, check: Callable[[], None]) -> Work:
        if device.type == "cuda":
            raise torch.AcceleratorError("CUDA error: no kernel image is available")
        return lambda: 1

    chosen = choose("auto", lambda: UpdateSize(LARGE, True), lambda: Trial({"seeds": 1}, start))
    assert chosen.device.type == "cpu"
    assert chosen.reason == (
        " (cuda fails: AcceleratorError: CUDA error: no kernel image is available)"
    )
    assert not list(gpu.glob("*.json"))


def test_a_gpu_that_has_no_name_is_not_taken(gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> str:
        raise RuntimeError("CUDA driver initialization failed, you might not have a CUDA gpu.")

    monkeypatch.setattr(torch.cuda, "get_device_name", fails)
    chosen = choose("auto", lambda: UpdateSize(LARGE, True), trial([], cpu=0.0, cuda=0.0))
    assert chosen.device.type == "cpu"
    assert chosen.reason.startswith(" (cuda fails: CUDA driver initialization failed")


def test_a_cpu_that_is_far_slower_is_not_waited_for(
    gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_timing, "SLOWER", 0.0)
    begun = time.perf_counter()
    chosen = choose("auto", None, trial([], cpu=0.6, cuda=0.0))
    assert time.perf_counter() - begun < 2.5
    assert chosen.device.type == "cuda"
    assert chosen.reason.endswith("too few on cpu)")
    device_timing._answers.clear()
    assert choose("auto", None, trial([], cpu=0.6, cuda=0.0)) == chosen  # infinite in the file


def test_a_gpu_that_is_never_done_is_left_to_the_estimate(
    gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_timing, "LONGEST", 0.05)
    chosen = choose("auto", lambda: UpdateSize(1, True), trial([], cpu=0.0, cuda=0.1))
    assert chosen.device.type == "cuda"
    assert "it learns from images; not timed, TooSlow: no timing on cuda" in chosen.reason


OTHER = """
import sys, time, torch
from rlbench.learning.hardware import device_timing
torch.cuda.get_device_name, torch.cuda.synchronize = lambda *_: "a card", lambda *_: None
device_timing.SETTLE = device_timing.WATCH = 0.0
def start(device, check):
    print("started", device, flush=True)
    return lambda: time.sleep(0.1) or 10
print(device_timing.timed(device_timing.Trial({"seeds": 1}, start)), flush=True)
"""


@pytest.mark.slow
def test_two_processes_at_once_time_once(tmp_path: Path) -> None:
    """The second waits for the first, and reads its answer."""
    command = [sys.executable, "-c", OTHER]
    env = {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(Path.cwd()), "PATH": ""}
    both = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].splitlines() for process in both]
    assert sorted(len(lines) for lines in said) == [1, 3]
    assert eval(said[0][-1]) == eval(said[1][-1])  # the same seconds


def test_without_a_gpu_nothing_is_timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(device_timing, "timed", None)
    assert not torch.cuda.is_available()
    assert DQN("CartPole-v1", buffer_size=100).device.type == "cpu"
    planned = planning.plan("dqn", "CartPole-v1", [0])
    assert ", cpu, memory" in preflight.preflight(planned)
    assert not list(tmp_path.iterdir())


# Agents at their own shapes.

SHAPES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "dqn": (DQN, "CartPole-v1", {"prioritized": True, "train_freq": 10}),
    "iqn gru": (IQN, "CartPole-v1", {"encoder": "gru", "sequence_length": 4, "batch_size": 8}),
    "ppo lstm": (PPO, "Pendulum-v1", {"n_steps": 8, "encoder": "lstm", "normalize_obs": True}),
    "pqn": (PQN, "Taxi-v4", {"n_steps": 8}),
    "a2c frames": (A2C, "rlbench/Catch-v0", {"frame_stack": 3}),
    "sac": (SAC, "Pendulum-v1", {"batch_size": 16}),
    "supervised": (Supervised, "rlbench/Classify-Digits-v0", {}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_kind_of_agent_can_be_timed(
    name: str, gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial learns on the agent's own batches; "cuda" is the CPU here."""
    kind, env, parameters = SHAPES[name]
    monkeypatch.setattr(device_timing, "LEAST", 1)
    agent = kind(env, seeds=2, device="cpu", **parameters)
    sizes = agent.spec, agent.action_space, 2, agent.n_envs
    made = device_trial.trial_of(kind, agent.config, *sizes)
    assert made is not None
    json.dumps(made.shape)
    calls = []

    def here(trial: Trial, device: torch.device, limit: float) -> float:
        calls.append(device.type)
        return trial.start(torch.device("cpu"), lambda: None)() * 1e-3

    monkeypatch.setattr(device_timing, "_per_step", here)
    chosen = agent.choose_device("auto", agent.config, *sizes)
    assert calls == ["cuda", "cpu"]
    assert chosen.reason.startswith(" (timed: ")


def test_what_a_shape_is() -> None:
    """Rates are none of it, widths are; whether there is dropout is."""
    agent = DQN("CartPole-v1", device="cpu")
    spec = ObsSpec.of(agent.observation_space, agent.config)

    def shape(**changed: Any) -> dict[str, Any]:
        config = agent.config.model_copy(update=changed)
        made = device_trial.trial_of(DQN, config, spec, agent.action_space, 1, 1)
        assert made is not None
        return made.shape

    own = shape()
    assert shape(learning_rate=0.3, gamma=0.5, buffer_size=7, learning_starts=3) == own
    for other in ({"net_arch": (9,)}, {"gamma": 0.0}, {"batch_size": 9}, {"dropout": 0.1}):
        assert shape(**other) != own, other


def test_said_before_a_run_and_estimated_for_a_suite(
    gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line before a run says both speeds; a plan of many cells costs no time."""
    asked = []

    def timed(trial: Trial) -> dict[str, float]:
        asked.append(trial.shape)
        return {"cuda": 1e-3, "cpu": 1e-4}

    monkeypatch.setattr(device_timing, "timed", timed)
    planned = planning.plan("dqn", "CartPole-v1", [0, 1])
    assert ", cpu (timed: 20,000 steps/s, 2,000 on cuda), memory" in preflight.preflight(planned)
    assert len(asked) == 1
    suite = preflight.preflight(planned, play=False, timed=False)
    assert "million multiply-adds is small" in suite
    assert len(asked) == 1
    peer = planning.plan("sb3-dqn", "CartPole-v1", [0])
    assert ", cpu, memory" in preflight.preflight(peer)


def test_the_device_is_no_part_of_a_run(gpu: Path, tmp_path: Path) -> None:
    runs = [
        planning.plan("dqn", "CartPole-v1", [0], device=name) for name in ("cpu", "cuda", "auto")
    ]
    assert len({run.folder(tmp_path).path for run in runs}) == 1
