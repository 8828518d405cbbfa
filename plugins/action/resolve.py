# Copyright: Nodewise maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A version becomes a release with URLs and checksums; a cluster that runs another version already is left alone."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    NodewiseError,
    msgspec,
    plan,
    releases,
    role_path,
)


class ActionModule(EngineAction):
    """Set the fact `nodewise_release` for a cluster that is to be provisioned with `version`."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        about, version = task_vars["nodewise_run"], args["version"]
        if not version:
            raise NodewiseError(
                f"no version was given for {about['cluster']}; "
                "say which in the inventory (nodewise_version) or with -e nodewise_version=VERSION"
            )
        nodes = {name: task_vars["hostvars"][name].get("nodewise_node") for name in about["members"]}
        unanswered = sorted(name for name, node in nodes.items() if node is None)
        if unanswered:
            raise NodewiseError(
                f"{', '.join(unanswered)} did not answer; expected every node of {about['cluster']}. Nothing was changed"
            )
        refuse_other(about["cluster"], nodes, version)
        rules = releases.load_rules(role_path(about["role"]), args["releases"])
        found = releases.resolve(rules, version, {}, plan.architecture(nodes))
        return {"ansible_facts": {"nodewise_release": msgspec.to_builtins(found)}}


def refuse_other(cluster: str, nodes: dict[str, Any], version: str) -> None:
    """Another version on a node is an upgrade's business, and what something else provisioned is not ours to write over."""
    others = {name: node["linked"] for name, node in nodes.items() if node["linked"] not in (None, version)}
    if others:
        runs = ", ".join(f"{name} {found}" for name, found in sorted(others.items()))
        raise NodewiseError(
            f"{cluster} has another version already ({runs}) and provisioning never changes one; nothing was changed.\n"
            f"To upgrade it: ansible-playbook nodewise.cluster.upgrade -e nodewise_to={version}"
        )
    foreign = sorted(
        name for name, node in nodes.items() if node["linked"] is None and (node["unit"] or {}).get("active") == "active"
    )
    if foreign:
        raise NodewiseError(
            f"{', '.join(foreign)}: the unit runs already, and not from a release of ours; nothing was changed.\n"
            "A cluster that something else provisioned is upgraded as it is: see nodewise_unit, nodewise_link and nodewise_data_dir"
        )
