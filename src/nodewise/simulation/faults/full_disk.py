# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `full_disk`: there is no room where a service has its data.

On a file system of the folder's own, a file without a name takes all that is free: it is gone with whoever holds it open. A folder
that shares its file system with the host moves to a small one in memory for the time, for which the service is stopped and started.
"""

from __future__ import annotations

import re
from dataclasses import replace

from nodewise.errors import UsageError
from nodewise.simulation.faults.fault import Applied, Means
from nodewise.simulation.faults.host import NotProved, Scene
from nodewise.simulation.faults.service import OfService

FOLDER = re.compile(r"(/[A-Za-z0-9._-]+)+")  # it becomes a word of scripts
MOST = 1024  # MB that are written, or copied to memory
# Which way it is done, or why it is not.
WAY = """[ -d {folder} ] || { echo "there is no folder {folder}" >&2; exit 1; }
if [ "$(stat -c %m {folder})" = / ]; then way=memory much=$(du -sm {folder} | cut -f 1); else
way=file much=$(df -m --output=avail {folder} | tail -n 1); fi
[ $much -le {most} ] || { echo "{folder}: $much MB to fill, or to copy to memory; at most {most} may be" >&2; exit 1; }"""
FILL = """( exec 9>{folder}/.{name}; rm {folder}/.{name}
  set +e; while :; do dd if=/dev/zero bs=64k >&9; touch full; sleep 0.1; done ) >/dev/null 2>&1 &
until [ -e full ]; do sleep 0.02; done"""
# Full is what has no more room than the service has taken to start.
MOVE = """mkdir small; mount -t tmpfs -o mode=$(stat -c %a {folder}) nodewise small; chown --reference={folder} small
systemctl stop {unit}
cp -a {folder}/. small; mount --bind small {folder}
systemctl start --no-block {unit}
for _ in $(seq 100); do ! systemctl is-active --quiet {unit} || break; sleep 0.1; done
for _ in $(seq 50); do
  ! mount -o remount,size=$(($(df -k --output=used small | tail -n 1) + 4))k small 2>/dev/null || break
  sleep 0.1
done"""
INJECT = f"""systemctl is-active --quiet {{unit}} || {{ echo "{{unit}} does not run" >&2; exit 1; }}
{WAY}
case $way in file)
{FILL}
;; memory)
{MOVE}
esac
echo "{{unit}} $way\""""
# From wherever it was interrupted. A copy has its name once it is whole, and then replaces what was there before.
UNDO = """rm -f {folder}/.{name}
if [ -d small ] || [ -e {folder}.{name} ]; then
  systemctl stop {unit}
  if mountpoint -q {folder}; then
    rm -rf {folder}.{name} {folder}.{name}.part
    cp -a {folder} {folder}.{name}.part && mv {folder}.{name}.part {folder}.{name} && umount {folder} || exit
  fi
  if [ -e {folder}.{name} ]; then rm -rf {folder} && mv {folder}.{name} {folder} || exit; fi
  ! mountpoint -q small || umount small || exit
fi
systemctl reset-failed {unit}; systemctl start --no-block {unit}"""
ROOM = "dd if=/dev/zero of={folder}/.{name}-probe bs=64k count=1 2>&1 | grep -o 'No space left' || :; rm -f {folder}/.{name}-probe"


class FullDisk(OfService, tag="full_disk"):
    """The file system of a service's data is full on each host of the target, and stays so when files are removed."""

    folder: str = ""  # the data of the service under test, unless it is said

    def check(self, nodes: list[str]) -> None:
        """The folder is a path."""
        super().check(nodes)
        if self.folder and not FOLDER.fullmatch(self.folder):
            raise UsageError(f"{self.id}: folder {self.folder!r}: expected a path such as /var/lib/data")

    def able(self, scene: Scene) -> str:
        """Whether the folder is there, and small enough."""
        way = f"( {self._filled(WAY, self.folder or scene.data)}\n) 2>&1 || :"
        return f"{super().able(scene)}\n{way}"

    def cannot(self, scene: Scene) -> str:
        """Whether it is known where the data is."""
        known = "" if self.folder or scene.data else "the system does not say where its data is; name the folder with folder:"
        return super().cannot(scene) or known

    def on(self, scene: Scene) -> dict[str, Means]:
        """In the folder that was said, or in the system's own."""
        folder = self.folder or scene.data
        return {
            name: replace(means, inject=self._filled(means.inject, folder), undo=self._filled(means.undo, folder))
            for name, means in super().on(scene).items()
        }

    def means(self, unit: str) -> Means:
        """Which way it is done, the host finds out."""
        return Means("a file, or memory", INJECT.replace("{unit}", unit), UNDO.replace("{unit}", unit))

    def proved(self, applied: Applied) -> str:
        """Nothing more can be written, not even by root."""
        if room := [name for name, said in self._room(applied).items() if not said]:
            raise NotProved(f"{self.id}: there is still room on {', '.join(room)}; expected none")
        return "; ".join(f"{name}: no space left, by {said.split()[-1]}" for name, said in applied.said.items())

    def healed(self, applied: Applied) -> str:
        """There is room again, and the service runs."""
        self.runs(applied)
        if full := [name for name, said in self._room(applied).items() if said]:
            raise NotProved(f"{self.id}: there is still no room on {', '.join(full)}")
        return f"there is room on {', '.join(applied.said)}, and the service runs"

    def _room(self, applied: Applied) -> dict[str, str]:
        return applied.ask(self._filled(ROOM, self.folder or applied.scene.data))

    def _filled(self, script: str, folder: str) -> str:
        for name, value in {"folder": folder, "name": f"nodewise-{self.id}", "most": str(MOST)}.items():
            script = script.replace(f"{{{name}}}", value)
        return script
