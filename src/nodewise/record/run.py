# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of a run: a folder with everything needed to judge it again.

`journal.jsonl` is written while things happen; everything else here can be made again from it.
"""

from __future__ import annotations

import os
import platform
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import yaml
from packaging.version import Version

from nodewise import __version__, files, renamed
from nodewise.errors import UnknownResult, UsageError
from nodewise.gates.judgement import Judgement
from nodewise.model import Observation, Outcome, Plan, ReasonCode, good
from nodewise.record import journal
from nodewise.record.commands import masked
from nodewise.record.journal import Record
from nodewise.record.schema import as_kind, read, stamped

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast, and each task of a batch reads the plan


class Run:
    """One run's folder. Opening it changes nothing; any process may open it at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "journal.jsonl"
        self._reader, self._read, self._reading = journal.Reader(self.journal), list[Record](), threading.Lock()

    @classmethod
    def create(cls, folder: Path, **about: Any) -> Run:
        """Make the folder with its run.json (versions of everything, command line, commit); keeps one that is there."""
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder)
        if not (folder / "run.json").exists():
            run.write_json("run.json", {**provenance(), **about})
        return run

    def add(self, **about: Any) -> None:
        """Add to run.json what became known later."""
        self.write_json("run.json", {**self.read_json("run.json"), **about})

    @classmethod
    def of(cls, about: dict[str, Any]) -> Run | None:
        """The run that the fact `nodewise_run` names; None for a play that keeps no record."""
        return cls(Path(about["dir"])) if about.get("dir") else None

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

    def write_json(self, name: str, fields: Mapping[str, Any]) -> None:
        """Write a file of the record, with its schema number, whole or not at all."""
        files.write(self.folder / name, files.as_json(stamped(fields)))

    def read_json(self, name: str) -> dict[str, Any]:
        """A file of the record, in today's words; empty when it is not there. Raises UnknownResult where it cannot be read."""
        path = self.folder / name
        return renamed.record(read(path, msgspec.json.decode)) if path.exists() else {}

    def write_plan(self, plan: Plan) -> None:
        """Keep the plan as YAML, fully resolved."""
        files.write(self.folder / "plan.yaml", yaml.safe_dump(stamped(files.sound(plan)), sort_keys=False, width=132))

    def read_plan(self) -> Plan:
        """The plan of this run; of a change, who waits for it by now. Raises UnknownResult where it cannot be read."""
        path = self.folder / "plan.yaml"
        found = read(path, lambda content: yaml.load(content, LOADER))  # noqa: S506 (both are safe)
        plan = as_kind(path, renamed.plan(found), Plan)
        if plan.change:
            reached = self.reached(plan.change.step)
            plan.change.waiting = [name for name in plan.change.waiting if name not in reached]
        return plan

    def reached(self, step: str) -> set[str]:
        """The members on which a step ended well in this run: with all of its gates."""
        return {str(r["node"]) for r in self.records("step", "end") if r["step"] == step and r["ok"] and r.get("node")}

    def fresh(self, group: str, seconds: float) -> bool:
        """Whether a group was observed in the last `seconds`, and no step of the plan was begun since."""
        plan = self.read_plan()
        names = {step.name for step in (*plan.before_first, *plan.steps, *plan.after_last)}
        since = max((r["t"] for r in self.records("step", "begin") if r["step"] in names), default=0)
        seen = max((r["t"] for r in self.records("observe") if r.get("group") == group), default=0)
        return bool(seen > max(since, time.time_ns() - seconds * 1e9))

    def begin(self, step: str, **fields: Any) -> None:
        """Intent: on disk before the step's change."""
        journal.append(self.journal, "step", "begin", step=step, **fields)

    def under_way(self, step: str) -> bool:
        """Whether a step of the cluster was begun and has not ended."""
        return [r["phase"] for r in self.records("step") if r["step"] == step and not r.get("node")][-1:] == ["begin"]

    def end(self, step: str, ok: bool, **fields: Any) -> None:
        """Result of the step that was begun last under this name (and node), with its duration."""
        begun = [r for r in self.records("step", "begin") if r["step"] == step and r.get("node") == fields.get("node")]
        took = round((time.time_ns() - begun[-1]["t"]) / 1e9, 3) if begun else 0.0
        journal.append(self.journal, "step", "end", step=step, ok=ok, duration_s=took, **fields)

    def observed(self, observation: Observation, missing: Iterable[str], **fields: Any) -> None:
        """Keep an observation, with what was still missing of what was waited for."""
        journal.append(
            self.journal, "observe", "end", observation=msgspec.to_builtins(observation), missing=list(missing), **fields
        )

    def judged(self, judgements: Iterable[Judgement], **fields: Any) -> None:
        """Keep what came of gates, in one write."""
        journal.extend(self.journal, [{"kind": "gate", "phase": "end", **one.record(), **fields} for one in judgements])

    def note(self, text: str, **fields: Any) -> None:
        """Something worth telling."""
        journal.append(self.journal, "note", "end", text=text, **fields)

    def conclude(self, outcome: Outcome, text: str, reason_code: ReasonCode | None = None) -> None:
        """Decide how the run ends; one that is paused says why in a word. The first decision stands: what follows winds up.

        Only of members that were changed together a later one may be worse off than the one that was put back first.
        """
        decided = self.outcome()
        if decided is None or (decided[0] == "rolled_back" and outcome in ("paused", "intervention_required")):
            why = {"reason_code": reason_code} if reason_code else {}
            self.note(text, outcome=outcome, good=good(self.read_json("run.json").get("kind"), outcome), **why)

    def outcome(self) -> tuple[Outcome, str] | None:
        """The outcome that was decided and its reason; None while nothing is."""
        decided = self._decided()
        return (decided["outcome"], decided["text"]) if decided else None

    def reason_code(self) -> str | None:
        """Why the run paused, in a word; None where it did not, or where an older version wrote the record."""
        return (self._decided() or {}).get("reason_code")

    def _decided(self) -> Record | None:
        return next((record for record in reversed(self.records("note")) if "outcome" in record), None)

    def records(self, kind: str | None = None, phase: str | None = None) -> list[Record]:
        """The journal's records of a kind and phase, oldest first; each is read once, however often this is asked."""
        with self._reading:
            if not self._read:
                self.read_json("run.json")  # its schema number is the journal's, too
            self._read += self._reader.more()
            return [r for r in self._read if kind in (None, r["kind"]) and phase in (None, r["phase"])]

    def observations(self, before: int | None = None) -> dict[str, Observation]:
        """The last observation of each quorum group, of those that were made before a record of this number."""
        seen = [r for r in self.records("observe") if before is None or r["seq"] < before]
        latest = {_group(r): r["observation"] for r in seen}
        return {group: as_kind(self.journal, told, Observation) for group, told in latest.items()}

    def running_before(self) -> str | None:
        """The lowest version that ran when the run began; None when nobody said."""
        first: dict[str, Record] = {}
        for record in self.records("observe"):
            first.setdefault(_group(record), record)
        versions = [m["version"] for r in first.values() for m in r["observation"]["members"] if m["version"]]
        return min(versions, key=Version, default=None)

    def before_batch(self) -> dict[str, Observation]:
        """What the current batch was resolved from: the last observations before it began, or of all where none has."""
        return self.observations(max((r["seq"] for r in self.records("note") if "batch" in r), default=None))

    def batch(self) -> list[str]:
        """The members of the current batch; none before the first."""
        return list(next((r["nodes"] for r in reversed(self.records("note")) if "batch" in r), []))

    def before_last(self, group: str) -> Observation | None:
        """The observation of a group before its last one."""
        seen = [r for r in self.records("observe") if _group(r) == group]
        return as_kind(self.journal, seen[-2]["observation"], Observation) if len(seen) > 1 else None

    def missing(self, group: str) -> list[str]:
        """What the last observation of a group still lacked of what was waited for."""
        return list(next(r["missing"] for r in reversed(self.records("observe")) if _group(r) == group))

    def hop(self) -> Record | None:
        """The note with which the current hop began: `hop` (its number from 0) and `acts_as` (group -> version before it)."""
        return next((r for r in reversed(self.records("note")) if "hop" in r), None)

    def failure(self) -> str:
        """Why the last step that failed did, in one line."""
        failed = [r for r in self.records("step", "end") if not r["ok"] and r.get("error")]
        return f"{failed[-1]['step']} failed: {failed[-1]['error']}" if failed else "a step failed without a message"


def readable(folder: Path) -> None:
    """Nothing, or UsageError for the record of a version whose files this one would misread."""
    try:
        Run(folder).read_json("run.json")
    except UnknownResult as error:
        raise UsageError(str(error)) from None


def runs() -> Path:
    """Where the records of runs are: `runs/` in the working folder, where that is a project or the user's own.

    Elsewhere it is that of the project around the working folder, or of the user: nobody looks for a record in `/runs`.
    """
    here, home = Path.cwd(), Path.home()
    own = any(here.is_relative_to(folder) for folder in (home, Path(tempfile.gettempdir())))
    if own or _project(here) or any(here.glob("inventor*")):
        return here / "runs"
    around = next((folder for folder in here.parents if _project(folder)), None)
    return around / "runs" if around else Path(os.environ.get("XDG_STATE_HOME") or home / ".local/state") / "nodewise/runs"


def _project(folder: Path) -> bool:
    return (folder / "ansible.cfg").exists() and folder != folder.parent


def new_folder(base: Path, kind: str, cluster: str) -> Path:
    """A folder for a new run: sorts by time, and no two runs share one."""
    return base / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{kind}-{cluster}-{secrets.token_hex(2)}"


def provenance() -> dict[str, Any]:
    """What this run was made with and by which words."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return {
        "nodewise": __version__,
        "python": platform.python_version(),
        "ansible_core": _version_of("ansible-core"),
        "commit": git.stdout.strip() or None,
        "command": masked(sys.argv),
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _group(record: Record) -> str:
    """The quorum group of an observation; a run of one group may leave it out."""
    return str(record.get("group") or "cluster")


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
