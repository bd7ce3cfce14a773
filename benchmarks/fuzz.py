"""Hostile texts and files for everything that reads some: a user's mistake is the worst it may be.

    pip install atheris
    python benchmarks/fuzz.py TARGET [--seconds 60] [--list]

The fuzzer (atheris, libFuzzer) is guided by the coverage of the readers, begins with valid samples,
and stops at what ends otherwise than well or in `UserError`: another exception, more than 10
seconds, or more than 2 GB. `tests/benchmarks/test_fuzz.py` gives the same targets other inputs.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import NamedTuple

import numpy as np

from rlbench import config
from rlbench.envs.data.npz import Damaged, opened
from rlbench.errors import UserError
from rlbench.experiments import suite
from rlbench.importing import write as importing
from rlbench.reporting.tables.load import collect
from rlbench.tuning import space

ROOT = Path(__file__).resolve().parents[1]
SUITE = b'name = "a"\nseeds = 2\nagents = ["dqn"]\n[[env]]\nid = "CartPole-v1"\nsteps = 1000\n'
MONITOR = b'#{"t_start": 1.5, "env_id": "CartPole-v1"}\nr,l,t\n9.0,9,0.5\n12.0,12,0.9\n'
WANDB = b'"Step","run-1 - return","run-1 - return__MIN"\n"100","9.5","9.5"\n"200","11.0","11.0"\n'
MARL = json.dumps({"e": {"t": {"a": {"s": {
    "step_0": {"step_count": 10, "return": [1.0, 2.0]},
    "absolute_metrics": {"return": [3.0]},
}}}}}).encode()  # fmt: skip
GOLDEN = ROOT / "tests" / "storage" / "golden"


class Target(NamedTuple):
    """What reads an input, and valid inputs to begin with."""

    read: Callable[[bytes, Path], object]
    samples: list[bytes]


def text_of(data: bytes) -> str:
    """Return bytes as text, as a shell passes them."""
    return data.decode("utf-8", "surrogateescape")


def parameters(data: bytes, _: Path) -> None:
    """Read `-p` values, a line each, as dqn's."""
    values = config.parse_assignments(text_of(data).splitlines())
    from rlbench.agents.dqn import DQN

    DQN.Config.build("dqn", values)


def search(data: bytes, _: Path) -> None:
    """Read `-s` values, a line each, of dqn's."""
    space.parse("dqn", space.split(text_of(data).splitlines()))


def seeds(data: bytes, _: Path) -> None:
    """Read seeds and steps."""
    for read in (config.parse_seeds, config.parse_seed_ranges, config.parse_steps):
        try:
            read(text_of(data))
        except UserError:
            continue


def suite_file(data: bytes, place: Path) -> None:
    """Read a suite as `rlbench bench FILE` does."""
    file = place / "suite.toml"
    file.write_bytes(data)
    suite.load(str(file))


def arrays(data: bytes, place: Path) -> None:
    """Read all arrays of an .npz file that may take 64 MB."""
    file = place / "arrays.npz"
    file.write_bytes(data)
    with opened(file, 2**26) as found:
        for name in found.names:
            _ = found[name]


def imported(name: str) -> Callable[[bytes, Path], None]:
    """Return what imports a file of this name."""

    def read(data: bytes, place: Path) -> None:
        file = place / name
        file.write_bytes(data)
        importing.read(file, None)

    return read


def run_folder(name: str) -> Callable[[bytes, Path], None]:
    """Return what loads a run whose file `name` holds the input."""

    def read(data: bytes, place: Path) -> None:
        store = place / "store"
        if not store.exists():
            run = next(iter(sorted(GOLDEN.rglob("run.json")))).parent
            shutil.copytree(run, store / "CartPole-v1" / run.name)
        (file,) = list(store.rglob(name))[:1]
        file.write_bytes(data)
        problems = collect(store).problems
        if problems:
            raise UserError(problems[0])

    return read


def _npz() -> bytes:
    """Return the content of a file as Stable-Baselines3 writes evaluations."""
    file = io.BytesIO()
    np.savez(
        file, timesteps=np.array([10, 20]), results=np.ones((2, 3)), ep_lengths=np.ones((2, 3), int)
    )
    return file.getvalue()


def _golden(name: str) -> list[bytes]:
    """Return the file of this name in the first golden run."""
    run = next(iter(sorted(GOLDEN.rglob("run.json"))), None)
    return [file.read_bytes() for file in sorted(run.parent.rglob(name))[:1]] if run else []


def targets() -> dict[str, Target]:
    """Return all targets by name."""
    found = {
        "parameters": Target(parameters, [b"learning_rate=1e-3\nnet_arch=64,64", b"gamma=0.99"]),
        "search": Target(search, [b"learning_rate=log:1e-5..1e-2\nbatch_size=32|64"]),
        "seeds": Target(seeds, [b"0-4,7", b"3,7,11", b"50k", b"1.5M"]),
        "suite": Target(suite_file, [SUITE]),
        "npz": Target(arrays, [_npz()]),
        "import-npz": Target(imported("evaluations.npz"), [_npz()]),
        "import-monitor": Target(imported("0.monitor.csv"), [MONITOR]),
        "import-wandb": Target(imported("wandb.csv"), [WANDB]),
        "import-marl-eval": Target(imported("marl.json"), [MARL]),
    }
    for name in ("run.json", "part.json", "evaluations.csv", "episodes.csv", "metrics.csv"):
        if samples := _golden(name):
            found[f"store-{name}"] = Target(run_folder(name), samples)
    return found


def attempt(target: Target, data: bytes, place: Path) -> bool:
    """Give an input to a target; whether it was accepted. Raises whatever is no user's mistake."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            target.read(data, place)
        except (UserError, Damaged):
            return False
    return True


def _attempted(target: Target, data: bytes, place: Path) -> None:
    """Call `attempt` for the fuzzer, which wants no answer."""
    attempt(target, data, place)


def main() -> None:
    """Fuzz one target for some seconds."""
    known = targets()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", choices=known)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--list", action="store_true", help="names of targets")
    options = parser.parse_args()
    if options.list or not options.target:
        print("\n".join(known))
        return
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris")
    target = known[options.target]
    for name, module in list(sys.modules.items()):
        if name.startswith("rlbench.") and module:
            for function in list(vars(module).values()):
                if isinstance(function, FunctionType) and function.__module__ == name:
                    atheris.instrument_func(function)
    with tempfile.TemporaryDirectory() as scratch:
        place, samples = Path(scratch) / "files", Path(scratch) / "samples"
        place.mkdir()
        samples.mkdir()
        for number, sample in enumerate(target.samples):
            (samples / str(number)).write_bytes(sample)
        limits = [f"-max_total_time={options.seconds}", "-timeout=10", "-rss_limit_mb=2048"]
        arguments = [sys.argv[0], *limits, str(samples)]
        atheris.Setup(arguments, lambda data: _attempted(target, data, place))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
