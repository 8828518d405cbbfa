# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `clock`: a service has another time than its host. The clock of the host, which all nodes share, stays as it is.

The service is restarted with libfaketime, which answers in place of the C library. A program that asks the kernel itself, as those
written in Go do, cannot be given another time.
"""

from __future__ import annotations

import shlex

from nodewise.errors import UsageError
from nodewise.simulation.faults import covered
from nodewise.simulation.faults.fault import Applied, Means, Span, seconds
from nodewise.simulation.faults.host import NotProved, Scene
from nodewise.simulation.faults.service import OfService

NEAR = 1.5  # seconds that a clock may be off what was asked for
LIBRARY = "library=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null)"
# The monotonic clock is off by as much, and goes as fast: where libfaketime 0.9.10 leaves it alone, clock_nanosleep fails (EINVAL).
INJECT = f"""{LIBRARY}
was=$(systemctl show -P MainPID {{unit}}); [ "$was" != 0 ] || {{ echo "{{unit}} does not run" >&2; exit 1; }}
folder=/run/systemd/system/$(systemctl show -P Id {{unit}}).d; mkdir -p "$folder"
cat >"$folder/nodewise-{{id}}.conf" <<CONF
[Service]
Environment=LD_PRELOAD=$library "FAKETIME={{offset}}"
CONF
systemctl daemon-reload; systemctl restart --no-block {{unit}}
echo "{{unit}} $was\""""
UNDO = """rm -f /run/systemd/system/*.d/nodewise-{id}.conf
rmdir --ignore-fail-on-non-empty /run/systemd/system/$(systemctl show -P Id {unit}).d 2>/dev/null
systemctl daemon-reload; systemctl stop {unit}; systemctl reset-failed {unit} 2>/dev/null
rm -f /dev/shm/faketime_shm_* /dev/shm/sem.faketime_sem_*
systemctl start --no-block {unit}"""
# How far the clock of a program is off the host's that has the environment of the service's main process.
ASK = """main=$(systemctl show -P MainPID {unit}); [ "$main" != 0 ] && [ "$main" != {was} ] || exit 0
here=$(date +%s); grep -q /libfaketimeMT /proc/$main/maps || { echo "$here" "$here"; exit; }
xargs -0 sh -c 'exec env -i "$@" date +%s' ask </proc/$main/environ; echo "$here\""""
ABLE = f"""{LIBRARY}; [ -n "$library" ] || echo "it has no libfaketime (package libfaketime)"
main=$(systemctl show -P MainPID {{unit}})
! grep -qaF 'Go buildinf:' /proc/$main/exe 2>/dev/null || echo "{{unit}} is a Go program, which takes the time from the kernel\""""


class Clock(OfService, tag="clock"):
    """All processes of a service have a clock that is `offset` ahead of the host's, or behind it; it is restarted at both ends."""

    offset: Span = "10m"  # how far ahead (10m, 1.5s), or, with a minus, behind

    def check(self, nodes: list[str]) -> None:
        """The offset is a time."""
        super().check(nodes)
        if not self.shift:
            raise UsageError(f"{self.id}: offset {self.offset}: a clock that is right; expected such as 10m, or -10m")

    @property
    def shift(self) -> float:
        """How many seconds ahead. Raises UsageError."""
        text = str(self.offset)
        ahead, most = seconds(text.removeprefix("-"))
        if ahead != most:
            raise UsageError(f"{self.id}: offset {text}: a range; expected one time, such as 10m")
        return -ahead if text.startswith("-") else ahead

    def cannot(self, scene: Scene) -> str:
        """Whether the system is known to ask the kernel."""
        kernels = scene.kernel_time and self.unit in ("", scene.unit)
        return super().cannot(scene) or (f"{scene.unit} is a Go program, which takes the time from the kernel" if kernels else "")

    def able(self, scene: Scene) -> str:
        """Whether the host has libfaketime, and the service's program asks the C library."""
        return f"{super().able(scene)}\n{ABLE.replace('{unit}', shlex.quote(self.unit or scene.unit))}"

    def means(self, unit: str) -> Means:
        """A drop-in of the unit, which a reboot takes away."""
        inject, undo = (covered.script(text, self.id, unit) for text in (INJECT, UNDO))
        return Means("libfaketime", inject.replace("{offset}", f"{self.shift:+.3f}"), undo)

    def proved(self, applied: Applied) -> str:
        """The service runs anew with it, and a program beside it that is given the same has another time than the host."""
        found = self._asked(applied)
        if wrong := [f"{name} {off:+.1f} s" for name, off in found.items() if abs(off - self.shift) > NEAR]:
            raise NotProved(f"{self.id}: the clock of the service is off by {', '.join(wrong)}; expected {self.shift:+g} s")
        return "; ".join(f"{name}: the clock of the service is {off:+.1f} s off" for name, off in found.items())

    def healed(self, applied: Applied) -> str:
        """The service runs anew, and without it."""
        self.runs(applied)
        if wrong := [f"{name} {off:+.1f} s" for name, off in self._asked(applied).items() if off]:
            raise NotProved(f"{self.id}: the clock of the service is still off by {', '.join(wrong)}")
        return f"the service runs on {', '.join(applied.said)}, with the clock of the host"

    def _asked(self, applied: Applied) -> dict[str, float]:
        """How far the clock of each service is off, in seconds; NotProved where one has not been restarted yet."""
        scripts = {name: ASK.replace("{unit}", unit).replace("{was}", was) for name, (unit, was) in self._units(applied).items()}
        said = {name: text.split() for name, text in applied.ask(scripts).items()}
        if waiting := [name for name, words in said.items() if len(words) < len(("there", "here"))]:
            raise NotProved(f"{self.id}: the service has not been restarted yet on {', '.join(waiting)}")
        return {name: float(there) - float(here) for name, (there, here) in said.items()}

    @staticmethod
    def _units(applied: Applied) -> dict[str, list[str]]:
        return {name: said.split() for name, said in applied.said.items()}
