"""Recorded episodes that agents learn from: Minari data sets (Younis et al. 2024).

A source is "minari:ID". What a data set says of its environment is compared and never followed: no
environment is made from its metadata, and no code in it is run.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from rlbench.config import Config
from rlbench.distribution import install
from rlbench.errors import UserError
from rlbench.learning.environments.spaces import ObsSpec

PREFIX = "minari:"
METADATA = "metadata.json"
_CONTENT = ("observation_space", "action_space", "data_format", "jpeg_encoding", "total_episodes")


class RecordedEpisodes(NamedTuple):
    """E episodes of T steps together, one after the other."""

    obs: np.ndarray  # (T + E, *obs) as `ObsSpec` stores them: an episode has one more than steps
    place: np.ndarray  # (T,) where in `obs` that of a step is; its successor is the next one
    action: np.ndarray  # (T, *action), Discrete ones counted from 0
    reward: np.ndarray  # (T,) float32
    terminated: np.ndarray  # (T,) bool
    truncated: np.ndarray  # (T,) bool
    lengths: np.ndarray  # (E,) steps of each episode

    @property
    def starts(self) -> np.ndarray:
        """First step of each episode, (E,)."""
        return np.cumsum(self.lengths) - self.lengths


def is_recorded(source: str) -> bool:
    """Return whether a source names a data set, and not trained agents."""
    return source.startswith(PREFIX)


def identity(config: Config) -> dict[str, Any]:
    """Return what was changed of a configuration with a `source`, a data set by its content."""
    changed = config.changed()
    if is_recorded(changed.get("source", "")):
        changed["source"] = PREFIX + digest(changed["source"])
    return changed


def digest(source: str) -> str:
    """Digest of what a data set holds, 16 hexadecimal digits, wherever it is and is called."""
    folder = _folder(source)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    stamps = tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    return _digest(source, folder, stamps)


@functools.lru_cache
def _digest(source: str, folder: Path, stamps: tuple[tuple[Path, int, int], ...]) -> str:
    said = _metadata(source, folder)
    content = hashlib.sha256(json.dumps([said.get(name) for name in _CONTENT]).encode())
    with readable(source):
        for path, size, _ in stamps:
            if path != folder / METADATA:  # which says its name
                content.update(f"{path.relative_to(folder)} {size} ".encode())
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        content.update(block)
    return content.hexdigest()[:16]


def steps(source: str) -> int:
    """Steps that a data set says it holds."""
    count = _metadata(source, _folder(source)).get("total_steps")
    if type(count) is not int or count < 1:
        raise UserError(f"{source} holds no steps")
    return count


def known_steps(source: str) -> int:
    """Steps of a data set that is here, 0 of others: agents act without it."""
    try:
        there = (path_of(source) / "data").is_dir()
    except UserError:
        return 0
    return steps(source) if there else 0


def check(source: str, spec: ObsSpec, action_space: spaces.Space[Any]) -> None:
    """Refuse a data set of other spaces than these.

    Raises:
        UserError: There is no such data set, it cannot be read, or its spaces differ.
    """
    steps(source)
    if spec.mask is not None:
        raise UserError(
            f"{source} holds no action masks, which this environment gives: add "
            "-p action_masks=false"
        )
    said = _metadata(source, _folder(source))
    with readable(source):  # what reads its format is there
        minari("dataset._storages").get_minari_storage(said.get("data_format"))
    for name, space in (("observation_space", spec.space), ("action_space", action_space)):
        text = said.get(name)
        if not isinstance(text, str):  # Minari would make the environment that it names
            raise UserError(f"{source} does not say its {name}: record it with Minari 0.5 or later")
        with readable(source):
            there = minari("serialization").deserialize_space(text)
        if there != space:
            raise UserError(f"{source} has {name} {there}, the environment has {space}")


def read(source: str, spec: ObsSpec, action_space: spaces.Space[Any]) -> RecordedEpisodes:
    """Read all episodes of a data set.

    Raises:
        UserError: As `check`, or an episode is damaged.
    """
    check(source, spec, action_space)
    storage = minari("dataset.minari_storage").MinariStorage
    parts = []
    with readable(source):
        stored = storage.read(_folder(source))
        for number, episode in enumerate(stored.get_episodes(range(stored.total_episodes))):
            try:
                parts.append(_episode(episode, spec, action_space))
            except ValueError as error:
                raise UserError(f"{source}: episode {number}: {error}") from None
    parts = [part for part in parts if len(part[1])]
    if not parts:
        raise UserError(f"{source} holds no steps")
    obs, action, reward, terminated, truncated = map(np.concatenate, zip(*parts, strict=True))
    lengths = np.array([len(part[1]) for part in parts])
    place = np.arange(len(action)) + np.repeat(np.arange(len(lengths)), lengths)
    return RecordedEpisodes(obs, place, action, reward, terminated, truncated, lengths)


def _episode(episode: Any, spec: ObsSpec, space: spaces.Space[Any]) -> tuple[np.ndarray, ...]:
    """Return observations, actions, rewards and ends of an episode; ValueError if it is none."""
    reward = np.asarray(episode["rewards"], np.float32)
    ends = [np.asarray(episode[name], bool) for name in ("terminations", "truncations")]
    action = np.asarray(episode["actions"], space.dtype)
    obs = _observations(episode["observations"], spec, len(reward) + 1)
    if not reward.shape == ends[0].shape == ends[1].shape == (len(action),):
        raise ValueError("its rewards, ends and actions are not as many as each other")
    if action.shape[1:] != (space.shape or ()):
        raise ValueError(f"its actions have shape {action.shape[1:]}, not {space.shape}")
    for name, values in (("observations", obs), ("actions", action), ("rewards", reward)):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"its {name} are not all finite")
    if not _possible(action, space):
        raise ValueError(f"its actions are not all in {space}")
    if isinstance(space, spaces.Discrete):
        action = action - space.start
    return obs, action, reward, *ends


def _possible(action: np.ndarray, space: spaces.Space[Any]) -> bool:
    """Whether actions are in a space of choices; those of a Box may be cut by its environment."""
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        counted = action - space.start
        return bool(((counted >= 0) & (counted < _sizes(space))).all())
    return not isinstance(space, spaces.MultiBinary) or bool(np.isin(action, (0, 1)).all())


def _sizes(space: spaces.Discrete | spaces.MultiDiscrete) -> Any:
    return space.n if isinstance(space, spaces.Discrete) else space.nvec


def _observations(values: Any, spec: ObsSpec, count: int) -> np.ndarray:
    """Convert the observations of an episode to what is stored, `(count, *obs)`."""
    space = spec.space
    if isinstance(space, spaces.Box) and getattr(values, "dtype", None) == space.dtype:
        if values.shape != (count, *space.shape):
            raise ValueError(f"its observations have shape {values.shape}, for {count - 1} steps")
        return values.reshape(count, *spec.shape).astype(spec.raw, copy=False)
    if (there := _count(values)) != count:
        raise ValueError(f"it has {there} observations for {count - 1} steps")
    rows = [np.reshape(spec.array(_at(values, i)), spec.shape) for i in range(count)]
    return np.stack(rows).astype(spec.raw, copy=False)


def _count(values: Any) -> int:
    if isinstance(values, dict | tuple):
        inner = values.values() if isinstance(values, dict) else values
        return min(map(_count, inner), default=0)
    return len(values)


def _at(values: Any, i: int) -> Any:
    """Return one observation of many, whose parts are arrays and lists of text."""
    if isinstance(values, dict):
        return {name: _at(part, i) for name, part in values.items()}
    return tuple(_at(part, i) for part in values) if isinstance(values, tuple) else values[i]


def path_of(source: str) -> Path:
    """Return where Minari keeps a data set, be it there or not.

    Raises:
        UserError: It is no name of a data set, or Minari is missing.
    """
    name = source.removeprefix(PREFIX)
    try:
        minari("dataset.minari_dataset").parse_dataset_id(name)
    except (ValueError, TypeError):
        raise UserError(
            f"{source}: a Minari data set is named like rlbench/sac-Pendulum-v1-20k-v0, with a "
            "version at the end"
        ) from None
    find = minari("storage.datasets_root_dir").get_dataset_path
    with readable(source):
        return Path(find(name))


def _folder(source: str) -> Path:
    """Return the folder of a data set; one that is not here is fetched by Minari, if it can be."""
    name, folder = source.removeprefix(PREFIX), path_of(source) / "data"
    if not folder.is_dir():
        try:
            minari("").download_dataset(name)
        except Exception as error:
            raise UserError(
                f"there is no data set {name} in {folder.parent}, and none could be "
                f"fetched: {_line(error)}"
            ) from None
    return folder


def _metadata(source: str, folder: Path) -> dict[str, Any]:
    with readable(source):
        said = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    if not isinstance(said, dict):
        raise UserError(f"{source} cannot be read: {METADATA} is damaged")
    return said


@contextlib.contextmanager
def readable(source: str, done: str = "read") -> Iterator[None]:
    """Turn what goes wrong in a data set, or in Minari, into one line."""
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"{source} needs {error.name or 'h5py'}: {install('minari')}") from None
    except Exception as error:
        raise UserError(f"{source} cannot be {done}: {_line(error)}") from None


def minari(module: str) -> Any:
    """Import Minari, or a module of it, when it is used.

    Raises:
        UserError: It is not installed.
    """
    try:
        return importlib.import_module(f"minari.{module}".rstrip("."))
    except ImportError:
        raise UserError(
            f"data sets of recorded episodes need minari: {install('minari')}"
        ) from None


def _line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
