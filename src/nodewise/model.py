# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nouns, as data: what every part of Nodewise agrees on. Nothing here does anything.

`msgspec.convert(value, Observation)` is the contract check: it names the path of what is off. Unknown values are `None` with an
entry in `errors`, never 0 or "".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

Role = Literal["leader", "follower", "learner", "primary", "replica", "peer"]
Kind = Literal["upgrade", "rollback", "restart", "configure", "reboot"]  # of a run that changes members one after the other
Outcome = Literal[
    "upgraded",
    "changed",
    "unchanged",
    "refused",
    "rolled_back",
    "paused",
    "intervention_required",
    "interrupted",
    "planned",
    "passed",
    "failed",
]
ReasonCode = Literal[  # why a run is paused, or needs an operator: docs/glossary.md says what each means
    "approval_needed",
    "cannot_go_back",
    "data_differs",
    "finalize_failed",
    "interrupted",
    "lease_lost",
    "member_cut_off",
    "member_lost",
    "members_not_serving",
    "no_successor",
    "packages_busy",
    "quorum_at_risk",
    "recover_failed",
    "step_failed",
    "undo_failed",
    "window_closed",
]

BACK = ("members_expected", "members_serving", "node_at_target", "fingerprints_equal")  # where a system does not say more
GOOD: tuple[Outcome, ...] = ("upgraded", "changed", "unchanged", "planned", "passed")
KINDS: tuple[Kind, ...] = get_args(Kind)
STAYING: tuple[Kind, ...] = ("restart", "configure", "reboot")  # kinds of a run that changes no version


def good(kind: str | None, outcome: str | None) -> bool:
    """Whether a run of a kind ended as it was meant to: being rolled back is what a rollback is for."""
    return outcome in GOOD or (kind, outcome) == ("rollback", "rolled_back")


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
    details: dict[str, Any] = {}  # what only this system knows; its own gates ask for it. `candidate` false: may not take over


class Cluster(msgspec.Struct, forbid_unknown_fields=True):
    """What the members agree on; `None` where they do not, or where nobody could be asked."""

    id: str | None
    version: str | None  # the version that the cluster acts as: the lowest minor of its members, in etcd's case
    leader: str | None
    quorum: int | None  # how many members must serve for it to take writes
    fingerprint: str | None
    fingerprint_at: int | None  # the revision, or log position, at which fingerprints were compared
    alarms: list[str] | None
    details: dict[str, Any] = {}  # what only this system knows


class Observation(msgspec.Struct, forbid_unknown_fields=True):
    """What the cluster says about itself at one moment (`at`: UTC, ISO 8601 with milliseconds)."""

    system: str
    at: str
    cluster: Cluster
    members: list[Member]


Observations = Mapping[str, Observation]  # quorum group -> what it says of itself


class Artifact(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One file of a release. `kind` says what becomes of it: unpacked, installed (package), or pulled by podman (image).

    A package without URL and checksum is one that only the nodes still have.
    """

    url: str
    sha256: str
    kind: Literal["deb", "tar", "wheel", "package", "image"]
    size: int | None = None
    package: str | None = None  # name=version, exactly


class Release(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A version with its artifacts. `binaries` maps each program to its path inside the unpacked artifacts."""

    version: str
    artifacts: list[Artifact]
    binaries: dict[str, str] = {}


class Gate(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A named question about observations: `that` is JMESPath and must be exactly `true`; `shows` is the evidence for a no.

    `measured` and `bound` are JMESPath, too, for a number or null (a bound may be the number itself); a gate has both or neither.
    """

    name: str
    that: str
    fail_msg: str  # what is wrong when it is not true, in one line
    shows: str = "@"
    measured: str | None = None
    bound: int | float | str | None = None
    waivable: bool = True  # whether an operator may let a no pass: never where it is about data, or about what runs


class Step(msgspec.Struct, forbid_unknown_fields=True):
    """One re-runnable unit of change, from a role's meta/upgrade.yml. After it the cluster is observed until `settled`.

    It is written out with all its fields, as tasks read them.
    """

    name: str
    verb: str | None = None  # of the system: roles/<system>/tasks/<verb>.yml; None: nothing to do but to observe
    only: Literal["always", "leader"] = "always"
    after: list[str] = []  # names of gates that must hold when it is done
    settled: dict[str, Any] = {}
    undo: str | None = None  # verb that takes it back, or None when there is nothing to take back
    observes: bool = False  # its verb ends with the observation, so the upgrade does not ask the node once more
    checks_mixed_versions: bool = False  # that observation shows that old and new members read each other's writes
    suites: bool = False  # of a step of the cluster: whether the run's suites of tier core are passed after it, on every member


class Settings(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What an operator may say about one upgrade."""

    waive: dict[str, str] = {}  # gates, refusals (reason codes) and hashes of differences that may pass -> why
    soak: float = 0.0  # seconds to watch after the first node
    deadline: float = 120.0  # seconds that a node may take to settle after a change
    suites: list[str] = []  # smoke suites: of tier core after each node, of tier basic at the end of each hop
    deep_check: bool = False  # whether every member's data is verified in depth at the end of each hop
    mixed_version_check: bool = False  # whether old and new members are shown to read each other's writes, in each batch
    max_unavailable: str = "1"  # of a group's members that do not need one another, how many may be changed at once: 2, or 25%


class NoReturn(msgspec.Struct, forbid_unknown_fields=True):
    """When going back ends. `says` is one line; it lies before the last member's batch, finalizing, or a step of the cluster."""

    before: str  # last_member, finalize, or the name of a step of the cluster
    says: str


Trait = Literal["quorum", "leader", "fingerprint"]  # what not every system has


class Without(msgspec.Struct, forbid_unknown_fields=True):
    """What a declaration does without where the description of a service lacks something."""

    steps: list[str] = []  # by name, of a node
    gates: list[str] = []
    lacks: list[Trait] = []
    together: bool = True  # false: then no two members are changed at once
    gap: str = ""  # what is not watched or checked then, for the plan


class Declaration(msgspec.Struct, forbid_unknown_fields=True):
    """A role's meta/upgrade.yml: how its system is upgraded, as plain data.

    Steps of the cluster are done by one member, in each hop. One whose gates hold is done: that is how a run is resumed.
    """

    ready: list[str]  # gates that must hold before anything begins
    steps: list[Step]  # of one node
    finalize: Step
    before_first: list[Step] = []  # of the cluster, before the first node
    after_last: list[Step] = []  # of the cluster, after the last node
    lacks: list[Trait] = []  # what the system does not have: its null in an observation is not applicable, and not unknown
    gates: dict[str, Any] = {}
    point_of_no_return: NoReturn | None = None
    back: list[str] = msgspec.field(default_factory=lambda: [*BACK])  # gates that must hold when a node was put back
    restarts: str = "switch"  # the step that stops the member and starts it
    clears: list[str] = []  # gates of `ready` for which a restart is the cure: asked after one, and not before it
    together: bool = False  # whether members do not need one another, so that several of a group may be changed at once
    described_by: str = ""  # variable with a mapping that describes the service, where one role serves many
    without: dict[str, Without] = {}  # key of that mapping -> what is left out where it is empty or not there
    unasked: list[str] = []  # gates that are never asked
    gaps: list[str] = []  # what is not watched or checked, and why


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    """The nodes that are changed together, and why now."""

    nodes: list[str]
    reason: str
    to: str = ""  # the version that it leads to


class Hop(msgspec.Struct, forbid_unknown_fields=True):
    """One version up (or down, in a rollback): every member reaches `to` before the next hop begins."""

    start: str  # the lowest version that runs when it begins
    to: str
    release: Release
    no_return: NoReturn | None  # None: the old version can be put back at any time
    back: Release | None = None  # what going back needs on the nodes, when it is not there by itself


class Change(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a restart, a reboot or changed settings are for the members, whose version stays what it is."""

    waiting: list[str]  # members that it had not reached when the plan was made, as they were observed then
    was: dict[str, str] = {}  # member -> what tells it from before the change: when its process, or its machine, had begun
    wanted: dict[str, str] = {}  # member -> what its files are to be, as a digest that only the node can make
    shows: dict[str, list[str]] = {}  # member -> what becomes different there, a line each, without secrets
    step: str = ""  # the step with which it has reached a member
    patch: str = ""  # a command that is run on each node before its reboot
    since: str = ""  # when the change that is gone on with was begun (UTC); empty for a new one


class Subject(msgspec.Struct, frozen=True):
    """Which cluster an upgrade is about.

    `role` is the FQCN of the role that knows the system. `groups` are its independent quorum groups, by name; a cluster that has
    none is one group. `domains` says in which failure domain a node lies, where that was told. `component` is the part of the
    system that is upgraded on its own, empty for the system itself.
    """

    cluster: str
    system: str
    role: str
    groups: dict[str, list[str]]
    domains: dict[str, str] = {}
    component: str = ""


class Plan(msgspec.Struct, forbid_unknown_fields=True):
    """Everything that will be done, resolved before anything changes.

    `hash` covers what an operator approves (members, versions, artifacts, rules, steps, gates), not the order: a leader that
    moves is no drift. It stays the same when a run is resumed, as `versions` and `acts_as` are those of before the first change.
    """

    kind: Kind
    cluster: str
    system: str
    role: str  # FQCN of the role that knows the system
    groups: dict[str, list[str]]  # independent quorum groups: their members, by name
    domains: dict[str, str]  # member -> failure domain, where one is known
    versions: dict[str, str]  # member -> version that ran before the first change
    acts_as: dict[str, str | None]  # group -> what it acted as before the first change
    to: str
    hops: list[Hop]
    batches: list[Batch]  # of all hops, one after the other, as they would be now
    steps: list[Step]
    finalize: Step
    gates: dict[str, Gate]
    settings: Settings
    recover: dict[str, Release] = {}  # member that is down and brought back first -> release to bring it back with
    gaps: list[str] = []  # what will not be watched or checked, and why
    ids: dict[str, str | None] = {}  # group -> its cluster's id before the first change
    before_first: list[Step] = []  # of the cluster
    after_last: list[Step] = []
    lacks: list[Trait] = []
    together: bool = False  # whether several of a group's members may be changed at once
    ready: list[str] = []  # gates that held before anything began
    back: list[str] = []  # gates that must hold when a node was put back
    component: str = ""  # the part of the system that is upgraded, when it is not the system itself
    change: Change | None = None  # of a run that changes no version
    hash: str = ""

    @property
    def members(self) -> list[str]:
        """All members, by name."""
        return sorted(name for names in self.groups.values() for name in names)

    def group_of(self, node: str) -> str:
        """The quorum group of a member."""
        return next(group for group, names in self.groups.items() if node in names)


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
    stale: bool = False  # a read of a replica, which may be behind: only promised to be no phantom
    old: Any = None  # of a compare-and-set: what has to be there for `value` to take its place; None: nothing
    refused: bool = False  # a `fail` that is an answer: the system compared, or counted, and said no


class Verdict(msgspec.Struct, omit_defaults=True):
    """What a checker says. `operations` are the evidence; `lost` counts acknowledged writes that are gone."""

    checker: str
    valid: Literal["valid", "invalid", "unknown"]
    says: str
    operations: list[Operation] = []
    lost: int = 0
