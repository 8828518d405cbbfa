# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What faults by limits share: a group of the kernel's (cgroup, version 1) of the fault's own, where the service's processes move.

The tree is made writable in a mount namespace that ends with each script: nothing of that is seen by others.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from nodewise.simulation.faults.fault import Applied, Means
from nodewise.simulation.faults.host import NotProved, Scene
from nodewise.simulation.faults.service import FOLDER, OfService

WRITABLE = """unshare --mount sh -eu <<'INSIDE'
mount -o remount,bind,rw {tree}
{script}
INSIDE"""
# The group is made below the one that the service is in; what is started meanwhile is moved, too.
MOVE = (
    FOLDER
    + """
main=$(systemctl show -P MainPID {unit}); [ "$main" != 0 ] || { echo "{unit} does not run" >&2; exit 1; }
root=$(awk '$5 == "{tree}" { print $4 }' /proc/self/mountinfo)
own=$(awk -F: '","$2"," ~ /,{controller},/ { print $3 }' /proc/$main/cgroup)
limited="{tree}/${own#"${root%/}"}/{name}"; mkdir "$limited"
{limits}
( set +e; while :; do
  for pid in $(cat "$group/cgroup.procs"); do grep -qx $pid "$limited/cgroup.procs" || echo $pid >"$limited/cgroup.procs"; done
  sleep 0.1
done ) >/dev/null 2>&1 &
for _ in $(seq 100); do ! grep -qx $main "$limited/cgroup.procs" || { echo "{unit}"; exit; }; sleep 0.02; done
echo "{unit} was not moved to $limited" >&2; exit 1"""
)
BACK = """for limited in $(find {tree} -type d -name {name}); do
  for _ in $(seq 100); do
    for pid in $(cat "$limited/cgroup.procs"); do echo $pid >"$limited/../cgroup.procs" || :; done
    ! rmdir "$limited" || break
    sleep 0.05
  done 2>/dev/null
  [ ! -e "$limited" ]
done"""
# A program that joins the group, which is its first word.
PROBE = """python3 - $(find {tree} -type d -name {name}) <<'PYTHON'
import os, sys
with open(sys.argv[1] + "/cgroup.procs", "w") as group: group.write(str(os.getpid()))
{program}
PYTHON"""


class Limited(OfService, kw_only=True):
    """A service has less of something on each host of the target."""

    controller: ClassVar[str]

    def means(self, unit: str) -> Means:
        """What the service died of is over: it is started again."""
        limits = "\n".join(
            f'[ ! -e "$limited/{file}" ] || echo {value} >"$limited/{file}"' for file, value in self.limits().items()
        )
        inject = self._script(MOVE).replace("{limits}", limits).replace("{unit}", unit)
        return Means("cgroup v1", inject, f"systemctl reset-failed {unit}; systemctl start --no-block {unit}\n{self._script(BACK)}")

    @abstractmethod
    def limits(self) -> dict[str, int]:
        """Files of the group, and what is written to them, in this order."""

    def able(self, scene: Scene) -> str:
        """Whether it has the controller, and may write to it."""
        tree = f"/sys/fs/cgroup/{self.controller}"
        may = f"[ -e {tree}/cgroup.procs ] && unshare --mount mount -o remount,bind,rw {tree} 2>/dev/null"
        return (
            f"{super().able(scene)}\n{may} || echo it has no {self.controller} controller of cgroup version 1 that may be changed"
        )

    def probed(self, applied: Applied, program: str) -> dict[str, str]:
        """What a Python program prints that runs in the group, on each host."""
        return applied.ask(self._script(PROBE).replace("{program}", program))

    def healed(self, applied: Applied) -> str:
        """The group is gone, and the service runs."""
        self.runs(applied)
        left = applied.ask(f"find /sys/fs/cgroup/{self.controller} -type d -name {self._name}")
        if still := [name for name, found in left.items() if found]:
            raise NotProved(f"{self.id}: the service is still limited on {', '.join(still)}")
        return f"the service runs on {', '.join(applied.said)}, and the group is gone"

    def _script(self, script: str) -> str:
        known = {"script": script, "tree": f"/sys/fs/cgroup/{self.controller}", "controller": self.controller, "name": self._name}
        text = WRITABLE
        for name, value in known.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    @property
    def _name(self) -> str:
        return f"nodewise-{self.id}"
