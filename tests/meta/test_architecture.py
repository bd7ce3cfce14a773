"""Who may import whom, and that there is one source of randomness."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import ROOT

from rlbench import registry
from rlbench.learning.core.agent_core import Agent

PACKAGE = ROOT / "rlbench"
LINKED = [*PACKAGE.glob("agents/*.py"), *PACKAGE.glob("envs/*.py")]  # rglob follows no symlinks
FILES = sorted(
    {file for file in PACKAGE.rglob("*.py") if "__pycache__" not in file.parts} | set(LINKED)
)
FOREIGN_RANDOM = ("np.random.", "numpy.random.", "torch.rand", "torch.manual_seed", "random.",
                  "torch.default_generator", "torch.cuda.manual_seed")  # fmt: skip
# A user's own module may draw from global generators, and nothing else can be done about it: this
# one file seeds them from a stream around every use, and puts them back.
FORKS = {
    "global_random.py": {
        "torch.random.fork_rng",
        "torch.random.get_rng_state",
        "torch.default_generator.manual_seed",
        "torch.cuda.manual_seed_all",
        "np.random.get_state",
        "np.random.set_state",
        "np.random.seed",
        "random.getstate",
        "random.setstate",
        "random.seed",
    },
    # Stable-Baselines3 and users' environments draw from global generators: their turns and ours
    # each keep their own.
    "streams.py": {
        "torch.random.fork_rng",
        "np.random.get_state",
        "np.random.set_state",
        "random.getstate",
        "random.setstate",
    },
}
PEER = re.compile(r"rlbench\.agents\._?sb3(_|$)")
STREAMS = ("Generator", "SeedSequence", "PCG64", "default_rng", "BitGenerator", "RandomState")


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path, only_running: bool = True) -> Iterator[str]:
    """Modules that a file imports anywhere, except for the type checker only."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) and only_running
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield str(node.module)
            if node.module in {
                "rlbench",
                "rlbench.learning",
                "rlbench.reporting",
                "rlbench.agents",
            }:
                yield from (f"{node.module}.{name.name}" for name in node.names)


def within(module: str, *packages: str) -> bool:
    return any(module == p or module.startswith(p + ".") for p in packages)


def foreign(file: Path) -> set[str]:
    """Top-level names of what a file imports from outside the standard library."""
    roots = {module.partition(".")[0] for module in imports(file)}
    return roots - set(sys.stdlib_module_names) - {"__future__"}


def violations(file: Path) -> list[str]:
    """Imports that the house's rules forbid."""
    here, wrong = module_of(file), []
    for module in imports(file):
        ours = within(module, "rlbench")
        bad = within(module, "rlbench.cli.main") and here != "rlbench.__main__"
        bad |= within(module, "stable_baselines3") and not PEER.match(here)
        if within(here, "rlbench.reporting"):
            bad |= within(module, "torch", "rlbench.learning", "rlbench.agents", "rlbench.envs")
        if within(here, "rlbench.learning"):
            bad |= within(module, "pandas", "seaborn", "matplotlib", "rlbench.reporting",
                          "rlbench.agents", "rlbench.experiments.run", "rlbench.storage.run_folder")  # fmt: skip
        if within(here, "rlbench.envs"):
            bad |= ours and not within(module, "rlbench.envs")
        if within(here, "rlbench.agents") and ours:
            bad |= not within(module, "rlbench.agents", "rlbench.learning", "rlbench.config",
                              "rlbench.rows", "rlbench.errors") and module != "rlbench"  # fmt: skip
        if bad:
            wrong.append(f"{here} imports {module}")
    return wrong


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_imports(file: Path) -> None:
    assert violations(file) == []


def test_forbidden_imports_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: each rule broken once."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    cases = {
        "rlbench/reporting/bad.py": "def f():\n    import torch",
        "rlbench/learning/bad.py": "import pandas as pd",
        "rlbench/agents/bad.py": "import stable_baselines3.common",
        "rlbench/agents/sb3x.py": "from stable_baselines3 import DQN",
        "rlbench/agents/worse.py": "from rlbench.reporting import results",
        "rlbench/envs/bad.py": "from rlbench import config",
        "rlbench/experiments/run.py": "from rlbench.cli.main import main",
    }
    for name, text in cases.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        assert violations(file), name
    harmless = tmp_path / "rlbench/reporting/good.py"
    harmless.write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n")
    assert violations(harmless) == []


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("learning/seeds.py", {"numpy"}),
        ("learning/kernels.py", {"numpy", "torch"}),
        ("learning/returns.py", {"torch", "rlbench"}),
        ("learning/nets.py", {"numpy", "torch", "rlbench"}),
        ("learning/optim.py", {"torch"}),
        ("reporting/stats.py", {"numpy", "scipy"}),
        ("config.py", {"pydantic", "rlbench"}),
        ("rows.py", set()),
    ],
)
def test_the_lowest_files_stand_alone(name: str, allowed: set[str]) -> None:
    assert foreign(PACKAGE / name) <= allowed


STATISTICS = ["bootstrap", "comparison", "effects", "efficiency", "profiles", "references",
              "resampling", "stats"]  # fmt: skip


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_know_arrays_only(name: str) -> None:
    """numpy, scipy and each other: no tables, no files, no figures."""
    file = PACKAGE / "reporting" / f"{name}.py"
    assert foreign(file) <= {"numpy", "scipy", "rlbench"}
    ours = {module for module in imports(file) if within(module, "rlbench")}
    assert ours <= {f"rlbench.reporting.{other}" for other in STATISTICS}


def test_an_agent_imports_at_most_one_other() -> None:
    for file in (PACKAGE / "agents").glob("[!_]*.py"):
        others = {module.split(".")[2] for module in imports(file)
                  if within(module, "rlbench.agents") and re.match(r"[\w.]+\.[^_.]\w*$", module)
                  and module.count(".") == 2}  # fmt: skip
        assert len(others) <= 1, f"{file.name} imports {others}"


def test_no_global_generator() -> None:
    """Random numbers come from streams: no call of numpy's, torch's or Python's global ones."""
    found = []
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            if any(f"{fork}.".startswith(f"{name}.") for fork in FORKS.get(file.name, ())):
                continue
            if name.startswith(FOREIGN_RANDOM) and not name.partition("(")[0].endswith(STREAMS):
                found.append(f"{file.name}: {name}")
        assert "random" not in set(imports(file)) or file.name in FORKS, file.name
    assert found == []


def test_one_folder_two_names() -> None:
    """`agents/` is `rlbench.agents`, `envs/` is `rlbench.envs`, in every checkout."""
    for name in ("agents", "envs"):
        link = PACKAGE / name
        assert link.is_symlink()
        assert not link.readlink().is_absolute()
        assert link.resolve() == (ROOT / name).resolve()


@pytest.mark.parametrize("name", registry.agents())
def test_every_agent_says_what_it_is(name: str) -> None:
    """One line for the list, a description for every parameter, shallow inheritance."""
    assert len(registry.agents()[name]) > 10
    cls = registry.agent_class(name)
    assert issubclass(cls, Agent)
    between = [c for c in inspect.getmro(cls) if issubclass(c, Agent) and c is not Agent]
    assert len(between) <= 2
    assert cls.action_spaces
    for field, info in cls.Config.model_fields.items():
        assert info.description, f"{name} does not say what {field} is"


def test_dqn_names_its_paper() -> None:
    assert "Mnih et al. 2015" in registry.agents()["dqn"]
    text = (PACKAGE / "learning" / "returns.py").read_text()
    assert "van Hasselt" in text


def test_agents_are_found_by_name_and_by_class() -> None:
    """The lazy names of the package are the classes of the catalogue."""
    package = importlib.import_module("rlbench.agents")
    made = {getattr(package, name) for name in package.__all__}
    assert made == {registry.agent_class(name) for name in registry.agents()}
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="Nothing"):
        _ = package.Nothing
