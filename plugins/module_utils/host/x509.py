# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a certificate ends, read with the standard library alone: nodes need not have openssl, nor Python's cryptography."""

from __future__ import annotations

import calendar
import re
import ssl
import time

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
VERSION, UTC_TIME, GENERALIZED_TIME = 0xA0, 0x17, 0x18
LONG = 0x80
VALIDITY = 3  # its place, without the version


def not_after(pem: str) -> int:
    """Return the end of the first certificate in `pem`, in seconds since the epoch; ValueError when there is none."""
    begin = pem.find(BEGIN)
    end = pem.find(END, begin)
    if begin < 0 or end < 0:
        raise ValueError("has no certificate in PEM")
    return _time(*_validity(ssl.PEM_cert_to_DER_cert(pem[begin : end + len(END)]))[1])


def _validity(der: bytes) -> list[tuple[int, bytes]]:
    """A certificate is {tbs: {[0] version (optional), serial, algorithm, issuer, validity: {notBefore, notAfter}, …}, …}."""
    fields = [field for field in _children(_children(_children(der)[0][1])[0][1]) if field[0] != VERSION]
    validity = _children(fields[VALIDITY][1]) if len(fields) > VALIDITY else []
    if len(validity) != len(("notBefore", "notAfter")):
        raise ValueError("has no time of validity")
    return validity


def _children(data: bytes) -> list[tuple[int, bytes]]:
    """Return tag and content of each element that stands in `data`, at least one; ValueError when they do not fill it."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data) or not found:
        tag, size, begin = _header(data, at)
        at = begin + size
        if at > len(data):
            raise ValueError("is not a complete certificate")
        found.append((tag, data[begin:at]))
    return found


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Return an element's tag, the size of its content, and where that begins."""
    tag, size, at = data[at : at + 1], data[at + 1 : at + 2], at + 2
    octets = int.from_bytes(size, "big") ^ LONG if size >= bytes([LONG]) else 0
    size = data[at : at + octets] if octets else size
    if not tag or len(size) != (octets or 1):
        raise ValueError("is not a complete certificate")
    return tag[0], int.from_bytes(size, "big"), at + octets


def _time(tag: int, content: bytes) -> int:
    text = content.decode("ascii", "replace")
    if tag == UTC_TIME:  # RFC 5280: two digits of a year are 1950 to 2049
        text = ("19" if text[:2] >= "50" else "20") + text
    if tag not in (UTC_TIME, GENERALIZED_TIME) or not re.fullmatch(r"\d{14}Z", text):
        raise ValueError("has an end that is no time")
    return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ"))
