"""Faults as a plan: what a seed draws, who is cut off from whom, and what is no coverage. On nodes: tests/system/test_faults.py."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodewise.errors import UsageError
from nodewise.model import Operation
from nodewise.simulation.disturb import Disturbance, Window, coverage, heal_all, refuse_unable, times
from nodewise.simulation.faults import held, targets
from nodewise.simulation.faults.fault import Applied, Means, seconds
from nodewise.simulation.faults.forgetful import UNSYNCED, Forgetful
from nodewise.simulation.faults.host import Host, HostError, NotProved, Scene
from nodewise.simulation.faults.late import Line
from nodewise.simulation.faults.partition import Deaf, Partition
from nodewise.simulation.faults.registry import kinds, read
from nodewise.simulation.hosts import on_paper
from nodewise.simulation.schedule import lines, plan, refuse_unfit
from nodewise.simulation.workloads.client import Noop
from nodewise.testnet.home import checkout
from nodewise.views.summary import ending

CUT: dict[str, Any] = {"id": "cut", "kind": "partition", "from": "leader", "at": "1..3s", "for": "5..9s"}
PAUSE: dict[str, Any] = {"id": "still", "kind": "pause", "target": {"random": 1}, "after": "cut"}


class Here:
    """A host that nobody runs anything on."""

    def __init__(self, name: str) -> None:
        self.name, self.address = name, f"10.0.0.{name[4:]}"

    def run(self, script: str, timeout: float = 20) -> str:
        """Nothing is said."""
        raise AssertionError(script, timeout)


def scene(count: int, leader: str = "dev-n1") -> Scene:
    """Hosts dev-n1, ..., drawn in that order."""
    hosts: dict[str, Host] = {name: Here(name) for name in (f"dev-n{number}" for number in range(1, count + 1))}
    return Scene(hosts, list(hosts), "etcd", lambda: leader)


def hears(deaf: Deaf, every: list[str]) -> dict[str, set[str]]:
    """Whom each host hears, itself among them."""
    return {name: set(every) - deaf.get(name, set()) for name in every}


def test_a_kind_is_a_file() -> None:
    """Each file of the folder that defines a kind is found by its name, and docs/simulation.md has a row for it."""
    assert {"kill", "partition", "pause", "restart", "slow_network", "ssh_cut", "stop"} <= kinds().keys()
    page = (checkout() / "docs/simulation.md").read_text()
    assert [] == [kind for kind in kinds() if f"\n| `{kind}` | " not in page]
    assert all(kind == read({"kind": kind, "id": "x"}).kind for kind in kinds())


def test_the_same_seed_gives_the_same_bytes() -> None:
    """And another seed another plan; one fault more changes nothing of the others."""
    one, again, other = (msgspec.json.encode(plan([CUT, PAUSE], 5, seed)) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert plan([CUT], 5, 1) == plan([CUT, PAUSE], 5, 1)[:1]
    (event,) = plan([CUT], 5, 1)
    assert 1 <= event.at <= 3
    assert 5 <= event.lasts <= 9
    assert ["n1", "n2", "n3", "n4", "n5"] == sorted(event.order)


def test_the_plan_in_words() -> None:
    """What is symbolic stays so, and what was drawn is said."""
    first, second = lines(plan([{**CUT, "at": 2, "for": 5}, PAUSE], 3, 1))
    assert first.startswith("cut: partition (mode isolate, from leader) at 2 s, for 5 s; order n")
    (_, third) = lines(plan([CUT, {**PAUSE, "after": "", "with": "cut", "at": 2, "for": 1}], 5, 1))
    assert " at 2 s with cut, for 1 s; order n" in third
    (last,) = lines(plan([{**PAUSE, "after": "", "when": "now.cluster.leader"}], 3, 1))
    assert " at 0 s once now.cluster.leader, for 8 s; order n" in last
    assert second.startswith("still: pause (how freeze, target 1 at random) at 0 s after cut was healed, for 8 s; order n")


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        ([{**CUT, "kind": "partiton"}], r"no fault 'partiton' \(did you mean partition\?\); there are: .*kill, .*partition, "),
        ([{**CUT, "mode": "isolated"}], "fault cut: Invalid enum value 'isolated'"),
        ([{**CUT, "modes": "ring"}], r"fault cut: Object contains unknown field `modes` \(did you mean mode\?\)"),
        ([{**CUT, "from": "majorty"}], r"no target 'majorty' \(did you mean majority\?\); expected one of leader, one, minority"),
        ([{**CUT, "from": ["n1", "n9"]}], r"target \['n1', 'n9'\]: expected one or more of n1, n2, n3, n4, n5"),
        ([{**CUT, "from": []}], r"target \[\]: expected one or more of n1, n2, n3, n4, n5"),
        ([{**CUT, "ports": [99999]}], r"fault cut: Expected `int` <= 65535 - at `\$\.ports"),
        ([{"id": "cut"}], "{'id': 'cut'} is no fault: expected such as {id: a, kind: kill}"),
        ([{**CUT, "from": {"random": 9}}], "from 1 to 5"),
        ([{**CUT, "at": -3}], "-3.0 is no time: expected such as 8, 8s, 200ms or 8..15s"),
        ([{**CUT, "for": "-3s"}], "'-3s' is no time: expected such as 8, 8s, 200ms or 8..15s"),
        ([{**CUT, "for": "9..5s"}], "a range from more to less"),
        ([{**CUT, "id": "Cut!"}], "'Cut!' is no name for a fault"),
        ([{"id": "s", "kind": "slow_network"}], "expected a delay, with no more jitter than that, a loss from 0 to 1, or a"),
        (
            [{"id": "s", "kind": "slow_network", "rate": "1MB"}],
            "s: rate '1MB': expected such as 500kB/s or 1.5MB/s, at most 20MB/s",
        ),
        ([{"id": "s", "kind": "slow_network", "rate": "1000MB/s"}], "s: rate '1000MB/s': expected such as 500kB/s"),
        ([{"id": "s", "kind": "slow_network", "delay": "1ms", "jitter": "2ms"}], "expected a delay, with no more jitter"),
        ([CUT, {**PAUSE, "step": "switch"}], "still waits for after and step; expected one of them"),
        ([CUT, {**PAUSE, "after": "", "with": "cuts"}], r"still comes with 'cuts', which is no other fault \(did you mean cut\?\)"),
        ([CUT, {**PAUSE, "after": "", "when": "now.members["}], "still: when is no JMESPath: "),
        ([{**CUT, "with": "still"}, PAUSE], "faults wait for each other: cut after still after cut"),
        ([CUT, *({**PAUSE, "id": f"p{n}", "after": "", "with": "cut"} for n in "12")], "take away 3 of 5"),
        ([CUT, *({**PAUSE, "id": f"p{n}", "after": "", "when": "now"} for n in "12")], "take away 3 of 5"),
        ([{**PAUSE, "unit": "etcd; reboot"}], "still: 'etcd; reboot' is no name of a unit; expected letters, digits and"),
        ([{**PAUSE, "unit": "--help"}], "still: '--help' is no name of a unit"),
        ([{"id": "s", "kind": "slow_disk", "delay": "0ms"}], "s: delay 0ms: expected a time such as 100ms"),
        ([{"id": "s", "kind": "slow_cpu", "share": 0}], "s: share 0.0: expected a part of a processor, from 0.01 to 1"),
        ([{"id": "s", "kind": "slow_cpu", "share": 2}], "s: share 2.0: expected a part of a processor, from 0.01 to 1"),
        ([{"id": "s", "kind": "less_memory", "limit": "64"}], "s: limit '64': expected a size such as 64M or 1G"),
        (
            [{"id": "s", "kind": "full_disk", "folder": "/x; reboot"}],
            "s: folder '/x; reboot': expected a path such as /var/lib/data",
        ),
        ([{"id": "s", "kind": "slow_disk", "delay": "2s", "target": "majority"}], "may take away 3 of 5 members at once"),
        ([CUT, CUT], "two faults have one id: cut, cut"),
        ([PAUSE], "still comes after 'cut', which is no other fault"),
        ([{**CUT, "after": "still"}, PAUSE], "faults wait for each other: cut after still after cut"),
        ([{**CUT, "from": "majority"}], "may take away 3 of 5 members at once; max_down allows 2"),
        ([{**CUT, "at": 1}, *({**PAUSE, "id": f"p{n}", "after": "", "at": 2} for n in "12")], "take away 3 of 5"),
        ([CUT, {**PAUSE, "after": ""}, {**PAUSE, "id": "late", "after": "", "step": "switch"}], "take away 3 of 5"),
    ],
)
def test_what_is_refused(faults: list[dict[str, Any]], says: str) -> None:
    """In one line, when the plan is made."""
    with pytest.raises(UsageError, match=says) as raised:
        plan(faults, 5, 1)
    assert "\n" not in str(raised.value)


class Slow:
    """An observer for whom a condition comes true when it is told, or never."""

    def __init__(self) -> None:
        self.true = threading.Event()

    def until(self, _when: str, over: Callable[[], bool]) -> bool:
        """Whether it has come true before it is over."""
        while not over():
            if self.true.wait(0.01):
                return True
        return False


class Counted(Partition, tag="counted"):
    """A fault that is nothing but its begin and end."""

    began: ClassVar[list[str]] = []

    def on(self, scene: Scene) -> dict[str, Means]:
        """Nobody does anything."""
        del scene
        self.began.append(self.id)
        return {}

    def proved(self, applied: Applied) -> str:
        """At once."""
        del applied
        return "it is"

    healed = proved


def disturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: list[dict[str, Any]]) -> tuple[Disturbance, Slow]:
    """Faults that only count, under way."""
    Counted.began.clear()
    monkeypatch.setattr("nodewise.simulation.schedule.read", lambda given: msgspec.convert({**given, "kind": "counted"}, Counted))
    observer = Slow()
    events = plan(faults, 5, 1)
    return Disturbance(events, scene(5), tmp_path / "journal.jsonl", time.monotonic_ns, observer), observer  # type: ignore[arg-type]


def test_a_fault_that_begins_with_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the other's beginning, whatever that waits for, and not for its end."""
    given = [{"id": "b", "with": "a", "for": 0.1}, {"id": "a", "when": "now", "for": 30}]
    faults, observer = disturbed(tmp_path, monkeypatch, given)
    faults.start()
    assert [] == Counted.began
    observer.true.set()
    while len(Counted.began) < 2 or not faults.windows["b"].healed:
        pass
    assert not faults.windows["a"].healed
    faults.stop()
    assert [True, True] == [window.healed for window in faults.windows.values()]


def test_a_condition_that_never_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault never began, and it is said what was waited for: no coverage, and an unknown verdict."""
    monkeypatch.setattr("nodewise.simulation.disturb.NEVER", 0.1)
    faults, _ = disturbed(tmp_path, monkeypatch, [{"id": "a", "when": "now.cluster.version == '9'"}])
    faults.start().wait(lambda: None)
    verdict = coverage(faults.windows, [], 0)
    assert ("unknown", []) == (verdict.valid, Counted.began)
    assert "a: it never began: now.cluster.version == '9' was not seen to be true" in verdict.says


def test_a_ring_needs_five() -> None:
    """In four no two majorities differ enough."""
    with pytest.raises(UsageError, match="a majority ring of 4 nodes; expected 5 or more"):
        plan([{"id": "r", "kind": "partition", "mode": "ring"}], 4, 1)


def test_what_may_go_together() -> None:
    """Faults after each other take away one at a time; more at once is allowed where it is said."""
    assert plan([{**CUT, "from": "minority"}, {**PAUSE, "target": "minority"}], 5, 1)
    assert plan([{**CUT, "from": "majority"}], 5, 1, max_down=3)


@pytest.mark.parametrize(
    ("span", "expected"),
    [(8, (8, 8)), ("8", (8, 8)), ("1.5s", (1.5, 1.5)), ("200ms", (0.2, 0.2)), ("8..15s", (8, 15)), ("1m", (60, 60))],
)
def test_a_time(span: str | float, expected: tuple[float, float]) -> None:
    """The least and the most, in seconds."""
    assert expected == seconds(span)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("leader", ["dev-n4"]),
        ("one", ["dev-n1"]),
        ("minority", ["dev-n1", "dev-n2"]),
        ("minority_with_leader", ["dev-n4", "dev-n1"]),
        ("majority", ["dev-n1", "dev-n2", "dev-n3"]),
        ({"random": 2}, ["dev-n1", "dev-n2"]),
        (["n5", "n2"], ["dev-n5", "dev-n2"]),
        ("n3", ["dev-n3"]),
    ],
)
def test_a_target(target: targets.Target, expected: list[str]) -> None:
    """Roles are those of the moment; the rest comes from what was drawn."""
    assert expected == targets.resolve(target, scene(5, "dev-n4"))


@given(count=st.integers(5, 12))
def test_a_ring(count: int) -> None:
    """Each host hears a majority, no two the same, and nobody hears all."""
    here = scene(count)
    heard = hears(Partition(id="r", mode="ring").deaf(here), list(here.order))
    assert {count // 2 + 1} == {len(whom) for whom in heard.values()}
    assert all(name in whom for name, whom in heard.items())
    assert count == len({frozenset(whom) for whom in heard.values()})


def test_sides() -> None:
    """Both ways, one way, a bridge between two halves, and a host alone."""
    here = scene(5)
    every = list(here.order)
    short = {name: name[5:] for name in every}

    def heard(fault: Partition) -> dict[str, str]:
        return {short[name]: "".join(sorted(short[one] for one in whom)) for name, whom in hears(fault.deaf(here), every).items()}

    both = Partition(id="x", mode="both_ways", side=["n1", "n2"])
    assert {"1": "12", "2": "12", "3": "345", "4": "345", "5": "345"} == heard(both)
    deaf = Partition(id="x", mode="one_way", side="leader", to="one")
    assert {"1": "12345", "2": "2345", "3": "12345", "4": "12345", "5": "12345"} == heard(deaf)
    bridge = Partition(id="x", mode="bridge", side="n3")
    assert {"1": "123", "2": "123", "3": "12345", "4": "345", "5": "345"} == heard(bridge)
    alone = Partition(id="x", side="n2")
    assert {"1": "1345", "2": "2", "3": "1345", "4": "1345", "5": "1345"} == heard(alone)


def test_rules_are_the_fault_s_own() -> None:
    """A table of its name, which the undo deletes; nothing is flushed, and SSH is left alone."""
    means = Partition(id="cut-1", side="n2", ports=[2380]).on(scene(3))
    assert {"dev-n1": ("dev-n2",), "dev-n2": ("dev-n1", "dev-n3"), "dev-n3": ("dev-n2",)} == {n: m.peers for n, m in means.items()}
    assert "table inet nodewise_cut_1 {" in means["dev-n1"].inject
    assert "ip saddr 10.0.0.n2 tcp sport { 2380 } drop" in means["dev-n1"].inject
    assert means["dev-n1"].inject.index("tcp dport 22 accept") < means["dev-n1"].inject.index("drop")
    assert means["dev-n1"].undo.startswith("nft delete table inet nodewise_cut_1 ")
    assert "flush" not in means["dev-n1"].inject + means["dev-n1"].undo


def test_a_unit_s_name_is_one_word_of_a_script() -> None:
    """What systemd escapes in a name the shell leaves as it is."""
    means = read({"id": "x", "kind": "pause", "how": "stop", "unit": r"data\x2done@1.service"}).on(scene(3))
    assert r"--signal=STOP 'data\x2done@1.service'; " in means["dev-n1"].inject


def test_netem_where_there_is_one() -> None:
    """It is tried on the host; what netem is told is what was asked for, and the queue comes after it."""
    fault = read({"id": "x", "kind": "slow_network", "delay": "80ms", "jitter": "20ms", "loss": 0.02, "rate": "1MB/s"})
    script = fault.on(scene(3))["dev-n1"].inject
    words = "netem limit 20000 delay 80000us 20000us loss 2.0000% rate 8000000bit 2>/dev/null; then"
    assert words in script
    assert script.index(words) < script.index("echo netem") < script.index("\nelse\n") < script.index("NFQUEUE")


@pytest.mark.parametrize(
    ("line", "packets", "expected"),
    [
        (Line(0.5, 0, 0, 0, 1), [(0, 9), (1, 9)], [0.5, 1.5]),
        (Line(0, 0, 0, 100, 1), [(0, 50), (0, 50), (0, 1), (9, 10)], [0.5, 1.0, 1.01, 9.1]),
        (Line(0, 0, 0, 100, 1), [(0, 150), (0, 1), (0.6, 1)], [1.5, None, 1.51]),
        (Line(2, 0, 0, 100, 1), [(0, 50)], [2.5]),
    ],
)
def test_a_line(line: Line, packets: list[tuple[float, int]], expected: list[float | None]) -> None:
    """A packet comes later, and after those before it; one that would wait longer than a second for them is lost."""
    assert expected == [line.due(now, size) for now, size in packets]


def test_hosts_that_nobody_switches_off() -> None:
    """They are no testnet's: the fault is refused when the plan is made, as one is that clients of a system have no call for."""
    here = replace(scene(3), client=lambda _name: Noop())
    for kind, why in (
        ("node_off", "nobody here can switch these hosts off and on; a testnet can"),
        ("lease_revoke", "clients of this system have no way to do lease_revoke"),
        ("member_add", "clients of this system have no way to do member_add"),
        ("member_remove", "clients of this system have no way to do member_remove"),
    ):
        with pytest.raises(UsageError, match=f"x: {why}"):
            refuse_unable(plan([{"id": "x", "kind": kind}], 3, 1), here)


def test_what_a_system_cannot_do_is_known_before_there_is_a_cluster() -> None:
    """Clients of PostgreSQL cannot remove a member, and those of etcd can."""
    events = plan([{"id": "x", "kind": "member_remove"}], 3, 1)
    refuse_unfit(events, on_paper("etcd", {}, ["n1", "n2", "n3"]))
    with pytest.raises(UsageError, match="x: clients of this system have no way to do member_remove"):
        refuse_unfit(events, on_paper("postgresql", {}, ["n1", "n2", "n3"]))


def test_a_member_is_removed_only_where_a_majority_is_left() -> None:
    """Nobody else can take it in again, so that `max_down` does not allow it."""
    removed = {"id": "gone", "kind": "member_remove", "at": 1, "for": 5}
    other = {"id": "shot", "kind": "kill", "target": "minority", "at": 2, "for": 2}
    with pytest.raises(UsageError, match="may take away 2 of 3 members at once; max_down allows 1"):
        plan([removed, other], 3, 1)
    with pytest.raises(UsageError, match="gone is healed by a majority, and the faults may take away 2 of 3 members at once"):
        plan([removed, other], 3, 1, max_down=2)
    plan([removed, {**other, "at": 7}], 3, 1)


@pytest.mark.parametrize(
    ("offset", "says"),
    [("soon", "'soon' is no time"), ("5..6m", "offset 5..6m: a range"), (0, "a clock that is right"), ("--5m", "'-5m' is no time")],
)
def test_an_offset_that_is_none(offset: Any, says: str) -> None:
    """A clock is off by a time that is no range and not nothing."""
    with pytest.raises(UsageError, match=re.escape(says)):
        plan([{"id": "x", "kind": "clock", "offset": offset}], 3, 1)


@pytest.mark.parametrize(("offset", "expected"), [("10m", "+600.000"), ("-1.5s", "-1.500"), (-3, "-3.000")])
def test_an_offset(offset: Any, expected: str) -> None:
    """Seconds, with a sign, for the library."""
    fault = read({"id": "x", "kind": "clock", "offset": offset})
    fault.check(["n1"])
    assert f'"FAKETIME={expected}"' in fault.on(scene(3))["dev-n1"].inject


def test_a_folder_that_forgets(tmp_path: Path) -> None:
    """What was synced is on the disk, what was not is not, and neither is the order of both mixed up; names are there at once."""
    live, disk = tmp_path / "live", tmp_path / "disk"
    for folder in (live, disk):
        folder.mkdir()
        (folder / "old").write_bytes(b"before")
    here = Forgetful(str(live), str(disk), lambda: (os.getuid(), os.getgid(), 0))

    def lost() -> int:
        return int(here.getxattr("/", UNSYNCED))

    new, old = here.create("/new", 0o600), here.open("/old", os.O_RDWR)
    here.write("/new", b"one", 0, new)
    here.fsync("/new", 0, new)
    here.write("/new", b"two", 3, new)
    here.write("/old", b"AFTER", 0, old)
    assert (8, b"onetwo", b"one") == (lost(), (live / "new").read_bytes(), (disk / "new").read_bytes())
    here.rename("/new", "/named")
    here.fsync("/named", 1, new)
    assert (5, b"onetwo", b"before") == (lost(), (disk / "named").read_bytes(), (disk / "old").read_bytes())
    here.truncate("/old", 2)
    assert b"be" == (disk / "old").read_bytes()
    here.unlink("/old")
    assert (0, [live / "named"], [disk / "named"]) == (lost(), list(live.iterdir()), list(disk.iterdir()))
    with pytest.raises(OSError, match="No such file"):
        here.getattr("/old")


def test_nobody_leads() -> None:
    """A fault of the leader is not done to anybody else."""

    def nobody() -> str:
        raise NotProved("nobody leads")

    here = scene(3)
    with pytest.raises(NotProved, match="nobody leads"):
        Partition(id="x", side="leader").deaf(Scene(here.hosts, here.order, here.unit, nobody))


def test_a_host_that_is_no_test_host() -> None:
    """The host itself refuses, in one line, before anything is written: this machine is none."""
    done = subprocess.run(
        ["sh", "-s"], input=held.arm("x", "me", "touch /tmp/never", ":", 1), capture_output=True, text=True, check=False
    )
    assert 9 == done.returncode
    assert "is no test host: it has no /etc/testnet" in done.stderr
    assert 9 == subprocess.run(["sh", "-s"], input=held.heal_all(), capture_output=True, text=True, check=False).returncode


@pytest.mark.parametrize(
    ("window", "valid", "says"),
    [
        (Window("cut", "partition", 0, 100, "", healed=True), "valid", "cut 3 operations"),
        (Window("cut", "partition", 0, 20, "", healed=True), "unknown", "cut: 1 operations ended in it, expected 3 or more"),
        (Window("again", "restart", 40, 40, "", healed=True, instant=True), "valid", "again 0 operations"),
        (Window("cut", "partition", 0, 100, ""), "unknown", "cut: not proved to be healed"),
        (Window("cut", "partition"), "unknown", "cut: it never began"),
        (Window("cut", "partition", None, 5, "n2 still answers"), "unknown", "cut: n2 still answers"),
    ],
)
def test_coverage(window: Window, valid: str, says: str) -> None:
    """A fault that was not proved, or that nobody was at work in, is no coverage: unknown, and never valid."""
    done = [Operation(0, kind, "read", "k", None, at) for at in (10, 30, 60) for kind in ("invoke", "ok")]  # type: ignore[arg-type]
    verdict = coverage({"cut": window}, done, 3)
    assert valid == verdict.valid
    assert says in verdict.says


def test_when_a_fault_was_asked_for_proved_and_healed() -> None:
    """From the journal, and in the last lines; what was never proved has no time, and says so."""
    states = [
        ("a", "asked", 1),
        ("b", "asked", 2),
        ("a", "in_effect", 3),
        ("a", "healing", 4),
        ("b", "failed", 5),
        ("a", "healed", 6),
    ]
    told = times([{"kind": "fault", "fault": f, "what": "kill", "state": s, "t": t * 1_500_000_000} for f, s, t in states])
    day = "1970-01-01T00:00:"
    assert told == [
        {"fault": "a", "kind": "kill", "asked": f"{day}01.500Z", "proved": f"{day}04.500Z", "healed": f"{day}09.000Z"},
        {"fault": "b", "kind": "kill", "asked": f"{day}03.000Z", "proved": None, "healed": None},
    ]
    summary = {
        "outcome": "passed",
        "reason": "",
        "nodes": {},
        "gates": {"passed": 0, "failed": 0},
        "duration_s": 1.0,
        "run_id": "x",
    }
    said = ending({**summary, "faults": told, "kind": "x", "to": None, "cluster": "x", "system": None}, Path("runs/x"))
    assert "fault     a (kill): asked 00:00:01.500, proved 00:00:04.500, healed 00:00:09.000" in said
    assert "fault     b (kill): asked 00:00:03.000, proved never, healed never" in said


def test_a_plan_is_plain_data() -> None:
    """It goes through JSON and back, and says the same."""
    (event,) = plan([CUT], 5, 1)
    again = msgspec.convert(json.loads(msgspec.json.encode(event)), type(event))
    assert event == again
    assert event.read() == read(CUT)


class Unmarked(Here):
    """The machine that tests run on, which is no test host."""

    def run(self, script: str, timeout: float = 20) -> str:
        """Run it, as it refuses by itself."""
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode:
            raise HostError(done.stderr.strip())
        return done.stdout


@pytest.mark.skipif(Path(held.MARK).exists(), reason="this machine is a test host")
def test_nothing_is_healed_on_a_host_that_is_no_test_host() -> None:
    """The host refuses by itself, which is bad input."""
    there = replace(scene(1), hosts={"dev-n1": Unmarked("dev-n1")})
    with pytest.raises(UsageError, match="is no test host: it has no /etc/testnet"):
        heal_all(there)
