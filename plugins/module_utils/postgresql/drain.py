# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taking a replica out of use before it is stopped, and putting it back with the tags that it had.

What was there is kept in the file with Patroni's tags itself, under a key that Patroni does not read: both change in one rename.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import write_all
from ansible_collections.nodewise.cluster.plugins.module_utils.host.settings import Parser, SettingsError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import Access, PostgresqlError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.patroni import (
    SYNCHRONOUS,
    Patroni,
    member_of,
    tags_of,
    wait,
)
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.sentinel import read, write
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.session import Sql, superuser
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.sessions import empty, terminate, told

HEADER = "# Written by Nodewise while this member is out of service. What was here comes back with it: change nothing.\n"
BEFORE = "nodewise_before"
TEXT = "nodewise_before_text"  # to the letter; null where there was no file
MARK = "nodewise_unfinished"  # as long as it is among the tags, the node is in the middle of a batch of ours
OUT = {"nofailover": True, "noloadbalance": True, "nosync": True, MARK: True}
UNAVAILABLE = 503


class Tags:
    """The file with the tags of this node's Patroni, as its owner writes it; while the node is out, as we do: JSON is YAML."""

    def __init__(self, path: str, parser: Parser) -> None:
        self.path = path
        self._content = self._read()
        self.held = self._parsed(parser)

    @property
    def ours(self) -> bool:
        """Whether the node is taken out."""
        return bool((self.held.get("tags") or {}).get(MARK))

    def taken_out(self) -> dict[str, Any]:
        """Return what the file says of a node that is out: what it said before is kept, and never taken from what we wrote."""
        before = self.held[BEFORE] if self.ours else self.held
        text = self.held.get(TEXT) if self.ours else self._content
        return {"tags": {**(before.get("tags") or {}), **OUT}, BEFORE: before, TEXT: text}

    def as_before(self) -> dict[str, Any]:
        """Return what it said before."""
        return dict(self.held[BEFORE]) if self.ours else self.held

    def take_out(self) -> bool:
        """Have it say that the node is out; return whether that is a change."""
        wanted = self.taken_out()
        if wanted == self.held:
            return False
        self._write(HEADER + json.dumps(wanted, indent=1) + "\n")
        self.held = wanted
        return True

    def put_back(self) -> bool:
        """Have the file be what it was before, to the letter; return whether that is a change."""
        if not self.ours:
            return False
        before, text = self.as_before(), self.held.get(TEXT)
        if text is None and not before:
            os.unlink(self.path)
        else:
            self._write(json.dumps(before, indent=1) + "\n" if text is None else text)
        self.held, self._content = before, text
        return True

    def _write(self, content: str) -> None:
        """Write it whole, readable as it was."""
        write_all([], {self.path: {"content": content}})

    def _read(self) -> str | None:
        try:
            with open(self.path, encoding="utf-8") as stream:
                return stream.read()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise PostgresqlError(f"{self.path}: {error}. Nothing was changed") from None

    def _parsed(self, parser: Parser) -> dict[str, Any]:
        if self._content is None:
            return {}
        try:
            held = parser.fields(self.path, self._content.encode())
        except SettingsError as error:
            raise PostgresqlError(f"{error}. Nothing was changed") from None
        if not isinstance(held.get("tags") or {}, dict):
            raise PostgresqlError(f"{self.path}: expected tags by name, found {type(held['tags']).__name__}. Nothing was changed")
        if (held.get("tags") or {}).get(MARK) and not isinstance(held.get(BEFORE), dict):
            raise PostgresqlError(
                f"{self.path} says {MARK} and not what was before ({BEFORE}): write the tags that are meant there"
            )
        return held


def drain(parameters: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Take the node's member out of use: tags that Patroni was seen to have, no sessions of clients, a checkpoint."""
    began = time.monotonic()
    access, own = Access(parameters), parameters["member"]
    here, tags = access.member(own), Tags(parameters["tags_file"], access.parser)
    result: dict[str, Any] = {"changed": not tags.ours, "idle": [], "terminated": []}
    with superuser(access, here.port) as sql:
        if not sql("select to_json(pg_is_in_recovery())"):
            raise PostgresqlError(f"{own} is the primary, which is never taken out of use; nothing was changed: hand over first")
        if not dry:
            changed = tags.take_out()
            _have_tags(access, own, out=True, until=began + parameters["deadline"])
            result["idle"], result["terminated"] = _without_sessions(sql, own, parameters)
            sql("checkpoint", parameters["deadline"])  # what it does not write now it writes when it stops
            result["changed"] = changed or bool(result["idle"] or result["terminated"])
    return {**result, "tags": tags.taken_out()["tags"], "seconds": round(time.monotonic() - began, 3)}


def rejoin(parameters: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Put it back: a row that is written through the primary is read here, then the tags are what they were."""
    began = time.monotonic()
    access, own = Access(parameters), parameters["member"]
    tags, until = Tags(parameters["tags_file"], access.parser), began + parameters["deadline"]
    row = None
    if not dry:
        row = write(access, own, parameters["run"], until)
        read(access, access.member(own), row, until)
    result: dict[str, Any] = {"changed": tags.ours, "tags": tags.as_before().get("tags") or {}}
    if not dry:
        tags.put_back()
        _have_tags(access, own, out=False, until=until)
    sentinel = {"id": row.id, "primary": row.primary} if row else None
    return {**result, "sentinel": sentinel, "seconds": round(time.monotonic() - began, 3)}


def lacking(status: dict[str, Any], listed: dict[str, Any], code: int, *, out: bool) -> str:
    """Return what Patroni does not show yet of a member that is taken out, or is not any more; nothing when it shows all of it.

    `status`: what the member says of itself; `listed`: what `/cluster` has of it; `code`: how `/replica` is answered.
    """
    for where, tags in (("the member", tags_of(status)), ("/cluster", tags_of(listed))):
        if out and not OUT.items() <= tags.items():
            return f"{where} has the tags {json.dumps(tags)}, expected {json.dumps(OUT)} among them"
        if not out and MARK in tags:
            return f"{where} still has the tag {MARK}"
    if out and listed.get("role") in SYNCHRONOUS:
        return "it is still a synchronous standby, so writers would wait for it"
    if out and code != UNAVAILABLE:
        return f"/replica is answered {code}, expected {UNAVAILABLE}"
    return ""


def _have_tags(access: Access, own: str, *, out: bool, until: float) -> None:
    """Have Patroni read its tags, and wait until it shows them."""
    patroni = Patroni(access, access.member(own))
    asked = False

    def look() -> str:
        nonlocal asked
        left = lacking(patroni.status(), member_of(patroni.cluster(), own), patroni.answers("/replica"), out=out)
        if left and not asked:
            patroni.reload()
            asked = True
        return left

    if left := wait(look, until):
        raise PostgresqlError(f"{own}: Patroni did not take the tags over in time: {left}")


def _without_sessions(sql: Sql, own: str, parameters: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the sessions that were ended while they did nothing, and those that were cut off."""
    idle, busy = empty(sql, parameters["drain_s"])
    if busy and not parameters["terminate"]:
        raise PostgresqlError(
            f"{own} still has sessions after {parameters['drain_s']:g} s: {told(busy)}. It is out of service and still running.\n"
            "Let them end, or allow cutting them off: -e nodewise_drain_terminate=replicas"
        )
    return idle, terminate(sql, busy)
