"""How much code is entered on the way from `rlbench run` to the first update, and in one update.

    python benchmarks/entered.py [--root FOLDER] [--names]

`rlbench run dqn --env CartPole-v1` runs in this process, with one seed, under `sys.setprofile`, and
is ended after its second update. Counted are files and functions of rlbench (a nested function or
comprehension counts with the function around it, modules and class bodies do not), from the start
to the first optimiser step and again from one action to the next with an update between; and
environments as their constructors end, wrappers aside. With `--root` the package of another
checkout is counted instead: `git worktree add FOLDER COMMIT` gives one.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

ENV = "CartPole-v1"
COMMAND = ["run", "dqn", "--env", ENV, "--seeds", "1", "-n", "3000", "--quiet"]
NEVER = ["--eval-freq", "0"]
OPTIMIZER = "Adam.step"


class Counts(NamedTuple):
    """What was entered: files, and functions by file and line."""

    files: set[str]
    functions: set[tuple[str, str]]

    def __str__(self) -> str:
        return f"{len(self.files)} files, {len(self.functions)} functions"


class Watch:
    """Notes every function of the package that is entered, until the second update is done."""

    def __init__(self, package: Path, end: type[BaseException]) -> None:
        self.end = end  # is raised when all is counted
        self.roots = tuple(f"{folder.resolve()}/" for folder in _folders(package))
        self.entered: dict[tuple[str, str], None] = {}  # since the last mark
        self.names: dict[CodeType, tuple[str, str] | None] = {}
        self.first: Counts | None = None
        self.step: Counts | None = None
        self.built = 0
        self.built_before: int | None = None
        self.counting = False  # one step, from an action after the first update on
        self.updated = False  # in that step

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        code = frame.f_code
        if code.co_name == "__init__":
            self._count_environment(frame)
        if code not in self.names:
            self.names[code] = self._name(code)
        if name := self.names[code]:
            self._enter(*name)

    def _enter(self, file: str, function: str) -> None:
        if function == "DQN.act":
            if self.built_before is None:
                self.built_before = self.built
            if self.first and self.updated:
                self.step = self._taken()
                sys.setprofile(None)
                raise self.end
            self.counting = self.first is not None
            if self.counting:
                self.entered.clear()
        self.entered[file, function] = None
        if function == OPTIMIZER:
            self.first, self.updated = self.first or self._taken(), self.counting

    def _taken(self) -> Counts:
        return Counts({file for file, _ in self.entered}, set(self.entered))

    def _name(self, code: CodeType) -> tuple[str, str] | None:
        """File and function, None for what is not counted."""
        file, name = str(Path(code.co_filename).resolve()), code.co_qualname
        function = name.partition(".<locals>")[0]
        if not file.startswith(self.roots) or function.startswith("<"):
            return None
        if not code.co_flags & 0x2:  # not CO_NEWLOCALS: a class body
            return None
        return file, function

    def _count_environment(self, frame: FrameType) -> None:
        gymnasium = sys.modules.get("gymnasium")
        made = frame.f_locals.get("self")
        own = getattr(type(made), "__init__", None)
        if (
            gymnasium is not None
            and hasattr(gymnasium, "Wrapper")
            and issubclass(type(made), gymnasium.Env)
            and not issubclass(type(made), gymnasium.Wrapper)
            and getattr(own, "__code__", None) is frame.f_code
        ):
            self.built += 1


def _folders(package: Path) -> list[Path]:
    """The package, and what links in it lead to."""
    return [package, *(path for path in package.iterdir() if path.is_dir())]


def run(package: Path, extra: list[str]) -> Watch:
    """Run the command until its second update."""
    try:
        command: Any = importlib.import_module("rlbench.cli.main")
    except ImportError:  # before there were packages
        command = importlib.import_module("rlbench.cli")
    errors = importlib.import_module("rlbench.errors")

    watch = Watch(package, getattr(errors, "Interrupted", KeyboardInterrupt))
    with tempfile.TemporaryDirectory() as out:
        sys.setprofile(watch)
        try:
            command.main([*COMMAND, *extra, "--out", out], standalone_mode=False)
        except BaseException:
            if watch.step is None:
                raise
        finally:
            sys.setprofile(None)
    return watch


def structure(package: Path) -> None:
    """Print modules per package, and public classes with the same name."""
    modules, classes = Counter[str](), defaultdict[str, list[str]](list)
    for folder in sorted({path.resolve() for path in _folders(package)}):
        for file in sorted(folder.rglob("*.py")) if folder != package.resolve() else []:
            _read(file, file.relative_to(folder.parent), modules, classes)
    for file in sorted(package.glob("*.py")):
        _read(file, file.relative_to(package.parent), modules, classes)
    print("modules per package:")
    for name, count in sorted(modules.items()):
        print(f"    {count:3} {name}")
    twice = {name: files for name, files in classes.items() if len(files) > 1}
    print(f"public class names that are used twice: {len(twice)}")
    for name, files in sorted(twice.items()):
        print(f"    {name}: {', '.join(files)}")


def _read(file: Path, shown: Path, modules: Counter[str], classes: dict[str, list[str]]) -> None:
    if file.name != "__init__.py":
        modules[str(shown.parent)] += 1
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ClassDef) and not re.match("_|Config$", node.name):
            classes[node.name].append(str(shown))


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--names", action="store_true", help="Print the functions, too.")
    options = parser.parse_args()
    root = options.root.resolve()
    sys.path.insert(0, str(root))
    package = root / "rlbench"
    watch = run(package, [])
    print(f"from `rlbench run dqn --env {ENV}` to the first optimiser step: {watch.first}")
    print(f"one DQN step with an update: {watch.step}")
    plain = run(package, NEVER)
    print(
        f"environments built before the first action, of one lane: {plain.built_before} "
        f"without evaluation, {watch.built_before} with an evaluation of 10 lanes at step 0"
    )
    structure(package)
    if options.names and watch.first:
        print("entered up to the first optimiser step:")
        for file, function in sorted(watch.first.functions):
            print(f"    {Path(file).relative_to(root)} {function}")


if __name__ == "__main__":
    main()
