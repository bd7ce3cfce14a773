"""The architecture: one home per name, one source of randomness, imports as pyproject.toml says."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import ROOT

from rlbench import registry
from rlbench.learning.agent import Agent

PACKAGE = ROOT / "rlbench"
FILES = sorted(
    file
    for folder in ("rlbench", "agents", "envs")
    for file in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in file.parts
)
FOREIGN_RANDOM = ("np.random.", "numpy.random.", "torch.rand", "torch.manual_seed", "random.",
                  "torch.default_generator", "torch.cuda.manual_seed")  # fmt: skip
# Users' modules and environments and Stable-Baselines3 draw from global generators, which cannot be
# helped: one file seeds, compares and restores them.
FORKS = {
    "global_generators.py": {
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
}
STREAMS = ("Generator", "SeedSequence", "PCG64", "default_rng", "BitGenerator", "RandomState")


def imports(file: Path) -> Iterator[str]:
    """Yield the modules that a file imports anywhere."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield str(node.module)


def foreign(file: Path) -> set[str]:
    """Return the top-level names that a file imports from outside the standard library."""
    roots = {module.partition(".")[0] for module in imports(file)}
    return roots - set(sys.stdlib_module_names) - {"__future__"}


def lint_imports(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Check the contracts in a configuration file."""
    code = "from importlinter.cli import lint_imports_command as main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache", *arguments],
        cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_packages_import_as_pyproject_says() -> None:
    done = lint_imports()
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("circle", [False, True])
def test_a_circle_is_found(circle: bool, tmp_path: Path) -> None:
    """Negative control of the contract that every package is held to."""
    for name, text in {
        "one": "import shop.two" if circle else "",
        "two": "import shop.one",
    }.items():
        (tmp_path / "shop").mkdir(exist_ok=True)
        (tmp_path / "shop" / "__init__.py").touch()
        (tmp_path / "shop" / f"{name}.py").write_text(text)
    (tmp_path / ".importlinter").write_text(
        "[importlinter]\nroot_package = shop\n"
        "[importlinter:contract:1]\nname = none\ntype = acyclic_siblings\nancestors = shop\n"
    )
    assert lint_imports(cwd=tmp_path).returncode == circle


@pytest.mark.parametrize("inside", [False, True])
def test_an_import_from_inside_a_protected_package_is_found(inside: bool, tmp_path: Path) -> None:
    """Negative control of the contract that protects learning.compile."""
    (tmp_path / "shop" / "till").mkdir(parents=True)
    for name, text in {
        "__init__": "",
        "till/__init__": "from shop.till.drawer import coins",
        "till/drawer": "coins = 3",
        "customer": f"from shop.till{'.drawer' * inside} import coins",
    }.items():
        (tmp_path / "shop" / f"{name}.py").write_text(text)
    (tmp_path / ".importlinter").write_text(
        "[importlinter]\nroot_package = shop\n"
        "[importlinter:contract:1]\nname = own\ntype = protected\n"
        "protected_modules = shop.till.*\nallowed_importers = shop.till\n"
    )
    assert lint_imports(cwd=tmp_path).returncode == inside


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("learning/rng.py", {"numpy"}),
        ("learning/compile/dense_kernels.py", {"numpy", "torch"}),
        ("learning/equations/returns.py", {"torch", "rlbench"}),
        ("learning/networks/layers.py", {"numpy", "torch", "rlbench"}),
        ("learning/row_values.py", {"numpy", "torch", "rlbench"}),
        ("learning/optim/optimizers.py", {"torch", "rlbench"}),
        ("reporting/statistics/intervals.py", {"numpy", "scipy"}),
        ("config.py", {"pydantic", "rlbench"}),
        ("rows.py", set()),
    ],
)
def test_low_modules_import_little(name: str, allowed: set[str]) -> None:
    assert foreign(PACKAGE / name) <= allowed


def test_statistics_import_numpy_and_scipy_only() -> None:
    for file in (PACKAGE / "reporting" / "statistics").glob("*.py"):
        assert foreign(file) <= {"numpy", "scipy", "rlbench"}
        ours = {module for module in imports(file) if module.startswith("rlbench")}
        assert all(module.startswith("rlbench.reporting.statistics") for module in ours)


def test_an_agent_imports_at_most_one_other() -> None:
    for file in (PACKAGE / "agents").glob("[!_]*.py"):
        others = {m for m in imports(file) if re.fullmatch(r"rlbench\.agents\.[^_.]\w*", m)}
        assert len(others) <= 1, f"{file.name} imports {others}"


def test_public_classes_have_one_home() -> None:
    """No two public classes share a name."""
    homes = defaultdict(list)
    for file in FILES:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(file.relative_to(ROOT)))
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def test_packages_say_what_they_hold() -> None:
    """The first lines of a package: what lives there, what it imports, where to start."""
    for file in FILES:
        if file.name == "__init__.py" and file.parent.name not in {"presets", "suites"}:
            text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            assert len(text.splitlines()) >= 3, file


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
    of_agents = [c for c in between if c.__module__.startswith("rlbench.agents.")]
    assert len(of_agents) <= 2  # an agent, and one that is a variant of it
    assert len(between) - len(of_agents) <= 1  # what a family shares
    assert cls.action_spaces
    for field, info in cls.Config.model_fields.items():
        assert info.description, f"{name} does not say what {field} is"


def test_dqn_names_its_paper() -> None:
    assert "Mnih et al. 2015" in registry.agents()["dqn"]
    text = (PACKAGE / "learning" / "equations" / "returns.py").read_text()
    assert "van Hasselt" in text


def test_agents_are_found_by_name_and_by_class() -> None:
    """The lazy names of the package are the classes of the catalogue."""
    package = importlib.import_module("rlbench.agents")
    made = {getattr(package, name) for name in package.__all__}
    assert made == {registry.agent_class(name) for name in registry.agents()}
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="Nothing"):
        _ = package.Nothing
