# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decisions of a restore: whether it may begin, whether every node is done with a part of it, and what came of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    NodewiseError,
    Refused,
    backups,
    msgspec,
    plain,
    plan,
    sources,
)

# What clients have to know where everything went back.
AFTER = {
    "revisions": "Revisions went back: clients that watch, or that remember revisions, have to be started again.",
    "bytes of the log": "Rows went back: clients that remember what they read, and whoever consumes the log, have to begin again.",
}
AGAIN = "The same command again begins anew: all is stopped first, and no data is deleted"


class ActionModule(EngineAction):
    """Decide, judge or tell; nothing is changed on any node."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        states = (self.decided, self.judged, self.failed, self.told)
        return {state.__name__: state for state in states}[args["state"]](args, task_vars)

    def decided(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Set the facts nodewise_restore and nodewise_release, or say what is in the way and what would be lost."""
        about = plain(task_vars["nodewise_run"])
        if not args["backup"]:
            raise Refused("no backup was given; say which: -e nodewise_backup=runs/RUN/backup/FILE")
        backup = backups.find(Path(args["backup"]))
        members = backups.group_of(backup, about)
        nodes = {name: plain(task_vars["hostvars"][name].get("nodewise_node")) for name in members}
        backups.refuse_unready(backup, nodes)
        version = args["to"] or backup.version
        backups.refuse_older(backup, version)
        lost = backups.lost(backup, plain(task_vars.get("nodewise_observation") or {}), members)
        if args["confirm"] != about["cluster"]:
            raise Refused(
                f"this takes {about['cluster']} ({', '.join(members)}) back to the backup of {backup.run}, with {version}.\n"
                f"Lost is {lost}. Nothing was touched. To do it: -e nodewise_confirm={about['cluster']}"
            )
        stage = any(version not in (node["staged"] or []) for node in nodes.values())
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        fact = {**msgspec.to_builtins(backup), "members": members, "version": version, "lost": lost, "stage": stage, "stamp": stamp}
        release = self.release(args, version, nodes, task_vars) if stage else {"version": version}
        return {"ansible_facts": {"nodewise_restore": fact, "nodewise_release": release}}

    def release(self, args: dict[str, Any], version: str, nodes: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The release, with where it comes from."""
        rules = self.rules(task_vars, args["releases"])
        return dict(msgspec.to_builtins(sources.resolve(rules, version, {}, plan.architecture(nodes), nodes)))

    def judged(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Fail unless the variable `result` of every member says that it is done, with how to go on."""
        undone = {}
        for name in plain(task_vars["nodewise_restore"]["members"]):
            result = plain(task_vars["hostvars"][name].get(args["result"]) or {})
            if result.get("failed") or result.get("unreachable") or not result or result.get("skipped"):
                undone[name] = str(result.get("msg") or "no answer").splitlines()[0]
        if undone:
            told = "; ".join(f"{name}: {why}" for name, why in sorted(undone.items()))
            raise NodewiseError(f"{told}.\n{args['left']}. {AGAIN}")
        return {}

    def failed(self, args: dict[str, Any], _task_vars: dict[str, Any]) -> dict[str, Any]:
        """Fail with how to go on."""
        raise NodewiseError(f"{args['left']}. {AGAIN}")

    def told(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Say what was lost, and where the old data lies."""
        about, done = plain(task_vars["nodewise_run"]), plain(task_vars["nodewise_restore"])
        kept = {name: plain(task_vars["hostvars"][name].get(args["result"]) or {}).get("kept") for name in done["members"]}
        lines = [
            f"{about['cluster']} is restored from {done['run']}, runs {done['version']} and is healthy.",
            f"Lost is {done['lost']}.",
            *(f"  {name}: the data from before is in {path}" for name, path in sorted(kept.items()) if path),
            AFTER[done["unit"]],
        ]
        self.say(lines)
        return {"msg": lines}
