# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talking to one etcd member: its JSON gateway over a kept connection, and etcdctl where the gateway is off or knows no user."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import Etcdctl, EtcdError, Tls, login_of
from ansible_collections.nodewise.cluster.plugins.module_utils.host import https
from ansible_collections.nodewise.cluster.plugins.module_utils.host.text import cut

# A member whose authentication is on knows nobody yet, or has forgotten whom it knew: it restarted, or its users changed.
_UNKNOWN_USER, _FORGOTTEN = "user name is empty", ("invalid auth token", "revision of auth store is old")
_MAY_NOT = "permission denied"
# With users, a gateway takes nothing from a connection that shows a certificate with a common name, not even a password; that of
# 3.3 takes it all, as from the user that the member's own certificate names.
_NO_GATEWAY_FOR_US = "CommonName of client sending a request against gateway"


class RefusedError(EtcdError):
    """An answer of a member's other than 200, by its HTTP status."""

    def __init__(self, status: int, says: str) -> None:
        super().__init__(says)
        self.status = status


class Member:
    """A member's client URL, or several with commas between them: the first that lets us connect is used.

    One connection is kept, so that polling costs no handshakes. `login` is tried where the member asks for a user; where its
    gateway is off, or knows no certificate's user, `etcdctl` takes over for good.
    """

    def __init__(
        self,
        name: str,
        url: str,
        context: ssl.SSLContext | None,
        timeout: float,
        etcdctl: Etcdctl | None = None,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.name, self.timeout = name, timeout
        self.urls = [one.strip().rstrip("/") for one in url.split(",")]
        self.url = self.urls[0]
        self._context, self._etcdctl, self._login = context, etcdctl, login
        self._connection: http.client.HTTPConnection | None = None
        self._token = ""
        self.asked = False
        self.cheap = True  # it is asked through its gateway, and not by a program
        self._prefix = "/v3/"

    def version(self) -> dict[str, Any]:
        """Return the answer of /version, and learn from it where this version has its gateway."""
        answer = self._json("GET", "/version")
        self.asked = True
        self._prefix = "/v3beta/" if str(answer.get("etcdserver", "")).startswith("3.3.") else "/v3/"
        return answer

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """POST to the gateway, e.g. `maintenance/status`; returns the answer as a dict."""
        for _way in ("the gateway", "the gateway with a login", "etcdctl"):
            try:
                return self._ask(path, body or {})
            except RefusedError as error:
                self._find_another_way(path, error)
            except EtcdError as error:
                raise self._explained(error) from None
        raise EtcdError(f"{path}: its login is forgotten as soon as it is made")

    def text(self, path: str) -> str:
        """GET a page as text."""
        return self._exchange("GET", path, None)

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if self.cheap or not self._etcdctl:
            return self._json("POST", self._prefix + path, body)
        return self._etcdctl.call(self.url, path, body)

    def _find_another_way(self, path: str, error: RefusedError) -> None:
        """Log in, or go over to etcdctl; raise the error where neither would help."""
        off = error.status == http.client.NOT_FOUND
        forgotten = any(text in str(error) for text in _FORGOTTEN)
        stranger = any(text in str(error) for text in (_UNKNOWN_USER, _MAY_NOT))
        if self._login and (forgotten or (stranger and not self._token)):
            self._authenticate()
        elif self._etcdctl and (off or forgotten or stranger or _NO_GATEWAY_FOR_US in str(error)):
            self.cheap = False
        elif off:
            why = "its gRPC gateway is off; expected an etcdctl on the node to ask instead"
            raise EtcdError(f"HTTP 404 at {self._prefix}{path}: {why}")
        else:
            raise self._explained(error)

    def _authenticate(self) -> None:
        user, password = self._login or ("", "")
        try:
            answer = self._json("POST", self._prefix + "auth/authenticate", {"name": user, "password": password})
        except RefusedError as error:
            raise EtcdError(f"user {user} of nodewise_etcd_user cannot log in: {error}") from None
        self._token = str(answer.get("token", ""))

    def _explained(self, error: EtcdError) -> EtcdError:
        """Say what etcd's authentication asks for, where it is that."""
        if not any(text in str(error) for text in (_UNKNOWN_USER, *_FORGOTTEN, _MAY_NOT)):
            return error
        who = f"user {self._login[0]}" if self._login else "whom the node's certificate names"
        return EtcdError(
            f"{error}; its authentication is on, and {who} may not: name a user with the role root "
            "(nodewise_etcd_user, nodewise_etcd_password)"
        )

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
            self._connection = self._connect()
        self._connection.request(method, path, payload, {"Authorization": self._token} if self._token else {})
        response = self._connection.getresponse()
        answer = response.read().decode("utf-8", "replace")
        if response.status != http.client.OK:
            raise RefusedError(response.status, _refusal(response.status, answer))
        return answer

    def _connect(self) -> http.client.HTTPConnection:
        """Return a connection to the first URL that takes one; the error of the last where none does."""
        for url in self.urls:
            made = https.connection(url, self._context, self.timeout)
            try:
                made.connect()
            except OSError:
                made.close()
                if url == self.urls[-1]:
                    raise
            else:
                self.url = url
                break
        return made


def members_of(parameters: dict[str, Any]) -> list[Member]:
    """Return the expected members, from the parameters of a module."""
    secure = any("https:" in member["url"] for member in parameters["members"])
    context = Tls(parameters["ca"], parameters["cert"], parameters["key"]).context() if secure else None
    etcdctl = Etcdctl.of(parameters) if parameters["etcdctl"] else None
    login, timeout = login_of(parameters), parameters["timeout"]
    return [Member(one["name"], one["url"], context, timeout, etcdctl, login) for one in parameters["members"]]


def base64_text(text: str) -> str:
    """Return text as the gateway wants keys and values."""
    return base64.b64encode(text.encode()).decode()


def named(row: dict[str, Any]) -> str:
    """Return what a member of a list is called: its name, or the peer URLs that it was added with while it has not started."""
    return str(row.get("name") or ", ".join(row.get("peerURLs") or []) or f"{int(row['ID']):x}")


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
        "user": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "etcdctl": {"type": "path"},
        "timeout": {"type": "float", "default": 2.0},
    }
