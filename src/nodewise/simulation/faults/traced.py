# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What faults of a disk share: strace catches the calls by which a service has its data put on the disk, in that service alone.

So it needs no disk of the service's own, and works on programs that are not linked with the C library, too.
"""

from __future__ import annotations

from abc import abstractmethod

from nodewise.simulation.faults.fault import Applied, Means
from nodewise.simulation.faults.host import NotProved, Scene
from nodewise.simulation.faults.service import FOLDER, OfService

CALLS = "fdatasync,fsync"
# Every process of the unit, and those that are started meanwhile, as after a crash. What was caught stands in the file `calls`.
ATTACH = (
    FOLDER
    + """
main=$(systemctl show -P MainPID {unit}); [ "$main" != 0 ] || { echo "{unit} does not run" >&2; exit 1; }
( set +e; while :; do
  new=$(for pid in $(cat "$group/cgroup.procs"); do ! grep -q '^TracerPid:.0$' /proc/$pid/status || echo $pid; done)
  [ -z "$new" ] || strace -f -qq -T -A -o calls -e trace={calls} -e inject={calls}:{what} -p "$new" &
  sleep 0.1
done ) >/dev/null 2>&1 &
for _ in $(seq 250); do
  ! grep -q '^TracerPid:.[1-9]' /proc/$main/status || { echo "{unit}"; exit; }
  sleep 0.02
done
echo "strace did not get hold of {unit}" >&2; exit 1"""
)
# How many processes of the unit are traced.
TRACED = FOLDER + """\ncat $(sed 's|.*|/proc/&/status|' "$group/cgroup.procs") 2>/dev/null | grep -c '^TracerPid:.[1-9]' || :"""


class Traced(OfService, kw_only=True):
    """Calls of a service are caught on each host of the target."""

    def means(self, unit: str) -> Means:
        """When strace ends, however it does, the kernel lets go of what it traced. A service that died of it is started again."""
        attach = ATTACH.replace("{unit}", unit).replace("{calls}", CALLS).replace("{what}", self.what())
        return Means("strace", attach, f"systemctl reset-failed {unit}; systemctl start --no-block {unit}")

    @abstractmethod
    def what(self) -> str:
        """What is done to a call, as strace's `inject` has it."""

    def able(self, scene: Scene) -> str:
        """Whether strace is there, and may trace."""
        may = f"strace -qq -o /dev/null -e trace={CALLS} true 2>/dev/null || echo strace is missing, or may not trace"
        return f"{super().able(scene)}\n{may}"

    def caught(self, applied: Applied, word: str) -> dict[str, tuple[int, float]]:
        """Of each host: how many calls strace marked with this word, and the seconds of the shortest. NotProved for none."""
        count = (
            f"/{word}/ && match($NF, /^<[0-9.]+>$/) {{ n++; t = substr($NF, 2, length($NF) - 2) + 0; if (n == 1 || t < m) m = t }}"
        )
        said = applied.ask(f"awk '{count} END {{ print n + 0, m + 0 }}' {self.folder}/calls")
        found = {name: (int(text.split()[0]), float(text.split()[1])) for name, text in said.items()}
        if idle := [name for name, (calls, _) in found.items() if not calls]:
            raise NotProved(f"{self.id}: the service called none of {CALLS} on {', '.join(idle)}; expected it to write")
        return found

    def healed(self, applied: Applied) -> str:
        """Nothing traces it, and it runs."""
        self.runs(applied)
        traced = applied.ask({name: TRACED.replace("{unit}", unit) for name, unit in applied.said.items()})
        if still := [name for name, count in traced.items() if count != "0"]:
            raise NotProved(f"{self.id}: the service is still traced on {', '.join(still)}")
        return f"the service runs on {', '.join(applied.said)}, and nothing traces it"
