# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcdctl on the node: for what the gateway cannot do, and for all that it could where it is off or knows no user."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
from typing import Any, Callable

from ansible_collections.nodewise.cluster.plugins.module_utils.host import https
from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment
from ansible_collections.nodewise.cluster.plugins.module_utils.host.text import cut

PATIENCE = 5.0  # seconds for a question by a program, which has to be loaded, to connect and to log in first


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

    def arguments(self, urls: list[str]) -> list[str]:
        """Return the same for etcdctl; nothing for members in plain text, whose nodes need not have the files."""
        pairs = (("--cacert", self.ca), ("--cert", self.cert), ("--key", self.key))
        secure = any(url.startswith("https:") for url in urls)
        return [word for flag, path in pairs if path and secure for word in (flag, path)]


class Etcdctl:
    """The etcdctl of the release in use. `login` is a user and the password; without it etcd goes by the certificate's name."""

    def __init__(self, path: str, tls: Tls, timeout: float, login: tuple[str, str] | None = None) -> None:
        self.path, self.tls, self.timeout, self.login = path, tls, timeout, login

    @classmethod
    def of(cls, parameters: dict[str, Any]) -> Etcdctl:
        """Return the one that a module's parameters name."""
        tls = Tls(parameters["ca"], parameters["cert"], parameters["key"])
        return cls(parameters["etcdctl"], tls, parameters["timeout"], login_of(parameters))

    def run(self, words: list[str], urls: list[str], timeout: float | None = None) -> tuple[int, str, str]:
        """Run a command on `urls`; returns exit code, standard output and standard error."""
        limit = timeout or self.timeout
        command = [self.path, *list(words), "--endpoints", ",".join(urls), "--command-timeout", f"{limit:.3f}s"]
        try:
            done = subprocess.run(
                command + self.tls.arguments(urls),
                env=for_etcdctl(self.login),
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

    def call(self, url: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return what the gateway of a member would answer to `path`, e.g. `maintenance/status`."""
        code, output, errors = self.run([*_WORDS[path](body), "--write-out", "json"], [url], timeout=max(PATIENCE, self.timeout))
        if code:
            raise EtcdError(said(errors) or f"etcdctl {path}: exit code {code}")
        if path in _SAYS_NOTHING:
            return {}
        try:
            found = json.loads(output)
            answer = found[0]["Status"] if path == "maintenance/status" else found
        except (ValueError, LookupError, TypeError):
            raise EtcdError(f"{self.path} {path}: expected JSON, found {cut(output, 60)!r}") from None
        return dict(answer)

    def hashkv(self, urls: list[str], revision: int) -> tuple[dict[str, tuple[int, int, int]], str]:
        """Return {url: (hash, compact revision, the member's revision)}, and the errors of those that gave none.

        Revision 0 is whatever each member has: only comparable where their revisions turn out equal.
        """
        # A login is known to the member that gave it, and not to one of another version: each is asked by itself.
        asked = [self._hashkv([url], revision) for url in urls] if self.login else [self._hashkv(urls, revision)]
        found = {url: row for rows, _error in asked for url, row in rows.items()}
        return found, "" if len(found) == len(urls) else next(error for _rows, error in asked if error)

    def _hashkv(self, urls: list[str], revision: int) -> tuple[dict[str, tuple[int, int, int]], str]:
        words = ["endpoint", "hashkv", "--rev", str(revision), "--write-out", "json"]
        _unused, output, errors = self.run(words, urls)
        try:
            rows = json.loads(output or "[]")
        except ValueError:
            raise EtcdError(f"{self.path} endpoint hashkv: not JSON: {cut(output, 60)!r}") from None
        found = {row["Endpoint"]: _hash(row["HashKV"]) for row in rows}
        return found, "" if len(found) == len(urls) else (said(errors) or "no answer")


def login_of(parameters: dict[str, Any]) -> tuple[str, str] | None:
    """Return user and password of a module's parameters; None without a user."""
    return (parameters["user"], parameters["password"] or "") if parameters.get("user") else None


def for_etcdctl(login: tuple[str, str] | None = None) -> dict[str, str]:
    """Return the environment of etcdctl and etcdutl. No password is in a command line, which any user can read."""
    user = {"ETCDCTL_USER": ":".join(login)} if login else {}
    # The API's version is told because 3.3 speaks the older one unless it is.
    return environment(ETCDCTL_API="3", **user)


def last_line(text: str) -> str:
    """Return the last line that is not empty, without etcdctl's own prefix."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].replace("Error: ", "", 1) if lines else ""


def said(errors: str) -> str:
    """Return why a command failed: the JSON lines of its log come before, and its usage may follow."""
    return last_line("\n".join(line for line in errors.splitlines() if not line.startswith("{")))


def _hex(identity: Any) -> str:
    return f"{int(identity):x}"


def _range(body: dict[str, Any]) -> list[str]:
    words = ["get", text_of(body["key"]), *(["--keys-only"] if body.get("keys_only") else [])]
    return [*words, "--limit", str(body.get("limit", 0)), "--consistency", "s" if body.get("serializable") else "l"]


def _put(body: dict[str, Any]) -> list[str]:
    return ["put", text_of(body["key"]), text_of(body["value"]), "--lease", _hex(body["lease"])]


def text_of(encoded: str) -> str:
    """Return the text of what the gateway has as base64."""
    return base64.b64decode(encoded).decode("utf-8", "replace")


# The gateway's questions as etcdctl has them; it names leases and members by hexadecimal numbers.
_WORDS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "maintenance/status": lambda _body: ["endpoint", "status"],
    "maintenance/alarm": lambda _body: ["alarm", "list"],
    "maintenance/transfer-leadership": lambda body: ["move-leader", _hex(body["targetID"])],
    "cluster/member/list": lambda _body: ["member", "list"],
    "cluster/member/add": lambda body: ["member", "add", "joining", "--peer-urls", ",".join(body["peerURLs"])],
    "cluster/member/remove": lambda body: ["member", "remove", _hex(body["ID"])],
    "kv/range": _range,
    "kv/put": _put,
    "lease/grant": lambda body: ["lease", "grant", str(body["TTL"])],
    "kv/lease/revoke": lambda body: ["lease", "revoke", _hex(body["ID"])],
}
_SAYS_NOTHING = {"maintenance/transfer-leadership", "cluster/member/remove", "kv/put", "kv/lease/revoke"}


def _hash(row: dict[str, Any]) -> tuple[int, int, int]:
    header = row.get("header", {})
    # Zero is left out of JSON by some versions.
    return int(row.get("hash", 0)), int(row.get("compact_revision", 0)), int(header.get("revision", 0))
