"""Pages of docs/: their blocks, links and headings, and the budgets that tests give commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from commands import ROOT

from rlbench import config
from rlbench.storage.run_names import short_env, steps_text

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LEARN = 1_500  # env steps: more than learning_starts, so that updates are made
_FENCE = re.compile(r"^(`{3,})([^\n`]*)\n(.*?)^\1`*[ \t]*$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w./-]+\.\w+)\s*$")
_TRAINS = {"run", "ablate", "tune", "sensitivity"}
TRIALS, CONFIRMED = "3", "2"  # of a study, and seeds that confirm it
# Environments of images: all test images are visited, however many final episodes there are.
_IMAGES = re.compile("rlbench/(Classify|Glimpse|Imbalanced|Retry|Rows|Stream)-")


class Block(NamedTuple):
    """A fenced block: its language (may be empty) and its text."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """Name of the file that the block is saved as, from its first line `# name.py`."""
        match = _FILE.match(self.text.partition("\n")[0])
        return match[1] if match and self.language not in ("text", "bash", "console") else None


def blocks(text: str) -> list[Block]:
    """Fenced blocks of a page, in order."""
    return [Block(language.strip(), body) for _, language, body in _FENCE.findall(text)]


def prose(text: str) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", text)


def lines(block: Block) -> Iterator[str]:
    """Commands of a block, one a line; a backslash joins lines."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


def anchors(text: str) -> set[str]:
    """Names that links may give to the headings of a page, as forges make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", prose(text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found


def broken_links(page: Path) -> list[str]:
    """Links of a page that lead to no file, or to no heading of it."""
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", prose(page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            wrong.append(link)
    return wrong


@dataclass
class Budgets:
    """Short budgets for the commands of one page, and the names that their runs then have."""

    short: dict[int | None, int] = field(default_factory=dict)
    names: dict[str, str] = field(
        default_factory=dict
    )  # pattern of a name, and what takes its place

    def of(self, steps: int | None) -> int:
        """A short budget in place of another, a different one for each; None: the usual budget."""
        if steps is not None and steps <= LEARN:
            return steps
        return self.short.setdefault(steps, LEARN + 100 * len(self.short))

    def command(self, line: str) -> list[str]:
        """Words of a command after `rlbench`, with a short budget and the names of short runs."""
        program, *words = shlex.split(line, comments=True)
        assert program == "rlbench", f"a console block holds rlbench commands only: {line}"
        words = [self.text(word) for word in words]
        if words[0] not in _TRAINS or "--help" in words:
            return words
        steps = None
        for option in ("-n", "--n-timesteps", "--steps", "--epochs"):
            if option in words:
                place = words.index(option)
                steps = config.parse_steps(words[place + 1]) if option != "--epochs" else None
                del words[place : place + 2]
        short = self.of(steps)
        for option, few in (("--trials", TRIALS), ("--confirm-seeds", CONFIRMED)):
            if option in words:
                words[words.index(option) + 1] = few
        if words[0] == "run" and "--env" in words:
            wraps = [words[n + 1] for n, word in enumerate(words) if word == "--wrap"]
            env = "+".join([short_env(words[words.index("--env") + 1]), *wraps])
            start = re.escape(f"{words[1]}-{env}-")
            usual = r"\d[\d.]*[kM]?" if steps is None else re.escape(steps_text(steps))
            self.names[rf"(?<![\w-]){start}{usual}(?![\w.])"] = f"{words[1]}-{env}-{short}"
        on_images = "--data" in words or any(map(_IMAGES.search, words))
        if words[0] == "run" and not on_images and "--final-episodes" not in words:
            words += ["--final-episodes", "10"]
        return [*words, "-n", str(short)]

    def text(self, text: str) -> str:
        """A word or a script with the names of short runs; those of a given budget come first."""
        if not self.names:
            return text
        patterns = sorted(self.names, key=lambda pattern: "[kM]" in pattern)
        whole = "|".join(f"({pattern})" for pattern in patterns)

        def name(match: re.Match[str]) -> str:
            return self.names[patterns[(match.lastindex or 1) - 1]]

        return re.sub(whole, name, text)

    def script(self, text: str) -> str:
        """Python with short budgets: numbers such as 50_000, from 2,000 up."""

        def number(match: re.Match[str]) -> str:
            value = int(match[0].replace("_", ""))
            return match[0] if value < 2_000 else str(self.of(value))

        return re.sub(r"(?<!buffer_size=)\b\d{1,3}(?:_\d{3})+\b", number, self.text(text))

    def suite(self, text: str) -> str:
        """A suite file with short budgets."""

        def steps(match: re.Match[str]) -> str:
            return f"{match[1]}{self.of(int(match[2].replace('_', '')))}"

        text = re.sub(r"^(\s*steps\s*=\s*)([\d_]+)", steps, text, flags=re.MULTILINE)
        return re.sub(r"^(\s*epochs\s*=\s*)[\d._]+", r"\g<1>1", text, flags=re.MULTILINE)
