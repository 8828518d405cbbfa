# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talking to one etcd member: its JSON gateway over a kept connection, and the staged etcdctl where the gateway has no answer."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import subprocess
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host import https
from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.text import cut


class EtcdError(Failure):
    """What a member, or the way to it, answered instead of a result; one line."""


class Tls:
    """The node's own certificate, its key and the authority that signed the members' (paths); all None without TLS."""

    def __init__(self, ca: str | None = None, cert: str | None = None, key: str | None = None) -> None:
        self.ca, self.cert, self.key = ca, cert, key

    def context(self) -> ssl.SSLContext:
        """Return an SSL context that presents the certificate and verifies the member's name."""
        try:
            return https.context(self.ca, self.cert, self.key)
        except ValueError as error:
            raise EtcdError(str(error)) from None

    def arguments(self) -> list[str]:
        """Return the same for etcdctl."""
        pairs = (("--cacert", self.ca), ("--cert", self.cert), ("--key", self.key))
        return [word for flag, path in pairs if path for word in (flag, path)]


class Member:
    """A member's client URL. One connection is kept, so that polling costs no handshakes."""

    def __init__(self, name: str, url: str, context: ssl.SSLContext | None, timeout: float) -> None:
        self.name, self.url, self.timeout = name, url.rstrip("/"), timeout
        self._context = context
        self._connection: http.client.HTTPConnection | None = None
        self.asked = False
        self._prefix = "/v3/"

    def version(self) -> dict[str, Any]:
        """Return the answer of /version, and learn from it where this version has its gateway."""
        answer = self._json("GET", "/version")
        self.asked = True
        self._prefix = "/v3beta/" if str(answer.get("etcdserver", "")).startswith("3.3.") else "/v3/"
        return answer

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """POST to the gateway, e.g. `maintenance/status`; returns the answer as a dict."""
        return self._json("POST", self._prefix + path, body or {})

    def text(self, path: str) -> str:
        """GET a page as text."""
        return self._exchange("GET", path, None)

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self._exchange(method, path, body)
        try:
            value = json.loads(answer)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise EtcdError(f"{path}: expected a JSON object, found {cut(answer, 60)!r}")
        return value

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> str:
        payload = None if body is None else json.dumps(body).encode()
        # A kept connection may have been closed by a restart in between: that says nothing, a new one does.
        for fresh in (self._connection is None, True):
            try:
                return self._request(method, path, payload)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if fresh or not isinstance(error, (ConnectionError, ssl.SSLEOFError)):
                    raise EtcdError(https.reason(error)) from None
        raise EtcdError("connection closed")

    def _request(self, method: str, path: str, payload: bytes | None) -> str:
        if self._connection is None:
            self._connection = https.connection(self.url, self._context, self.timeout)
        self._connection.request(method, path, payload)
        response = self._connection.getresponse()
        answer = response.read().decode("utf-8", "replace")
        if response.status != http.client.OK:
            raise EtcdError(_refusal(response.status, answer))
        return answer


def members_of(parameters: dict[str, Any]) -> list[Member]:
    """Return the expected members, from the parameters of a module."""
    secure = any(member["url"].startswith("https:") for member in parameters["members"])
    context = Tls(parameters["ca"], parameters["cert"], parameters["key"]).context() if secure else None
    return [Member(member["name"], member["url"], context, parameters["timeout"]) for member in parameters["members"]]


# Of etcdctl and etcdutl, and nothing of the node's own: ETCDCTL_ENDPOINTS beside a flag is an error, and a proxy is no member.
# The API's version is told because 3.3 speaks the older one unless it is.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "ETCDCTL_API": "3"}


class Etcdctl:
    """The staged etcdctl."""

    def __init__(self, path: str, tls: Tls, timeout: float) -> None:
        self.path, self.tls, self.timeout = path, tls, timeout

    def run(self, words: list[str], urls: list[str], timeout: float | None = None) -> tuple[int, str, str]:
        """Run a command on `urls`; returns exit code, standard output and standard error."""
        limit = timeout or self.timeout
        command = [self.path, *list(words), "--endpoints", ",".join(urls), "--command-timeout", f"{limit:.3f}s"]
        try:
            done = subprocess.run(
                command + self.tls.arguments(),
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                # etcdctl asks one member after the other, each within its command timeout.
                timeout=limit * len(urls) + 5,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EtcdError(f"{self.path} {words[0]}: no end after {limit * len(urls) + 5:.0f} s") from None
        except OSError as error:
            raise EtcdError(f"{self.path}: {error.strerror}; expected the etcdctl of a staged release") from None
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")

    def hashkv(self, urls: list[str], revision: int) -> tuple[dict[str, tuple[int, int, int]], str]:
        """Return {url: (hash, compact revision, the member's revision)}, and the errors of those that gave none.

        Revision 0 is whatever each member has: only comparable where their revisions turn out equal.
        """
        words = ["endpoint", "hashkv", "--rev", str(revision), "--write-out", "json"]
        _unused, output, errors = self.run(words, urls)
        try:
            rows = json.loads(output or "[]")
        except ValueError:
            raise EtcdError(f"{self.path} endpoint hashkv: not JSON: {cut(output, 60)!r}") from None
        found = {row["Endpoint"]: _hash(row["HashKV"]) for row in rows}
        return found, "" if len(found) == len(urls) else (last_line(errors) or "no answer")


def base64_text(text: str) -> str:
    """Return text as the gateway wants keys and values."""
    return base64.b64encode(text.encode()).decode()


def named(row: dict[str, Any]) -> str:
    """Return what a member of a list is called: its name, or the peer URLs that it was added with while it has not started."""
    return str(row.get("name") or ", ".join(row.get("peerURLs") or []) or f"{int(row['ID']):x}")


def last_line(text: str) -> str:
    """Return the last line that is not empty, without etcdctl's own prefix."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].replace("Error: ", "", 1) if lines else ""


def _hash(row: dict[str, Any]) -> tuple[int, int, int]:
    header = row.get("header", {})
    # Zero is left out of JSON by some versions.
    return int(row.get("hash", 0)), int(row.get("compact_revision", 0)), int(header.get("revision", 0))


def _refusal(status: int, answer: str) -> str:
    try:
        text = json.loads(answer)
        return str(text.get("error") or text.get("message") or text)
    except (ValueError, AttributeError):
        return f"HTTP {status} {cut(answer.strip(), 200)}"


def argument_spec() -> dict[str, Any]:
    """Return the options that the etcd modules share (documented in the fragment `nodewise.cluster.etcd`)."""
    member = {"name": {"type": "str", "required": True}, "url": {"type": "str", "required": True}}
    return {
        "members": {"type": "list", "elements": "dict", "required": True, "options": member},
        "ca": {"type": "path"},
        "cert": {"type": "path"},
        "key": {"type": "path", "no_log": False},
        "etcdctl": {"type": "path"},
        "timeout": {"type": "float", "default": 2.0},
    }
