"""A service that keeps values in a file, as it runs on nodes: PUT and GET of /values/KEY, /health, /version."""

from __future__ import annotations

import argparse
import http.server
import json
import os
import pathlib
import threading
import time
import typing

VERSION = ""
FORGETS = ""  # of so many values, one is acknowledged and not kept
STARTED = time.time()
LOCK = threading.Lock()


class Values(http.server.BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    kept: typing.ClassVar[dict[str, str]] = {}
    file: pathlib.Path
    count = 0

    def do_GET(self) -> None:
        """A value, or how the service is."""
        about = {"/health": "ok", "/version": json.dumps({"version": VERSION, "started": STARTED})}
        found = about.get(self.path) or self.kept.get(self.path)
        self.answer(404 if found is None else 200, found or "no such key")

    def do_PUT(self) -> None:
        """Keep a value: it is on disk before it is acknowledged."""
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with LOCK:
            Values.count += 1
            if not FORGETS or self.count % int(FORGETS):
                with self.file.open("a") as file:
                    file.write(json.dumps([self.path, text]) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                self.kept[self.path] = text
        self.answer(200, "kept")

    def answer(self, status: int, text: str) -> None:
        """Send a text."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


def main() -> None:
    """Read what was kept, and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, type=pathlib.Path)
    Values.file = parser.parse_args().data / "values.jsonl"
    if Values.file.exists():
        Values.kept = dict(json.loads(line) for line in Values.file.read_text().splitlines())
    http.server.ThreadingHTTPServer(("", 8080), Values).serve_forever()


if __name__ == "__main__":
    main()
