"""The database of a described service, and the service's releases, on this machine: as modules on a node have them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar, Self

from tests.integration.postgresql_cluster import PostgresqlCluster

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.migrate import perform
from nodewise.systems.app import schema as described


class Database:
    """A database of its own on the primary of a cluster, dropped at the end."""

    said: ClassVar[dict[str, Any]]  # what of nodewise_schema is not about this machine

    def __init__(self, cluster: PostgresqlCluster, root: Path) -> None:
        self.cluster, self.root, self.name = cluster, root, f"orders{time.monotonic_ns()}"
        cluster.sql("n1", f"create database {self.name} owner nodewise")

    def __enter__(self) -> Self:
        """With the schema as modules get it."""
        self.schema = self.told()
        return self

    def __exit__(self, *_: object) -> None:
        """Whoever is connected is thrown out."""
        self.cluster.sql("n1", f"drop database {self.name} with (force)")

    def told(self, **more: Any) -> dict[str, Any]:
        """The schema, as modules get it."""
        url = f"postgresql://nodewise@{self.cluster.addresses['n1']}:{self.cluster.port}/{self.name}?sslmode=require"
        said = {"database": url, "password": "vault_orders", "lock_timeout": 0.2, **self.said, **more}
        access = {"members": [{"name": "n1", "address": "10.9.9.9"}]}
        service = {"name": "orders", "user": "", "root": str(self.root), "access": access}
        return described.resolved(said, {"vault_orders": self.cluster.password}, service)

    def run(self, phase: str, version: str, **more: Any) -> dict[str, Any]:
        """What the module makes of a phase."""
        return perform({"schema": {**self.schema, **more}, "phase": phase, "version": version})

    def sql(self, statement: str) -> str:
        """As the superuser."""
        return self.cluster.sql("n1", statement, self.name)
