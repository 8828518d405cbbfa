# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `dns`: the names of the other hosts do not resolve, for the host and for the service."""

from __future__ import annotations

from dataclasses import replace

from nodewise.simulation.faults import covered
from nodewise.simulation.faults.fault import Applied, Means
from nodewise.simulation.faults.host import NotProved, Scene
from nodewise.simulation.faults.service import OfService

NOBODY = "127.255.255.254"  # answers nothing, at once
INJECT = """main=$(systemctl show -P MainPID {unit}); [ "$main" != 0 ] || { echo "{unit} does not run" >&2; exit 1; }
for name in {names}; do getent hosts $name >/dev/null || { echo "$name does not resolve as it is" >&2; exit 1; }; done
grep -vwF "$(printf '%s\\n' {names})" /etc/hosts >hosts
echo nameserver {nobody} >resolv.conf
cover hosts /etc/hosts $main; cover resolv.conf /etc/resolv.conf $main
echo "{unit}\""""
# The names that resolve for the service.
RESOLVED = """main=$(systemctl show -P MainPID {unit})
for name in {names}; do ! nsenter -t $main -m getent hosts $name >/dev/null || echo $name; done"""


class Dns(OfService, tag="dns"):
    """On each host of the target no other name of the cluster resolves: not by the hosts file, and no name server answers."""

    def on(self, scene: Scene) -> dict[str, Means]:
        """The names are those of the other hosts."""
        where = super().on(scene)
        others = {name: tuple(other for other in scene.hosts if other != name) for name in where}
        return {
            name: replace(means, inject=means.inject.replace("{names}", " ".join(others[name])), peers=others[name])
            for name, means in where.items()
        }

    def means(self, unit: str) -> Means:
        """Other files are mounted over the host's."""
        inject = f"{covered.COVER}\n{INJECT}".replace("{nobody}", NOBODY)
        return Means("bind mount", covered.script(inject, self.id, unit), covered.script(covered.UNCOVER, self.id, unit))

    def proved(self, applied: Applied) -> str:
        """None of the names resolves for the service."""
        if known := [f"{name}: {said}" for name, said in self._resolved(applied).items() if said]:
            raise NotProved(f"{self.id}: {known[0]} resolves; expected no name of another host to")
        return "; ".join(f"{name}: {', '.join(means.peers)} do not resolve" for name, means in applied.where.items())

    def healed(self, applied: Applied) -> str:
        """All of the names resolve for the service."""
        resolved = {name: said.split() for name, said in self._resolved(applied).items()}
        if missing := [name for name, means in applied.where.items() if set(resolved[name]) != set(means.peers)]:
            raise NotProved(f"{self.id}: names of others do not resolve on {', '.join(missing)}")
        return f"all names resolve on {', '.join(applied.where)}"

    def _resolved(self, applied: Applied) -> dict[str, str]:
        return applied.ask(
            {
                name: RESOLVED.replace("{unit}", unit).replace("{names}", " ".join(applied.where[name].peers))
                for name, unit in applied.said.items()
            }
        )
