"""Make text from outside safe to print, draw and export."""

from __future__ import annotations

import unicodedata
from typing import Any

REASON_LIMIT = 1_000  # characters of a reason that are kept
_JOINERS = "\u200c\u200d"  # invisible, but part of words and of emoji


def plain_text(value: object, limit: int | None = None) -> str:
    r"""Return `str(value)` as one line of visible text: safe in terminals, tables and files.

    Use it wherever a name, a reason or a message that others wrote is printed, drawn or stored.
    Line breaks and tabs become spaces. What is invisible or changes how the rest is shown (escape
    sequences, control characters, reversed writing, halves of surrogate pairs) becomes its code:
    ESC is shown as \x1b. Visible text stays as it is, and applying it twice changes nothing.

    With `limit`, longer text is cut in the middle, so that both its ends can be read.

    Rich reads markup ([red]) and emoji codes (:smile:) in strings: print `rich.text.Text`, or pass
    `markup=False, emoji=False`. HTML, Markdown and CSV are escaped where they are written.
    """
    text = str(value)
    if not (text.isascii() and text.isprintable()):
        text = "".join(map(_visible, text))
    return text if limit is None else cut(text, limit)


def plain_json(value: Any) -> Any:
    """Return a value of JSON with every text in it, names included, as `plain_text`."""
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, dict):
        return {plain_text(key): plain_json(part) for key, part in value.items()}
    return [plain_json(part) for part in value] if isinstance(value, list) else value


def cut(text: str, limit: int) -> str:
    """Cut text to `limit` characters: the middle gives way to a note of how long it was."""
    if len(text) <= limit:
        return text
    note = f" [... cut from {len(text):,} characters ...] "
    head = max(limit - len(note), 0) // 2
    tail = max(limit - len(note) - head, 0)
    return f"{text[:head]}{note}{text[len(text) - tail :]}"


def _visible(char: str) -> str:
    """Return a character itself, a space for a line break, or the code of an invisible one."""
    if char.isprintable() or char in _JOINERS:
        return char
    code, kind = ord(char), unicodedata.category(char)
    if kind in ("Zl", "Zp", "Zs") or char in "\t\n\v\f\r\x85":
        return " "
    if kind in ("Cn", "Co") and not (code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF):
        return char  # perhaps known to a later Unicode
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )


def first_line(text: str) -> str:
    """Return the first line of a text, visible: of an exception, what it says first."""
    return plain_text((text.strip().splitlines() or [""])[0])
