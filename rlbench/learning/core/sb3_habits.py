"""Arguments as Stable-Baselines3 takes them: translated where they mean something here.

What has no counterpart is refused with what to write instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from gymnasium import Env

from rlbench.errors import UserError

# Policies by the encoder that stands for them.
POLICIES = {
    "MlpPolicy": "mlp",
    "CnnPolicy": "cnn",
    "MultiInputPolicy": "auto",
    "MlpLstmPolicy": "lstm",
    "CnnLstmPolicy": "cnn+lstm",
    "MultiInputLstmPolicy": "lstm",
}
# Entries of policy_kwargs that are parameters here, by their names.
ENTRIES = {
    "ortho_init": "ortho_init",
    "lstm_hidden_size": "hidden_size",
    "n_lstm_layers": "num_layers",
    "log_std_init": "log_std_init",
    "share_features_extractor": "share_encoder",
    "n_critics": "n_critics",
    "n_quantiles": "n_quantiles",
}
# Values of entries that ask for what is done anyway.
USUAL: dict[str, Any] = {
    "normalize_images": True, "squash_output": False, "use_sde": False,
    "optimizer_kwargs": {}, "features_extractor_kwargs": {}, "full_std": True,
    "use_expln": False,
}  # fmt: skip
# Values of arguments that ask for what is done anyway.
DONE: dict[str, Any] = {
    "_init_setup_model": True, "action_noise": None, "optimize_memory_usage": False,
    "policy_kwargs": None, "replay_buffer_class": None, "replay_buffer_kwargs": None,
    "rms_prop_eps": 1e-5, "rollout_buffer_class": None, "rollout_buffer_kwargs": None,
    "sde_sample_freq": -1, "stats_window_size": 100, "target_kl": None,
    "target_update_interval": 1, "tensorboard_log": None,
    "use_sde": False, "use_sde_at_warmup": False,
}  # fmt: skip
# What there is in place of methods and attributes of its models.
ATTRIBUTES = {
    "collect_rollouts": "agent.lanes(), agent.act(obs) and agent.observe(step) make a loop",
    "dump_logs": "verbose=1 prints tables",
    "env": "agent.lanes() makes environments, and agent.env_name names them",
    "ep_info_buffer": "agent.history has rollout/ep_rew_mean",
    "get_env": "agent.lanes() makes environments, and agent.env_name names them",
    "get_parameters": "agent.to_torch(seed=0).state_dict() has the weights of a seed",
    "get_vec_normalize_env": "normalize_obs=true is a parameter, and belongs to the policy",
    "load_replay_buffer": "agent.save(path) has it, and load reads it",
    "logger": "agent.history has every number, and callbacks get every row",
    "replay_buffer": "agent.save(path) has it, and load reads it",
    "rollout_buffer": "callbacks get every row",
    "save_replay_buffer": "agent.save(path) has it, and load reads it",
    "set_logger": "agent.history has every number, and callbacks get every row",
    "set_parameters": "Agent.load(path) reads weights",
    "set_random_seed": "seed= is an argument of the constructor",
}
EXTRACTORS = {"FlattenExtractor": "mlp", "NatureCNN": "cnn", "CombinedExtractor": "auto"}
OPTIMIZERS = {"Adam": "adam", "AdamW": "adamw", "RMSprop": "rmsprop", "RMSpropTFLike": "rmsprop"}
# What schedules of these parameters are called.
SCHEDULES = {"learning_rate": "lr_schedule", "clip_range": "clip_schedule"}
WRAPPED = {
    "VecNormalize": "give the environments without it, and normalize_obs=true",
    "VecFrameStack": "give the environments without it, and frame_stack=4",
}


class NoAttribute(UserError, AttributeError):
    """Error: agents have no such attribute, as `hasattr` sees too."""


def no_attribute(called: str, name: str) -> AttributeError:
    """Return the error for an attribute that an agent lacks, with what there is instead."""
    if name in ATTRIBUTES:
        return NoAttribute(f"{called} has no '{name}': {ATTRIBUTES[name]}")
    return AttributeError(f"'{called}' object has no attribute '{name}'")


def is_policy(value: Any) -> bool:
    """Return whether a first argument is one of Stable-Baselines3's policies."""
    return isinstance(value, str) and value in POLICIES


def parameters_of(
    called: str, fields: Mapping[str, Any], policy: Any, given: dict[str, Any]
) -> dict[str, Any]:
    """Translate parameters to those of an agent with these fields; `policy` may be None.

    Raises:
        UserError: Something has no counterpart.
    """
    given = {
        name: value
        for name, value in given.items()
        if name in fields or name not in DONE or value != DONE[name]
    }
    if "use_rms_prop" in given and "optimizer" in fields:
        given["optimizer"] = "rmsprop" if given.pop("use_rms_prop") else "adam"
    new = {} if policy is None else {"encoder": _encoder(called, policy)}
    if "policy_kwargs" in given and "policy_kwargs" not in fields:
        new |= _entries(called, fields, given.pop("policy_kwargs"))
    for name, schedule in SCHEDULES.items():
        if callable(given.get(name)):
            new |= _scheduled(called, fields, name, schedule, given.pop(name))
    for name in new.keys() & given.keys():
        raise UserError(f"{called}: {name} is given twice, the second time as SB3's: give one")
    return {**given, **new}


def _encoder(called: str, policy: Any) -> str:
    if not is_policy(policy):
        name = policy if isinstance(policy, str) else getattr(policy, "__name__", str(policy))
        raise UserError(
            f"{called} has no policy '{name}': the network is set by encoder=, which takes a class "
            "of torch.nn.Module too"
        )
    return POLICIES[policy]


def _entries(called: str, fields: Mapping[str, Any], entries: Any) -> dict[str, Any]:
    """Translate policy_kwargs."""
    if not isinstance(entries, Mapping):
        raise UserError(f"{called}: policy_kwargs must be a dict, not {type(entries).__name__}")
    new: dict[str, Any] = {}
    for name, value in entries.items():
        if name in USUAL and value in (USUAL[name], None):
            continue
        own = str(ENTRIES.get(name, name))
        translated = value
        if name == "net_arch":
            translated = _net_arch(called, value)
        elif name == "activation_fn":
            own, translated = "activation", getattr(value, "__name__", str(value)).lower()
        elif name == "features_extractor_class":
            own, translated = "encoder", EXTRACTORS.get(getattr(value, "__name__", ""), value)
        elif name == "optimizer_class":
            kind = getattr(value, "__name__", str(value))
            own, translated = "optimizer", OPTIMIZERS.get(kind, kind)
        if own not in fields:
            raise UserError(
                f"{called}: policy_kwargs['{name}'] has no counterpart: leave it out; parameters "
                f"of networks are {', '.join(sorted(NETWORK & fields.keys()))}"
            )
        new[own] = translated
    return new


NETWORK = {"encoder", "net_arch", "head_arch", "activation", "ortho_init", "hidden_size",
           "num_layers", "layer_norm", "optimizer", "weight_decay", "share_encoder"}  # fmt: skip


def _net_arch(called: str, value: Any) -> Any:
    """Return the widths of layers, where actor and critic have the same."""
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], Mapping):
        value = value[0]  # as earlier versions had it
    if not isinstance(value, Mapping):
        return value
    widths = [list(each) for each in value.values()]
    if not widths or any(each != widths[0] for each in widths):
        raise UserError(
            f"{called}: actor and critic have layers of the same widths here: give one list, as in "
            "net_arch=[64, 64]"
        )
    return widths[0]


def _scheduled(
    called: str, fields: Mapping[str, Any], name: str, schedule: str, function: Callable[..., Any]
) -> dict[str, Any]:
    """Recognise a schedule, a function of the share of training that is left, by its values.

    Raises:
        UserError: It is none of the schedules that have names.
    """
    left = [1.0, 0.9, 0.75, 0.5, 0.25, 0.1, 0.0]
    try:
        values = [float(function(share)) for share in left]
    except Exception as error:
        raise UserError(
            f"{called}: {name} must be a number or a function of the share of training that is "
            f"left, and this one fails: {type(error).__name__}: {error}"
        ) from None
    first = values[0]
    known = {
        "constant": [first for _ in left],
        "linear": [first * share for share in left],
        "cosine": [first * 0.5 * (1.0 + math.cos(math.pi * (1.0 - share))) for share in left],
    }
    there = str(fields[schedule].annotation) if schedule in fields else ""
    for kind, expected in known.items():
        close = (math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12) for a, b in zip(values, expected))
        if all(close) and (kind == "constant" or f"'{kind}'" in there):
            return {name: first} | ({} if kind == "constant" else {schedule: kind})
    kinds = [kind for kind in known if f"'{kind}'" in there]
    ways = (
        f"{name}={first:g} with {schedule}={' or '.join(kinds)}" if kinds else f"{name}={first:g}"
    )
    raise UserError(f"{called}: this schedule of {name} has no name here: give {ways}")


def single(env: Any) -> tuple[Any, int | None]:
    """Return an environment of a vector of equal ones, and how many it held; else `env`, None.

    Raises:
        UserError: The vector changes observations or rewards.
    """
    count = getattr(env, "num_envs", None)
    while hasattr(env, "num_envs"):
        kind = type(env).__name__
        if kind in WRAPPED:
            raise UserError(f"{kind} is no part of an environment: {WRAPPED[kind]}")
        if kind not in ("VecMonitor", "VecTransposeImage"):
            break
        env = env.venv
    envs = getattr(env, "envs", None)
    if count and isinstance(envs, list | tuple) and _alike(envs):
        return _bare(envs[0]), count
    return (_bare(env) if count is None else env), None


def _alike(envs: list[Any] | tuple[Any, ...]) -> bool:
    """Return whether these are environments of one kind."""
    kinds = {(type(each.unwrapped), str(each.spec)) for each in envs if isinstance(each, Env)}
    return bool(envs) and len(kinds) == 1 and all(isinstance(each, Env) for each in envs)


def _bare(env: Any) -> Any:
    """Remove Stable-Baselines3's Monitor, since episodes are counted here as well."""
    while type(env).__name__ == "Monitor" and type(env).__module__.startswith("stable_baselines3"):
        env = env.env
    return env
