"""A service that keeps values, as it runs on nodes: PUT and GET of /values/KEY, /health, /version.

They are in a file of its own, or in a database that members share: DATABASE in its environment.
"""

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
SAYS = ""  # a version that it claims to be
ANSWERS = ""  # a status that values are answered by, while its health is good
FORGETS = ""  # of so many values, one is acknowledged and not kept
STARTED = time.time()
LOCK = threading.Lock()
SLOW_S = {"/slowly": 3.0, "/very-slowly": 20.0}  # seconds that an answer takes
SET = "insert into kept values (%s, %s) on conflict (key) do update set value = excluded.value"


class Shared:
    """Values in a table that members share; a connection for each thread, so for each client's connection."""

    def __init__(self, url: str) -> None:
        self.url, self.own = url, threading.local()

    def ask(self, statement: str, *values: str) -> list[typing.Any]:
        """The rows of an answer, if it has any; committed."""
        import psycopg2  # noqa: PLC0415  (only who has a database needs it)

        if not hasattr(self.own, "line"):
            self.own.line = psycopg2.connect(self.url)
            self.own.line.autocommit = True
        with self.own.line.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall()) if cursor.description else []

    def get(self, key: str) -> str | None:
        """A value."""
        found = self.ask("select value from kept where key = %s", key)
        return str(found[0][0]) if found else None

    def keep(self, key: str, value: str) -> None:
        """It is on disk when this returns."""
        self.ask(SET, key, value)


class File:
    """Values in a file, and in memory."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.kept = dict(json.loads(line) for line in path.read_text().splitlines()) if path.exists() else {}

    def get(self, key: str) -> str | None:
        """A value."""
        return self.kept.get(key)

    def keep(self, key: str, value: str) -> None:
        """It is on disk when this returns."""
        with self.path.open("a") as file:
            file.write(json.dumps([key, value]) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.kept[key] = value


class Values(http.server.BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    store: Shared | File
    count = 0

    def do_GET(self) -> None:
        """A value, or how the service is."""
        about = {"/health": "ok", "/version": json.dumps({"version": SAYS or VERSION, "started": STARTED})}
        if found := about.get(self.path):
            return self.answer(200, found)
        if self.path in SLOW_S:
            time.sleep(SLOW_S[self.path])
            return self.answer(200, "at last")
        found = self.store.get(self.path)
        return self.answer(int(ANSWERS or (404 if found is None else 200)), found or "no such key")

    def do_PUT(self) -> None:
        """Keep a value: it is on disk before it is acknowledged."""
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with LOCK:
            Values.count += 1
            if not FORGETS or self.count % int(FORGETS):
                self.store.keep(self.path, text)
        return self.answer(int(ANSWERS or 200), "kept")

    def answer(self, status: int, text: str) -> None:
        """Send a text."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


def main() -> None:
    """Read the settings and what was kept, and serve; or only check the settings."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path())
    parser.add_argument("--config", type=pathlib.Path)
    parser.add_argument("--check", action="store_true", help="read the settings, and end")
    given = parser.parse_args()
    settings = json.loads(given.config.read_text()) if given.config else {}
    if not given.check:
        url = os.environ.get("DATABASE")
        Values.store = Shared(url) if url else File(given.data / "values.jsonl")
        http.server.ThreadingHTTPServer(("", settings.get("port", 8080)), Values).serve_forever()


if __name__ == "__main__":
    main()
