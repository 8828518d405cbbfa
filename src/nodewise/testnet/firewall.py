# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What netavark leaves in the firewall when its last container has gone: empty chains, and jumps to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nodewise.testnet import tools

# Chains that netavark makes once for all networks. Any other chain of its name belongs to a network with running containers.
SKELETON = {"NETAVARK_FORWARD", "NETAVARK-HOSTPORT-DNAT", "NETAVARK-HOSTPORT-MASQ", "NETAVARK-HOSTPORT-SETMARK"}
CONSTANT = {"NETAVARK-HOSTPORT-MASQ", "NETAVARK-HOSTPORT-SETMARK"}  # the same rules in them whether used or not


def clean() -> None:
    """Remove netavark's skeleton from the firewall unless a container of anybody's uses it, or is about to.

    Its removal is one transaction; when the firewall changes meanwhile nft refuses it as a whole, and the skeleton, which does
    nothing, stays for the next time.
    """
    if any(starts_container(words) for _, words in tools.processes()):
        return
    listed = tools.run(tools.as_root(["nft", "--json", "--handle", "list", "ruleset"]), timeout=10)
    commands = leftovers(json.loads(listed.stdout or "{}"))
    if commands:
        tools.run(tools.as_root(["nft", "--file", "-"]), timeout=10, check=False, text="\n".join(commands) + "\n")


def starts_container(words: list[str]) -> bool:
    """True for a command that makes podman, or netavark for it, set up a network just now."""
    name = Path(words[0]).name
    return name == "netavark" or (name == "podman" and bool({"run", "start", "create", "restart"}.intersection(words)))


def leftovers(ruleset: dict[str, Any]) -> list[str]:
    """The nft commands that remove the skeleton from `nft --json list ruleset`; none when it is in use or not there."""
    entries = ruleset.get("nftables", [])
    chains = [entry["chain"] for entry in entries if "chain" in entry]
    rules = [entry["rule"] for entry in entries if "rule" in entry]
    ours = [chain for chain in chains if chain["name"].startswith("NETAVARK")]
    busy = {rule["chain"] for rule in rules} - CONSTANT
    if any(chain["name"] not in SKELETON or chain["name"] in busy for chain in ours):
        return []
    jumps = [rule for rule in rules if _target(rule) in SKELETON]
    commands = [f"delete rule {_table(rule)} {rule['chain']} handle {rule['handle']}" for rule in jumps]
    commands += [f"flush chain {_table(chain)} {chain['name']}" for chain in ours]
    commands += [f"delete chain {_table(chain)} {chain['name']}" for chain in ours]
    tables = sorted({_table(chain) for chain in ours})
    return commands + [f"delete table {table}" for table in tables if _bare(table, chains, rules)]


def _bare(table: str, chains: list[dict[str, Any]], rules: list[dict[str, Any]]) -> bool:
    """True if, without the skeleton, the table holds only the empty chains that iptables makes by itself."""
    others = [chain for chain in chains if _table(chain) == table and chain["name"] not in SKELETON]
    left = [r for r in rules if _table(r) == table and r["chain"] not in SKELETON and _target(r) not in SKELETON]
    return not left and all("hook" in chain and chain.get("policy") == "accept" for chain in others)


def _table(thing: dict[str, Any]) -> str:
    return f"{thing['family']} {thing['table']}"


def _target(rule: dict[str, Any]) -> str | None:
    return next((expr["jump"]["target"] for expr in rule["expr"] if "jump" in expr), None)
