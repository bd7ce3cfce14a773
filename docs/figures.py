"""Make the pictures of the documentation: `python docs/figures.py [NAME]...`, all unless named.

Each entry of FIGURES is one file, docs/images/NAME.png, and the function that writes it. Results
come from results/reference; nothing is trained here.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import click
from matplotlib.figure import Figure
from PIL import Image

from rlbench.reporting.figures.style import style

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
REFERENCE = ROOT / "results" / "reference"

# What makes a picture: a function that writes the file it is given.
FIGURES: dict[str, Callable[[Path], None]] = {}


def write_png(figure: Figure, file: Path, dpi: int = 100) -> None:
    """Write a figure with at most 128 colours: the same figure gives the same bytes."""
    content = io.BytesIO()
    with style():
        figure.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
    picture = Image.open(content).convert("RGB")
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Write the pictures of these names, or all."""
    unknown = sorted(set(names) - FIGURES.keys())
    if unknown:
        raise click.UsageError(f"no picture {unknown[0]}: there are {', '.join(sorted(FIGURES))}")
    for name in names or sorted(FIGURES):
        file = IMAGES / f"{name}.png"
        FIGURES[name](file)
        click.echo(f"{file.relative_to(ROOT)}  {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
