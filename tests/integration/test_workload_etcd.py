"""The workload, the data set and the judge on one real etcd of each release that upgrades pass through, with mutual TLS."""

from __future__ import annotations

import hashlib
import os
import platform
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from nodewise import pki
from nodewise.errors import UnknownResult
from nodewise.model import Operation
from nodewise.releases import debian
from nodewise.simulation.checkers.registry import judge, merge
from nodewise.simulation.workloads import register
from nodewise.simulation.workloads.client import ClientFactory, Credentials
from nodewise.simulation.workloads.data import seed_data, verify_data
from nodewise.simulation.workloads.final import final_reads
from nodewise.simulation.workloads.history import History, read_history
from nodewise.simulation.workloads.load import Load, Shape
from nodewise.simulation.workloads.program import Programs, words
from nodewise.simulation.workloads.registry import workload_named
from nodewise.systems.etcd.client import EtcdClient, connect, encode

SUITES = {"3.3.25": "bullseye", "3.4.23": "bookworm", "3.5.16": "trixie"}
PREFIX = "/nodewise/test/"


@dataclass
class Etcd:
    """A running etcd."""

    process: subprocess.Popen[bytes]
    url: str
    tls: Credentials

    @property
    def factory(self) -> ClientFactory:
        """Clients of it."""
        return connect({"n1": self.url}, self.tls)

    def client(self) -> EtcdClient:
        """An open client, behind the workload's back."""
        client = self.factory("n1")
        assert isinstance(client, EtcdClient)
        client.open()
        return client


def binary(version: str, program: str = "etcd") -> Path:
    """The etcd, or etcdctl, of a Debian package, unpacked in the cache."""
    folder = debian.cache_dir() / "tests" / f"{program}-{version}"
    if not (folder / "usr/bin" / program).exists():
        folder.mkdir(parents=True, exist_ok=True)
        package_name = "etcd-server" if program == "etcd" else "etcd-client"
        (artifact,) = debian.packages(SUITES[version], [package_name], version, platform.machine())
        with urllib.request.urlopen(artifact.url) as answer:  # noqa: S310 apt's own mirror
            package = answer.read()
        assert hashlib.sha256(package).hexdigest() == artifact.sha256
        (folder / "etcd.deb").write_bytes(package)
        subprocess.run(["dpkg-deb", "-x", "etcd.deb", "."], cwd=folder, check=True)
    return folder / "usr/bin" / program


def free_port() -> int:
    """A port that nobody listens on."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module", params=SUITES)
def etcd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """One member on this machine, with certificates of its own authority."""
    folder = tmp_path_factory.mktemp("etcd")
    certs = folder / "pki"
    pki.node(certs, "test", "n1", ["127.0.0.1"])
    pki.client(certs, "test")
    url, peer = f"https://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    command = [
        str(binary(request.param)),
        "--name=n1",
        f"--data-dir={folder}/data",
        f"--initial-cluster=n1={peer}",
        "--client-cert-auth",
    ]
    command += [f"--listen-client-urls={url}", f"--advertise-client-urls={url}"]
    command += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
    command += [f"--trusted-ca-file={certs}/ca.crt", f"--cert-file={certs}/nodes/n1.crt", f"--key-file={certs}/nodes/n1.key"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        running = Etcd(process, url, client_tls(certs))
        try:
            wait(running, folder / "log")
            yield running
        finally:
            process.kill()


def client_tls(certs: Path) -> Credentials:
    """The operator's certificate of an authority."""
    return Credentials(*(str(certs / name) for name in ("ca.crt", "client.crt", "client.key")), password="")


def wait(etcd: Etcd, log: Path) -> None:
    """Until it takes writes."""
    for _ in range(200):
        with suppress(OSError):
            etcd.client().delete(["/ready"])
            return
        assert etcd.process.poll() is None, log.read_text()
        time.sleep(0.05)
    pytest.fail(log.read_text())


def test_a_load_is_valid_until_a_key_is_deleted_behind_its_back(etcd: Etcd, tmp_path: Path) -> None:
    """Two seconds of work are judged valid; the same history with one acknowledged key deleted is one lost write, by name."""
    verdicts = []
    with History(tmp_path / "history.jsonl") as history:
        load = Load(etcd.factory, ["n1"], history, Shape(PREFIX, seed=5)).start()
        time.sleep(2)
        stats = load.stop()
        whole = read_history(history.path)
        final_reads(etcd.factory, ["n1"], history, PREFIX)
        verdicts.append(merge(judge(read_history(history.path), register.checkers)))
        gone = next(o.key for o in whole if o.type == "ok" and o.f == "add")
        etcd.client().delete([gone])
        final_reads(etcd.factory, ["n1"], history, PREFIX)
        verdicts.append(merge(judge(read_history(history.path), register.checkers)))
    assert (stats.failed, stats.info) == (0, 0)
    assert stats.ok > 200
    assert (verdicts[0].valid, verdicts[0].lost) == ("valid", 0), verdicts[0].says
    assert (verdicts[1].valid, verdicts[1].lost) == ("invalid", 1)
    assert f"acknowledged writes lost: 1 ({gone} = " in verdicts[1].says


@pytest.mark.parametrize("name", ["cas", "append", "lock"])
def test_clients_that_share_their_keys(etcd: Etcd, tmp_path: Path, name: str) -> None:
    """Registers and lists that all clients change are judged valid; a change behind their backs is found."""
    prefix, workload = f"/nodewise/{name}/", workload_named(name)
    with History(tmp_path / "history.jsonl") as history:
        load = Load(etcd.factory, ["n1"], history, Shape(prefix, seed=5, keys=3, rate=2000), workload).start()  # so that they meet
        until = time.monotonic() + 30
        while load.stats().ok < 400 and time.monotonic() < until:
            time.sleep(0.05)
        stats = load.stop()
        final_reads(etcd.factory, ["n1"], history, prefix)
        verdict = merge(judge(whole := read_history(history.path), workload.checkers))
        if name != "lock":
            gone = next(o.key for o in whole if o.type == "ok" and o.f == name)
            etcd.client().put({gone: "nobody's"})
            final_reads(etcd.factory, ["n1"], history, prefix)
    assert ("valid", 0) == (verdict.valid, stats.info), verdict.says
    assert any(o.refused or o.error for o in whole), "nobody was overtaken"
    if name == "lock":
        return  # what breaks it is the next test's
    assert "invalid" == merge(judge(read_history(history.path), workload.checkers)).valid


class Etcdctl:
    """The lock of `etcdctl lock`, whose holder writes as long as it runs: what it guards knows no token."""

    def __init__(self, etcd: Etcd, version: str) -> None:
        self._etcd = etcd
        self._version = version
        self._holder: subprocess.Popen[str] | None = None

    def invoke(self, operation: Operation) -> Operation:
        """Acquire, or a guarded write."""
        if operation.f == "guarded":
            self._etcd.client().put({operation.key: operation.value})
            return msgspec.structs.replace(operation, type="ok")
        tls = [f"--cacert={self._etcd.tls.ca}", f"--cert={self._etcd.tls.cert}", f"--key={self._etcd.tls.key}"]
        command = [str(binary(self._version, "etcdctl")), f"--endpoints={self._etcd.url}", *tls, "lock", operation.key]
        self._holder = subprocess.Popen(command, env={"ETCDCTL_API": "3"}, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        key = self._holder.stdout.readline().strip()  # printed once it holds the lock
        found = self._etcd.client().call("/kv/range", key=encode(key))["kvs"][0]
        return msgspec.structs.replace(operation, type="ok", value=int(found["create_revision"]))

    def close(self) -> None:
        """End the holder."""
        if self._holder:
            self._holder.kill()
            self._holder.communicate()


@pytest.mark.parametrize(("good", "valid"), [(True, "valid"), (False, "invalid")])
def test_a_lock_whose_holder_sleeps(etcd: Etcd, request: pytest.FixtureRequest, good: bool, valid: str) -> None:
    """Its lease is gone, another one takes the lock and writes, and the sleeper wakes up: ours is refused, etcdctl's is not."""
    version = request.node.callspec.params["etcd"]
    clients = [etcd.client() if good else Etcdctl(etcd, version) for _ in "ab"]
    lock, resource, history = f"/lock/{good}", f"/resource/{good}", list[Operation]()

    def did(process: int, f: str, key: str, **more: object) -> Operation:
        asked = Operation(process, "invoke", f, key, f"{process}.{len(history)}", len(history), "n1", **more)  # type: ignore[arg-type]
        history.extend([asked, done := msgspec.structs.replace(clients[process].invoke(asked), time=len(history) + 1)])
        return done

    try:
        first = did(0, "acquire", lock)
        for lease in etcd.client().call("/kv/lease/leases").get("leases", []):  # those of the holder: it sleeps
            with suppress(OSError):  # one of another test has run out meanwhile
                etcd.client().call("/kv/lease/revoke", ID=lease["ID"])
        second = did(1, "acquire", lock)
        did(1, "guarded", resource, old=second.value)
        woke = did(0, "guarded", resource, old=first.value)
    finally:
        for client in clients:
            client.close()
    assert ("fail", True) == (woke.type, woke.refused) if good else "ok" == woke.type
    (verdict,) = judge(history, ["fenced"])
    assert valid == verdict.valid, verdict.says


def test_the_program_of_the_documentation(etcd: Etcd, tmp_path: Path) -> None:
    """It performs a workload on a real member, and its work is judged valid; what etcd 3.3 answers it with is doubt."""
    text = (Path(__file__).parents[2] / "docs/simulation.md").read_text().partition("```python\n")[2].partition("```")[0]
    (tmp_path / "w").write_text(text)
    (tmp_path / "w").chmod(0o755)
    clients = Programs(words("./w", tmp_path), {"n1": etcd.url}, etcd.tls, tmp_path / "workload.log")
    with History(tmp_path / "history.jsonl") as history:
        load = Load(clients, ["n1"], history, Shape("/nodewise/own/", seed=5, deadline=0.5)).start()
        until = time.monotonic() + (20 if etcd.client()._gateway == "/v3" else 1)
        while load.stats().ok < 100 and time.monotonic() < until:
            time.sleep(0.05)
        load.stop()
        final_reads(clients, ["n1"], history, "/nodewise/own/")
    verdict = merge([*judge(read_history(history.path), register.checkers), *clients.verdicts()])
    expected = "valid" if etcd.client()._gateway == "/v3" else "unknown"  # 3.3 has its gateway elsewhere
    assert expected == verdict.valid, f"{verdict.says}\n{clients.log.read_text()}"


def test_a_value_written_behind_its_back_is_a_phantom(etcd: Etcd, tmp_path: Path) -> None:
    """A key that no client wrote is found in the final reads."""
    prefix = "/nodewise/phantom/"
    with History(tmp_path / "history.jsonl") as history:
        etcd.client().put({f"{prefix}k": "nobody's"})
        final_reads(etcd.factory, ["n1"], history, prefix)
    (verdict,) = judge(read_history(history.path), ["no_phantom"])
    assert verdict.valid == "invalid"
    assert f'{prefix}k = "nobody\'s"' in verdict.says


def test_a_scan_reads_all_pages(etcd: Etcd) -> None:
    """More keys than a page holds are all found, and no neighbour's."""
    keys = {f"/pages/{n:04}": str(n) for n in range(1100)}
    client = etcd.client()
    for start in range(0, 1100, 100):
        client.put(dict(list(keys.items())[start : start + 100]))
    client.put({"/pages0": "a neighbour"})
    assert client.scan("/pages/") == keys


def test_the_data_set_is_whole_and_differences_are_named(etcd: Etcd) -> None:
    """What was seeded is all found, again after seeding it again; each kind of difference is named."""
    data = seed_data(etcd.factory("n1"), seed=7)
    assert verify_data(etcd.factory("n1"), data) == []
    again = seed_data(etcd.factory("n1"), seed=7)
    assert verify_data(etcd.factory("n1"), again) == []
    client = etcd.client()
    (lease, leased), *_ = data.leases.items()
    loose = next(iter(leased))
    client.delete(["/data/7/users/0005"])
    client.put({"/data/7/large/1": "small", loose: leased[loose], data.temporary[3]: "back"})
    assert verify_data(etcd.factory("n1"), data) == [
        "/data/7/users/0005 is missing",
        "/data/7/large/1 is another: 524288 characters were written, 5 are there, 'small'",
        f"{data.temporary[3]} is there and should not be",
        f"{loose} is not attached to lease {lease} any more",
    ]


def test_a_write_that_is_refused_before_it_is_proposed_did_not_happen(etcd: Etcd) -> None:
    """A value that is too large ends `fail`, and is not there."""
    client = etcd.client()
    refused = client.invoke(Operation(0, "invoke", "write", "/big", "x" * 2_000_000, 0))
    assert (refused.type, client.get("/big")) == ("fail", None), refused.error


def test_a_write_without_an_answer_may_have_happened(etcd: Etcd) -> None:
    """A write to a server that stops answering ends `info`; a read, which has no effect, ends `fail`."""
    client = etcd.client()
    etcd.process.send_signal(signal.SIGSTOP)
    os.waitpid(etcd.process.pid, os.WUNTRACED)  # until every thread has stopped
    try:
        wrote = client.invoke(Operation(0, "invoke", "write", "/late", "v", 0))
        read = client.invoke(Operation(0, "invoke", "read", "/late", None, 0))
    finally:
        etcd.process.send_signal(signal.SIGCONT)
    assert (wrote.type, read.type) == ("info", "fail"), (wrote.error, read.error)


def test_a_client_without_a_certificate_is_refused(etcd: Etcd, tmp_path: Path) -> None:
    """What cannot be read is unknown, in one line, not a traceback and not whole."""
    data = seed_data(etcd.factory("n1"), seed=8)
    pki.client(tmp_path, "another")
    with pytest.raises(UnknownResult, match="could not be read back"):
        verify_data(connect({"n1": etcd.url}, client_tls(tmp_path))("n1"), data)
