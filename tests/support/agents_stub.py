"""Writes `agents/__init__.pyi`, from which type checkers know every agent's hyperparameters.

    python tests/support/agents_stub.py

Run it after a change of an agent's `Config`; a test compares the file with what this would write.
"""

from __future__ import annotations

import inspect
import json
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from rlbench import agents
from rlbench.learning.core.agent_core import AgentCore
from rlbench.learning.core.constructor import hyperparameters

STUB = Path(__file__).resolve().parents[2] / "agents" / "__init__.pyi"
HEAD = '''"""Agents as type checkers see them. Written by tests/support/agents_stub.py, not by hand.

To subclass an agent with a `Config` of your own, import it from its file, as in
`from rlbench.agents.dqn import DQN`: there the constructor takes any parameter.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from gymnasium import spaces

'''


def stub() -> str:
    """Return the text of the stub."""
    classes = {name: getattr(agents, name) for name in dir(agents)}
    names = sorted(classes, key=lambda name: len(classes[name].__mro__))  # bases come first
    lines = [f"from {classes[n].__module__} import {n} as _{n}" for n in names]
    imports = "\n".join(sorted([*lines, "from rlbench.config import Config as BaseConfig"]))
    bodies = [_class(name, classes[name], classes) for name in names]
    return "\n\n".join([HEAD.rstrip() + "\n\n" + imports, *bodies]).rstrip() + "\n"


def _class(name: str, cls: type[Any], classes: dict[str, type[Any]]) -> str:
    """One agent: its constructor, on top of the class in its file and of agents that it extends."""
    bases = [f"_{name}", *(n for n, each in classes.items() if each in cls.__mro__[1:])]
    shared = inspect.signature(AgentCore.__init__).parameters.values()
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    lines = ["self"]
    for each in shared:
        if each.kind is inspect.Parameter.VAR_POSITIONAL:
            lines.append("*")
        elif each.kind not in variable and each.name not in {"self", *cls.Config.model_fields}:
            lines.append(f"{each.name}: {each.annotation} = {_literal(each.default)}")
    for each in hyperparameters(cls.Config):
        lines.append(f"{each.name}: {_type(each.annotation)} = {_literal(each.default)}")
    body = "\n".join(f"        {line}," for line in lines)
    return f"class {name}({', '.join(bases)}):\n    def __init__(\n{body}\n    ) -> None: ..."


def _type(kind: Any) -> str:
    origin, args = get_origin(kind), get_args(kind)
    if kind is types.NoneType:
        return "None"
    if origin is Literal:
        return f"Literal[{', '.join(map(_literal, args))}]"
    if origin in (Union, types.UnionType):
        return " | ".join(map(_type, args))
    name = str(kind.__name__)
    return f"{name}[{', '.join(map(_type, args))}]" if args else name


def _literal(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
