"""Rules for names in files: what they may import and call. See docs/reliability.md.

A name that the user types may be anything. A name in a run.json, a suite or a saved agent must be a
class of the right kind in an installed package, unless the user trusts the file.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium
from torch import nn

from rlbench import plugins
from rlbench.errors import UserError
from rlbench.learning.environments import wrapper_specs
from rlbench.learning.environments.make import split
from rlbench.learning.networks import user_module
from rlbench.user_code import trust
from rlbench.user_code.calls import constructed
from rlbench.user_code.imports import import_module

_KINDS: dict[str, type] = {
    "environment": gymnasium.Env,
    "wrapper": gymnasium.Wrapper,
    "encoder": nn.Module,
    "vector environment": gymnasium.vector.VectorEnv,
}
# Works for all that Python programs call; `load` alone takes `trust=True`.
_ADVICE = f"(in Python: os.environ['{trust.VARIABLE}'] = '1')"


class _Name(NamedTuple):
    what: str  # a key of _KINDS, "agent", or "environments" of a plug-in, which registers them
    text: str
    module: str
    attribute: str


def check(
    file: str, *, agent: str = "", env: str = "", encoder: str = "", env_vector: str = ""
) -> None:
    """Reject names of a file that would run code the user has not agreed to.

    Raises:
        UserError: A module is not installed, or the object is not a class of the right kind.
    """
    for name in [*_names(agent, env, encoder), *_vector(env_vector)]:
        if reason := _refusal(name, sys.modules):
            raise UserError(f"{file}: {name.what} '{name.text}' {reason}")


def modules(agent: str, env: str, encoder: str) -> list[str]:
    """List the modules that these names are looked up in, besides rlbench's own."""
    return [name.module for name in _names(agent, env, encoder)]


def flag(*, agent: str = "", env: str = "", encoder: str = "", env_vector: str = "") -> str:
    """Return `" --trust"` if another process needs it to read a file with these names, else ""."""
    names = [*_names(agent, env, encoder), *_vector(env_vector)]
    return " --trust" if any(_refusal(name, ()) for name in names) else ""


def _names(agent: str, env: str, encoder: str) -> Iterator[_Name]:
    """List all names that are looked up in a module."""
    if plugin := plugins.find("agents", agent):
        yield _Name("agent", agent, plugin.module, plugin.attribute)
    if ":" in agent:
        module, _, attribute = agent.partition(":")
        yield _Name("agent", agent, module, attribute)
    for number, piece in enumerate(split(env)):
        module, colon, rest = piece.partition(":")
        wrapper = wrapper_specs.read(piece)
        if not number and colon:
            yield _Name("environment", piece, module, rest)
        elif number and wrapper.module:
            yield _Name("wrapper", piece, wrapper.module, wrapper.name)
        elif number and (plugin := plugins.find("wrappers", wrapper.name)):
            yield _Name("wrapper", piece, plugin.module, plugin.attribute)
        elif not number and (plugin := plugins.of_env(piece)):
            yield _Name("environments", piece, plugin.module, plugin.attribute)
    module, colon, rest = encoder.partition(":")
    if colon and not user_module.given(encoder.partition("+")[0]):
        yield _Name("encoder", encoder, module, rest.partition("+")[0])


def _vector(env_vector: str) -> Iterator[_Name]:
    """List what makes vector environments, unless it is EnvPool or the environment's own id."""
    module, colon, rest = env_vector.partition(":")
    if colon and module != "envpool":
        yield _Name("vector environment", env_vector, module, rest.partition(":")[0])


def _refusal(name: _Name, loaded: Any) -> str:
    """Explain why a name is refused, or return None.

    Names that do not exist are left to the caller.
    """
    place, trusted = trust.outside(name.module), trust.trusted() and loaded != ()
    if place is None and _standard(name.module):
        return "is in Python's standard library, which has none"
    if place is not None and name.module not in loaded and not trusted:
        return f"is in {place}, not in an installed package: add --trust to import it {_ADVICE}"
    if name.what not in _KINDS:
        return ""
    kind = _KINDS[name.what]
    try:
        found: Any = functools.reduce(
            getattr, name.attribute.split("."), constructed(import_module, name.module)
        )
    except Exception:
        return ""
    if not callable(found) or (isinstance(found, type) and issubclass(found, kind)):
        return ""
    said = f"is not a subclass of {kind.__module__.partition('.')[0]}.{kind.__name__}"
    if _standard(getattr(found, "__module__", None) or "") or name.what == "encoder":
        return said
    return "" if trusted else f"{said}: add --trust to call it {_ADVICE}"


def _standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names
