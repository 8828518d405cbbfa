"""Faults on real nodes: each proves its effect and its end, leaves nothing, and is healed by the node when nobody renews it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodewise import pki
from nodewise.errors import UsageError
from nodewise.record import journal
from nodewise.simulation.disturb import Disturbance, coverage, refuse_unable
from nodewise.simulation.faults import held
from nodewise.simulation.faults.act import Act
from nodewise.simulation.faults.fault import Means
from nodewise.simulation.faults.host import HostError, NotProved, Scene, banner
from nodewise.simulation.faults.partition import Partition
from nodewise.simulation.faults.registry import read
from nodewise.simulation.hosts import scene_of
from nodewise.simulation.schedule import plan
from nodewise.testnet import lifecycle, state
from tests.conftest import Run
from tests.system.cluster import until

UNIT = "stand-in"  # a service to disturb
DATA, SMALL = "/var/lib/stand-in", "/var/lib/stand-in-small"  # one shares the host's file system, one has its own
# It writes, as a service with data does, and goes on when that fails. What it writes to a second file it does not sync.
SERVICE = f"""mkdir -p {DATA}; cat >{DATA}/writes.py <<'PYTHON'
import os, time
while True:
    try:
        with open("{DATA}/data", "a") as data: data.write("x"); data.flush(); os.fdatasync(data.fileno())
        with open("{DATA}/unsynced", "a") as data: data.write("x")
        print("wrote", time.time(), flush=True)
    except OSError as error: print(error)
    time.sleep(0.05)
PYTHON
touch {DATA}/data {DATA}/unsynced
cat >/etc/systemd/system/{UNIT}.service <<'UNIT'
[Service]
PrivateTmp=yes
ExecStart=/usr/bin/python3 {DATA}/writes.py
[Install]
WantedBy=multi-user.target
UNIT
mkdir -p {SMALL}; mountpoint -q {SMALL} || mount -t tmpfs -o size=8m small {SMALL}
systemctl daemon-reload; systemctl enable --quiet {UNIT}; systemctl restart {UNIT}"""
GONE = f"""umount {SMALL}; rmdir {SMALL}; systemctl disable --quiet --now {UNIT}
rm -rf /etc/systemd/system/{UNIT}.service {DATA}; systemctl daemon-reload"""
# All that a fault may leave: its rules, units, records, mounts and groups, and a service that stands still or is traced.
# The group of a unit that has ended is systemd's to remove, some time after the unit is gone from the list.
LOOK = f"""nft list tables; ls -A {held.ROOT} | grep -v '^healed$'
systemctl list-units --all --plain --no-legend '{held.UNIT}*'
systemctl is-active {UNIT}; main=$(systemctl show -P MainPID {UNIT})
grep -c 'State:.T' /proc/$main/status; grep TracerPid /proc/$main/status; pgrep -fa 'late.py|strace'
ls -A {DATA} {DATA}.* {SMALL}; df -k --output=used {SMALL}
cut -d ' ' -f 2-4 /proc/self/mounts | sed 's/,.*//' | sort; find /sys/fs/cgroup/*/ -name 'nodewise-*' ! -name '*.service'
find /run/systemd/system -name '*nodewise*'; grep -c faketime /proc/$main/maps; ls /dev/shm
for root in /sys/fs/cgroup /sys/fs/cgroup/unified; do cat $root/system.slice/{UNIT}.service/cgroup.freeze; done; :"""
TABLES = "nft list tables | grep nodewise || :"
FAULTS: dict[str, dict[str, Any]] = {
    "partition": {"kind": "partition", "mode": "both_ways", "from": "n1"},
    "one way": {"kind": "partition", "mode": "one_way", "from": "n1"},
    "a port": {"kind": "partition", "from": "n1", "ports": [4711]},
    "kill": {"kind": "kill", "target": "n1"},
    "stopped": {"kind": "stop", "target": "n1"},
    "restart": {"kind": "restart", "target": "n1"},
    "freeze": {"kind": "pause", "target": "all"},
    "stop": {"kind": "pause", "how": "stop", "target": "n1"},
    "late": {"kind": "slow_network", "target": "n1", "delay": "60ms", "jitter": "5ms"},
    "lossy": {"kind": "slow_network", "target": "n1", "loss": 0.1},
    "narrow": {"kind": "slow_network", "target": "n1", "rate": "500kB/s"},
    "ssh_cut": {"kind": "ssh_cut", "target": "n2"},
    "names": {"kind": "dns", "target": "n1"},
    "expired certificate": {"kind": "expired_certificate", "target": "n1"},
    "node off": {"kind": "node_off", "target": "n1"},
    "power lost": {"kind": "node_off", "target": "n1", "unsynced": "lost"},
    "clock": {"kind": "clock", "target": "n1", "offset": "-2h"},
    "slow disk": {"kind": "slow_disk", "target": "n1", "delay": "200ms"},
    "failing disk": {"kind": "failing_disk", "target": "n1"},
    "full disk": {"kind": "full_disk", "target": "n1", "folder": DATA},
    "full disk of its own": {"kind": "full_disk", "target": "n1", "folder": SMALL},
    "slow cpu": {"kind": "slow_cpu", "target": "n1", "share": 0.2},
    "less memory": {"kind": "less_memory", "target": "n1"},
}
OFF = ("node off", "power lost")
HELD = [name for name in FAULTS if name not in ("restart", *OFF)]
# A controller that is killed as soon as an entry of its journal is written, from the first to the last of a fault.
ENTRIES = ("asked", "in_effect", "healing", "healed")
UNTIL_AN_ENTRY = """import json, os, signal, sys
from dataclasses import replace
from pathlib import Path
from nodewise.record import journal
from nodewise.simulation.faults import act
from nodewise.simulation.faults.registry import read
from nodewise.simulation.harness import clients_of
from nodewise.simulation.hosts import scene_of
from nodewise.testnet.state import load
fault, net, about = json.loads(sys.argv[1]), load(sys.argv[2]), json.loads(sys.argv[3])
record, last = Path(sys.argv[4]), sys.argv[5]
write = journal.append
def append(path, kind, phase, **fields):
    write(path, kind, phase, **fields)
    if fields["state"] == last:
        os.kill(os.getpid(), signal.SIGKILL)
journal.append = append
old = about.pop("old", {})
scene = replace(scene_of(net, clients_of(net) if net.system else None), **about, **({"expired": lambda name: old} if old else {}))
one = act.Act(read(fault), scene, record)
one.begin(6, 6)
one.end(6)
"""


@pytest.fixture
def scene(pair: state.Testnet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two nodes with a service of ours on each."""
    pairs = {days: pki.node(tmp_path_factory.mktemp("pki"), "x", "n1", [], days=days) for days in (0, 365)}
    files = {days: {f"{DATA}/node.crt": one.certificate, f"{DATA}/node.key": one.key} for days, one in pairs.items()}
    here = replace(scene_of(pair, None), unit=UNIT, data=DATA, expired=lambda _name: files[0])
    for host in here.hosts.values():
        host.run(SERVICE)
        for path, text in files[365].items():
            host.run(f"cat >{path} <<'PEM'\n{text}\nPEM")
    yield here
    for host in here.hosts.values():
        host.run(f"{held.heal_all()}\n{GONE}")


def look(scene: Scene) -> list[list[str]]:
    """What each node has that a fault may leave, line by line."""
    return [host.run(LOOK).splitlines() for host in scene.hosts.values()]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_proved_and_leaves_nothing(scene: Scene, tmp_path: Path, name: str) -> None:
    """Asked, in effect, healing, healed: each with its evidence; then the nodes are as they were."""
    before, record = look(scene), tmp_path / "journal.jsonl"
    events = plan([{"id": "it", "for": 1, **FAULTS[name]}], 2, 1, max_down=2)
    disturbed = Disturbance(events, scene, record, time.monotonic_ns).start()
    disturbed.wait(lambda: None)
    window = disturbed.windows["it"]
    assert ("", True) == (window.why, window.healed)
    records = journal.read(record)
    assert ["asked", "in_effect", "healing", "healed"] == [one["state"] for one in records]
    assert all(one["evidence"] for one in records if one["state"] in ("in_effect", "healed"))
    if name != "restart":
        assert window.began is not None
        assert window.ended is not None
        assert 0.9 <= (window.ended - window.began) / 1e9 <= 2
    if name in OFF:  # a file system in memory is gone with it
        scene.hosts[scene.order[0]].run(f"mount -t tmpfs -o size=8m small {SMALL}")
    assert before == look(scene)


def test_what_was_not_synced_is_lost(scene: Scene, tmp_path: Path) -> None:
    """The service writes as much to a file that it syncs as to one that it does not: what the latter lacks afterwards was lost."""
    host, act = scene.hosts[scene.order[0]], Act(read({"id": "it", **FAULTS["power lost"]}), scene, tmp_path / "journal.jsonl")
    lost = re.search(r"lost (\d+) bytes that were not synced", act.begin(1))
    assert not banner(host.address)
    act.end()
    synced, unsynced = map(int, host.run(f"systemctl stop {UNIT}; stat -c %s {DATA}/data {DATA}/unsynced").split())
    host.run(f"mountpoint -q {SMALL} || mount -t tmpfs -o size=8m small {SMALL}")
    assert lost
    assert int(lost[1]) > 10
    assert pytest.approx(int(lost[1]), abs=1) == synced - unsynced


def test_the_clock_of_a_service(scene: Scene, tmp_path: Path) -> None:
    """It takes the time to be two hours ago, while its host and the host's journal do not; it sleeps for as long as before."""
    host, act = scene.hosts[scene.order[0]], Act(read({"id": "it", **FAULTS["clock"]}), scene, tmp_path / "journal.jsonl")
    # By `date +%s` of either side, one after the other: a second may end between them.
    assert re.fullmatch(rf"{host.name}: the clock of the service is -(7199|7200|7201)\.0 s off", act.begin(20))
    time.sleep(3)
    lines = [line.split() for line in host.run(f"journalctl -q -o short-unix -u {UNIT} | grep wrote | tail -n 10").splitlines()]
    act.end()
    assert all(pytest.approx(-7200, abs=1) == float(line[-1]) - float(line[0]) for line in lines)
    assert 9 * 0.05 * 0.9 <= float(lines[-1][0]) - float(lines[0][0]) <= 3


@pytest.mark.parametrize(
    "name", [name if name in ("partition", "freeze") else pytest.param(name, marks=pytest.mark.slow) for name in FAULTS]
)
def test_a_controller_that_was_killed(scene: Scene, pair: state.Testnet, cli: Run, tmp_path: Path, name: str) -> None:
    """Whichever of a fault's entries was its last: the node heals within the lease of six seconds, and nothing is left.

    Nobody but a controller can start a node that is off: `testnet heal` does.
    """
    host, before, about = scene.hosts[scene.order[0]], look(scene), {"unit": UNIT, "data": DATA}
    for entry in ENTRIES:
        record, fault = tmp_path / f"{entry}.jsonl", json.dumps({"id": "it", **FAULTS[name]})
        words = [fault, pair.name, json.dumps({**about, "old": scene.expired("")}), str(record), entry]
        assert -9 == subprocess.run([sys.executable, "-c", UNTIL_AN_ENTRY, *words], check=False).returncode
        assert entry == journal.read(record)[-1]["state"]
        lasts = entry in ("in_effect", "healing")
        if name in OFF:
            time.sleep(7 if lasts else 0)  # longer than the lease
            assert lasts != banner(host.address)
            healed = cli("heal", "--name", pair.name)
            assert (0, lasts) == (healed.returncode, f"{host.name}: node_off healed\n" in healed.stdout)
            host.run(f"mountpoint -q {SMALL} || mount -t tmpfs -o size=8m small {SMALL}")
        elif entry == "in_effect" and name not in ("restart", "ssh_cut"):
            assert before != look(scene)
        with suppress(AssertionError):  # what is left says more
            until(lambda: before == look(scene), 15)
        assert before == look(scene)


@pytest.mark.parametrize("name", [name if name == "freeze" else pytest.param(name, marks=pytest.mark.slow) for name in HELD])
def test_a_node_that_is_rebooted(scene: Scene, pair: state.Testnet, tmp_path: Path, name: str) -> None:
    """In order, while it holds a fault: nothing is left of it, and what was written meanwhile is there."""
    before, length = look(scene), f"stat -c %s {DATA}/data"
    act = Act(read({"id": "it", **FAULTS[name]}), scene, tmp_path / "journal.jsonl")
    act.begin(60, 60)
    written = {} if name == "ssh_cut" else {node: int(host.run(length)) for node, host in scene.hosts.items()}
    lifecycle.power(pair, pair.nodes, off=True, on=True)
    for host in scene.hosts.values():
        host.run(f"mountpoint -q {SMALL} || mount -t tmpfs -o size=8m small {SMALL}")
    with suppress(AssertionError):
        until(lambda: before == look(scene), 10)
    assert before == look(scene)
    assert all(size <= int(scene.hosts[node].run(length)) for node, size in written.items())
    act.end()


def test_two_that_overlap(scene: Scene, tmp_path: Path) -> None:
    """Both are proved, though they cut off the same way; healing one leaves the other."""
    one, other = (Act(read({"id": name, **FAULTS["partition"]}), scene, tmp_path / "journal.jsonl") for name in ("one", "other"))
    one.begin(20)
    other.begin(20)
    one.end()
    rules = scene.hosts[scene.order[0]].run(TABLES)
    assert "table inet nodewise_other" == rules
    other.end()
    assert "" == scene.hosts[scene.order[0]].run(TABLES)


def test_a_name_that_is_taken(scene: Scene, tmp_path: Path) -> None:
    """Of two runs with one name for their faults the second is refused, and its end leaves the first one's fault alone."""
    first, second = (Act(read({"id": "it", **FAULTS["partition"]}), scene, tmp_path / "journal.jsonl") for _ in range(2))
    first.begin(20)
    with pytest.raises(HostError, match="a fault it of another run is there already"):
        second.begin(20)
    with pytest.raises(HostError):
        second.renew()
    second.end()
    assert "undone" == journal.read(tmp_path / "journal.jsonl")[-1]["state"]
    assert "table inet nodewise_it" == scene.hosts[scene.order[0]].run(TABLES)
    first.renew()
    first.end()
    assert "" == scene.hosts[scene.order[0]].run(TABLES)


class Idle(Partition, tag="idle"):
    """A partition whose injector does nothing."""

    def on(self, scene: Scene) -> dict[str, Means]:
        """A table without rules."""
        table = f"nodewise_{self.id}"
        return {name: replace(means, inject=f"nft add table inet {table}") for name, means in super().on(scene).items()}


def test_an_injector_that_does_nothing(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not proved, which is no coverage and never valid; what it left is healed all the same."""
    monkeypatch.setattr("nodewise.simulation.faults.act.PROVING", 1.0)
    monkeypatch.setattr("nodewise.simulation.schedule.read", lambda given: Idle(id=given["id"], side="n1"))
    events = plan([{"id": "it", "for": 1, **FAULTS["partition"]}], 2, 1, max_down=2)
    disturbed = Disturbance(events, scene, tmp_path / "journal.jsonl", time.monotonic_ns).start()
    disturbed.wait(lambda: None)
    verdict = coverage(disturbed.windows, [], 0)
    assert "unknown" == verdict.valid
    assert "still answers; expected it to hear nothing" in verdict.says
    assert "" == scene.hosts[scene.order[0]].run(TABLES)


def test_an_effect_that_goes_away(scene: Scene, tmp_path: Path) -> None:
    """Somebody else heals it on the node: whoever renews it is told, and what is said to be in effect is not."""
    act = Act(read({"id": "it", **FAULTS["freeze"]}), scene, tmp_path / "journal.jsonl")
    act.begin(20)
    act.renew()
    scene.hosts[scene.order[0]].run(held.heal_all())
    with pytest.raises(HostError, match="it"):
        act.renew()
    act.end()


def test_a_service_that_does_not_run(scene: Scene, tmp_path: Path) -> None:
    """There is nothing to kill: the node says so, and nothing is left of the fault."""
    host = scene.hosts[scene.order[0]]
    host.run(f"systemctl stop {UNIT}")
    act = Act(read({"id": "it", **FAULTS["kill"]}), scene, tmp_path / "journal.jsonl")
    with pytest.raises(HostError, match=f"{UNIT} does not run"):
        act.begin(5)
    act.end()
    assert ["asked", "healing", "undone"] == [one["state"] for one in journal.read(tmp_path / "journal.jsonl")]
    assert "" == host.run(f"ls {held.ROOT} | grep -v '^healed$' || :")


@pytest.mark.parametrize(
    ("fault", "broken", "mended", "why"),
    [
        ({"kind": "kill", "unit": "nowhere"}, ":", ":", "there is no unit nowhere"),
        ({"kind": "full_disk", "folder": "/nowhere"}, ":", ":", "there is no folder /nowhere"),
        ({"kind": "full_disk", "folder": "/dev"}, ":", ":", None),
        ({"kind": "slow_disk"}, "chmod -x /usr/bin/strace", "chmod +x /usr/bin/strace", "strace is missing, or may not trace"),
        ({"kind": "slow_cpu"}, "mount -t tmpfs none {}/cpu", "umount {}/cpu", "it has no cpu controller of cgroup version 1"),
        ({"kind": "less_memory"}, "mount -t tmpfs none {}/memory", "umount {}/memory", "it has no memory controller of cgroup"),
    ],
    ids=["unit", "folder", "able", "strace", "cpu", "memory"],
)
def test_what_a_host_cannot_do(scene: Scene, fault: dict[str, Any], broken: str, mended: str, why: str | None) -> None:
    """Asked when planning, on every host, and nothing is done."""
    host, events = scene.hosts[scene.order[1]], plan([{"id": "it", **fault}], 2, 1, max_down=2)
    host.run(broken.format("/sys/fs/cgroup"))
    try:
        if not why:
            refuse_unable(events, scene)
            return
        with pytest.raises(UsageError, match=rf"it: {host.name if broken != ':' else '.*'} cannot do this: {why}"):
            refuse_unable(events, scene)
    finally:
        host.run(mended.format("/sys/fs/cgroup"))


def test_heal(scene: Scene, pair: state.Testnet, cli: Run, tmp_path: Path) -> None:
    """`testnet heal` undoes what nodes hold, by their own records; twice is fine."""
    Act(read({"id": "it", **FAULTS["partition"]}), scene, tmp_path / "journal.jsonl").begin(20)
    healed = cli("heal", "--name", pair.name)
    assert (0, f"{pair.name}-n1: it healed\n{pair.name}-n2: it healed\n") == (healed.returncode, healed.stdout)
    assert "" == scene.hosts[scene.order[0]].run(TABLES)
    assert "no node holds a fault\n" == cli("heal", "--name", pair.name).stdout


def ansible(runs: Path, *words: str, node: str, fault: dict[str, Any], testnet: str = "") -> str:
    """What ansible-playbook says that has a task with a fault on a node."""
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "tests/system/fault.yml", *words]
    given = ["-e", json.dumps({"node": node, "fault": fault})]
    environment = {**os.environ, "NODEWISE_TESTNET": testnet, "NODEWISE_RUN_DIR": str(runs)}
    done = subprocess.run([*command, *given], capture_output=True, text=True, check=False, env=environment)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_playbook(scene: Scene, pair: state.Testnet, tmp_path: Path) -> None:
    """Injected once and held, healed once; check mode only says what it would do, and everything is as it was."""
    host, before = scene.hosts[scene.order[0]], look(scene)

    def play(*words: str, **more: Any) -> str:
        fault = {"name": "it", "kind": "slow_disk", "unit": UNIT, "seconds": 300, **more}
        return ansible(tmp_path, *words, node=host.name, fault=fault, testnet=pair.name)

    assert "changed True: nothing" in play("--check")
    assert before == look(scene)
    assert f"changed True: {host.name}: " in play()
    assert before != look(scene)
    assert "changed False: nothing" in play()
    assert f"changed True: the service runs on {host.name}" in play(state="absent")
    assert "changed False: nothing" in play(state="absent")
    assert "partition is for scenarios; for a task there are: clock, dns, " in play(kind="partition")
    assert "fault it: Object contains unknown field `dealy`" in play(fields={"dealy": "1s"})
    assert f"{host.name} cannot do this: there is no unit nowhere" in play(unit="nowhere")
    assert before == look(scene)


def test_a_playbook_on_a_host_that_is_no_test_host(tmp_path: Path) -> None:
    """The module itself refuses, on that host: the machine of the tests has no mark. Nothing is written."""
    fault = {"name": "it", "kind": "kill", "unit": "ssh", "state": "absent"}
    for more in ({}, {"state": "present"}):
        done = ansible(tmp_path, "-c", "local", node="localhost", fault={**fault, **more})
        assert "localhost: this is no test host: it has no /etc/testnet; a fault is for test hosts alone" in done
    assert not Path(held.ROOT).exists()


def test_a_partition_of_nobody(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the targets leave nobody to be cut off from nothing is proved."""
    monkeypatch.setattr("nodewise.simulation.faults.act.PROVING", 0.5)
    act = Act(Partition(id="it", mode="both_ways", side=["n1"], to=["n1"]), scene, tmp_path / "journal.jsonl")
    with pytest.raises(NotProved, match="nobody to be cut off from"):
        act.begin(1)
    act.end()
