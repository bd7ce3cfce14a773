"""The `track` command: mirror a run in trackers, from its rows; and the same while runs train."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from rlbench.common.console import console as new_console
from rlbench.errors import UserError
from rlbench.storage import run_folder


@contextlib.contextmanager
def tracked(
    names: Sequence[str], runs: Mapping[Path, Collection[int]], news: Console, again: bool = False
) -> Iterator[None]:
    """Mirror runs (their folders, with the seeds to compute) in trackers during the block."""
    if not names:
        yield
        return
    from rlbench.tracking.follower import mirrored

    def say(line: str) -> None:
        news.print(line, soft_wrap=True, highlight=False, markup=False)

    with mirrored(names, runs, say, again):
        yield


def check(names: Sequence[str]) -> None:
    """Refuse trackers that are not installed, before anything is trained."""
    if names:
        from rlbench.tracking.trackers import check_installed

        check_installed(names)


def track(name: str, to: Sequence[str], out: Path, again: bool) -> int:
    """Mirror a run in trackers; return 1 if one of them fails, else 0."""
    from rlbench.tracking.mirror import Mirror
    from rlbench.tracking.trackers import tracker
    from rlbench.user_code.imports import first_line

    check(to)
    folder = run_folder.find_run(name, out)
    news, console, code = new_console(stderr=True), new_console(), 0
    for each in to:
        try:
            opened = tracker(each)
            mirror = Mirror(folder, (), each, opened, again)
            mirror.finish()
        except UserError:
            raise
        except Exception as error:
            line = f"Error: {each}: {type(error).__name__}: {first_line(error)}"
            news.print(line, soft_wrap=True, highlight=False)
            code = 1
        else:
            line = f" {each:12} {mirror.count:,} values: {opened.where(folder)}"
            console.print(line, soft_wrap=True, highlight=False)
    return code
