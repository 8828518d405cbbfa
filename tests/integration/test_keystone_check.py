# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""OpenStack Keystone's own migrations on a real PostgreSQL: what its own check says is not what the database has."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.postgresql_cluster import CLEAN, PostgresqlCluster

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.migrate import perform
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.pending import pending
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.state import state
from ansible_collections.nodewise.cluster.plugins.module_utils.release.unpack import unpack
from nodewise.releases import pypi
from nodewise.systems.app import schema as described
from nodewise.systems.app.squawk import lint

pytestmark = pytest.mark.slow  # two releases of a hundred wheels

KEYSTONE: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "system/keystone.yml").read_text())
NODES: dict[str, Any] = {"n1": {"python": "3.11", "machine": platform.machine(), "libc": "2.36"}}
OLD, NEW = "24.1.0", "25.0.0"


class Keystone:
    """Both releases as a node has them, and the database of the old one."""

    def __init__(self, cluster: PostgresqlCluster, root: Path) -> None:
        self.cluster, self.root = cluster, root
        cluster.sql("n1", "create database keystone owner nodewise")
        said = KEYSTONE["nodewise_app"]
        (root / "alembic.ini").write_text(said["files"]["/etc/keystone/alembic.ini"]["content"])
        where = f"host={cluster.addresses['n1']}&port={cluster.port}&sslmode=require"
        (root / "keystone.conf").write_text(f"[database]\nconnection = postgresql+psycopg2://nodewise@/keystone?{where}\n")
        for version in (OLD, NEW):
            self.stage(version, said["any"])

    def stage(self, version: str, source: dict[str, Any]) -> None:
        """Unpack a release's wheels."""
        release = self.root / "releases" / version
        for artifact in pypi.wheels([source["wheels"].format(version=version), *source["also"]], source.get("build", []), NODES):
            unpack(str(pypi.cached(artifact)), "wheel", str(release / "files"))
        (release / "bin").mkdir()
        for name, path in source["binaries"].items():
            (release / "bin" / name).symlink_to(release / "files" / path)
        (release / "release.json").write_text(json.dumps({"version": version}))

    def told(self, **more: Any) -> dict[str, Any]:
        """The schema as modules get it: that of keystone.yml."""
        text = json.dumps({**KEYSTONE["nodewise_schema"], **more}).replace("/etc/keystone", str(self.root))
        said = json.loads(text.replace("keystone-manage", f"keystone-manage --config-file={self.root}/keystone.conf"))
        said["database"] = f"postgresql://nodewise@{self.cluster.addresses['n1']}:{self.cluster.port}/keystone?sslmode=require"
        service = {"name": "keystone", "user": "", "root": str(self.root), "access": {"members": []}}
        return described.resolved(said, {"vault_keystone_database": self.cluster.password}, service)

    def run(self, phase: str, version: str, **more: Any) -> dict[str, Any]:
        """What the module makes of a phase."""
        return perform({"schema": self.told(**more), "phase": phase, "version": version})

    def check(self, version: str) -> int:
        """The exit code of a release's own check."""
        program = self.root / "releases" / version / "bin/keystone-manage"
        command = [str(program), f"--config-file={self.root}/keystone.conf", "db_sync", "--check"]
        return subprocess.run(command, env={**CLEAN, "PGPASSWORD": self.cluster.password}, check=False).returncode


@pytest.fixture(scope="module")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    """A database as 24.1.0 has expanded it."""
    cluster = PostgresqlCluster(("n1",))
    os.environ["NODEWISE_HOME"] = str(Path(__file__).parents[2] / ".cache")
    try:
        cluster.start()
        made = Keystone(cluster, tmp_path_factory.mktemp("keystone"))
        made.run("expand", OLD)
        yield made
    finally:
        cluster.stop()
        del os.environ["NODEWISE_HOME"]


def test_a_check_that_lies(keystone: Keystone) -> None:
    """It says 0 where the new release's expand was not made, and a command that believes it is found: the revision is named."""
    assert ([OLD], []) == tuple(state(keystone.told())[key] for key in ("expanded", "contracted"))
    assert 4 == keystone.check(OLD)
    keystone.run("contract", OLD)
    assert 0 == keystone.check(OLD) == keystone.check(NEW)
    seen = state(keystone.told())
    assert (["11c3b243b4cb", "c88cdce8f248"], [OLD], [OLD], {}) == tuple(
        seen[key] for key in ("revisions", "expanded", "contracted", "unread")
    )
    believing = "sh -c '{bin}/keystone-manage db_sync --check || {bin}/keystone-manage db_sync --expand'"
    with pytest.raises(DatabaseError) as refused:
        keystone.run("expand", NEW, expand=believing)
    assert "expand ended with 0, and the database is at 11c3b243b4cb, c88cdce8f248; 25.0.0 ships " in str(refused.value)
    assert str(refused.value).endswith("47147121")
    assert [OLD] == state(keystone.told())["expanded"]


def test_a_command_of_ones_own(keystone: Keystone) -> None:
    """It does what it is said to be the same as: that is linted, and held against the database after it."""
    found = pending({"schema": keystone.told(), "version": NEW})
    assert [("expand", "47147121", "")] == [(one["phase"], one["revision"], one["gap"]) for one in found]
    assert "ALTER TABLE mapping ADD COLUMN schema_version" in found[0]["sql"]
    assert [] == lint(found)
    assert {"changed": True, "tries": 1, "timeout_seen": True} == keystone.run("expand", NEW)
    assert ([OLD, NEW], [OLD, NEW]) == tuple(state(keystone.told())[key] for key in ("expanded", "contracted"))
