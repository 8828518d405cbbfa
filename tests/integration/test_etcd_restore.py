"""A real cluster takes the data of a snapshot; what is not the snapshot, or no member's folder, is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.etcd_cluster import EtcdCluster, programs

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd import restore as etcd_restore
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import EtcdError
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.restore import make_ready, put_in_place
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.snapshot import save


class Restore:
    """A cluster, its snapshot, and what came after; the members' processes stand in for their units."""

    def __init__(self, cluster: EtcdCluster, folder: Path, version: str) -> None:
        self.cluster, self.folder, self.version = cluster, folder, version
        cluster.ctl("put", "before", "kept")
        path = str(folder / "snapshot.db")
        self.saved = save({**cluster.options, "member": "n1", "owner": None, "path": path})
        cluster.ctl("put", "after", "lost")
        (folder / "root/releases" / version).mkdir(parents=True)
        (folder / "root/releases" / version / "bin").symlink_to(programs(version))

    def options(self, name: str, **changed: Any) -> dict[str, Any]:
        """The module's parameters on a node."""
        own = self.folder / f"{name}.db"
        own.write_bytes(Path(self.saved["path"]).read_bytes())
        cluster = self.cluster
        return {
            "snapshot": str(own),
            "sha256": self.saved["sha256"],
            "revision": self.saved["revision"],
            "stamp": "T1",
            "member": name,
            "peer_url": cluster.peers[name],
            "token": "restored-T1",
            "data_dir": str(cluster.folder / name),
            "initial_cluster": ",".join(f"{member}={url}" for member, url in cluster.peers.items()),
            "unit": name,
            "root": str(self.folder / "root"),
            "version": self.version,
            "timeout_s": 10.0,
            **changed,
        }

    def left(self) -> list[str]:
        """The folders beside the members' data."""
        return sorted(path.name for path in self.cluster.folder.iterdir() if "." in path.name and path.is_dir())


@pytest.fixture(params=[("3.3.25", "3.3.25"), ("3.4.23", "3.4.23"), ("3.4.23", "3.5.16"), ("3.5.16", "3.5.16")], ids=" to ".join)
def restore(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Restore]:
    """A healthy cluster of one version, to be restored with the same or the next."""
    cluster = EtcdCluster(tmp_path / "cluster", request.param[0])
    cluster.start()

    class Process:
        """A member's process in the place of its unit."""

        def __init__(self, name: str) -> None:
            self.name = name

        def loaded(self) -> None:
            """It is there."""

        def forget_failures(self) -> None:
            """It remembers none."""

        def stop(self, _timeout: float) -> None:
            """End the member."""
            cluster.processes[self.name].terminate()
            cluster.processes[self.name].wait()

    monkeypatch.setattr(etcd_restore, "Unit", Process)
    try:
        cluster.healthy()
        yield Restore(cluster, tmp_path, request.param[1])
    finally:
        cluster.stop()


def test_all_members_take_the_snapshots_data(restore: Restore) -> None:
    """What was written before it is there, what came after is not, and the data from before is kept; it is another cluster."""
    cluster = restore.cluster
    before = cluster.healthy()["cluster"]["id"]
    ready = {name: make_ready(restore.options(name)) for name in cluster.urls}
    assert cluster.healthy()["cluster"]["id"] == before
    kept = {name: put_in_place(restore.options(name))["kept"] for name in ready}
    assert [f"{name}.before-restore-T1" for name in ready] == restore.left() == [Path(path).name for path in kept.values()]
    assert all((Path(path) / "member/snap/db").exists() for path in kept.values())
    cluster.versions = dict.fromkeys(cluster.versions, restore.version)
    cluster.start()
    assert before != cluster.healthy()["cluster"]["id"]
    assert "kept" == cluster.ctl("get", "before", "--print-value-only").strip()
    assert "" == cluster.ctl("get", "after")


def test_what_is_refused_changes_nothing(restore: Restore) -> None:
    """Another file, a damaged one, another revision, a folder that is none or holds no log: the member goes on, nothing is left."""
    with pytest.raises(EtcdError, match="expected 0000; nothing was stopped"):
        make_ready(restore.options("n1", sha256="0000"))
    options = restore.options("n1")
    Path(options["snapshot"]).write_bytes(b"x" + Path(options["snapshot"]).read_bytes()[1:])
    with pytest.raises(EtcdError, match="it is damaged"):
        make_ready(options)
    with pytest.raises(EtcdError, match="and 1 was recorded"):
        make_ready(restore.options("n1", revision=1))
    with pytest.raises(EtcdError, match="is not a folder"):
        make_ready(restore.options("n1", data_dir=str(restore.folder / "nowhere")))
    elsewhere = restore.folder / "elsewhere/member/snap"
    elsewhere.mkdir(parents=True)
    (elsewhere / "db").touch()
    with pytest.raises(EtcdError, match="holds a database and no log"):
        make_ready(restore.options("n1", data_dir=str(restore.folder / "elsewhere")))
    with pytest.raises(EtcdError, match="snapshot restore failed, and said"):
        make_ready(restore.options("n1", member="n9"))
    with pytest.raises(EtcdError, match="expected it to have been made ready"):
        put_in_place(restore.options("n1"))
    assert [] == restore.left()
    restore.cluster.healthy()


def test_a_try_that_was_given_up_leaves_room(restore: Restore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier try made ready goes; where the data folder is a mount all stays inside of it."""
    make_ready(restore.options("n2"))
    assert make_ready(restore.options("n2", stamp="T2"))["ready"].endswith("n2.restored-T2")
    assert ["n2.restored-T2"] == restore.left()
    monkeypatch.setattr(os.path, "ismount", lambda path: path.endswith("/n1"))
    make_ready(restore.options("n1"))
    assert str(restore.cluster.folder / "n1/.before-restore-T1") == put_in_place(restore.options("n1"))["kept"]
    assert [".before-restore-T1", "member"] == sorted(path.name for path in (restore.cluster.folder / "n1").iterdir())
