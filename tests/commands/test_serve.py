"""`rlbench serve`: reports and nothing else, to this machine only."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from commands import environment, here
from report_files import write_seeds

from rlbench.reporting.report import write_report


def start(out: Path) -> tuple[subprocess.Popen[str], int]:
    """Start the command on a free port; return the process and the port that it prints."""
    child = subprocess.Popen(
        [sys.executable, "-m", "rlbench", "serve", "--port", "0", "--out", str(out)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell may ignore it
    )  # fmt: skip
    assert child.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:(\d+)/", child.stdout.readline())
    assert found
    return child, int(found[1])


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    out = tmp_path_factory.mktemp("store") / "results"
    write_seeds(out / "runs", "dqn", {0: 1.0, 1: 2.0})
    write_report([out / "runs"])
    (out.parent / "secret.html").write_text((out / "runs" / "report.html").read_text())
    (out / "link.html").symlink_to(out.parent / "secret.html")
    child, found = start(out)
    yield found
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert len(errors.split("\n")) <= 2, errors  # it may say that it was stopped


def get(port: int, path: str, host: str = "localhost:1") -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as link:
        link.putrequest("GET", path, skip_host=True)
        link.putheader("Host", host)
        link.endheaders()
        answer = link.getresponse()
        return answer.status, answer.read().decode()


def test_reports_and_their_index(port: int) -> None:
    assert get(port, "/", "127.0.0.1")[0] == 200  # as browsers ask at port 80
    status, page = get(port, "/")
    assert status == 200
    assert re.findall('href="([^"]*)"', page) == ["runs/report.html"]
    status, page = get(port, "/runs/report.html")
    assert status == 200
    assert "<title>runs: rlbench report</title>" in page


@pytest.mark.parametrize(
    "path",
    ["/runs", "/runs/", "/runs/report.md", "/runs/report-tables/seeds.csv", "/link.html",
     "/../secret.html", "/%2e%2e/secret.html", "//etc/passwd", "/runs/../../secret.html",
     "/runs/CartPole-v1/dqn-3f2a91bc/run.json", "/.hidden"],
)  # fmt: skip
def test_nothing_else_is_there(port: int, path: str) -> None:
    status, page = get(port, path)
    assert status == 404
    assert "rlbench report" not in page


def test_pages_elsewhere_cannot_ask_through_the_browser(port: int) -> None:
    assert get(port, "/", host=f"evil.example:{port}")[0] == 403


def test_a_port_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert here("serve", "--port", port, "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"Error: port {port} is in use")
    assert "--port 0" in error  # which `start` uses
    assert len(error.splitlines()) == 1
    assert here("serve", "--out", tmp_path / "nowhere") == 2
    assert "is no folder" in capsys.readouterr().err
