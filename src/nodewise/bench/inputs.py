# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the micro rows work on, made up and the same every time: clusters, a history, what scripts print.

A row whose input changes gets another name: its samples of before and after are of different work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import msgspec

from nodewise.model import Artifact, Cluster, Member, Observation, Operation, Release
from nodewise.simulation.checkers.context import Context
from nodewise.simulation.workloads import register
from nodewise.simulation.workloads.registry import Workload
from nodewise.smoke.suite import Script
from nodewise.smoke.verdict import Ended

SEED = 1
AT, STARTED, RESTARTED = "2026-01-01T00:00:00.000Z", "2025-12-01T08:00:00.000Z", "2026-01-01T00:10:00.000Z"
FINGERPRINT, LSN = "7cb56454079beac6", 83918848
CLIENTS, KEYS, NODES = 6, 30, 3  # of the load that a history is of
UNANSWERED = 0.001  # share of its writes that nobody acknowledged
LINES = 3000  # of a node's log
CASES = 1000  # in the output of a script


def names(count: int, prefix: str = "") -> list[str]:
    """Names of nodes."""
    return [f"{prefix}n{number}" for number in range(1, count + 1)]


def release(version: str) -> Release:
    """A release that nobody downloads."""
    return Release(version, [Artifact(f"https://releases.test/{version}.deb", "0" * 64, "deb", 10 << 20)])


def etcd(members: list[str], version: str) -> Observation:
    """A healthy etcd cluster, led by its second member."""
    leader = members[1]
    cluster = Cluster("c1", "3.4", leader, len(members) // 2 + 1, FINGERPRINT, 9, [])
    seen = [
        Member(name, version, "leader" if name == leader else "follower", True, 0, FINGERPRINT, STARTED, []) for name in members
    ]
    return Observation("etcd", AT, cluster, seen)


def postgresql(members: list[str], versions: list[str]) -> dict[str, Any]:
    """A healthy PostgreSQL cluster as its info module answers, led by its last member; one on another version was restarted."""
    primary, replicas = members[-1], members[:-1]
    cluster = {
        "id": "7712163649775749244",
        "version": versions[-1].partition(".")[0],
        "leader": primary,
        "quorum": 1,
        "fingerprint": FINGERPRINT,
        "fingerprint_at": LSN,
        "alarms": [],
        "details": _details(primary, replicas),
    }
    seen = [
        _member(name, "primary" if name == primary else "replica", version, restarted=version != versions[-1])
        for name, version in zip(members, versions, strict=True)
    ]
    return {"system": "postgresql", "at": AT, "cluster": cluster, "members": seen}


def _details(primary: str, replicas: list[str]) -> dict[str, Any]:
    return {
        "timeline": 1,
        "timelines": [1],
        "paused": False,
        "paused_by": None,
        "scheduled": [],
        "synchronous": False,
        "standbys": {name: {"state": "streaming", "sync_state": "async", "replay_lsn": LSN, "by": primary} for name in replicas},
        "slots": [
            {"name": name, "type": "physical", "active": True, "wal_status": "reserved", "member": name} for name in replicas
        ],
        "archiver": {"mode": "on", "configured": True, "failing": False, "last_archived_at": AT, "last_failed_at": None},
        "prepared": 0,
        "prepared_transactions": [],
        "oldest_transaction_s": 0.0,
        "long_transactions": [],
        "data_checksums": True,
        "checksum_failures": 0,
        "store": {"ttl_s": 20, "unseen": []},
        "standby_cluster": False,
        "cascading": [],
    }


def _member(name: str, role: str, version: str, *, restarted: bool) -> dict[str, Any]:
    return {
        "name": name,
        "version": version,
        "role": role,
        "serving": True,
        "lag": 0,
        "fingerprint": FINGERPRINT,
        "started_at": RESTARTED if restarted else STARTED,
        "errors": [],
        "details": {
            "postgresql": version,
            "patroni": "3.3.11",
            "state": "running",
            "timeline": 1,
            "replay_lsn": LSN,
            "replay_paused": False,
            "checksum_failures": 0,
            "tags": {},
            "unfinished": False,
            "collations": [],
            "pending_restart": False,
            "sessions": 0,
            "store_seen_s": 0.2,
            "rest_denied": "",
            "candidate": True,
        },
    }


def history(count: int, workload: Workload = register) -> list[Operation]:
    """A load of so many operations on a correct store, and final reads through every node; some writes nobody acknowledged."""
    choose = Random(SEED)
    todo = [workload.operations(SEED, process, CLIENTS, KEYS, "/nodewise/bench/") for process in range(CLIENTS)]
    store: dict[str, Any] = {}
    found: list[Operation] = []
    last: dict[int, Operation] = {}
    for number in range(count):
        asked = todo[number % CLIENTS].send(last.get(number % CLIENTS))
        done, there = _performed(store, asked)
        answered = asked.f == "read" or choose.random() > UNANSWERED
        found += _both(asked, there, len(found), "info" if done and not answered else "ok" if done else "fail")
        last[number % CLIENTS] = found[-1]
    for node in range(NODES):
        for key, value in store.items():
            there = str(value) if isinstance(value, int) else value
            found += _both(Operation(CLIENTS + node, "invoke", "read", key, None, 0, final=True), there, len(found), "ok")
    return found


def context() -> Context:
    """What a judge may know beside a history: equal members, and logs of nodes on which nothing happened."""
    log = "\n".join(f"Jan 01 00:00:{number % 60:02} n1 serverd[411]: applied index {number} within 2 ms" for number in range(LINES))
    return Context(fingerprints=dict.fromkeys(names(NODES), FINGERPRINT), logs=dict.fromkeys(names(NODES), log))


def at_once(count: int, clients: int, *, broken: bool = False) -> list[Operation]:
    """What so many clients do to one register, all at once: each operation happens at any moment between its two lines.

    Broken: one read near the end found what nobody wrote.
    """
    choose, found, there = Random(SEED), list[Operation](), None
    waiting: dict[int, Operation] = {}  # invoked
    done: dict[int, Operation] = {}  # happened, and nobody knows yet
    while len(found) < 2 * count:
        process = choose.randrange(clients)
        if process in done:
            found.append(msgspec.structs.replace(done.pop(process), time=len(found)))
        elif asked := waiting.pop(process, None):
            there = there if asked.f == "read" else asked.value
            done[process] = msgspec.structs.replace(asked, type="ok", value=there)
        else:
            f, value = choose.choice((("read", None), ("write", str(len(found)))))
            waiting[process] = Operation(process, "invoke", f, "k0", value, len(found))
            found.append(waiting[process])
    if broken:
        next(one for one in found[-count // 20 :] if (one.type, one.f) == ("ok", "read")).value = "nobody's"
    return found


def added(count: int) -> Iterator[Operation]:
    """So many elements that clients add, one in a hundred of which is read."""
    for number in range(count):
        process = number % CLIENTS
        f, value = ("read", None) if number % 100 == CLIENTS else ("add", f"{process}.{number}")
        key = f"/nodewise/bench/a{process}.{number - CLIENTS if f == 'read' else number}"
        asked = Operation(process, "invoke", f, key, value, 2 * number, node="n1")
        yield asked
        yield msgspec.structs.replace(asked, type="ok", value=value or f"{process}.{number - CLIENTS}", time=2 * number + 1)


def _performed(store: dict[str, Any], asked: Operation) -> tuple[bool, Any]:
    """Whether a store does what it is asked for, and what is there then: the value of a register, a list, or all accounts."""
    key, value = asked.key, asked.value
    if asked.f == "balances":
        return True, {name: there for name, there in store.items() if isinstance(there, int)}
    if asked.f == "deposit":
        store |= value
    elif asked.f == "transfer":
        if store[value["from"]] < value["amount"]:
            return False, None
        store[value["from"]] -= value["amount"]
        store[value["to"]] += value["amount"]
        store[key] = "booked"
    elif asked.f in ("acquire", "release", "guarded", "idle"):
        return _locked(store, asked)
    elif asked.f == "cas" and store.get(key) != asked.old:
        return False, None
    elif asked.f != "read":
        store[key] = f"{store[key]},{value}" if asked.f == "append" and key in store else value
    return True, store.get(key)


def _locked(store: dict[str, Any], asked: Operation) -> tuple[bool, Any]:
    """The same of a lock: a key that is there while somebody holds it, and whose token is counted."""
    if asked.f == "acquire":
        if asked.key in store:
            return False, None
        store["tokens"] = store.get("tokens", 0) + 1
        store[asked.key] = store["tokens"]
    elif asked.f == "release":
        store.pop(asked.key, None)
    elif asked.f == "guarded":
        store[asked.key] = asked.value
    return True, store["tokens"]


def _both(asked: Operation, there: Any, at: int, ended: str) -> Iterator[Operation]:
    """The two lines of an operation: 5 ms from one to the next, 2 ms until it ends."""
    begun = msgspec.structs.replace(asked, node=f"n{asked.process % NODES + 1}", time=at * 2_500_000)
    yield begun
    value = there if asked.f in ("read", "balances", "acquire") else asked.value
    yield msgspec.structs.replace(begun, type=ended, value=value, time=begun.time + 2_000_000)


def failed(number: int) -> bool:
    """Whether a case is one of those that failed."""
    return number % 10 == 5  # noqa: PLR2004


def tap() -> str:
    """TAP: every tenth case failed, with a YAML block; every twentieth has a subtest."""
    lines = ["TAP version 14", f"1..{CASES}"]
    for number in range(1, CASES + 1):
        if number % 20 == 0:
            lines += ["    1..2", "    ok 1 - reads", "    ok 2 - writes"]
        lines.append(f"{'not ok' if failed(number) else 'ok'} {number} - case {number} of the store")
        lines += ["  ---", "  message: 'expected 1, found 2'", "  ..."] if failed(number) else []
    return "\n".join(lines)


def junit() -> str:
    """JUnit XML: every tenth case failed."""
    failure = '<failure message="expected 1, found 2"/>'
    begin = '<testcase classname="store" time="0.012" name="case'
    cases = [f'{begin} {number}">{failure if failed(number) else ""}</testcase>' for number in range(1, CASES + 1)]
    return f'<?xml version="1.0"?><testsuites><testsuite name="store">{"".join(cases)}</testsuite></testsuites>'


def jsonl() -> str:
    """JSON lines: every tenth case failed."""
    lines = [
        {"name": f"case {number}", "status": "fail", "reason": "expected 1, found 2", "seconds": 0.012}
        if failed(number)
        else {"name": f"case {number}", "status": "pass", "seconds": 0.012}
        for number in range(1, CASES + 1)
    ]
    return "\n".join(map(json.dumps, lines))


OUTPUT: dict[str, Callable[[], str]] = {"tap": tap, "junit": junit, "jsonl": jsonl}  # one for each reader of nodewise.smoke


def ended(count: int) -> list[tuple[Ended, Script]]:
    """Scripts that ended: passed and failed by their exit code, with a few cases, with output that is no protocol, in a timeout."""
    log = "\n".join(f"{number:03} reading /etc/store/{number}.conf" for number in range(40))
    kinds: list[dict[str, Any]] = [
        {"code": 0},
        {"code": 1, "stdout": log, "stderr": "error: no answer on port 5432\n"},
        {"code": 0, "stdout": "1..3\nok 1 - a\nok 2 - b\nok 3 - c # SKIP not here\n"},
        {"code": 0, "stdout": log},
        {"timeout": True, "ended_by": "SIGTERM", "stdout": log},
    ]
    return [
        (Ended(script=name, seconds=0.1, **kinds[number % len(kinds)]), Script(name=name))
        for number, name in enumerate(names(count, "script-"))
    ]
