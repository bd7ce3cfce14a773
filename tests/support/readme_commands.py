"""Print one of the README's two set-up commands: `readme_commands.py run|test`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    """Contents of the README's fenced blocks of a language, in order."""
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def main() -> None:
    run, test = (block.strip() for block in blocks("bash"))
    print({"run": run, "test": test}[sys.argv[1]])


if __name__ == "__main__":
    main()
