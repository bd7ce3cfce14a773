"""Plug-ins: agents, encoders, environments, wrappers, suites and presets of other packages.

A package lists them as entry points, in the groups `rlbench.agents`, `rlbench.encoders` and so on.
That is metadata: nothing is imported until a plug-in is asked for by its name, or shown in a list.
"""

from __future__ import annotations

import functools
import importlib.resources
import logging
import re
import warnings
from collections.abc import Callable, Collection, Iterator
from importlib.metadata import entry_points
from typing import Any, NamedTuple

from rlbench.errors import UserError
from rlbench.user_code.calls import constructed
from rlbench.user_code.imports import first_line, import_module

_LOG = logging.getLogger("rlbench")

# Groups of entry points without `rlbench.`, and what one of each is called.
KINDS = {
    "agents": "agent",
    "encoders": "encoder",
    "envs": "environments",  # of a namespace
    "wrappers": "wrapper",
    "suites": "suite",
    "presets": "presets",  # of an agent
}


class Plugin(NamedTuple):
    """An entry point of a package: nothing of it is imported."""

    kind: str  # a key of KINDS
    name: str
    module: str
    attribute: str  # "" where the module itself is meant
    package: str
    version: str

    def __str__(self) -> str:
        return f"{KINDS[self.kind]} '{self.name}' of {self.package} {self.version}"

    @property
    def value(self) -> str:
        """What it names, as `module:attribute`."""
        return f"{self.module}:{self.attribute}"


@functools.cache
def _all() -> dict[str, dict[str, list[Plugin]]]:
    """Read the plug-ins of all installed packages, by kind and name."""
    found: dict[str, dict[str, list[Plugin]]] = {kind: {} for kind in KINDS}
    for kind, names in found.items():
        for point in entry_points(group=f"rlbench.{kind}"):
            package = getattr(point, "dist", None)
            of = (package.name, package.version) if package else ("a package", "")
            try:
                plugin = Plugin(kind, point.name, point.module, point.attr or "", *of)
            except AttributeError:  # it matches no pattern of `module:attribute`
                _warn(f"{' '.join(of)}: its {KINDS[kind]} '{point.name}' names no module")
                continue
            names.setdefault(point.name, []).append(plugin)
    return found


def forget() -> None:
    """Forget the packages that were found; they are looked for again."""
    _all.cache_clear()


@functools.cache
def _warn(line: str) -> None:
    """Log a warning, once."""
    _LOG.warning("%s", line)


def find(kind: str, name: str) -> Plugin | None:
    """Return the plug-in of this name, or None.

    Raises:
        UserError: Several packages have one.
    """
    found = _all()[kind].get(name, [])
    if len(found) > 1:
        raise _clash(found)
    return found[0] if found else None


def _clash(found: Collection[Plugin]) -> UserError:
    one, other, *_ = sorted(f"{plugin.package} {plugin.version}" for plugin in found)
    what = KINDS[next(iter(found)).kind]
    name = next(iter(found)).name
    return UserError(f"{what} '{name}' is in {one} and in {other}: uninstall one of the two")


def names(kind: str, ours: Collection[str]) -> dict[str, Plugin]:
    """Return the plug-ins of a kind by name, without those whose name is taken.

    A name that rlbench has, or that several packages have, is refused with a warning.
    """
    usable = {}
    for name, found in _all()[kind].items():
        if name in ours:
            for plugin in found:
                _warn(f"{plugin} is left out: rlbench has this name itself")
        elif len(found) > 1:
            _warn(str(_clash(found)))
        else:
            usable[name] = found[0]
    return usable


def loaded(plugin: Plugin) -> Any:
    """Import what a plug-in names.

    Raises:
        UserError: It cannot be imported; the message names the package.
    """
    try:
        thing = constructed(import_module, plugin.module)
        return functools.reduce(getattr, filter(None, plugin.attribute.split(".")), thing)
    except Exception as error:
        raise UserError(
            f"{plugin} cannot be loaded: {type(error).__name__}: {first_line(error)}"
        ) from None


def working(
    kind: str, ours: Collection[str], load: Callable[[Plugin], Any] = loaded
) -> Iterator[tuple[Plugin, Any]]:
    """Load all plug-ins of a kind, for a list; one that is broken costs a warning."""
    for plugin in names(kind, ours).values():
        try:
            yield plugin, load(plugin)
        except UserError as error:
            _warn(str(error))


def about(plugin: Plugin, thing: Any) -> str:
    """Describe a plug-in in a list: the first line of its docstring, and its package."""
    line = (getattr(thing, "__doc__", None) or "").strip().partition("\n")[0]
    return f"{line} ({plugin.package} {plugin.version})" if line else source(plugin)


def source(plugin: Plugin) -> str:
    """Describe a plug-in that was not loaded."""
    return f"from {plugin.package} {plugin.version}"


def file_text(plugin: Plugin) -> str:
    """Read the file `NAME.toml` in the package that a suite or presets name.

    Raises:
        UserError: There is no such package, or it has no such file.
    """
    try:
        folder = constructed(importlib.resources.files, plugin.module)
        return (folder / f"{plugin.name}.toml").read_text(encoding="utf-8")
    except Exception as error:
        raise UserError(
            f"{plugin} cannot be read: {plugin.name}.toml in {plugin.module}: {first_line(error)}"
        ) from None


@functools.cache
def register(plugin: Plugin) -> None:
    """Register the environments of a plug-in with Gymnasium; none replaces another.

    Raises:
        UserError: It cannot be loaded, or its function fails.
    """
    import gymnasium

    before = dict(gymnasium.registry)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*[Oo]verriding environment.*")
        thing = loaded(plugin)
        if callable(thing):
            try:
                constructed(thing)
            except Exception as error:
                reason = f"{type(error).__name__}: {first_line(error)}"
                raise UserError(f"{plugin} cannot be registered: {reason}") from None
    for gym_id, spec in before.items():
        if gymnasium.registry.get(gym_id) is not spec:
            gymnasium.registry[gym_id] = spec
            _warn(f"{plugin} is no {gym_id}: that name was taken before")


def register_for(gym_id: str) -> bool:
    """Register the environments of the plug-in that an id belongs to; return if there is one."""
    if (plugin := of_env(gym_id)) is not None:
        register(plugin)
    return plugin is not None


def of_env(gym_id: str) -> Plugin | None:
    """Return the plug-in that an id belongs to, by its namespace, or its name without version."""
    space, slash, name = gym_id.rpartition("/")
    return find("envs", space if slash else re.sub(r"-v\d+$", "", name))


def versions(*modules: str) -> dict[str, str]:
    """Return the packages of plug-ins, with versions, that hold one of these modules."""
    tops = {module.partition(".")[0] for module in modules}
    each = (plugin for kind in _all().values() for found in kind.values() for plugin in found)
    return {p.package: p.version for p in each if p.module.partition(".")[0] in tops}
