"""Whole runs from the command line, on a device: their scores and seconds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from gpu_runner import Emit, Measurement, Place

SEEDS = 10
SMALL = ["--final-episodes", "1", "--eval-episodes", "1", "--eval-freq", "0"]


def images() -> str:
    """The image data there is: MNIST, else the digits that come with rlbench."""
    there = (Path(os.environ.get("RLBENCH_DATA", ".")) / "mnist").is_dir()
    return "MNIST" if there else "Digits"


# Agent, environment, further options; and how many steps of a seed are enough for a smoke test.
RUNS: dict[str, tuple[str, Callable[[], str], list[str], list[str]]] = {
    "dqn": ("dqn", lambda: "CartPole-v1", [], ["-n", "200", "-p", "learning_starts=50", *SMALL]),
    "ppo": ("ppo", lambda: "rlbench/Catch84-v0", [],
            ["-n", "32", "--n-envs", "2", "-p", "n_steps=8", "-p", "n_epochs=1", *SMALL]),
    "supervised": ("supervised", lambda: f"rlbench/Classify-{images()}-v0",
                   ["--encoder", "cnn"], ["-n", "128", "--eval-freq", "0", "-p", "net_arch=8"]),
}  # fmt: skip


def train(name: str, emit: Emit, place: Place) -> None:
    """Run a command line in this process, and emit what it wrote."""
    from rlbench import load
    from rlbench.cli.main import main

    agent, env_of, options, tiny = RUNS[name]
    env, seeds = (env_of().replace("MNIST", "Digits"), 2) if place.smoke else (env_of(), SEEDS)
    out = place.folder / "runs" / name
    arguments = ["run", agent, "--env", env, "--seeds", str(seeds), "--device", place.device,
                 "--jobs", "1", "--no-floor", "--out", str(out), "--max-seconds",
                 f"{place.left():.0f}", *options, *(tiny if place.smoke else [])]  # fmt: skip
    sys.argv = ["rlbench", *arguments]
    print(" ".join(sys.argv), flush=True)
    begun, code = time.perf_counter(), None
    try:
        main(arguments, prog_name="rlbench")
    except SystemExit as error:
        code = error.code
    results = load(out)
    run = results.runs.iloc[0]
    rows = results.evaluations
    column = "accuracy" if rows["accuracy"].notna().any() else "return"
    last = rows[rows["step"] == rows["step"].max()]
    phase = "final" if (last["phase"] == "final").any() else "grid"
    scores = last[last["phase"] == phase].groupby("seed")[column].mean()
    emit(
        command=f"{agent} on {env}", seeds=seeds, code=code, device=str(run["device"]),
        steps=int(last["step"].iloc[0]), phase=phase, score=f"mean {column}",
        mean=float(scores.mean()), least=float(scores.min()), greatest=float(scores.max()),
        seconds=time.perf_counter() - begun, training=float(run["seconds"]),
    )  # fmt: skip
    if code not in (0, None, 124):  # 124: out of time, with what there is
        raise RuntimeError(f"exit code {code}: see the log")


def measurements() -> list[Measurement]:
    """A measurement for each run."""

    def bound(name: str) -> Callable[[Emit, Place], None]:
        return lambda emit, place: train(name, emit, place)

    return [Measurement(f"runs/{name}", bound(name), seconds=75.0) for name in RUNS]
