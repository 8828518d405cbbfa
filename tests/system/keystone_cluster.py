# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""OpenStack Keystone as keystone.yml describes it, on the nodes of a PostgreSQL cluster, and clients that use its tokens."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import yaml

from nodewise.testnet import inventory
from tests.system import postgresql_cluster
from tests.system.app_cluster import Described, Requests, haproxy
from tests.system.cluster import until

DESCRIBED = Path(__file__).with_name("keystone.yml")
PATIENCE = 5  # how often a request is made, until it is a failure
HAPROXY = haproxy("keystone", "/v3", more="")
# What a service has that came to 24.1.0 from 23.0: the contract of before, of which 24.1.0's own is left.
FROM_23 = """export PGHOST={hosts} PGUSER=keystone PGPASSWORD={password} PGDATABASE=keystone PGTARGETSESSIONATTRS=read-write
cd /opt/nodewise/keystone/current/files; ../bin/alembic -c /etc/keystone/alembic.ini upgrade e25ffa003242"""
BALANCER = """export DEBIAN_FRONTEND=noninteractive; apt-get update -qq >&2
apt-get install -yqq --no-install-recommends haproxy >&2
echo {settings} | base64 -d >/etc/haproxy/haproxy.cfg; systemctl restart haproxy"""


class Keystone(Described):
    """Three members, which have an inventory of their own beside that of the testnet."""

    unit: ClassVar[str] = "keystone"
    old: ClassVar[str] = "24.1.0"
    new: ClassVar[str] = "25.0.0"
    database: postgresql_cluster.Cluster
    secrets: dict[str, str]

    def command(self, playbook: str, *words: str, **variables: Any) -> tuple[list[str], dict[str, str], Path]:
        """The words and the environment of ansible-playbook, and the folder for the run's record."""
        return super().command(playbook, "-i", str(self.runs / "inventory.yml"), *words, **variables)

    def version(self, node: str) -> str:
        """What the process says."""
        return str(json.loads(self.get(node, 5000, "/release"))["release"])

    def schema(self, **more: Any) -> dict[str, Any]:
        """`nodewise_schema`, with other fields."""
        return {**yaml.safe_load(DESCRIBED.read_text())["nodewise_schema"], **more}

    def without_contract(self) -> dict[str, Any]:
        """`nodewise_schema` of a release whose contract is left for later."""
        schema = self.schema()
        expand = schema["same_as"]["expand"]
        return {**{name: value for name, value in schema.items() if name != "contract"}, "same_as": {"expand": expand}}

    def sql(self, statement: str) -> str:
        """What a statement answered on the primary of the database."""
        return self.database.sql(self.database.leader(), statement, "keystone")

    def revisions(self) -> list[str]:
        """What the database says, past our own code."""
        return self.sql("select version_num from alembic_version order by 1").split()

    @property
    def urls(self) -> list[str]:
        """Of each member, past the balancer."""
        return [f"http://{node.address}:5000" for node in self.net.nodes]

    @property
    def balancer(self) -> str:
        """Where clients go."""
        return f"http://{self.net.nodes[0].address}"

    def balance(self) -> None:
        """Have HAProxy on the first node."""
        servers = "".join(f"  server {node.name} {node.address}:5000\n" for node in self.net.nodes)
        settings = base64.b64encode((HAPROXY + servers).encode()).decode()
        self.root(self.names[0], BALANCER.format(settings=settings))

    def describe(self) -> None:
        """Write the inventory: what keystone.yml says, and what it leaves to its environment."""
        said = yaml.safe_load(DESCRIBED.read_text())
        said["keystone_postgresql"] = ",".join(node.address for node in self.net.nodes)
        said["keystone_ca"] = str(self.net.pki / "ca.crt")
        said["keystone_balancer"] = self.net.nodes[0].address
        own = dataclasses.replace(self.net, system=None, version=None, variables={**said, **self.secrets})
        (self.runs / "inventory.yml").write_text(json.dumps({"all": {"children": inventory.tree([own])}}))


@contextmanager
def made(folder: Path) -> Iterator[Keystone]:
    """Three members of 24.1.0 behind HAProxy, on the nodes of a PostgreSQL cluster."""
    runs = folder / "keystone"
    runs.mkdir()
    with postgresql_cluster.made(folder, nodewise_patroni=postgresql_cluster.QUICK) as database:
        three = Keystone(database.net, runs)
        three.database = database
        three.secrets = {
            "vault_keystone_database": secrets.token_hex(8),
            "vault_keystone_admin": secrets.token_hex(8),
            "vault_keystone_fernet": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        }
        leader = database.leader()
        password = three.secrets["vault_keystone_database"]
        database.sql(leader, f"create role keystone login password '{password}'; grant pg_monitor to keystone")
        database.sql(leader, "create database keystone owner keystone")
        three.balance()
        three.describe()
        ended = three.play("provision", nodewise_schema=three.without_contract())
        assert 0 == ended.code, ended.said
        hosts = ",".join(node.address for node in database.net.nodes)
        three.root(three.names[0], FROM_23.format(hosts=hosts, password=password))
        until(lambda: Answer(three.balancer, three.secrets).token != "")
        yield three


class Pair(NamedTuple):
    """By whom a token was issued and validated, and which releases these were then."""

    issuer: str
    issued_by: str
    validator: str
    validated_by: str


class Answer:
    """What Keystone answers that is asked for a token, or whether one is valid. OSError where it does not answer, or says no."""

    def __init__(self, url: str, known: dict[str, str], token: str = "") -> None:
        user = {"name": "admin", "domain": {"id": "default"}, "password": known["vault_keystone_admin"]}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        asked = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        headers = {"X-Auth-Token": token, "X-Subject-Token": token} if token else {"Content-Type": "application/json"}
        body = None if token else json.dumps(asked).encode()
        request = urllib.request.Request(f"{url}/v3/auth/tokens", data=body, headers=headers)  # noqa: S310  (http)
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  (http)
            answer.read()
            self.url, self.release = url, str(answer.headers["X-Release"])
            self.token = token or str(answer.headers["X-Subject-Token"])


class Tokens(Requests):
    """Has each member in turn issue a token, which every member validates, and the balancer.

    A member that does not answer is passed over: the request is made again through the balancer, some times. A member that says
    that a token is not valid has failed.
    """

    def __init__(self, three: Keystone) -> None:
        super().__init__(three.urls)
        self.balancer, self.known = three.balancer, three.secrets
        self.pairs: set[Pair] = set()

    def __enter__(self) -> Self:
        """Begin."""
        return super().__enter__()

    def _run(self) -> None:
        for number in itertools.count():
            if self._end.wait(0.02):
                return
            issued = self._asked(self.urls[number % len(self.urls)])
            for url in [*self.urls, self.balancer] if issued else ():
                valid = self._asked(url, issued.token)
                if valid and self.balancer not in (issued.url, valid.url):
                    self.pairs.add(Pair(issued.url, issued.release, valid.url, valid.release))

    def _asked(self, url: str, token: str = "") -> Answer | None:
        why = ""
        for place in [url, *[self.balancer] * PATIENCE]:
            try:
                found = Answer(place, self.known, token)
            except urllib.error.HTTPError as error:
                why = f"{place} answers {error.code}"
                if error.code < 500:  # it was understood, and refused
                    break
            except OSError as error:
                why = f"{place}: {error}"
            else:
                self.good += 1
                return found
            self._end.wait(0.1)
        self.bad.append(f"{'validate' if token else 'issue'}: {why}")
        return None
