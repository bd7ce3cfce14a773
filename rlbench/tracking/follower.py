"""Processes that mirror runs while they are computed: one per tracker, apart from training.

A tracker that is slow, fails, hangs or crashes does so in its own process: training waits for none
of them, and one line says what happened. The process reads the rows from the files of the runs, and
ends when its standard input does, so also when the process that trains is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from rlbench.errors import Busy
from rlbench.tracking.mirror import Mirror
from rlbench.tracking.trackers import tracker
from rlbench.user_code.imports import first_line

PAUSE = 2.0  # seconds between two looks at the files
PATIENCE = 30.0  # seconds that trackers have for the rest, once the runs have ended
Runs = Mapping[Path, Collection[int]]  # seeds that are computed, by folder


@contextlib.contextmanager
def mirrored(
    names: Sequence[str], runs: Runs, say: Callable[[str], object], again: bool = False
) -> Iterator[None]:
    """Mirror runs in these trackers during the block; `say` is called with warnings.

    The folders need not be there yet. With `again` trackers begin new runs in place of old ones.
    """
    followers = [_Follower(name, runs, say, again) for name in names if runs]
    try:
        yield
    finally:
        until = time.monotonic() + PATIENCE
        for follower in followers:
            follower.leave()
        for follower in followers:
            follower.wait(until)


class _Follower:
    """A process that follows runs for one tracker, seen from the process that trains."""

    def __init__(self, name: str, runs: Runs, say: Callable[[str], object], again: bool) -> None:
        self.name, self._say, self._said = name, say, False
        path = os.pathsep.join(str(Path(entry or ".").absolute()) for entry in sys.path)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rlbench.tracking.follower"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=os.environ | {"PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for training: the rest of its rows are mirrored
        )  # fmt: skip
        request = {
            "tracker": name,
            "again": again,
            "runs": {str(path.absolute()): sorted(seeds) for path, seeds in runs.items()},
        }
        assert self.process.stdin
        with contextlib.suppress(OSError):
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._warn(line.strip())

    def _warn(self, what: str) -> None:
        self._said = True
        self._say(
            f"Warning: {self.name}: {what}; nothing else is affected, and rlbench track RUN --to "
            f"{self.name} writes the mirror later"
        )

    def leave(self) -> None:
        """Let the process write the rest and end."""
        assert self.process.stdin
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def wait(self, until: float) -> None:
        """Wait for the end of the process; end it when the time is over."""
        try:
            code = self.process.wait(max(until - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self._warn(f"not done {PATIENCE:g} s after the end")
            code = 0
        self.listener.join(1.0)
        if not self.listener.is_alive():
            assert self.process.stdout
            self.process.stdout.close()
        if code and not self._said:
            self._warn(f"its process died ({code})")


def main() -> int:
    """Follow runs as standard input says, until that ends; warnings go to standard output."""
    words = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print
    request = json.loads(sys.stdin.readline())
    name = request["tracker"]
    try:
        opened = tracker(name)
        mirrors = [
            Mirror(Path(folder), seeds, name, opened, request["again"])
            for folder, seeds in request["runs"].items()
        ]
        ended = False
        while not ended:
            ended = bool(select.select([0], [], [], PAUSE)[0])
            for mirror in list(mirrors):
                # Of a bench: a run's figures are drawn when all is over, and its trackers wait.
                over = len(request["runs"]) > 1 and mirror.over()
                try:
                    mirror.finish() if ended or over else mirror.update()
                except Busy as error:
                    words.write(f"{error}\n")
                    over = True
                if over:
                    mirrors.remove(mirror)
    except BaseException as error:  # SystemExit of a library, too
        words.write(f"{type(error).__name__}: {first_line(error)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
