"""What a restart would bring up: each difference is named with both values, and what differs by right is none.

A case is what one of tests/cases/restart/recorded was on a testnet, with what its situation changes: `null` takes away.
"""

from __future__ import annotations

import copy
import fnmatch
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.host import command, environment
from ansible_collections.nodewise.cluster.plugins.module_utils.host.disk import Disk, Entry, changed, way
from ansible_collections.nodewise.cluster.plugins.module_utils.node import restart, service

FOLDER = Path(__file__).parents[1] / "cases" / "restart"
CASES = sorted(FOLDER.glob("*.json"))
LINK = {"etcd": "/opt/nodewise/etcd/current", "patroni": "/opt/nodewise/patroni/current"}
REREAD = {"etcd": ["cert-file", "key-file"], "patroni": ["/etc/nodewise/postgresql/patroni.d/90-tags.yml"]}


class Recorded(Disk):
    """A disk as it was recorded; what was not is not there, but for the folders above."""

    def __init__(self, files: dict[str, Any], identities: dict[int, list[int]]) -> None:
        self.files, self.identities = files, identities

    def entry(self, path: str) -> Entry | None:
        """What was at a path."""
        if (found := self.files.get(path)) is None:
            return Entry("folder", 0.0) if any(name.startswith(f"{path}/") for name in self.files) else None
        identity = tuple(found.get("identity", (1, hash(path))))
        return Entry(found["kind"], found["changed"], found.get("touched", 0.0), identity, found.get("target", ""))

    def identity(self, pid: int) -> tuple[int, int]:
        """Device and inode of what a process ran."""
        device, inode = self.identities[pid]
        return device, inode

    def names(self, folder: str) -> list[str]:
        """What was in a folder."""
        return list(self.files[folder]["names"])

    def matching(self, pattern: str) -> list[str]:
        """The paths that a pattern stands for."""
        return fnmatch.filter(sorted(self.files), pattern)

    def text(self, path: str) -> str:
        """What a file said."""
        found = self.files[path]
        if "error" in found:
            raise PermissionError(13, found["error"], path)
        return str(found.get("text", ""))

    def head(self, path: str) -> bytes:
        """How it began."""
        found = self.files[way(self, path)[-1][0]]
        return b"\x7fELF" if found.get("program") else self.text(way(self, path)[-1][0]).encode()

    def sha256(self, path: str) -> str:
        """Its checksum; all that is not said is the same."""
        end = way(self, path)[-1][0]
        return str(self.files.get(end, {}).get("sha256", "0123456789abcdef"))


def merged(base: Any, change: Any) -> Any:
    """A value with a change in it: of dicts each key by itself."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    both = {key: merged(base.get(key), value) for key, value in change.items()}
    return {key: value for key, value in {**base, **both}.items() if value is not None}


def case(path: Path) -> dict[str, Any]:
    """A recorded process and unit, with what the situation changes."""
    given = json.loads(path.read_text())
    recorded = json.loads((FOLDER / "recorded" / f"{given['of']}.json").read_text())
    made: dict[str, Any] = merged(copy.deepcopy(recorded), {key: given.get(key, {}) for key in recorded if key != "manager"})
    return {**made, **{key: given[key] for key in ("of", "manager", "expected", "exec_start", "config") if key in given}}


def seen(given: dict[str, Any]) -> tuple[service.Unit, service.Process, Recorded]:
    """The evidence of a case."""
    process = given["process"]
    arguments = process.get("arguments") or process["cmdline"].split("\0")[:-1]
    variables = {**environment.from_block(process["environ"].encode()), **process.get("variables", {})}
    gone = {int(pid): name for pid, name in process.get("gone", {}).items()}
    of_it = service.Process(process["pid"], process["started"], arguments, variables, process["exe"], gone)
    identities = {process["pid"]: process["identity"], **{pid: [0, 0] for pid in gone}}
    unit = service.Unit(given["of"], given["properties"], environment.from_manager(given["manager"]))
    return unit, of_it, Recorded(given["disk"], identities)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_differences(path: Path) -> None:
    """Each difference in a line with both values; none where a restart would bring up what runs."""
    given = case(path)
    unit, process, disk = seen(given)
    found = restart.Comparison(unit, process, disk, REREAD[given["of"]], given.get("config", [])).made()
    assert given["expected"] == [f"{one['what']}: now {one['runs']}, after a restart {one['restart']}" for one in found]
    assert given.get("exec_start", "") == restart.through(unit, disk, LINK[given["of"]], f"{LINK[given['of']]}/bin/etcd", process)


def test_hashes_tell_differences_apart() -> None:
    """One that is accepted by its hash is exactly that one: another value, and another secret, has another hash."""

    def hashes(value: str) -> list[str]:
        given = case(FOLDER / "a-secret-in-an-environment-file.json")
        given["disk"]["/etc/default/etcd"]["text"] = f"ETCD_TOKEN={value}\n"
        unit, process, disk = seen(given)
        return [one["hash"] for one in restart.Comparison(unit, process, disk, [], []).made()]

    assert hashes("one") == hashes("one")
    assert hashes("one") != hashes("two")


def test_a_hash_stays_the_same_between_two_looks() -> None:
    """Also where the clocks say of one process that it began some microseconds apart."""
    given = case(FOLDER / "a-configuration-that-changed.json")
    unit, process, disk = seen(given)
    looks = [process._replace(started=process.started + moment) for moment in (0, 0.0007, 0.003)]
    assert len({restart.Comparison(unit, look, disk, [], []).made()[0]["hash"] for look in looks}) == 1


def differences(program: Path, arguments: list[str], pid: int, **properties: list[str]) -> list[str]:
    """What a restart of a real process of ours would bring up."""
    line = " ".join([str(program), *arguments])
    of_unit = {
        "Type": ["simple"],
        "ExecStart": [f"{{ path={program} ; argv[]={line} ; ignore_errors=no ; pid=0 ; }}"],
        **properties,
    }
    unit = service.Unit("ours", of_unit, {"PATH": os.environ["PATH"]})
    return [one["what"] for one in restart.Comparison(unit, service.look(pid, time.time(), "/none"), Disk(), [], []).made()]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[tuple[Path, Path, int]]:
    """A real process of a program of its own, which was given a configuration: program, configuration, pid."""
    program, config = tmp_path / "sleep", tmp_path / "60"
    shutil.copy("/bin/sleep", program)
    config.touch()
    os.utime(config, (1000, 1000))
    with subprocess.Popen([program, "60"], env={"PATH": os.environ["PATH"], "SHELL": "/bin/sh"}) as process:
        # The kernel knows the program before it has the arguments and the environment.
        about = Path(f"/proc/{process.pid}")
        while (about / "exe").readlink() != program or not all((about / name).read_bytes() for name in ("cmdline", "environ")):
            time.sleep(0.01)
        yield program, config, process.pid
        process.kill()


def test_a_real_process(sleeper: tuple[Path, Path, int]) -> None:
    """What the kernel says of one is compared: nothing differs, then its arguments do, its environment, and its program."""
    program, _, pid = sleeper
    assert [] == differences(program, ["60"], pid)
    assert ["its arguments differ"] == differences(program, ["61"], pid)
    assert ["its variable A differs"] == differences(program, ["60"], pid, Environment=["A=1"])
    fresh = program.with_name("fresh")
    shutil.copy("/bin/sleep", fresh)
    fresh.replace(program)
    assert [] == differences(program, ["60"], pid)
    shutil.copy("/bin/true", fresh)
    fresh.replace(program)
    assert ["its program differs"] == differences(program, ["60"], pid)
    program.unlink()
    assert ["its program differs"] == differences(program, ["60"], pid)


def test_a_real_file_behind_a_link(tmp_path: Path) -> None:
    """A path is as new as its file or any link on the way, whichever was written last; it leads nowhere when these go round."""
    (tmp_path / "folder").mkdir()
    file, link = tmp_path / "folder/file", tmp_path / "link"
    file.touch()
    link.symlink_to("folder/../folder")
    for path, moment in ((file, 1000), (link, 2000)):
        os.utime(path, (moment, moment), follow_symlinks=False)
    disk, named = Disk(), str(link / "file")
    assert (2000.0, 1000.0) == (changed(disk, named), changed(disk, str(file)))
    assert [str(link), str(file)] == [path for path, _ in way(disk, named)]
    os.utime(file, (3000, 3000))
    assert changed(disk, named) == 3000.0
    link.unlink()
    link.symlink_to("link")
    assert way(disk, named)[-1][1] is None
    assert way(disk, str(tmp_path / "missing/file"))[-1][1] is None


def test_a_unit_of_which_systemd_does_not_say_what_it_runs() -> None:
    """Is unknown, and a difference."""
    unit, process, disk = seen({**case(FOLDER / "etcd-as-provisioned.json"), "properties": {}})
    found = restart.Comparison(unit, process, disk, [], []).made()
    assert "systemd does not say what etcd runs (ExecStart)" in found[0]["restart"]
    with pytest.raises(ValueError, match="ExecStart"):
        restart.through(unit, disk, "/x", "/x/bin/y", process)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\n# A=2\n; A=3\n\nB = x y \n", {"A": "1", "B": "x y"}),
        ('A="x y"\nB=\'$HOME "\'\nC="a\\"b\\\\c\\d"\nD=a\\ b\n', {"A": "x y", "B": '$HOME "', "C": 'a"b\\c\\d', "D": "a b"}),
        ("A=1 \\\n2\nB=3\n", {"A": "1 2", "B": "3"}),
        ('A="1\n2"\nB=3\n', {"A": "1\n2", "B": "3"}),
        ("export A=1\n1A=2\nA B=3\n=4\nC\n", {}),
        ("A=\nA=2", {"A": "2"}),
    ],
)
def test_environment_files(text: str, expected: dict[str, str]) -> None:
    """Read as systemd reads them: what it would pass over is passed over."""
    assert expected == environment.from_file(text)


def test_environment_of_a_unit_and_of_the_manager() -> None:
    """As systemctl 252 prints them."""
    assert {"A": "1", "B": "x y", "C": 'it"s $HOME \\ z'} == environment.from_property(r'A=1 "B=x y" "C=it\"s \$HOME \\ z"')
    assert {"LANG": "C.UTF-8", "A": "x y"} == environment.from_manager("LANG=C.UTF-8\nA=$'x y'\n")


@pytest.mark.parametrize(
    ("name", "hidden"),
    [("PGPASSWORD", True), ("ETCD_AUTH_TOKEN", True), ("API_KEY", True), ("ETCD_KEY_FILE", False), ("ETCD_NAME", False)],
)
def test_names_that_smell_of_a_secret(name: str, hidden: bool) -> None:
    """A path to a secret is none."""
    assert hidden is environment.secret(name)


def test_secrets_in_arguments_are_not_shown() -> None:
    """Neither in an option, nor after it, nor in a URL."""
    line = "/x --password=a --auth-token b --db postgres://u:c@h/d --key-file /k --client-cert-auth --name n"
    assert "/x --password=… --auth-token … --db postgres://…@h/d --key-file /k --client-cert-auth --name n" == command.masked(line)


@pytest.mark.parametrize(
    ("span", "expected"), [("1min 30s", 90.0), ("60s", 60.0), ("1h", 3600.0), ("500ms", 0.5), ("2min 3s 4ms", 123.004)]
)
def test_time_spans(span: str, expected: float) -> None:
    """As systemctl prints them."""
    assert expected == pytest.approx(service.seconds(span))


@pytest.mark.parametrize("text", ["", "soon", "5 parsecs"])
def test_what_is_no_time_span(text: str) -> None:
    """Is refused, and not taken for none."""
    with pytest.raises(ValueError, match="no time span"):
        service.seconds(text)


BEFORE = "{ path=/bin/true ; argv[]=/bin/true ; ignore_errors=no ; pid=0 ; }"


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"Type": ["notify"], "TimeoutStartUSec": ["1min 30s"]}, ("TimeoutStartSec", 90.0)),
        ({"Type": ["notify"], "TimeoutStartUSec": ["infinity"], "JobTimeoutUSec": ["infinity"]}, None),
        ({"Type": ["simple"], "TimeoutStartUSec": ["1min 30s"]}, None),
        ({"Type": ["simple"], "TimeoutStartUSec": ["1min 30s"], "ExecStartPre": [BEFORE]}, ("TimeoutStartSec", 90.0)),
        ({"Type": ["notify"], "TimeoutStartUSec": ["5min"], "JobRunningTimeoutUSec": ["10s"]}, ("JobRunningTimeoutSec", 10.0)),
    ],
)
def test_what_ends_a_start(properties: dict[str, list[str]], expected: tuple[str, float] | None) -> None:
    """The sooner one of those that end a start; a start that nothing is waited for in takes no time."""
    assert expected == service.Unit("etcd", properties, {}).limit()
