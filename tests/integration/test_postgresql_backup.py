"""Base backups of a real primary: whole, restored where that is asked for, or refused in one line with nothing left."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.postgresql_cluster import BIN, USER, PostgresqlCluster
from tests.integration.test_smoke import ROOT

from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import FilesError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql import backup, trial
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import PostgresqlError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.backup import save
from nodewise.record.run import Run
from nodewise.record.summary import summarize

MODULE = "ansible_collections.nodewise.cluster.plugins.modules.postgresql_backup"
TABLES = """
create table t as select i, md5(i::text) from generate_series(1, 50000) i;
create table "odd ""name" (i int primary key);
insert into "odd ""name" select generate_series(1, 7);
create materialized view empty as select 1 with no data;
create unlogged table unlogged (i int);
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresqlCluster]:
    """A primary and a replica, with tables and a prepared transaction."""
    made = PostgresqlCluster(("n1", "n2"))
    try:
        made.start()
        made.sql("n1", TABLES, "nodewise")
        made.sql("n1", "begin; insert into t values (0, 'prepared'); prepare transaction 'open';", "nodewise")
        yield made
    finally:
        made.stop()


@pytest.fixture
def given(cluster: PostgresqlCluster) -> Iterator[dict[str, Any]]:
    """The module's parameters on the primary."""
    folder = cluster.folder / "backups"
    yield {
        "members": [
            {"name": name, "host": host, "port": cluster.port, "rest": "http://x"} for name, host in cluster.addresses.items()
        ],
        **dict.fromkeys(("ca", "cert", "key", "passfile", "rest_auth", "owner")),
        "user": "nodewise",
        "database": "nodewise",
        "bin_dir": str(BIN),
        "socket_dir": str(cluster.folder / "n1"),
        "os_user": USER,
        "timeout": 3.0,
        "member": "n1",
        "path": str(folder / "run.tgz"),
        "restore": True,
        "deadline": 200.0,
    }
    shutil.rmtree(folder, ignore_errors=True)


def left(given: dict[str, Any]) -> list[str]:
    """What is in the folder of the backups."""
    folder = Path(given["path"]).parent
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock") if folder.exists() else []


def test_a_backup_is_whole_and_was_restored(cluster: PostgresqlCluster, given: dict[str, Any]) -> None:
    """The file is what its checksum says, has manifest and WAL, reaches the primary's LSN, and every row of it was read."""
    at = int(cluster.sql("n1", "select pg_current_wal_lsn() - '0/0'"))
    made = save(given)
    assert hashlib.sha256(Path(given["path"]).read_bytes()).hexdigest() == made["sha256"]
    assert Path(given["path"]).stat().st_size == made["size"]
    assert at < made["revision"]
    assert (1, cluster.sql("n1", "select system_identifier from pg_control_system()")) == (made["timeline"], made["system"])
    assert {"databases": 3} == {key: value for key, value in made["restored"].items() if key == "databases"}
    assert 50_007 < made["restored"]["rows"]
    with tarfile.open(given["path"]) as archive:
        names = archive.getnames()
    assert {"./backup_manifest", "./backup_label", "./PG_VERSION"} <= set(names)
    assert ["run.tgz"] == left(given)


def test_under_writes_and_new_tables(cluster: PostgresqlCluster, given: dict[str, Any]) -> None:
    """A primary that is written to, and whose tables come and go meanwhile, is backed up and the backup is believed."""
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(0.1):
            cluster.sql("n1", "create table come (i int); insert into t values (1, 'x'); drop table come;", "nodewise")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert 3 == save(given)["restored"]["databases"]
    finally:
        ended.set()
        writer.join()


def test_only_the_newest_is_kept_on_the_node(given: dict[str, Any]) -> None:
    """Backups of earlier runs go once the new one is good, and not before."""
    given["restore"] = False
    assert save(given)["restored"] is None
    with pytest.raises(PostgresqlError, match="took too long; give it more time with nodewise_backup_deadline"):
        save({**given, "path": given["path"].replace("run", "late"), "deadline": 0.0})
    assert ["run.tgz"] == left(given)
    save({**given, "path": given["path"].replace("run", "next")})
    assert ["next.tgz"] == left(given)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"socket_dir": "n2"}, "is a replica; expected the primary"),
        ({"member": "n9"}, "n9 is not among the members"),
        ({"bin_dir": "/nowhere"}, "/nowhere/psql: No such file"),
        ({"owner": "nobody-here"}, "cannot be given to nobody-here: no such user"),
    ],
)
def test_what_is_refused(cluster: PostgresqlCluster, given: dict[str, Any], changed: dict[str, str], says: str) -> None:
    """A replica, a node that is no member, no programs, no such user: one line, and nothing is left."""
    if "socket_dir" in changed:
        changed = {"socket_dir": str(cluster.folder / changed["socket_dir"])}
    refused(given | {"restore": False} | changed, says)


def refused(given: dict[str, Any], says: str) -> None:
    """A backup fails with these words, in one line, and leaves nothing."""
    with pytest.raises((PostgresqlError, FilesError)) as refusal:
        save(given)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert [] == left(given)


def test_data_elsewhere_is_refused(cluster: PostgresqlCluster, given: dict[str, Any]) -> None:
    """Tablespaces do not fit in one file, and are named."""
    place = cluster.folder / "n1/space"
    place.mkdir()
    shutil.chown(place, USER, USER)
    cluster.sql("n1", f"create tablespace elsewhere location '{place}'")
    try:
        refused(given, "there are tablespaces (elsewhere)")
    finally:
        cluster.sql("n1", "drop tablespace elsewhere")


def test_a_full_disk(cluster: PostgresqlCluster, given: dict[str, Any], small: Path) -> None:
    """Room is asked for beforehand; where it runs out nevertheless the file system is as empty as before."""
    given |= {"path": str(small / "run.tgz")}
    refused(given, "MiB free, a backup may need")
    cluster.sql("n1", "select pg_switch_wal()")
    before = shutil.disk_usage(small).used
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(backup.Folder, "_refuse_full", lambda _self: None)
        refused(given, "No space left on device")
    assert before == shutil.disk_usage(small).used


@pytest.fixture
def small(cluster: PostgresqlCluster) -> Iterator[Path]:
    """A file system of 24 MiB."""
    folder = cluster.folder / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0755", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def damage(data: str) -> None:
    """Change a byte of a file that the manifest names."""
    with (Path(data) / "global/pg_filenode.map").open("r+b") as file:
        file.seek(100)
        file.write(b"x")


def test_a_damaged_backup(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not what the manifest says is found before the backup is packed, and again when it is unpacked."""
    verify = backup.verify
    monkeypatch.setattr(backup, "verify", lambda programs, data: (damage(data), verify(programs, data))[1])
    refused(given, "pg_verifybackup: ")
    monkeypatch.setattr(backup, "verify", lambda programs, data: (verify(programs, data), damage(data))[0])
    refused(given, "pg_verifybackup: ")


def lose(*names: str) -> Callable[[Any], None]:
    """Unpack as ever, then lose files, and the manifest with them, which would tell."""
    unpack = trial.Trial.unpack

    def lossy(self: Any) -> None:
        unpack(self)
        for name in names:
            for path in Path(self.data).glob(name):
                path.unlink()

    return lossy


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["pg_wal/0*"], "the restored backup does not start: "),
        (["global/pg_control"], "pg_controldata does not read the restored backup"),
        (["base/*/1259"], "the restored backup does not answer: could not open file"),
    ],
)
def test_what_does_not_start(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, names: list[str], says: str) -> None:
    """Without its WAL, its control file or a catalog a backup is none."""
    monkeypatch.setattr(trial.Trial, "unpack", lose(*names))
    refused(given, says)
    assert not servers(given)


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"system": "4711"}, "expected 4711"),
        ({"reaches": 1 << 60}, f"expected {1 << 60}"),
        ({"expected": {"gone": {1}}}, "the restored backup has no database gone"),
        ({"expected": {"nodewise": {1, 1259}}}, "the restored backup lacks 1 of 2 tables of the database nodewise"),
    ],
)
def test_what_is_another(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, about: dict[str, Any], says: str) -> None:
    """What was restored has to be of this cluster, reach as far, and have every database and table."""
    run = trial.Trial.run

    def other(self: Any, system: str, reaches: int, expected: dict[str, set[int]]) -> dict[str, Any]:
        return run(self, **{"system": system, "reaches": reaches, "expected": expected, **about})

    monkeypatch.setattr(trial.Trial, "run", other)
    refused(given, says)
    assert not servers(given)


def servers(given: dict[str, Any]) -> list[str]:
    """Instances that were started from a restored backup of this cluster and still run."""
    of_ours = f"{Path(given['path']).parents[1]}/.*postgresql.conf$"
    found = subprocess.run(["pgrep", "-af", of_ours], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()


class Running:
    """The module in a process of its own, stopped where its restored instance has just come up."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {key: value for key, value in given.items() if value is not None}})
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self.process.stdin is not None
        self.process.stdin.write(arguments.encode())
        self.process.stdin.close()

    def until(self, reached: Callable[[], Any]) -> None:
        """Wait for something that happens while it runs."""
        deadline = time.monotonic() + 30
        while not reached():
            assert time.monotonic() < deadline
            assert self.process.poll() is None, self.process.stdout and self.process.stdout.read()
            time.sleep(0.01)

    def answer(self) -> dict[str, Any]:
        """What it answered."""
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.read())
        self.process.wait(30)
        return answer


def test_ctrl_c(given: dict[str, Any]) -> None:
    """Called off in the middle, it ends its programs and leaves nothing."""
    running = Running(given)
    running.until(lambda: left(given))
    running.process.send_signal(signal.SIGTERM)
    answer = running.answer()
    assert "no backup: it was called off (signal 15); nothing was kept" == answer["msg"]
    assert ([], []) == (left(given), servers(given))


def test_nobody_waits_any_more(given: dict[str, Any]) -> None:
    """It ends by itself when the connection through which it answers is gone."""
    running = Running(given)
    running.until(lambda: left(given))
    assert running.process.stdout is not None
    running.process.stdout.close()
    running.process.wait(20)
    assert ([], []) == (left(given), servers(given))


def test_kill_9_and_the_next_run(given: dict[str, Any]) -> None:
    """Killed in the middle, its programs end with it, and the next run removes what it left; two at once are refused."""
    running = Running(given)
    running.until(lambda: servers(given))
    os.kill(running.process.pid, signal.SIGSTOP)
    with pytest.raises(PostgresqlError, match="another process makes a backup in"):
        save(given)
    running.process.kill()
    running.process.wait()
    deadline = time.monotonic() + 60
    while servers(given):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert ["making"] == left(given)
    given["restore"] = False
    save(given)
    assert ["run.tgz"] == left(given)


def test_the_module_relies_on_evidence(cluster: PostgresqlCluster, given: dict[str, Any]) -> None:
    """With evidence nothing is made; without a good one the module fails, and says what was found."""
    system = int(cluster.sql("n1", "select system_identifier from pg_control_system()"))
    told = [
        {
            "name": "main",
            "status": {"code": 0, "message": "ok"},
            "db": [{"id": 1, "repo-key": 1, "system-id": system}],
            "backup": [
                {"label": "1F", "error": False, "database": {"id": 1, "repo-key": 1}, "timestamp": {"stop": int(time.time()) - 60}}
            ],
        }
    ]
    answer = Running({**given, "evidence": f"echo '{json.dumps(told)}'"}).answer()
    assert ["pgBackRest", "1F", False] == [answer["evidence"]["tool"], answer["evidence"]["label"], answer["changed"]]
    answer = Running({**given, "evidence": f"echo '{json.dumps(told)}'", "max_age": 5.0}).answer()
    assert answer["msg"].startswith("no backup to rely on (nodewise_backup_evidence): the newest backup of pgBackRest ended at ")
    assert [] == left(given)


def test_the_copy_on_the_controller(given: dict[str, Any], tmp_path: Path) -> None:
    """The action copies the file into the run's folder, holds it against its checksum and tells the journal; so is evidence."""
    run = Run.create(tmp_path / "run", kind="upgrade", cluster="demo")
    ended = act(given, run)
    assert 0 == ended.returncode, ended.stdout
    ended = act({**given, "evidence": "date +%s"}, run)
    assert 0 == ended.returncode, ended.stdout
    copied, relied = summarize(run)["backups"]
    assert str(run.folder / "backup/n1.tgz") == copied["copy"]
    assert hashlib.sha256(Path(copied["copy"]).read_bytes()).hexdigest() == copied["sha256"]
    assert ["the declared tool", ""] == [relied["evidence"][key] for key in ("tool", "label")]
    ended = act({**given, "evidence": "exit 4"}, run)
    assert "no backup to rely on (nodewise_backup_evidence): the command ended with 4" in ended.stdout
    assert 2 == len(summarize(run)["backups"])


def act(given: dict[str, Any], run: Run) -> subprocess.CompletedProcess[str]:
    """Run the action on a host n1 that is this machine."""
    arguments = {key: value for key, value in given.items() if value is not None}
    task = {"module": "nodewise.cluster.postgresql_backup", "args": arguments, "folder": str(run.folder / "backup")}
    play = {"hosts": "n1", "gather_facts": False, "vars": {"nodewise_run": {"dir": str(run.folder)}}}
    file = run.folder / "play.yml"
    file.write_text(json.dumps([{**play, "tasks": [{"nodewise.cluster.backup": task}]}]))
    host = ["-i", "n1,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    command = [Path(sys.executable).with_name("ansible-playbook"), file, *host]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
