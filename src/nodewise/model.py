"""The nouns, as data: what every part of Nodewise agrees on. Nothing here does anything.

`msgspec.convert(value, Observation)` is the contract check: it names the path of what is off. Unknown values are `None` with an
entry in `errors`, never 0 or "".
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Role = Literal["leader", "follower", "learner", "primary", "replica", "peer"]
Outcome = Literal["upgraded", "unchanged", "refused", "rolled_back", "held", "needs_human", "planned"]

GOOD: tuple[Outcome, ...] = ("upgraded", "unchanged", "planned")


class Member(msgspec.Struct, forbid_unknown_fields=True):
    """One member of a cluster as it was seen; one that is expected and was not seen has `serving` false and an error."""

    name: str
    version: str | None  # of the running process, as it says itself
    role: Role | None
    serving: bool
    lag: int | None  # entries or bytes behind the furthest member
    fingerprint: str | None
    started_at: str | None  # of the process: tells a restart
    errors: list[str]


class Cluster(msgspec.Struct, forbid_unknown_fields=True):
    """What the members agree on; `None` where they do not, or where nobody could be asked."""

    id: str | None
    version: str | None  # the version that the cluster acts as: the lowest minor of its members, in etcd's case
    leader: str | None
    quorum: int | None  # how many members must serve for it to take writes
    fingerprint: str | None
    fingerprint_at: int | None  # the revision, or log position, at which fingerprints were compared
    alarms: list[str] | None


class Observation(msgspec.Struct, forbid_unknown_fields=True):
    """What the cluster says about itself at one moment (`at`: UTC, ISO 8601 with milliseconds)."""

    system: str
    at: str
    cluster: Cluster
    members: list[Member]


class Artifact(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One file of a release. `kind` says how it is unpacked: a Debian package or a tar archive."""

    url: str
    sha256: str
    kind: Literal["deb", "tar"]
    size: int | None = None
    package: str | None = None  # for a deb: name=version, exactly


class Release(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A version with its artifacts. `binaries` maps each program to its path inside the unpacked artifacts."""

    version: str
    artifacts: list[Artifact]
    binaries: dict[str, str] = {}


class Gate(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A named question about observations: `that` is JMESPath and must be exactly `true`; `shows` is the evidence for a no."""

    name: str
    that: str
    says: str  # what is wrong when it is not true, in one line
    shows: str = "@"


class Step(msgspec.Struct, forbid_unknown_fields=True):
    """One re-runnable unit of change, from a role's meta/upgrade.yml. After it the cluster is observed until `settled`.

    It is written out with all its fields, as tasks read them.
    """

    name: str
    file: str | None = None  # roles/<system>/tasks/upgrade/<file>.yml; None: nothing to do but to observe
    only: Literal["always", "leader"] = "always"
    after: list[str] = []  # names of gates that must hold when it is done
    settled: dict[str, Any] = {}
    undo: str | None = None  # file that takes it back, or None when there is nothing to take back


class Settings(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What an operator may say about one upgrade."""

    accept_outage: bool = False
    soak: float = 0.0  # seconds to watch after the first node
    deadline: float = 120.0  # seconds that a node may take to settle after a change


class Declaration(msgspec.Struct, forbid_unknown_fields=True):
    """A role's meta/upgrade.yml: how one node of its system is upgraded, as plain data."""

    ready: list[str]  # gates that must hold before anything begins
    steps: list[Step]
    finalize: Step
    gates: dict[str, Any] = {}
    point_of_no_return: str | None = None


class Turn(msgspec.Struct, forbid_unknown_fields=True):
    """The nodes that are changed together, and why now."""

    nodes: list[str]
    reason: str


class Subject(msgspec.Struct, frozen=True):
    """Which cluster an upgrade is about. `role` is the FQCN of the role that knows the system."""

    cluster: str
    system: str
    role: str
    members: list[str]


class Plan(msgspec.Struct, forbid_unknown_fields=True):
    """Everything that will be done, resolved before anything changes.

    `hash` covers what an operator approves (members, versions, artifacts, rules, steps, gates), not the order: a leader that
    moves is no drift.
    """

    cluster: str
    system: str
    role: str  # FQCN of the role that knows the system
    members: list[str]
    versions: dict[str, str]  # member -> version that runs now
    cluster_version: str | None  # what the cluster acts as before the first change: tells whether going back is still legal
    to: str
    hops: list[str]
    release: Release
    turns: list[Turn]
    steps: list[Step]
    finalize: Step
    gates: dict[str, Gate]
    point_of_no_return: str | None  # when going back ends, in one line; None when it never does
    settings: Settings
    hash: str = ""


class Operation(msgspec.Struct, omit_defaults=True):
    """One line of a history. An `invoke` is followed by one `ok`, `fail` (did not happen) or `info` (may have happened)."""

    process: int
    type: Literal["invoke", "ok", "fail", "info"]
    f: str
    key: Any
    value: Any
    time: int  # ns, monotonic, from the start of the history
    node: str | None = None
    error: str | None = None
    final: bool = False  # a read after the workload has ended and the cluster has settled


class Verdict(msgspec.Struct, omit_defaults=True):
    """What a checker says. `operations` are the evidence; `lost` counts acknowledged writes that are gone."""

    checker: str
    valid: Literal["valid", "invalid", "unknown"]
    says: str
    operations: list[Operation] = []
    lost: int = 0
