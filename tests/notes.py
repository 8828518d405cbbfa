"""The toy system of a user's own collection, `acme.demo.notes`: each member is a file that its modules read and write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nodewise.record import journal

NAMES = ("n1", "n2", "n3")


class Notes:
    """Three members, the second of which leads, and the record of the last run over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        for name in NAMES:
            role = "leader" if name == "n2" else "follower"
            self.member(name, version="1.0.0", role=role, data="same", serving=True, starts=0, started_at="1")
        self.inventory(notes={name: {} for name in NAMES})

    def inventory(self, **groups: dict[str, Any]) -> None:
        """Write the inventory: hosts with their variables, for each group."""
        written = {name: {"hosts": hosts, "vars": self.variables()} for name, hosts in groups.items()}
        (self.folder / "hosts.yml").write_text(json.dumps(written))

    def variables(self) -> dict[str, Any]:
        """What the group says of the system."""
        return {"nodewise_system": "acme.demo.notes", "notes_folder": str(self.folder)}

    def member(self, name: str, **fields: Any) -> dict[str, Any]:
        """A member's state, after the given fields were changed."""
        path = self.folder / f"{name}.json"
        state = {**(json.loads(path.read_text()) if path.exists() else {}), **fields}
        path.write_text(json.dumps(state))
        return state

    def cluster(self, **fields: Any) -> dict[str, Any]:
        """What all members share, after the given fields were changed."""
        path = self.folder / "cluster.json"
        state = {**(json.loads(path.read_text()) if path.exists() else {}), **fields}
        path.write_text(json.dumps(state))
        return state

    def next_run(self) -> None:
        """A folder of its own for the next run."""
        self.run_dir = self.run_dir.with_name(f"{self.run_dir.name}+")

    def journal(self) -> list[dict[str, Any]]:
        """The records of the last run."""
        return journal.read(self.run_dir / "journal.jsonl")

    def journal_plan(self) -> str:
        """The plan of the last run in words."""
        return str(next(record["plan"] for record in self.journal() if "plan" in record))

    def summary(self) -> dict[str, Any]:
        """How the last run ended."""
        return dict(json.loads((self.run_dir / "summary.json").read_text()))

    def versions(self) -> dict[str, str]:
        """What each member runs."""
        return {name: self.member(name)["version"] for name in NAMES}

    def starts(self) -> dict[str, int]:
        """How often each was restarted."""
        return {name: self.member(name)["starts"] for name in NAMES}
