"""Agents: one entrant per file; the file's name is its name on the command line.

They import `rlbench.learning` and `rlbench.peers`, and are imported on demand:
`from rlbench.agents import DQN`. Type checkers read their signatures in `__init__.pyi`.
Start with `dqn.py`.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

# By class name in lower case: SB3PPOLSTM lives in sb3_ppo_lstm.py.
_FILES = {
    file.stem.replace("_", ""): file for file in sorted(Path(__file__).parent.glob("[!_]*.py"))
}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return [_class_name(short, file) for short, file in _FILES.items()]
    file = _FILES.get(name.lower())
    if file and name == _class_name(name, file):
        return getattr(importlib.import_module(f"rlbench.agents.{file.stem}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __getattr__("__all__")


def _class_name(name: str, file: Path) -> str:
    """The class of a file that has this name, in its spelling; empty where there is none."""
    text = file.read_text(encoding="utf-8")
    match = re.search(rf"^class ({name})\(", text, re.MULTILINE | re.IGNORECASE)
    return match[1] if match else ""
