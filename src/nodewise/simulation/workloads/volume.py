# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Data in bulk, made up: so that members have something to carry, keep and compare, beside the small data set."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from nodewise.errors import SetupError
from nodewise.model import Operation, Verdict
from nodewise.simulation.workloads.client import Client, ClientFactory
from nodewise.simulation.workloads.data import again

SIZE = 64 << 10  # characters of a value: every system takes one of that size
PREFIX = "/volume/"


class Volume(NamedTuple):
    """Values of 64 KiB each, `mebibytes` together; they follow from the seed, so nothing is kept to compare with."""

    seed: int
    mebibytes: int

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Keys and values."""
        for number in range(self.mebibytes * (1 << 20) // SIZE):
            choose = random.Random(f"volume/{self.seed}/{number}")
            yield f"{PREFIX}{self.seed}/{number:06}", choose.randbytes(SIZE // 2).hex()

    def write(self, client: Client) -> None:
        """Write all of it through one node; repeated, it changes no value. Raises SetupError where a value is not taken."""
        try:
            with closing(client):
                again(client.open)
                for key, value in self.pairs():
                    again(_done, client, Operation(0, "invoke", "write", key, value, 0))
        except OSError as error:
            raise SetupError(f"{self.mebibytes} MiB of data could not be written: {error}") from error

    def verdict(self, factory: ClientFactory, nodes: Sequence[str]) -> Verdict:
        """Whether all of it is there afterwards, through every member."""
        try:
            off = [f"{node}: {key}" for node in nodes for key in self._off(factory(node))]
        except OSError as error:
            return Verdict("volume", "unknown", f"the data in bulk could not be read back: {error}")
        if off:
            return Verdict("volume", "invalid", f"values of the data in bulk that are missing or others: {len(off)} ({off[0]})")
        return Verdict("volume", "valid", f"{self.mebibytes} MiB of data in bulk are whole on every member")

    def _off(self, client: Client) -> list[str]:
        with closing(client):
            again(client.open)
            read = (Operation(0, "invoke", "read", key, None, 0) for key, _ in self.pairs())
            return [key for (key, value), one in zip(self.pairs(), read, strict=True) if again(_done, client, one).value != value]


def _done(client: Client, operation: Operation) -> Operation:
    """An operation that was answered. Raises OSError for one that was not."""
    done = client.invoke(operation)
    if done.type != "ok":
        raise OSError(f"{operation.f} of {operation.key}: {done.error or done.type}")
    return done
