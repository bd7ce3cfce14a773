"""Run folders as training writes them, made by hand for the tests of reporting."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

EVALUATIONS = "seed,step,phase,episode,return,length,eval_seed,deterministic,epsilon,time\n"
EPISODES = "seed,step,episode,return,length,time\n"
METRICS = "seed,step,key,value\n"


def write_run(
    root: Path,
    env: str = "CartPole-v1",
    agent: str = "dqn",
    variant: str = "",
    digest: str = "3f2a91bc",
    **changes: Any,
) -> Path:
    """The folder of a run without parts."""
    run = root / env / f"{agent}-{digest}"
    run.mkdir(parents=True)
    record = {
        "format": 1,
        "agent": agent,
        "agent_version": 1,
        "env": env,
        "env_kwargs": {},
        "variant": variant,
        "digest": digest,
        "config": {},
        "changed": {},
        "total_timesteps": 50_000,
        "n_envs": 1,
        "eval_freq": 5_000,
        "eval_episodes": 10,
        "final_episodes": 100,
        "reward_threshold": 475.0,
        "created": "2026-01-01T00:00:00+00:00",
        "command": f"rlbench run {agent} --env {env}",
    }
    (run / "run.json").write_text(json.dumps(record | changes))
    return run


def write_part(
    run: Path,
    grid: Mapping[int, Mapping[int, Iterable[float]]],
    final: Mapping[int, Iterable[float]] | None = None,
    reason: Mapping[int, str] | None = None,
    status: Mapping[int, str] | None = None,
    **changes: Any,
) -> Path:
    """A part with the seeds of `grid`: {seed: {step: returns of its episodes}}.

    A seed is done where it has final returns, otherwise running; `status` overrules.
    """
    final, seeds = final or {}, sorted(grid)
    part = run / f"seeds-{'-'.join(map(str, seeds))}"
    part.mkdir()
    states = {seed: "done" if seed in final else "running" for seed in seeds} | dict(status or {})
    record = {
        "seeds": seeds,
        "status": {str(seed): state for seed, state in states.items()},
        "reason": {str(seed): why for seed, why in (reason or {}).items()},
        "step": 50_000,
        "seconds": 61.5,
        "device": "cpu",
        "versions": {"torch": "2.13.0"},
        "commit": "0" * 40,
        "started": "2026-01-01T00:00:00+00:00",
        "updated": "2026-01-01T00:01:00+00:00",
    }
    (part / "part.json").write_text(json.dumps(record | changes))
    rows = [
        (seed, step, "grid", episode, value)
        for seed, points in grid.items()
        for step, values in points.items()
        for episode, value in enumerate(values)
    ]
    rows += [
        (seed, 50_000, "final", episode, value)
        for seed, values in final.items()
        for episode, value in enumerate(values)
    ]
    (part / "evaluations.csv").write_text(
        EVALUATIONS
        + "".join(
            f"{seed},{step},{phase},{episode},{float(value)},200,{episode},True,0.0,1.5\n"
            for seed, step, phase, episode, value in rows
        )
    )
    (part / "episodes.csv").write_text(
        EPISODES + "".join(f"{seed},20,0,20.0,20,0.1\n" for seed in seeds)
    )
    (part / "metrics.csv").write_text(
        METRICS + "".join(f"{seed},1000,train/loss,0.25\n" for seed in seeds)
    )
    return part
