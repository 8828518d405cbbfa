"""A service of three members with its values in PostgreSQL, behind two balancers: HAProxy on the first two nodes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from tests.simulation.keeping import described, release_of
from tests.system.app_cluster import Described, haproxy, made
from tests.system.cluster import until

PASSWORD = "correct-horse-battery"  # noqa: S105  (of a testnet)
SETTINGS = "/etc/nodewise/values/values.json"
SETUP = """
set -e
echo ADDRESS database >>/etc/hosts
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >&2
case "$(hostname)" in *n1) more='haproxy postgresql';; *n2) more=haproxy;; *) more=;; esac
apt-get install -yqq --no-install-recommends python3-psycopg2 $more >&2
case "$(hostname)" in *n1|*n2) echo HAPROXY | base64 -d >/etc/haproxy/haproxy.cfg; systemctl restart haproxy;; esac
case "$(hostname)" in *n1) ;; *) exit 0;; esac
echo "listen_addresses = '*'" >/etc/postgresql/15/main/conf.d/all.conf
echo 'host kept all 0.0.0.0/0 scram-sha-256' >>/etc/postgresql/15/main/pg_hba.conf
systemctl restart postgresql
cd /
runuser -u postgres -- psql -qc "create role kept login password 'PASSWORD'" -c 'create database kept owner kept'
runuser -u postgres -- psql -qc 'set role kept' -c 'create table kept (key text primary key, value text not null)' kept
"""
HAPROXY = haproxy("values")


# A member that is drained says 503 before it does anything, so the request goes on to the next one, whatever it is; and for
# two seconds none is tried there.
NGINX = """
upstream values {
  zone values 64k;
SERVERS}
server {
  listen 81;
  location / {
    proxy_pass http://values;
    proxy_next_upstream error timeout http_503 non_idempotent;
  }
}
"""


def told(addresses: list[str], send: str, says: str = "") -> list[dict[str, Any]]:
    """What each balancer is told or asked."""
    return [{"tcp": {"host": address, "port": 9999, "send": send}, "says": says, "timeout": 10} for address in addresses]


class Balanced(Described):
    """The service, with all that its description may have."""

    unit: ClassVar[str] = "values"
    old: ClassVar[str] = "1.0.0"
    new: ClassVar[str] = "1.1.0"

    def version(self, node: str) -> str:
        """What the process says."""
        return str(json.loads(self.get(node, 8080, "/version"))["version"])

    @property
    def balancers(self) -> list[str]:
        """Their addresses."""
        return [node.address for node in self.net.nodes[:2]]

    def offer(self, **change: str) -> dict[str, Any]:
        """The new version with other values in its program, as `nodewise_releases`."""
        return {self.new: release_of(self.runs, self.new, **change)}

    def changed(self, **change: Any) -> dict[str, Any]:
        """The description with other fields, as `nodewise_app`."""
        return {**self.net.variables["nodewise_app"], **change}

    def with_settings(self, text: str, **change: Any) -> dict[str, Any]:
        """The description with another text in its file of settings."""
        return self.changed(files={SETTINGS: {"content": text}}, **change)

    def takes_writes(self, node: str) -> None:
        """Through a balancer: a client does not choose its member."""
        self.get(node, 80, "/values/any")

    def servers(self) -> dict[str, str]:
        """How the first balancer sees each server: 2 0 is up and in service, 2 8 is drained."""
        ask = (
            'python3 -c \'import socket; line = socket.create_connection(("127.0.0.1", 9999)); '
            'line.sendall(b"show servers state values\\n"); print(line.makefile().read())\''
        )
        words = [line.split() for line in self.root(self.names[0], ask).splitlines()]
        return {row[3]: " ".join(row[5:7]) for row in words if len(row) > 6 and row[1] == "values"}


def drain(addresses: list[str]) -> dict[str, Any]:
    """As docs/app.md has it, of both balancers."""
    return {
        "act": told(addresses, "set server values/{name} state drain"),
        "until": told(addresses, "show servers conn values", r"^values/{name} \S+ \S+ \S+ \S+ \S+ 0 "),
        "undo": told(addresses, "set server values/{name} state ready"),
        "back": told(addresses, "show servers state values", r" {name} \S+ 2 0 "),
        "deadline": 20,
    }


def nginx(cluster: Balanced) -> str:
    """NGINX on the last node, in front of all members; returns its address."""
    servers = "".join(f"  server {node.address}:8080 max_fails=1 fail_timeout=2s;\n" for node in cluster.net.nodes)
    text = base64.b64encode(NGINX.replace("SERVERS", servers).encode()).decode()
    install = "DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends nginx-light >&2"
    cluster.root(cluster.names[2], f"{install}; echo {text} | base64 -d >/etc/nginx/conf.d/values.conf; systemctl reload nginx")
    return cluster.net.nodes[2].address


def drain_nginx(address: str) -> dict[str, Any]:
    """As docs/app.md has it: the member sends requests on, until nginx has no connection to it."""
    return {
        "act": [{"file": {"path": "/var/lib/nodewise/values/drained"}}],
        "until": [{"command": f"/usr/bin/ss -Htn state established sport = :8080 and dst {address}", "says": "^$"}],
        "undo": [{"file": {"path": "/var/lib/nodewise/values/drained", "present": False}}],
        "back": [{"http": {"port": 8080, "path": "/values/before"}}],
        "deadline": 20,
    }


@contextmanager
def balanced(folder: Path, runs: Path) -> Iterator[Balanced]:
    """Three members on 1.0.0, provisioned as they are described in the end: with drain, balancer, settings and a secret."""
    variables = described(folder)
    variables |= {"vault_values": PASSWORD, "nodewise_http_url": "http://127.0.0.1:8080/values/before"}
    app = variables["nodewise_app"]
    app["command"] = "{bin}/values --config {config}/values.json --data {data}"
    app["check"] = {"command": "{bin}/values --config {config}/values.json --check"}
    app["files"] = {SETTINGS: {"content": '{"port": 8080}'}}
    app["environment"] = {"DATABASE": "postgresql://kept@database/kept"}
    app["secrets"] = {"PGPASSWORD": "vault_values"}
    app["stateless"] = True
    with made(Balanced, runs, variables) as three:
        servers = "".join(f"  server {node.name} {node.address}:8080\n" for node in three.net.nodes)
        haproxy = base64.b64encode((HAPROXY + servers).encode()).decode()
        given = {"ADDRESS": three.net.nodes[0].address, "HAPROXY": haproxy, "PASSWORD": PASSWORD}
        setup = SETUP
        for name, value in given.items():
            setup = setup.replace(name, value)
        three.everywhere(setup)
        until(lambda: set(three.servers().values()) == {"2 0"})
        # From here on every run knows of the balancers, whose addresses are those of nodes that there were not.
        app = three.net.variables["nodewise_app"]
        app["drain"] = drain(three.balancers)
        app["balancer"] = {"servers": told(three.balancers[:1], "show servers state values", r"^\d+ values \d+ \S+ \S+ 2 0 ")[0]}
        three.net.save()
        yield three
