"""The suite `postgresql` on a real cluster under Patroni: it passes, and each script fails when what it asks for is broken."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.patroni_cluster import PatroniCluster
from tests.integration.postgresql_cluster import BIN, HBA
from tests.integration.test_smoke import ROOT, Smoked

FOLDER = ROOT / "suites/postgresql"

SCRIPTS = {path.name for path in FOLDER.iterdir() if path.name[0].isdigit()}


class Suite:
    """The suite's scripts, run as a member's host runs them."""

    def __init__(self, cluster: PatroniCluster) -> None:
        self.cluster = cluster

    def inventory(self) -> dict[str, Any]:
        """What the members' hosts say of themselves."""
        of = self.cluster
        told = {"nodewise_port": of.port, "nodewise_bin_dir": str(BIN), "nodewise_ca": of.pki("ca.crt")}
        told |= {
            "nodewise_passfile": str(of.passfile),
            "nodewise_cert": of.pki("nodes/n1.crt"),
            "nodewise_key": of.pki("nodes/n1.key"),
        }
        return {name: {**told, "nodewise_address": address} for name, address in of.addresses.items()}

    def failed(self) -> dict[tuple[str, str], str]:
        """Run all: why what failed did, by host and script."""
        pairs = [(host, script) for host in self.cluster.addresses for script in SCRIPTS]
        with ThreadPoolExecutor(max_workers=4) as pool:
            ended = dict(zip(pairs, pool.map(lambda pair: self.run(*pair), pairs), strict=True))
        self.skipped = [pair for pair, done in ended.items() if done.returncode == 77]
        return {pair: done.stderr.strip() for pair, done in ended.items() if done.returncode not in (0, 77)}

    def run(self, host: str, script: str) -> subprocess.CompletedProcess[str]:
        """Run one."""
        declared = yaml.safe_load((FOLDER / "suite.yml").read_text())["variables"]
        told = self.inventory()
        environment = {
            **{name: str(told[host][variable]) for name, variable in declared.items() if variable in told[host]},
            "PATH": os.environ["PATH"],
            "NODEWISE_HOST": host,
            "NODEWISE_MEMBERS": " ".join(told),
            "NODEWISE_ADDRESSES": " ".join(f"{name}={of['nodewise_address']}" for name, of in told.items()),
            "NODEWISE_RUN": "run",
            "NODEWISE_ID": f"{secrets.token_hex(4)}-{script}",
            "NODEWISE_SUITE_DIR": str(FOLDER),
        }
        return subprocess.run([str(FOLDER / script)], env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def cluster() -> Iterator[PatroniCluster]:
    """A healthy cluster."""
    made = PatroniCluster()
    try:
        made.start()
        yield made
    finally:
        made.stop()


def healthy(cluster: PatroniCluster, primary: str = "n1") -> None:
    """Wait until all replicas stream from the primary."""
    cluster.until(primary, "select count(*) filter (where state = 'streaming') = 2 from pg_stat_replication", 60)


@pytest.fixture
def suite(cluster: PatroniCluster) -> Suite:
    """The suite on the cluster."""
    return Suite(cluster)


def test_all_pass(suite: Suite, tmp_path: Path) -> None:
    """Everything passes on a healthy cluster but writing to a replica on the primary; no row and no secret is left."""
    smoked = Smoked(tmp_path)
    smoked.inventory(notes=suite.inventory())
    said = smoked.smoke("-e", "nodewise_suite=postgresql", "-e", "nodewise_tier=basic", "-e", "nodewise_parallel=true").stdout
    found = {key: one["status"] for key, one in smoked.results("postgresql").items()}
    assert {(host, script) for host in suite.cluster.addresses for script in SCRIPTS} == set(found)
    assert {("n1", "70-read-only"): "skip"} == {key: status for key, status in found.items() if status != "pass"}
    assert "0" == suite.cluster.sql("n1", "select count(*) from nodewise.sentinel", "nodewise")
    kept = b"".join(path.read_bytes() for path in smoked.run_dir.rglob("*") if path.is_file()) + said.encode()
    assert suite.cluster.password.encode() not in kept
    assert suite.cluster.replication.encode() not in kept


@pytest.mark.slow
def test_after_a_switchover(suite: Suite) -> None:
    """Clients follow the primary to another member, and back."""
    cluster = suite.cluster
    for leader, candidate in (("n1", "n2"), ("n2", "n1")):
        body = {"leader": leader, "candidate": candidate}
        assert 200 == cluster.access.rest(cluster.access.member(leader), "POST", "/switchover", body, 30)[0]
        healthy(cluster, candidate)
        assert {} == suite.failed()
        assert [(candidate, "70-read-only")] == suite.skipped


def with_hba(cluster: PatroniCluster, hba: str) -> None:
    """Have all members let clients in by other rules."""
    for name, process in cluster.processes.items():
        if name != "etcd":
            cluster.configure(name, hba=hba)
            process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    wanted = str(len(hba.splitlines()))
    while any(cluster.sql(name, "select count(*) from pg_hba_file_rules") != wanted for name in cluster.addresses):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(1)  # the file is there: until the server has read it


@pytest.mark.parametrize(
    ("rule", "expected", "says"),
    [
        ("host all nodewise all scram-sha-256\n", {"30-no-tls"}, "answers a client that speaks in the clear"),
        ("hostssl all nodewise all trust\n", {"40-wrong-password"}, "takes a wrong password"),
        pytest.param("hostssl all nodewise all reject\n", SCRIPTS - {"60-patroni"}, "", marks=pytest.mark.slow),
    ],
)
def test_who_is_let_in(suite: Suite, rule: str, expected: set[str], says: str) -> None:
    """A cluster that takes clients in the clear, or with any password, or not at all, fails what asks for that, on every member."""
    with_hba(suite.cluster, HBA.replace("hostssl all all", rule + "hostssl all all"))
    try:
        failed = suite.failed()
        assert expected <= {script for _host, script in failed}
        if says:
            assert {(host, script) for host in suite.cluster.addresses for script in expected} == set(failed)
            assert {True} == {says in reason for reason in failed.values()}
    finally:
        with_hba(suite.cluster, HBA)


@pytest.mark.slow
def test_a_replica_that_does_not_stream(suite: Suite) -> None:
    """It is named by itself and by the primary, and what was written is not read on it."""
    cluster = suite.cluster
    cluster.signal("n3", signal.SIGSTOP)  # or Patroni fixes it
    cluster.sql("n3", "alter system set primary_conninfo = ''; select pg_reload_conf();")
    try:
        failed = suite.failed()
        assert "n3 says of its replication: 'nothing', expected streaming" in failed["n3", "10-roles"]
        assert "n1 does not say of n3 that it streams" in failed["n1", "10-roles"]
        assert {"n1", "n2", "n3"} == {host for host, script in failed if script == "20-read-your-writes"}
        assert "n3 has not replayed" in failed["n2", "20-read-your-writes"]
        assert ("n2", "10-roles") not in failed
    finally:
        cluster.sql("n3", "alter system reset primary_conninfo; select pg_reload_conf();")
        cluster.signal("n3", signal.SIGCONT)
        healthy(cluster)


def test_a_member_that_is_down(suite: Suite) -> None:
    """Its own scripts fail, and those of the others that ask it, by its name."""
    suite.cluster.end("n2")
    try:
        failed = suite.failed()
        assert SCRIPTS == {script for host, script in failed if host == "n2"}
        assert "n2 did not answer" in failed["n1", "10-roles"]
        assert ("n1", "30-no-tls") not in failed
    finally:
        suite.cluster.run("n2")
        healthy(suite.cluster)


def test_a_replica_that_takes_writes(suite: Suite) -> None:
    """Two primaries are seen by everybody: one that was promoted behind Patroni's back."""
    cluster = suite.cluster
    for name in cluster.addresses:
        cluster.signal(name, signal.SIGSTOP)
    cluster.sql("n3", "select pg_promote()")
    try:
        failed = suite.failed()
        for script in ("10-roles", "50-clients-follow"):
            assert {"n1", "n2", "n3"} == {host for host, one in failed if one == script}
        assert "n1 n3 are primaries, expected one" in failed["n2", "10-roles"]
        assert "" != failed["n3", "70-read-only"]
    finally:
        for name in cluster.addresses:
            cluster.signal(name, signal.SIGCONT)
        cluster.end("n3")
        shutil.rmtree(cluster.data("n3"))
        cluster.run("n3")
        healthy(cluster)


def patroni_answers(suite: Suite) -> None:
    """Wait until every Patroni answers, as it was told at last."""
    deadline = time.monotonic() + 20
    while any(suite.run(name, "60-patroni").returncode for name in suite.cluster.addresses):
        assert time.monotonic() < deadline, "Patroni has not read its file again"


@pytest.mark.slow
def test_patroni_that_lets_anybody_change_things(suite: Suite) -> None:
    """A REST API without a password fails the script that asks it, and nothing else."""
    cluster = suite.cluster
    for name in cluster.addresses:
        path = cluster.folder / f"{name}.yml"
        told = json.loads(path.read_text())
        del told["restapi"]["authentication"], told["restapi"]["verify_client"]
        path.write_text(json.dumps(told))
        cluster.signal(name, signal.SIGHUP)
    time.sleep(4)
    try:
        failed = suite.failed()
        assert {(name, "60-patroni") for name in cluster.addresses} == set(failed)
        assert "to who has no password and no certificate and asks for a reload, expected 401" in failed["n1", "60-patroni"]
    finally:
        for name in cluster.addresses:
            cluster.configure(name)
            cluster.signal(name, signal.SIGHUP)
        patroni_answers(suite)


@pytest.mark.slow
def test_patroni_that_does_not_answer(suite: Suite) -> None:
    """It fails alone: PostgreSQL is well without it."""
    patroni_answers(suite)
    suite.cluster.signal("n3", signal.SIGSTOP)
    try:
        assert {("n3", "60-patroni")} == set(suite.failed())
    finally:
        suite.cluster.signal("n3", signal.SIGCONT)
