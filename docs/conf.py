"""Settings of the documentation site: `python -m sphinx -W --keep-going -b html docs FOLDER`.

Pages are Markdown that a forge shows too. Directives are on the index and on the pages of
reference/ that are made from the code.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import rlbench
from rlbench.commands.inspect import default_text, type_text

project = "rlbench"
author = "the rlbench authors"
project_copyright = author
version = release = rlbench.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinxcontrib.mermaid",
]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
default_role = "code"  # docstrings quote code in single backticks
smartquotes = False  # two hyphens begin an option
html_theme = "furo"
html_title = f"rlbench {release}"
html_copy_source = False

# Formulas as $...$, and links to headings as #their-words: what forges show in the same way.
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math", "mermaid"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # notebooks hold their output; tests run them

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures show names; types are in the tables and in the text
autodoc_mock_imports: list[str] = []
napoleon_google_docstring = True
napoleon_numpy_docstring = False
copybutton_exclude = ".linenos, .gp, .go"


def _shorten(app: Any, what: str, name: str, cls: Any, *_: Any) -> tuple[str, str] | None:
    """Name the parameters of an agent's `Config` in the table below the class only."""
    if what != "class" or not hasattr(cls, "Config"):
        return None
    return "(env=None, *, seeds=1, n_envs=None, device='auto', verbose=0, **parameters)", ""


def _add_parameters(
    app: Any, what: str, name: str, cls: Any, settings: Any, lines: list[str]
) -> None:
    """Append a table of the parameters in an agent's `Config` to the docstring of its class."""
    if what != "class" or not getattr(getattr(cls, "Config", None), "model_fields", None):
        return
    lines += ["", ".. list-table::", "   :header-rows: 1", "   :widths: 20 25 55", ""]
    lines += ["   * - parameter", "     - type, default", "     - meaning"]
    for field, schema in cls.Config.model_json_schema()["properties"].items():
        info = cls.Config.model_fields[field]
        lines += [f"   * - ``{field}``"]
        default = default_text(info.default) or "''"
        lines += [f"     - ``{type_text(schema)}``, ``{default}``"]
        lines += ["     - " + re.sub(r"([*_`|\\])", r"\\\1", schema.get("description", ""))]
    lines += [""]


def _link_root_pages(app: Any, page: str, source: list[str]) -> None:
    """Offer Markdown files above docs/, such as README.md, as files, since they are no pages."""
    source[0] = re.sub(r"\]\(((?:\.\./)+[A-Z]+\.md)(#[\w-]+)?", r"](path:\1", source[0])


def _escape_stars(app: Any, context: Any, lines: list[str]) -> None:
    """Show patterns in the help of options, such as sb3-*, as they are typed."""
    lines[:] = [line.replace("*", r"\*") for line in lines]


def setup(app: Any) -> None:
    """Register the functions that shape links and the pages of agents."""
    app.connect("source-read", _link_root_pages)
    app.connect("sphinx-click-process-options", _escape_stars)
    app.connect("autodoc-process-signature", _shorten)
    app.connect("autodoc-process-docstring", _add_parameters)
