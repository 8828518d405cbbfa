# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading everything back, through every member, after the work."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from typing import Literal

from msgspec.structs import replace

from nodewise.model import Operation
from nodewise.simulation.workloads.client import Client, ClientFactory, Scans
from nodewise.simulation.workloads.history import History, read_history

Found = Mapping[str, str | list[str]]

ATTEMPTS = 3
PAUSE = 0.5  # seconds between them
WRITES = ("write", "add", "cas", "append", "transfer", "guarded")  # operations that leave something under their key


def final_reads(factory: ClientFactory, nodes: Sequence[str], history: History, prefix: str, within: float = 0) -> None:
    """Append a final read of each key under `prefix` through each node: all that were ever written, and all that are there.

    A client that cannot list what is there reads what was written, key by key. What is there several times is read as often. A node
    that cannot be read after three attempts, and not `within` these seconds either, has failed reads, which make the verdict
    unknown: one that answered once it was healed may be started again by its own system, such as to follow a new primary.
    """
    so_far = read_history(history.path)
    written = {operation.key for operation in so_far if operation.f in WRITES}
    process = max((operation.process for operation in so_far), default=-1)
    for number, node in enumerate(nodes, start=1):
        began = history.now()
        found, error = _read(factory, node, prefix, written, within)
        for key in sorted(written | set(found)):
            for value in _values(found.get(key)):
                asked = Operation(process + number, "invoke", "read", key, None, began, node, final=True)
                history.append(asked)
                outcome: Literal["fail", "ok"] = "fail" if error else "ok"
                history.append(replace(asked, type=outcome, value=value, time=history.now(), error=error))


def _values(found: str | list[str] | None) -> list[str] | list[str | None]:
    """What is there under one key: a row more is a read more."""
    return found if isinstance(found, list) else [found]


def _read(factory: ClientFactory, node: str, prefix: str, written: Collection[str], within: float) -> tuple[Found, str | None]:
    until, failed, attempt = time.monotonic() + within, "", 0
    while attempt < ATTEMPTS or time.monotonic() < until:
        if attempt:
            time.sleep(PAUSE)
        attempt += 1
        client = factory(node)
        try:
            with closing(client):
                client.open()
                return client.scan(prefix) if isinstance(client, Scans) else _one_by_one(client, node, written), None
        except OSError as error:
            failed = f"{type(error).__name__}: {error}"
    return {}, failed


def _one_by_one(client: Client, node: str, written: Collection[str]) -> Found:
    """The value of each key that was written. Raises `OSError` when one cannot be read."""
    found = {}
    for key in sorted(written):
        done = client.invoke(Operation(0, "invoke", "read", key, None, 0, node, final=True))
        if done.type != "ok":
            raise ConnectionError(f"{key} was not read: {done.error or done.type}")
        if done.value is not None:
            found[key] = done.value
    return found
