# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lock in etcd whose holder may die or sleep: a key with a lease, whose revision is a token that what it guards asks for.

A lease alone guards nothing: a holder that slept does not know that it has run out. So each guarded write compares its token, in
a transaction, with that of the last one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from nodewise.model import Operation

TTL = 2  # seconds of a lease
LOCKING = ("acquire", "guarded", "release", "idle")
Call = Callable[..., dict[str, Any]]  # one call of the gateway, such as /kv/txn


class Locks:
    """Locks in etcd, by calls of its gateway."""

    def __init__(self, call: Call, encode: Callable[[str], str], decode: Callable[[str], str]) -> None:
        self._call, self._encode, self._decode = call, encode, decode

    def perform(self, operation: Operation) -> Operation:
        """Perform one of `LOCKING`. Raises OSError."""
        if operation.f == "idle":
            time.sleep(operation.value)
            return replace(operation, type="ok")
        return {"acquire": self._acquire, "guarded": self._write, "release": self._release}[operation.f](operation)

    def _acquire(self, operation: Operation) -> Operation:
        """Its value becomes the token."""
        lease = secrets.randbits(62)
        self._call("/lease/grant", ID=lease, TTL=TTL)
        done = self._put(operation.key, operation.value, {"target": "CREATE", "create_revision": 0}, lease=lease)
        if done.get("succeeded"):
            return replace(operation, type="ok", value=int(done["header"]["revision"]))
        return replace(operation, type="fail", refused=True, error="another one holds it")

    def _write(self, operation: Operation) -> Operation:
        (found,) = self._call("/kv/range", key=self._encode(operation.key)).get("kvs") or [{}]
        token = self._decode(found.get("value", "")).partition(":")[0]
        if token and int(token) > operation.old:
            return _lost(operation)
        same = {"target": "MOD", "mod_revision": found.get("mod_revision", 0)}
        if self._put(operation.key, f"{operation.old}:{operation.value}", same).get("succeeded"):
            return replace(operation, type="ok")
        return replace(operation, type="fail", error="it was written meanwhile")

    def _release(self, operation: Operation) -> Operation:
        key = self._encode(operation.key)
        mine = {"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": operation.old}
        done = self._call("/kv/txn", compare=[mine], success=[{"request_delete_range": {"key": key}}])
        return replace(operation, type="ok") if done.get("succeeded") else _lost(operation)

    def _put(self, key: str, value: str, compare: dict[str, Any], **more: Any) -> dict[str, Any]:
        """A put in a transaction that compares first."""
        put = {"request_put": {"key": self._encode(key), "value": self._encode(value), **more}}
        return self._call("/kv/txn", compare=[{"key": self._encode(key), "result": "EQUAL", **compare}], success=[put])


def _lost(operation: Operation) -> Operation:
    return replace(operation, type="fail", refused=True, error="another one has had the lock since")
