"""The steps of an upgrade on a real cluster under Patroni: handing over, taking out of use, putting back, and proving."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration import patroni_proxy
from tests.integration.patroni_cluster import PatroniCluster
from tests.integration.postgresql_cluster import AS_POSTGRES, BIN, HBA

from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql import handover
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import PostgresqlError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.drain import BEFORE, OUT, drain, rejoin
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.handover import hand_over
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.patroni import Patroni, leader_of, member_of, wait
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.sentinel import check_mixed_versions

OWN = {"zone": "a"}  # a tag that the user gave


class Cluster(PatroniCluster):
    """Members that read a folder of configuration, as nodes do, and what a module on a node is given."""

    def configure(self, name: str, more: str = "", hba: str = HBA) -> None:
        """Write the folder, by the name that Patroni is started with."""
        del more
        folder = self.folder / f"{name}.yml"
        folder.mkdir()
        (folder / "10-node.yml").write_text(json.dumps(self.configuration(name, hba)))
        self.tags(name).write_text(json.dumps({"tags": OWN}))

    def until(self, name: str, statement: str, seconds: float = 20) -> None:
        """Wait longer than others do: many switchovers on a machine that is busy."""
        super().until(name, statement, 4 * seconds)

    def tags(self, name: str) -> Path:
        """The file with a member's tags."""
        return self.folder / f"{name}.yml" / "90-tags.yml"

    def on(self, name: str, **options: Any) -> dict[str, Any]:
        """What a module on a member's node is given."""
        given = {**self.options, "socket_dir": str(self.folder / name), "member": name, "tags_file": str(self.tags(name))}
        return {**given, "run": "test", "deadline": 30.0, "drain_s": 0.5, "terminate": False, **options}

    def look(self) -> dict[str, Any]:
        """What /cluster says."""
        return Patroni(self.access, self.access.members[0]).cluster()

    @property
    def leader(self) -> str:
        """Who leads, once everybody streams from it."""

        def unsettled() -> str:
            members = self.look()["members"]
            well = [one["state"] in ("streaming", "running") and one.get("timeline") for one in members]
            return "" if leader_of(self.look()) and len(set(well)) == 1 and all(well) else json.dumps(members)

        assert not wait(unsettled, time.monotonic() + 40)
        return str(leader_of(self.look()))

    def others(self) -> list[str]:
        """The replicas."""
        return [name for name in self.addresses if name != self.leader]

    def timeline(self, name: str) -> int:
        """The timeline that a primary writes on."""
        return int(self.sql(name, "select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"))

    def delay(self, name: str, time_: str) -> None:
        """Have a replica hold back what was committed, through Patroni, which takes back what it was not told of itself."""
        given = {"postgresql": {"recovery_conf": {"recovery_min_apply_delay": time_}}}
        self.tags(name).with_name("50-behind.yml").write_text(json.dumps(given))
        Patroni(self.access, self.access.member(name)).reload()
        self.until(name, f"select current_setting('recovery_min_apply_delay') = '{time_}'")

    @contextmanager
    def behind(self, name: str) -> Iterator[None]:
        """A replica that does not get further."""
        self.delay(name, "1h")
        try:
            yield
        finally:
            self.delay(name, "0")

    @contextmanager
    def session(self, name: str, statements: str) -> Iterator[subprocess.Popen[str]]:
        """A client that runs statements on a member and stays."""
        words = [str(BIN / "psql"), "-XAtq", *self.local(name), "-d", "nodewise"]
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **AS_POSTGRES
        )
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"select 'here';\n{statements}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "here\n"
        time.sleep(0.5)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three members, the first of which leads at first."""
    made = Cluster()
    try:
        made.start()
        yield made
    finally:
        made.stop()


def refused(call: Callable[[dict[str, Any]], Any], given: dict[str, Any]) -> str:
    """Why it was refused, in one or two lines."""
    with pytest.raises(PostgresqlError) as caught:
        call(given)
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


def test_the_role_moves_to_whom_was_named(cluster: Cluster) -> None:
    """The candidate leads on the next timeline, the old primary streams from it, and the same again changes nothing."""
    old, new = cluster.leader, cluster.others()[-1]
    timeline = cluster.timeline(old)
    found = hand_over(cluster.on(old, candidate=new))
    assert (True, new, old, timeline + 1) == tuple(found[key] for key in ("changed", "leader", "previous", "timeline"))
    assert "f" == cluster.sql(new, "select pg_is_in_recovery()")
    assert "streaming" == cluster.sql(new, f"select state from pg_stat_replication where application_name = '{old}'")  # noqa: S608
    again = hand_over(cluster.on(old, candidate=new))
    assert (False, new, None) == tuple(again[key] for key in ("changed", "leader", "previous"))
    assert timeline + 1 == cluster.timeline(new)


def test_a_check_moves_nothing(cluster: Cluster) -> None:
    """In check mode it says that the role would move."""
    old = cluster.leader
    assert hand_over(cluster.on(old, candidate=cluster.others()[0]), dry=True)["changed"]
    assert old == cluster.leader


def test_an_answer_that_says_no_is_not_believed(cluster: Cluster) -> None:
    """Patroni's answer is 503 and the switchover happens anyway: it is reported as what it is."""
    old, new = cluster.leader, cluster.others()[0]
    timeline = cluster.timeline(old)
    with patroni_proxy.before(cluster, old, patroni_proxy.answers_503) as options:
        found = hand_over({**cluster.on(old, candidate=new), "members": options["members"]})
    assert (True, new, timeline + 1) == tuple(found[key] for key in ("changed", "leader", "timeline"))
    assert "answered 503 'Switchover failed'" == found["answer"]


def test_an_answer_that_says_yes_is_not_believed(cluster: Cluster) -> None:
    """Patroni's answer is 200 and nothing happens: that is what is said, and who leads still."""
    old, new = cluster.leader, cluster.others()[0]
    timeline = cluster.timeline(old)
    with patroni_proxy.before(cluster, old, patroni_proxy.swallows) as options:
        said = refused(hand_over, {**cluster.on(old, candidate=new, deadline=4.0), "members": options["members"]})
    assert (
        f"it did not happen: {old} still leads on timeline {timeline}; a switchover to {new} was asked for and answered 200" in said
    )
    assert (old, timeline) == (cluster.leader, cluster.timeline(old))


@pytest.mark.slow
def test_another_leader_than_the_named_one_is_told(cluster: Cluster) -> None:
    """When somebody else took over, that is no success."""
    old, (new, third) = cluster.leader, cluster.others()
    with patroni_proxy.before(cluster, old, patroni_proxy.promotes(third)) as options:
        said = refused(hand_over, {**cluster.on(old, candidate=new, deadline=12.0), "members": options["members"]})
    assert f"another one leads: {third}, not {new}; a switchover to {new} was asked for and" in said
    assert third == cluster.leader


@pytest.mark.slow
def test_a_candidate_that_is_frozen_does_not_take_over(cluster: Cluster) -> None:
    """Its PostgreSQL goes on, its Patroni does not answer: the old primary stays, and that is told."""
    old, new = cluster.leader, cluster.others()[0]
    cluster.signal(new, signal.SIGSTOP)
    try:
        said = refused(hand_over, cluster.on(old, candidate=new, deadline=12.0))
    finally:
        cluster.signal(new, signal.SIGCONT)
    assert f"it did not happen: {old} still leads" in said
    assert "answered 412" in said
    assert old == cluster.leader


@pytest.mark.parametrize(
    ("setting", "says"), [({"pause": True}, "Patroni is paused: resume it first"), ({"nofailover": True}, "has the tag nofailover")]
)
def test_what_forbids_a_switchover_is_seen_before(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, setting: dict[str, Any], says: str
) -> None:
    """A pause, or a candidate that may not lead, ends it before anything is asked."""
    monkeypatch.setattr(handover, "CATCH_UP_S", 1)
    old, new = cluster.leader, cluster.others()[0]
    paused = "pause" in setting
    if paused:
        cluster.dynamic_settings(**setting)
    else:
        cluster.tags(new).write_text(json.dumps({"tags": setting}))
        Patroni(cluster.access, cluster.access.member(new)).reload()
        wait(lambda: "" if member_of(cluster.look(), new).get("tags") == setting else "not yet", time.monotonic() + 10)
    try:
        said = refused(hand_over, cluster.on(old, candidate=new))
    finally:
        cluster.dynamic_settings(pause=None)
        cluster.tags(new).write_text(json.dumps({"tags": OWN}))
        Patroni(cluster.access, cluster.access.member(new)).reload()
    assert f"{old} does not hand over to {new}: " in said
    assert says in said
    assert said.endswith("Nothing was changed")
    assert old == cluster.leader


def test_a_candidate_that_is_behind_is_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has to have replayed what the primary had written; how far it is, is said."""
    monkeypatch.setattr(handover, "CATCH_UP_S", 1)
    old, new = cluster.leader, cluster.others()[0]
    with cluster.behind(new):
        cluster.sql(old, "create table behind (id int); drop table behind")
        said = refused(hand_over, cluster.on(old, candidate=new))
    assert f"{new} did not catch up in 1 s: it has replayed" in said
    assert old == cluster.leader


def test_a_transaction_on_the_primary_is_never_cut_off_silently(cluster: Cluster) -> None:
    """It ends the step, with pid, user and age; with the operator's leave it is cut off, and named in the result."""
    old, new = cluster.leader, cluster.others()[0]
    with cluster.session(old, "begin; select txid_current(); select pg_sleep(60);") as client:
        pid = int(
            cluster.sql(old, "select pid from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()")
        )
        said = refused(hand_over, cluster.on(old, candidate=new))
        assert f"a switchover would cut off transactions on {old}: pid {pid} (user postgres, psql, from local, active for" in said
        assert "nodewise_drain_terminate=always" in said
        assert old == cluster.leader
        assert client.poll() is None
        found = hand_over(cluster.on(old, candidate=new, terminate=True))
    assert [pid] == [one["pid"] for one in found["terminated"]]
    assert new == cluster.leader


def test_a_replica_is_taken_out_and_put_back(cluster: Cluster) -> None:
    """Patroni shows the tags and answers 503; idle sessions are ended, busy ones may finish; then all is as it was before."""
    name, theirs = cluster.others()[0], "# of the rack\ntags:\n  zone: a\n"
    cluster.tags(name).write_text(theirs)
    patroni = Patroni(cluster.access, cluster.access.member(name))
    with cluster.session(name, ""), cluster.session(name, "select pg_sleep(2); select 'done';") as busy:
        found = drain(cluster.on(name, drain_s=20.0))
        assert "0" == cluster.sql(
            name, "select count(*) from pg_stat_activity where application_name = 'psql' and datname = 'nodewise'"
        )
        assert busy.communicate()[0].endswith("done\n")
    assert ([], True) == (found["terminated"], found["changed"])
    assert {"psql"} == {one["application"] for one in found["idle"]}
    assert {**OWN, **OUT} == patroni.status()["tags"] == member_of(cluster.look(), name)["tags"]
    assert 503 == patroni.answers("/replica")
    assert not drain(cluster.on(name))["changed"]
    back = rejoin(cluster.on(name))
    assert theirs == cluster.tags(name).read_text()
    assert OWN == patroni.status()["tags"]
    assert 200 == patroni.answers("/replica")
    assert "t" == cluster.sql(name, f"select count(*) = 1 from nodewise.sentinel where id = {back['sentinel']['id']}", "nodewise")  # noqa: S608


def test_a_session_that_does_not_end_is_cut_off_or_named(cluster: Cluster) -> None:
    """Without leave the drain fails and says whose it is; with it the session is cut off, and in the result."""
    name = cluster.others()[0]
    with cluster.session(name, "begin isolation level repeatable read; select pg_sleep(60);") as client:
        said = refused(drain, cluster.on(name))
        assert f"{name} still has sessions after 0.5 s: pid " in said
        assert "nodewise_drain_terminate=replicas" in said
        assert client.poll() is None
        found = drain(cluster.on(name, terminate=True))
        assert 1 == len(found["terminated"])
        assert client.wait(5)
    rejoin(cluster.on(name))


def test_a_primary_is_never_taken_out(cluster: Cluster) -> None:
    """The tags are not touched."""
    name = cluster.leader
    assert f"{name} is the primary, which is never taken out of use" in refused(drain, cluster.on(name))
    assert {"tags": OWN} == yaml.safe_load(cluster.tags(name).read_text())


def test_a_drain_that_was_killed_is_gone_on_with(cluster: Cluster) -> None:
    """What the tags were is kept over a kill -9 in the middle, and over the same again."""
    name = cluster.others()[0]
    with cluster.session(name, "begin isolation level repeatable read; select pg_sleep(60);"):
        process = multiprocessing.get_context("fork").Process(target=drain, args=(cluster.on(name, drain_s=60.0),))
        process.start()
        assert not wait(lambda: "" if "nodewise_unfinished" in cluster.tags(name).read_text() else "not yet", time.monotonic() + 10)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        drain(cluster.on(name, terminate=True))
    assert {"tags": OWN} == yaml.safe_load(cluster.tags(name).read_text())[BEFORE]
    rejoin(cluster.on(name))
    assert {"tags": OWN} == yaml.safe_load(cluster.tags(name).read_text())


@pytest.mark.slow
def test_a_replica_that_replays_nothing_stays_out(cluster: Cluster) -> None:
    """It is not put back before a row that was written through the primary arrived."""
    name = cluster.others()[0]
    drain(cluster.on(name))
    with cluster.behind(name):
        said = refused(rejoin, cluster.on(name, deadline=2.0))
    assert f"{name} does not have sentinel row" in said
    assert f"written through {cluster.leader}" in said
    assert "nodewise_unfinished" in cluster.tags(name).read_text()
    rejoin(cluster.on(name))


def test_members_are_proved_to_be_of_one_cluster(cluster: Cluster) -> None:
    """What the primary writes is read on both; on one that does not replay it is not."""
    old, new = cluster.others()
    leader = cluster.leader
    found = check_mixed_versions(cluster.on(new, old=[old], new=[new], deadline=5.0))
    assert [(leader, old), (leader, new)] == [(one["written"], one["read"]) for one in found["proved"]]
    with cluster.behind(old):
        assert f"{old} does not have sentinel row" in refused(
            check_mixed_versions, cluster.on(new, old=[old], new=[new], deadline=1.0)
        )
