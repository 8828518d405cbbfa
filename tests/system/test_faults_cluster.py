"""Faults of a whole cluster, on a real one: what no host holds, and what is found again when the controller died."""

from __future__ import annotations

import io
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from nodewise.errors import UsageError
from nodewise.simulation.checkers.registry import merge
from nodewise.simulation.disturb import refuse_unable
from nodewise.simulation.faults.act import Act
from nodewise.simulation.faults.host import NotProved, Scene
from nodewise.simulation.faults.registry import read
from nodewise.simulation.harness import Rehearsal, at_work, clients_of
from nodewise.simulation.hosts import scene_of
from nodewise.simulation.scenario import Scenario
from nodewise.simulation.schedule import plan
from nodewise.simulation.workloads.data import verify_data
from nodewise.simulation.workloads.load import Shape
from nodewise.simulation.workloads.registry import workload_named
from nodewise.testnet import lifecycle, state
from nodewise.testnet.request import Request
from nodewise.views.live import View
from tests.conftest import Run
from tests.system.cluster import until
from tests.system.etcd_cluster import NEW, OLD, Cluster
from tests.system.test_faults import ENTRIES, UNTIL_AN_ENTRY

LEASE = 4711
UNSYNCED = "echo 'unsafe-no-fsync: true' >>/etc/nodewise/etcd/etcd.yml; systemctl restart etcd"
# A controller that changes who is a member, and then is no more.
CONTROLLER = """import os, signal, sys
from pathlib import Path
from nodewise.simulation.faults import act
from nodewise.simulation.faults.registry import read
from nodewise.simulation.harness import clients_of
from nodewise.simulation.hosts import scene_of
from nodewise.testnet.state import load
net = load(sys.argv[1])
act.Act(read({"id": "it", "kind": sys.argv[3]}), scene_of(net, clients_of(net)), Path(sys.argv[2])).begin(6)
os.kill(os.getpid(), signal.SIGKILL)"""


@pytest.fixture
def scene(etcd: Cluster) -> Scene:
    """Three members."""
    etcd.reset()
    return scene_of(etcd.net, clients_of(etcd.net))


@pytest.mark.slow
def test_leases_are_revoked(etcd: Cluster, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was attached to one is gone with it; where there is none nothing is proved."""
    monkeypatch.setattr("nodewise.simulation.faults.act.PROVING", 0.5)
    with closing(clients_of(etcd.net)(etcd.names[0])) as client:
        client.open()
        client.grant(LEASE, 600)  # type: ignore[attr-defined]
        client.put({"/held": "1"}, lease=LEASE)  # type: ignore[attr-defined]
        act = Act(read({"id": "it", "kind": "lease_revoke"}), scene, tmp_path / "journal.jsonl")
        assert "1 of 1 leases are gone" == act.begin(1)
        assert "1 of 1 leases are gone" == act.end()
        assert client.get("/held") is None  # type: ignore[attr-defined]
        assert [] == verify_data(clients_of(etcd.net)(etcd.names[0]), etcd.data)
    again = Act(read({"id": "it", "kind": "lease_revoke"}), scene, tmp_path / "journal.jsonl")
    with pytest.raises(NotProved, match="the cluster had no lease"):
        again.begin(1)


@pytest.mark.slow
@pytest.mark.parametrize("learner", [False, True])
def test_a_member_that_nobody_starts(etcd: Cluster, scene: Scene, tmp_path: Path, learner: bool) -> None:
    """It is listed by etcd itself while the fault lasts, and writes go on."""
    act = Act(read({"id": "it", "kind": "member_add", "learner": learner}), scene, tmp_path / "journal.jsonl")
    act.begin(5)
    listed = etcd.etcdctl(etcd.names[0], "member list")
    assert 4 == len(listed.splitlines())
    assert f"https://nodewise-it.invalid:2380, , {str(learner).lower()}" in listed
    etcd.takes_writes(etcd.names[0])
    act.end()
    assert "invalid" not in etcd.etcdctl(etcd.names[0], "member list")


def killed_after_beginning(etcd: Cluster, record: Path, kind: str) -> None:
    """A controller begins a fault, and is no more."""
    assert -9 == subprocess.run([sys.executable, "-c", CONTROLLER, etcd.net.name, str(record), kind], check=False).returncode


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES)
def test_a_controller_that_was_killed(etcd: Cluster, scene: Scene, tmp_path: Path, cli: Run, entry: str) -> None:  # noqa: ARG001 (reset)
    """Whichever of its entries was the last: a member that was added stays, and `testnet heal` removes it."""
    words = [json.dumps({"id": "it", "kind": "member_add"}), etcd.net.name, "{}", str(tmp_path / "journal.jsonl"), entry]
    assert -9 == subprocess.run([sys.executable, "-c", UNTIL_AN_ENTRY, *words], check=False).returncode
    stays = entry in ("in_effect", "healing")
    assert stays == ("https://nodewise-it.invalid:2380" in etcd.etcdctl(etcd.names[0], "member list"))
    healed = cli("heal", "--name", etcd.net.name)
    assert (0, f"{etcd.names[0]}: it healed\n" if stays else "no node holds a fault\n") == (healed.returncode, healed.stdout)
    assert "invalid" not in etcd.etcdctl(etcd.names[0], "member list")
    assert "no node holds a fault\n" == cli("heal", "--name", etcd.net.name).stdout


def members(etcd: Cluster, at: str) -> dict[str, str]:
    """The name of each member that a member lists, and its id."""
    return {words[2]: words[0] for line in etcd.etcdctl(at, "member list").splitlines() if (words := line.split(", "))}


def written(etcd: Cluster, at: str) -> bool:
    """Whether a write through a member is acknowledged."""
    try:
        etcd.takes_writes(at)
    except OSError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("target", ["n1", "leader"])
def test_a_member_that_is_removed(etcd: Cluster, scene: Scene, tmp_path: Path, target: str) -> None:
    """Two are left and go on; it comes back as a new member that has all that was written, meanwhile, too."""
    before = members(etcd, etcd.names[0])
    act = Act(read({"id": "it", "kind": "member_remove", "target": target}), scene, tmp_path / "journal.jsonl")
    act.begin(5)
    (gone,) = json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[0])["where"]
    left = next(name for name in etcd.names if name != gone)
    assert {*etcd.names} - {gone} == members(etcd, left).keys()
    until(lambda: "active" != etcd.root(gone, "systemctl show -P ActiveState etcd").strip())
    until(lambda: written(etcd, left), 10)  # where the leader was removed, the others elect one first
    act.end()
    after = members(etcd, left)
    assert before.keys() == after.keys()
    assert [gone] == [name for name, number in after.items() if before[name] != number]
    assert [] == verify_data(clients_of(etcd.net)(gone), etcd.data)
    assert "" == etcd.root(gone, "ls /var/lib/nodewise | grep removed || :")


@pytest.mark.slow
def test_a_controller_that_was_killed_after_it_removed_a_member(
    etcd: Cluster,
    scene: Scene,  # noqa: ARG001 (reset)
    tmp_path: Path,
    cli: Run,
) -> None:
    """It stays away, and `testnet heal` takes it in again."""
    killed_after_beginning(etcd, tmp_path / "journal.jsonl", "member_remove")
    (gone,) = json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[0])["where"]
    left = next(name for name in etcd.names if name != gone)
    assert 2 == len(members(etcd, left))
    healed = cli("heal", "--name", etcd.net.name)
    assert (0, f"{gone}: it healed\n") == (healed.returncode, healed.stdout)
    assert {*etcd.names} == members(etcd, left).keys()
    assert [] == verify_data(clients_of(etcd.net)(gone), etcd.data)
    assert "no node holds a fault\n" == cli("heal", "--name", etcd.net.name).stdout


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES)
def test_a_controller_that_was_killed_after_an_entry(etcd: Cluster, scene: Scene, tmp_path: Path, cli: Run, entry: str) -> None:
    """Whichever of the removal's entries was its last: what is left is healed, and the one that led is a member again."""
    record, fault = tmp_path / "journal.jsonl", {"id": "it", "kind": "member_remove", "target": "leader"}
    words = [json.dumps(fault), etcd.net.name, "{}", str(record), entry]
    assert -9 == subprocess.run([sys.executable, "-c", UNTIL_AN_ENTRY, *words], check=False).returncode
    (gone,) = json.loads(record.read_text().splitlines()[0])["where"]
    left = next(name for name in etcd.names if name != gone)
    assert (entry in ("in_effect", "healing")) == (len(members(etcd, left)) == 2)
    assert 0 == cli("heal", "--name", etcd.net.name).returncode
    assert {*etcd.names} == members(etcd, left).keys()
    until(lambda: [] == verify_data(clients_of(etcd.net)(gone), etcd.data))
    assert "" == scene.hosts[gone].run("ls /var/lib/nodewise | grep removed || :")


@pytest.mark.slow
def test_the_next_run_heals_what_is_left(etcd: Cluster, scene: Scene, tmp_path: Path) -> None:  # noqa: ARG001 (reset)
    """A controller removed a member and died: a scenario on the same nodes takes it in again before it begins, and says so."""
    killed_after_beginning(etcd, tmp_path / "journal.jsonl", "member_remove")
    given = {"name": "next", "cluster": {"system": "etcd", "version": OLD}, "workload": {"name": "set", "warmup": 2}}
    asked = msgspec.convert({**given, "safety": workload_named("set").checkers}, Scenario)
    rehearsal = Rehearsal(asked, etcd.net.name, seed=1, base=tmp_path)
    with View([], io.StringIO(), tty=False) as nobody:
        assert "valid" == rehearsal.perform(etcd.net, nobody)["verdict"]
    assert "healed it, which an earlier run had left" in str(rehearsal.run.records("note"))
    assert {*etcd.names} == members(etcd, etcd.names[0]).keys()


@pytest.fixture(scope="module")
def alone(testnet_home: Path) -> Iterator[state.Testnet]:  # noqa: ARG001  (is made in that home)
    """One member of a release that can be told not to sync."""
    made = lifecycle.up(Request(f"t{secrets.token_hex(3)}", nodes=1, system="etcd", version=NEW))
    yield made
    lifecycle.down(made.name)


@pytest.mark.slow
@pytest.mark.parametrize("syncs", [True, False])
def test_power_is_lost(alone: state.Testnet, tmp_path: Path, syncs: bool) -> None:
    """An etcd that syncs what it acknowledges loses none of it; one that was told not to does, and is found out."""
    scene, names = scene_of(alone, clients_of(alone)), [alone.nodes[0].name]
    if not syncs:
        scene.hosts[names[0]].run(UNSYNCED)
    act = Act(read({"id": "dark", "kind": "node_off", "target": "one", "unsynced": "lost"}), scene, tmp_path / "journal.jsonl")
    shape = Shape(f"/nodewise/{secrets.token_hex(4)}/", 1, 4, 20, 100.0)
    with at_work(clients_of(alone), names, tmp_path / "history.jsonl", shape, "set") as work:
        try:
            act.begin(1)
        finally:
            act.end()
        before = work.stats().ok
        until(lambda: work.stats().ok > before + 20)
        work.read_back(names)
    verdict = merge(work.judged(names, None, workload_named("set").checkers))
    assert ("valid" if syncs else "invalid") == verdict.valid, verdict.says
    assert syncs == (not verdict.lost)


@pytest.mark.slow
def test_the_clock_of_a_go_program(alone: state.Testnet) -> None:
    """It cannot be given another time, which is said when the plan is made."""
    events = plan([{"id": "it", "kind": "clock"}], 1, 1, max_down=1)
    with pytest.raises(UsageError, match=r"it: .* cannot do this: etcd is a Go program, which takes the time from the kernel"):
        refuse_unable(events, scene_of(alone, clients_of(alone)))
