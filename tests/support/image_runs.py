"""Runs on image data as training writes them, made by hand for the tests of reporting."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from store_files import EPISODES, METRICS, write_run

EVALUATIONS = (
    "seed,step,phase,episode,return,length,eval_seed,deterministic,epsilon,time,"
    "split,items,accuracy,images,samples\n"
)
Point = tuple[float, float]  # images seen, accuracy


def write_data_run(
    root: Path,
    agent: str = "dqn",
    grid: Mapping[int, Sequence[Point]] | None = None,
    test: Mapping[int, float] | None = None,
    *,
    status: Mapping[int, str] | None = None,
    data: str = "digits",
    task: str = "Classify",
    env: str | None = None,
    network: str = "mlp 64-64",
    items: int = 200,
    uses: float = 4.0,
    pace: float = 0.01,
    g_mean: Mapping[int, float] | None = None,
    **changes: Any,
) -> Path:
    """A run of one part. {seed: its (images, accuracy) on the grid} and {seed: test accuracy}.

    There are `uses` samples and `pace` seconds per image. A seed is done where it has been tested.
    """
    grid, test, g_mean = grid or {}, test or {}, g_mean or {}
    about: dict[str, Any] = {"name": data, "digest": f"{data}-1", "classes": 10, "variant": task}
    about |= {"train": 1000, "validation": items, "test": items}
    given: dict[str, Any] = {
        "digest": f"{agent[:4]}{len(list(root.glob('*/*')))}",
        "reward_threshold": None,
    }
    given |= {"network": network, "data": about, **changes}
    run = write_run(root, env or f"rlbench_{task}-{data}-v0", agent, **given)
    seeds = sorted({*grid, *test, *(status or {})})
    part = run / f"seeds-{'-'.join(map(str, seeds))}"
    part.mkdir()
    states = {seed: "done" if seed in test else "running" for seed in seeds} | dict(status or {})
    record: dict[str, Any] = {
        "seeds": seeds,
        "status": {str(s): state for s, state in states.items()},
    }
    record |= {"reason": {}, "step": 1000, "seconds": 10.0, "device": "cpu"}
    (part / "part.json").write_text(json.dumps(record))
    rows = [(s, "grid", images, accuracy) for s in grid for images, accuracy in grid[s]]
    rows += [(s, "final", grid.get(s, [(0, 0)])[-1][0], accuracy) for s, accuracy in test.items()]
    split = {"grid": "validation", "final": "test"}
    lines = [
        f"{s},{images},{phase},0,{2 * y - 1},1,0,True,0.0,{pace * images},"
        f"{split[phase]},{items},{y},{images},{int(uses * images)}\n"
        for s, phase, images, y in rows
    ]
    (part / "evaluations.csv").write_text(EVALUATIONS + "".join(lines))
    metrics = [f"{s},1000,test/g_mean,{value}\n" for s, value in g_mean.items()]
    (part / "metrics.csv").write_text(METRICS + "".join(metrics))
    (part / "episodes.csv").write_text(EPISODES)
    return run


def write_answers(
    part: Path, predictions: Any, labels: Any, changes: Mapping[str, Any] | None = None
) -> Path:
    """A part's test.npz with all that was wrong; an image (8, 8, 1) is as bright as its index."""
    guesses, truth = np.atleast_2d(predictions), np.asarray(labels)
    wrong = (guesses != truth).sum(0)
    shown = np.flatnonzero(wrong)[np.argsort(-wrong[wrong > 0], kind="stable")]
    arrays: dict[str, Any] = {
        "seeds": np.arange(len(guesses)),
        "predictions": guesses.astype(np.int16),
        "labels": truth.astype(np.int16),
        "class_names": np.array([f"c{i}" for i in range(truth.max() + 1)]),
        "shown": shown,
        "images": np.stack([np.full((8, 8, 1), i, np.uint8) for i in range(len(truth))])[shown],
    }
    np.savez_compressed(part / "test.npz", **(arrays | dict(changes or {})))
    return part / "test.npz"
