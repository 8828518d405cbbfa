# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proving that members of two versions serve one cluster: what is written through one is read through the other."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import Member, base64_text, members_of
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import EtcdError
from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import INTERVAL

OURS = "/nodewise/"  # proofs are written, and removed, below it and nowhere else
# Keys end by themselves when whoever wrote them died. One that is to outlive the switch of all members has a day.
PROOF_S, PLANTED_S = 600, 86400


class Proof:
    """Keys of one call, all under one lease: to revoke it is to remove them."""

    def __init__(self, prefix: str, deadline: float) -> None:
        self.prefix, self.until = prefix, time.monotonic() + deadline
        self._lease: str | None = None

    def version(self, member: Member) -> str:
        """Return the version that a member says it is."""
        return str(self._wait(member, "say its version", member.version).get("etcdserver"))

    def write(self, member: Member, key: str, value: str, ttl: int = PROOF_S) -> None:
        """Write a key through a member."""
        if self._lease is None:
            self._lease = str(self._ask(member, "be asked for a lease", "lease/grant", {"TTL": ttl})["ID"])
        body = {"key": base64_text(self.prefix + key), "value": base64_text(value), "lease": self._lease}
        self._ask(member, f"write {self.prefix}{key}", "kv/put", body)

    def read(self, member: Member, key: str, serializable: bool = False) -> dict[str, Any] | None:
        """Return what a member has for a key, {"value", "lease"}, or None when it has none."""
        body = {"key": base64_text(self.prefix + key), "serializable": serializable}
        rows = self._ask(member, f"read {self.prefix}{key}", "kv/range", body).get("kvs", [])
        if not rows:
            return None
        return {"value": base64.b64decode(rows[0].get("value", "")).decode("utf-8", "replace"), "lease": rows[0].get("lease")}

    def remove(self, members: list[Member], lease: str | None = None) -> None:
        """Remove the keys of a lease, this proof's own when none is named, through the first member that can."""
        lease = lease or self._lease
        for member in members if lease else []:
            try:
                member.call("kv/lease/revoke", {"ID": lease})
            except EtcdError:
                continue
            return

    def _ask(self, member: Member, what: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._wait(member, what, lambda: member.call(path, body))

    def _wait(self, member: Member, what: str, question: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Ask until there is an answer: an election takes a moment, and proves nothing."""
        while True:
            try:
                return question()
            except EtcdError as error:
                if time.monotonic() > self.until:
                    raise EtcdError(f"{member.name} could not {what}: {error}") from None
            time.sleep(INTERVAL)


def check_mixed_versions(parameters: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Return what the module returns, from its parameters; EtcdError says which member read what."""
    began = time.monotonic()
    if not parameters["prefix"].startswith(OURS) or not parameters["prefix"].endswith("/"):
        raise EtcdError(f"prefix is {parameters['prefix']!r}, expected one below {OURS} that ends in /; nothing was written")
    result: dict[str, Any] = {"changed": False, "proved": [], "before": None}
    if not dry:
        members = {member.name: member for member in members_of(parameters)}
        old, new = (_named(members, parameters[side]) for side in ("old", "new"))
        try:
            _check(Proof(parameters["prefix"], parameters["deadline"]), old, new, result)
        finally:
            for member in members.values():
                member.close()
    result["seconds"] = round(time.monotonic() - began, 4)
    return result


def _check(proof: Proof, old: list[Member], new: list[Member], result: dict[str, Any]) -> None:
    both = [*new, *old]
    told = {member.name: proof.version(member) for member in both}
    if old and not new:
        proof.write(old[0], "before", proof.prefix, PLANTED_S)
        result["changed"] = True
    elif new:
        result["before"] = _read_before(proof, both, told)
    if old and new:
        _exchange(proof, old, new, told, result["proved"])
    elif new:
        planted = proof.read(new[0], "before")
        proof.remove(both, planted["lease"] if planted else None)
        result["changed"] = bool(planted)


def _read_before(proof: Proof, members: list[Member], told: dict[str, str]) -> bool | None:
    """Return whether what was written before the first switch is there through every member; None when nothing was."""
    found = {member.name: _text(proof.read(member, "before")) for member in members}
    if set(found.values()) == {None}:
        return None
    for name, text in found.items():
        if text != proof.prefix:
            others = ", ".join(f"{other} ({told[other]}) {_shown(found[other])}" for other in found if other != name)
            raise EtcdError(
                f"{name} ({told[name]}) read {_shown(text)} for {proof.prefix}before, which was written before the switch as "
                f"{proof.prefix!r}{'; read was through ' + others if others else ''}"
            )
    return True


def _exchange(proof: Proof, old: list[Member], new: list[Member], told: dict[str, str], proved: list[dict[str, Any]]) -> None:
    """Write through each member and read through one of the other side; the keys are removed, whatever comes of it."""
    try:
        for writer, reader in [*((one, new[0]) for one in old), *((one, old[0]) for one in new)]:
            key, value = f"by-{writer.name}", uuid.uuid4().hex
            proof.write(writer, key, value)
            # The linearizable read first: once it is answered the reader has applied the write, and has it for itself, too.
            for how, serializable in (("linearizably", False), ("serializably", True)):
                text = _text(proof.read(reader, key, serializable))
                if text != value:
                    raise EtcdError(
                        f"{writer.name} ({told[writer.name]}) wrote {proof.prefix}{key} = {value!r}, "
                        f"and {reader.name} ({told[reader.name]}) read {_shown(text)} {how}"
                    )
            proved.append({"written": writer.name, "by": told[writer.name], "read": reader.name, "with": told[reader.name]})
    finally:
        proof.remove([*new, *old])


def _named(members: dict[str, Member], names: list[str]) -> list[Member]:
    unknown = sorted(set(names) - set(members))
    if unknown:
        raise EtcdError(f"{', '.join(unknown)} is not among the members ({', '.join(sorted(members))}); nothing was written")
    return [members[name] for name in names]


def _text(found: dict[str, Any] | None) -> str | None:
    return found["value"] if found else None


def _shown(text: str | None) -> str:
    return "nothing" if text is None else repr(text)
