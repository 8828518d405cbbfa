# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node keeps for whoever comes next, in <root>/state.json: who holds the cluster, and the upgrade that is under way.

{"schema": 1, "fence": 7, "lease": null | {...}, "upgrade": null | {...}, "others": {component: {...}}}. `others`, when there are
any, are the last upgrades of other components of the system. `fence` is the number of the last lease that was granted here; it
goes down only when a lease is withdrawn. Whoever comes with another run or number than those of the lease is refused.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager, suppress
from typing import Any, Iterator

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import replace
from ansible_collections.nodewise.cluster.plugins.module_utils.host.lock import held, path_of
from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import timestamp

SCHEMA = 1  # of this file: it rises when an older version would misread it; a file without one is read as well
RESUMABLE = (
    None,
    "paused",
    "intervention_required",
    "refused",
)  # outcomes after which the same command goes on with what was recorded
OUTCOMES = {"held": "paused", "needs_human": "intervention_required"}  # as they were called before 0.2
STEPS = {"prove": "mixed_version_check", "repair": "recover"}
RECORDS = ("upgrade", "others")
PASSED = "another run was here since this one looked: run it again"


class StateError(Failure):
    """Why nothing may be changed, or why the state cannot be read; one or two lines."""


def path(root: str) -> str:
    """Return where the state of the system that lives in `root` is kept."""
    return os.path.join(root, "state.json")


def read(root: str) -> dict[str, Any]:
    """Return the state, {} when there is none; StateError when there is one that cannot be read: it is never taken for none."""
    try:
        with open(path(root), encoding="utf-8") as stream:
            state = json.load(stream)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StateError(f"{path(root)}: {error.strerror}") from None
    except ValueError:
        state = None
    schema = state.pop("schema", 0) if isinstance(state, dict) else 0
    if not isinstance(schema, int) or schema > SCHEMA:
        raise StateError(f"{path(root)} has schema {schema}, and this version reads up to {SCHEMA}: use a newer Nodewise")
    if not _whole(state):
        raise StateError(f"{path(root)} is not what was written there, so nobody knows who holds the cluster: restore or remove it")
    others = state.get("others")
    state = {**state, "upgrade": _today(state.get("upgrade"))} if "upgrade" in state else dict(state)
    return {**state, "others": {name: _today(one) for name, one in others.items()}} if others else state


def _today(record: Any) -> Any:
    """Return a record in today's words."""
    if not isinstance(record, dict):
        return record
    steps = [{**one, "step": STEPS.get(one["step"], one["step"])} for one in record.get("steps") or []]
    return {**record, "steps": steps, "outcome": OUTCOMES.get(str(record.get("outcome")), record.get("outcome"))}


def write(root: str, state: dict[str, Any]) -> None:
    """Write the state whole or not at all, and have the disk keep it; call it under the node's lock."""
    try:
        os.makedirs(root, mode=0o755, exist_ok=True)
        replace(path(root), json.dumps({"schema": SCHEMA, **state}, indent=1).encode())
    except OSError as error:
        raise StateError(f"{path(root)} could not be written: {error.strerror}") from None


def take(state: dict[str, Any], wanted: dict[str, Any], now: float) -> tuple[dict[str, Any] | None, str]:
    """Return the state with the lease that is `wanted` (run, who, controller, fence, ttl, over, upgrade), or None and why not."""
    lease, last = state.get("lease"), state.get("fence", 0)
    own = lease if lease and lease["run"] == wanted["run"] else None
    if lease and not own and lease["expires"] > now and lease["run"] not in (wanted.get("over") or []):
        return None, holder(lease)
    again = own or (lease is None and (state.get("upgrade") or {}).get("run") == wanted["run"])
    if wanted["fence"] < last or (wanted["fence"] == last and not again):
        return None, PASSED
    granted = {
        **{key: wanted[key] for key in ("run", "who", "controller", "ttl")},
        "taken_at": own["taken_at"] if own else timestamp(now),
        "expires": now + wanted["ttl"],
        "before": own["before"] if own else {key: state.get(key) for key in RECORDS},  # for a lease that is withdrawn
    }
    return {"fence": wanted["fence"], "lease": granted, **_records(state, wanted, now)}, ""


def keep(state: dict[str, Any], given: dict[str, Any], now: float) -> tuple[dict[str, Any] | None, str]:
    """Return the state with the lease renewed, also one that has expired and that nobody took; never to an earlier end."""
    if not _ours(state, given):
        return None, _other(state, given)
    lease = state["lease"]
    until = now + (given.get("ttl") or lease["ttl"]) + (given.get("seconds") or 0)
    return {**state, "lease": {**lease, "expires": max(lease["expires"], until)}}, ""


def release(state: dict[str, Any], given: dict[str, Any], _now: float) -> tuple[dict[str, Any] | None, str]:
    """Return the state without the lease, with how the upgrade ended; the number stays."""
    if not _ours(state, given):
        return None, _other(state, given)
    upgrade = state["upgrade"]
    if upgrade and upgrade["run"] == given["run"]:
        upgrade = {**upgrade, "outcome": given.get("outcome"), "reason": given.get("reason") or ""}
    return {**state, "lease": None, "upgrade": upgrade}, ""


def withdraw(state: dict[str, Any], given: dict[str, Any], _now: float) -> tuple[dict[str, Any] | None, str]:
    """Return the state as it was before the lease: of a run that did not get the cluster nothing stays."""
    if not _ours(state, given):
        return None, _other(state, given)
    return {"fence": state["fence"] - 1, "lease": None, **_without_none(state["lease"]["before"])}, ""


def break_(state: dict[str, Any], given: dict[str, Any], _now: float) -> tuple[dict[str, Any] | None, str]:
    """Return the state without the lease of exactly this run; the number rises, so that whatever it still tries is refused."""
    lease = state.get("lease")
    if not lease or lease["run"] != given["run"]:
        return None, holder(lease) if lease else "nobody holds it"
    return {**state, "fence": state["fence"] + 1, "lease": None}, ""


def change(root: str, kind: str, given: dict[str, Any], lock_s: float) -> dict[str, Any]:
    """Take, keep, release, withdraw or break a lease under the node's lock, waiting up to `wait_s` for one that stands in the way.

    Returns changed, granted, holder (the lease that stands in the way, or None), says (why not) and state (all of it).
    """
    until = time.monotonic() + (given.get("wait_s") or 0)
    while True:
        with held(path_of(root), lock_s, f"lease {kind} by {given['run']}"):
            state = read(root)
            after, says = CHANGES[kind](state, given, time.time())
            if after is not None:
                write(root, after)
                return {"changed": True, "granted": True, "holder": None, "says": "", "state": after}
        lease = state.get("lease")
        if not lease or time.monotonic() >= until:
            return {"changed": False, "granted": False, "holder": told(lease), "says": says, "state": state}
        time.sleep(0.1)


@contextmanager
def fenced(root: str, lock_s: float, what: str, lease: dict[str, Any] | None, version: str | None = None) -> Iterator[None]:
    """Hold the node's lock for a change, having asked whether `lease` (run, fence, ttl, step) may make it: StateError when not.

    A lease is renewed, and the change is kept as a step of the upgrade: when it began, when it ended, and how. {} is for changes
    outside of an upgrade, which wait until nobody holds the cluster; None is for those that change nothing and asks nobody.
    """
    with held(path_of(root), lock_s, what):
        if lease is None:
            yield
        elif not lease:
            _refuse_held(read(root))
            yield
        else:
            step = {"step": lease.get("step") or what.partition(" ")[0], "version": version}
            _begin(root, lease, step)
            try:
                yield
            except BaseException:
                with suppress(StateError):  # what went wrong first is what counts
                    _end(root, ok=False)
                raise
            _end(root, ok=True)


def holder(lease: dict[str, Any]) -> str:
    """Return who holds it, and until when by the node's clock, in one line."""
    return f"run {lease['run']} of {lease['who']} holds the cluster until {timestamp(lease['expires'])}"


def told(lease: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a lease as it is told to others: with the time that it expires at, without what it took the place of."""
    if not lease:
        return None
    return {**{key: value for key, value in lease.items() if key != "before"}, "expires_at": timestamp(lease["expires"])}


def _whole(state: Any) -> bool:
    if not isinstance(state, dict) or not isinstance(state.get("fence"), int) or not {"lease", "upgrade"} <= set(state):
        return False
    lease, upgrade = state["lease"], state["upgrade"]
    known = lease is None or (isinstance(lease, dict) and {"run", "who", "expires", "ttl", "before", "taken_at"} <= set(lease))
    return known and (upgrade is None or (isinstance(upgrade, dict) and {"run", "to", "kind", "steps", "outcome"} <= set(upgrade)))


def _records(state: dict[str, Any], wanted: dict[str, Any], now: float) -> dict[str, Any]:
    """The record of the current upgrade, and those of other components beside it: each can be taken back on its own."""
    last, others, given = state.get("upgrade"), dict(state.get("others") or {}), wanted.get("upgrade")
    if given and last and _component(last) != _component(given):
        others[_component(last)] = last
        last = others.pop(_component(given), None)
    return _without_none({"upgrade": _record(last, wanted, now), "others": others or None})


def _component(record: dict[str, Any]) -> str:
    return str(record.get("component") or "")


def _without_none(records: dict[str, Any]) -> dict[str, Any]:
    """The records as they are kept: there is always a current one, be it none; others only where there are any."""
    return {key: value for key, value in records.items() if key == "upgrade" or value}


def _record(before: dict[str, Any] | None, wanted: dict[str, Any], now: float) -> dict[str, Any] | None:
    """The record of the upgrade. One that did not end keeps what the first run wrote: by now the node may be another."""
    given = wanted.get("upgrade")
    if not given:
        return before
    fresh = {"run": wanted["run"], "outcome": None, "reason": ""}
    same = before and all(before.get(key) == given.get(key) for key in ("to", "kind", "wanted"))
    if before and same and before["outcome"] in RESUMABLE:
        return {**before, **fresh}
    return {**given, **fresh, "begun_at": timestamp(now), "steps": []}


def _ours(state: dict[str, Any], given: dict[str, Any]) -> bool:
    lease = state.get("lease")
    return lease is not None and (lease["run"], state["fence"]) == (given["run"], given["fence"])


def _other(state: dict[str, Any], given: dict[str, Any]) -> str:
    lease = state.get("lease")
    who = f"run {lease['run']} of {lease['who']} holds" if lease else "nobody holds"
    return f"fenced: {who} {os.uname().nodename} now (fence {state.get('fence', 0)}, ours was {given['fence']})"


def _refuse_held(state: dict[str, Any]) -> None:
    lease = state.get("lease")
    if lease and lease["expires"] > time.time():
        raise StateError(
            f"{holder(lease)}; nothing was changed.\n"
            f"Wait until it ends or, if it is dead, take the lease away: playbook unlock with -e nodewise_confirm={lease['run']}"
        )


def _of_upgrade(state: dict[str, Any]) -> bool:
    """Whether whoever holds the node makes the upgrade that is kept there, and not another change after it."""
    return bool(state["upgrade"] and state["lease"] and state["upgrade"]["run"] == state["lease"]["run"])


def _begin(root: str, lease: dict[str, Any], step: dict[str, Any]) -> None:
    state, says = keep(read(root), lease, time.time())
    if state is None:
        raise StateError(f"{says}; nothing was changed")
    if _of_upgrade(state):
        begun = {**step, "began": timestamp(), "ended": None, "ok": None}
        state["upgrade"] = {**state["upgrade"], "steps": [*state["upgrade"]["steps"], begun]}
    write(root, state)


def _end(root: str, *, ok: bool) -> None:
    """End the step that was begun: the last one, as the lock was held all the time."""
    state = read(root)
    if _of_upgrade(state):
        state["upgrade"]["steps"][-1].update(ended=timestamp(), ok=ok)
        write(root, state)


CHANGES = {"taken": take, "kept": keep, "released": release, "withdrawn": withdraw, "broken": break_}
