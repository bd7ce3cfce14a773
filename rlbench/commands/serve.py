"""The `serve` command: the reports below a folder in a browser of this machine, and no other."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from rlbench.errors import UserError
from rlbench.reporting.report.index import NAME, index_page, reports_in

ADDRESS = "127.0.0.1"
NAMES = (ADDRESS, "localhost")  # another Host is a page elsewhere that asks through this browser


def serve(folder: Path, port: int, news: Callable[[str], None]) -> None:
    """Serve the reports below a folder until interrupted; `news` is told the address.

    Raises:
        UserError: There is no such folder, or the port cannot be had.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: name the results with --out")
    with _server(folder, port) as server:
        news(f"reports of {folder} at http://{ADDRESS}:{server.server_port}/ (Ctrl-C ends)")
        server.serve_forever()


def _server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Listen on a port of this machine; 0 is any that is free."""
    handler = type("Handler", (_Handler,), {"folder": folder})
    try:
        return _Server((ADDRESS, port), handler)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(
                f"port {port} is in use: choose another with --port, or --port 0 for a free one"
            ) from None
        raise UserError(
            f"port {port} cannot be used ({error.strerror}): try --port 0 for a free one"
        ) from None


class _Server(ThreadingHTTPServer):
    """Server that says nothing where a browser goes away before a page is sent."""

    def handle_error(self, *place: Any) -> None:
        """Print an error of an answer."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*place)


class _Handler(BaseHTTPRequestHandler):
    """Answers with the index or a report; every other path does not exist.

    A path is looked up among the reports that are there, and never joined to the folder.
    """

    folder: Path
    server_version = "rlbench"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with a page."""
        if self.headers.get("Host", "").partition(":")[0] not in NAMES:
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        path = os.fsdecode(unquote_to_bytes(urlsplit(self.path).path)).removeprefix("/")
        reports = reports_in(self.folder)
        if path in ("", NAME):
            self._answer(index_page(reports).encode())
        elif path in {report.path for report in reports}:
            try:
                page = (self.folder / path).read_bytes()
            except OSError:  # it is gone by now
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                self._answer(page)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET

    def _answer(self, page: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        """Print nothing."""
