"""The help of every command: examples that parse, and lines that fit a terminal."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from rlbench.cli.main import main

WIDTH = 80


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, those of groups too."""
    yield words
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name)


def parse(words: list[str]) -> None:
    """Parse a command, and those in groups, without running it.

    Raises:
        ClickException, UserError: it does not parse.
    """
    context, command = click.Context(main, info_name="rlbench"), main
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        context = found.make_context(name, words, parent=context)
        words = [*context._protected_args, *context.args]
        command = found


ALL = list(commands(main))


def help_of(words: tuple[str, ...]) -> str:
    context = click.Context(main, info_name="rlbench", terminal_width=WIDTH)
    command: click.Command = main
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
        context = click.Context(command, info_name=word, parent=context, terminal_width=WIDTH)
    return command.get_help(context)


def examples(text: str) -> list[str]:
    """The lines of the section Examples, which ends at an empty line."""
    (section,) = re.findall(r"^  Examples:\n((?:    .+\n)+)", text, re.MULTILINE)
    return [line.strip() for line in section.splitlines()]


@pytest.mark.parametrize("words", ALL, ids=lambda words: " ".join(("rlbench", *words)))
def test_help_has_examples_that_parse_and_fits(words: tuple[str, ...]) -> None:
    text = help_of(words)
    lines = examples(text)
    assert 1 <= len(lines) <= 4
    assert len(lines) > 1 or len(words) > 1  # a command of a group may need only one
    for line in lines:
        first, *rest = shlex.split(re.split(r" [|>] ", line)[0], comments=True)
        assert first == "rlbench"
        assert tuple(rest[: len(words)]) == words
        parse(rest)
    assert [line for line in text.splitlines() if len(line) > WIDTH] == []


@pytest.mark.parametrize(
    "line",
    ["run dqn", "run dqn --envv CartPole-v1", "trian", "list rums", "data get", "run -n 5 dqn"],
)
def test_a_wrong_example_is_found(line: str) -> None:
    """Negative control."""
    with pytest.raises(Exception, match=r"."):
        parse(line.split())


def test_the_list_of_commands_is_not_cut() -> None:
    assert "..." not in help_of(()).partition("Commands:")[2]
