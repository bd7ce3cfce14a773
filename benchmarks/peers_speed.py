"""Peers that are libraries, with the settings of a piece of work. Each is imported when used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from timing import timed
from work import FRAMES, LSTM, Case, Work


def environments(work: Work) -> Any:
    """Stable-Baselines3's vector of environments, for it and those who share its interface."""
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecFrameStack

    if not work.images:
        return make_vec_env(work.env, work.n_envs)
    import_module("rlbench.envs")  # registers them
    return VecFrameStack(make_vec_env(work.env, work.n_envs), FRAMES)


def sb3(work: Work, device: str = "cpu") -> Case:
    """Stable-Baselines3, and sb3-contrib for an LSTM."""
    import_module("torch").set_num_threads(1)
    name, policy, network = work.agent.upper(), "MlpPolicy", {"net_arch": list(work.net_arch)}
    library, note = "stable_baselines3", ""
    if work.images:  # its convolutions end in 512 units
        policy, network = "CnnPolicy", {"net_arch": []}
    if work.lstm:
        library, name, policy = "sb3_contrib", "RecurrentPPO", "MlpLstmPolicy"
        both = work.lstm == "shared"
        lstm = {"lstm_hidden_size": LSTM, "shared_lstm": both, "enable_critic_lstm": not both}
        network |= lstm  # type: ignore[arg-type]
        note = "the critic moves no LSTM" if both else ""
    make = getattr(import_module(library), name)
    model = make(
        policy, environments(work), policy_kwargs=network, device=device, **work.all_settings()
    )
    return Case(timed(model.learn), note=note)


def sbx(work: Work) -> Case:
    """SBX: Stable-Baselines3 in JAX."""
    settings, widths = work.all_settings(), list(work.net_arch)
    note = ""
    if work.agent == "dqn":
        note = f"{widths[0]}-{widths[0]}" if len(set(widths)) > 1 else ""
    policy = "CnnPolicy" if work.images else "MlpPolicy"
    make = getattr(import_module("sbx"), work.agent.upper())
    model = make(policy, environments(work), policy_kwargs={"net_arch": widths}, **settings)
    return Case(timed(model.learn), note=note)


def rejax(work: Work, seeds: int) -> Case:
    """rejax: environment, acting and learning as one JAX program, seeds by `vmap`.

    Its version 0.1.3 needs gymnax below 1.
    """
    jax = import_module("jax")
    s, lanes = work.all_settings(), work.n_envs
    given = {"env": work.env, "learning_rate": s["learning_rate"], "gamma": s["gamma"]}
    algorithm = import_module("rejax").get_algo(work.agent)
    if work.agent == "ppo":
        steps = lanes * s["n_steps"]
        one = algorithm.create(
            num_envs=lanes, num_steps=s["n_steps"], num_minibatches=steps // s["batch_size"],
            num_epochs=s["n_epochs"], gae_lambda=s["gae_lambda"], ent_coef=0.0,
            agent_kwargs={"hidden_layer_sizes": work.net_arch, "activation": "tanh"}, **given,
        )  # fmt: skip
    else:  # it updates after every step of all environments
        steps = s["train_freq"]
        one = algorithm.create(
            num_envs=steps, batch_size=s["batch_size"], buffer_size=s["buffer_size"],
            fill_buffer=0, target_update_freq=s["target_update_interval"], eps_start=0.05,
            eps_end=0.05, ddqn=False, agent_kwargs={"activation": "relu"}, **given,
        )  # fmt: skip
        one = one.replace(agent=one.agent.clone(hidden_layer_sizes=work.net_arch))
    keys = jax.random.split(jax.random.PRNGKey(0), seeds)
    held = jax.jit(jax.vmap(one.init_state))(keys)
    step = jax.vmap(one.train_iteration)
    many = jax.jit(lambda state, n: jax.lax.fori_loop(0, n, lambda _, it: step(it), state))

    def run(count: int) -> None:
        nonlocal held
        held = jax.block_until_ready(many(held, max(count // steps, 1)))

    note = f"{steps} environments" if work.agent == "dqn" and steps > 1 else ""
    return Case(timed(run, seeds), None, ", ".join(filter(None, ["environment in JAX", note])))
