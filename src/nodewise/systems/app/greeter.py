# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service of the example, as it runs on nodes: greets over HTTP, and says whether it serves and which version it is."""

from __future__ import annotations

import argparse
import http.server
import json
import pathlib
import platform
import sys
import time

VERSION = ""
SAYS = ""  # a version that it claims to be
ANSWERS = ""  # a status that greetings are answered by
NEEDS = ""  # a setting without which it does not start
REFUSES = ""  # a reason not to start
ONLY = ""  # how the name of the host ends on which it refuses
SLOW_S = 2.0  # seconds that a slow greeting takes
STARTED = time.time()


class Greeter(http.server.BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    greeting = ""

    def do_GET(self) -> None:
        """A page."""
        if self.path == "/health":
            self.answer(200, "ok")
        elif self.path == "/version":
            self.answer(200, json.dumps({"version": SAYS or VERSION, "started": STARTED}))
        elif self.path.startswith("/greet/"):
            time.sleep(SLOW_S if self.path.endswith("/slowly") else 0)
            self.answer(int(ANSWERS or 200), f"{self.greeting}, {self.path[len('/greet/') :]}!")
        else:
            self.answer(404, "no such page")

    def answer(self, status: int, text: str) -> None:
        """Send a text."""
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


def settings(path: str) -> dict[str, str]:
    """A file of settings; ends the program, with what is missing, where one is."""
    found = dict(json.loads(pathlib.Path(path).read_text(encoding="utf-8")))
    if missing := [name for name in ("greeting", NEEDS) if name and name not in found]:
        sys.exit(f"{path}: {missing[0]} is missing")
    return found


def main() -> None:
    """Serve, or check the settings."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--check", action="store_true", help="read the settings, and end")
    given = parser.parse_args()
    Greeter.greeting = settings(given.config)["greeting"]
    if given.check:
        return
    if REFUSES and platform.node().endswith(ONLY):
        sys.exit(REFUSES)
    http.server.ThreadingHTTPServer(("", given.port), Greeter).serve_forever()


if __name__ == "__main__":
    main()
