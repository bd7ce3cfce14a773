"""A Ray cluster of two nodes on this machine, for tests of what computes there."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from commands import environment

MEMORY = 150_000_000  # bytes of each node's object store
QUIET_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else Ray puts the machine's address for 127.0.0.1
}


class TwoNodes:
    """A head and a second node on this machine, each with one CPU, on 127.0.0.1 only."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        common = {"num_cpus": 1, "object_store_memory": MEMORY, "node_ip_address": "127.0.0.1"}
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={**common, "include_dashboard": False},
        )
        self.second = self.cluster.add_node(**common)
        self.address, self.folder = self.cluster.address, folder

    def begun(self) -> int:
        """Count the parts that have ended an episode of training."""
        files = self.folder.glob("rlbench-part-*/*/*/seeds-*/episodes.csv")
        return sum(file.read_bytes().count(b"\n") > 1 for file in files)

    def trainers(self, second: bool) -> list[psutil.Process]:
        """Processes of Ray that compute a part, of the second node or of the head."""
        node = self.second if second else self.cluster.head_node
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        return [each for each in raylet.children() if "compute_part" in " ".join(each.cmdline())]

    def lose_second(self) -> None:
        """End all processes of the second node, as where its power fails."""
        raylet = psutil.Process(self.second.all_processes["raylet"][0].process.pid)
        for each in (raylet, *raylet.children(recursive=True)):
            each.kill()
        self.cluster.remove_node(self.second, allow_graceful=False)

    def close(self) -> None:
        self.cluster.shutdown()


@contextlib.contextmanager
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    """Start a cluster, whose files are in a folder of its own."""
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")  # names of sockets have to be short
    paths = {"PYTHONPATH": environment()["PYTHONPATH"], "RAY_TMPDIR": folder, "TMPDIR": folder}
    for name, value in (QUIET_RAY | paths).items():
        monkeypatch.setenv(name, value)
    pytest.importorskip("ray")  # reads them
    two = TwoNodes(Path(folder))
    yield two
    two.close()
    shutil.rmtree(folder, ignore_errors=True)
