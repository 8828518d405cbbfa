# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading everything back, through every member, after the work."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Literal

from msgspec.structs import replace

from nodewise.errors import SetupError
from nodewise.model import Operation
from nodewise.simulation.workloads.client import ClientFactory, Scans
from nodewise.simulation.workloads.history import History, read_history

ATTEMPTS = 3
PAUSE = 0.5  # seconds between them


def final_reads(factory: ClientFactory, nodes: Sequence[str], history: History, prefix: str) -> None:
    """Append a final read of each key under `prefix` through each node: all that were ever written, and all that are there.

    What is there several times is read as often. A node that cannot be read after three attempts has failed reads, which make the
    verdict unknown.
    """
    so_far = read_history(history.path)
    written = {operation.key for operation in so_far if operation.f in ("write", "add")}
    process = max((operation.process for operation in so_far), default=-1)
    for number, node in enumerate(nodes, start=1):
        began = history.now()
        found, error = _scan(factory, node, prefix)
        for key in sorted(written | set(found)):
            for value in _values(found.get(key)):
                asked = Operation(process + number, "invoke", "read", key, None, began, node, final=True)
                history.append(asked)
                outcome: Literal["fail", "ok"] = "fail" if error else "ok"
                history.append(replace(asked, type=outcome, value=value, time=history.now(), error=error))


def _values(found: str | list[str] | None) -> list[str] | list[str | None]:
    """What is there under one key: a row more is a read more."""
    return found if isinstance(found, list) else [found]


def _scan(factory: ClientFactory, node: str, prefix: str) -> tuple[Mapping[str, str | list[str]], str | None]:
    for attempt in range(1, ATTEMPTS + 1):
        client = factory(node)
        if not isinstance(client, Scans):
            raise SetupError(f"the client of {node} ({type(client).__name__}) has no scan: final reads need one.")
        try:
            with closing(client):
                client.open()
                return client.scan(prefix), None
        except OSError as error:
            failed = f"{type(error).__name__}: {error}"
        if attempt < ATTEMPTS:
            time.sleep(PAUSE)
    return {}, failed
