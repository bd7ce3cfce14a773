"""CleanRL's TensorBoard runs: a folder with event files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlbench.distribution import install
from rlbench.errors import UserError
from rlbench.importing.results import (
    MOST,
    RECENT,
    ImportedRun,
    broken,
    check_size,
    finite,
    of_training,
    whole,
)

RETURNS = ("charts/episodic_return", "rollout/ep_rew_mean", "eval/mean_reward")
LENGTHS = {"charts/episodic_return": "charts/episodic_length"}
HYPERPARAMETERS = "hyperparameters/text_summary"
_NAME = re.compile(r"^(?P<env>.+?)__(?P<agent>.+?)__(?P<seed>\d+)__\d+$")  # CleanRL's run folders


def run(folder: Path, wanted: str | None) -> ImportedRun:
    """Read the scalars of one run; `wanted` is the tag of returns, where it is none of RETURNS.

    Raises:
        UserError: A file is broken, or no scalar is a return.
    """
    files = sorted(folder.glob("events.out.tfevents.*")) if folder.is_dir() else [folder]
    if not files:
        raise broken(folder, "it holds no event files (events.out.tfevents.*)")
    scalars: dict[str, list[tuple[int, float, float]]] = {}
    config: dict[str, Any] = {}
    count = 0
    for file in files:
        for tag, step, value, seconds in _values(file):
            if isinstance(value, str):
                config |= _table(value) if tag == HYPERPARAMETERS else {}
                continue
            if (count := count + 1) > MOST:
                raise broken(file, f"it has more than {MOST:,} numbers")
            scalars.setdefault(tag, []).append((step, value, seconds))
    tag = _return_tag(folder, scalars, wanted)
    start = min(each[0][2] for each in scalars.values())
    lengths = {step: value for step, value, _ in scalars.get(LENGTHS.get(tag, ""), [])}
    episodes = [
        (
            whole(folder, "a step", step),
            finite(folder, tag, value),
            round(finite(folder, "a length", lengths.get(step, 0))),
            max(seconds - start, 0.0),
        )
        for step, value, seconds in sorted(scalars[tag])
    ]
    seed = of_training(folder, episodes, tag)
    seed.metrics = [
        (step, name, value)
        for name, values in sorted(scalars.items())
        if name != tag
        for step, value in {step: value for step, value, _ in values}.items()
    ]
    name = _NAME.match(folder.resolve().name)
    if name:
        seed.number = int(name["seed"])
    env = str(config.get("env_id") or (name["env"] if name else ""))
    protocol = f"the last {min(RECENT, len(episodes))} values of {tag}, while it trained"
    agent = str(config.get("exp_name") or (name["agent"] if name else ""))
    return ImportedRun("tensorboard", protocol, [seed], env, agent, config)


def _return_tag(folder: Path, scalars: dict[str, Any], wanted: str | None) -> str:
    names = RETURNS if wanted is None else (wanted,)
    found = next((name for name in names if name in scalars), None)
    if found is None:
        there = ", ".join(sorted(scalars)[:8]) or "no scalars"
        raise broken(folder, f"it has no {names[0]}, but {there}: name the return by --return")
    return found


def _values(file: Path) -> Iterator[tuple[str, int, float | str, float]]:
    """Yield (tag, step, number or text, time) of an event file; a cut last record is left out.

    Raises:
        UserError: The file is damaged, or tensorboard is not installed.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.tensorflow_stub import errors
        from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
    except ImportError:
        raise UserError(f"reading {file} needs tensorboard: {install('tensorboard')}") from None
    check_size(file)
    reader = PyRecordReader_New(str(file))
    while True:
        try:
            reader.GetNext()
            event = Event.FromString(reader.record())
        except errors.OutOfRangeError:
            return
        except errors.DataLossError as error:
            if "truncated" in str(error):  # it is still being written, or its writer was killed
                return
            raise broken(file, error.message.replace(str(file), "it")) from None
        except Exception as error:
            raise broken(file, f"{type(error).__name__}: {error}") from None
        for value in event.summary.value:
            read = _number_or_text(value)
            if read is not None:
                yield value.tag, event.step, read, event.wall_time


def _number_or_text(value: Any) -> float | str | None:
    """Return what a summary holds; None for histograms, images and the like."""
    if value.WhichOneof("value") == "simple_value":
        return float(value.simple_value)
    if value.tensor.float_val:
        return float(value.tensor.float_val[0])
    if value.tensor.string_val:
        return str(value.tensor.string_val[0].decode(errors="replace"))
    return None


def _table(text: str) -> dict[str, Any]:
    """Read CleanRL's table of hyperparameters, in Markdown."""
    rows = (line.strip().strip("|").split("|") for line in text.splitlines()[2:1_000])
    return {row[0][:100]: row[1][:200] for row in rows if len(row) == 2}
