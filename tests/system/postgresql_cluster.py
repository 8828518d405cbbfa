"""A real PostgreSQL cluster under Patroni on a testnet, with the etcd of its store on the same nodes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from nodewise.errors import SetupError
from nodewise.model import Operation
from nodewise.simulation.harness import clients_of
from tests.system import cluster as any_cluster

OLD, NEW = "15.18", "15.20"  # Debian's main and security archives have one each, until a point release makes them one
QUICK = {"ttl": 20, "loop_wait": 3, "retry_timeout": 5}  # Patroni's own times, so that a failover takes 20 s and not 40
PATRONI_OLD, PATRONI_NEW = "3.3.11", "4.0.11"
PSQL = "runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d {database} -c {statement}"
PATRONICTL = "/opt/nodewise/patroni/patronictl {words}"
ASK = """import json, ssl, sys, urllib.request as r; c = ssl.create_default_context(cafile="/etc/nodewise/postgresql/ca.crt")
r.HTTPErrorProcessor.https_response = lambda _, request, answer: answer
print(r.urlopen("https://{address}:8008/{path}", context=c, timeout=5).read().decode())"""
# Begins a member anew with another minor, which has the same data: by its packages as they were staged.
PACKAGES = """rm -f /opt/nodewise/postgresql/state.json /etc/nodewise/postgresql/patroni.d/90-tags.yml; cd /opt/nodewise/postgresql
ln -sfn releases/{version} .next && mv -T .next current && export DEBIAN_FRONTEND=noninteractive
dpkg --force-downgrade --force-confold --install current/files/postgresql-[0-9]*.deb current/files/postgresql-client-[0-9]*.deb"""

CLEAN = f"""cd /opt/nodewise/postgresql; rm -rf backups releases/{NEW} /opt/bad-bin; rm -f /run/bad-day state.json"""


class Cluster(any_cluster.Cluster):
    """A testnet with PostgreSQL on it. Its members' starts are those of Patroni; `postmasters` tells PostgreSQL's own."""

    system, unit = "postgresql", "patroni"
    old, new = OLD, NEW
    look_too = r"""systemctl show etcd -P MainPID; pgrep -xo postgres
dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n' 'postgresql*'"""
    # Programs of PostgreSQL, a second Patroni or server, the marks of a batch that did not end.
    left = r"""pgrep -xa 'psql|pg_basebackup|pg_verifybackup|pg_ctl|pg_amcheck|dpkg|apt-get'
pgrep -fa '[p]ython3.* -m patroni ' | tail -n +2; pgrep -xa postgres | grep -v 'postgres: ' | tail -n +2
grep -l nodewise_unfinished /etc/nodewise/postgresql/patroni.d/*"""

    def command(self, playbook: str, *words: str, **variables: Any) -> tuple[list[str], dict[str, str], Path]:
        """The words and the environment of ansible-playbook: of the two clusters of the testnet this one is named."""
        return super().command(playbook, *words, **{"nodewise_cluster": self.net.name, **variables})

    def sql(self, node: str, statement: str, database: str = "postgres") -> str:
        """What a statement answered on a member, asked by the superuser on the node."""
        return self.root(node, "cd /; " + PSQL.format(database=database, statement=shlex.quote(statement)))

    def patronictl(self, node: str, words: str) -> str:
        """What patronictl printed on a node."""
        return self.root(node, PATRONICTL.format(words=words))

    def patroni(self, node: str, path: str = "patroni") -> dict[str, Any]:
        """What a member's Patroni says; also when it answers 503."""
        ask = ASK.format(address=self.net.node(node).address, path=path)
        return dict(json.loads(self.root(node, f"python3 -c {shlex.quote(ask)}")))

    def version(self, node: str) -> str:
        """What a member's server says that it is."""
        return self.sql(node, "show server_version").split()[0]

    def patroni_versions(self) -> set[str]:
        """What the running Patronis say that they are."""
        return {str(self.patroni(node)["patroni"]["version"]) for node in self.names}

    def postmasters(self) -> dict[str, str]:
        """When the server of each member was started."""
        return {node: self.sql(node, "select pg_postmaster_start_time()") for node in self.names}

    def leader(self) -> str:
        """The member that is primary, as the members say themselves."""
        (name,) = (node for node in self.names if self.sql(node, "select pg_is_in_recovery()") == "f")
        return name

    def timeline(self) -> int:
        """The timeline of the primary."""
        return int(self.sql(self.leader(), "select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"))

    def streaming(self) -> set[str]:
        """The replicas that stream, as the primary says."""
        said = self.sql(self.leader(), "select application_name from pg_stat_replication where state = 'streaming'")
        return set(said.splitlines())

    def takes_writes(self, node: str) -> None:
        """Write something through the primary, as a client whose own member this is, or raise."""
        with closing(clients_of(self.net)(node)) as client:
            client.open()
            done = client.invoke(Operation(0, "invoke", "write", "/nodewise/serves", "yes", 0))
        assert "ok" == done.type, done.error

    def serves(self, node: str) -> bool:
        """Whether a member's server answers."""
        return self.root(node, "cd /; " + PSQL.format(database="postgres", statement="'select 1'") + " 2>&1 || true") == "1"

    def hand_over(self, to: str) -> None:
        """Make a member the primary, unless it is."""
        if (leader := self.leader()) != to:
            self.patronictl(leader, f"switchover --force --leader {leader} --candidate {to} {self.net.name}")
            any_cluster.until(lambda: self.leader() == to, 30)
            healthy(self)

    def anew(self, new: int = 0) -> None:
        """The same members and data. Of some on the new minor the last is primary, whose batch is the one that is left."""
        wanted = {node: NEW if number < new else OLD for number, node in enumerate(self.names)}
        if new:
            self.hand_over(self.names[-1])
        if wanted == {node: self.version(node) for node in self.names}:
            return
        leader = self.leader()
        order = [node for node in self.names if node != leader] + [leader]  # the primary stops last and starts first
        for node in order:
            self.root(node, "systemctl stop patroni")
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: self.root(node, PACKAGES.format(version=wanted[node])), order))
        for node in reversed(order):
            self.root(node, "systemctl start patroni")
        healthy(self)

    def reset(self) -> Self:
        """The old minor without what tests and upgrades leave; the data stays."""
        self.anew()
        self.everywhere(CLEAN)
        healthy(self)
        return self

    def offered(self) -> set[str]:
        """The minors of PostgreSQL 15 that the nodes' package manager offers."""
        lines = self.root(self.names[0], "apt-get update -qq >&2; apt-cache madison postgresql-15").splitlines()
        return {line.split("|")[1].strip().split("-")[0] for line in lines}


@contextmanager
def made(runs: Path, nodes: int = 3, version: str = OLD, **variables: Any) -> Iterator[Cluster]:
    """A cluster of its own, with data in it, removed at the end. Skips where the nodes are not offered both minors."""
    try:
        making = any_cluster.made(
            Cluster, runs, nodes, version=version, variables={"nodewise_patroni_version": PATRONI_OLD, **variables}
        )
        with making as cluster:
            missing = {OLD, NEW} - cluster.offered()
            if missing:
                pytest.skip(f"the nodes are not offered PostgreSQL {', '.join(sorted(missing))}: {OLD} and {NEW} are needed")
            yield cluster
    except SetupError as error:
        if f"{version}" in str(error) and "offered" in str(error):
            pytest.skip(str(error))
        raise


def healthy(cluster: Cluster, seconds: float = 60) -> None:
    """Wait until there is one primary, and all others stream from it, as they say, too: it believes in a dead one for a minute."""

    def streams() -> bool:
        replicas = [name for name in cluster.names if name != cluster.leader()]
        said = [cluster.sql(name, "select status from pg_stat_wal_receiver") for name in replicas]
        return set(replicas) == cluster.streaming() and said == ["streaming"] * len(replicas)

    any_cluster.until(streams, seconds)
