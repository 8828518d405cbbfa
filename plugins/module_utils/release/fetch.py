# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetching an artifact: streamed to a file, counted, and held against its checksum before anybody reads it."""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import time
import urllib.error
import urllib.parse

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure

TRIES = 5
SILENCE = 10.0  # seconds that a server may say nothing
BLOCK = 1 << 18


class FetchError(Failure):
    """Why an artifact could not be had, in one line."""


class _Again(Exception):
    """Something that may be gone at the next try."""


def name_of(url: str) -> str:
    """Return the file's name in a URL, as a person would say it."""
    return urllib.parse.unquote(urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1])


def fetch(url: str, target: str, sha256: str, until: float) -> int:
    """Write the URL's content to `target` and return its size; FetchError unless its sha256 is as expected.

    Tries again when the connection or the server fails, not after `until` (monotonic seconds).
    """
    began = time.monotonic()
    for attempt in range(1, TRIES + 1):
        try:
            found, size = _once(url, target, until)
            break
        except _Again as error:
            pause = 0.25 * 2**attempt
            if attempt == TRIES or time.monotonic() + pause > until:
                tried = f"{attempt} tries in {time.monotonic() - began:.0f} s"
                raise FetchError(f"{name_of(url)}: could not be fetched ({tried}): {error}; nothing was staged") from None
            time.sleep(pause)
    if found != sha256:
        raise FetchError(
            f"{name_of(url)}: sha256 is {found[:16]}…, expected {sha256[:16]}…; nothing was staged: "
            "correct the checksum if it is wrong; otherwise do not trust the source"
        )
    return size


def _once(url: str, target: str, until: float) -> tuple[str, int]:
    from ansible.module_utils.urls import open_url  # noqa: PLC0415  it is slow to import, and most runs fetch nothing

    try:
        # decompress: the checksum is of the file as it lies there, whatever the server calls its encoding.
        with open_url(url, timeout=min(SILENCE, max(0.1, until - time.monotonic())), decompress=False) as response:
            return _copy(response, target, until)
    except urllib.error.HTTPError as error:
        if error.code >= http.client.INTERNAL_SERVER_ERROR or error.code == http.client.TOO_MANY_REQUESTS:
            raise _Again(f"the server answers {error.code} {error.reason}") from None
        raise FetchError(f"{name_of(url)}: the server answers {error.code} {error.reason}; nothing was staged") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        if url.startswith("file:") or isinstance(reason, ssl.SSLCertVerificationError):
            raise FetchError(f"{name_of(url)}: could not be fetched: {reason}; nothing was staged") from None
        raise _Again(str(reason) or type(reason).__name__) from None


def _copy(response: http.client.HTTPResponse, target: str, until: float) -> tuple[str, int]:
    sha, size = hashlib.sha256(), 0
    expected = response.headers.get("Content-Length")
    with open(target, "wb") as stream:
        for block in iter(lambda: response.read(BLOCK), b""):
            sha.update(block)
            size += stream.write(block)
            if time.monotonic() > until:
                raise _Again(f"the deadline came after {size} of {expected or '?'} bytes")
        stream.flush()
        os.fsync(stream.fileno())
    # http.client ends a broken transfer like a complete one when it is read in blocks.
    if expected and size != int(expected):
        raise _Again(f"the connection ended after {size} of {expected} bytes")
    return sha.hexdigest(), size
