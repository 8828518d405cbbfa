# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data set of a store of keys, such as etcd: values small and large, leases with keys, keys that come and go, history."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Protocol

import msgspec

from nodewise.text import cut

ROOT = "/data/"  # of every data set
USERS, LEASES, KEYS_A_LEASE, LARGE, TEMPORARY = 300, 5, 4, 4, 60
LARGE_BYTES = 512 * 1024
REWRITES = 5  # older revisions of the temporary keys, to be compacted
TTL = 24 * 3600  # seconds: outlives any run
BATCH = 100


class Stores(Protocol):
    """A client of a store of keys with leases and a history that can be compacted."""

    def put(self, pairs: Mapping[str, str], lease: int = 0) -> int:
        """Write keys; returns the store's revision."""

    def delete(self, keys: Iterable[str]) -> int:
        """Delete keys; returns the store's revision."""

    def grant(self, lease: int, ttl: int) -> None:
        """Make a lease, unless it is there."""

    def leased(self, lease: int) -> set[str]:
        """The keys of a lease."""

    def compact(self, revision: int) -> None:
        """Drop history up to a revision."""

    def compacted(self, revision: int) -> bool:
        """Whether history at a revision is gone."""

    def scan(self, prefix: str) -> Mapping[str, str]:
        """All keys under a prefix."""


class DataSet(msgspec.Struct):
    """What is to be found: keys with their values under `prefix` and no others, keys of leases, history that is gone."""

    prefix: str
    values: dict[str, str]
    leases: dict[int, dict[str, str]]
    temporary: list[str]  # written several times, then deleted
    compacted: int = 0  # revision

    @property
    def keys(self) -> dict[str, str]:
        """Every key that is to be there."""
        return self.values | {key: value for pairs in self.leases.values() for key, value in pairs.items()}


def dataset(seed: int) -> DataSet:
    """The data set of a seed: users' keys, a few large values, leases with keys, and keys that come and go."""
    choose, prefix = random.Random(f"data/{seed}"), f"{ROOT}{seed}/"

    def text(size: int) -> str:
        return choose.randbytes(size // 2).hex()

    values = {f"{prefix}users/{n:04}": text(choose.randint(20, 400)) for n in range(USERS)}
    values |= {f"{prefix}large/{n}": text(LARGE_BYTES) for n in range(LARGE)}
    first = (seed % 1_000_000 + 1) * 1000  # ids of leases: small enough for JSON's numbers, apart for each seed
    leases = {first + n: {f"{prefix}leased/{n}/{k}": text(40) for k in range(KEYS_A_LEASE)} for n in range(LEASES)}
    return DataSet(prefix, values, leases, [f"{prefix}temporary/{n:03}" for n in range(TEMPORARY)])


def write(store: Stores, seed: int) -> DataSet:
    """Write the data set of a seed, and return what is to be found; repeated, it changes no value."""
    data = dataset(seed)
    for pairs in _batches(data.values):
        store.put(pairs)
    for lease, pairs in data.leases.items():
        store.grant(lease, TTL)
        store.put(pairs, lease)
    data.compacted = _come_and_go(store, data.temporary)
    return data


def differences(store: Stores, expected: DataSet) -> list[str]:
    """What is missing or different, a line each."""
    off = list(_compare(expected.keys, store.scan(expected.prefix)))
    for lease, pairs in expected.leases.items():
        off += [f"{key} is not attached to lease {lease} any more" for key in sorted(set(pairs) - store.leased(lease))]
    if not store.compacted(expected.compacted - 1):
        off.append(f"revision {expected.compacted - 1} was compacted and can be read again")
    return off


def _come_and_go(store: Stores, keys: list[str]) -> int:
    """Write and rewrite keys, delete half of them, compact, delete the others; returns the revision that was compacted up to."""
    for n in range(REWRITES):
        store.put(dict.fromkeys(keys, f"revision {n}"))
    revision = store.delete(keys[::2])
    store.compact(revision)
    store.delete(keys[1::2])
    return revision


def _batches(pairs: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Pairs in transactions that a store takes: a large value goes alone."""
    small = iter({key: value for key, value in pairs.items() if len(value) < LARGE_BYTES}.items())
    while batch := dict(islice(small, BATCH)):
        yield batch
    yield from ({key: value} for key, value in pairs.items() if len(value) >= LARGE_BYTES)


def _compare(expected: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for key, value in expected.items():
        if key not in found:
            yield f"{key} is missing"
        elif found[key] != value:
            yield f"{key} is another: {len(value)} characters were written, {len(found[key])} are there, {cut(found[key], 20)!r}"
    yield from (f"{key} is there and should not be" for key in sorted(found.keys() - expected.keys()))
