"""Make the pictures of the documentation: `python docs/figures.py [NAME]...`, all unless named.

Each entry of FIGURES is one file, docs/images/NAME.png, and the function that writes it. Results
come from results/reference; nothing is trained here.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path

import click
import pandas as pd
import suite_figures
from matplotlib.figure import Figure
from PIL import Image

import rlbench
from rlbench.reporting.figures import learning_curves
from rlbench.reporting.figures.style import style

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
REFERENCE = ROOT / "results" / "reference"
FIRST_HOUR = ROOT / "docs" / "first_hour"  # evaluations of the runs in docs/first_hour.md

# What makes a picture: a function that writes the file it is given.
FIGURES: dict[str, Callable[[Path], None]] = {}


def write_png(figure: Figure, file: Path, dpi: int = 100, colors: int = 128) -> None:
    """Write a figure with at most so many colours: the same figure gives the same bytes."""
    content = io.BytesIO()
    with style():
        figure.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
    picture = Image.open(content).convert("RGB")
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(colors, dither=Image.Dither.NONE).save(file, optimize=True)


def curve(file: Path, runs: dict[str, str], colors: int = 128) -> None:
    """Draw the learning curves of runs in results/reference, named ENV/AGENT-DIGEST.

    Each comes with words that stand in its label in place of its settings, or none.
    """
    results = rlbench.load(*(REFERENCE / run for run in runs))
    words = {run.rpartition("-")[2]: text for run, text in runs.items() if text}
    named = []
    for table in results.tables():
        both = zip(table["digest"], table["variant"], strict=True)
        variants = [words.get(digest, variant) for digest, variant in both]
        named.append(table.assign(variant=pd.Series(variants, table.index, dtype="str")))
    write_png(learning_curves.figure(results.of(named)), file, dpi=90, colors=colors)


NO_SWITCH = {"CartPole-v1/dqn-8f235104": "with no switch"}
DQN_100K = {"CartPole-v1/dqn-3e5843ad": ""}
# Curves of the pages in docs/agents/; the random policy is a line.
AGENT_CURVES = {
    "a2c": {"CartPole-v1/a2c-4d486d42": "", "CartPole-v1/random-a1792310": ""},
    "c51": {"CartPole-v1/dqn-50f16f11": "with C51 alone", **NO_SWITCH},
    "double-dqn": {"CartPole-v1/dqn-df13d59e": "with double alone", **NO_SWITCH},
    "dqn": {"CartPole-v1/dqn-eac7eb14": "", "CartPole-v1/random-a1792310": ""},
    "drqn": {
        "CartPole-v1_mask-velocity/dqn-f98c3267": "",
        "CartPole-v1_mask-velocity/dqn-797397c6": "",
    },
    "dueling-dqn": {"CartPole-v1/dqn-fb0f8ce0": "with dueling alone", **NO_SWITCH},
    "iqn": {"CartPole-v1/iqn-646f6470": "", **DQN_100K},
    "per-dqn": {"CartPole-v1/dqn-a0e307f3": "with prioritised replay alone", **NO_SWITCH},
    "ppo": {"CartPole-v1/ppo-185f83b9": "", "CartPole-v1/random-a1792310": ""},
    "rainbow": {"CartPole-v1/rainbow-32c7950f": "", **DQN_100K},
    "sac": {"Pendulum-v1/sac-8d5a4144": "", "Pendulum-v1/random-b779a89a": ""},
    "sb3": {"CartPole-v1/sb3-dqn-00648f75": "", **DQN_100K},
    "supervised": {
        "rlbench_Classify-Digits-v0/supervised-b93dba36": "",
        "rlbench_Classify-Digits-v0/dqn-1d7f8b3d": "",
    },
    "td3": {"Pendulum-v1/td3-8540415a": "", "Pendulum-v1/random-b779a89a": ""},
}
FIGURES |= {
    f"agents-{name}": functools.partial(curve, runs=runs) for name, runs in AGENT_CURVES.items()
}

# Curves of docs/how_to/figures.md.
FEW = ("dqn-eac7eb14", "ppo-185f83b9", "a2c-4d486d42", "random-a1792310")
MANY = (*FEW, "iqn-646f6470", "rainbow-32c7950f", "sb3-a2c-4c9e0d92", "sb3-dqn-00648f75")
FIGURES |= {
    name: functools.partial(curve, runs={f"CartPole-v1/{run}": "" for run in runs}, colors=256)
    for name, runs in {"figures-few": FEW, "figures-many": (*MANY, "sb3-ppo-032cb835")}.items()
}


# Pictures of docs/first_hour.md, from its own runs.
FIRST_HOUR_CURVES = {
    "curve": ("CartPole-v1/dqn-eac7eb14", "CartPole-v1/random-a1792310"),
    "compare": ("CartPole-v1",),
    "digits": (
        "rlbench_Classify-Digits-v0/dqn-2fc88951",
        "rlbench_Classify-Digits-v0/supervised-a0f85b71",
    ),
}


def draw_first_hour(file: Path, folders: tuple[str, ...]) -> None:
    """Draw the curves of some runs of the tutorial."""
    results = rlbench.load(*(FIRST_HOUR / folder for folder in folders))
    write_png(learning_curves.figure(results), file, dpi=80)


FIGURES |= {
    f"first-hour-{name}": functools.partial(draw_first_hour, folders=folders)
    for name, folders in FIRST_HOUR_CURVES.items()
}


def draw_readme(file: Path) -> None:
    """Draw the README's picture: agents of ours and of Stable-Baselines3 in the suite `classic`."""
    runs = ("dqn-3e5843ad", "ppo-185f83b9", "a2c-71611b62", "sb3-dqn-00648f75", "sb3-ppo-032cb835",
            "sb3-a2c-4c9e0d92", "random-a1792310")  # fmt: skip
    results = rlbench.load(*(REFERENCE / "CartPole-v1" / run for run in runs))
    options = learning_curves.PlotOptions(seeds=False)
    write_png(learning_curves.figure(results, options=options), file)


FIGURES["readme"] = draw_readme

TIANSHOU, CLEANRL = "with Tianshou's settings", "with CleanRL's settings"
MUJOCO = {
    "HalfCheetah-v5/ppo-4ff27df9": TIANSHOU,
    "HalfCheetah-v5/ppo-63280190": CLEANRL,
    "HalfCheetah-v5/ppo-fcaf478b": f"{CLEANRL} and log_std_init=-0.5",
    "HalfCheetah-v5/random-aa749f45": "",
    "Hopper-v5/ppo-a1a9ee39": TIANSHOU,
    "Hopper-v5/ppo-784f6379": CLEANRL,
    "Hopper-v5/random-349228df": "",
    "Walker2d-v5/ppo-112f5584": TIANSHOU,
    "Walker2d-v5/ppo-1869ea51": CLEANRL,
    "Walker2d-v5/random-ebd8ab1d": "",
}
FIGURES["mujoco"] = functools.partial(curve, runs=MUJOCO)
OFF_POLICY = ("sac-3c1e6a35", "sb3-sac-2e53135d", "td3-3eef811b", "random-aa749f45")
FIGURES["mujoco-off-policy"] = functools.partial(
    curve, runs={f"HalfCheetah-v5/{run}": "" for run in OFF_POLICY}
)


def draw_suite(file: Path, draw: Callable[[Path], Figure]) -> None:
    """Draw a figure of results in results/reference."""
    write_png(draw(REFERENCE), file)


FIGURES |= {
    "memory-lengths": functools.partial(draw_suite, draw=suite_figures.memory_lengths),
    "convolutions": functools.partial(draw_suite, draw=suite_figures.convolutions),
    "fields": functools.partial(draw_suite, draw=suite_figures.fields),
}


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Write the pictures whose names are these, or begin with them, or all."""
    wanted = {figure: [n for n in names if f"{figure}-".startswith(f"{n}-")] for figure in FIGURES}
    unknown = set(names) - {name for found in wanted.values() for name in found}
    if unknown:
        raise click.UsageError(f"no picture {min(unknown)}: there are {', '.join(sorted(FIGURES))}")
    for name in sorted(figure for figure, found in wanted.items() if found or not names):
        file = IMAGES / f"{name}.png"
        FIGURES[name](file)
        click.echo(f"{file.relative_to(ROOT)}  {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
