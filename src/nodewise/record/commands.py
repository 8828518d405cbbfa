# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands that an operator may type next."""

from __future__ import annotations

from typing import Any

from nodewise.model import good


def named(cluster: str, component: str) -> str:
    """The words of a command that say what it is about."""
    return f"-e nodewise_cluster={cluster}" + (f" -e nodewise_component={component}" if component else "")


def following(summary: dict[str, Any]) -> list[str]:
    """The exact commands that may come next, each with when; none after a good end, nor where the reason has them already."""
    of, to = named(summary["cluster"], summary.get("component") or ""), summary["to"]
    if not summary["system"] or "ansible-playbook" in summary["reason"]:
        return []
    back = f"ansible-playbook playbooks/rollback.yml {of}"
    again = back if summary["kind"] == "rollback" else f"ansible-playbook playbooks/upgrade.yml {of} -e nodewise_to={to}"
    look = f"ansible-playbook playbooks/status.yml -e nodewise_cluster={summary['cluster']}"
    said = {
        "planned": [f"{again} -e nodewise_plan={summary.get('plan')}"],
        "refused": [f"when that is fixed: {again}"],
        "rolled_back": [f"with a release that works: {again}", f"all members to the old version: {back}"],
        "paused": [f"to go on: {again}", f"to go back: {back}"],
        "intervention_required": [f"to look: {look}", f"to go on when it is fixed: {again}"],
    }
    return [] if good(summary["kind"], summary["outcome"]) and summary["outcome"] != "planned" else said.get(summary["outcome"], [])
