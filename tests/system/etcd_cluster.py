"""A real etcd cluster on a testnet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from nodewise.simulation.harness import clients_of
from tests.system import cluster as any_cluster
from tests.system.cluster import Ended, Running, in_a_switch, read

__all__ = ["ETCDCTL", "NEW", "OLD", "Cluster", "Ended", "Running", "in_a_switch", "made", "read"]

OLD, NEW = "3.4.23", "3.5.16"
ETCDCTL = """cd /etc/nodewise/etcd; ETCDCTL_API=3 /opt/nodewise/etcd/current/bin/etcdctl \
--endpoints https://$(hostname):2379 --cacert ca.crt --cert node.crt --key node.key """
ASK = """import ssl, urllib.request as r; c = ssl.create_default_context(cafile="ca.crt"); c.check_hostname = False
c.load_cert_chain("node.crt", "node.key"); print(r.urlopen("https://127.0.0.1:2379/version", context=c).read().decode())"""

# A copy of a stopped member's data, and that copy in its place again, with a version.
KEPT = "/root/kept-etcd"
KEEP = f"rm -rf {KEPT}; cp -a /var/lib/nodewise/etcd/member {KEPT}"
ANEW = f"""cd /opt/nodewise/etcd; rm -rf /var/lib/nodewise/etcd/member state.json
cp -a {KEPT} /var/lib/nodewise/etcd/member; ln -sfn releases/{{}} current"""
STOP, START = "systemctl stop etcd", "systemctl reset-failed etcd; systemctl start etcd"
# What tests and upgrades leave besides.
CLEAN = f"""cd /opt/nodewise/etcd; find releases -mindepth 1 -maxdepth 1 ! -name {OLD} -exec rm -rf {{}} +; rm -rf backups
rm -rf /var/lib/nodewise/etcd.* /var/lib/nodewise/etcd/*.apart-*
rm -rf /etc/systemd/system/etcd.service.d; rm -f /run/bad-day; systemctl daemon-reload"""


class Cluster(any_cluster.Cluster):
    """A testnet with etcd on it."""

    system = unit = "etcd"
    old, new = OLD, NEW
    left = r"""pgrep -xa 'etcdctl|etcdutl'; pgrep -xa 'etcd(.new|.old)?' | tail -n +2"""  # its tools, more than the one member

    def etcdctl(self, node: str, words: str) -> str:
        """What etcdctl printed on a node, asking that member alone."""
        return self.root(node, ETCDCTL + words)

    def status(self, node: str) -> dict[str, Any]:
        """What a member says of itself."""
        return dict(json.loads(self.etcdctl(node, "endpoint status --write-out json"))[0]["Status"])

    def version(self, node: str) -> str:
        """What a member's process says that it is."""
        return str(self.status(node)["version"])

    def leader(self) -> str:
        """The member that leads, as the members say themselves."""
        (name,) = (name for name in self.names if (said := self.status(name))["leader"] == said["header"]["member_id"])
        return name

    def acts_as(self, node: str) -> str:
        """The version that the cluster acts as, by its minor, as a member says."""
        said = self.root(node, "cd /etc/nodewise/etcd; python3 -c '" + ASK.format(node=node) + "'")
        return ".".join(str(json.loads(said)["etcdcluster"]).split(".")[:2])

    def takes_writes(self, node: str) -> None:
        """Write something through a member, or raise."""
        with closing(clients_of(self.net)(node)) as client:
            client.open()
            client.put({"/nodewise/serves": "yes"})  # type: ignore[attr-defined]

    def serves(self, node: str) -> bool:
        """Whether a member says that it is healthy."""
        return "is healthy" in self.root(node, f"{ETCDCTL} endpoint health 2>&1 || true")

    def seed(self) -> Self:
        """Put a data set into it, and keep a copy of what the members have then."""
        super().seed()
        for line in (STOP, KEEP, START):
            self.everywhere(line)
        return self

    def anew(self, new: int = 0) -> None:
        """The same members with nothing but the data set: what has moved to the new version cannot go back."""
        if {OLD} != self.versions() or new:
            self.put_back(new)

    def put_back(self, new: int = 0) -> None:
        """Have the members the data that they had at first, the first `new` of them on the new version."""
        self.everywhere(STOP)
        with ThreadPoolExecutor() as pool:
            versions = [NEW if number < new else OLD for number, _ in enumerate(self.names)]
            list(pool.map(lambda name, version: self.root(name, ANEW.format(version)), self.names, versions))
        self.everywhere(START)
        any_cluster.until(lambda: all(self.serves(name) for name in self.names))

    def reset(self) -> Self:
        """As it was when it was made: for tests that share it."""
        self.everywhere(CLEAN)
        self.put_back()
        return self


@contextmanager
def made(runs: Path, nodes: int = 3, version: str = OLD) -> Iterator[Cluster]:
    """A cluster of its own, with data in it, removed at the end."""
    with any_cluster.made(Cluster, runs, nodes, version=version) as cluster:
        yield cluster
