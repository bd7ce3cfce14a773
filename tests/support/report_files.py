"""Benches with all that can happen to seeds, made by hand for the tests of reports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from store_files import write_part, write_run


def write_seeds(
    root: Path,
    agent: str,
    scores: Mapping[int, float | str],
    env: str = "CartPole-v1",
    part: Mapping[str, Any] | None = None,
    **run: Any,
) -> Path:
    """A run whose seeds end with a score, or as a status says; its curve goes up to the score."""
    folder = write_run(root, env, agent, **run)
    final = {seed: [s, s] for seed, s in scores.items() if not isinstance(s, str)}
    grid: dict[int, dict[int, list[float]]] = {
        seed: {0: [10.0], 25_000: [final[seed][0] / 2], 50_000: final[seed]}
        if seed in final
        else {0: [10.0]}
        for seed in scores
    }
    status = {seed: s for seed, s in scores.items() if isinstance(s, str)}
    reason = {seed: f"why {s}" for seed, s in status.items() if s != "running"}
    more = {"platform": "Linux x86_64", **(part or {})}
    write_part(folder, grid, final, reason, status, **more)
    return folder


def write_suite(
    root: Path, cells: Sequence[Mapping[str, Any]], name: str = "trial", **changes: Any
) -> Path:
    """The folder of a bench that planned these cells."""
    folder = root / "benches" / name
    folder.mkdir(parents=True)
    whole = [
        {"variant": "", "digest": "3f2a91bc", "seeds": [0, 1, 2], "timeout": None, "error": "", **c}
        for c in cells
    ]
    for cell in whole:
        cell.setdefault("folder", f"{cell['env']}/{cell['agent']}-{cell['digest']}")
    suite = {
        "format": 1,
        "name": name,
        "description": "A trial.",
        "command": f"rlbench bench {name}",
    }
    record = {**suite, "suite": {}, "cells": whole, "commands": [], **changes}
    (folder / "suite.json").write_text(json.dumps(record))
    return folder


def write_bench(root: Path) -> Path:
    """Two environments, three agents and a floor: done, diverged, failed, timed out and missing."""
    ten = range(10)
    write_seeds(root, "dqn", {seed: 400.0 + seed for seed in ten})
    write_seeds(root, "ppo", {seed: 300.0 + seed for seed in ten})
    write_seeds(root, "a2c", {**{s: 350.0 + 20 * s for s in range(7)}, 7: "diverged", 8: "failed",
                              9: "timeout"})  # fmt: skip
    write_seeds(root, "random", {0: 20.0, 1: 22.0})
    acrobot: dict[str, Any] = {"env": "Acrobot-v1", "reward_threshold": -100.0}
    write_seeds(root, "dqn", {seed: -90.0 - seed for seed in ten}, **acrobot)
    write_seeds(root, "ppo", {seed: -90.5 - seed for seed in ten}, **acrobot)
    write_seeds(root, "random", {0: -500.0, 1: -499.0}, **acrobot)
    agents = {"dqn": ten, "ppo": ten, "a2c": ten, "random": range(2)}
    cells = [
        {"env": env, "agent": agent, "seeds": list(seeds)}
        for env in ("CartPole-v1", "Acrobot-v1")
        for agent, seeds in agents.items()
    ]
    cells.append({"env": "Nowhere-v0", "agent": "dqn", "seeds": [0], "error": "no environment"})
    cells[-1] |= {"folder": "", "digest": ""}
    return write_suite(root, cells)
