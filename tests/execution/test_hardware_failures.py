"""A GPU's failure or lack of memory ends in a line whose way out works; finished seeds are safe.

There is no GPU here: torch's own exceptions, with its words, are raised by an agent's update.
"""

from __future__ import annotations

import errno
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import TINY, here, process, run_folder

from rlbench import load
from rlbench.agents import DQN
from rlbench.errors import UserError
from rlbench.execution import checkpoint_pace
from rlbench.learning.algorithms.dqn_config import DQNConfig
from rlbench.learning.hardware import failures
from rlbench.learning.hardware.device import choose, usable
from rlbench.storage.run_folder import RunFolder

HERE = Path(__file__).stem
AT = 80  # the step of the failure
TAIL = ("\nCUDA kernel errors might be asynchronously reported at some other API call, so the "
        "stacktrace below might be incorrect.\nFor debugging consider passing "
        "CUDA_LAUNCH_BLOCKING=1\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side "
        "assertions.\n")  # fmt: skip
OOM = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB of "
    "which 11.88 MiB is free. Process 12 has 79.10 GiB memory in use. Of the allocated memory "
    "70.00 GiB is allocated by PyTorch, and 5.00 GiB is reserved by PyTorch but unallocated."
)
ASSERT = torch.AcceleratorError(f"CUDA error: device-side assert triggered{TAIL}")
OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU "
    "driver by downloading and installing a new version from the URL: "
    "http://www.nvidia.com/Download/index.aspx Alternatively, go to: https://pytorch.org to install"
)
NO_MEMORY = "this process can have no more memory"
FAILURES: dict[str, tuple[BaseException, str]] = {
    "memory": (OOM, "the GPU has too little memory (tried to allocate 20.00 MiB, 11.88 MiB of "
                    "79.11 GiB are free): free memory there and repeat"),
    "cublas memory": (
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        "the GPU has too little memory",
    ),
    "no kernel": (
        torch.AcceleratorError(
            f"CUDA error: no kernel image is available for execution on the device{TAIL}"
        ),
        "this torch has no kernels for this GPU",
    ),
    "driver": (RuntimeError(OLD), "the GPU's driver is older than this torch's CUDA"),
    "assert": (ASSERT, "a kernel found a value that cannot be"),
    "ordinal": (
        torch.AcceleratorError(
            "CUDA error: invalid device ordinal\nGPU device may be out of range, do you have "
            f"enough GPUs?{TAIL}"
        ),
        "there is no GPU of this number",
    ),
    "hidden": (RuntimeError("No CUDA GPUs are available"), "torch finds no GPU here"),
    "cpu build": (AssertionError("Torch not compiled with CUDA enabled"), "finds no GPU here"),
    "nvml": (
        RuntimeError(
            'NVML_SUCCESS == DriverAPI::get()->nvmlInit_v2_() INTERNAL ASSERT FAILED at "../c10/'
            'cuda/CUDACachingAllocator.cpp":1090, please report a bug to PyTorch. '
        ),
        "CUDA could not be started",
    ),
    "count": (
        RuntimeError(
            "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before "
            "calling NumCudaDevices() that might have already set an error? Error 804: forward "
            "compatibility was attempted on non supported HW"
        ),
        "CUDA could not be started",
    ),
    "access": (
        torch.AcceleratorError(f"CUDA error: an illegal memory access was encountered{TAIL}"),
        "CUDA failed",
    ),
    "cudnn": (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "CUDA failed"),
    "torch's memory": (
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't "
                     "allocate memory: you tried to allocate 4000000000 bytes. Error code 12"),
        NO_MEMORY,
    ),
    "Python's memory": (MemoryError(), f"{NO_MEMORY} (Cannot allocate memory): end other"),
    "numpy's memory": (
        MemoryError("Unable to allocate 7.45 GiB for an array"),
        f"{NO_MEMORY} (Cannot allocate memory: Unable to allocate 7.45 GiB for an array)",
    ),
    "a library's memory": (
        ImportError("libgfortran.so.5.0.0: failed to map segment from shared object"), NO_MEMORY
    ),
    "memory of a fork": (OSError(errno.ENOMEM, "Cannot allocate memory"), NO_MEMORY),
}  # fmt: skip
armed: list[BaseException] = []


class Failing(DQN):
    """DQN, until something is armed, or for a seed that the environment names."""

    Config = DQNConfig
    version = 1

    def update(self) -> None:
        fails = str(self.seeds[0]) == os.environ.get("FAILING_SEED")
        if self.num_timesteps >= AT and (armed or fails):
            raise armed[0] if armed else OOM
        super().update()


def command(out: Path, *more: str) -> list[str]:
    return ["run", f"{HERE}:Failing", "--env", "CartPole-v1", "-n", "120", "--eval-episodes", "1",
            "--final-episodes", "1", "--no-floor", "--jobs", "1", "--out", str(out), *TINY,
            "-p", "train_freq=1", *more]  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_one_line_with_a_way_out(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error, said = FAILURES[name]
    monkeypatch.setitem(globals(), "armed", [error])
    assert here(*command(tmp_path, "--seeds", "2", "-q")) == 2
    err = capsys.readouterr().err
    (line,) = err.splitlines()
    assert line.startswith("Error: ")
    assert said in line
    assert ("--device cpu" in line) != (NO_MEMORY in line)
    part = RunFolder(run_folder(tmp_path, f"{HERE}_Failing")).part((0, 1))
    assert type(error).__name__ in (part.path / "error.log").read_text()
    assert set(part.read()["status"].values()) == {"running"}  # not failed: they can go on


@pytest.mark.slow
def test_the_ways_out_of_little_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command with --device cpu goes on from the checkpoint, to the same rows.

    Finished seeds of the run are as they were, and a run of fewer seeds is possible after rm.
    """
    monkeypatch.setattr(checkpoint_pace, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint_pace, "CHECKPOINT_SHARE", 1e9)
    monkeypatch.setattr("rlbench.learning.training.trainer.PULSE_SECONDS", 0.0)
    first = command(tmp_path / "out")
    assert here(*first, "--seeds", "1", "-q") == 0
    folder = run_folder(tmp_path / "out", f"{HERE}_Failing")
    kept = {path.name: path.read_bytes() for path in (folder / "seeds-0").iterdir()}
    steps: list[int] = []
    monkeypatch.setitem(globals(), "armed", [OOM])
    capsys.readouterr()
    assert here(*first, "--seeds", "3", "-q") == 2
    assert "fewer seeds at once" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (folder / "seeds-0").iterdir()} == kept
    assert set(load(tmp_path / "out").evaluations["seed"]) >= {0}
    armed.clear()

    def noted(self: Failing) -> None:
        steps.append(self.num_timesteps)
        DQN.update(self)

    monkeypatch.setattr(Failing, "update", noted)
    assert here(*first, "--seeds", "3", "-q", "--device", "cpu") == 0
    assert min(steps) >= AT - 1  # gone on with, not begun anew
    assert here("rm", str(folder), "--yes") == 0
    assert here(*first, "--seeds", "1-2", "-q") == 0
    assert set(load(tmp_path / "out").runs["status"]) == {"done"}


def test_the_same_rows_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert here(*command(tmp_path / "whole"), "--seeds", "2", "-q") == 0
    monkeypatch.setitem(globals(), "armed", [ASSERT])
    broken = command(tmp_path / "broken", "--seeds", "2", "-q")
    assert here(*broken) == 2
    armed.clear()
    assert here(*broken) == 0
    whole, other = (load(tmp_path / name).evaluations for name in ("whole", "broken"))
    assert whole["return"].tolist() == other["return"].tolist()


@pytest.mark.slow
def test_other_processes_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --jobs 2 one part fails for want of memory, and the other ends."""
    monkeypatch.setenv("FAILING_SEED", "1")
    options = command(tmp_path / "out", "--seeds", "2", "--jobs", "2")
    ended = process(*options, cwd=tmp_path)
    assert ended.returncode == 1
    assert "Error: the GPU has too little memory" in ended.stderr
    runs = load(tmp_path / "out").runs.set_index("seed")
    assert runs["status"].to_dict() == {0: "done", 1: "stopped"}
    monkeypatch.delenv("FAILING_SEED")
    assert process(*options, cwd=tmp_path).returncode == 0


def test_other_errors_stay_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("mat1 and mat2 cannot be multiplied")
    assert failures.explained(error) == failures.explained(ValueError("CUDA error: x")) == ""
    monkeypatch.setitem(globals(), "armed", [error])
    assert here(*command(tmp_path, "--seeds", "1", "-q")) == 1


def test_in_commands_that_only_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ASSERT

    monkeypatch.setattr("rlbench.commands.evaluate.evaluate", fails)
    assert here("eval", "latest", "--out", str(tmp_path)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: a kernel found a value that cannot be")


def test_a_driver_that_is_too_old_for_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch finds no GPU then, and warns over several lines: they become a part of ours."""

    def unavailable() -> bool:
        warnings.warn(
            f"CUDA initialization: {OLD} (Triggered internally at ../c10/cuda/CUDAFunctions.cpp:9)",
            stacklevel=2,
        )
        return False

    monkeypatch.setattr(torch.cuda, "is_available", unavailable)
    old = "The NVIDIA driver on your system is too old (found version 11040)"
    assert usable() == (False, old)
    assert str(choose("auto").device) == "cpu"
    assert choose("auto").reason == f" (no GPU: {old})"
    with pytest.raises(UserError, match=r"too old \(found version 11040\)\): use cpu"):
        choose("cuda")


def test_a_torch_without_cuda_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="is a torch without CUDA"):
        choose("cuda")
    assert choose("auto").reason == ""
