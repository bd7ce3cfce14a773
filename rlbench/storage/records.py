"""Readers and writers of the JSON files run.json, part.json and others.

A record is written with a checksum of everything else in it. Tables and figures are made only from
records that match theirs; files of earlier versions have none.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rlbench.common.plain_text import REASON_LIMIT, plain_text
from rlbench.common.safe_write import read_file
from rlbench.errors import UserError

FORMAT = 1
COMPACT = "compact.json"
STATUSES = ("done", "running", "diverged", "failed", "timeout")
SHALLOW = 300  # brackets that cannot be nested too deep, however they are
LARGEST = 2**63 - 1  # what an integer column of a table holds
_Check = Callable[[Any], bool]


def corrupt(file: Path, why: object) -> UserError:
    """Make the error for a file of a run that is not what was written."""
    reason = plain_text(why, REASON_LIMIT)
    return UserError(
        f"{file} is corrupt ({reason}): restore it, or delete its folder and run again"
    )


def checksum(content: bytes) -> str:
    """Return 16 hex digits of the SHA-256 of a file, independent of its line ends."""
    if b"\r" in content:  # a copy takes as long as the sum
        content = content.replace(b"\r\n", b"\n")
    return hashlib.sha256(content).hexdigest()[:16]


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """Add the checksum that `check_seal` tests, and make text printable."""
    plain = json.loads(json.dumps(_printable(record)))
    plain.pop("checksum", None)
    return {**plain, "checksum": _seal(plain)}


def check_seal(file: Path, record: Mapping[str, Any]) -> None:
    """Reject a record that was changed after it was written.

    Raises:
        UserError: The checksum does not match the content.
    """
    plain = {key: value for key, value in record.items() if key != "checksum"}
    if record.get("checksum", seal := _seal(plain)) != seal:
        raise UserError(
            f"{file} was changed after it was written: restore it, or delete its line "
            '"checksum" to accept the change'
        )


def check_checksum(file: Path) -> None:
    """Reject a file of a part that does not match the checksum in part.json, if it has one.

    Raises:
        UserError: The checksum does not match the content.
    """
    sums = read_part(file.with_name("part.json")).get("checksums") or {}
    try:
        fits = file.name not in sums or checksum(read_file(file)) == sums[file.name]
    except OSError as error:
        raise corrupt(file, error.strerror or error) from None
    if not fits:
        raise corrupt(file, "its checksum is not that of what was written")


def _seal(plain: Mapping[str, Any]) -> str:
    return checksum(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode())


def read_run(file: Path) -> dict[str, Any]:
    """Read a run.json and check the types of its fields.

    Raises:
        UserError: It cannot be read, or a field is missing or of the wrong type.
    """
    run = _read(file)
    _check_format(file, run)
    _check(file, run, _RUN, _RUN_MAY)
    data = run.get("data")
    if data:
        _check(file, data, _DATA, {}, "data.")
    return _printable(run)


def read_part(file: Path) -> dict[str, Any]:
    """Read a part.json and check the types of its fields; `reason` may be missing.

    Raises:
        UserError: It cannot be read, or a field is missing or of the wrong type.
    """
    part = _read(file)
    _check(file, part, _PART, _PART_MAY)
    status, seeds = part["status"], part["seeds"]
    for seed in seeds:
        if str(seed) not in status:
            raise corrupt(file, f"its status lacks '{seed}'")
        if status[str(seed)] not in STATUSES:
            raise corrupt(file, f"unknown status {status[str(seed)]!r}")
    part["status"] = {str(seed): status[str(seed)] for seed in seeds}
    return _printable({**part, "reason": part.get("reason") or {}})


def read_study(file: Path) -> dict[str, Any]:
    """Read a study.json and check the types of its fields.

    Raises:
        UserError: It cannot be read, or a field is missing or of the wrong type.
    """
    study = _read(file)
    _check_format(file, study)
    _check(file, study, _STUDY, {})
    return _printable(study)


def read_suite(file: Path) -> dict[str, Any]:
    """Read a suite.json and check the types of its fields.

    Raises:
        UserError: It cannot be read, or a field is missing or of the wrong type.
    """
    suite = _read(file)
    _check_format(file, suite)
    _check(file, suite, _SUITE, _SUITE_MAY)
    for number, cell in enumerate(suite["cells"]):
        if not isinstance(cell, dict):
            raise corrupt(file, f"cell {number} is no object")
        _check(file, cell, _CELL, _CELL_MAY, f"cell {number} ")
    return suite


def read_compact(file: Path) -> dict[str, Any]:
    """Read a compact.json and check the types of its fields.

    Raises:
        UserError: It cannot be read, or a field is missing or of the wrong type.
    """
    record = _read(file)
    _check_format(file, record)
    _check(file, record, {"files": _each(_sum), "parts": _list_of(_object)}, {})
    for number, part in enumerate(record["parts"]):
        _check(file, part, _COMPACT_PART, {}, f"part {number} ")
        if not record["files"].keys() == part["checksums"].keys() == part["rows"].keys():
            raise corrupt(file, f"part {number} has not the files that the others have")
    return record


def _printable(record: Mapping[str, Any]) -> dict[str, Any]:
    """Make the text fields of a record printable."""
    printable = dict(record)
    for field in ("variant", "command", "network"):
        if isinstance(printable.get(field), str):
            printable[field] = plain_text(printable[field])
    if reasons := printable.get("reason"):
        printable["reason"] = {seed: plain_text(why, REASON_LIMIT) for seed, why in reasons.items()}
    return printable


def _read(file: Path) -> dict[str, Any]:
    try:
        content = read_file(file)
        record = json.loads(content)
        if content.count(b"[") + content.count(b"{") > SHALLOW:
            json.dumps(record)  # raises RecursionError for deep nesting
    except OSError as error:
        raise corrupt(file, error.strerror or error) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise corrupt(file, error) from None
    if not isinstance(record, dict):
        raise corrupt(file, "no JSON object")
    return record


def _check_format(file: Path, record: dict[str, Any]) -> None:
    if record.get("format") != FORMAT:
        raise corrupt(file, f"its format is {record.get('format')!r}, known is {FORMAT}")


def _check(
    file: Path,
    record: Any,
    fields: Mapping[str, _Check],
    optional: Mapping[str, _Check],
    where: str = "",
) -> None:
    """Reject missing fields and wrong types; an optional field may be null."""
    if not isinstance(record, dict):
        raise corrupt(file, f"its {where.strip('. ')} is no object")
    for name in fields:
        if name not in record:
            raise corrupt(file, f"{where or 'it '}lacks '{name}'")
    for name, fits in [*fields.items(), *optional.items()]:
        value = record.get(name)
        if (name in fields or value is not None) and not fits(value):
            raise corrupt(file, f"its {where}{name} is {json.dumps(value)[:60]}")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _sum(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{16}", value) is not None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _positive(value: Any) -> bool:
    return _whole(value) and value > 0


def _number(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= LARGEST
    return isinstance(value, float) and math.isfinite(value)


def _duration(value: Any) -> bool:
    return _number(value) and value >= 0


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _seeds(value: Any) -> bool:
    return isinstance(value, list) and all(map(_whole, value)) and 0 < len(value) == len(set(value))


def _each(fits: _Check) -> _Check:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _list_of(fits: _Check) -> _Check:
    return lambda value: isinstance(value, list) and all(map(fits, value))


_RUN: dict[str, _Check] = {
    **dict.fromkeys(["env", "agent", "variant", "digest"], _text),
    "total_timesteps": _whole,
    "n_envs": _positive,
}
_RUN_MAY: dict[str, _Check] = {
    **dict.fromkeys(["agent_version", "eval_freq", "final_episodes"], _whole),
    "eval_episodes": _positive,
    **dict.fromkeys(["env_kwargs", "config", "changed", "cannot", "identity", "data"], _object),
    "tuned": _object,
    **dict.fromkeys(["preset", "network", "created", "command"], _text),
    "reward_threshold": _number,
}
_DATA: dict[str, _Check] = dict.fromkeys(["name", "digest", "variant"], _text)
_PART: dict[str, _Check] = {"seeds": _seeds, "status": _each(_text), "step": _whole}
_PART_MAY: dict[str, _Check] = {
    **dict.fromkeys(["reason", "versions", "environment", "checksums", "marks"], _each(_text)),
    **dict.fromkeys(["seed_seconds", "time", "compile", "scores"], _each(_number)),
    **dict.fromkeys(["device", "command", "started", "updated", "commit", "platform"], _text),
    "seconds": _duration,
    "restarts": _whole,
}
_SUITE: dict[str, _Check] = {"name": _text, "cells": lambda value: isinstance(value, list)}
_SUITE_MAY: dict[str, _Check] = {
    **dict.fromkeys(["description", "command"], _text),
    "suite": _object,
    "commands": _list_of(_text),
}
_COMPACT_PART: dict[str, _Check] = {
    "path": _text,
    "checksums": _each(_sum),
    "rows": _each(_whole),
}
_STUDY: dict[str, _Check] = {"plan": _object}
_CELL: dict[str, _Check] = {"env": _text, "agent": _text, "seeds": _seeds}
_CELL_MAY: dict[str, _Check] = {
    **dict.fromkeys(["variant", "name", "digest", "folder", "error"], _text),
    "env_kwargs": _object,
    "timeout": _duration,
}
