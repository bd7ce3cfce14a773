"""Suites: which agents meet which environments, read from a TOML file of a few lines.

    name = "memory"
    seeds = 10                    # as --seeds takes them, or a list
    agents = ["random", "ppo"]    # as they are, with their presets
    [variant.gru]                 # these agents once more, with other parameters
    agents = ["dqn", "ppo"]
    encoder = "gru"
    [[env]]                       # one budget for all; without it each agent's own
    id = "CartPole-v1"
    wraps = ["mask-velocity"]
    steps = 200_000

Every agent and variant meets every environment, unless that names `agents` of its own. The fields
of the classes are all the keys there are; for `[ablation]` and `[sensitivity]` see the modules of
these names beside this one. A file with `suites = ["classic", "memory"]` lists other suites.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rlbench import plugins, registry
from rlbench.config import Float, Int, read_seeds
from rlbench.errors import UserError, nearest
from rlbench.experiments.ablation import Ablation
from rlbench.experiments.sensitivity import Sensitivity

_HERE = Path(__file__).parent.parent / "suites"


def _read_seeds(seeds: Any) -> Any:
    """Parse seeds as `--seeds` takes them, or a list."""
    try:
        return read_seeds(seeds)
    except UserError as error:
        raise ValueError(str(error)) from None


Seeds = Annotated[tuple[int, ...], BeforeValidator(_read_seeds)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Env(_Table):
    """Environment of a suite with its budget; by default each agent's usual one."""

    id: str
    steps: Int | None = Field(None, ge=0, description="env steps per seed")
    epochs: Float | None = Field(None, gt=0, description="passes over training images, instead")
    wraps: tuple[str, ...] = Field((), description="wrappers, from the inside out")
    kwargs: dict[str, Any] = Field({}, description="arguments of the environment")
    vector: str = Field("", description="vector environments to train in, as --env-vector")
    agents: tuple[str, ...] = Field((), description="only these of the suite's; default: all")
    timeout: Float | None = Field(None, gt=0, description="seconds; overrules the suite's")

    @property
    def title(self) -> str:
        """The environment in words, with wrappers, arguments and vector environments."""
        arguments = [f"{key}={value}" for key, value in self.kwargs.items()]
        arguments += [f"env_vector={self.vector}"] if self.vector else []
        return " ".join(["+".join([self.id, *self.wraps]), *arguments])


class Variant(BaseModel):
    """Agents with other parameters: keys other than the fields here; `n_envs` may be one."""

    model_config = ConfigDict(extra="allow", frozen=True)
    agents: tuple[str, ...] = Field(min_length=1)
    preset: str = Field("", description="name of tuned parameters, in place of the usual ones")

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the agents, by name; `preset` where it has one."""
        return {**(self.model_extra or {}), **({"preset": self.preset} if self.preset else {})}


class Suite(_Table):
    """Content of a suite file: either environments or other suites, which run one by one."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    seeds: Seeds = Field(tuple(range(5)), description="5 (= 0 to 4), '0-9' or [3, 7, 11]")
    agents: tuple[str, ...] = Field((), description="as they are, with their presets")
    variant: dict[str, Variant] = {}
    ablation: Ablation | None = None
    sensitivity: Sensitivity | None = None
    env: tuple[Env, ...] = ()
    suites: tuple[str, ...] = Field((), description="names or files, in place of environments")
    preset: bool = Field(True, description="whether tuned parameters are used")
    eval_freq: Int | None = Field(None, ge=0, description="env steps; 0: only at the end")
    eval_episodes: Int = Field(10, ge=1, description="at every point of the grid")
    final_episodes: Int = Field(100, ge=1, description="at the end, which scores are made of")
    eval_max_steps: Int | None = Field(
        None, ge=1, description="steps after which an evaluation episode is cut"
    )
    timeout: Float | None = Field(None, gt=0, description="seconds that a part of a cell may take")

    def entrants(self, env: Env | None = None) -> list[tuple[str, str, dict[str, Any]]]:
        """List (agent, variant name or "", its parameters), of all or of one environment."""
        plain: list[tuple[str, str, dict[str, Any]]] = [(agent, "", {}) for agent in self.agents]
        variants = [
            (agent, name, variant.parameters)
            for name, variant in self.variant.items()
            for agent in variant.agents
        ]
        for part in (self.ablation, self.sensitivity):
            if part:
                variants += [(part.agent, name, given) for name, given in part.variants().items()]
        only = env.agents if env else ()
        return [entrant for entrant in plain + variants if not only or entrant[0] in only]


def builtin() -> dict[str, Suite]:
    """Return the suites that have names, by name, without checking what they name."""
    ours = {name: _parse(read_text(name), f"{name}.toml") for name in _ours()}
    return ours | {plugin.name: each for plugin, each in plugins.working("suites", ours, _added)}


def names() -> list[str]:
    """List the suites that come with rlbench or with other packages."""
    return [*(ours := _ours()), *plugins.names("suites", ours)]


def _ours() -> list[str]:
    return sorted(file.stem for file in _HERE.glob("*.toml"))


def _added(plugin: plugins.Plugin) -> Suite:
    return _parse(plugins.file_text(plugin), str(plugin))


def read_text(name: str) -> str:
    """Read the file of a suite, by name or path.

    Raises:
        UserError: There is no such suite, or it cannot be read.
    """
    path = _HERE / f"{name}.toml" if name in _ours() else Path(name)
    if not path.is_file():
        if (plugin := plugins.find("suites", name)) is not None:
            return plugins.file_text(plugin)
        hint = f"{nearest(name, names())} (rlbench list suites, or the path of a TOML file)"
        raise UserError(f"no suite '{name}'.{hint}")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def load(name: str) -> Suite:
    """Read and check a suite, by name or path, without making environments.

    Raises:
        UserError: The file does not exist, is not TOML, lists other suites, or has unknown keys,
            agents or wrappers.
    """
    return loads(read_text(name), _file(name))


class SuiteText(NamedTuple):
    """Suite with the name of its file, and what is written there."""

    suite: Suite
    file: str
    text: str


def load_all(name: str) -> list[SuiteText]:
    """Read and check a suite, or those that it lists, by name or path.

    Paths in a list are relative to its file.

    Raises:
        UserError: One of them is not valid, or two have the same name.
    """
    text, file = read_text(name), _file(name)
    listed = _parse(text, file).suites
    if not listed:
        return [SuiteText(loads(text, file), file, text)]
    paths = [each if each in names() else str(Path(name).parent / each) for each in listed]
    try:
        texts = {path: read_text(path) for path in paths}
        read = [SuiteText(loads(texts[path], _file(path)), _file(path), texts[path])
                for path in paths]  # fmt: skip
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    called = [each.suite.name for each in read]
    if twice := [each for each in called if called.count(each) > 1]:
        raise UserError(f"{file} lists two suites with the name '{twice[0]}'")
    return read


def _file(name: str) -> str:
    """Name the file of a suite in messages."""
    return f"{name}.toml" if name in names() else Path(name).name


def loads(text: str, file: str) -> Suite:
    """Parse a suite file; error messages begin with `file`."""
    return _check_names(_parse(text, file), file)


def _check_names(suite: Suite, file: str) -> Suite:
    """Check that agents and wrappers exist and nothing is listed twice; return the suite."""
    if suite.suites:
        raise UserError(f"{file} is a list of suites itself: name its suites instead")
    if not suite.entrants():
        raise UserError(
            f"{file} names no agents: agents = [...], a [variant.NAME], an [ablation] "
            "or a [sensitivity]"
        )
    agents = [agent for agent, _, _ in suite.entrants()]
    wraps = [wrap.partition(":")[0] for env in suite.env for wrap in _own(env.wraps)]
    for what, words, choices in (
        ("agent", agents, registry.agents()),
        ("agent of this suite", [agent for env in suite.env for agent in env.agents], agents),
        ("wrapper", wraps, registry.wrappers() if wraps else {}),
    ):
        for word in words:
            if word not in choices and not (what == "agent" and ":" in word):  # a user's class
                hint = f"{nearest(word, choices)} (rlbench list {what.split()[0]}s)"
                raise UserError(f"{file}: no {what} '{word}'.{hint}")
    titles = [env.title for env in suite.env]
    twice = [f"[[env]] {title}" for title in titles if titles.count(title) > 1]
    rivals = [f"agent {agent} {name}".rstrip() for agent, name, _ in suite.entrants()]
    if twice := twice + [rival for rival in rivals if rivals.count(rival) > 1]:
        raise UserError(f"{file} names {twice[0]} twice")
    for env in suite.env:
        if None not in (env.steps, env.epochs):
            raise UserError(f"{file}: {env.title} has steps and epochs: give one of the two")
    return suite


def _parse(text: str, file: str) -> Suite:
    try:
        suite = _validate(tomllib.loads(text), file)
    except (ValueError, RecursionError) as error:  # also of whole numbers with 5,000 digits
        raise UserError(f"{file} cannot be read: {error}") from None
    if not (suite.env or suite.suites):
        raise UserError(f"{file} lacks env: [[env]] with an id, or suites = [...]")
    if suite.suites and (others := suite.model_fields_set - {"name", "description", "suites"}):
        raise UserError(f"{file}: a list of suites has no {min(others)}: set it in each of them")
    return suite


def _own(wraps: Sequence[str]) -> list[str]:
    """List the wrappers that are registered names, not `package.module:Class`."""
    pieces = [wrap.split(":") for wrap in wraps]
    modules = [len(piece) > 1 and ("." in piece[0] or piece[1].isidentifier()) for piece in pieces]
    return [wrap for wrap, module in zip(wraps, modules, strict=True) if not module]


def _validate(tables: dict[str, Any], file: str) -> Suite:
    """Validate the tables; the first mistake becomes a UserError of one line."""
    try:
        return Suite(**tables)
    except ValidationError as error:
        errors = error.errors()
    unknown = [
        one for one in errors if one["type"] == "extra_forbidden"
    ]  # they are the most specific
    first = [*unknown, *errors][0]
    where, position = list(first["loc"]), [file]
    kind: type[BaseModel] = Suite
    if where[0] == "ablation" and len(where) > 1:
        kind, where, position = Ablation, where[1:], [file, "[ablation]"]
    elif where[0] == "sensitivity" and len(where) > 1:
        kind, where, position = Sensitivity, where[1:], [file, "[sensitivity]"]
    elif where[0] == "env" and len(where) > 2:
        kind, where, position = Env, where[2:], [file, f"[[env]] number {int(where[1]) + 1}"]
    elif where[0] == "variant" and len(where) > 2:
        kind, where, position = Variant, where[2:], [file, f"[variant.{where[1]}]"]
    key = str(where[0])
    if first["type"] == "extra_forbidden":
        raise UserError(
            f"{': '.join(position)} has no key '{key}'.{nearest(key, kind.model_fields)}"
            f" (known: {', '.join(kind.model_fields)})"
        )
    if first["type"] == "missing":
        raise UserError(f"{': '.join(position)} lacks {key}")
    reason = re.sub("^Value error, |Input ", "", first["msg"])
    value = json.dumps(first["input"], default=str)
    raise UserError(f"{': '.join(position)}: {key} = {value[:40]}: {reason}")
