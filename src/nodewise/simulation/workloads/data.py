# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A seeded data set: what a cluster that is worth upgrading already holds, so that an upgrade can be seen to keep it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, ParamSpec, Protocol, TypeVar, runtime_checkable

from nodewise.errors import SetupError, UnknownResult
from nodewise.simulation.workloads.client import Client

ATTEMPTS, PAUSE = 3, 0.5  # seconds
TOLD = 5  # differences that are named one by one

P = ParamSpec("P")
T = TypeVar("T")


@runtime_checkable
class Holds(Protocol):
    """A client of a system that has a data set. Both raise `OSError`, and may be repeated."""

    def seed(self, seed: int) -> Any:
        """Write the data set of a seed, and return what is to be found."""

    def differences(self, expected: Any) -> list[str]:
        """What is missing or different on this client's node, a line each."""


def seed_data(client: Client, seed: int) -> Any:
    """Write the data set of a seed through one node, and return what is to be found; repeated, it changes no value.

    `client` is unopened, and closed in the end. Raises `SetupError` when the set cannot be written.
    """
    try:
        with closing(client):
            return again(_open(client).seed, seed)
    except OSError as error:
        raise SetupError(f"the data set could not be written: {error}; the cluster must serve before a workload begins.") from error


def verify_data(client: Client, expected: Any) -> list[str]:
    """What is missing or different on this node, a line each; an empty list when everything is there.

    `client` is unopened, and closed in the end. Raises `UnknownResult` when the node cannot be read.
    """
    try:
        with closing(client):
            off = again(_open(client).differences, expected)
    except OSError as error:
        raise UnknownResult(f"the data set could not be read back: {error}; whether all of it is there is not known.") from error
    return off if len(off) <= TOLD else [*off[:TOLD], f"and {len(off) - TOLD} more differences"]


def again(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call until it works, three times at most: everything here may be repeated."""
    for _ in range(ATTEMPTS - 1):
        try:
            return call(*args, **kwargs)
        except OSError:
            time.sleep(PAUSE)
    return call(*args, **kwargs)


def _open(client: Client) -> Holds:
    if not isinstance(client, Holds):
        raise SetupError(f"{type(client).__name__} cannot hold the data set: expected seed and differences.")
    again(client.open)
    return client
