# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restart, changed settings, a reboot: the roll of an upgrade with a version that stays, and who waits for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from nodewise.errors import Refused
from nodewise.model import STAYING, Change, Declaration, Kind, Member, Observations, Plan, Step
from nodewise.record.commands import command
from nodewise.upgrade.memory import FINISHED
from nodewise.upgrade.preflight import brought

PUT_BACK = "nodewise.cluster.node.put_back"  # verbs of any system, in roles/node
REBOOT = "nodewise.cluster.node.reboot"
REACHED = {"restart": "was restarted", "configure": "has its settings and runs with them", "reboot": "was rebooted"}


def declared_for(declared: Declaration, kind: Kind) -> Declaration:
    """What a system declares, for a run of a kind: where the version stays, its steps around a restart, and no way back.

    Raises Refused for a part of a system that no step restarts.
    """
    if kind not in STAYING:
        return declared
    restart = next((step for step in declared.steps if step.name == declared.restarts), None)
    if restart is None:
        raise Refused(f"no step restarts a member: expected one that is called {declared.restarts} (restarts: in meta/upgrade.yml)")
    before = {
        "configure": [Step("configure", "configure", undo=PUT_BACK)],
        "reboot": [Step("reboot", REBOOT, undo=restart.undo)],
    }.get(kind, [])
    at, end = declared.steps.index(restart), declared.finalize
    return msgspec.structs.replace(
        declared,
        ready=[name for name in declared.ready if name not in declared.clears],
        steps=[*declared.steps[:at], *before, *declared.steps[at:]],
        finalize=msgspec.structs.replace(end, after=[*end.after, *(name for name in declared.clears if name not in end.after)]),
        before_first=[],
        after_last=[],
        point_of_no_return=None,
    )


def one_version(observations: Observations, cluster: str) -> str:
    """The version that all members run. Raises Refused for several: then an upgrade is under way."""
    runs = {member.name: member.version for seen in observations.values() for member in seen.members if member.version}
    if len(set(runs.values())) == 1:
        return next(iter(runs.values()))
    said = ", ".join(f"{name} {version}" for name, version in sorted(runs.items())) or "none is known"
    on = command("upgrade", f"-e nodewise_cluster={cluster} -e nodewise_to=VERSION")
    raise Refused(f"the members run several versions ({said}), expected one. Nothing was changed\nFinish the upgrade first: {on}")


def of(
    kind: Kind,
    declared: Declaration,
    observations: Observations,
    nodes: Mapping[str, Any],
    records: Mapping[str, Any],
    down: Iterable[str] = (),
    *,
    patch: str = "",
) -> Change:
    """What is to be changed, and who waits for it: by what is observed now, and what the nodes remember of one that did not end.

    `nodes` is what each node says of itself (node_info), with `files` where its settings were tried; who is `down` is brought back
    first. Raises Refused where it is not
    known whether a member was reached.
    """
    seen = {member.name: member for one in observations.values() for member in one.members}
    now = {name: _now(kind, seen.get(name), node) for name, node in nodes.items()}
    files = {name: node.get("files") or {} for name, node in nodes.items()} if kind == "configure" else {}
    wanted = {name: str(one.get("wanted") or "") for name, one in files.items()}
    unknown = [name for name, mark in now.items() if mark is None and name in seen and seen[name].serving]
    if unknown:
        raise Refused(f"{', '.join(unknown)}: {UNKNOWN[kind]}. Nothing was changed")
    open_ = {name: one for name, one in records.items() if one and one["kind"] == kind and one["outcome"] not in FINISHED}
    open_ = {name: one for name, one in open_.items() if (one.get("wanted") or "") == wanted.get(name, "")}
    was = {name: str(open_[name].get("was") or "") if name in open_ else str(mark or "") for name, mark in now.items()}
    waits = {name for name, mark in now.items() if mark and (kind == "configure" or mark == was[name])}
    waits |= set(down) if kind == "configure" else set()  # which are brought back with their former files
    return Change(
        waiting=sorted(waits),
        was={} if kind == "configure" else was,
        wanted=wanted,
        shows={name: lines for name, node in nodes.items() if (lines := _shows(kind, node))},
        step=declared.restarts,
        patch=patch if kind == "reboot" else "",
        since=min((str(one["begun_at"]) for one in open_.values()), default=""),
    )


UNKNOWN = {
    "restart": "when its process began is not known, so nobody could tell that it was restarted",
    "configure": "what its files are, and would be, is not known: the role's configure writes none by node_files",
    "reboot": "when its machine began is not known, so nobody could tell that it was rebooted",
}


def _now(kind: Kind, member: Member | None, node: Mapping[str, Any]) -> str | None:
    """What tells a member that waits from one that was reached: "" for one that waits for nothing, None where it is unknown."""
    if kind == "reboot":
        return node.get("boot")
    if kind == "configure":
        return None if node.get("files") is None else "differs" if _shows(kind, node) else ""
    pid = (node.get("unit") or {}).get("pid")
    return (member and member.started_at) or (f"process {pid} of {node.get('boot')}" if pid else None)


def _shows(kind: Kind, node: Mapping[str, Any]) -> list[str]:
    """What becomes different on a node, beside what a restart of its process would bring up."""
    files = (node.get("files") or {}).get("shows") or [] if kind == "configure" else []
    return [*files, *(brought(one) for one in (node.get("restart") or {}).get("differences") or [])]


def undone_first(verbs: Iterable[str]) -> list[str]:
    """Verbs that take steps back, each once: a process begins again with the files that were put back."""
    return sorted(dict.fromkeys(verbs), key=lambda verb: verb != PUT_BACK)


def reached(plan: Plan) -> str:
    """What is so when a plan was carried out."""
    return f"every member of {plan.cluster} {REACHED[plan.kind]}" if plan.change else f"every member runs {plan.to}"
