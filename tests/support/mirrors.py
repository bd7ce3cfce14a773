"""A web server for tests of downloads, that can behave badly."""

from __future__ import annotations

import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror(ThreadingHTTPServer):
    """Serves `files`; does something wrong with those in `wrong`; remembers what was asked."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], **wrong: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.wrong = files, wrong
        self.asked: list[str] = []
        self.end = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/some/folder/"


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        folder, _, name = self.path.rpartition("/")
        data, wrong = (
            self.server.files.get(name),
            self.server.wrong.get(name.partition("-ubyte")[0]),
        )
        self.server.asked.append(name)
        if data is None or folder != "/some/folder" or wrong == "missing":
            self.send_error(404)
            return
        if wrong == "broken":
            self.send_error(503)
            return
        self.send_response(200)
        if wrong != "unknown length":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if wrong in {"truncated", "hangs", "unknown length", "reset"}:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            if wrong == "hangs":
                self.server.end.wait(60)
            if wrong == "reset":  # the end of the connection is not waited for
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
        else:
            self.wfile.write(bytes(len(data)) if wrong == "changed" else data)

    def log_message(self, *args: object) -> None:
        return None
