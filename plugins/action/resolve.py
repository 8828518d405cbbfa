# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A version becomes a release with URLs and checksums; a cluster that runs another version already is left alone."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    NodewiseError,
    components,
    msgspec,
    plain,
    plan,
    role_path,
    sources,
)


class ActionModule(EngineAction):
    """Set the facts `nodewise_release` and `nodewise_components` for a cluster that is to be provisioned with `version`."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        about = plain(task_vars["nodewise_run"])
        nodes = {name: plain(task_vars["hostvars"][name].get("nodewise_node")) for name in about["members"]}
        unanswered = sorted(name for name, node in nodes.items() if node is None)
        if unanswered:
            raise NodewiseError(
                f"{', '.join(unanswered)} did not answer; expected every node of {about['cluster']}. Nothing was changed"
            )
        refuse_foreign(nodes)
        rules = self.rules(task_vars, args["releases"])
        release = resolved(rules, args["version"], about["cluster"], nodes, {name: node["linked"] for name, node in nodes.items()})
        names = components(role_path(about["role"]))
        parts = {name: self.component(name, about, nodes, args["releases"], task_vars) for name in names}
        return {"ansible_facts": {"nodewise_release": release, "nodewise_components": parts}}

    def component(
        self, name: str, about: dict[str, Any], nodes: dict[str, Any], own: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        """The release of a part of the system: the version that `nodewise_<name>_version` says, else the role's own default."""
        rules = self.rules(task_vars, own, name)
        version = str(self._templar.template(task_vars.get(f"nodewise_{name}_version") or ""))
        linked = {node: ((said.get("components") or {}).get(name) or {}).get("linked") for node, said in nodes.items()}
        return resolved(rules, version, f"{name} of {about['cluster']}", nodes, linked)


def resolved(rules: Any, version: str, what: str, nodes: dict[str, Any], linked: dict[str, str | None]) -> dict[str, Any]:
    """The release, unless another version is on a node. The one that is there is meant by a version of which it is one."""
    asked = version or rules.default
    if not asked:
        raise NodewiseError(
            f"no version was given for {what}; say which in the inventory (nodewise_version) or with -e nodewise_version=VERSION"
        )
    exact = sources.exactly(rules, asked, nodes, {found for found in linked.values() if found})
    refuse_other(what, linked, exact)
    return dict(msgspec.to_builtins(sources.resolve(rules, exact, {}, plan.architecture(nodes), nodes)))


def refuse_other(what: str, linked: dict[str, str | None], version: str) -> None:
    """Another version on a node is an upgrade's business."""
    others = {name: found for name, found in linked.items() if found not in (None, version)}
    if others:
        runs = ", ".join(f"{name} {found}" for name, found in sorted(others.items()))
        raise NodewiseError(
            f"{what} already has another version ({runs}), which provisioning never changes; nothing was changed.\n"
            f"To upgrade it: ansible-playbook nodewise.cluster.upgrade -e nodewise_to={version}"
        )


def refuse_foreign(nodes: dict[str, Any]) -> None:
    """What something else provisioned is not ours to write over."""
    foreign = sorted(
        name for name, node in nodes.items() if node["linked"] is None and (node["unit"] or {}).get("active") == "active"
    )
    if foreign:
        raise NodewiseError(
            f"{', '.join(foreign)}: the unit already runs, but not from a release of Nodewise; nothing was changed.\n"
            "To upgrade a cluster that another tool provisioned, set nodewise_unit, nodewise_link and nodewise_data_dir"
        )
