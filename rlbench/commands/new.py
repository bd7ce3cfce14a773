"""The `new` command: write a commented file to start from."""

from __future__ import annotations

import importlib.resources
import importlib.util
import keyword
import re
from pathlib import Path
from string import Template

from rlbench.errors import CannotWrite, UserError

# What is tried next, by kind.
NEXT = {
    "agent": (
        "rlbench doctor {name}",
        "rlbench run {name} --env CartPole-v1 --seeds 3 -n 20000",
    ),
    "env": ("rlbench run dqn --env {name} --seeds 3 -n 5000",),
    "encoder": ("rlbench run dqn --env CartPole-v1 --encoder {name} --seeds 3 -n 10000",),
}


def new(kind: str, name: str, folder: Path) -> list[str]:
    """Write `NAME.py` in a folder; returns lines that say what to do next.

    Raises:
        UserError: The name is none of a module, is taken, or the file exists.
    """
    module = name.removesuffix(".py").replace("-", "_").lower()
    if not re.fullmatch(r"[a-z]\w*", module, re.ASCII) or keyword.iskeyword(module):
        raise UserError(
            f"'{name}' can be no name of a file in Python: choose letters, digits and dashes, such "
            f"as my-{kind}"
        )
    file = folder / f"{module}.py"
    if file.exists():
        raise UserError(f"{file} exists and is left as it is: choose another name, or move it")
    if importlib.util.find_spec(module) is not None:
        raise UserError(
            f"there is a module {module} already, which {file} would hide: choose another name, "
            f"such as my-{module.replace('_', '-')}"
        )
    text = importlib.resources.files("rlbench.commands").joinpath("templates", f"{kind}.txt")
    title = "".join(part.capitalize() for part in module.split("_"))
    filled = Template(text.read_text(encoding="utf-8")).substitute(Class=title, module=module)
    try:
        file.write_text(filled, encoding="utf-8")
    except OSError as error:
        raise CannotWrite(file, error) from None
    return [f"{file} is written. Next:"] + [
        f"  {line.format(name=f'{module}:{title}')}" for line in NEXT[kind]
    ]
