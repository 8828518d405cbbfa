"""A real etcd cluster of three on loopback, with mutual TLS, whose members can be killed and started again."""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import Etcdctl, Tls
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.info import observe
from nodewise import pki
from nodewise.releases import debian, sources
from nodewise.releases.rules import load_rules

ROLE = Path(__file__).parents[2] / "roles" / "etcd"
HEALTHY = {"members": ["n1", "n2", "n3"], "serving": True, "leader": True, "fingerprint": True}


def programs(version: str) -> Path:
    """The folder of etcd and etcdctl, unpacked from the packages of a release into the cache."""
    folder = debian.cache_dir() / "tests" / f"etcd-programs-{version}"
    with made_once(folder) as missing:
        if not missing:
            return folder / "usr" / "bin"
        release = sources.resolve(load_rules(ROLE), version, {}, platform.machine())
        for artifact in sorted(release.artifacts, key=lambda one: "client" in one.url):
            with urllib.request.urlopen(artifact.url) as answer:  # noqa: S310  (the machine's own mirror)
                package = answer.read()
            assert hashlib.sha256(package).hexdigest() == artifact.sha256
            (folder / "package.deb").write_bytes(package)
            subprocess.run(["dpkg-deb", "-x", "package.deb", "."], cwd=folder, check=True)
    return folder / "usr" / "bin"


@contextmanager
def made_once(folder: Path) -> Iterator[bool]:
    """Whether a folder of the cache is still to be made, by who holds it now: other processes wait. What fails is made anew."""
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / ".made"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not done.exists()
        done.touch()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        with closing(one):
            pass
    return ports


class EtcdCluster:
    """Members n1, n2, n3. `options` are those that every etcd module takes; `versions` what each is started with.

    `scheme`, `host` and `flags` are for clusters that were set up otherwise than Nodewise does it, `login` for etcd's own users.
    """

    def __init__(
        self, folder: Path, version: str, *, scheme: str = "https", host: str = "127.0.0.1", flags: tuple[str, ...] = ()
    ) -> None:
        self.scheme, self.flags = scheme, flags
        self.login: tuple[str, str] | None = None
        self.folder, self.version = folder, version
        self.versions = dict.fromkeys(("n1", "n2", "n3"), version)
        self.state = "new"  # of the cluster that a member without data starts in
        ports = free_ports(6)
        self.urls = {name: f"{scheme}://{host}:{port}" for name, port in zip(HEALTHY["members"], ports[:3], strict=True)}  # type: ignore[arg-type]
        self.peers = {name: f"{scheme}://{host}:{port}" for name, port in zip(self.urls, ports[3:], strict=True)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in self.urls:
            pki.node(folder / "pki", "test", name, [host.strip("[]")])
            self.certify(name, folder / "pki")

    def certify(self, name: str, pki_folder: Path) -> None:
        """Have a member show its peers the certificate that it has in a folder."""
        for kind in ("crt", "key"):
            copy = self.folder / f"pki/nodes/{name}.peer.{kind}"
            shutil.copy(pki_folder / f"nodes/{name}.{kind}", copy)

    @property
    def options(self) -> dict[str, Any]:
        """Parameters of the modules."""
        certs = self.folder / "pki"
        return {
            "members": [{"name": name, "url": url} for name, url in self.urls.items()],
            "ca": str(certs / "ca.crt"),
            "cert": str(certs / "nodes/n1.crt"),
            "key": str(certs / "nodes/n1.key"),
            "user": self.login and self.login[0],
            "password": self.login and self.login[1],
            "etcdctl": str(programs(self.version) / "etcdctl"),
            "timeout": 2.0,
            "settled": {},
            "deadline": 30.0,
        }

    def observe(self, **settled: Any) -> dict[str, Any]:
        """What etcd_info returns."""
        return observe({**self.options, "settled": settled})

    def healthy(self) -> dict[str, Any]:
        """The observation, once the cluster is healthy."""
        found = self.observe(**HEALTHY)
        assert found["missing"] == []
        return found["observation"]

    def ctl(self, *words: str, member: str = "n1") -> str:
        """Run etcdctl on a member."""
        options = self.options
        etcdctl = Etcdctl(
            options["etcdctl"], Tls(options["ca"], options["cert"], options["key"]), 20.0, self.login
        )  # an election may come first
        code, output, errors = etcdctl.run(list(words), [self.urls[member]])
        assert code == 0, errors
        return output

    def start(self, *names: str) -> None:
        """Start members; they are not waited for."""
        for name in names or self.urls:
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(self.command(name), stdout=log, stderr=log)

    def kill(self, name: str, *, added: int = 0) -> None:
        """End a member at once; a majority that is left, of those `added` since too, has a leader again when this returns."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()
        left = [member for member, process in self.processes.items() if process.poll() is None]
        end = time.monotonic() + 30
        while len(left) > (len(self.urls) + added) // 2:
            with suppress(AssertionError):
                self.ctl("get", "nothing", member=left[0])
                break
            assert time.monotonic() < end, f"no leader without {name}"

    def restart(self, name: str, version: str) -> None:
        """End a member in order, and start it with a version."""
        self.processes[name].terminate()
        self.processes[name].wait()
        self.versions[name] = version
        self.start(name)

    def stop(self) -> None:
        """End all."""
        for process in self.processes.values():
            process.kill()
            process.wait()

    def command(self, name: str) -> list[str]:
        """How a member is started."""
        certs = self.folder / "pki"
        files = {
            "cert-file": certs / f"nodes/{name}.crt",
            "key-file": certs / f"nodes/{name}.key",
            "trusted-ca-file": certs / "ca.crt",
        }
        # Members show their peers a copy of the certificate, which is read anew at each handshake: a test may take it away.
        between = {**files, "cert-file": certs / f"nodes/{name}.peer.crt", "key-file": certs / f"nodes/{name}.peer.key"}
        tls = [f"--{key}={path}" for key, path in files.items()] + [f"--peer-{key}={path}" for key, path in between.items()]
        urls = [f"--listen-client-urls={self.urls[name]}", f"--advertise-client-urls={self.urls[name]}"]
        urls += [f"--listen-peer-urls={self.peers[name]}", f"--initial-advertise-peer-urls={self.peers[name]}"]
        cluster = ",".join(f"{member}={url}" for member, url in self.peers.items())
        own = [f"--name={name}", f"--data-dir={self.folder / name}", f"--initial-cluster={cluster}"]
        own += [f"--initial-cluster-state={self.state}"]
        tls = [*tls, "--client-cert-auth", "--peer-client-cert-auth"] if self.scheme == "https" else []
        return [str(programs(self.versions[name]) / "etcd"), *own, *urls, *tls, *self.flags]

    def alter(self, name: str, old: str, new: str) -> None:
        """Replace bytes in a member's database while it is stopped."""
        self.processes[name].terminate()
        self.processes[name].wait()
        data = self.database(name).read_bytes()
        assert old.encode() in data
        assert len(old) == len(new)
        self.database(name).write_bytes(data.replace(old.encode(), new.encode()))
        self.start(name)

    def database(self, name: str) -> Path:
        """The file that holds a member's data."""
        return self.folder / name / "member/snap/db"
