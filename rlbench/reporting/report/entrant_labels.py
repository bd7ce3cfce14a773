"""Labels of entrants: an agent, and what tells its runs apart."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

from rlbench.storage.run_names import steps_text

MOST = 3  # settings in a label; where more differ, the fewest that tell runs apart
# Settings of a run outside its config, those first that explain most.
_ABOUT = ("total_timesteps", "n_envs", "preset", "agent_version")
_EVALUATION = ("eval_max_steps", "final_episodes", "eval_episodes", "eval_freq")
_Key = tuple[str, ...]


def labels_of(runs: Mapping[_Key, tuple[dict[str, Any], bool]]) -> dict[_Key, str]:
    """Return the label of each run.

    Runs are by (env, agent, variant, digest): the record in run.json, and whether a bench has
    chosen the name of its variant, which is then kept. Runs of one environment that would have the
    same label are told apart by the settings that differ: "dqn, 500k steps".
    """
    labels = {key: _label(key, *run) for key, run in runs.items()}
    alike: dict[_Key, list[_Key]] = {}
    for key, label in labels.items():
        alike.setdefault((key[0], label), []).append(key)
    for (_, label), keys in alike.items():
        if len(keys) > 1:
            records = [runs[key][0] for key in keys]
            for key, text in zip(keys, _differences(records), strict=True):
                labels[key] = f"{label}, {text}" if text else label
    return labels


def _label(key: _Key, run: dict[str, Any], named: bool) -> str:
    """Join agent and variant; leave out what was said and is the default anyway."""
    _, agent, variant, _ = key
    if named or not variant:
        return f"{agent} {variant}".strip()
    config, changed = run.get("config") or {}, run.get("changed") or {}
    words = re.split(r" (?=\w+=|no preset$)", variant)
    default = [name for name in config if name not in changed]
    words = [word for word in words if word.partition("=")[0] not in default]
    return ", ".join([agent, *words])


def _differences(runs: list[dict[str, Any]]) -> list[str]:
    """Describe each run by settings in which they differ; "" if there are none."""
    values = [_settings(run) for run in runs]
    names = dict.fromkeys(name for mine in values for name in mine)
    different = [name for name in names if len({mine.get(name) for mine in values}) > 1]
    # All that differs if it is little, else the fewest that make descriptions unique.
    sizes = [len(different)] if len(different) <= MOST else range(1, MOST + 1)
    for size in sizes:
        for chosen in itertools.combinations(different, size):
            texts = [_text({name: mine.get(name) for name in chosen}) for mine in values]
            if len(set(texts)) == len(texts):
                return texts
    return [""] * len(runs)


def _settings(run: dict[str, Any]) -> dict[str, str]:
    """Return settings as text, in the order in which they describe a run best."""
    config = run.get("config") or {}
    values = {name: run.get(name) for name in _ABOUT} | {"preset": bool(run.get("preset"))}
    values |= {**config, **{name: run.get(name) for name in _EVALUATION}}
    return {name: _plain(value) for name, value in values.items() if value is not None}


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _text(values: dict[str, str | None]) -> str:
    words = []
    for name, value in values.items():
        if name == "total_timesteps" and value is not None:
            words.append(f"{steps_text(int(value))} steps")
        elif name == "preset":
            words.append("preset" if value == "true" else "no preset")
        elif value is not None:
            words.append(f"{name}={value}")
    return ", ".join(words)
