"""Sanitising of external text for terminals, figures and files."""

from __future__ import annotations

import unicodedata
from typing import Any

REASON_LIMIT = 1_000  # characters of a reason that are kept
_JOINERS = "\u200c\u200d"  # invisible, but part of words and of emoji


def plain_text(value: object, limit: int | None = None) -> str:
    r"""Return `str(value)` as one line of visible text: safe in terminals, tables and files.

    Use it wherever a name, a reason or a message from outside is printed, drawn or stored. Line
    breaks and tabs become spaces. Invisible characters and those that change how the rest is
    displayed (escape sequences, control characters, text direction marks, surrogates) become their
    code: ESC is shown as \x1b. Visible text is unchanged, and the function is idempotent.

    Text longer than `limit` is cut in the middle, so that both ends can be read.

    Rich interprets markup ([red]) and emoji codes (:smile:) in strings: print `rich.text.Text`, or
    pass `markup=False, emoji=False`. HTML, Markdown and CSV are escaped where they are written.
    """
    text = str(value)
    if not (text.isascii() and text.isprintable()):
        text = "".join(map(_visible, text))
    return text if limit is None else cut(text, limit)


def plain_json(value: Any) -> Any:
    """Apply `plain_text` to every string in a JSON value, keys included."""
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, dict):
        return {plain_text(key): plain_json(part) for key, part in value.items()}
    return [plain_json(part) for part in value] if isinstance(value, list) else value


def cut(text: str, limit: int) -> str:
    """Cut text to `limit` characters; a note in the middle says how long it was."""
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
        return char  # unassigned: a later Unicode may define it
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )


def plain_line(text: str) -> str:
    """Return the first line of a text as `plain_text`, such as that of an error message."""
    return plain_text((text.strip().splitlines() or [""])[0])
