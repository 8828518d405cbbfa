"""The gates of PostgreSQL on a real cluster under Patroni: each passes when all is well, and fires on its trouble."""

from __future__ import annotations

import datetime
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.integration.patroni_cluster import PatroniCluster
from tests.integration.postgresql_cluster import AS_POSTGRES, BIN, HBA

from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import missing
from ansible_collections.nodewise.cluster.plugins.module_utils.node.sampling import Request
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.amcheck import Damaged, check
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.info import observe
from nodewise.gates.context import context
from nodewise.gates.judgement import Judgement, judge
from nodewise.gates.vocabulary import builtin_gates, parse_gates
from nodewise.model import Observation
from nodewise.upgrade.declared import declaration

ROLE = Path(__file__).parents[2] / "roles" / "postgresql"
NAMES = ["n1", "n2", "n3"]
HEALTHY = {"members": NAMES, "serving": True, "leader": True, "fingerprint": True, "max_lag": 0}
ASKED = {"component": "postgresql", "long_transaction_s": 300.0, "catch_up": 1.0, "tables": False, "deadline": 40.0}
DECLARED = declaration(ROLE)
GATES = {**builtin_gates(), **parse_gates(DECLARED.gates)}


def look(cluster: PatroniCluster, settled: dict[str, Any] | None = None, **asked: Any) -> Observation:
    """What is observed, having waited for what is named."""
    found = observe({**cluster.options, **ASKED, **asked, "settled": settled or {}})
    assert found["missing"] == [], found["missing"]
    return msgspec.convert(found["observation"], Observation)


def ask(gate: str, now: Observation, before: Observation | None = None, **about: Any) -> Judgement:
    """One gate's answer."""
    return judge(GATES[gate], context(now, before or now, NAMES, to=about.pop("to", "15.99"), **about))


def fires(gate: str, *evidence: str, **asked: Any) -> None:
    """The gate is not true, and its evidence has these words."""
    judgement = ask(gate, **asked)
    assert not judgement.ok
    assert all(text in str(judgement) for text in evidence), str(judgement)


def passes(gate: str, now: Observation, **asked: Any) -> None:
    """The gate is exactly true."""
    judgement = ask(gate, now, **asked)
    assert judgement.ok, str(judgement)


def until(cluster: PatroniCluster, gate: str, *, ok: bool, seconds: float = 40, **context: Any) -> Observation:
    """Look until a gate is true, or until it is not; what was seen then. Patroni needs its time to hear of a change."""
    deadline = time.monotonic() + seconds
    while True:
        now = look(cluster)
        judgement = ask(gate, now, **context)
        if judgement.ok == ok:
            return now
        assert time.monotonic() < deadline, str(judgement)


def leader(seen: Observation) -> str:
    """Who leads."""
    assert seen.cluster.leader is not None
    return seen.cluster.leader


def replica(seen: Observation, number: int = 0) -> str:
    """Who does not."""
    return [name for name in NAMES if name != leader(seen)][number]


def errors(seen: Observation, name: str) -> str:
    """What a member complains about."""
    return "; ".join(next(member.errors for member in seen.members if member.name == name))


@pytest.fixture(scope="module")
def made() -> Iterator[PatroniCluster]:
    """A running cluster."""
    cluster = PatroniCluster(failsafe_mode=True, ttl=20)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(made: PatroniCluster) -> PatroniCluster:
    """The cluster, which is healthy."""
    look(made, HEALTHY)
    return made


@pytest.fixture
def healthy(made: PatroniCluster) -> Observation:
    """What a healthy cluster shows."""
    return look(made, HEALTHY)


def test_all_is_well(healthy: Observation) -> None:
    """A healthy cluster passes what is asked before anything begins, and nothing is wrong with any member."""
    assert [] == [error for member in healthy.members for error in member.errors]
    for gate in DECLARED.ready:
        passes(gate, healthy)
    for gate in ("not_paused", "nobody_unfinished", "postgresql_undisturbed", "no_alarms"):
        passes(gate, healthy)
    assert [1] == healthy.cluster.details["timelines"]
    assert [True] * 3 == [member.details["candidate"] for member in healthy.members]


def test_observing_changes_nothing(cluster: PatroniCluster) -> None:
    """Not a byte of log is written by looking, and no transaction number is used."""
    statement = "select pg_current_wal_lsn() || ' ' || pg_snapshot_xmax(pg_current_snapshot())"
    first = leader(look(cluster, HEALTHY))
    cluster.sql(first, "checkpoint")
    for _ in range(5):  # the server's own, now and then, is not ours
        before = cluster.sql(first, statement)
        look(cluster, tables=True)
        if before == cluster.sql(first, statement):
            return
    pytest.fail("each time that the cluster was observed its log grew")


def test_a_collation_of_another_version(cluster: PatroniCluster, healthy: Observation) -> None:
    """As after a package with another C library: each member names the collation and the indexes that are in its order."""
    first = leader(healthy)
    remember = "update pg_database set datcollversion = {} where datname = 'nodewise'"
    found = cluster.sql(first, "select coalesce(quote_literal(datcollversion), 'null') from pg_database where datname = 'nodewise'")
    cluster.sql(first, "create table sorted (word text constraint sorted_word primary key)", "nodewise")
    try:
        cluster.sql(first, remember.format("'1.0'"))
        seen = until(cluster, "collations_as_recorded", ok=False)
        fires("collations_as_recorded", "nodewise: the default of the database is ", "and was 1.0; indexes: sorted_word", now=seen)
        assert 3 == sum(member.details["collations"] != [] for member in seen.members)
    finally:
        cluster.sql(first, remember.format(found))
        cluster.sql(first, "drop table sorted", "nodewise")
    until(cluster, "collations_as_recorded", ok=True)


def test_a_prepared_transaction(cluster: PatroniCluster, healthy: Observation) -> None:
    """A transaction that is prepared is named."""
    first = leader(healthy)
    cluster.sql(first, "begin; create table held (); prepare transaction 'orders-7'", "nodewise")
    fires("no_prepared_transactions", '"gid":"orders-7"', '"count":1', now=look(cluster))
    cluster.sql(first, "rollback prepared 'orders-7'", "nodewise")
    passes("no_prepared_transactions", look(cluster))


def test_what_a_member_is_asked_while_it_is_watched(cluster: PatroniCluster) -> None:
    """The probe of a sample is good on the primary and on replicas, again and again; a Patroni that hangs fails it."""
    probes = {}
    for name in NAMES:
        request = {"url": cluster.access.member(name).rest, "paths": ["/health"], "body": None}
        probes[name] = Request({**request, **{file: cluster.options[file] for file in ("ca", "cert", "key")}}, 1.0)
        assert [""] * 3 == [probes[name].ask() for _ in range(3)]
    cluster.signal("n3", signal.SIGSTOP)
    try:
        probes["n3"].ask()  # may be answered yet: the signal is on its way
        assert "timed out" in probes["n3"].ask()
    finally:
        cluster.signal("n3", signal.SIGCONT)


@contextmanager
def session(cluster: PatroniCluster, name: str, statements: str) -> Iterator[None]:
    """Has a session of somebody's go on."""
    command = [str(BIN / "psql"), "-XAtq", *cluster.local(name), "-d", "nodewise", "-c", statements]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, **AS_POSTGRES) as process:
        cluster.until(name, "select exists(select from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid())")
        yield
        process.terminate()


def test_a_long_transaction(cluster: PatroniCluster, healthy: Observation) -> None:
    """A transaction that runs for long is named, with its member, on a primary and on a replica; not with what it asks."""
    for name in (leader(healthy), replica(healthy)):
        with session(cluster, name, "begin; select 'secret', pg_sleep(60)"):
            time.sleep(0.5)
            now = look(cluster, long_transaction_s=0.4)
            fires("no_long_transactions", f'"member":"{name}"', '"user":"postgres"', now=now)
            assert "secret" not in str(now)
            passes("no_long_transactions", look(cluster))


def test_a_pause(cluster: PatroniCluster, healthy: Observation) -> None:
    """A pause of somebody's fires; one of ours is not in the way of beginning again, and tells whose batch it was."""
    cluster.dynamic_settings(pause=True)
    now = look(cluster)
    fires("not_paused", '"paused":true', now=now)
    fires("not_paused_by_others", now=now)
    cluster.dynamic_settings(nodewise_paused=replica(healthy))
    now = look(cluster)
    passes("not_paused_by_others", now)
    fires("not_paused", replica(healthy), now=now)
    fires("nobody_unfinished", replica(healthy), now=now)
    fires("node_finished", now=now, node=replica(healthy))
    cluster.dynamic_settings(pause=None, nodewise_paused=None)
    passes("nobody_unfinished", look(cluster))


def test_what_is_scheduled(cluster: PatroniCluster, healthy: Observation) -> None:
    """A switchover and a restart that are to come are told, with when."""
    first, other = leader(healthy), replica(healthy)
    at = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).isoformat()
    cluster.ask(first, "POST", "/switchover", {"leader": first, "candidate": other, "scheduled_at": at})
    fires("nothing_scheduled", '"what":"switchover"', at[:16], f'"to":"{other}"', now=look(cluster))
    cluster.ask(first, "DELETE", "/switchover")
    until(cluster, "nothing_scheduled", ok=True)
    cluster.ask(other, "POST", "/restart", {"schedule": at})
    now = until(cluster, "nothing_scheduled", ok=False)  # told by the member's next word to the store
    fires("nothing_scheduled", '"what":"restart"', f'"member":"{other}"', now=now)
    cluster.ask(other, "DELETE", "/restart")


@pytest.mark.slow
def test_a_restart_that_is_pending(cluster: PatroniCluster, healthy: Observation) -> None:
    """A member that waits for a restart to take settings over is named; PostgreSQL that was restarted is seen, too."""
    cluster.dynamic_settings(postgresql={"parameters": {"max_wal_senders": 12}})
    now = until(cluster, "no_restart_pending", ok=False)
    fires("no_restart_pending", '["n', now=now)
    cluster.dynamic_settings(postgresql={"parameters": {"max_wal_senders": None}})
    other = replica(healthy)
    cluster.ask(other, "POST", "/restart", {})
    until(cluster, "no_restart_pending", ok=True)
    now = look(cluster, HEALTHY)
    fires("postgresql_undisturbed", other, now=now, before=healthy)
    fires("others_undisturbed", other, now=now, before=healthy, node=replica(healthy, 1))


@pytest.mark.slow
def test_an_archiver_that_fails(cluster: PatroniCluster, healthy: Observation) -> None:
    """What could not be archived last is told; nothing that archives at all is a failure, too."""
    first = leader(healthy)
    archive(cluster, "false")
    fires("archiver_well", '"last_failed_wal":"0', now=until(cluster, "archiver_well", ok=False))
    archive(cluster, "true")
    until(cluster, "archiver_well", ok=True, seconds=90)  # it pauses for a minute after three failures
    archive(cluster, "")
    fires("archiver_well", '"configured":false', now=until(cluster, "archiver_well", ok=False))
    archive(cluster, "true")
    until(cluster, "archiver_well", ok=True)
    passes("archiver_well", look(cluster))
    assert first == leader(look(cluster))


def archive(cluster: PatroniCluster, command: str) -> None:
    """Have the members archive by a command, and the leader begin another file of its log."""
    first = leader(look(cluster))
    cluster.dynamic_settings(postgresql={"parameters": {"archive_command": command}})
    cluster.until(first, f"select current_setting('archive_command') = '{command}'", 40)
    write(cluster, first)
    cluster.sql(first, "select pg_switch_wal()")


def write(cluster: PatroniCluster, name: str) -> None:
    """Write a row that everybody is to have."""
    cluster.sql(name, "insert into nodewise.sentinel (run, node, word) values ('t', 'n', 'PLANTED-VALUE-A')", "nodewise")


def test_replay_that_is_paused(cluster: PatroniCluster, healthy: Observation) -> None:
    """A replica whose replay is paused is found also while nothing is written; with writes it is behind, and unproved."""
    first, other = leader(healthy), replica(healthy)
    cluster.signal(other, signal.SIGSTOP)  # its Patroni would have it go on
    cluster.sql(other, "select pg_wal_replay_pause()")
    fires("replaying", f'"paused":["{other}"]', now=look(cluster))
    write(cluster, first)
    now = look(cluster)
    fires("caught_up", f'"name":"{other}"', now=now)
    fires("fingerprints_equal", "it has replayed up to", now=now)
    assert "pg_wal_replay_resume" in errors(now, other)
    assert missing(msgspec.to_builtins(now), {"max_lag": 0})
    cluster.sql(other, "select pg_wal_replay_resume()")
    cluster.signal(other, signal.SIGCONT)


def test_a_replica_that_applies_late(cluster: PatroniCluster, healthy: Observation) -> None:
    """A replica that streams and applies later has not caught up."""
    first, other = leader(healthy), replica(healthy)
    own = cluster.configuration(other, HBA)["postgresql"]
    cluster.own_settings(other, {"postgresql": {**own, "recovery_conf": {"recovery_min_apply_delay": "1min"}}})
    try:
        cluster.until(other, "select current_setting('recovery_min_apply_delay') = '1min'", 30)
        deadline = time.monotonic() + 20
        while ask("caught_up", now := look(cluster)).ok:
            assert time.monotonic() < deadline
            write(cluster, first)
        fires("caught_up", f'"name":"{other}"', now=now)
        passes("replaying", now)
    finally:
        cluster.own_settings(other, {"postgresql": own})
        cluster.until(other, "select current_setting('recovery_min_apply_delay') = '0'", 30)


def test_a_replica_that_is_down(cluster: PatroniCluster, healthy: Observation) -> None:
    """A standby that nobody has in pg_stat_replication is an error of the member; its slot is without it, or gone."""
    first, other = leader(healthy), replica(healthy)
    cluster.end(other)
    cluster.until(first, f"select not active from pg_replication_slots where slot_name = '{other}'")  # noqa: S608
    now = look(cluster)
    for gate in ("members_serving", "replaying", "slots_whole", "caught_up", "fingerprints_equal", "no_errors"):
        fires(gate, other, now=now)
    passes("one_leader", now)
    passes("members_expected", now)
    assert "pg_stat_replication" in errors(now, other)
    cluster.sql(first, f"select pg_drop_replication_slot('{other}')")
    fires("slots_whole", f'"name":"{other}"', '"wal_status":"missing"', now=look(cluster))
    slot_anew(cluster, first, other)
    cluster.run(other)


def slot_anew(cluster: PatroniCluster, first: str, name: str) -> None:
    """Make a slot that was dropped behind Patroni's back: it believes that it is there, for as long as it runs."""
    cluster.sql(first, f"select pg_create_physical_replication_slot('{name}', true)")


def test_tags(cluster: PatroniCluster, healthy: Observation) -> None:
    """A member that was taken out of service by us is unfinished; who has nofailover may not take over, whoever said so."""
    other, third = replica(healthy), replica(healthy, 1)
    cluster.tag(other, nofailover=True, noloadbalance=True, nodewise_unfinished=True)
    cluster.tag(third, nofailover=True)
    now = until(cluster, "nobody_unfinished", ok=False)
    deadline = time.monotonic() + 20
    while candidates(now) != {leader(now)}:
        assert time.monotonic() < deadline
        now = look(cluster)
    fires("node_finished", "nodewise_unfinished", now=now, node=other)
    fires("nobody_unfinished", other, now=now)
    passes("node_finished", now, node=third)
    for name in (other, third):
        cluster.tag(name)
    until(cluster, "nobody_unfinished", ok=True)


def candidates(seen: Observation) -> set[str]:
    """Who may take over, and who leads."""
    return {member.name for member in seen.members if member.details["candidate"]}


def test_synchronous_mode(cluster: PatroniCluster, healthy: Observation) -> None:
    """In synchronous mode somebody must be synchronous, and only he may take over; two must serve."""
    cluster.dynamic_settings(synchronous_mode=True)
    now = until(cluster, "sync_standby", ok=True)
    passes("members_serving", now)
    assert 2 == now.cluster.quorum
    assert 2 == len(candidates(now))
    with ExitStack() as stack:
        for number in (0, 1):
            cluster.tag(replica(healthy, number), nosync=True)
            stack.callback(cluster.tag, replica(healthy, number))
        now = until(cluster, "sync_standby", ok=False)
        fires("members_serving", leader(healthy), now=now)
        cluster.dynamic_settings(synchronous_mode=None)
    until(cluster, "members_serving", ok=True)


def test_a_switchover(cluster: PatroniCluster, healthy: Observation) -> None:
    """One switchover to who was to take over passes; another leader, none, and one more switchover do not."""
    first, other, third = leader(healthy), replica(healthy), replica(healthy, 1)
    cluster.ask(first, "POST", "/switchover", {"leader": first, "candidate": other})
    now = look(cluster, HEALTHY)
    asked: dict[str, Any] = {"before": healthy, "node": first}
    for gate in ("leader_is_successor", "timeline_one_more", "others_undisturbed", "one_timeline", "one_system", "one_leader"):
        passes(gate, now, successor=other, **asked)
    fires("leader_is_successor", f'"expected":"{third}"', other, now=now, successor=third, **asked)
    fires("leader_is_successor", now=now, successor=None, **asked)
    fires("timeline_one_more", now=now, before=now)
    cluster.ask(other, "POST", "/switchover", {"leader": other, "candidate": first})
    twice = look(cluster, HEALTHY)
    fires("timeline_one_more", str(twice.cluster.details["timeline"]), now=twice, before=healthy)
    passes("timeline_one_more", twice, before=now)


def test_timelines_without_a_function_of_ours(cluster: PatroniCluster, healthy: Observation) -> None:
    """A cluster that something else provisioned tells its timelines through Patroni, and they are the same."""
    first = leader(healthy)
    cluster.sql(first, "alter function nodewise.timeline_history() rename to other_history", "nodewise")
    try:
        now = look(cluster, HEALTHY)
        assert healthy.cluster.details["timelines"] == now.cluster.details["timelines"]
        assert [] == [error for member in now.members for error in member.errors]
    finally:
        cluster.sql(first, "alter function nodewise.other_history() rename to timeline_history", "nodewise")


def test_who_may_not_be_asked(cluster: PatroniCluster, tmp_path: Path) -> None:
    """Without the right password everything is unknown, nothing is empty, and no error has a secret in it."""
    wrong = tmp_path / "pgpass"
    wrong.write_text("*:*:*:nodewise:WRONG-SECRET\n")
    wrong.chmod(0o600)
    told_by_patroni = {
        "members_expected",
        "no_standby_cluster",
        "no_cascading_replicas",
        "nothing_scheduled",
        "not_paused_by_others",
        "no_restart_pending",
        "rest_takes_changes",
        "store_seen",
        "sync_standby",
    }
    found = observe({**cluster.options, **ASKED, "settled": {}, "passfile": str(wrong)})["observation"]
    now = msgspec.convert(found, Observation)
    for gate in DECLARED.ready:
        if gate not in told_by_patroni:
            fires(gate, now=now)
    assert "password authentication failed" in errors(now, "n1")
    assert "WRONG-SECRET" not in str(now)


def test_an_authority_of_others(cluster: PatroniCluster) -> None:
    """Members whose certificate another authority signed are not believed."""
    other = PatroniCluster(("x1",))
    try:
        now = msgspec.convert(
            observe({**cluster.options, **ASKED, "settled": {}, "ca": other.pki("ca.crt")})["observation"], Observation
        )
    finally:
        other.stop()
    assert [None] * 3 == [member.version for member in now.members]
    assert "patroni: TLS: certificate" in errors(now, "n1")


def test_a_member_of_another_cluster(cluster: PatroniCluster, healthy: Observation, tmp_path: Path) -> None:
    """Where an address leads into another cluster, the members are not all of one; who is not in the inventory is named."""
    other = PatroniCluster(("n3",))
    try:
        other.certify_by(cluster)
        other.start()
        passfile = tmp_path / "pgpass"
        lines = [f"{host}:*:*:nodewise:{one.password}\n" for one in (cluster, other) for host in one.addresses.values()]
        passfile.write_text("".join(lines))
        passfile.chmod(0o600)
        members = [*cluster.options["members"][:2], *other.options["members"]]
        given = {**cluster.options, **ASKED, "settled": {}, "members": members, "passfile": str(passfile)}
        now = msgspec.convert(observe(given)["observation"], Observation)
        fires("one_system", "n3 says", now=now, before=healthy)
        without = {**cluster.options, **ASKED, "settled": {}, "members": members[:2]}
        alone = msgspec.convert(observe(without)["observation"], Observation)
        assert "not in the inventory" in errors(alone, "n3")
    finally:
        other.stop()


def plant(cluster: PatroniCluster, first: str, other: str, table: str) -> None:
    """Have one row of a table differ on one replica, under checksums that are right."""
    look(cluster, HEALTHY, tables=True)  # reading it sets its hints, which would bring the page to the replica again
    cluster.sql(first, "checkpoint")
    look(cluster, HEALTHY)
    cluster.sql(other, "checkpoint")
    path = cluster.data(other) / cluster.sql(other, f"select pg_relation_filepath('{table}')", "nodewise")
    cluster.end(other)
    data = path.read_bytes()
    assert b"PLANTED-VALUE-A" in data
    path.write_bytes(data.replace(b"PLANTED-VALUE-A", b"PLANTED-VALUE-B"))
    for what in ("--disable", "--enable"):
        cluster.program("pg_checksums", what, "--no-sync", "-D", cluster.data(other))
    cluster.run(other)


def test_data_that_differs(cluster: PatroniCluster, healthy: Observation) -> None:
    """One row that differs on one member is found, and where."""
    first, other = leader(healthy), replica(healthy)
    write(cluster, first)
    plant(cluster, first, other, "nodewise.sentinel")
    now = look(cluster, {"serving": True, "leader": True, "max_lag": 0})
    fires("fingerprints_equal", other, now=now)
    assert "fingerprint" in errors(now, other)
    assert "" == errors(now, first)
    cluster.remake(other)


@pytest.mark.slow
def test_a_user_s_data_that_differs(cluster: PatroniCluster, healthy: Observation) -> None:
    """A row of a table of the user's own is found by the digests of every row, and by nothing less."""
    first, other = leader(healthy), replica(healthy)
    cluster.sql(first, "create table kept with (autovacuum_enabled = off) as select 'PLANTED-VALUE-A' as word", "nodewise")
    plant(cluster, first, other, "kept")
    settled = {"serving": True, "leader": True, "max_lag": 0}
    passes("fingerprints_equal", look(cluster, settled))
    fires("fingerprints_equal", other, now=look(cluster, settled, tables=True))
    cluster.sql(first, "drop table kept", "nodewise")
    cluster.remake(other)


@pytest.mark.slow
def test_a_page_that_is_damaged(cluster: PatroniCluster, healthy: Observation) -> None:
    """A page whose checksum is wrong is counted once somebody reads it, and the member is named; pg_amcheck finds where it is."""
    first, other = leader(healthy), replica(healthy)
    cluster.sql(
        first, "create table rows with (autovacuum_enabled = off) as select generate_series(1, 10000) as id; checkpoint", "nodewise"
    )
    look(cluster, HEALTHY)
    cluster.sql(other, "checkpoint")
    path = cluster.data(other) / cluster.sql(other, "select pg_relation_filepath('rows')", "nodewise")
    cluster.end(other)
    with path.open("r+b") as stream:
        stream.seek(4000)
        stream.write(b"DAMAGED")
    cluster.run(other)
    look(cluster, {"serving": True, "leader": True, "max_lag": 0})
    with pytest.raises(AssertionError, match="invalid page"):
        cluster.sql(other, "select count(*) from rows", "nodewise")
    now = until(cluster, "no_checksum_failures", ok=False)
    fires("no_checksum_failures", f'"name":"{other}","failures":1', now=now)
    assert "disk cannot be trusted" in errors(now, other)
    assert {"nodewise", "postgres"} == set(verify(cluster, first)["installed"])
    assert [] == verify(cluster, first)["installed"]
    with pytest.raises(Damaged, match=r'heap table "nodewise\.public\.rows": ERROR: +invalid page in block 0'):
        verify(cluster, other)
    cluster.sql(first, "drop table rows", "nodewise")
    cluster.remake(other)


def verify(cluster: PatroniCluster, name: str) -> dict[str, Any]:
    """What postgresql_amcheck returns on a member's node."""
    return check({**cluster.options, "member": name, "deadline": 120.0, "socket_dir": str(cluster.folder / name)}, may_install=True)


@pytest.mark.slow
def test_a_slot_that_was_lost(cluster: PatroniCluster, healthy: Observation) -> None:
    """A slot that holds back more than it may is lost, and with it the replica until it is made anew."""
    first, other = leader(healthy), replica(healthy)
    cluster.dynamic_settings(postgresql={"parameters": {"max_slot_wal_keep_size": "16MB"}})
    cluster.until(first, "select current_setting('max_slot_wal_keep_size') = '16MB'")
    cluster.end(other)
    lost = f"select wal_status = 'lost' from pg_replication_slots where slot_name = '{other}'"  # noqa: S608
    for _ in range(30):  # the checkpointer hears of the setting a little later
        cluster.sql(first, "select pg_switch_wal(); create table filler (); drop table filler; checkpoint", "nodewise")
        if cluster.sql(first, lost) == "t":
            break
    now = look(cluster)
    fires("slots_whole", f'"name":"{other}"', '"wal_status":"lost"', now=now)
    cluster.dynamic_settings(postgresql={"parameters": {"max_slot_wal_keep_size": None}})
    cluster.sql(first, f"select pg_drop_replication_slot('{other}')")
    slot_anew(cluster, first, other)
    cluster.run(other)
    cluster.remake(other)


@pytest.mark.slow
def test_a_store_that_is_away(cluster: PatroniCluster, healthy: Observation) -> None:
    """A store that nobody has seen for as long as a leader may be silent is told of each member."""
    cluster.signal("etcd", signal.SIGSTOP)
    try:
        time.sleep(22)
        now = look(cluster, timeout=6.0)
    finally:
        cluster.signal("etcd", signal.SIGCONT)
    fires("store_seen", f'"member":"{leader(healthy)}"', now=now)


def test_two_primaries(cluster: PatroniCluster, healthy: Observation) -> None:
    """A replica that was promoted by hand is on another timeline, and there is no one leader."""
    other = replica(healthy)
    cluster.dynamic_settings(pause=True)
    time.sleep(3)
    cluster.program("pg_ctl", "promote", "-D", cluster.data(other))
    cluster.until(other, "select not pg_is_in_recovery()")
    now = look(cluster)
    fires("one_timeline", other, now=now)
    fires("one_leader", other, now=now)
    fires("fingerprints_equal", "no single primary", now=now)
    fires("replaying", now=now)
    cluster.kill(other)
    cluster.dynamic_settings(pause=None)
