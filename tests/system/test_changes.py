"""Restarts, changed settings and reboots of real clusters: what an upgrade does, with a version that stays."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nodewise.model import Verdict
from nodewise.simulation.checkers.registry import merge
from nodewise.simulation.harness import at_work, clients_of
from nodewise.simulation.workloads.load import Shape
from nodewise.simulation.workloads.registry import workload_named
from tests.system import postgresql_cluster
from tests.system.cluster import until
from tests.system.etcd_cluster import Cluster, Ended

QUOTA = """cd /etc/nodewise/etcd; python3 -c '
import ssl, urllib.request as r; c = ssl.create_default_context(cafile="ca.crt"); c.check_hostname = False
c.load_cert_chain("node.crt", "node.key"); said = r.urlopen("https://127.0.0.1:2379/metrics", context=c).read().decode()
print([line.split()[1] for line in said.splitlines() if line.startswith("etcd_server_quota_backend_bytes ")][0])'"""


def order(ended: Ended) -> list[str]:
    """The members in the order in which they were restarted."""
    return [str(record["node"]) for record in ended.journal("step", "begin") if record["step"] == "switch"]


def test_every_member_of_etcd_is_restarted(etcd: Cluster) -> None:
    """Each once and the leader last, after it handed over; --check shows the plan, and no process is another one after it."""
    etcd.reset()
    leader, before, starts = etcd.leader(), etcd.look(), etcd.starts()
    planned = etcd.play("restart", "--check")
    assert ("planned", 0) == (planned.outcome, planned.code), planned.said
    assert before == etcd.look()
    ended = etcd.play("restart", nodewise_approve=planned.summary["plan"])
    assert ("changed", 0) == (ended.outcome, ended.code), ended.said
    assert {node: count + 1 for node, count in starts.items()} == etcd.starts()
    assert leader == order(ended)[-1] != etcd.leader()
    assert etcd.data_whole()


@contextmanager
def writing(etcd: Cluster, folder: Path) -> Iterator[Callable[[], Verdict]]:
    """Clients that write through all members; what is yielded says at the end whether an acknowledged write is gone."""
    shape = Shape(f"/nodewise/{secrets.token_hex(4)}/", 1, 4, 20, 100.0)

    def judged() -> Verdict:
        work.read_back(etcd.names)
        return merge(work.judged(etcd.names, None, workload_named("set").checkers))

    with at_work(clients_of(etcd.net), etcd.names, folder / "history.jsonl", shape, "set") as work:
        until(lambda: work.stats().ok > 20)
        yield judged


def quotas(etcd: Cluster) -> set[int]:
    """What each running process says that it takes at most."""
    return {int(float(one)) for one in etcd.everywhere(QUOTA).values()}


@pytest.mark.slow
def test_the_quota_of_etcd_is_changed(etcd: Cluster, tmp_path: Path) -> None:
    """On each member, under writing clients: the plan shows the line a node, and each process runs with it at the end."""
    etcd.reset()
    before = etcd.look()
    planned = etcd.play("configure", "--check", nodewise_etcd_quota=4 << 30)
    assert ("planned", 0) == (planned.outcome, planned.code), planned.said
    assert before == etcd.look()
    for name in etcd.names:
        assert f"{name}: /etc/nodewise/etcd/etcd.yml: +quota-backend-bytes: {4 << 30}" in planned.said
    with writing(etcd, tmp_path) as judged:
        ended = etcd.play("configure", nodewise_etcd_quota=4 << 30, nodewise_approve=planned.summary["plan"])
        assert ("changed", 0) == (ended.outcome, ended.code), ended.said
        assert "valid" == judged().valid
    assert {4 << 30} == quotas(etcd)
    again = etcd.play("configure", nodewise_etcd_quota=4 << 30)
    assert ("unchanged", 0) == (again.outcome, again.code), again.said
    assert ("changed", {2 << 30}) == (etcd.play("configure").outcome, quotas(etcd))


@pytest.mark.slow
def test_a_setting_with_which_etcd_does_not_start(etcd: Cluster, tmp_path: Path) -> None:
    """It is put back on the first member: the cluster is as before, no acknowledged write is gone, nobody else was touched."""
    etcd.reset()
    starts, files = etcd.starts(), etcd.everywhere("sha256sum /etc/nodewise/etcd/* /etc/systemd/system/etcd.service")
    with writing(etcd, tmp_path) as judged:
        ended = etcd.play("configure", nodewise_etcd_settings={"heartbeat-interval": 100, "election-timeout": 150})
        assert ("rolled_back", 2) == (ended.outcome, ended.code), ended.said
        assert "valid" == judged().valid
    assert "election-timeout" in ended.summary["reason"]
    assert files == etcd.everywhere("sha256sum /etc/nodewise/etcd/* /etc/systemd/system/etcd.service")
    (first,) = {node for node in etcd.names if etcd.starts()[node] != starts[node]}
    assert first == order(ended)[0]
    assert etcd.data_whole()
    assert 0 == etcd.play("status").code


PATCH = "test $(hostname) != {bad} || {{ echo E: broken; exit 100; }}; date >>/root/patched"
BOOT = "cut -d' ' -f22 /proc/1/stat"


@pytest.mark.slow
def test_nodes_are_patched_and_rebooted(etcd: Cluster, tmp_path: Path) -> None:
    """Each once, while clients write: none is rebooted whose patch fails, and the next run goes on with the others."""
    etcd.reset()
    etcd.everywhere("rm -f /root/patched")
    boots, leader = etcd.everywhere(BOOT), etcd.leader()
    first, second, _last = sorted(etcd.names, key=lambda name: (name == leader, name))
    with writing(etcd, tmp_path) as judged:
        ended = etcd.play("reboot", nodewise_patch=PATCH.format(bad=second))
        assert ("paused", 2) == (ended.outcome, ended.code), ended.said
        assert "the patch command ended with 100 and said last: E: broken" in ended.summary["reason"]
        assert {first} == {name for name, boot in etcd.everywhere(BOOT).items() if boot != boots[name]}
        assert all(etcd.serves(name) for name in etcd.names)
        rebooted = etcd.everywhere(BOOT)[first]
        ended = etcd.play("reboot", nodewise_patch=PATCH.format(bad="nobody"))
        assert ("changed", 0) == (ended.outcome, ended.code), ended.said
        assert "valid" == judged().valid
    now = etcd.everywhere(BOOT)
    assert rebooted == now[first]
    assert not {name for name, boot in now.items() if boot == boots[name]}
    assert dict.fromkeys(etcd.names, "1") == etcd.everywhere("wc -l </root/patched")
    assert etcd.data_whole()


@pytest.mark.slow
def test_a_restart_whose_controller_is_killed(etcd: Cluster) -> None:
    """A second one is refused while it holds the cluster; after its end the same command restarts only who was not restarted."""
    etcd.reset()
    starts = etcd.starts()
    running, seen = etcd.start(playbook="restart", nodewise_soak=45), list[str]()

    def begins(count: int) -> Callable[[dict[str, Any]], bool]:
        """Whether so many members were begun."""

        def reached(record: dict[str, Any]) -> bool:
            if (record["kind"], record["phase"], record.get("step")) == ("step", "begin", "switch") and record["node"] not in seen:
                seen.append(record["node"])
            return len(seen) == count

        return reached

    assert running.until(begins(1), 400)
    refused = etcd.play("restart")  # while the first one is watched
    assert ("refused", True) == (refused.outcome, "holds the cluster" in refused.summary["reason"]), refused.said
    assert running.until(begins(2), 400)
    running.kill()
    ended = etcd.play("restart")
    assert ("changed", 0) == (ended.outcome, ended.code), ended.said
    assert {node: count + 1 for node, count in starts.items()} == etcd.starts()
    assert seen[0] not in order(ended)


@pytest.mark.slow
def test_what_postgresql_has_pending_gets_its_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each server once, the primary last and after another took over; nothing is pending then, and the setting is in use."""
    with postgresql_cluster.made(Path(tmp_path_factory.mktemp("runs"))) as cluster:
        wanted = {"nodewise_postgresql_parameters": {"max_connections": "123"}}
        assert 0 == cluster.play("provision", **wanted).code
        until(lambda: all(cluster.patroni(node).get("pending_restart") for node in cluster.names), 60)
        leader, servers, timeline = cluster.leader(), cluster.postmasters(), cluster.timeline()
        ended = cluster.play("restart")
        assert ("changed", 0) == (ended.outcome, ended.code), ended.said
        assert not [node for node in cluster.names if cluster.patroni(node).get("pending_restart")]
        assert {"123"} == {cluster.sql(node, "show max_connections") for node in cluster.names}
        assert not set(servers.items()) & set(cluster.postmasters().items())
        assert (leader, timeline + 1) == (order(ended)[-1], cluster.timeline())
        assert leader != cluster.leader()
        assert cluster.data_whole()
