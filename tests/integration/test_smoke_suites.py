"""The suites that come with Nodewise, on a real etcd cluster and on a real HTTP service: they pass, and they can fail."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.etcd_cluster import EtcdCluster
from tests.integration.test_smoke import Smoked

from nodewise import pki

CORE = ("10-read-write", "20-cross-version-read", "30-no-certificate", "40-grpc-health")


class Members(Smoked):
    """Smoke runs on a real etcd cluster, each member of which is a host of the inventory."""

    def __init__(self, folder: Path, cluster: EtcdCluster) -> None:
        super().__init__(folder)
        self.cluster = cluster

    def statuses(self, *words: str) -> dict[tuple[str, str], str]:
        """Run the suite: the status of each script on each host."""
        self.next_run()
        options = self.cluster.options
        told = {"nodewise_ca": options["ca"], "nodewise_cert": options["cert"], "nodewise_key": options["key"]}
        hosts = {
            name: {**told, "nodewise_client_url": url, "nodewise_etcdctl": options["etcdctl"]}
            for name, url in self.cluster.urls.items()
        }
        self.inventory(notes=hosts)
        self.ended = self.smoke("-e", "nodewise_suite=etcd", *words)
        return {key: one["status"] for key, one in self.results("etcd").items()}

    def reason(self, host: str, script: str) -> str:
        """Why a script failed."""
        return str(self.results("etcd")[host, script]["reason"])


@pytest.fixture(scope="module", params=[pytest.param("3.4.23", marks=pytest.mark.slow), "3.5.16"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """A healthy cluster."""
    made = EtcdCluster(tmp_path_factory.mktemp("etcd"), request.param)
    made.start()
    made.healthy()
    yield made
    made.stop()


def test_etcd_all_tiers(cluster: EtcdCluster, tmp_path: Path) -> None:
    """Everything passes on a healthy cluster but the read across versions, which is skipped; no key is left."""
    members = Members(tmp_path, cluster)
    found = members.statuses("-e", "nodewise_tier=full", "-e", "nodewise_parallel=true")
    bad = {key: members.reason(*key) for key, status in found.items() if status == "fail"}
    assert {} == bad
    assert {"20-cross-version-read"} == {script for (_, script), status in found.items() if status == "skip"}
    assert 21 == len(found)
    assert "" == cluster.ctl("get", "--prefix", "/nodewise/smoke/", "--keys-only").strip()


def test_etcd_with_a_member_down(tmp_path: Path) -> None:
    """A member that is down fails the reads on every host, and is named; mixed versions are read."""
    cluster = EtcdCluster(tmp_path / "etcd", "3.4.23")
    cluster.start()
    try:
        cluster.healthy()
        members = Members(tmp_path, cluster)
        cluster.restart("n1", "3.5.16")
        until(lambda: cluster.observe(serving=True, leader=True, members=["n1", "n2", "n3"])["missing"] == [])
        found = members.statuses()
        assert {"pass"} == set(found.values()), [members.reason(*key) for key in found]
        cluster.kill("n2")
        found = members.statuses()
        assert {"fail"} == {found["n2", script] for script in CORE}
        assert ["fail", "pass"] == [found["n1", "10-read-write"], found["n1", "40-grpc-health"]]
        assert "n2 did not answer" in members.reason("n1", "10-read-write")
        assert 12 == json.loads((members.run_dir / "summary.json").read_text())["smoke"]["expected"]
    finally:
        cluster.stop()


def test_etcd_that_lets_anybody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that asks clients for no certificate fails the refusal, and nothing else."""
    command = EtcdCluster.command
    # With an authority to verify them by, etcd wants certificates even if it is not told to.
    monkeypatch.setattr(
        EtcdCluster,
        "command",
        lambda self, name: [w for w in command(self, name) if w != "--client-cert-auth" and not w.startswith("--trusted-ca-file")],
    )
    cluster = EtcdCluster(tmp_path / "etcd", "3.5.16")
    cluster.start()
    try:
        cluster.healthy()
        found = Members(tmp_path, cluster).statuses()
        assert {"30-no-certificate"} == {script for (_, script), status in found.items() if status == "fail"}
    finally:
        cluster.stop()


# HTTP


class Service(http.server.ThreadingHTTPServer):
    """A service that answers as it is told."""

    status, pause = 200, 0.0


class Answer(http.server.BaseHTTPRequestHandler):
    """One answer."""

    protocol_version = "HTTP/1.1"
    server: Service

    def do_GET(self) -> None:
        """Answer."""
        time.sleep(self.server.pause)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


Ask = Callable[..., tuple[dict[str, str], dict[str, str]]]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Service, Ask]]:
    """A service over TLS, and how its suite does on it: statuses and reasons by script."""
    pki.node(tmp_path / "pki", "test", "app", ["127.0.0.1"])
    files = [tmp_path / "pki" / name for name in ("ca.crt", "nodes/app.crt", "nodes/app.key")]
    made, context = Service(("127.0.0.1", 0), Answer), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files[1:])
    made.socket = context.wrap_socket(made.socket, server_side=True)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    smoked = Smoked(tmp_path)

    def ask(**said: Any) -> tuple[dict[str, str], dict[str, str]]:
        url = f"https://127.0.0.1:{made.server_address[1]}/health"
        given = {"nodewise_http_url": url, "nodewise_http_ca": str(files[0]), **said}
        smoked.next_run()
        smoked.inventory(notes={"n1": {key: value for key, value in given.items() if value}})
        smoked.smoke("-e", "nodewise_suite=http", "-e", "nodewise_tier=basic")
        found = smoked.results("http")
        return {script: one["status"] for (_, script), one in found.items()}, {s: one["reason"] for (_, s), one in found.items()}

    yield made, ask
    made.shutdown()


def test_http_passes(service: tuple[Service, Ask]) -> None:
    """Status, certificate and latency of a good service."""
    statuses, reasons = service[1](nodewise_http_ms=5000)
    assert {"10-status": "pass", "20-certificate": "pass", "30-latency": "pass"} == statuses, reasons


def test_http_fails(service: tuple[Service, Ask]) -> None:
    """Each check fires: another status, a certificate that ends too soon, answers that are slow."""
    made, ask = service
    made.pause = 0.02
    statuses, reasons = ask(nodewise_http_days=100_000, nodewise_http_ms=10, nodewise_http_requests=5, nodewise_http_status=204)
    assert {"fail"} == set(statuses.values())
    assert "status 200, expected 204" in reasons["10-status"]
    assert "renew it" in reasons["20-certificate"]
    assert "p95 of 5 requests is" in ask(nodewise_http_ms=10, nodewise_http_requests=5)[1]["30-latency"]


def test_http_of_an_unknown_authority(service: tuple[Service, Ask]) -> None:
    """A certificate that cannot be verified fails everything."""
    statuses, reasons = service[1](nodewise_http_ca=None)
    assert {"fail"} == set(statuses.values())
    assert "CERTIFICATE_VERIFY_FAILED" in reasons["20-certificate"]


@pytest.mark.slow
def test_http_without_a_service(service: tuple[Service, Ask]) -> None:
    """Without a URL all is skipped, which is no pass."""
    statuses, reasons = service[1](nodewise_http_url=None)
    assert [{"skip"}, "no service: say nodewise_http_url"] == [set(statuses.values()), reasons["10-status"]]


def until(reached: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.2)
