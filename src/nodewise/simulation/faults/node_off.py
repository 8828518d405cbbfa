# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `node_off`: a host is gone at once, as by a loss of power, and is there again when the fault ends.

A host that is off cannot heal itself: the controller holds this one. When the controller dies the host stays off, until
`testnet heal` or `testnet start` starts it.

A host that runs on another one's kernel loses nothing that it wrote when it goes off. With `unsynced: lost` the service works, for
some seconds before that, in a folder that forgets what was not synced. Until the host is off, it holds that by itself.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import ClassVar, Literal

from nodewise.simulation.faults import held, targets
from nodewise.simulation.faults.fault import Applied, Fault, Holds, Means
from nodewise.simulation.faults.host import NotProved, Scene, banner
from nodewise.simulation.faults.service import FOLDER
from nodewise.simulation.faults.targets import Target

WORK = 3.0  # seconds for the service to write in the folder that forgets
MOST = 1024  # MB that are copied to memory
PROGRAM = Path(__file__).with_name("forgetful.py").read_text()
ABLE = """[ -c /dev/fuse ] || echo it has no /dev/fuse
python3 -c 'import fusepy' 2>/dev/null || echo it has no fusepy for Python, or no libfuse
[ $(du -sm {folder} | cut -f 1) -le {most} ] || echo {folder} has more than {most} MB"""
# Only a copy that is whole is ever used.
LAYER = """systemctl is-active --quiet {unit} || { echo "{unit} does not run" >&2; exit 1; }
cat >forgetful.py <<'PYTHON'
{program}
PYTHON
mkdir live; mount -t tmpfs nodewise live
systemctl stop {unit}
cp -a {folder}/. live; touch whole
python3 forgetful.py "$PWD/live" {folder} >>log 2>&1 &
for _ in $(seq 100); do ! mountpoint -q {folder} || break; sleep 0.05; done
mountpoint -q {folder} || { cat log >&2; exit 1; }
systemctl start {unit}"""
# All that was written is kept where the host did not go off after all.
UNDO = """systemctl stop {unit}
! grep -q ' {folder} fuse' /proc/mounts || umount -l {folder} || exit
if [ -e whole ] && mountpoint -q live; then
  rm -rf {folder}.{name} {folder}.{name}.part
  cp -a live {folder}.{name}.part && mv {folder}.{name}.part {folder}.{name} && rm whole || exit
fi
if [ -e {folder}.{name} ]; then rm -rf {folder} && mv {folder}.{name} {folder} || exit; fi
! mountpoint -q live || umount live || exit
systemctl reset-failed {unit} 2>/dev/null; systemctl start --no-block {unit}"""
# Nothing is written or synced after it was counted.
COUNT = (
    FOLDER
    + """
echo 1 >"$group/cgroup.freeze"
python3 -c 'import os; print(os.getxattr("{folder}", "user.nodewise.unsynced").decode())'"""
)


class NodeOff(Fault, tag="node_off"):
    """Each host of the target is ended without a word to any of its processes."""

    target: Target = "one"  # who is ended
    unsynced: Literal["kept", "lost"] = "kept"  # what the service wrote and did not sync; to lose it, it is restarted before

    holds: ClassVar[Holds] = "controller"
    here: ClassVar[bool] = True

    def check(self, nodes: list[str]) -> None:
        """The target is there."""
        targets.check(self.target, nodes)

    def takes(self, nodes: int) -> int:
        """All of the target."""
        return targets.most(self.target, nodes)

    def on(self, scene: Scene) -> dict[str, Means]:
        """By whoever runs the hosts."""
        by = "the testnet's provider" if self.unsynced == "kept" else "the testnet's provider, FUSE"
        return dict.fromkeys(targets.resolve(self.target, scene), Means(by, "", ""))

    def cannot(self, scene: Scene) -> str:
        """Whether somebody can switch them, and it is known whose data may be lost."""
        if not scene.power:
            return "nobody here can switch these hosts off and on; a testnet can"
        known = self.unsynced == "kept" or (scene.unit and scene.data)
        return "" if known else "the system does not say its unit and its data"

    def able(self, scene: Scene) -> str:
        """Whether a file system of ours can be mounted there, and the data is small enough."""
        return "" if self.unsynced == "kept" else self._script(ABLE, scene)

    def inject(self, applied: Applied) -> None:
        """Off, all at once."""
        if self.unsynced == "lost":
            self._forget(applied)
        self._power(applied, on=False)

    def _forget(self, applied: Applied) -> None:
        """Have each service work in a folder that forgets; how many bytes that will be is what the hosts say last."""
        inject, undo = (self._script(text, applied.scene) for text in (LAYER, UNDO))
        applied.ask(held.arm(self.id, applied.owner, inject, undo, held.LEASE + WORK))
        time.sleep(WORK)
        applied.ask(held.renew(self.id, applied.owner, held.LEASE))
        applied.said.update(applied.ask(self._script(COUNT, applied.scene)))

    def undo(self, applied: Applied) -> None:
        """On, and reachable; one that is on stays so."""
        self._power(applied, on=True)
        if self.unsynced == "lost":
            applied.ask(held.heal(self.id, applied.owner))

    @classmethod
    def sweep(cls, scene: Scene) -> dict[str, list[str]]:
        """All that do not answer at their port for SSH."""
        off = [name for name, host in scene.hosts.items() if scene.power and not banner(host.address)]
        if scene.power and off:
            scene.power(off, True)
        return {name: [f"{cls.__struct_config__.tag}"] for name in off}

    def _power(self, applied: Applied, *, on: bool) -> None:
        assert applied.scene.power is not None  # noqa: S101 (asked in `cannot`)
        applied.scene.power(list(applied.where), on)

    def proved(self, applied: Applied) -> str:
        """Nobody answers at its port for SSH."""
        if heard := [name for name in applied.where if banner(applied.scene.hosts[name].address)]:
            raise NotProved(f"{self.id}: {', '.join(heard)} still answers; expected it to be off")
        lost = "".join(f"; {name} lost {count} bytes that were not synced" for name, count in applied.said.items())
        return f"{', '.join(applied.where)} answers nobody{lost}"

    def healed(self, applied: Applied) -> str:
        """It runs a command, and the service, where there is one."""
        unit = applied.scene.unit
        said = applied.ask(f"systemctl show -P ActiveState {unit}" if unit else "echo active")
        if others := [f"{name} {state}" for name, state in said.items() if state != "active"]:
            raise NotProved(f"{self.id}: the service is {', '.join(others)}; expected active")
        return f"{', '.join(applied.where)} answers, and the service runs"

    def _script(self, text: str, scene: Scene) -> str:
        known = {"unit": shlex.quote(scene.unit), "folder": scene.data, "name": f"nodewise-{self.id}", "most": str(MOST)}
        for name, value in known.items():
            text = text.replace(f"{{{name}}}", value)
        return text.replace("{program}", PROGRAM.strip())
