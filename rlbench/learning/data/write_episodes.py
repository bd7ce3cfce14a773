"""Writing of recorded episodes as Minari data sets."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from rlbench.errors import UserError
from rlbench.learning.data.recorded_episodes import PREFIX, minari, path_of, readable
from rlbench.learning.environments.text import is_text


def check_new(data_id: str) -> None:
    """Refuse a name that is none, or that a data set has.

    Raises:
        UserError: It is, or Minari is missing.
    """
    minari("dataset._storages.hdf5_storage")
    if (path := path_of(PREFIX + data_id)).exists():
        raise UserError(
            f"there is a data set {data_id} in {path}: give another name by -o, or delete it"
        )


def write(data_id: str, episodes: Iterable[Any], env: Any, about: Mapping[str, str]) -> Path:
    """Write episodes of `evaluation.recording`, played in environments like `env`; return where.

    Images are stored as they are: Minari would make JPEG of them.

    Raises:
        UserError: They cannot be written; nothing is left then.
    """
    path, buffer = path_of(PREFIX + data_id), minari("data_collector").EpisodeBuffer

    def buffers() -> Any:
        for episode in episodes:
            terminated, truncated = episode.ended()
            yield buffer(
                seed=episode.reset_seed,
                observations=_joined(episode.obs, env.observation_space),
                actions=_joined(episode.action, env.action_space),
                rewards=np.array(episode.reward),
                terminations=terminated,
                truncations=truncated,
            )

    spaces_of = {"observation_space": env.observation_space, "action_space": env.action_space}
    try:
        with warnings.catch_warnings(), readable(PREFIX + data_id, "written"):
            warnings.simplefilter("ignore", UserWarning)  # it misses an author and an address
            minari("").create_dataset_from_buffers(
                data_id, buffers(), env=env if _described(env) else None, **spaces_of, **about,
                jpeg_encoding=False,
            )  # fmt: skip
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return path


def _described(env: Any) -> bool:
    """Whether an environment can be named in a data set, so that others can make it."""
    try:
        return bool(env.spec and env.spec.to_json())
    except Exception:  # of classes that are not registered, and wrappers with arguments
        return False


def _joined(values: list[Any], space: spaces.Space[Any]) -> Any:
    """Join observations or actions of T steps to arrays (T, ...), by part."""
    if isinstance(space, spaces.Dict):
        return {k: _joined([each[k] for each in values], part) for k, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        parts = enumerate(space.spaces)
        return tuple(_joined([each[i] for each in values], part) for i, part in parts)
    return list(map(str, values)) if is_text(space) else np.array(values, space.dtype)
