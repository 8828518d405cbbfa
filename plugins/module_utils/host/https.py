# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talking to members over HTTP(S): whom we show ourselves as, and a connection's end in a few words."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.parse


def context(ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    """Return an SSL context that presents the certificate and verifies the other's name; ValueError where a file cannot be read."""
    try:
        made = ssl.create_default_context(cafile=ca)
        if cert:
            made.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        paths = ", ".join(path for path in (ca, cert, key) if path)
        raise ValueError(f"certificates not readable ({paths}): {error}") from None
    return made


def connection(url: str, tls: ssl.SSLContext | None, timeout: float) -> http.client.HTTPConnection:
    """Return a connection to scheme, host and port of a URL, not yet made."""
    target = urllib.parse.urlsplit(url)
    if target.scheme == "https":
        return http.client.HTTPSConnection(target.hostname or "", target.port, timeout=timeout, context=tls)
    return http.client.HTTPConnection(target.hostname or "", target.port, timeout=timeout)


def reason(error: Exception) -> str:
    """Return why a connection came to nothing."""
    if isinstance(error, socket.timeout):
        return "no answer in time"
    if isinstance(error, ssl.SSLEOFError):
        return "TLS: the other side hung up; a client certificate may be required"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}"
    if isinstance(error, OSError) and error.strerror and not isinstance(error, http.client.HTTPException):
        return error.strerror.lower()
    return f"connection closed: {error}" if str(error) else "connection closed"
