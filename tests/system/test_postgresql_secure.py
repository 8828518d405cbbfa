"""What a PostgreSQL upgrade relies on before the first change, and the way back to it, on a real cluster by ansible-playbook."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.postgresql_cluster import OLD, Cluster, healthy, made

pytestmark = pytest.mark.slow  # three whole upgrades

STANZA = """import json, time; print(json.dumps([{"name": "main", "status": {"code": 0, "message": "ok"},
"db": [{"id": 1, "repo-key": 1, "system-id": SYSTEM}], "backup": [{"label": "20260101-000000F", "error": False,
"database": {"id": 1, "repo-key": 1}, "timestamp": {"stop": int(time.time()) - AGE}}]}]))"""


@pytest.fixture(scope="module")
def cluster(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:  # noqa: ARG001
    """Three members of the old minor, with data."""
    with made(tmp_path_factory.mktemp("runs")) as one:
        yield one


def evidence(cluster: Cluster, age: int) -> str:
    """A command that tells of a backup of this cluster as pgBackRest does."""
    system = cluster.sql(cluster.names[0], "select system_identifier from pg_control_system()")
    return "python3 -c '" + STANZA.replace("SYSTEM", system).replace("AGE", str(age)) + "'"


def test_no_evidence_no_upgrade(cluster: Cluster) -> None:
    """A backup that is too old ends the run refused, with what was found, and nothing was changed."""
    reason = cluster.refuse(nodewise_backup_evidence=evidence(cluster, 90_000))
    assert "no backup to rely on (nodewise_backup_evidence): the newest backup of pgBackRest ended at " in reason
    assert "25.0 h ago; expected 24 h at most: make one, or raise nodewise_backup_max_age" in reason


def test_there_and_back(cluster: Cluster) -> None:
    """An upgrade with smoke suites keeps a backup; playbooks/restore.yml says what is lost by it, and has all members take it."""
    cluster.sql(cluster.leader(), "create table nodewise.went (word text); insert into nodewise.went values ('kept')", "nodewise")
    ended = cluster.upgrade(nodewise_suite="postgresql")
    assert "upgraded" == ended.outcome, ended.said
    assert 0 == ended.summary["smoke"]["failed"]
    (backup,) = ended.summary["backups"]
    assert [OLD, 3] == [backup["version"], backup["restored"]["databases"]]
    cluster.sql(cluster.leader(), "insert into nodewise.went values ('lost')", "nodewise")
    before = cluster.look()
    asked = cluster.play("restore", nodewise_backup=backup["copy"])
    assert 2 == asked.code
    assert re.search(r"Lost is everything written since \S+ bytes of the log \d+ to \d+, \d+ of them", asked.said)
    assert f"Nothing was touched. To do it: -e nodewise_confirm={cluster.net.name}" in asked.said
    assert before == cluster.look()
    done = cluster.play("restore", nodewise_backup=backup["copy"], nodewise_confirm=cluster.net.name)
    assert 0 == done.code, done.said
    assert "the data from before is in /var/lib/nodewise/postgresql/data.before-restore-" in done.said
    healthy(cluster)
    assert ["kept"] * 3 == [cluster.sql(node, "select word from nodewise.went", "nodewise") for node in cluster.names]
    assert {OLD} == {cluster.version(node) for node in cluster.names}
    cluster.takes_writes(cluster.names[0])
    assert cluster.data_whole()


def test_evidence_is_relied_on(cluster: Cluster) -> None:
    """With a backup of another tool none is made, and the summary says which it was."""
    began = time.time()
    ended = cluster.upgrade(nodewise_backup_evidence=evidence(cluster, 60))
    assert "upgraded" == ended.outcome, ended.said
    (seen,) = (one["evidence"] for one in ended.summary["backups"])
    assert ["pgBackRest", "20260101-000000F"] == [seen["tool"], seen["label"]]
    assert 60 <= seen["age_s"] < 60 + time.time() - began
    assert not (ended.folder / "backup").exists()
    assert "backup    that of pgBackRest 20260101-000000F" in ended.said
