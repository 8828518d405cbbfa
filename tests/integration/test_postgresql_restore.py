"""A real cluster under Patroni takes the data of a base backup; what is not that backup is refused, and nothing is touched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.patroni_cluster import PatroniCluster, patroni

from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql import restore as postgresql_restore
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import PostgresqlError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.backup import save
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.restore import forget, lead, make_ready, put_in_place


class Restore:
    """A cluster, a backup of it, and what came after; the Patronis' processes stand in for their units."""

    def __init__(self, cluster: PatroniCluster) -> None:
        self.cluster = cluster
        cluster.sql("n1", "create table t as select 'kept' as word", "nodewise")
        path = str(cluster.folder / "backups/run.tgz")
        socket = str(cluster.folder / "n1")
        more = {"member": "n1", "path": path, "owner": None, "restore": False, "deadline": 120.0, "socket_dir": socket}
        self.saved = save({**cluster.options, **more})
        cluster.sql("n1", "insert into t select 'lost' from generate_series(1, 100000)", "nodewise")

    def given(self, name: str, **changed: Any) -> dict[str, Any]:
        """The module's parameters on a node."""
        own = self.cluster.folder / f"{name}.tgz"
        shutil.copy(self.saved["path"], own)
        return {
            **self.cluster.options,
            "socket_dir": str(self.cluster.folder / name),
            "member": name,
            "lead": "n1",
            "backup": str(own),
            "sha256": self.saved["sha256"],
            "revision": self.saved["revision"],
            "stamp": "T1",
            "data_dir": str(self.cluster.data(name)),
            "unit": name,
            "patroni": str(patroni()),
            "patroni_config": str(self.cluster.folder / f"{name}.yml"),
            "timeout_s": 120.0,
            **changed,
        }

    def left(self) -> list[str]:
        """The folders beside the members' data."""
        return sorted(str(path.relative_to(self.cluster.folder)) for path in self.cluster.folder.glob("n?/data.*"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[PatroniCluster]:
    """A healthy cluster."""
    made = PatroniCluster()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def restore(cluster: PatroniCluster) -> Iterator[Restore]:
    """The cluster with a backup."""

    class Process:
        """A member's process in the place of its unit."""

        def __init__(self, name: str) -> None:
            self.name = name

        def loaded(self) -> None:
            """It is there."""

        def forget_failures(self) -> None:
            """It remembers none."""

        def stop(self, _timeout: float) -> None:
            """End the member; n3's Patroni is killed, and its PostgreSQL goes on."""
            if self.name == "n3":
                cluster.processes["n3"].kill()
            cluster.end(self.name)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(postgresql_restore, "Unit", Process)
        yield Restore(cluster)


def test_what_is_refused_changes_nothing(restore: Restore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file, one that ends earlier, a mount, data that was not made ready: the members go on, and nothing is left."""
    with pytest.raises(PostgresqlError, match="expected 0000; nothing was stopped"):
        make_ready(restore.given("n1", sha256="0000"))
    with pytest.raises(PostgresqlError, match=f"the restored backup reaches .*, expected {1 << 60}"):
        make_ready(restore.given("n1", revision=1 << 60))
    with pytest.raises(PostgresqlError, match=r"holds no data; expected it to have been made ready\. Nothing was stopped"):
        put_in_place(restore.given("n1"))
    monkeypatch.setattr(os.path, "ismount", lambda _path: True)
    with pytest.raises(PostgresqlError, match="is a mount of its own"):
        make_ready(restore.given("n2"))
    assert [] == restore.left()
    assert "100001" == restore.cluster.sql("n1", "select count(*) from t", "nodewise")


def test_all_members_take_the_backups_data(restore: Restore) -> None:
    """What was written before it is there, what came after is not, and what the members had is kept."""
    cluster = restore.cluster
    make_ready(restore.given("n1", stamp="T0"))  # a try that was given up
    ready = {name: make_ready(restore.given(name))["ready"] for name in cluster.addresses}
    assert {"n1": f"{cluster.data('n1')}.restored-T1", "n2": None, "n3": None} == ready
    assert ["n1/data.restored-T1"] == restore.left()
    kept = {name: put_in_place(restore.given(name))["kept"] for name in cluster.addresses}
    assert {name: f"{cluster.data(name)}.before-restore-T1" for name in cluster.addresses} == kept
    assert not Path(restore.given("n2")["data_dir"]).exists()
    forget(restore.given("n1"))
    with pytest.raises(PostgresqlError, match="n1 is not the primary after 1 s: "):
        lead(restore.given("n1", timeout_s=1.0))
    for name in cluster.addresses:
        cluster.run(name)
        if name == "n1":
            lead(restore.given("n1"))
    cluster.until("n1", "select count(*) = 2 from pg_stat_replication where state = 'streaming'", 60)
    assert ["kept"] * 3 == [cluster.sql(name, "select word from t", "nodewise") for name in cluster.addresses]
    assert [f"{name}/data.before-restore-T1" for name in cluster.addresses] == restore.left()


def test_a_store_that_cannot_be_reached(restore: Restore) -> None:
    """What it knows cannot be removed, and that is said in one line."""
    with pytest.raises(PostgresqlError, match="what the store knows of the cluster could not be removed: "):
        forget(restore.given("n1", patroni="/nowhere"))
