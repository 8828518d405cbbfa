# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which cluster this play is about, and a folder for its record."""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from ansible import constants as C  # noqa: N812  (Ansible's own name for it)
from ansible import context
from ansible.utils.vars import load_extra_vars

from ansible_collections.nodewise.cluster.plugins.plugin_utils import variables
from ansible_collections.nodewise.cluster.plugins.plugin_utils.clusters import find
from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    KINDS,
    EngineAction,
    NodewiseError,
    Paused,
    Run,
    __version__,
    approval,
    components,
    halt,
    lease,
    new_folder,
    plain,
    renamed,
    role_path,
    runs,
)

MOLECULES = {
    "molecule-notest",
    "notest",
    "molecule-idempotence-notest",
}  # it leaves them out always; no task of ours has one
OURS = re.compile(r"nodewise_.*|ansible_host").fullmatch  # what the inventory's digest is about
# Every fact that an action of this collection sets, with the value that it has before a run sets it. ansible keeps facts in the
# user's fact cache, where there is one, and would give those of the last run to the next.
STATE: dict[str, Any] = {
    **dict.fromkeys(("nodewise_run", "nodewise_node", "nodewise_observation", "nodewise_baseline", "nodewise_soaked")),
    "nodewise_files": None,
    **dict.fromkeys(("nodewise_halted", "nodewise_collect"), False),
    "nodewise_refused": "",
    **{name: {} for name in ("nodewise_lease", "nodewise_hop", "nodewise_batch", "nodewise_step", "nodewise_smoke")},
    **{name: {} for name in ("nodewise_waived", "nodewise_running")},
    **{name: {} for name in ("nodewise_release", "nodewise_back", "nodewise_components", "nodewise_restore")},
    **{name: [] for name in ("nodewise_missing", "nodewise_parts", "nodewise_further", "nodewise_leaders", "nodewise_lease_again")},
}


class ActionModule(EngineAction):
    """Choose the cluster and forget the last run; for one that changes the cluster, open its record."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        refuse_settings()
        mine = {"kind": args["kind"], "controller": lease.me(os.getppid())}  # ansible-playbook, while it is its workers' parent
        if not args["record"]:
            cluster = self.chosen(args, task_vars)
            self.warn(old_names(cluster, task_vars["hostvars"]))
            name = new_folder(Path(), args["kind"], cluster["cluster"]).name  # whoever changes the cluster holds it by a name
            return {"ansible_facts": {**STATE, "nodewise_run": {**cluster, **mine, "id": name}}}
        try:
            cluster, problem = self.chosen(args, task_vars), None
        except NodewiseError as error:
            cluster = {"cluster": args["cluster"] or "unknown", "system": None, "role": None, "members": [], "groups": {}}
            problem = str(error)
        run = self.opened(args, cluster, mine)
        self.warn(old_names(cluster, task_vars["hostvars"]))
        hosts = {name: self.of_host(task_vars, name, OURS) for name in cluster["members"]}
        run.add(inventory=digest(plain(hosts)))
        if hosts:
            everything = task_vars["hostvars"].raw_get(cluster["members"][0])
            run.add(variables=plain(variables.carried(list(hosts.values()), everything, STATE)))  # for a rehearsal; without secrets
        about = {**cluster, **mine, "dir": str(run.folder), "id": run.id, "window_start": "", "window_end": ""}
        about |= {key: args[key] for key in ("approve", "approvers")}
        about["looks"] = ["preflight", *(["sample"] if args["soak"] else [])]
        about["tries"] = ["configure"] if args["kind"] == "configure" else []
        facts = {**STATE, "nodewise_run": about}
        try:
            about |= self.ready(args, problem)
        except NodewiseError as error:
            waits = getattr(error, "reason_code", None)  # of a run that is paused
            facts.update(halt(run, "paused" if waits else "refused", str(error), waits)["ansible_facts"])
        else:
            if args["kind"] in KINDS:
                run.begin("probe")
        return {"ansible_facts": facts}

    def chosen(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The cluster, all of whose members take part; raises NodewiseError."""
        same_version()
        cluster = find(args["cluster"], task_vars, self._loader)
        everybody(cluster, task_vars)
        self.known_variables(cluster, task_vars["hostvars"])
        return {**cluster, "component": component_of(cluster, args["component"])}

    def known_variables(self, cluster: dict[str, Any], hostvars: Any) -> None:
        """Refuse what is misspelt with -e; warn of what the inventory misspells, or refuse that, too, where it is strict."""
        hosts, role = [hostvars[name] for name in cluster["members"]], cluster["role"]
        collections, parts = {role_path("nodewise.cluster.upgrade").parents[1]}, []
        if role:
            with suppress(NodewiseError):  # suites run on a cluster for which no role is installed, too
                collections, parts = {*collections, role_path(role).parents[1]}, components(role_path(role))
        there = variables.known(collections, parts)
        variables.refuse_misspelt(load_extra_vars(self._loader), there, STATE)
        if said := variables.misspelt(hosts, there, STATE):
            if any(str(host.get("nodewise_strict")).lower() in renamed.YES for host in hosts):
                raise NodewiseError(f"{said}, and nodewise_strict is set")
            self.warn([said])

    def opened(self, args: dict[str, Any], cluster: dict[str, Any], mine: dict[str, Any]) -> Run:
        """A fresh record. A folder that has a journal already is another run's: its outcome must not become this one's."""
        folder = Path(os.environ.get("NODEWISE_RUN_DIR") or new_folder(runs(), args["kind"], cluster["cluster"]))
        about = {key: cluster.get(key) or "" for key in ("cluster", "component")}
        run = Run.create(folder, **mine, system=cluster["system"], to=args["to"], change=args["change"], **about)
        if any(
            record["kind"] != "fault" for record in run.records()
        ):  # faults alone are those of the rehearsal that this is a part of
            raise NodewiseError(f"{folder} holds the record of another run; unset NODEWISE_RUN_DIR, or name a new folder")
        self.warn(killed(run, cluster["cluster"]), run)
        run.note(f"{args['kind']} of {cluster['cluster']}", members=cluster["members"], to=args["to"])
        return run

    def ready(self, args: dict[str, Any], problem: str | None) -> dict[str, str]:
        """When the change window opens and closes (ISO 8601, or empty); raises NodewiseError for what is in the way already."""
        if problem:
            raise NodewiseError(problem)
        if not args["to"] and args["kind"] == "upgrade":
            raise NodewiseError("no target version was given; say which: -e nodewise_to=VERSION")
        if args["approve"] == "any" and not args["allow_any"]:
            raise NodewiseError(
                "nodewise_approve is any, and nodewise_allow_any is false: approve the plan by its hash, which --check shows"
            )
        if args["approvers"] not in (1, 2):
            raise NodewiseError(f"nodewise_approvers is {args['approvers']}; expected 1 or 2")
        opens, closes = approval.window(args["window_start"], args["window_end"], datetime.now().astimezone())
        if opens and not self._task.check_mode:  # a plan may be looked at before
            text = f"the change window opens at {opens.isoformat(' ', 'minutes')}; nothing was started"
            raise Paused("window_closed", text)
        return {"window_start": opens.isoformat() if opens else "", "window_end": closes.isoformat() if closes else ""}


def refuse_settings() -> None:
    """Raise NodewiseError for settings under which a run would leave out a part of itself, or could not see its own facts.

    A play of which `--tags` selects nothing ends well in Ansible's eyes. Of other settings the plays say what they need.
    """
    words = context.CLIARGS
    partly = ["--tags"] if {*words.get("tags", ())} - {"all", "always"} else []
    partly += ["--skip-tags"] if {*words.get("skip_tags", ())} - MOLECULES else []
    partly += [option for option in ("--start-at-task", "--step") if words.get(option.strip("-").replace("-", "_"))]
    if partly:
        raise NodewiseError(
            f"{' and '.join(partly)}: no part of this playbook may be left out; run it without. Nothing was started"
        )
    if not C.INJECT_FACTS_AS_VARS:
        raise NodewiseError(
            "inject_facts_as_vars is false, but the tasks of a run pass facts on as variables; for this run, put "
            "ANSIBLE_INJECT_FACT_VARS=true before the command. Nothing was started"
        )


def killed(run: Run, cluster: str) -> list[str]:
    """What to say of the last run over a cluster whose process is gone, and that came to no summary."""
    earlier = sorted(path.parent for path in run.folder.parent.glob("*/run.json") if path.parent != run.folder)
    for other in map(Run, reversed(earlier)):
        with suppress(NodewiseError, OSError, ValueError):  # a record that cannot be read says nothing
            about = other.read_json("run.json")
            if about.get("cluster") == cluster and about.get("kind") in KINDS:
                if other.read_json("summary.json").get("outcome") or not lease.dead(about.get("controller") or {}):
                    return []
                return [f"run {other.id} was killed and has no summary; `nodewise runs {other.id}` shows how far it came"]
    return []


def old_names(cluster: dict[str, Any], hostvars: Any) -> list[str]:
    """What to say of variables that have another name now, those of the system's role among them."""
    known = renamed.VARIABLES
    if cluster["role"]:
        with suppress(NodewiseError):  # suites run on a cluster for which no role is installed, too
            known = renamed.of_role(role_path(cluster["role"]))
    return list(renamed.warnings((hostvars[name] for name in cluster["members"]), known))


def component_of(cluster: dict[str, Any], name: str) -> str:
    """The component that is named; none when the name is that of the system itself."""
    if not name or name == cluster["system"].rpartition(".")[2]:
        return ""
    known = components(role_path(cluster["role"]))
    if name not in known:
        there = f"{cluster['system']} has {', '.join(known)}" if known else f"{cluster['system']} has none"
        raise NodewiseError(f"nodewise_component is {name!r}; {there}, besides itself")
    return name


def digest(told: dict[str, Any]) -> str:
    """SHA-256 of what the inventory says of the members: addresses and our own variables, none of which can be read from it."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def same_version() -> None:
    """Package and collection carry one version."""
    root = role_path("nodewise.cluster.upgrade").parent.parent
    galaxy, manifest = root / "galaxy.yml", root / "MANIFEST.json"  # a checkout has the one, an installed collection the other
    found = yaml.safe_load((galaxy if galaxy.exists() else manifest).read_text())
    version = found["collection_info"]["version"] if "collection_info" in found else found["version"]
    if version != __version__:
        raise NodewiseError(
            f"the collection nodewise.cluster is {version} and the Python package nodewise {__version__}; "
            "install the same version of both"
        )


def everybody(cluster: dict[str, Any], task_vars: dict[str, Any]) -> None:
    """A limit may leave out other clusters, never members of this one: what is not looked at is not known."""
    left_out = sorted(set(cluster["members"]) - set(task_vars["ansible_play_hosts_all"]))
    if left_out:
        raise NodewiseError(
            f"--limit leaves out {', '.join(left_out)} of {cluster['cluster']}; a cluster is always judged as a whole.\n"
            "Run it without --limit: members that are done are not touched"
        )
