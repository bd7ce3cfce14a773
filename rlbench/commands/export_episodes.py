"""The `export --format minari` command: episodes that saved agents play, as a data set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rlbench import registry
from rlbench.commands.evaluate import trained_agents
from rlbench.common.console import console as new_console
from rlbench.common.number_format import mean_text
from rlbench.config import MOST_SEEDS
from rlbench.errors import UserError
from rlbench.experiments.run import Run
from rlbench.learning.data import write_episodes
from rlbench.learning.data.recorded_episodes import PREFIX
from rlbench.learning.environments.make import env_factory
from rlbench.learning.evaluation.recording import PlayedEpisode, record_episodes
from rlbench.learning.rng import recording_seeds
from rlbench.process import configure_process
from rlbench.storage import run_folder
from rlbench.storage.run_folder import RunFolder, seed_ranges
from rlbench.storage.run_names import run_name


def export_episodes(
    name: str, seed: int | None, episodes: int, data_id: str | None, out: Path
) -> str:
    """Let the agents of a run play episodes, and write them as a Minari data set; return its id.

    They act as in evaluation, from reset seeds of their own, so that who learns from them has seen
    no episode that it is evaluated on.

    Raises:
        UserError: There is no such agent, the run is on images, an environment fails, Minari is
            missing, or there is a data set of that name.
    """
    configure_process()
    folder = RunFolder(run_folder.find_run(name, out))
    record = folder.read()
    run = Run.from_json(record, ())
    if run.source.facts.data is not None:
        raise UserError(f"{folder.path} learned from images, which are a data set already")
    data_id = data_id or f"rlbench/{re.sub(r'[^A-Za-z0-9_-]', '_', run_name(record))}-v0"
    seeds = None if seed is None else [seed]
    agents = trained_agents(folder, run, seeds, most=MOST_SEEDS)
    write_episodes.check_new(data_id)
    kind, make = registry.agent_class(run.agent), env_factory(run.env, run.env_kwargs)
    returns: list[float] = []
    steps = 0

    def played() -> Iterator[PlayedEpisode]:
        nonlocal steps
        for each, file in agents:
            policy = kind.load(file, run.source, seed=each, device="cpu").policy()
            reset_seeds = recording_seeds(each, episodes)
            for episode in record_episodes(policy, make, run.masked, reset_seeds, run.limit()):
                returns.append(sum(episode.reward))
                steps += len(episode.reward)
                yield episode

    sample = make()
    about = {
        "algorithm_name": run.agent,
        "description": f"{episodes} episodes of each agent, seeds "
        f"{seed_ranges([each for each, _ in agents])} of run {record['digest']} of rlbench: "
        "the policy as in evaluation, from reset seeds that no evaluation uses",
    }
    path = write_episodes.write(data_id, played(), sample, about)
    sample.close()
    run.source.close()
    lines = {
        "data set": f"{PREFIX}{data_id}",
        "folder": str(path),
        "episodes": f"{len(returns):,} of {len(agents)} agents, {steps:,} steps",
        "return": f"{mean_text(returns)} (standard deviation over episodes)",
    }
    for what, text in lines.items():
        new_console().print(f" {what:9} {text}", soft_wrap=True, highlight=False)
    return data_id
