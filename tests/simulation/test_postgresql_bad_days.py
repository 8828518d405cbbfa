"""The worst days of PostgreSQL under Patroni. The tests share a cluster that is taken back to the old minor before each."""

from __future__ import annotations

import base64
import shlex
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.simulation.bad_days import Day, bad_day, fault
from tests.simulation.bad_packages import installed, offered
from tests.system.cluster import LONGEST, Running, in_a_switch, short_lived, until
from tests.system.postgresql_cluster import NEW, OLD, Cluster, healthy
from tests.system.tarballs import Shop, opened

# The service's machine is gone as far as the others can tell: neither Patroni nor PostgreSQL come back by themselves.
DIE = "systemctl kill --signal=KILL patroni; pkill -9 -x postgres; systemctl stop patroni"
LIVE = "systemctl reset-failed patroni; systemctl start patroni"
PORTS = [5432, 8008]  # on which members' PostgreSQL and Patroni speak to each other
HEAL = "nft delete table inet bad"
SLEEP = "begin isolation level repeatable read; select 1; select pg_sleep(900)"
SLEEPER = f"nohup runuser -u postgres -- psql -XAtqc '{SLEEP}' >/dev/null 2>&1 &"
SLEEPERS = "from pg_stat_activity where query like '%pg_sleep(900)%' and pid <> pg_backend_pid()"
SLEEPS = f"select count(*) {SLEEPERS}"
# Once it is restarted, a replica replays an hour late. Patroni takes such a setting from its own configuration alone.
CONFIG = "/etc/nodewise/postgresql/patroni.d"
TAGS, RELOAD = f"{CONFIG}/90-tags.yml", "systemctl reload patroni; sleep 4"
LATE = f"""echo '{{"postgresql": {{"recovery_conf": {{"recovery_min_apply_delay": "1h"}}}}}}' >{CONFIG}/95-late.yml"""
ON_TIME = f"rm {CONFIG}/95-late.yml; systemctl restart patroni"
# The data of a member on a file system of its own, that has little room.
SMALL = """systemctl stop patroni; cd /var/lib/nodewise; mv postgresql kept; mkdir postgresql; chown postgres: postgresql
mount -t tmpfs -o size=$(( $(du -sm kept | cut -f1) + 200 ))m,mode=700,uid=postgres,gid=postgres small postgresql
cp -a kept/. postgresql; systemctl start patroni"""
LARGE = """systemctl stop patroni; cd /var/lib/nodewise; rm -f postgresql/filler; rm -rf kept
mkdir -m 700 kept; chown postgres: kept
cp -a postgresql/. kept; umount postgresql; rmdir postgresql; mv kept postgresql; systemctl start patroni"""
FILL = "dd if=/dev/zero of=/var/lib/nodewise/postgresql/filler bs=1M >/dev/null 2>&1; true"
# The new minor, as somebody installs it who does not know of Nodewise.
BY_HAND = f"""apt-get update -qq; new=$(apt-cache madison postgresql-15 | awk '$3 ~ /^{NEW}/ {{ print $3; exit }}')
DEBIAN_FRONTEND=noninteractive apt-get install -qqy --allow-change-held-packages postgresql-15=$new postgresql-client-15=$new
systemctl restart patroni"""
# Programs of PostgreSQL of which one takes backups that are damaged.
BACKUPS = "ls /opt/nodewise/postgresql/backups 2>/dev/null || true"
BAD_BIN = "/opt/bad-bin"
BAD_BACKUP = """#!/bin/sh
/usr/lib/postgresql/15/bin/pg_basebackup "$@" || exit
for word; do
  word=${word#--pgdata=}
  [ ! -f "$word/PG_VERSION" ] || printf X | dd of="$word/global/pg_filenode.map" bs=1 seek=100 conv=notrunc 2>/dev/null
done
"""

BAD = {
    "dies": ("exits at once", ["members_serving"]),
    "hangs": ("never gets ready", ["members_serving"]),
    "older": ("is another than it says", [OLD]),
    "deaf": ("refuses clients", ["members_serving"]),
}


@pytest.fixture(scope="module")
def shared(postgresql: Cluster) -> Cluster:
    """Three members that survive what is done to them."""
    return postgresql.reset()


@pytest.fixture
def cluster(shared: Cluster) -> Cluster:
    """On the old minor."""
    shared.anew()
    healthy(shared)
    return shared


@pytest.fixture(scope="module")
def release(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The new minor with a server in it that is as bad as /run/bad-day on its node says."""
    shop: Shop
    with opened(shared.net, tmp_path_factory.mktemp("shop")) as shop:
        yield offered(shared, shop, tmp_path_factory.mktemp("debs"))


@contextmanager
def synchronous(cluster: Cluster) -> Iterator[None]:
    """A commit waits for a standby: then no acknowledged row is lost in a failover that nobody asked for."""
    node = cluster.names[0]
    cluster.patronictl(node, "edit-config --force -q -s synchronous_mode=true")
    until(lambda: cluster.sql(cluster.leader(), "select count(*) from pg_stat_replication where sync_state = 'sync'") == "1", 30)
    try:
        yield
    finally:
        cluster.patronictl(node, "edit-config --force -q -s synchronous_mode=false")


def begun(cluster: Cluster, **variables: Any) -> tuple[Running, str, float]:
    """An upgrade whose first switch has begun: the playbook, the current node, and since when."""
    began, running = time.monotonic(), cluster.start(**variables)
    record = running.until(in_a_switch)
    assert record
    return running, record["node"], began


def again(day: Day) -> None:
    """After the repair the same command goes on to the end; how often who was started on the way is in the table."""
    if day.cluster.versions() != {NEW}:
        day.upgrade("upgraded")
    day.restarted = day.restarts()
    assert {NEW} == day.cluster.versions()
    assert {"hi "} == {state[:3] for node in day.cluster.names for state in installed(day.cluster, node).values()}


def canary_of(cluster: Cluster) -> str:
    """The member that is taken first: the first replica by name."""
    return next(name for name in cluster.names if name != cluster.leader())


@pytest.mark.slow
def test_a_minor_and_back(cluster: Cluster) -> None:
    """Nothing goes wrong: each member is restarted once, one switchover, and as often on the way back; dpkg knows what runs."""
    before = cluster.timeline()
    with bad_day(cluster, "none: a minor, again, and back") as day:
        day.upgrade("upgraded", nodewise_deep_check=True)
        assert "1" == cluster.sql(cluster.names[0], "select count(*) from pg_extension where extname = 'amcheck'")
        assert (before + 1, {NEW}) == (cluster.timeline(), cluster.versions())
        assert {"hi "} == {state[:3] for state in installed(cluster, cluster.names[0]).values()}
        day.upgrade("unchanged")
        began = time.monotonic()
        day.ended(cluster.rollback(), "rolled_back", began=began)
        assert (before + 2, {OLD}) == (cluster.timeline(), cluster.versions())
        assert {f"hi {OLD}"} == {state[: 3 + len(OLD)] for node in cluster.names for state in installed(cluster, node).values()}
        day.restarted = dict.fromkeys(cluster.names, 2)


@pytest.mark.slow
@pytest.mark.parametrize("how", BAD)
def test_bad_on_the_first_node(cluster: Cluster, release: dict[str, Any], how: str) -> None:
    """The current node goes back to its old packages, the evidence is named, and no other member is restarted."""
    node = canary_of(cluster)
    cluster.everywhere("rm -f /run/bad-day")
    cluster.root(node, f"echo {how} >/run/bad-day")
    with bad_day(cluster, f"new server {BAD[how][0]}") as day:
        ended = day.upgrade("rolled_back", nodewise_releases=release, nodewise_deadline=25)
        reason = str(ended.summary["reason"])
        assert [] == [word for word in [f"{node}: ", *BAD[how][1]] if word not in reason], reason
        assert f"It is back on {OLD}, " in ended.said
        assert "and a write was tried, and every member has it" in ended.said
        day.restarted = day.restarts()
        assert {node} == set(day.restarted)
    assert {OLD} == cluster.versions()
    assert all(state.startswith(f"hi {OLD}") for state in installed(cluster, node).values())
    cluster.root(node, "rm -f /run/bad-day")
    cluster.everywhere(f"rm -rf /opt/nodewise/postgresql/releases/{NEW}")


@pytest.mark.slow
def test_the_primary_is_killed(cluster: Cluster) -> None:
    """Its processes die while a replica is changed: it comes back as what it was, and what was acknowledged is there."""
    with bad_day(cluster, "the primary killed in the roll") as day:
        leader = cluster.leader()
        running, _node, began = begun(cluster)
        with fault(cluster, "kill", target=leader):
            pass  # systemd starts it again at once
        day.ended(running.ended(), "rolled_back", "paused", "upgraded", began=began)
        healthy(cluster)
        again(day)


@pytest.mark.slow
def test_the_primary_does_not_come_back(cluster: Cluster) -> None:
    """A replica takes over in the middle of the roll. In synchronous mode that loses no acknowledged row."""
    with ExitStack() as stack:
        stack.enter_context(synchronous(cluster))
        day = stack.enter_context(bad_day(cluster, "the primary lost in the roll, synchronous mode"))
        leader = cluster.leader()
        running, _node, began = begun(cluster, nodewise_deadline=45)
        cluster.root(leader, DIE)
        try:
            ended = day.ended(running.ended(), "paused", "intervention_required", began=began)
            assert f"{leader}: not serving" in str(ended.summary["reason"])
            others = [name for name in cluster.names if name != leader]
            until(lambda: 1 == sum(cluster.sql(name, "select pg_is_in_recovery()") == "f" for name in others), 60)
        finally:
            cluster.root(leader, LIVE)
        healthy(cluster, 120)
        again(day)


@pytest.mark.slow
def test_a_replica_that_cannot_catch_up(cluster: Cluster) -> None:
    """After its restart it replays an hour late: waited for until the deadline and named; once fixed, the same command goes on."""
    node = canary_of(cluster)
    with bad_day(cluster, "a replica that cannot catch up") as day:
        began, running = time.monotonic(), cluster.start(nodewise_deadline=20)
        assert running.until(lambda record: record.get("step") == "stage")  # what is there before is compared, and refused
        cluster.root(node, LATE)
        try:
            ended = day.ended(running.ended(), "paused", "rolled_back", began=began)
            assert node in str(ended.summary["reason"])
        finally:
            cluster.root(node, ON_TIME)
        healthy(cluster)
        again(day)


@pytest.mark.slow
def test_a_standby_that_is_not_in_pg_stat_replication(cluster: Cluster) -> None:
    """A replica that answers and does not stream is named, and nothing is begun."""
    leader = cluster.leader()
    node = next(name for name in reversed(cluster.names) if name != leader)  # not the first, from which all are looked at
    primary = cluster.net.node(leader).address
    with bad_day(cluster, "a standby missing from pg_stat_replication") as day:
        cluster.root(
            node,
            "nft add table inet bad; nft add chain inet bad output '{ type filter hook output priority 0; }'; "
            f"nft add rule inet bad output ip daddr {primary} tcp dport 5432 reject with tcp reset",
        )
        try:
            until(lambda: node not in cluster.streaming(), 120)  # the primary waits for it for wal_sender_timeout
            day.refused("replaying", node)
        finally:
            cluster.root(node, HEAL)
        healthy(cluster)


@pytest.mark.slow
def test_a_slot_that_is_lost(cluster: Cluster) -> None:
    """While the current node is down the primary throws away what it needs: it is named, made anew by hand, and the run goes on."""
    with bad_day(cluster, "a slot lost while its replica is down") as day:
        leader = cluster.leader()
        for setting in ("max_slot_wal_keep_size = '16MB'", "wal_keep_size = 0"):
            cluster.sql(leader, f"alter system set {setting}")
        cluster.sql(leader, "select pg_reload_conf()")
        running, node, began = begun(cluster, nodewise_deadline=25)
        until(lambda: cluster.root(node, "pgrep -xo postgres || true") == "", 60)
        for _ in range(6):
            cluster.sql(leader, "select pg_switch_wal()")
            cluster.sql(leader, "checkpoint")
        day.ended(running.ended(), "paused", "rolled_back", "upgraded", began=began)
        for setting in ("max_slot_wal_keep_size", "wal_keep_size"):
            cluster.sql(leader, f"alter system reset {setting}")
        cluster.sql(leader, "select pg_reload_conf()")
        if node not in cluster.streaming():
            cluster.patronictl(leader, f"reinit --force {cluster.net.name} {node}")
        healthy(cluster, 120)
        again(day)


@pytest.mark.slow
def test_a_long_transaction_on_a_replica(cluster: Cluster) -> None:
    """It reads from the current node: it is waited for, then ended, which is said; the upgrade goes on."""
    node = canary_of(cluster)
    with bad_day(cluster, "a long transaction blocks the drain of a replica") as day:
        cluster.root(node, SLEEPER)
        until(lambda: cluster.sql(node, SLEEPS) == "1", 20)
        day.upgrade("upgraded", nodewise_drain=3)
        day.restarted = dict.fromkeys(cluster.names, 1)
        assert "" == cluster.root(node, "pgrep -f 'pg_sleep[(]900' || true")


@pytest.mark.slow
def test_a_long_transaction_on_the_primary(cluster: Cluster) -> None:
    """Nobody's writes are cut off unasked: the handover does not happen and says whose they are; ended, the run goes on."""
    with bad_day(cluster, "a long transaction blocks the handover") as day:
        leader = cluster.leader()
        cluster.root(leader, SLEEPER.replace("select 1;", "create temporary table busy();"))
        ended = day.upgrade("paused", "rolled_back", nodewise_drain=3, nodewise_deadline=20)
        assert f"a switchover would cut off transactions on {leader}: pid " in str(ended.summary["reason"])
        assert leader == cluster.leader()
        cluster.sql(leader, f"select pg_terminate_backend(pid) {SLEEPERS}")  # it goes on without the psql that asked
        until(lambda: cluster.sql(leader, SLEEPS) == "0", 20)
        again(day)


@pytest.mark.slow
def test_a_disk_that_is_full_on_the_primary(cluster: Cluster) -> None:
    """No room for the log: the primary stops taking writes in the middle of the roll; with room again the same command goes on."""
    leader = cluster.leader()
    with ExitStack() as stack:
        stack.enter_context(synchronous(cluster))
        others = [name for name in cluster.names if name != leader]
        small = others[-1]
        cluster.root(small, SMALL)
        healthy(cluster)
        cluster.patronictl(leader, "edit-config --force -q -s synchronous_mode=false")
        cluster.hand_over(small)
        cluster.patronictl(small, "edit-config --force -q -s synchronous_mode=true")
        until(lambda: cluster.sql(small, "select count(*) from pg_stat_replication where sync_state = 'sync'") == "1", 30)
        day = stack.enter_context(bad_day(cluster, "disk full on the primary, synchronous mode"))
        running, _node, began = begun(cluster, nodewise_deadline=40)
        cluster.root(small, FILL)
        day.ended(running.ended(), "paused", "rolled_back", began=began)
        cluster.root(small, LARGE)
        healthy(cluster, 120)
        again(day)


@pytest.mark.slow
def test_the_store_loses_a_member(cluster: Cluster) -> None:
    """Two of three members of the store are enough for Patroni, and so for the roll."""
    with bad_day(cluster, "the store loses a member in the roll") as day:
        running, node, began = begun(cluster)
        lost = next(name for name in cluster.names if name != node)
        with fault(cluster, "stop", target=lost, unit="etcd"):
            day.ended(running.ended(), "upgraded", began=began)
        day.restarted = dict.fromkeys(cluster.names, 1)
    assert {NEW} == cluster.versions()


@pytest.mark.slow
def test_the_store_is_upgraded_itself(cluster: Cluster) -> None:
    """Both at once: each is a cluster of its own, with a lock of its own, and neither stops the other."""
    etcd = cluster.root(cluster.names[0], "basename $(readlink /opt/nodewise/etcd/current)")
    to = {"3.5.16": "3.5.30"}.get(etcd)
    if to is None:
        pytest.skip(f"the store runs {etcd}, and no later version is known")
    with bad_day(cluster, "the store is upgraded during the roll") as day:
        running, _node, began = begun(cluster)
        store = cluster.play("upgrade", nodewise_cluster=f"{cluster.net.name}_store", nodewise_to=to, nodewise_approve="any")
        assert "upgraded" == store.outcome, store.said
        day.ended(running.ended(), "upgraded", began=began)
        day.restarted = dict.fromkeys(cluster.names, 1)
    assert {NEW} == cluster.versions()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("heals", "outcomes"), [(True, ("upgraded",)), (False, ("paused", "rolled_back"))], ids=["heals", "does not heal"]
)
def test_a_partition_of_the_current_node(cluster: Cluster, heals: bool, outcomes: tuple[str, ...]) -> None:
    """It is waited for until its deadline, then taken back, or the run pauses; the others serve."""
    with bad_day(cluster, f"partition of the current node{' heals' if heals else ', does not heal'}") as day:
        running, node, began = begun(cluster, nodewise_deadline=120 if heals else 20)
        with fault(cluster, "partition", **{"from": node, "ports": PORTS}):
            if heals:
                time.sleep(10)
            else:
                running.process.wait(LONGEST)
        ended = running.ended()
        day.ended(ended, *outcomes, began=began)
        healthy(cluster, 120)
        again(day)


@pytest.mark.slow
def test_ssh_that_is_cut(cluster: Cluster) -> None:
    """A connection that breaks while packages are installed is made anew, and what the node says then is what counts."""
    with bad_day(cluster, "SSH cut during the switch") as day:
        running, node, began = begun(cluster)
        cluster.root(node, "pkill -f '^sshd: nodewise'")
        day.ended(running.ended(), "upgraded", began=began)
        day.restarted = dict.fromkeys(cluster.names, 1)


@pytest.mark.slow
def test_a_node_that_is_lost(cluster: Cluster) -> None:
    """Out of reach in the middle of its switch: a pause, no other member is touched, and what the node had begun it finishes."""
    with bad_day(cluster, "a node lost in the middle of its step") as day:
        running, node, began = begun(cluster)
        cluster.root(node, "systemctl stop ssh; pkill -x sshd")
        ended = running.ended()
        cluster.root(node, "systemctl start ssh")
        day.ended(ended, "paused", began=began, code=ended.code)
        assert f"{node} was lost during its batch; no other member was touched" in ended.said
        again(day)


@pytest.mark.slow
def test_leadership_that_moves(cluster: Cluster) -> None:
    """Somebody else's switchover in the middle of a batch: it is noticed, and which batch is next is decided anew."""
    with bad_day(cluster, "another primary in the middle of a step") as day:
        leader = cluster.leader()
        running, node, began = begun(cluster)
        heir = next(name for name in cluster.names if name not in (leader, node))
        moved = f"switchover --force --leader {leader} --candidate {heir} {cluster.net.name}"
        cluster.patronictl(leader, moved)
        day.ended(running.ended(), "upgraded", "rolled_back", "paused", began=began)
        healthy(cluster)
        again(day)


def refusals() -> dict[str, tuple[str, str, str]]:
    """By the day's name: what is done to a replica's node, what takes it back, and what the reason names."""
    packages = "/opt/nodewise/postgresql/releases"
    small = (
        f"mv {packages} /var/tmp/kept; mkdir {packages}; "
        f"mount -t tmpfs -o size=$(( $(du -sm /var/tmp/kept | cut -f1) + 70 ))m small {packages}; cp -a /var/tmp/kept/. {packages}"
    )
    return {
        "a member stopped": ("systemctl stop patroni", "systemctl start patroni", "members_serving"),
        "configuration on disk differs": (
            "cd /etc/nodewise/postgresql/patroni.d; cp -p 10-node.yml /var/tmp/kept; echo '# by hand' >>10-node.yml",
            "mv /var/tmp/kept /etc/nodewise/postgresql/patroni.d/10-node.yml",
            "changed after the process began",
        ),
        "disk full while staging": (
            small,
            f"umount {packages}; rmdir {packages}; mv /var/tmp/kept {packages}",
            "MiB",
        ),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", refusals())
def test_what_an_upgrade_is_refused_for(cluster: Cluster, name: str) -> None:
    """The node is named and what was found there, and nothing is changed on any node."""
    done, back, named = refusals()[name]
    node = canary_of(cluster)
    with bad_day(cluster, name) as day:
        cluster.root(node, done)
        try:
            reason = str(day.upgrade("refused").summary["reason"])
            assert [] == [word for word in (node, named) if word not in reason], reason
        finally:
            cluster.root(node, back)
        healthy(cluster)
        day.restarted = day.restarts()


@pytest.mark.slow
def test_nobody_may_take_over(cluster: Cluster) -> None:
    """The leader's batch needs somebody to hand over to: refused before the first replica is changed."""
    replicas = [name for name in cluster.names if name != cluster.leader()]
    with bad_day(cluster, "nobody may take over") as day:
        for node in replicas:
            cluster.root(node, f"echo 'tags: {{nofailover: true}}' >{TAGS}; chown postgres {TAGS}; {RELOAD}")
        try:
            day.refused(f"{cluster.leader()} leads and no member may take over from it", "has the tag nofailover")
        finally:
            for node in replicas:
                cluster.root(node, f"rm {TAGS}; {RELOAD}")
            healthy(cluster)


@pytest.mark.slow
def test_what_an_owner_wrote(cluster: Cluster) -> None:
    """Tags in YAML are to the letter what they were; whoever holds dpkg's lock is waited for before the node is changed."""
    node, theirs = canary_of(cluster), "tags:\n  zone: a   # the first one"
    hold = "import fcntl, time; f = open('/var/lib/dpkg/lock-frontend', 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(60)"
    with bad_day(cluster, "90-tags.yml in YAML, dpkg lock held") as day:
        cluster.root(node, f"printf {shlex.quote(theirs)} >{TAGS}; chown postgres {TAGS}; {RELOAD}")
        cluster.root(node, f"nohup python3 -c {shlex.quote(hold)} >/dev/null 2>&1 & sleep 1")
        try:
            ended = day.upgrade("upgraded")
            assert f"warning: {node}: /var/lib/dpkg/lock-frontend is held by python3 (pid " in ended.said
            assert theirs.replace("\\n", "\n") == cluster.root(node, f"cat {TAGS}")
        finally:
            cluster.root(node, f"rm {TAGS}; {RELOAD}")
        day.restarted = day.restarts()
    assert {NEW} == cluster.versions()


@pytest.mark.slow
def test_a_corrupt_artifact(cluster: Cluster, release: dict[str, Any]) -> None:
    """Of a package that is not what was meant nothing is staged on any node, and nothing is installed."""
    wrong = {NEW: {**release[NEW], "artifacts": [{**one, "sha256": "0" * 64} for one in release[NEW]["artifacts"]]}}
    with bad_day(cluster, "artifact corrupt") as day:
        reason = str(day.upgrade("refused", nodewise_releases=wrong).summary["reason"])
        assert "expected 0000000000000000" in reason
    assert {OLD} == cluster.versions()


@pytest.mark.slow
def test_an_unreachable_node(cluster: Cluster) -> None:
    """A member that answers nobody is named, and no other is touched."""
    node = canary_of(cluster)
    with bad_day(cluster, "a node unreachable") as day:
        cluster.root(node, "systemctl stop ssh; pkill -x sshd")
        try:
            ended = day.upgrade("refused", code=4)
        finally:
            cluster.root(node, "systemctl start ssh")
        assert f"{node} did not answer" in str(ended.summary["reason"])


@pytest.mark.slow
@pytest.mark.parametrize("days", [0, 1], ids=["expired", "expiring"])
def test_a_certificate(cluster: Cluster, tmp_path: Path, days: int) -> None:
    """A node whose certificate ends may not come back after a restart: it is named, with the file."""
    node = canary_of(cluster)
    with (
        bad_day(cluster, f"{'expiring' if days else 'expired'} certificate") as day,
        short_lived(cluster, node, days, tmp_path) as file,
    ):
        # The first member observes, with its own certificate: the others refuse one that has ended before anybody reads its end.
        day.refused(node, "CERTIFICATE_EXPIRED" if not days and node == cluster.names[0] else f"{file} ends at ")


@pytest.mark.slow
def test_a_backup_that_does_not_verify(cluster: Cluster) -> None:
    """A base backup of which one byte is another is no backup, and is not kept."""
    node = cluster.leader()
    kept = cluster.root(node, BACKUPS)
    cluster.everywhere(f"mkdir {BAD_BIN}; ln -s /usr/lib/postgresql/15/bin/* {BAD_BIN}; rm {BAD_BIN}/pg_basebackup")
    cluster.everywhere(f"echo {base64.b64encode(BAD_BACKUP.encode()).decode()} | base64 -d >{BAD_BIN}/pg_basebackup")
    cluster.everywhere(f"chmod +x {BAD_BIN}/pg_basebackup")
    try:
        with bad_day(cluster, "backup does not verify") as day:
            day.refused(f"secure failed on {node}: ", "pg_verifybackup", nodewise_bin_dir=BAD_BIN)
    finally:
        cluster.everywhere(f"rm -r {BAD_BIN}")
    assert kept == cluster.root(node, BACKUPS)


@pytest.mark.slow
def test_a_plan_that_was_approved_before_something_changed(cluster: Cluster) -> None:
    """A member that somebody took to another version since is drift, and is named."""
    node = canary_of(cluster)
    cluster.everywhere("rm -f /opt/nodewise/postgresql/state.json")  # of an upgrade that had begun, this would be a part
    with bad_day(cluster, "plan approved, cluster changed since") as day:
        planned = cluster.upgrade("--check")
        assert "planned" == planned.outcome, planned.said
        plan = str(yaml.safe_load((planned.folder / "plan.yaml").read_text())["hash"])
        cluster.root(node, BY_HAND)
        until(lambda: cluster.version(node) == NEW and node in cluster.streaming())
        day.refused(f"the cluster is not what plan {plan} was made for", node, NEW, nodewise_plan=plan)
        day.before = cluster.starts()
