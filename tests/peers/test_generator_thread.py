"""A blocking function as a generator: strict turns, errors, an end from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rlbench.peers.generator_thread import handed_over


def test_only_one_of_the_two_runs() -> None:
    """An unguarded counter never sees both at once; negative control: threads are."""
    inside, most, pause = 0, 0, 0.002

    def enter() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(pause)
        inside -= 1

    def work(give: Callable[[Any], None]) -> None:
        for number in range(20):
            enter()
            give(number)

    found = []
    for number in handed_over(work):
        enter()
        found.append(number)
    assert (found, most) == (list(range(20)), 1)
    pause = 0.3
    threads = [threading.Thread(target=enter) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2


def test_its_error_is_ours() -> None:
    def work(give: Callable[[Any], None]) -> None:
        give(1)
        raise KeyError("lost")

    found = handed_over(work)
    assert next(found) == 1
    with pytest.raises(KeyError, match="lost"):
        next(found)


def test_closing_unwinds_it() -> None:
    """What cleans up does so before `close` returns, and no thread is left."""
    told: list[str] = []

    def work(give: Callable[[Any], None]) -> None:
        try:
            for number in range(1000):
                give(number)
        except Exception:  # a library may do so
            told.append("swallowed")
        finally:
            told.append("clean")

    before = threading.active_count()
    found = handed_over(work)
    assert [next(found), next(found)] == [0, 1]
    assert threading.active_count() == before + 1
    found.close()
    assert told == ["clean"]
    assert threading.active_count() == before


def test_the_callers_treatment_of_overflow_holds() -> None:
    def work(give: Callable[[Any], None]) -> None:
        give(float(np.float32(1e38) * np.float32(1e38)))

    with np.errstate(over="ignore"):
        assert list(handed_over(work)) == [float("inf")]
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        list(handed_over(work))
