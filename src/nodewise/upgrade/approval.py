# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator approves of a plan, what drifted from it, and until when it may be carried out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from nodewise.errors import Refused
from nodewise.gates.judgement import evidence
from nodewise.model import Plan

CLOCK = re.compile(r"\d{1,2}:\d{2}")  # a time that a clock shows
# What few plans have: where it is not there, a plan's hash is what it was before there was such a thing.
OPTIONAL = ("before_first", "after_last", "lacks", "change")
UNCOVERED = ("batches", "recover", "gaps", "hash")  # of a plan: what changes between a run and its resumption


def covered(plan: Plan) -> dict[str, Any]:
    """What an operator approves of a plan."""
    fields = msgspec.to_builtins(plan)
    # What is staged for going back is what runs, from wherever it can be had today.
    fields["hops"] = [{key: value for key, value in hop.items() if key != "back"} for hop in fields["hops"]]
    # Who was reached already, and what each node shows of the rest, is another thing when a run is resumed.
    fields["change"] = {key: fields["change"].get(key) for key in ("wanted", "patch")} if plan.change else None
    absent = [key for key in OPTIONAL if not fields[key]]
    return {key: value for key, value in fields.items() if key not in (*UNCOVERED, *absent)}


def digest(plan: Plan) -> str:
    """The first 12 hex digits of a SHA-256 over what is approved: not the order, not the leader."""
    return hashlib.sha256(msgspec.json.encode(covered(plan), order="sorted")).hexdigest()[:12]


def drift(approved: Plan, now: Plan) -> list[str]:
    """What differs between a plan that was approved and the one that the cluster asks for now, a line each."""
    before, after = covered(approved), covered(now)
    keys = dict.fromkeys([*before, *after])
    return [line for key in keys for line in _differences(key, before.get(key), after.get(key))]


def _differences(path: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            yield from _differences(f"{path}: {key}", before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True), 1):
            yield from _differences(f"{path} {number}", old, new)
    elif before != after:
        yield f"{path}: was {evidence(before, 60)}, is {evidence(after, 60)}"


def window(start: str, end: str, now: datetime) -> tuple[datetime | None, datetime | None]:
    """When a change window opens (None: it is open) and when it closes (None: never).

    Each is `HH:MM` by the controller's clock, else ISO 8601, or empty. An end of `HH:MM` is the next one; a start of `HH:MM` is the
    last one before the end, or today's. `now` is aware; a time without an offset is of the same zone. Raises Refused for what
    is neither, for a window that is over, and for one that ends before it begins.
    """
    closes = _at(end, "nodewise_window_end", now) if end else None
    if closes and CLOCK.fullmatch(end):
        closes = closes if closes > now else closes + timedelta(days=1)
    if closes and closes <= now:
        raise Refused(f"nodewise_window_end is {closes.isoformat(timespec='minutes')}, which has passed; nothing was started")
    opens = _at(start, "nodewise_window_start", closes or now) if start else None
    if opens and closes and CLOCK.fullmatch(start):
        opens = opens if opens < closes else opens - timedelta(days=1)
    if opens and closes and opens >= closes:
        raise Refused(f"nodewise_window_start ({start}) is not before nodewise_window_end ({end})")
    return (opens if opens and opens > now else None), closes


def _at(text: str, name: str, day: datetime) -> datetime:
    """A time as an operator gives it; a clock's time is of this day."""
    try:
        if CLOCK.fullmatch(text):
            clock = datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 the zone is that of `day`
            return day.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"{name} is {text!r}; expected a time such as 22:30 or 2026-01-31T22:30+01:00") from None
    return at if at.tzinfo else at.replace(tzinfo=day.tzinfo)


def same_user(me: str, began: Iterable[str | None]) -> str:
    """Why a user may not approve what has to be approved by another one than began it; nothing where there is another.

    Each is user@host, as `lease.who` says it; nobody in `began` is me, and None is somebody whom nobody knows.
    """
    others, user = list(began), me.partition("@")[0]
    if None in others:
        return "who began this upgrade is unknown, so whether another user approves it is unknown, too (nodewise_approvers is 2)"
    if all(str(one).partition("@")[0] == user for one in others):
        return f"{user} began this upgrade: another user has to run it with the approval (nodewise_approvers is 2)"
    return ""


def approved(word: str, digest: str) -> bool:
    """Whether what an operator gave as nodewise_approve is meant for this plan."""
    return word in ("any", digest)
