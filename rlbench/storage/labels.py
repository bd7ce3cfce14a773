"""Tags and a note that a person gives to a run, in `labels.json` in the run's folder.

They are no part of what a run is: no digest, table of scores or report depends on them. A run
without the file, as every run of an earlier version is, has none.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlbench.common.plain_text import REASON_LIMIT, plain_text
from rlbench.common.safe_write import read_file
from rlbench.errors import UserError
from rlbench.storage.locks import locked
from rlbench.storage.run_folder import write_json

FILE = "labels.json"
LONGEST_TAG = 60  # characters
LONGEST_NOTE = 10_000


@dataclass(frozen=True)
class Labels:
    """Tags, each once in the order in which they came, and a note, which may have lines."""

    tags: tuple[str, ...] = ()
    note: str = ""

    def with_tags(self, tags: Iterable[str]) -> Labels:
        """Add tags."""
        return replace(self, tags=tuple(dict.fromkeys([*self.tags, *tags])))

    def without_tags(self, tags: Collection[str]) -> Labels:
        """Remove tags; UserError for one that is not there."""
        for tag in tags:
            if tag not in self.tags:
                have = f"its tags are {', '.join(self.tags)}" if self.tags else "it has no tags"
                raise UserError(f"no tag '{plain_text(tag, REASON_LIMIT)}' to remove: {have}")
        return replace(self, tags=tuple(tag for tag in self.tags if tag not in tags))


def check_tags(tags: Iterable[str]) -> None:
    """Refuse what is no tag: a tag is one short word.

    Raises:
        UserError: A tag has spaces, commas or invisible characters, or is too long.
    """
    for tag in tags:
        shown = plain_text(tag, LONGEST_TAG)
        if not tag or len(tag) > LONGEST_TAG:
            raise UserError(f"tag '{shown}' has {len(tag)} characters: use 1 to {LONGEST_TAG}")
        if plain_text(tag) != tag or any(char.isspace() or char == "," for char in tag):
            word = "-".join(plain_text(tag).replace(",", " ").split())[:LONGEST_TAG]
            example = f", such as {word}" if word and "\\" not in word else ""
            raise UserError(
                f"tag '{shown}' is not one word: use no spaces, commas or invisible characters"
                f"{example}"
            )


def check_note(note: str) -> None:
    """Raise UserError for a note that is too long."""
    if len(note) > LONGEST_NOTE:
        raise UserError(
            f"the note has {len(note):,} characters, at most {LONGEST_NOTE:,} are kept: put the "
            "text in a file and name the file in the note"
        )


def read_labels(folder: Path) -> Labels:
    """Read the labels of a run; none if it has none.

    Raises:
        UserError: The file is damaged.
    """
    file = folder / FILE
    try:
        record = json.loads(read_file(file))
        labels = Labels(_lines(record["tags"]), "\n".join(_lines(record["note"].split("\n"))))
    except FileNotFoundError:
        return Labels()
    except OSError as error:
        raise _damaged(file, error.strerror or error) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise _damaged(file, error) from None
    except (KeyError, TypeError, AttributeError):
        raise _damaged(file, "it has no tags and note") from None
    return labels


def readable_labels(folder: Path) -> Labels:
    """Read the labels of a run, none where the file is damaged: that makes no result wrong."""
    try:
        return read_labels(folder)
    except UserError:
        return Labels()


def change_labels(
    folder: Path, add: Collection[str] = (), remove: Collection[str] = (), note: str | None = None
) -> Labels:
    """Add and remove tags of a run, replace its note unless that is None, and write the file.

    Raises:
        UserError: A tag or the note is refused, the file is damaged or cannot be written.
    """
    check_tags(add)
    check_note(note or "")
    with locked(folder, str(folder)):
        before = read_labels(folder)
        labels = before.without_tags(remove).with_tags(add)
        if note is not None:
            labels = replace(labels, note="\n".join(_lines(note.strip().splitlines())))
        if labels != before:
            write_json(folder / FILE, {"tags": list(labels.tags), "note": labels.note})
    return labels


def _lines(values: list[Any]) -> tuple[str, ...]:
    """Make lines or tags printable.

    Raises:
        TypeError: One is not text.
    """
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError
    return tuple(plain_text(value) for value in values)


def _damaged(file: Path, why: object) -> UserError:
    reason = plain_text(why, REASON_LIMIT)
    return UserError(f"{file} is damaged ({reason}): delete it, and give tags and note anew")
