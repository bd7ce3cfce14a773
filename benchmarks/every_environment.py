"""Runs agents on every environment that Gymnasium registers, and prints what came of each.

    python benchmarks/every_environment.py [--steps 2000] [--agents dqn ppo ...] [--only PATTERN]
                                           [--markdown FILE]

Each run is an `rlbench run` of two seeds, in a process forked from this one, which has imported
what it needs. Evaluations are short (2 episodes, 5 at the end), no floor is scored. Outcomes:

    done       every seed has its final score
    no         the agent does not take such actions: exit code 2 with one line. The first refusal
               stands for the other environments with the same kind of action space
    refused    exit code 2 with one line, for another reason
    failed     a seed failed or diverged
    slow       it was killed after `--limit` seconds, and had shown progress in the last minute
    HANGS      it was killed after them, and had not
    TRACEBACK, UNCLEAR (a refusal without a line), EXIT (an unknown exit code)

Those in capitals are faults of rlbench, and the exit code is then 1. An environment that cannot be
made here is tried with one agent, for the reason. Atari stands for itself with one game.
`--markdown` keeps a table in a file, written after each environment; environments that have a row
there are not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import multiprocessing
import os
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import gymnasium

from rlbench import configure_process

AGENTS = ("dqn", "ppo", "sac", "sb3-dqn", "sb3-ppo")
ATARI = "ALE/Pong-v5"
MORE = {  # arguments for some environments and agents
    ATARI: ("--env-kwargs", "frameskip=1", "--wrap", "atari"),
    "CarRacing-v3": ("--eval-max-steps", "100"),  # it draws each frame
    "sac": ("-p", "net_arch=64,64", "-p", "batch_size=64"),  # 2,000 updates in seconds
}
STACKED = ("-p", "frame_stack=4"), ("--wrap", "FrameStackObservation:stack_size=4")  # ours, peers
IMPORTED = (
    "rlbench.cli.main", "rlbench.commands.train", "rlbench.agents.dqn", "rlbench.agents.ppo",
    "rlbench.agents.sac", "stable_baselines3", "sb3_contrib", "seaborn", "scipy.stats",
    "matplotlib.pyplot", "mujoco", "Box2D", "sklearn", "torch._dynamo",
)  # fmt: skip


class Outcome(NamedTuple):
    """What came of one run."""

    env: str
    agent: str
    result: str
    seconds: float
    line: str  # the last line that it printed


def environments() -> list[str]:
    """Ids of the registry: Gymnasium's own and ours, and one Atari game where it is installed."""
    import rlbench.envs  # noqa: F401  registers ours

    chosen = [
        name
        for name, spec in gymnasium.registry.items()
        if not (name.startswith("ALE/") or "atari" in str(spec.entry_point).lower())
    ]
    try:
        import ale_py  # noqa: F401  registers Atari's
    except ImportError:
        return chosen
    return [*chosen, ATARI]


def kind_of(env: str) -> tuple[str, bool]:
    """The class of its action space, empty where it cannot be made; whether it is image data."""
    from rlbench.learning.environments.facts import is_data

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = gymnasium.make(env)
    except Exception:  # rlbench says why
        return "", False
    made.close()
    return type(made.action_space).__name__, is_data(made)


def rlbench_main(arguments: list[str], log: Path) -> None:
    """`rlbench ARGUMENTS`, which prints into a file."""
    from rlbench.cli.main import main

    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    main(arguments)


def run(agent: str, env: str, images: bool, steps: int, limit: float, folder: Path) -> Outcome:
    """`rlbench run AGENT --env ENV` for two seeds, killed when it takes longer than the limit."""
    arguments = ["run", agent, "--env", env, "-n", str(steps), "--seeds", "2", "--jobs", "1",
                 "--out", str(folder), "--eval-freq", str(steps // 2), "--no-floor"]  # fmt: skip
    if not images:  # of which all are shown
        arguments += ["--eval-episodes", "2", "--final-episodes", "5"]
    arguments += [*MORE.get(env, ()), *MORE.get(agent, ())]
    if env == ATARI:
        arguments += STACKED[agent.startswith("sb3-")]
        arguments += ["-p", "buffer_size=5000"] if "dqn" in agent and "pqn" not in agent else []
    log = folder / "log.txt"
    begun = time.monotonic()
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=rlbench_main, args=(arguments, log))
    process.start()
    process.join(limit)
    killed = process.is_alive()
    silent = time.time() - log.stat().st_mtime > 60
    if killed:
        process.kill()
        process.join()
    printed = log.read_text("utf-8", "replace")
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    results = {0: "done", 1: "failed", 2: "refused"}
    result = results.get(process.exitcode or 0, f"EXIT {process.exitcode}")
    if killed:
        result = "HANGS" if silent else "slow"
    elif re.search(r"^Traceback", printed, re.MULTILINE):
        result = "TRACEBACK"
    elif result == "refused" and not last.startswith("Error: "):
        result = "UNCLEAR"
    elif result == "refused" and re.match(r"Error: \S+ needs .* actions, not ", last):
        result = "no"
    return Outcome(env, agent, result, time.monotonic() - begun, last)


def row(env: str, outcomes: dict[str, Outcome], agents: Iterable[str]) -> str:
    """A row of the Markdown table: an outcome for each agent, and the lines of all but `done`."""
    told = (of.line for of in outcomes.values() if of.result not in ("done", "no"))
    notes = "; ".join(dict.fromkeys(told)).replace("|", "/")[:300]
    cells = [outcomes[agent].result if agent in outcomes else "" for agent in agents]
    return f"| {' | '.join([env, *cells, notes])} |"


def rows_of(file: Path | None) -> dict[str, str]:
    """Rows of a table that an earlier call wrote, by environment."""
    if file is None or not file.exists():
        return {}
    lines = [line for line in file.read_text("utf-8").splitlines() if line.startswith("| ")]
    return {line.split("|")[1].strip(): line for line in lines[1:]}


def main() -> None:
    """Print a line for each run as it ends, then a table of counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--agents", nargs="+", default=AGENTS)
    parser.add_argument("--only", default="", help="environments whose id matches this pattern")
    parser.add_argument("--limit", type=float, default=180, help="seconds that a run may take")
    parser.add_argument("--markdown", type=Path, help="file that the table is kept in")
    chosen = parser.parse_args()
    os.environ["COLUMNS"] = "200"
    for module in IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    configure_process()  # before processes are forked
    head = f"| {' | '.join(['environment', *chosen.agents, 'notes'])} |"
    head += "\n" + "|---" * (len(chosen.agents) + 2) + "|"
    rows = rows_of(chosen.markdown)
    counts: Counter[str] = Counter()
    refusals: set[tuple[str, str]] = set()  # an agent and a kind of action space
    with tempfile.TemporaryDirectory() as folder:
        for env in environments():
            if env in rows or not re.search(chosen.only, env):
                continue
            kind, images = kind_of(env)
            outcomes: dict[str, Outcome] = {}
            for agent in chosen.agents if kind else chosen.agents[:1]:
                if (agent, kind) in refusals:
                    outcome = Outcome(env, agent, "no", 0.0, "")
                else:
                    outcome = run(agent, env, images, chosen.steps, chosen.limit, Path(folder))
                if outcome.result == "no":
                    refusals.add((agent, kind))
                outcomes[agent] = outcome
                counts[outcome.result] += 1
                detail = "" if outcome.result == "done" else outcome.line
                print(f"{env:36} {agent:8} {outcome.result:9} {outcome.seconds:5.0f} s  {detail}",
                      flush=True)  # fmt: skip
            rows[env] = row(env, outcomes, chosen.agents)
            if chosen.markdown:
                chosen.markdown.write_text("\n".join([head, *rows.values(), ""]), "utf-8")
    print()
    for result, count in counts.most_common():
        print(f"{result:9} {count}")
    sys.exit(any(result.isupper() for result in counts))


if __name__ == "__main__":
    main()
