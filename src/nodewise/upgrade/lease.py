# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lease over a cluster, as its nodes answered: whose process holds it, whether that one is gone, and whether it is ours."""

from __future__ import annotations

import os
import pwd
import socket
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nodewise.record.commands import command

TTL = 300.0  # seconds at least: a run that is busy elsewhere renews it in time, and a dead one's is not waited for all day
GONE = "ZX"  # states of a process that has ended and that nobody has asked for yet

Answer = Mapping[str, Any]  # granted, holder, says


def me(pid: int) -> dict[str, Any]:
    """A process of this machine, so that it can be told later whether it is gone."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"boot": boot, "pids": str(Path("/proc/self/ns/pid").readlink()), "pid": pid, "began": _began(pid)}


def who() -> str:
    """The operator, for others: user@host."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def dead(controller: Mapping[str, Any]) -> bool:
    """Whether a process is known to be gone. Of one that ran on another machine, or before a reboot, nothing is known: False."""
    own = me(os.getpid())
    if not controller.get("began") or any(controller.get(key) != own[key] for key in ("boot", "pids")):
        return False
    return _began(int(controller["pid"])) != int(controller["began"])


def fence(states: Iterable[Mapping[str, Any] | None]) -> int:
    """The number for the next lease: higher than any that a member has."""
    return 1 + max((int(state.get("fence", 0)) for state in states if state), default=0)


def over(states: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """The runs that hold a lease and whose process is known to be gone."""
    leases = [state["lease"] for state in states if state and state.get("lease")]
    return sorted({lease["run"] for lease in leases if dead(lease.get("controller") or {})})


def missing(answers: Mapping[str, Answer | None], members: Iterable[str]) -> list[str]:
    """The members that are not ours, by name; one that did not answer is none of ours."""
    return sorted(name for name in members if not (answers.get(name) or {}).get("granted"))


def majority(answers: Mapping[str, Answer | None], members: list[str]) -> bool:
    """Whether more than half of the members are ours: then nobody else can have as many."""
    return 2 * len(missing(answers, members)) < len(members)


def verdict(answers: Mapping[str, Answer | None], members: list[str]) -> str:
    """Nothing when every member is ours; else why not, and what to do about it, in two lines."""
    lost = missing(answers, members)
    if not lost:
        return ""
    for name in lost:
        holder = (answers.get(name) or {}).get("holder")
        if holder:
            held = [other for other in lost if ((answers.get(other) or {}).get("holder") or {}).get("run") == holder["run"]]
            return f"{held_by(holder)} ({', '.join(held)})\n{way_out(holder['run'])}"
    says = {name: (answers.get(name) or {}).get("says") or "no answer" for name in lost}
    why = "; ".join(f"{', '.join(name for name in lost if says[name] == one)}: {one}" for one in dict.fromkeys(says.values()))
    return f"The lease was not granted by {why}\nEvery member has to grant it before one is changed: see to that, then run it again"


def due(own: Mapping[str, Any], seconds: float) -> bool:
    """Whether what a node granted (`ttl`, `expires`: epoch) is to be renewed: half of it is over, or it ends in `seconds` more."""
    return bool(own.get("granted")) and own["expires"] - time.time() <= own["ttl"] / 2 + seconds


def held_by(holder: Mapping[str, Any]) -> str:
    """Who holds the cluster, and until when."""
    until = datetime.fromtimestamp(holder["expires"], UTC)
    return f"run {holder['run']} of {holder['who']} holds the cluster until {until.isoformat(timespec='seconds')}"


def way_out(run: str) -> str:
    """What an operator can do about a holder."""
    return f"Wait for its end, then run it again; if it is dead, take it away: {command('unlock', f'-e nodewise_confirm={run}')}"


def _began(pid: int) -> int | None:
    """When a process began, in ticks since the boot; None when there is none, or only what is left of one."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if words[0] in GONE else int(words[19])
