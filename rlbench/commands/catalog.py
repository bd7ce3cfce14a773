"""The `list` command: what can be run, and what has been."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rlbench import plugins, registry
from rlbench.commands.listing import Entry, Filters, Listing, env_names, matches, print_listing
from rlbench.common.console import console as new_console
from rlbench.config import parse_seed_ranges, plain
from rlbench.errors import UserError
from rlbench.preset import SEEDS

_D, _B = "Discrete", "Box"
_ANY = "Discrete, MultiDiscrete, MultiBinary, Box"
# Action spaces and agents of each kind, as the classes have them: importing all takes seconds.
AGENTS: dict[str, dict[str, str]] = {
    "value-based": {
        _D: "c51 double-dqn dqn drqn dueling-dqn iqn per-dqn pqn qr-dqn rainbow",
    },
    "actor-critic": {_ANY: "a2c ppo", _B: "sac crossq tqc td3 ddpg td3-bc"},
    "policy gradient": {_ANY: "reinforce"},
    "supervised": {
        _D: "supervised supervised-bandit supervised-online knn logistic-regression majority "
        "random-forest svm",
        _ANY: "clone",
    },
    "labels and rewards": {_D: "hybrid"},
    "peers": {
        _D: "sb3-dqn sb3-qrdqn",
        _ANY: "sb3-a2c sb3-ppo",
        _ANY.replace("MultiBinary, ", ""): "sb3-ppo-lstm",
        _ANY.replace(", Box", ""): "sb3-maskable-ppo",
        _B: "sb3-crossq sb3-sac sb3-td3",
    },
    "floor": {_ANY: "random"},
}
OTHERS = "from other packages"
MOVED = "moved to other packages"
MANY = 40  # entries of a group beyond which a table of all only counts them
_FAMILIES = {"classic_control": "classic control", "box2d": "Box2D", "toy_text": "toy text",
             "mujoco": "MuJoCo", "phys2d": "phys2d", "tabular": "tabular"}  # fmt: skip
_IN_GYMNASIUM = "gymnasium.envs."
# Observations and actions by the module of an environment, without making one.
_SPACES = {
    "classic_control.cartpole": ("vector", _D),
    "classic_control.mountain_car": ("vector", _D),
    "classic_control.acrobot": ("vector", _D),
    "classic_control.continuous_mountain_car": ("vector", _B),
    "classic_control.pendulum": ("vector", _B),
    "box2d.lunar_lander": ("vector", _D),
    "box2d.bipedal_walker": ("vector", _B),
    "box2d.car_racing": ("image", _B),
    "toy_text.blackjack": ("categories", _D),
    "toy_text": ("category", _D),
    "mujoco": ("vector", _B),
    "ale_py": ("image", _D),
    "minatar": ("image", _D),
    "minigrid": ("image and text", _D),
    "rlbench.envs.catch": ("image", _D),
    "rlbench.envs.cue": ("vector", _D),
    "rlbench.envs.doors": ("category", _D),
    "rlbench.envs.market": ("vector", _D),
    "rlbench.envs.recommend": ("vector", _D),
    "rlbench.envs.symbols": ("category", _D),
    "rlbench.envs.t_maze": ("vector", _D),
    "rlbench.envs.bit_flip": ("vectors with goals", _D),
    "rlbench.envs.reach": ("vectors with goals", _B),
    "rlbench.envs.images": ("image", _D),
}
_BOTH = "image and vector"
_IMAGE_VARIANTS = {"Find": _BOTH, "Glimpse": _BOTH, "Retry": _BOTH, "Rows": "vector"}


def list_items(what: str, out: Path, filters: Filters) -> None:
    """Print the things of a kind, such as "agents" or "runs", that the filters let through.

    Raises:
        UserError: A filter does not go with this kind.
    """
    takes = {"runs": ("env", "agent", "status", "tag"), "presets": ("env", "agent"),
             "envs": ("agent",), "agents": ("env",)}  # fmt: skip
    for name in ("env", "agent", "status", "tag"):
        if getattr(filters, name) and name not in takes.get(what, ()):
            able = " and ".join(kind for kind, names in takes.items() if name in names)
            raise UserError(f"--{name} goes with list {able}, not with {what}: leave it out")
    if what == "runs":
        from rlbench.commands.run_list import runs

        listing = runs(out, filters)
    else:
        listing = _SOURCES[what](filters)
    print_listing(listing, filters, new_console())


def _nothing(what: str, filters: Filters) -> str:
    return f"no {what} with {filters.text()}: see all with rlbench list {what}"


def _agents(filters: Filters) -> Listing:
    able = _able(filters.env) if filters.env else None
    ours = registry.own_agents()
    added = {plugin.name: (plugin, cls) for plugin, cls in plugins.working("agents", ours, _class)}
    descriptions = ours | {name: plugins.about(*each) for name, each in added.items()}
    kinds = {name: (kind, spaces) for kind, groups in AGENTS.items()
             for spaces, names in groups.items() for name in names.split()}  # fmt: skip
    others = {name: (OTHERS, ", ".join(kind.__name__ for kind in cls.action_spaces))
              for name, (_, cls) in added.items()}  # fmt: skip
    entries = []
    for name, (kind, spaces) in (kinds | others).items():
        if name in descriptions and (able is None or name in able):
            text, shown = descriptions[name], spaces
            if "," in spaces:
                lacks = set(_ANY.split(", ")) - set(spaces.split(", "))
                shown = f"not {lacks.pop()}" if lacks else "any"
            cells = name, shown, _without(name, text)
            entries.append(Entry(kind, cells, (name, kind, spaces, text)))
    return Listing(
        ("*agent", "*actions", "~"), entries, _nothing("agents", filters),
        "any: Discrete, MultiDiscrete, MultiBinary and Box. rlbench show AGENT prints parameters",
    )  # fmt: skip


def _class(plugin: plugins.Plugin) -> Any:
    return registry.agent_class(plugin.name)


def _without(name: str, text: str) -> str:
    """Leave out an agent's name at the beginning of its description, and the full stop."""
    first, colon, rest = text.removesuffix(".").partition(": ")
    plain = re.sub(r"[^a-z0-9]", "", first.lower())
    return rest if colon and plain == re.sub(r"[^a-z0-9]", "", name) else first + colon + rest


def _able(env: str) -> list[str]:
    """Return the agents that can be used in an environment."""
    from rlbench.experiments.preflight import able
    from rlbench.learning.environments.source import EnvSource

    source = EnvSource(env, None, masks=None)
    try:
        return able(source.facts)
    finally:
        source.close()


def _envs(filters: Filters) -> Listing:
    import gymnasium

    from rlbench.learning.environments.make import registered

    registered("")  # imports the packages that register environments
    for _ in plugins.working("envs", (), plugins.register):
        pass
    spaces = ""
    if filters.agent:
        registry.check_agent(filters.agent)
        kinds = registry.agent_class(filters.agent).action_spaces
        spaces = ", ".join(kind.__name__ for kind in kinds)
    entries = []
    for spec in gymnasium.registry.values():
        observations, actions = _kinds(spec)
        if filters.agent and actions not in spaces.split(", "):
            continue
        steps = "" if spec.max_episode_steps is None else str(spec.max_episode_steps)
        goal = "" if spec.reward_threshold is None else f"{spec.reward_threshold:g}"
        fields = (spec.id, observations, actions, steps, goal)
        entries.append(Entry(_family(spec), fields, (spec.id, _family(spec), *fields[1:])))
    first = ["rlbench", *_FAMILIES.values()]
    entries.sort(key=lambda entry: (
        first.index(entry.group) if entry.group in first else len(first),
        entry.group, entry.fields[0],
    ))  # fmt: skip
    counts = Counter(entry.group for entry in entries)
    brief = {name: f"{counts[name]} of them: rlbench list envs {name.split()[0].lower()}"
             for name in counts if counts[name] > MANY or name == MOVED}  # fmt: skip
    return Listing(
        ("*environment", "~observations", "*actions", "steps", "solved at"), entries,
        _nothing("envs", filters),
        "steps: after which an episode is cut. Blank: not known without making the environment",
        brief,
    )  # fmt: skip


def _module(spec: Any) -> str:
    """Return the module of an environment's class; "" where Gymnasium calls a function."""
    return spec.entry_point.partition(":")[0] if isinstance(spec.entry_point, str) else ""


def _family(spec: Any) -> str:
    module = _module(spec)
    if module.startswith("ale_py"):
        return "Atari"
    if module.startswith(_IN_GYMNASIUM):
        family = module.removeprefix(_IN_GYMNASIUM).partition(".")[0]
        return _FAMILIES.get(family, family)
    return spec.namespace or module.partition(".")[0] or MOVED


def _kinds(spec: Any) -> tuple[str, str]:
    """Return the kinds of observations and actions, "" where they are not known."""
    module = _module(spec).removeprefix(_IN_GYMNASIUM)
    fits = [name for name in _SPACES if f"{module}.".startswith((f"{name}.", f"{name}_v"))]
    if not fits:
        return "", ""
    observations, actions = _SPACES[max(fits, key=len)]
    if spec.kwargs.get("continuous"):
        actions = _B
    if spec.kwargs.get("obs_type") == "ram":
        observations = "vector"
    return _IMAGE_VARIANTS.get(spec.kwargs.get("variant", ""), observations), actions


def _presets(filters: Filters) -> Listing:
    entries = []
    ours = registry.own_agents()
    added = [plugin.name for plugin, _ in plugins.working("agents", ours, _class)]
    for agent in [*ours, *added]:
        for env, values in registry.presets(agent).items():
            if not (matches(filters.agent, agent) and matches(filters.env, *env_names(env))):
                continue
            source = values.get("source", "")
            steps = values.get("n_timesteps", "")
            epochs = values.get("epochs", "")
            budget = f"{steps:,}" if steps else f"{epochs:g} passes" if epochs else ""
            settings = " ".join(
                f"{k}={plain(v)}" for k, v in values.items() if k not in ("source", "tuned")
            )
            entries.append(Entry(
                agent, (env, budget, seeds_of(source), short(source)),
                (agent, env, str(steps), str(epochs), seeds_of(source), source, settings),
            ))  # fmt: skip
    brief = {}
    for agent in {entry.group for entry in entries}:
        sources = [entry.cells[3] for entry in entries if entry.group == agent]
        if len(sources) > 1 and len(set(sources)) == 1 and "taken over" in sources[0]:
            brief[agent] = f"{len(sources)} {sources[0]}: rlbench list presets --agent {agent}"
    return Listing(
        ("*environment", "budget", "seeds", "~source"), entries, _nothing("presets", filters),
        "budget: env steps a seed, or passes over the training images. seeds: how many it was "
        "tuned or tried on. rlbench show AGENT prints all of it",
        brief,
    )  # fmt: skip


def seeds_of(source: str) -> str:
    """Count the seeds that a preset was tuned or tried on, if its source says so."""
    match = SEEDS.search(source)
    return str(len(parse_seed_ranges(match[1]))) if match else ""


def short(source: str) -> str:
    """Cut a source at the end of its first clause."""
    return re.split(r"[:;,(]", source, maxsplit=1)[0].strip()


def _suites(filters: Filters) -> Listing:
    from rlbench.experiments import suite

    entries = []
    for name, read in suite.builtin().items():
        sizes = [str(len(each)) for each in (read.entrants(), read.env, read.seeds)]
        line = (name, *(["", "", ""] if read.suites else sizes), read.description)
        entries.append(Entry("", line, line))
    return Listing(
        ("*suite", "agents", "envs", "seeds", "~"), entries, _nothing("suites", filters),
        "rlbench bench SUITE --dry-run prints its cells, with time and memory",
    )  # fmt: skip


def _wrappers(filters: Filters) -> Listing:
    from rlbench.envs.wrappers import WRAPPERS

    added = plugins.names("wrappers", registry.known_wrappers())
    entries = _named(_described("wrappers", registry.known_wrappers()),
                     lambda name: "rlbench" if name in WRAPPERS else
                     OTHERS if name in added else "Gymnasium")  # fmt: skip
    return Listing(("*wrapper", "~"), entries, _nothing("wrappers", filters))


def _encoders(filters: Filters) -> Listing:
    entries = _named(_described("encoders", registry.ENCODERS), lambda _: "")
    return Listing(("*encoder", "~"), entries, _nothing("encoders", filters))


def _described(kind: str, ours: dict[str, str]) -> list[tuple[str, str]]:
    """Describe what rlbench has of a kind, and the plug-ins, which are loaded."""
    added = [(plugin.name, plugins.about(plugin, it)) for plugin, it in plugins.working(kind, ours)]
    return [*ours.items(), *added]


def _named(rows: Iterable[tuple[str, str]], group: Callable[[str], str]) -> list[Entry]:
    return [Entry(group(name), (name, text), (name, text)) for name, text in rows]


_SOURCES: dict[str, Callable[[Filters], Listing]] = {
    "agents": _agents,
    "encoders": _encoders,
    "envs": _envs,
    "presets": _presets,
    "suites": _suites,
    "wrappers": _wrappers,
}
