"""What can be said of a run before anything is written: whether it can be, and what it will be."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from rlbench import registry
from rlbench.errors import UserError
from rlbench.experiments.planning import plain
from rlbench.experiments.run import Run
from rlbench.protocol import EVAL_EPISODES, FINAL_EPISODES
from rlbench.storage.run_folder import seed_ranges
from rlbench.user_code.working_directory import same_folder

if TYPE_CHECKING:
    from rlbench.learning.agent import Agent


@same_folder()
def preflight(run: Run, play: bool = True) -> str:
    """What is going to happen, in one line, with device and memory.

    With `play` the environment is stepped for a moment, in this process: where workers compute,
    a crash must end one of them and not this one.

    Raises:
        UserError: the environment does not exist, the agent cannot handle it, there is no such
            device, or memory does not suffice. Nothing has been written then.
    """
    from rlbench.learning.environments.batched_lanes import is_data
    from rlbench.learning.environments.calls import EnvCalls
    from rlbench.learning.environments.make import env_factory
    from rlbench.learning.environments.spaces import ObsSpec
    from rlbench.learning.environments.trial import try_environment
    from rlbench.learning.evaluation.episode_limit import own_limit
    from rlbench.learning.networks.encoders import convolves, reads

    episodes = min(run.eval_episodes, run.final_episodes)
    if run.total_timesteps < 0 or run.n_envs < 1 or episodes < 1:
        raise UserError("steps must not be negative, envs and episodes at least 1")
    agent = registry.agent_class(run.agent)
    agent.check_seeds(run.seeds)
    make = env_factory(run.env, run.env_kwargs)
    env = make()
    try:
        agent.check_env(env, run.config, run.n_envs)
        agent.check_start(run.config, env)
    except UserError as error:
        if isinstance(env.action_space, agent.action_spaces):
            raise  # the observations it is
        raise UserError(f"{error}. Agents that can: {', '.join(able(env)) or 'none'}") from None
    spec = ObsSpec.of(env.observation_space, run.config)
    shown = spec.pictures() if convolves(run.config) else ""
    images = f", {shown}" if shown else ""
    if is_data(env):
        _check_data(run, env)
        images += f", {_splits(env)}"
    endless = ""
    if own_limit(env) is None and not is_data(env):
        endless = (
            f"; {run.env} has no step limit: evaluation cuts episodes after "
            f"{run.limit().of(env):,} (--eval-max-steps)"
        )
    notes = []
    if play:
        normalizes = getattr(run.config, "normalize_obs", False)
        notes = try_environment(env, make, reads(run.config), normalizes)
    EnvCalls.close(env)
    sizes = run.config, spec, env.action_space, len(run.seeds), run.n_envs
    work = functools.partial(agent.work, *sizes)
    device = agent.choose_device(run.device, work)
    memory = agent.check_memory(*sizes, device, max(run.eval_episodes, run.final_episodes))
    why = agent.device_reason(run.device, work)
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


def able(env: Any) -> list[str]:
    """Agents that an environment can be given to, with default parameters."""
    return [name for name in registry.agents() if _takes(registry.agent_class(name), name, env)]


def _takes(agent: type[Agent], name: str, env: Any) -> bool:
    from rlbench.learning.environments.spaces import ObsSpec

    try:
        config = agent.Config.build(name, {})
        n_envs = agent.usual_envs(config)
        agent.check_env(env, config, n_envs)
        agent.check_start(config, env)
        spec = ObsSpec.of(env.observation_space, config)
        agent.estimate_bytes(config, spec, env.action_space, 1, n_envs)
    except (UserError, ImportError):
        return False
    return True


def _check_data(run: Run, env: Any) -> None:
    """Refuse to train on other images than the training split of what the name says."""
    import gymnasium

    from rlbench.learning.environments.batched_lanes import check_split
    from rlbench.learning.environments.make import split

    check_split(env)
    for option, said in (
        ("--eval-episodes", run.eval_episodes != EVAL_EPISODES),
        ("--final-episodes", run.final_episodes != FINAL_EPISODES),
    ):
        if said:
            raise UserError(f"on image data all images of a split are visited: leave out {option}")
    name = split(run.env)[0].rpartition(":")[2]
    spec = gymnasium.registry.get(name)
    for key in ("variant", "data"):
        named = spec.kwargs.get(key) if spec else None
        if named and run.env_kwargs.get(key, named) != named:
            out = "rlbench/Classify-v0 and the like take any" if key == "data" else "name that one"
            raise UserError(f"{name} is {key} {named}, not {run.env_kwargs[key]}: {out}")


def _splits(env: Any) -> str:
    sizes = [f"{len(env.unwrapped.data.splits[s].labels):,} {s}" for s in ("train", "test")]
    return f"{env.unwrapped.data.name} with {' and '.join(sizes)} images"


@same_folder()
def run_metadata(run: Run) -> dict[str, Any]:
    """What run.json says of a run besides its settings: its network in words, its data set, the
    return at which its environment counts as solved, and how long evaluation episodes may last."""
    from rlbench.learning.environments.batched_lanes import is_data
    from rlbench.learning.environments.calls import EnvCalls
    from rlbench.learning.environments.make import env_factory
    from rlbench.learning.environments.spaces import ObsSpec
    from rlbench.learning.networks.encoders import EncoderConfig

    env = env_factory(run.env, run.env_kwargs)()
    network, data = "", None
    if isinstance(run.config, EncoderConfig):
        network = run.config.describe(ObsSpec.of(env.observation_space, run.config))
    if is_data(env):
        data = {**env.unwrapped.data.describe(), "variant": env.unwrapped.variant}
    most = run.limit().of(env)
    EnvCalls.close(env)
    teacher = registry.agent_class(run.agent).teacher_digest(run.config)
    told = {
        "network": network,
        "data": data,
        "reward_threshold": reward_threshold(run),
        "eval_max_steps": most,
    }
    return told | ({"teacher": teacher} if teacher else {})


def reward_threshold(run: Run) -> float | None:
    """The return at which the environment counts as solved, where its registration says one.

    None of our wrappers changes rewards; a wrapper of one's own might.
    """
    import gymnasium

    from rlbench.envs.wrappers import WRAPPERS
    from rlbench.learning.environments.make import split

    name, *wraps = split(run.env)
    spec = gymnasium.registry.get(name.rpartition(":")[2])
    if spec is None or any(wrap.partition(":")[0] not in WRAPPERS for wrap in wraps):
        return None
    return spec.reward_threshold
