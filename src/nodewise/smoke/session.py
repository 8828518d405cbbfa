# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One suite, run once over its hosts: planned before anything runs, recorded below `<run>/smoke/<id>/`, judged by gates.

`plan.json` says what is expected (scripts times hosts); each host adds `<host>/results.json`; `results.json` is the judgement.
What is expected and not there has failed, whatever the reason.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from nodewise import files
from nodewise.errors import Refused, UsageError
from nodewise.gates.judgement import Judgement, judge, unmet
from nodewise.gates.vocabulary import parse_gates
from nodewise.smoke.asked import refuse_unknown
from nodewise.smoke.suite import Script, Suite, Tier, Where
from nodewise.smoke.verdict import Result, silent

CONTROLLER = "controller"
SHOWN = 20  # changes of a pinned suite that are named
Read = TypeVar("Read")


class Session(msgspec.Struct, kw_only=True):
    """What will be run: `expected` results, one for each script on each host."""

    id: str
    suite: str
    folder: str  # of the suite
    digest: str
    files: dict[str, str]
    where: Where
    serial: bool
    workers: int
    tier: Tier
    hosts: list[str]
    scripts: list[Script]
    cluster: str = ""
    about: str = ""  # why it is run, such as the current node
    begun: float = 0.0  # seconds since the epoch
    gates: dict[str, Any] = {}
    changed: list[str] = []  # of a pinned suite: what is not as it was last time
    was: str = ""  # the run or pin that it is held against

    @property
    def expected(self) -> int:
        """How many results there must be."""
        return len(self.hosts) * len(self.scripts)


class Counts(msgspec.Struct, kw_only=True):
    """Results by their verdict; `cases` are those that scripts told of."""

    expected: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    flaky: int = 0
    timeouts: int = 0
    reported: int = 0
    cases: int = 0
    cases_failed: int = 0


ASKED = (*Counts.__struct_fields__, "suite", "tier", "hosts", "failures", "changed")  # what `context` has


class Concluded(msgspec.Struct, kw_only=True):
    """A session that was judged."""

    session: Session
    counts: Counts
    results: list[Result]
    judgements: list[Judgement]

    @property
    def ok(self) -> bool:
        """Whether all gates passed."""
        return all(one.ok for one in self.judgements)

    @property
    def reason(self) -> str:
        """What does not hold, on one line."""
        return unmet([one for one in self.judgements if not one.ok])

    def blamed(self) -> list[str]:
        """The hosts whose own results do not hold; all of them when it cannot be said whose."""
        bad = sorted({one.host for one in self.results if one.status == "fail"})
        return bad or ([] if self.ok else self.session.hosts)


class Wish(msgspec.Struct, kw_only=True):
    """What an operator asks of all suites of a run."""

    tier: Tier = "core"
    slow: bool = True
    parallel: bool = False  # whether scripts may run at once where their suite allows it
    workers: int = 4
    pins: dict[str, str] = {}  # suite -> digest, or the beginning of one


def plan(folder: Path, suites: list[Suite], wish: Wish, hosts: dict[str, str | None], **about: str) -> list[Session]:
    """Plan a session of each suite that has scripts of the tier, and make its folder. Raises UsageError when none has any.

    `folder`: the run's. `hosts`: those to run on, with the version that each runs where it is known.
    """
    for one in suites:  # what cannot be asked is refused before anything runs
        refuse_unknown(parse_gates(one.gates), {"smoke": ASKED})
    chosen = [(suite, suite.chosen(wish.tier, slow=wish.slow)) for suite in suites]
    names = [one.name for one in suites]
    made = [
        _session(folder, suite, scripts, wish, hosts, _apart(suite, about) if names.count(suite.name) > 1 else about)
        for suite, scripts in chosen
        if scripts
    ]
    if not made:
        without = "" if wish.slow else " that is not slow"
        raise UsageError(
            f"nothing to run: no script{without} of tier {wish.tier} in {', '.join(one.name for one in suites) or 'no suite'}"
        )
    return made


def _apart(suite: Suite, about: dict[str, str]) -> dict[str, str]:
    """What a session is about, with the folder of its suite: another one has its name."""
    return {**about, "about": ", ".join(filter(None, [about.get("about"), f"in {suite.folder}"]))}


def _session(
    folder: Path, suite: Suite, scripts: list[Script], wish: Wish, hosts: dict[str, str | None], about: dict[str, str]
) -> Session:
    session = Session(
        id=_own_folder(folder / "smoke", suite.name),
        suite=suite.name,
        folder=suite.folder,
        digest=suite.digest,
        files=suite.files,
        where=suite.where,
        serial=suite.serial,
        workers=wish.workers if suite.parallel and wish.parallel else 1,
        tier=wish.tier,
        hosts=_chosen(suite.where, hosts),
        scripts=scripts,
        begun=time.time(),
        gates=suite.gates,
        cluster=about.get("cluster", ""),
        about=about.get("about", ""),
    )
    session.was, session.changed = _changes(folder, session, suite.pinned, wish.pins.get(suite.name, ""))
    _write(_path(folder, session.id) / "plan.json", session)
    return session


def _own_folder(base: Path, name: str) -> str:
    """Make a folder that nobody has: a suite is run again and again in an upgrade."""
    base.mkdir(parents=True, exist_ok=True)
    for number in range(1, 100_000):
        one = name if number == 1 else f"{name}.{number}"
        try:
            (base / one).mkdir()
        except FileExistsError:
            continue
        return one
    raise Refused(f"{base} has no room for another session of {name}")


def _chosen(where: Where, hosts: dict[str, str | None]) -> list[str]:
    """On which hosts. A version that is unknown may be one of its own."""
    if where == "controller":
        return [CONTROLLER]
    if where == "one":
        return list(hosts)[:1]
    if where == "versions":
        known = {version: host for host, version in reversed(hosts.items()) if version}
        return [host for host, version in hosts.items() if not version or known[version] == host]
    return list(hosts)


def keep(folder: Path, session: str, host: str, results: list[Result]) -> None:
    """Write down what a host reported."""
    _write(_path(folder, session) / host / "results.json", results)


def conclude(folder: Path, name: str) -> Concluded:
    """Judge a session by what was reported until now, and write it down."""
    session = read(folder, name)
    results = [result for host in session.hosts for result in _reported(folder, session, host)]
    counts = count(session, results)
    asked = {**builtin(), **parse_gates(session.gates)}
    judgements = [judge(gate, context(session, counts, results)) for gate in asked.values()]
    concluded = Concluded(session=session, counts=counts, results=results, judgements=judgements)
    told = {"ok": concluded.ok, "reason": concluded.reason, **msgspec.to_builtins(concluded)}
    _write(_path(folder, name) / "results.json", told)
    return concluded


def builtin() -> dict[str, Any]:
    """The gates that hold for every suite."""
    return parse_gates(yaml.safe_load(resources.files("nodewise.smoke").joinpath("gates.yml").read_text()))


def _reported(folder: Path, session: Session, host: str) -> list[Result]:
    """A result for each script: a host's own, or a failed one."""
    try:
        found = {one.script: one for one in _load(_path(folder, session.id) / host / "results.json", list[Result])}
        why = "it was not among the host's results"
    except (OSError, msgspec.MsgspecError):
        found, why = {}, "the host gave no answer"
    return [found.get(script.name) or silent(script.name, host, why) for script in session.scripts]


def count(session: Session, results: list[Result]) -> Counts:
    """Count results. `expected` is what was planned, not what is there."""
    return Counts(
        expected=session.expected,
        passed=sum(one.status == "pass" for one in results),
        failed=sum(one.status == "fail" for one in results),
        skipped=sum(one.status == "skip" for one in results),
        flaky=sum(one.flaky for one in results),
        timeouts=sum(one.timeout for one in results),
        reported=sum(one.reported for one in results),
        cases=sum(len(one.cases) for one in results),
        cases_failed=sum(case.status == "fail" for one in results for case in one.cases),
    )


def context(session: Session, counts: Counts, results: list[Result]) -> dict[str, Any]:
    """What gates are asked about: `smoke` has the counts, suite, tier, hosts, failures (a line each) and changed."""
    failures = [f"{one.host} {one.script}: {one.reason}" for one in results if one.status == "fail"]
    more = {"suite": session.suite, "tier": session.tier, "hosts": session.hosts, "failures": failures, "changed": session.changed}
    return {"smoke": {**msgspec.to_builtins(counts), **more}}


def read(folder: Path, name: str) -> Session:
    """A session by its id. Raises UsageError."""
    try:
        return _load(_path(folder, name) / "plan.json", Session)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"{folder}/smoke/{name} is no session: {error}") from None


def sessions(folder: Path) -> list[Session]:
    """All sessions of a run, oldest first."""
    found = [read(folder, path.parent.name) for path in folder.glob("smoke/*/plan.json")]
    return sorted(found, key=lambda one: (one.begun, one.id))


def totals(folder: Path) -> dict[str, Any]:
    """All sessions of a run, for its summary.json: counts, and a line for each. Judges those that nobody has judged."""
    told, all_counts = [], Counts()
    for one in sessions(folder):
        done = conclude(folder, one.id)
        for field in Counts.__struct_fields__:
            setattr(all_counts, field, getattr(all_counts, field) + getattr(done.counts, field))
        about = {
            "id": one.id,
            "suite": one.suite,
            "tier": one.tier,
            "about": one.about,
            "digest": one.digest,
            "changed": one.changed,
        }
        told.append({**about, "hosts": one.hosts, "ok": done.ok, **msgspec.to_builtins(done.counts)})
    return {**msgspec.to_builtins(all_counts), "sessions": told}


def _changes(folder: Path, session: Session, pinned: bool, pin: str) -> tuple[str, list[str]]:
    """What a pinned suite is held against, and what is not as it was there."""
    if pin:
        return f"the pin {pin[:12]}", [] if session.digest.startswith(pin) else [f"its digest is {session.digest[:12]}"]
    last = _last(folder, session) if pinned else None
    if last is None or last[1].digest == session.digest:
        return (last[0] if last else ""), []
    before, now = last[1].files, session.files
    words = [
        f"{name} {'new' if name not in before else 'gone' if name not in now else 'changed'}" for name in sorted({**before, **now})
    ]
    changed = [word for word in words if before.get(word.rpartition(" ")[0]) != now.get(word.rpartition(" ")[0])]
    return last[0], changed[:SHOWN]


def _last(folder: Path, session: Session) -> tuple[str, Session] | None:
    """The last session of this suite on this cluster in another run beside this one."""
    found = []
    for path in folder.parent.glob(f"*/smoke/{session.suite}*/plan.json"):
        try:
            one = _load(path, Session)
        except (OSError, msgspec.MsgspecError):
            continue
        if (one.suite, one.cluster) == (session.suite, session.cluster) and path.parents[2] != folder:
            found.append((one.begun, path.parents[2].name, one))
    return max(found, key=lambda each: each[:2])[1:] if found else None


def _path(folder: Path, name: str) -> Path:
    return folder / "smoke" / name


def _load(path: Path, kind: type[Read]) -> Read:
    return msgspec.json.decode(path.read_bytes(), type=kind)


def _write(path: Path, value: Any) -> None:
    """Write a file of the record whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, files.as_json(value))


def output(folder: Path, session: str, host: str, texts: dict[str, bytes]) -> None:
    """Keep output and files of a host; a name that would leave its folder is passed over."""
    base = (_path(folder, session) / host).resolve()
    for name, text in texts.items():
        path = (base / name).resolve()
        if base in path.parents:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)


def versions(observations: Iterable[Any], members: list[str]) -> dict[str, str | None]:
    """Which version each member runs, from observations; None where nobody says."""
    known = {member.name: member.version for seen in observations for member in seen.members}
    return {name: known.get(name) for name in members}
