"""Registry of agents, environments, encoders and presets, without heavy imports.

The folder of agents is the registry: `agents/my_agent.py` is `my-agent`, and the first line of its
docstring is its description. Other packages add plug-ins (`rlbench.plugins`), and
`package.module:Class` names a class of anyone's.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlbench import plugins
from rlbench.errors import UserError, nearest
from rlbench.user_code.calls import constructed
from rlbench.user_code.imports import first_line, import_module

if TYPE_CHECKING:
    from rlbench.learning.agent import Agent

ENCODERS = {
    "auto": "by the observation: cnn for its images, vectors as they are, joined by an mlp",
    "mlp": "fully connected layers; images and dictionaries are flattened",
    "cnn": "convolutions for images, by size or of a family: -p cnn=resnet and others",
    "rnn": "a recurrent layer above auto (Elman 1990)",
    "gru": "a gated recurrent unit above auto (Cho et al. 2014)",
    "lstm": "a long short-term memory above auto (Hochreiter & Schmidhuber 1997)",
    "attention": "a transformer over the last steps, above auto (Vaswani et al. 2017)",
    "cnn+lstm": "the one above the other; so are mlp+gru, cnn+rnn and the like",
    "package.module:Class": "your own torch.nn.Module, alone or below a memory (...:Class+gru)",
}
_HERE = Path(__file__).parent


def agents() -> dict[str, str]:
    """Return the description of each agent by name; none is imported."""
    ours = own_agents()
    return ours | {name: plugins.source(p) for name, p in plugins.names("agents", ours).items()}


@functools.cache
def own_agents() -> dict[str, str]:
    """Return the description of each agent that comes with rlbench, by name."""
    descriptions = {}
    for file in sorted((_HERE / "agents").glob("[!_]*.py")):
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        descriptions[file.stem.replace("_", "-")] = text.partition("\n")[0]
    return descriptions


def encoders() -> dict[str, str]:
    """Return the description of each encoder by name; none is imported."""
    found = plugins.names("encoders", ENCODERS)
    return ENCODERS | {name: plugins.source(plugin) for name, plugin in found.items()}


def check_agent(name: str) -> None:
    """Raise UserError for an unknown agent."""
    if ":" in name:
        _user_class(name)
    elif name not in own_agents() and plugins.find("agents", name) is None:
        raise UserError(
            f"no agent '{name}'.{nearest(name, agents())} (rlbench list agents shows all; "
            "package.module:Class imports your own)"
        )


def agent_class(name: str) -> type[Agent]:
    """Import the class of an agent; UserError if it does not exist."""
    if ":" in name:
        return _user_class(name)
    check_agent(name)
    if name not in own_agents():
        plugin = plugins.find("agents", name)
        assert plugin is not None
        return _agent(plugins.loaded(plugin), str(plugin))
    module = importlib.import_module(f"rlbench.agents.{name.replace('-', '_')}")
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and _is_agent(value) and value.__module__ == module.__name__
    ]
    if not own:
        raise UserError(f"agents/{module.__name__.rpartition('.')[2]}.py defines no agent")
    return own[0]


def plugin_name(cls: type) -> str:
    """Return the name of the plug-in that is this agent, or ""."""
    if cls.__module__.startswith("rlbench."):
        return ""
    here = f"{cls.__module__}:{cls.__qualname__}"
    found = plugins.names("agents", own_agents()).values()
    return next((plugin.name for plugin in found if plugin.value == here), "")


def _is_agent(cls: type) -> bool:
    """Return whether a class is an agent, which alone observes and has a Config."""
    return hasattr(cls, "observe") and hasattr(cls, "Config")


def _user_class(name: str) -> type[Agent]:
    """Import an agent named `package.module:Class`."""
    module, _, attribute = name.partition(":")
    try:
        cls = getattr(constructed(import_module, module), attribute, None)
    except Exception as error:
        raise UserError(
            f"agent '{name}': cannot import '{module}': {type(error).__name__}: {first_line(error)}"
        ) from None
    if cls is None:
        raise UserError(f"agent '{name}': {module} has no '{attribute}'")
    return _agent(cls, f"agent '{name}'", name)


def _agent(cls: Any, what: str, name: str = "NAME") -> type[Agent]:
    """Return an agent of somebody else's; UserError if it is none.

    Any class with `act` and `observe` is one, in an object a seed (`rlbench.peers.two_methods`).
    """
    foreign = isinstance(cls, type) and not any(
        base.__module__ == "rlbench.learning.agent" for base in cls.__mro__
    )
    if foreign and all(callable(getattr(cls, name, None)) for name in ("act", "observe")):
        return importlib.import_module("rlbench.peers.two_methods").adapted(cls)
    if not (isinstance(cls, type) and _is_agent(cls)):
        raise UserError(
            f"{what} is no subclass of an agent of rlbench, such as rlbench.agents.dqn.DQN, and "
            f"has no act and observe (rlbench eval --agent {name} scores anything with predict)"
        )
    return cls


def _base_agent(name: str) -> str | None:
    """Return the agent of ours that a class of somebody else's derives from, if any."""
    modules = [cls.__module__.rpartition(".") for cls in agent_class(name).__mro__]
    names = [file.replace("_", "-") for package, _, file in modules if package == "rlbench.agents"]
    return names[0] if names else None


def presets(agent: str) -> dict[str, dict[str, Any]]:
    """Read an agent's tuned parameters by environment.

    Values are `n_timesteps` or, on image data, `epochs` (passes over the training images),
    `source`, and parameters. A table applies to the environments in `also` too; a file may start
    from the presets of another agent, its `base`, except for the parameters listed in `own`. A
    class of somebody else's takes those of the agent it derives from. Other packages may add
    presets to any agent; those of rlbench come first.
    """
    tables: dict[str, Any] = {}
    if (file := _HERE / "presets" / f"{agent}.toml").exists():
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    for env, values in _added_presets(agent).items():
        tables.setdefault(env, values)
    if agent not in own_agents():
        tables.setdefault("base", _base_agent(agent))
    base, own = tables.pop("base", None), tables.pop("own", ())
    for env, values in list(tables.items()):
        for other in values.pop("also", ()):
            source = f"{values.get('source', '')}, of {env}"
            tables.setdefault(other, {**values, "source": source})
    for env, values in presets(base).items() if base else ():
        shared = {name: value for name, value in values.items() if name not in own}
        source = f"taken over from {base}, not tuned for {agent}: {values.get('source', '')}"
        tables[env] = {**shared, "source": source, **tables.get(env, {})}
    return tables


def _added_presets(agent: str) -> dict[str, Any]:
    """Read the presets that another package adds to an agent; a file that is broken is left out."""
    if (plugin := plugins.find("presets", agent)) is None:
        return {}
    try:
        return tomllib.loads(plugins.file_text(plugin))
    except ValueError as error:
        raise UserError(f"{plugin} cannot be read: {error}") from None


def preset_name(env: str, presets: dict[str, Any]) -> str | None:
    """Return the preset for an environment: its own, else that without the outer wrappers."""
    while env not in presets:
        env, plus, _ = env.rpartition("+")
        if not plus:
            return None
    return env


def wrappers() -> dict[str, str]:
    """Return the descriptions of all wrappers by name; of other packages', none is imported."""
    ours = known_wrappers()
    found = plugins.names("wrappers", ours)
    return ours | {name: plugins.source(plugin) for name, plugin in found.items()}


def known_wrappers() -> dict[str, str]:
    """Return the descriptions of rlbench's and Gymnasium's wrappers by name."""
    import gymnasium.error
    import gymnasium.wrappers

    from rlbench.envs.wrappers import WRAPPERS

    descriptions = {name: text for name, (_, text) in WRAPPERS.items()}
    for name in gymnasium.wrappers.__all__:
        try:
            kind = getattr(gymnasium.wrappers, name)
        except (ImportError, gymnasium.error.DependencyNotInstalled):  # it needs a missing package
            continue
        if isinstance(kind, type):
            takes = ", ".join(list(inspect.signature(kind).parameters)[1:])
            about = (kind.__doc__ or "").strip().partition("\n")[0].replace("``", "")
            descriptions[name] = f"{about} Takes {takes}." if takes else about
    return descriptions
