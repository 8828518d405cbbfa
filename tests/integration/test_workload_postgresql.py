"""The workload, the data set and the judge on a real PostgreSQL with two streaming replicas, with TLS and SCRAM passwords."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from tests.integration.postgresql_cluster import PostgresqlCluster, as_postgres

from nodewise import pki
from nodewise.errors import SetupError, UnknownResult
from nodewise.model import Operation
from nodewise.simulation.checkers.registry import judge, merge
from nodewise.simulation.workloads import register
from nodewise.simulation.workloads.client import ClientFactory, Credentials
from nodewise.simulation.workloads.data import seed_data, verify_data
from nodewise.simulation.workloads.final import final_reads
from nodewise.simulation.workloads.history import History, read_history
from nodewise.simulation.workloads.load import Load, Shape
from nodewise.simulation.workloads.registry import workload_named
from nodewise.systems.postgresql.client import PostgresqlClient, connect

PREFIX = "/nodewise/test/"
OURS = "application_name = 'nodewise workload' and pid <> pg_backend_pid()"


class Servers(PostgresqlCluster):
    """The cluster, as the workload reaches it."""

    def factory(self, password: str | None = None, ca: Path | None = None) -> ClientFactory:
        """Clients of it; who trust another authority, or know another password, when that is given."""
        file = self.folder / "password"
        file.write_text(password or self.password)
        shown = Credentials(str(ca or self.folder / "pki/ca.crt"), "", "", str(file))
        return connect({name: f"postgresql://{at}:{self.port}" for name, at in self.addresses.items()}, shown)

    def client(self, node: str = "n2") -> PostgresqlClient:
        """An open client, behind the workload's back."""
        client = self.factory()(node)
        assert isinstance(client, PostgresqlClient)
        client.open()
        return client

    def backends(self) -> list[int]:
        """The processes of the primary that serve clients."""
        found = self.sql("n1", f"select pid from pg_stat_activity where {OURS}")  # noqa: S608
        return [int(line) for line in found.splitlines()]

    def terminate(self) -> None:
        """End all sessions of clients on the primary."""
        self.sql("n1", f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where {OURS}")  # noqa: S608


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """A primary and two replicas, with the data set."""
    three = Servers()
    try:
        three.start()
        seed_data(three.factory()("n1"), 7)
        yield three
    finally:
        three.stop()


def write(key: str, value: str = "v", f: str = "write") -> Operation:
    """A write of the first client."""
    return Operation(0, "invoke", f, key, value, 0)


def read(key: str) -> Operation:
    """A read of the first client."""
    return Operation(0, "invoke", "read", key, None, 0)


def test_a_load_through_every_member_is_judged_valid(servers: Servers, tmp_path: Path) -> None:
    """Writes and half of the reads are answered by the primary, the other reads by the members; all rows are on all members."""
    names = list(servers.addresses)
    with History(tmp_path / "history.jsonl") as history:
        load = Load(servers.factory(), names, history, Shape(PREFIX, keys=9, rate=400)).start()
        until = time.monotonic() + 20
        while load.stats().ok < 300 and time.monotonic() < until:
            time.sleep(0.05)
        stats = load.stop()
        final_reads(servers.factory(), names, history, PREFIX)
    operations = read_history(history.path)
    verdict = merge(judge(operations, register.checkers))
    assert ("valid", 0, 0) == (verdict.valid, stats.failed, stats.info), verdict.says
    done = [o for o in operations if o.type == "ok" and not o.final]
    assert {"n1"} == {o.node for o in done if o.f != "read"}
    assert {("n1", False), ("n2", True), ("n3", True)} == {(o.node, o.stale) for o in done if o.f == "read"}


BEHIND = {
    "cas": "update workload.registers set value = 'nobody''s' where key ^@ '{prefix}'",
    "append": "update workload.registers set value = value || ',nobody''s' where key ^@ '{prefix}'",
    "bank": "update workload.accounts set balance = balance - 1 where key = '{prefix}account1'",
}


@pytest.mark.parametrize("name", BEHIND)
def test_clients_that_share_their_rows(servers: Servers, tmp_path: Path, name: str) -> None:
    """Registers, lists and accounts that all clients change are judged valid; a change behind their backs is found."""
    prefix, workload, nodes = f"/nodewise/{name}/", workload_named(name), list(servers.addresses)
    with History(tmp_path / "history.jsonl") as history:
        load = Load(servers.factory(), nodes, history, Shape(prefix, seed=5, keys=3, rate=400), workload).start()
        until = time.monotonic() + 20
        while load.stats().ok < 300 and time.monotonic() < until:
            time.sleep(0.05)
        stats = load.stop()
        final_reads(servers.factory(), nodes, history, prefix)
        verdict = merge(judge(whole := read_history(history.path), workload.checkers))
        servers.sql("n1", BEHIND[name].format(prefix=prefix), "nodewise")
        final_reads(servers.factory(), nodes, history, prefix)
    assert ("valid", 0, 0) == (verdict.valid, stats.failed, stats.info), verdict.says
    assert name == "append" or any(o.refused for o in whole), "nobody was overtaken, and nobody short of money"
    assert {"n1", "n2", "n3"} == {o.node for o in whole if o.type == "ok" and not o.final}
    servers.sql("n1", "truncate workload.registers", "nodewise")
    assert "invalid" == merge(judge(read_history(history.path), workload.checkers)).valid


def test_a_transfer_that_cannot_be_paid_books_nothing(servers: Servers) -> None:
    """It is refused, whole, and the session goes on."""
    client = servers.client()
    client.invoke(Operation(0, "invoke", "deposit", "/poor/account", {"/poor/account0": 5, "/poor/account1": 0}, 0))
    way = {"from": "/poor/account0", "to": "/poor/account1", "amount": 6}
    done = client.invoke(Operation(0, "invoke", "transfer", "/poor/t1", way, 0))
    assert ("fail", True) == (done.type, done.refused), done
    assert {"/poor/account0": "5", "/poor/account1": "0"} == client.scan("/poor/")
    assert "ok" == client.invoke(Operation(0, "invoke", "transfer", "/poor/t2", {**way, "amount": 5}, 0)).type
    assert {"/poor/account0": "0", "/poor/account1": "5"} == {k: v for k, v in client.scan("/poor/").items() if "account" in k}


def test_a_lost_row_and_a_row_that_is_there_twice_are_found(servers: Servers, tmp_path: Path) -> None:
    """What is deleted, and what is inserted once more, behind the workload's back is named by the judge."""
    client, prefix = servers.client(), "/nodewise/bad/"
    with History(tmp_path / "history.jsonl") as history:
        for key in ("a0.1", "a0.2"):
            history.append(asked := write(prefix + key, key, "add"))
            history.append(client.invoke(asked))
        servers.sql("n1", f"delete from workload.additions where key = '{prefix}a0.1'", "nodewise")  # noqa: S608
        servers.sql("n1", f"insert into workload.additions values ('{prefix}a0.2', 'a0.2')", "nodewise")  # noqa: S608
        final_reads(servers.factory(), list(servers.addresses), history, prefix)
    durable, once = judge(read_history(history.path), ["durable", "once"])
    assert ("invalid", 1, "invalid") == (durable.valid, durable.lost, once.valid)
    assert f"{prefix}a0.1 = 'a0.1'" in durable.says
    assert f"{prefix}a0.2 is there 2 times through n1, and was added 1 times at most" in once.says


def test_a_scan_waits_for_the_replica(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member whose replay stands still is not read as it was: the scan waits, and says so when it was in vain."""
    client = servers.client("n3")
    servers.sql("n3", "select pg_wal_replay_pause()")
    try:
        assert "ok" == client.invoke(write("/scan/k", "new")).type
        assert (None, True) == next((o.value, o.stale) for _ in range(2) if (o := client.invoke(read("/scan/k"))).node == "n3")
        monkeypatch.setattr("nodewise.systems.postgresql.client.CATCH_UP", 0.2)
        with pytest.raises(TimeoutError, match=r"n3 did not replay \w+/\w+"):
            client.scan("/scan/")
        monkeypatch.undo()
    finally:
        servers.sql("n3", "select pg_wal_replay_resume()")
    assert {"/scan/k": "new"} == client.scan("/scan/")


def test_the_data_set_is_whole_and_differences_are_named(servers: Servers) -> None:
    """What was seeded is all found on every member, again after seeding it again; each kind of difference is named."""
    data = seed_data(servers.factory()("n1"), 7)
    assert [[], [], []] == [verify_data(servers.factory()(name), data) for name in servers.addresses]
    changes = """delete from workload.orders where buyer = 5; delete from workload.users where id = 5;
      update workload.documents set body = 'short' where id = 3; insert into workload.readings values (99999, '2024-05-05', 1);
      select nextval('workload.tickets'); select lo_put(content, 0, 'other') from workload.attachments where id = 1;
      update pg_index set indisvalid = false where indexrelid = 'workload.users_lower'::regclass"""
    servers.sql("n1", changes, "nodewise")
    found = servers.client("n2").differences(data)
    for name in ("users 5 is missing", "documents 3 is another", "attachments 1 is another", "sequence tickets is another"):
        assert [line for line in found if line.startswith(name)], found
    assert "index users_lower is another: true was written, false is there" in found
    assert "readings 99999 is there and should not be" in found
    assert 6 == len(verify_data(servers.factory()("n2"), data)), "no more than five, and how many more"
    assert [] == verify_data(servers.factory()("n2"), seed_data(servers.factory()("n1"), 8))


@pytest.mark.parametrize("turn", ["alone", "transaction"])
def test_a_write_without_an_answer_may_have_happened(servers: Servers, turn: str) -> None:
    """A server that stops answering: `info` for a statement alone; before COMMIT was sent it certainly did not happen."""
    client, key = servers.client(), f"/hung/{turn}"
    client.invoke(write("/hung/first"))
    if turn == "alone":
        client.invoke(write("/hung/second"))
    pids = servers.backends()
    for pid in pids:
        as_postgres(["kill", "-STOP", str(pid)])
    try:
        wrote = client.invoke(write(key))
    finally:
        for pid in pids:
            as_postgres(["kill", "-CONT", str(pid)])
    assert ({"alone": "info", "transaction": "fail"}[turn], True) == (wrote.type, "no answer within 1 s" in str(wrote.error))


def test_a_lost_commit_may_have_happened(servers: Servers) -> None:
    """The session ends while COMMIT waits for a synchronous standby that is not there: `info`, and the row is there."""
    client, key = servers.client(), "/commit/k"
    client.invoke(write("/commit/first"))
    servers.sql("n1", "alter system set synchronous_standby_names = 'nobody'")
    servers.sql("n1", "select pg_reload_conf()")
    try:
        time.sleep(0.3)
        wrote = client.invoke(write(key, "there"))
        servers.terminate()
    finally:
        servers.sql("n1", "alter system reset synchronous_standby_names")
        servers.sql("n1", "select pg_reload_conf()")
    assert "info" == wrote.type, wrote
    assert "there" == servers.sql("n1", f"select value from workload.registers where key = '{key}'", "nodewise")  # noqa: S608


def test_a_commit_that_nobody_waited_for_may_be_lost(servers: Servers) -> None:
    """The wait for a synchronous standby is cancelled: the server says COMMIT with a warning, and that is no acknowledgement."""
    client = servers.client()
    client.invoke(write("/cancel/first"))
    servers.sql("n1", "alter system set synchronous_standby_names = 'nobody'")
    servers.sql("n1", "select pg_reload_conf()")
    cancel = f"select pg_cancel_backend(pid) from pg_stat_activity where {OURS} and wait_event = 'SyncRep'"  # noqa: S608
    try:
        time.sleep(0.3)
        timer = threading.Timer(0.4, servers.sql, ("n1", cancel))
        timer.start()
        wrote = client.invoke(write("/cancel/k"))
        timer.join()
    finally:
        servers.sql("n1", "alter system reset synchronous_standby_names")
        servers.sql("n1", "select pg_reload_conf()")
    assert ("info", True) == (wrote.type, "canceling wait for synchronous replication" in str(wrote.error)), wrote


def test_what_the_server_takes_back_did_not_happen(servers: Servers) -> None:
    """An error of the statement is `fail`, alone and in a transaction, and the next one is well again."""
    client = servers.client()
    servers.sql("n1", "alter table workload.registers add constraint small check (length(value) < 9)", "nodewise")
    try:
        ended = [client.invoke(write("/refused/k", value)) for value in ("much too long", "much too long", "short")]
    finally:
        servers.sql("n1", "alter table workload.registers drop constraint small", "nodewise")
    assert ["fail", "fail", "ok"] == [o.type for o in ended]
    assert ["23514" in str(o.error) for o in ended] == [True, True, False]


def test_a_session_that_was_ended_meanwhile_sent_nothing(servers: Servers) -> None:
    """A primary that ends idle sessions, as it does before a switchover, leaves no doubt about the next write."""
    client = servers.client()
    client.invoke(write("/ended/k"))
    servers.terminate()
    ended = client.invoke(write("/ended/k"))
    assert ("fail", True) == (ended.type, "lost before it was sent: 57P01" in str(ended.error)), ended
    assert "ok" == client.invoke(write("/ended/k")).type


def test_a_write_through_a_session_with_a_replica_did_not_happen(servers: Servers) -> None:
    """A primary that became read-only under a session refuses with 25006: `fail`."""
    client = servers.client()
    client.invoke(write("/readonly/k", "before"))
    client._sessions["read-write"].ask("set default_transaction_read_only = on")
    wrote = client.invoke(write("/readonly/k", "after"))
    assert ("fail", True) == (wrote.type, "25006" in str(wrote.error)), wrote


def refused(factory: ClientFactory) -> str:
    """Why a client cannot be opened."""
    with closing(factory("n1")) as client, pytest.raises(OSError, match="connection failed") as error:
        client.open()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_who_is_not_known_is_refused(servers: Servers, tmp_path: Path) -> None:
    """A wrong password, a server of another authority, and a client without TLS: refused, in one line."""
    assert "password authentication failed" in refused(servers.factory("wrong"))
    pki.client(tmp_path, "another")
    assert "certificate verify failed" in refused(servers.factory(ca=tmp_path / "ca.crt"))
    plain = f"host={servers.addresses['n1']} port={servers.port} user=nodewise dbname=nodewise sslmode=disable"
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(plain, password=servers.password)


def test_without_a_primary_nothing_happens_and_what_is_there_can_be_read(servers: Servers) -> None:
    """The primary is gone: writes `fail`, a data set is neither written nor known to be whole; the promoted one is found."""
    client = servers.client()
    assert "ok" == client.invoke(write("/moved/k", "before")).type
    servers.end("n1")
    gone = [client.invoke(write("/moved/k", "meanwhile")) for _ in range(2)]
    assert ["fail", "fail"] == [o.type for o in gone], gone
    with pytest.raises(SetupError, match="could not be written"):
        seed_data(servers.factory()("n2"), 7)
    with pytest.raises(UnknownResult, match="could not be read back"):
        verify_data(servers.factory()("n2"), {})
    servers.sql("n2", "select pg_promote()")
    assert ("ok", "n2") == ((done := client.invoke(write("/moved/k", "after"))).type, done.node)
    assert ["after"] * 2 == [client.invoke(read("/moved/k")).value for _ in range(2)]


def test_a_server_that_ended_at_once_acknowledges_nothing(servers: Servers) -> None:
    """After an immediate shutdown no write is acknowledged; when the server is back, the client finds it."""
    client = servers.client()
    client.invoke(write("/killed/k"))
    servers.processes["n2"].send_signal(signal.SIGQUIT)
    servers.processes["n2"].wait(20)
    assert client.invoke(write("/killed/k")).type in ("fail", "info")
    servers.run("n2")
    assert "ok" == client.invoke(write("/killed/k")).type
