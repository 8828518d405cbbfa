"""A controller that is killed as soon as something is in its journal, and the next one, of the same checkout or of another."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from nodewise.testnet.home import checkout
from tests.simulation.bad_days import Day
from tests.system.cluster import Cluster, Ended

Kind = tuple[str, ...]
KINDS = ("step", "gate", "observe", "note")
NOTES = ("plan", "backup", "hop", "batch", "approved", "outcome", "members")
SERVES_S = 60  # seconds in which a node whose controller died in the middle of its step serves again


def kind_of(record: dict[str, Any]) -> Kind:
    """What kind of entry a record is: its step and phase, or a note by what it brings; of a node, or of the cluster."""
    brings = [name for name in NOTES if name in record]
    of = "node" if record.get("node") and record.get("step") not in ("secure", "stage") else "cluster"
    return (record["kind"], record.get("step", "".join(brings)), record["phase"], of)


def kinds_of(ended: Ended) -> set[Kind]:
    """Those of a run's journal."""
    return {kind_of(record) for phase in ("begin", "end") for kind in KINDS for record in ended.journal(kind, phase)}


def clones(folder: Path) -> Iterator[Path | None]:
    """By turns the same checkout, which has the record of the run before, and a fresh clone, which has none."""
    for number in count():
        yield None
        subprocess.run(["git", "clone", "-q", str(checkout()), str(folder / str(number))], check=True)
        (folder / str(number) / ".venv").symlink_to(checkout() / ".venv")
        yield folder / str(number)


def serves(cluster: Cluster, node: str) -> float:
    """Seconds until a node serves, with nobody to help it."""
    began = time.monotonic()
    while time.monotonic() - began < SERVES_S:
        if cluster.serves(node):
            return time.monotonic() - began
        time.sleep(0.2)
    raise AssertionError(f"{node} does not serve {SERVES_S} s after its controller died")


def to_the_end(day: Day, left: set[Kind], controllers: Iterator[Path | None]) -> Ended:
    """Run the upgrade until it ends by itself, killed each time that it writes a kind of entry that is left."""
    while True:
        running = day.cluster.start(controller=next(controllers))
        record = running.until(lambda record: kind_of(record) in left)
        if record is None:
            return running.ended()
        running.kill()
        left.discard(kind_of(record))
        if record.get("node"):
            serves(day.cluster, record["node"])
