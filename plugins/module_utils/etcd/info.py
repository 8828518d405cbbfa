# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an etcd cluster says about itself: asking every member at once, and putting the answers together.

`ask` and `Observer` talk; `assemble` and `compare` only judge what was answered, so that tests need no cluster.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import Member, base64_text, members_of
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import Etcdctl, EtcdError
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.view import assemble, compare
from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import settle

# A linearizable read goes through the leader and a majority: it succeeds where the member really serves. /health would
# not do: up to 3.5 it proposes an entry to the raft log, and an observation writes nothing.
_READ = {"key": base64_text("nodewise"), "keys_only": True, "limit": 1}
_QUESTIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("status", "maintenance/status", {}),
    ("members", "cluster/member/list", {}),
    ("alarms", "maintenance/alarm", {"action": "GET"}),
    ("read", "kv/range", _READ),
)
_TRIES = 8
PAUSE = (
    0.5  # seconds between two looks where programs ask: each logs in anew, and a member takes a tenth of a second of CPU for that
)


def observe(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what etcd_info returns, from its module parameters."""
    observer = Observer(parameters)
    try:
        deadline = parameters["deadline"] if parameters["settled"] else 0
        observation, lacking, looks, seconds = settle(observer.look, observer.complete, parameters["settled"], deadline)
    finally:
        observer.close()
    return {"observation": observation, "missing": lacking, "polls": looks, "seconds": seconds}


def observe_after(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what a module that has changed something adds to its result: the observation, where `settled` was given."""
    return {} if parameters["settled"] is None else observe(parameters)


def ask(member: Member) -> dict[str, Any]:
    """Return the member's raw answers as a dict, `errors` included; what was not answered is not in it."""
    answers: dict[str, Any] = {"errors": []}
    try:
        answers["version"] = member.version()
    except EtcdError as error:
        answers["errors"].append(str(error))
        return answers
    for name, path, body in _QUESTIONS:
        try:
            answers[name] = member.call(path, body)
        except EtcdError as error:
            answers["errors"].append(f"{name}: {error}")
    return answers


class Observer:
    """Observes one cluster: the expected members, each over a connection of its own."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.members = members_of(parameters)
        self.etcdctl = Etcdctl.of(parameters) if parameters["etcdctl"] else None
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(self.members)))
        self._answers: dict[str, dict[str, Any]] = {}

    def look(self) -> dict[str, Any]:
        """Ask all members; return the observation without fingerprints and start times."""
        if not all(member.cheap for member in self.members):
            time.sleep(PAUSE)
        answered = self._pool.map(ask, self.members)
        self._answers = {member.name: answers for member, answers in zip(self.members, answered)}
        return assemble(self._answers)

    def complete(self) -> dict[str, Any]:
        """Return the last look with fingerprints, compared at one revision, and when each process started."""
        seen = [member for member in self.members if "version" in self._answers[member.name]]
        metrics = self._pool.map(_started, seen)
        found = self._fingerprints(0)
        # A member's connection serves one thread at a time: the start times first, then looking again.
        for member, started in zip(seen, metrics):
            self._answers[member.name]["started"] = started
        for attempt in range(1, _TRIES):
            if "error" not in found and len(set(found["members"].values())) == 1:
                break
            # Compactions reach members some milliseconds apart, and with them the hashes: look again before it is a difference.
            time.sleep(0.01 * attempt)
            found = self._fingerprints(attempt)
        return compare(assemble(self._answers), found)

    def close(self) -> None:
        """Drop all connections."""
        self._pool.shutdown(wait=False)
        for member in self.members:
            member.close()

    def _fingerprints(self, attempt: int) -> dict[str, Any]:
        """Return {"revision", "members": {name: "hash@compact revision"}, "error"} of the members that answered."""
        members = [member for member in self.members if "status" in self._answers[member.name]]
        if self.etcdctl is None or not members:
            return {"error": "no etcdctl was given to compare fingerprints with" if members else "no member answered"}
        urls, etcdctl = {member.url: member.name for member in members}, self.etcdctl
        try:
            known = [self._answers[member.name]["status"] for member in members]
            answers = known if attempt == 0 else list(self._pool.map(_status, members))
            return _hash_once(etcdctl, urls, min(int(answer["header"]["revision"]) for answer in answers))
        except EtcdError as error:
            return {"error": str(error)}


def _hash_once(etcdctl: Etcdctl, urls: dict[str, str], revision: int) -> dict[str, Any]:
    rows, error = etcdctl.hashkv(sorted(urls), revision)
    # From 3.5 on a member that compacted at this revision answers with the hash that it made then, of another range than
    # what a member hashes that has restarted since: that says nothing about the data.
    if "compacted" in error or len({row[1] for row in rows.values()}) > 1:
        return _hash_at_head(etcdctl, urls)
    found = {"revision": revision, "members": _named(urls, rows)}
    return dict(found, error=error) if error else found


def _hash_at_head(etcdctl: Etcdctl, urls: dict[str, str]) -> dict[str, Any]:
    """Hash where each member stands.

    With their revisions equal this is one revision too: a cluster that is idle and compacted at its head has no other.
    """
    rows, error = etcdctl.hashkv(sorted(urls), 0)
    revisions = {row[2] for row in rows.values()}
    if error or len(revisions) != 1:
        return {"error": error or "the members moved on while they were hashed: no revision to compare at"}
    return {"revision": revisions.pop(), "members": _named(urls, rows)}


def _named(urls: dict[str, str], rows: dict[str, tuple[int, int, int]]) -> dict[str, str]:
    return {urls[url]: f"{row[0]}@{row[1]}" for url, row in rows.items()}


def _status(member: Member) -> dict[str, Any]:
    return member.call("maintenance/status")


def _started(member: Member) -> float | None:
    try:
        for line in member.text("/metrics").splitlines():
            if line.startswith("process_start_time_seconds "):
                return float(line.split()[1])
    except (EtcdError, ValueError):
        return None
    return None
