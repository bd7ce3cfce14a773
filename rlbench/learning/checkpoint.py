"""State trees in one file of arrays and JSON, without pickle, so that reading runs no code.

A state tree consists of dicts, lists, scalars and arrays. Arrays keep their dtype. The file is a
`.npz` whose entry `tree` is the tree as JSON, with arrays replaced by the names of other entries.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlbench.common.array_files import Damaged, Npz, opened
from rlbench.common.plain_text import plain_text
from rlbench.common.safe_write import replacing
from rlbench.errors import UserError

FORMAT = 2


def select(tree: Any, rows: Sequence[int]) -> Any:
    """Select the state of some seeds: arrays and lists are indexed along their first axis."""
    if isinstance(tree, dict):
        return {key: select(value, rows) for key, value in tree.items()}
    if isinstance(tree, list):
        return [tree[r] for r in rows]
    if isinstance(tree, np.ndarray | torch.Tensor):
        return tree[list(rows)]
    return tree


def save(path: str | Path, tree: dict[str, Any]) -> Path:
    """Write the tree atomically."""
    path = Path(path)
    arrays: dict[str, np.ndarray] = {}

    def fold(value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {k: fold(v, f"{key}/{k}") for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [fold(v, f"{key}/{i}") for i, v in enumerate(value)]
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().numpy()
        if isinstance(value, np.generic):
            arrays[key] = np.asarray(value)
            return {"__scalar__": key}
        if isinstance(value, np.ndarray):
            arrays[key] = value
            return {"__array__": key}
        return value

    text = json.dumps({"format": FORMAT, "tree": fold(tree, "")})
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **{"tree": np.array(text), **arrays})
    return path


def load(path: str | Path) -> dict[str, Any]:
    """Read a tree: only arrays that it names, which take no more memory than the file allows.

    Raises:
        UserError: The file is missing, truncated, or not a state tree.
    """
    path = Path(path)
    try:
        with opened(path, most=path.stat().st_size) as file:
            text = json.loads(str(file["tree"]))
            if not isinstance(text, dict) or text.get("format") != FORMAT:
                raise UserError(
                    f"{path} has another format than this version of rlbench reads ({FORMAT})"
                )
            return dict(_unfold(text["tree"], file))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error})") from None
    except (Damaged, LookupError, TypeError, ValueError, RecursionError) as error:
        why = plain_text(f"{type(error).__name__}: {error}", 200)
        raise UserError(f"{path} is damaged or was not written by rlbench ({why})") from None


def _unfold(value: Any, file: Npz) -> Any:
    """Put arrays in the place of their names."""
    if isinstance(value, list):
        return [_unfold(v, file) for v in value]
    if isinstance(value, dict):
        if "__array__" in value:
            return file[value["__array__"]]
        if "__scalar__" in value:
            return file[value["__scalar__"]][()]
        return {k: _unfold(v, file) for k, v in value.items()}
    return value
