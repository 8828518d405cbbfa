"""One upgrade of a cluster at a time, from one folder of runs. Other controllers are not seen from here."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

from nodewise.errors import Refused


def hold(path: Path, pid: int, run: str) -> None:
    """Hold the lock for as long as the process `pid` lives; raises Refused with the holder while another one does.

    A process is known by its number and start time, so that a number that is used again holds nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        holder = _read(file.read())
        if holder and holder["pid"] != pid and _began(holder["pid"]) == holder["began"]:
            raise Refused(
                f"run {holder['run']} is at work on this cluster (process {holder['pid']}); one upgrade at a time.\n"
                "Wait for its end, then run this command again"
            )
        file.truncate(0)
        file.write(json.dumps({"pid": pid, "began": _began(pid), "run": run}) + "\n")


def _read(text: str) -> dict[str, Any] | None:
    try:
        return dict(json.loads(text))
    except ValueError:  # empty, or torn by a crash: nobody holds it
        return None


def _began(pid: int | str) -> str | None:
    """When a process began, in ticks since the boot; None when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None
