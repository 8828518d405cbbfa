# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd through its JSON gateway, which every release since 3.3 has: `/v3beta` in 3.3, `/v3` from 3.4 on."""

from __future__ import annotations

import http.client
import json
import ssl
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec

from nodewise.model import Operation
from nodewise.simulation.workloads.client import ClientFactory, Credentials
from nodewise.systems.etcd import data, lock
from nodewise.text import cut

UNIT, DATA = "etcd", "/var/lib/nodewise/etcd"  # of systemd, and its folder, on testnets
KERNEL_TIME = True  # it is written in Go
CONFIG = "/etc/nodewise/etcd/etcd.yml"
LOCK_LEASE = lock.TTL  # seconds
OPERATIONS = frozenset({"write", "add", "cas", "append", *lock.LOCKING})
TIMEOUT = 1.0  # seconds for an attempt: longer than an election takes members to notice, shorter than an operation's deadline
PAGE = 500  # keys

# gRPC codes of answers that are given before a write is proposed or where applying it changes nothing: InvalidArgument, NotFound,
# PermissionDenied, Unimplemented, Unauthenticated. Not ResourceExhausted: the put that first exceeds the quota is applied and
# answered "database space exceeded". Not Unavailable: "request timed out" and "leader changed" come after the proposal.
DEFINITE = {3, 5, 7, 12, 16}

NOWHERE = ".invalid"  # a domain that there will never be
NOT_FOUND, EXISTS, COMPACTED = 5, 9, 11  # FailedPrecondition of a lease's id, OutOfRange of a revision


class EtcdError(OSError):
    """An answer other than 200; `code` is gRPC's, None when it is not one of etcd's answers."""

    def __init__(self, node: str, code: int | None, message: str) -> None:
        super().__init__(f"etcd on {node} answered: {message} (code {code})")
        self.code = code


class NothingSentError(OSError):
    """What would have changed something was never sent."""


class EtcdClient:
    """A client of one member. `url` is its client URL; `timeout` in seconds is for one request."""

    def __init__(self, node: str, url: str, context: ssl.SSLContext | None = None, timeout: float = TIMEOUT) -> None:
        self._node = node
        self._where = urlsplit(url)
        self._context = context
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None
        self._gateway = "/v3"

    def open(self) -> None:
        """Connect, and see which gateway this member has: it may be another one after an upgrade."""
        host, port = self._where.hostname or "", self._where.port or 2379
        if self._where.scheme == "https":
            self._connection = http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._context)
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=self._timeout)
        version = self._request("GET", "/version", None).get("etcdserver", "")
        self._gateway = "/v3beta" if version.startswith("3.3.") else "/v3"

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        if self._connection:
            with suppress(OSError):  # what it was about to send is judged already
                self._connection.close()
        self._connection = None

    def invoke(self, operation: Operation) -> Operation:
        """Perform one of `OPERATIONS`, or a read."""
        try:
            if operation.f == "read":
                return msgspec.structs.replace(operation, type="ok", value=self.get(operation.key))
            if operation.f in lock.LOCKING:
                return lock.Locks(self.call, encode, decode).perform(operation)
            if operation.f in ("cas", "append"):
                return self._compared(operation)
            self.call("/kv/put", key=encode(operation.key), value=encode(operation.value))
        except OSError as error:
            definite = operation.f == "read" or isinstance(error, NothingSentError) or getattr(error, "code", None) in DEFINITE
            outcome = "fail" if definite else "info"
            return msgspec.structs.replace(operation, type=outcome, error=f"{type(error).__name__}: {error}")
        return msgspec.structs.replace(operation, type="ok")

    def _compared(self, operation: Operation) -> Operation:
        """A put in a transaction that first looks at what is there: for `cas` at the value, for `append` at the revision read."""
        if operation.f == "cas":
            value, there = operation.value, {"target": "VALUE", "value": encode(str(operation.old))}
            compare = there if operation.old is not None else {"target": "CREATE", "create_revision": 0}
        else:
            try:
                (found,) = self.call("/kv/range", key=encode(operation.key)).get("kvs") or [{}]
            except OSError as error:
                raise NothingSentError(f"before anything was appended: {error}") from error
            before = decode(found.get("value", ""))
            value = f"{before},{operation.value}" if before else operation.value
            compare = {"target": "MOD", "mod_revision": found.get("mod_revision", 0)}
        put = {"request_put": {"key": encode(operation.key), "value": encode(value)}}
        done = self.call("/kv/txn", compare=[{"key": encode(operation.key), "result": "EQUAL", **compare}], success=[put])
        if done.get("succeeded"):
            return msgspec.structs.replace(operation, type="ok")
        return msgspec.structs.replace(operation, type="fail", refused=operation.f == "cas", error="another value is there")

    def get(self, key: str) -> str | None:
        """The value of a key, read linearizably; None when there is none."""
        found = self.call("/kv/range", key=encode(key)).get("kvs", [])
        return decode(found[0].get("value", "")) if found else None

    def put(self, pairs: Mapping[str, str], lease: int = 0) -> int:
        """Write keys in one transaction (etcd takes 128 at most), attached to a lease if one is named; returns the revision."""
        puts = [{"request_put": {"key": encode(key), "value": encode(value), "lease": lease}} for key, value in pairs.items()]
        return int(self.call("/kv/txn", success=puts)["header"]["revision"])

    def delete(self, keys: Iterable[str]) -> int:
        """Delete keys in one transaction; returns the revision."""
        deletions = [{"request_delete_range": {"key": encode(key)}} for key in keys]
        return int(self.call("/kv/txn", success=deletions)["header"]["revision"])

    def grant(self, lease: int, ttl: int) -> None:
        """Make a lease of this id, for `ttl` seconds; one that is there stays as it is."""
        try:
            self.call("/lease/grant", ID=lease, TTL=ttl)
        except EtcdError as error:
            if error.code != EXISTS:
                raise

    def leased(self, lease: int) -> set[str]:
        """The keys attached to a lease; none when there is no such lease."""
        return {decode(key) for key in self.call("/kv/lease/timetolive", ID=lease, keys=True).get("keys", [])}

    def leases(self) -> list[int]:
        """All leases that there are, but those of the data from before, which has to stay."""
        every = [int(one["ID"]) for one in self.call("/lease/leases").get("leases", [])]
        return [lease for lease in every if not any(key.startswith(data.ROOT) for key in self.leased(lease))]

    def revoke(self, lease: int) -> None:
        """End a lease; one that there is not is no error."""
        try:
            self.call("/lease/revoke", ID=lease)
        except EtcdError as error:
            if error.code != NOT_FOUND:
                raise

    def ghosts(self) -> list[str]:
        """Members that nobody starts, by the host of their only URL, which is none."""
        return list(self._ghosts())

    def add_ghost(self, name: str, voter: bool) -> None:
        """Add one that counts for the quorum, or a learner."""
        self.call("/cluster/member/add", peerURLs=[f"https://{name}{NOWHERE}:2380"], isLearner=not voter)

    def remove_ghost(self, name: str) -> None:
        """Remove one; one that there is not is no error."""
        if found := self._ghosts().get(name):
            self.call("/cluster/member/remove", ID=found)

    def _ghosts(self) -> dict[str, str]:
        """Their names and ids."""
        return {host.removesuffix(NOWHERE): number for host, number in self._members().items() if host.endswith(NOWHERE)}

    def listed(self) -> set[str]:
        """The host of each member's peer URL."""
        return set(self._members())

    def remove(self, address: str) -> None:
        """Remove the member of this host; where there is none is no error."""
        if found := self._members().get(address):
            self.call("/cluster/member/remove", ID=found)

    def take_in(self, address: str) -> None:
        """Add a member of this host, with its peer URL as the role has it."""
        self.call("/cluster/member/add", peerURLs=[f"https://{address}:2380"])

    def forget(self) -> str:
        """Its data is gone, and it does not expect to make a cluster: as the role's `join` leaves it."""
        return f"rm -rf {DATA}/member && sed -i 's/^initial-cluster-state: new$/initial-cluster-state: existing/' {CONFIG}"

    def _members(self) -> dict[str, str]:
        """The host of each member's first peer URL, and its id."""
        listed = self.call("/cluster/member/list").get("members", [])
        return {urlsplit(one["peerURLs"][0]).hostname or "": one["ID"] for one in listed if one.get("peerURLs")}

    def compact(self, revision: int) -> None:
        """Drop history up to this revision, and wait until it is gone."""
        self.call("/kv/compaction", revision=revision, physical=True)

    def compacted(self, revision: int) -> bool:
        """Whether history at this revision is gone."""
        try:
            self.call("/kv/range", key=encode("/"), revision=revision)
        except EtcdError as error:
            if error.code == COMPACTED:
                return True
            raise
        return False

    def scan(self, prefix: str) -> Mapping[str, str]:
        """Everything under a prefix, at one revision. The first page is a linearizable read, so that revision is a fresh one."""
        found: dict[str, str] = {}
        start, revision = encode(prefix), "0"
        while True:
            page = self.call("/kv/range", key=start, range_end=end_of(prefix), limit=PAGE, revision=revision)
            found |= {decode(kv["key"]): decode(kv.get("value", "")) for kv in page.get("kvs", [])}
            if not page.get("more"):
                return found
            revision = page["header"]["revision"] if revision == "0" else revision
            start = b64encode(b64decode(page["kvs"][-1]["key"]) + b"\0").decode()

    def leads(self) -> bool:
        """Whether this member leads."""
        said = self.call("/maintenance/status")
        return bool(said.get("leader")) and said["leader"] == said["header"]["member_id"]

    def hand_over(self, to: EtcdClient) -> None:
        """Have another member lead; this one has to be the leader. Raises OSError."""
        with closing(to):
            to.open()
            member = to.call("/maintenance/status")["header"]["member_id"]
        self.call("/maintenance/transfer-leadership", targetID=member)

    def seed(self, seed: int) -> data.DataSet:
        """Write the data set of a seed."""
        return data.write(self, seed)

    def differences(self, expected: data.DataSet) -> list[str]:
        """What of a data set is missing or different."""
        return data.differences(self, expected)

    def call(self, method: str, **body: Any) -> dict[str, Any]:
        """One gateway call, like `/kv/range`. Raises `EtcdError` for an answer that is no success, `OSError` for none at all."""
        return self._request("POST", self._gateway + method, json.dumps(body))

    def _request(self, verb: str, path: str, body: str | None) -> dict[str, Any]:
        if self._connection is None:
            raise ConnectionError(f"the client of {self._node} is not open")
        try:
            self._connection.request(verb, path, body)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()  # it is in the middle of an answer: the next request begins with a new one
            if isinstance(error, OSError):
                raise
            raise ConnectionError(f"{type(error).__name__}: {error}") from error
        return self._parse(response.status, text)

    def _parse(self, status: int, text: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise EtcdError(self._node, None, f"HTTP {status}, {cut(text.decode(errors='replace'), 80)!r}")
        if status != http.HTTPStatus.OK or "error" in answer:
            raise EtcdError(self._node, answer.get("code"), str(answer.get("message") or answer.get("error")))
        return answer


def url(address: str) -> str:
    """Where clients reach a member, as its role sets it up."""
    return f"https://{address}:2379"


def connect(urls: Mapping[str, str], credentials: Credentials | None, timeout: float = TIMEOUT) -> ClientFactory:
    """A factory of clients for members by name. `urls`: client URL of each. Raises `OSError` when certificates cannot be read."""
    context = None
    if credentials:
        context = ssl.create_default_context(cafile=credentials.ca)  # one for all: reading the files takes longer than a handshake
        context.load_cert_chain(credentials.cert, credentials.key)
    return lambda node: EtcdClient(node, urls[node], context, timeout)


def encode(text: str) -> str:
    """Text as the gateway wants bytes."""
    return b64encode(text.encode()).decode()


def decode(text: str) -> str:
    """Bytes of the gateway as text; what is no UTF-8 stays visible."""
    return b64decode(text).decode(errors="backslashreplace")


def end_of(prefix: str) -> str:
    """The end of the range of all keys with this prefix, for the gateway: its last byte plus one."""
    raw = prefix.encode()
    return b64encode(raw[:-1] + bytes([raw[-1] + 1])).decode()
