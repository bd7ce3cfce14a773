"""Tests choose their own folders of results, and train as the command line does."""

import os
from pathlib import Path

import pytest

import rlbench

os.environ.pop("RLBENCH_OUT", None)
rlbench.configure_process()

# Tests that took long when `pytest --durations=0` measured them; single cases of parametrised
# tests are marked here, so that others of the same test stay among the fast ones.
SLOW = frozenset((Path(__file__).parent / "slow.txt").read_text(encoding="utf-8").splitlines())


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow the tests in slow.txt, and those of which CI runs a sample of cases."""
    for item in items:
        if item.nodeid in SLOW or item.get_closest_marker("exhaustive"):
            item.add_marker(pytest.mark.slow)
