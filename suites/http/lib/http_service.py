"""What the scripts share: the service's URL, and asking it once. Only the standard library, as on any node."""
# ruff: noqa: INP001, T201  (beside scripts, which print)

from __future__ import annotations

import http.client
import os
import ssl
import sys
import time
import urllib.parse
from collections.abc import Callable
from typing import TypeVar

Said = TypeVar("Said", int, float)

TIMEOUT = 10


def said(name: str, default: Said) -> Said:
    """What the suite was told, as the default's type."""
    value = os.environ.get(f"HTTP_{name}") or default
    try:
        return type(default)(value)
    except ValueError:
        sys.exit(f"nodewise_http_{name.lower()} is {value!r}; expected a number such as {default}")


def service() -> urllib.parse.SplitResult:
    """The service's URL in its parts; without one the script is skipped."""
    url = os.environ.get("HTTP_URL", "")
    if not url:
        print("no service: say nodewise_http_url")
        sys.exit(77)
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        sys.exit(f"nodewise_http_url is {url!r}; expected one such as https://app.example.net/health")
    return parts


def connect(parts: urllib.parse.SplitResult) -> http.client.HTTPConnection:
    """A connection, its certificate verified."""
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT)
    context = ssl.create_default_context(cafile=os.environ.get("HTTP_CA") or None)
    return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT, context=context)


def ask(connection: http.client.HTTPConnection, parts: urllib.parse.SplitResult) -> tuple[int, float]:
    """Ask once; return the status, and the milliseconds until the whole answer was there."""
    began = time.monotonic()
    connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers={"User-Agent": "nodewise"})
    answer = connection.getresponse()
    answer.read()
    return answer.status, (time.monotonic() - began) * 1000


def run(check: Callable[[urllib.parse.SplitResult], str]) -> None:
    """Run a check; what goes wrong is one line."""
    parts = service()
    try:
        problem = check(parts)
    except (OSError, http.client.HTTPException) as error:
        problem = f"{type(error).__name__}: {error}"
    if problem:
        sys.exit(f"{parts.geturl()}: {problem}")
