"""Prove on a GPU what is written for one: the same numbers, whole runs, speeds; in minutes.

    python benchmarks/gpu.py --out FOLDER --minutes 7 [--only 'right/*' ...] [--smoke]
                             [--device cuda] [--fresh] [--list]

Each measurement is a process of its own with its own time limit, the most important first. Its
lines are printed and appended to FOLDER/lines.jsonl as soon as they are there, and FOLDER/table.md
is written anew after each; what fails is a line with its traceback, and the next one begins. Called
again with the same folder it adds to it. It needs torch, this checkout and its dependencies, and no
network; Stable-Baselines3 and MNIST (RLBENCH_DATA, or ../shared/data) are used where they are.

Exit code: 0, 1 if something failed, was wrong or was not run.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import importlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import gpu_right
import gpu_runner
import gpu_runs
import gpu_speed
import torch
from gpu_runner import Emit, Measurement, Place, Runner

from rlbench import configure_process
from rlbench.storage.provenance import machine as provenance

HERE = Path(__file__).resolve().parents[1]
DATA = (HERE / "shared" / "data", HERE.parent / "shared" / "data")

PRELOADED = ("torch.fx.experimental.symbolic_shapes", "torch._dynamo.callback", "sklearn.datasets",
             "stable_baselines3", "seaborn", "rlbench.learning.agent", "rlbench.commands.train",
             "rlbench.execution.worker", "rlbench.reporting.tables.load")  # fmt: skip


def machine(emit: Emit, place: Place) -> None:
    """What all this runs on."""
    facts = provenance()
    emit(
        what="machine", card="none", cores=len(os.sched_getaffinity(0)), processor=_processor(),
        system=facts["platform"], commit=facts["commit"], **facts["versions"],
        CUDA=torch.version.cuda, device=place.device,
    )  # fmt: skip
    if place.device == "cpu":
        return
    if shutil.which("nvidia-smi"):
        facts_of_card = "name,driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit"
        command = ["nvidia-smi", f"--query-gpu={facts_of_card}", "--format=csv,noheader"]
        said = subprocess.run(command, text=True, check=False, capture_output=True)
        emit(what=f"nvidia-smi: {facts_of_card}", card=said.stdout.strip() or said.stderr.strip())
    begun = time.perf_counter()
    device = torch.device(place.device)
    properties = torch.cuda.get_device_properties(device)
    product = torch.ones(512, 512, device=device) @ torch.ones(512, 512, device=device)
    right = bool((product.cpu() == 512).all())
    emit(
        what="first product", card=properties.name, right=right,
        seconds=time.perf_counter() - begun, capability=f"{properties.major}.{properties.minor}",
        memory=f"{properties.total_memory / 1e9:.1f} GB", kernels=" ".join(
            torch.cuda.get_arch_list()), TF32=[torch.backends.cuda.matmul.allow_tf32,
                                               torch.backends.cudnn.allow_tf32],
    )  # fmt: skip


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")


def measurements() -> list[Measurement]:
    """All of them, the most important first."""
    return [
        Measurement("machine/facts", machine, seconds=60.0),
        *gpu_right.measurements(),
        *gpu_runs.measurements(),
        *gpu_speed.measurements(),
    ]


def chosen(patterns: list[str]) -> list[Measurement]:
    """Those whose name fits one of the patterns; all without a pattern."""
    every = measurements()
    fits = [m for m in every if any(fnmatch.fnmatch(m.name, one) for one in patterns)]
    return fits if patterns else every


def main() -> int:
    """Run the measurements; see above."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, help="folder of lines.jsonl, table.md and logs")
    parser.add_argument("--minutes", type=float, default=7.0, help="for all of it")
    often = "of --list, or a pattern such as 'fast/*'; may be repeated"
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help=often)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu")
    parser.add_argument("--smoke", action="store_true", help="everything at tiny size")
    parser.add_argument("--fresh", action="store_true", help="new interpreters instead of forks")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)  # name, pipe, seconds
    given = parser.parse_args()
    only = chosen(given.only)
    if given.list:
        print("\n".join(measurement.name for measurement in only))
        return 0
    if given.out is None or not only:
        parser.error("--out FOLDER is needed" if only else "--list prints the names there are")
    prepare(given.out.absolute())
    if given.measure:
        name, pipe, seconds = given.measure
        (one,) = (m for m in measurements() if m.name == name)
        lines = tuple(gpu_runner.read_lines(given.out / "lines.jsonl"))
        place = Place(given.device, given.smoke, given.out.absolute(),
                      time.monotonic() + float(seconds), lines)  # fmt: skip
        gpu_runner.measure(one, place, int(pipe))
    command = [sys.executable, *sys.argv, "--measure"] if given.fresh else []
    cores = len(os.sched_getaffinity(0))
    runner = Runner(given.out.absolute(), 60.0 * given.minutes, given.device, given.smoke,
                    max(min(8, cores // 2), 1), command)  # fmt: skip
    right = runner.run(only)
    print(f"{given.out / 'table.md'} after {time.monotonic() - runner.begun:.0f} s")
    return 0 if right else 1


def prepare(folder: Path) -> None:
    """Settings that all measurements share; no GPU is touched here."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    configure_process()
    for name in PRELOADED:  # so that forks need not
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # what `auto` measures, it measures here
    for data in DATA:
        if (data / "mnist").is_dir():
            os.environ.setdefault("RLBENCH_DATA", str(data))


if __name__ == "__main__":
    sys.exit(main())
