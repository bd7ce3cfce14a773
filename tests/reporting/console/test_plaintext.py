"""Text from outside is one visible line, whatever was in it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.common.plain_text import cut, plain_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("dqn lr=0.1", "dqn lr=0.1"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\x9b2Jb\x7f\x00", r"a\x9b2Jb\x7f\x00"),
        ("a\r\nb\tc\u2028d", "a  b c d"),
        ("abc\u202edcba\u2069", r"abc\u202edcba\u2069"),
        ("\ud800 half", r"\ud800 half"),
        ("\ufeff\ufffe\U000e0041", r"\ufeff\ufffe\U000e0041"),
        ("höher 東京 ش\u200cم 👩\u200d🔬 −1", "höher 東京 ش\u200cم 👩\u200d🔬 −1"),
        ("[red]:smile: $x$ <b> =1+1", "[red]:smile: $x$ <b> =1+1"),
    ],
)
def test_what_is_invisible_is_shown(text: str, shown: str) -> None:
    assert plain_text(text) == shown


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_invisible_is_left(text: str) -> None:
    shown = plain_text(text)
    assert plain_text(shown) == shown
    shown.encode()
    kinds = {unicodedata.category(c) for c in shown if c not in "\u200c\u200d"}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert len(shown.splitlines()) <= 1


def test_long_text_keeps_both_ends() -> None:
    text = "ValueError: " + "x" * 5_000 + " (see error.log)"
    short = plain_text(text, 1_000)
    assert short.startswith("ValueError: xxx")
    assert short.endswith("x (see error.log)")
    assert "[... cut from 5,028 characters ...]" in short
    assert len(short) == 1_000
    assert cut("x" * 1_000, 1_000) == "x" * 1_000
    assert plain_text(ValueError("a\nb")) == "a b"
