"""What can be said of a run before anything is written: whether it can be, and what it will be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlbench import plugins, registry
from rlbench.config import plain
from rlbench.errors import UserError
from rlbench.experiments.run import Run
from rlbench.protocol import EVAL_EPISODES, FINAL_EPISODES
from rlbench.storage.records import check_checksum
from rlbench.storage.run_folder import seed_ranges
from rlbench.user_code.working_directory import same_folder

if TYPE_CHECKING:
    from rlbench.learning.environments.facts import DataFacts, EnvFacts


@same_folder()
def preflight(run: Run, play: bool = True, timed: bool = True) -> str:
    """What is going to happen, in one line, with device and memory.

    With `play` the environment is stepped for a moment, in this process: where workers compute,
    a crash must end one of them and not this one. With `timed` device `auto` is timed if there is a
    GPU, for a few seconds; else it is an estimate.

    Raises:
        UserError: the environment does not exist, the agent cannot handle it, there is no such
            device, or memory does not suffice. Nothing has been written then.
    """
    from rlbench.learning.environments.spaces import ObsSpec
    from rlbench.learning.hardware import precision
    from rlbench.learning.networks.encoders import convolves

    episodes = min(run.eval_episodes, run.final_episodes)
    if min(run.total_timesteps, run.eval_freq or 0) < 0 or run.n_envs < 1 or episodes < 1:
        raise UserError("steps must not be negative, envs and episodes at least 1")
    agent = registry.agent_class(run.agent)
    agent.check_seeds(run.seeds)
    _check_source(run)
    facts = run.source.facts
    try:
        agent.check_env(facts, run.config, run.n_envs)
        agent.check_start(run.config, facts)
    except UserError as error:
        if isinstance(facts.action_space, agent.action_spaces):
            raise  # the observations it is
        raise UserError(f"{error}. Agents that can: {', '.join(able(facts)) or 'none'}") from None
    spec = ObsSpec.of(facts.observation_space, run.config)
    shown = spec.pictures() if convolves(run.config) else ""
    images = f", {shown}" if shown else ""
    if facts.data is not None:
        _check_data(run, facts, facts.data)
        train, test = facts.data.sizes["train"], facts.data.sizes["test"]
        images += f", {facts.data.name} with {train:,} train and {test:,} test images"
    endless = ""
    if facts.own_limit is None and facts.data is None:
        endless = (
            f"; {run.env} has no step limit: evaluation cuts episodes after "
            f"{run.evaluation_steps():,} (--eval-max-steps)"
        )
    notes = environment_notes(run) if play else []
    notes += _ignored_masks(run)
    if not play:
        run.source.close()
    sizes = run.config, spec, facts.action_space, len(run.seeds), run.n_envs
    device, why = agent.choose_device(run.device, *sizes, timed=timed)
    precision.check(run.config, device)
    memory = agent.check_memory(*sizes, device, max(run.eval_episodes, run.final_episodes))
    envs = f", {run.n_envs} environments a seed" if run.n_envs > 1 else ""
    source = f"preset {run.preset}" if run.preset else "default parameters"
    if run.cannot:
        said = ", ".join(f"{name}={plain(value)}" for name, value in run.cannot.items())
        source += f" ({run.agent} cannot: {said})"
    first = agent.first_update(run.config, run.n_envs)
    idle = f"; it learns nothing: its first update is at step {first:,}"
    idle = idle if 0 < run.total_timesteps < first else ""
    unused, tuned = run.config.unused(), registry.presets(run.agent).get(run.preset or "", {})
    for name, value in run.config.changed().items():
        if name in unused and tuned.get(name) != value:  # not the preset's: somebody said so
            idle += f"; {name} is ignored with {unused[name]}"
    if run.eval_freq == 0 and getattr(run.config, "keep_best", False):
        idle += "; keep_best is ignored with eval_freq=0: the last weights are kept"
    last = -(-run.total_timesteps // run.n_envs) * run.n_envs  # all environments step together
    steps = f"{run.total_timesteps:,} steps a seed"
    steps += f" (rounded up to {last:,})" if last > run.total_timesteps else ""
    return (
        f"{run.agent} on {run.env}: {steps}, seeds "
        f"{seed_ranges(run.seeds)}{envs}, {source}, {device}{why}, memory {memory}{images}{idle}"
        f"{endless}" + "".join(f"; {note}" for note in notes)
    )


def packages(run: Run) -> list[str]:
    """Return the packages of plug-ins that the run uses: their versions are written down."""
    from rlbench.learning.named_objects import modules

    encoder = getattr(run.config, "encoder", "")
    return [*plugins.versions(*modules(run.agent, run.env, encoder))]


def environment_notes(run: Run) -> list[str]:
    """Step the environment for a moment; return warnings about it.

    Raises:
        UserError: The environment violates Gymnasium's API or its own observation_space.
    """
    from rlbench.learning.environments.goals import try_goals
    from rlbench.learning.environments.trial import try_environment
    from rlbench.learning.networks.encoders import reads

    if run.source.facts.data is not None:
        return []
    normalizes = getattr(run.config, "normalize_obs", False)
    notes = try_environment(run.source, reads(run.config), normalizes)
    if getattr(run.config, "her", False):
        try_goals(run.source)
    if run.env_vector:
        from rlbench.learning.environments.vector_trial import try_vector

        notes += try_vector(run.source, run.n_envs)
    return notes


def _ignored_masks(run: Run) -> list[str]:
    """Say that a peer plays by no masks where the environment gives some."""
    from rlbench.learning.environments.source import EnvSource

    agent = registry.agent_class(run.agent)
    if agent.takes_masks or not run.source.may_give_masks:
        return []
    source = EnvSource(run.env, run.env_kwargs, masks=None)
    masked = source.facts.masked
    source.close()
    return [f"{run.agent} ignores the action masks of {run.env}"] if masked else []


def able(facts: EnvFacts) -> list[str]:
    """Return the agents that can be used in an environment, with default parameters."""
    return [name for name in registry.agents() if _takes(name, facts)]


def _takes(name: str, facts: EnvFacts) -> bool:
    from rlbench.learning.environments.spaces import ObsSpec

    try:
        agent = registry.agent_class(name)
        config = agent.Config.build(name, {})
        n_envs = agent.usual_envs(config)
        agent.check_env(facts, config, n_envs)
        agent.check_start(config, facts)
        spec = ObsSpec.of(facts.observation_space, config)
        agent.estimate_bytes(config, spec, facts.action_space, 1, n_envs)
    except (UserError, ImportError):
        return False
    return True


def _check_source(run: Run) -> None:
    """Refuse a damaged teacher, and what means nothing to recorded episodes."""
    from rlbench.learning.data.recorded_episodes import is_recorded

    if run.env_vector and is_recorded(str(getattr(run.config, "source", ""))):
        raise UserError(
            f"--env-vector: {run.agent} learns from recorded episodes here, and trains in no "
            "environment: leave it out"
        )
    for file in registry.agent_class(run.agent).teacher_files(run.config):
        if file.with_name("part.json").exists():
            check_checksum(file)


def _check_data(run: Run, facts: EnvFacts, data: DataFacts) -> None:
    """Refuse to train on other images than the training split of what the name says."""
    from rlbench.learning.environments.batched_lanes import check_split

    check_split(data.split)
    for option, said in (
        ("--eval-episodes", run.eval_episodes != EVAL_EPISODES),
        ("--final-episodes", run.final_episodes != FINAL_EPISODES),
    ):
        if said:
            raise UserError(f"on image data all images of a split are visited: leave out {option}")
    for key in ("variant", "data"):
        named = facts.registered_arguments.get(key)
        if named and run.env_kwargs.get(key, named) != named:
            name = run.env.partition("+")[0].rpartition(":")[2]
            out = "rlbench/Classify-v0 and the like take any" if key == "data" else "name that one"
            raise UserError(f"{name} is {key} {named}, not {run.env_kwargs[key]}: {out}")


@same_folder()
def run_metadata(run: Run) -> dict[str, Any]:
    """What run.json says of a run besides its settings: its network in words, its data set, the
    return at which its environment counts as solved, and how long evaluation episodes may last."""
    from rlbench.learning.environments.spaces import ObsSpec
    from rlbench.learning.networks.encoders import EncoderConfig

    facts = run.source.facts
    network, data = "", None
    if isinstance(run.config, EncoderConfig):
        network = run.config.describe(ObsSpec.of(facts.observation_space, run.config))
    if facts.data is not None:
        data = {**facts.data.description, "variant": facts.data.variant}
    teacher = registry.agent_class(run.agent).teacher_digest(run.config)
    told = {
        "network": network,
        "data": data,
        "reward_threshold": facts.reward_threshold,
        "eval_max_steps": run.evaluation_steps(),
    }
    return told | ({"teacher": teacher} if teacher else {})
