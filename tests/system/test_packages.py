"""Packages of a release on a node with a real systemd, apt and dpkg: staged, installed between stop and start, and put back.

The packages are made here. Each has a service of its own that its scripts start, as Debian's do, to see what they may do.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import secrets
import shlex
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodewise.releases import pypi
from nodewise.testnet import lifecycle
from nodewise.testnet.podman import Podman
from nodewise.testnet.request import Request
from tests.system.host import PLACE, Host

UNIT = "[Service]\nExecStart=/usr/bin/sleep 100000\n"
OWN = "[Service]\nExecStart=/usr/bin/sleep 200000\n[Install]\nWantedBy=multi-user.target\n"
# What debhelper writes for a service, in short; and time to be killed in.
POSTINST = """#!/bin/sh
set -e
[ ! -e /var/tmp/slow ] || { touch /var/tmp/inside; sleep 10; }
deb-systemd-helper enable demo-own.service
systemctl --system daemon-reload
deb-systemd-invoke restart demo-own.service
"""
PRERM = "#!/bin/sh\ndeb-systemd-invoke stop demo-own.service\n"
BASE = {"Architecture": "all", "Maintainer": "Nodewise <nodewise@example.org>", "Description": "for a test"}
# As soon as a script runs: the module that called dpkg, dpkg, and the script.
KILLER = """until [ -e /var/tmp/inside ]; do sleep 0.1; done
dpkg=$(pgrep -ox dpkg); kill -9 $(ps -o ppid= -p $dpkg) $dpkg; pkill -9 -f demo.postinst; rm /var/tmp/slow"""
POLICY = "#!/bin/sh\n# the operator's own\nexit 0\n"


def built(folder: Path, name: str, version: str, files: dict[str, str], scripts: dict[str, str], **fields: str) -> None:
    """A Debian package in the archive."""
    root = folder / "build" / f"{name}-{version}"
    control = {"Package": name, "Version": version, **BASE, **{key.replace("_", "-"): value for key, value in fields.items()}}
    written = {f"DEBIAN/{script}": text for script, text in scripts.items()}
    written["DEBIAN/control"] = "".join(f"{key}: {value}\n" for key, value in control.items())
    for path, text in {**files, **written}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        (root / path).chmod(0o755 if path.startswith("DEBIAN/p") else 0o644)
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(root), str(folder / "repo" / f"{name}_{version}_all.deb")]
    subprocess.run(command, check=True, capture_output=True)


def archive(folder: Path) -> Path:
    """An archive with all versions of the demo, and its index."""
    repo = folder / "repo"
    repo.mkdir()
    own, scripts = {"lib/systemd/system/demo-own.service": OWN}, {"postinst": POSTINST, "prerm": PRERM}
    for version in ("1.0-1", "1.1-1"):
        files = {**own, "usr/lib/demo/version": version}
        built(folder, "demo", version, files, scripts, Depends="demo-lib, init-system-helpers")
    # As an index sees versions, which ones are no good: one has no room, one removes and one changes what is there.
    built(folder, "demo", "1.2-1", {**own, "usr/lib/demo/big": "x" * (8 << 20)}, scripts, Depends="demo-lib")
    built(folder, "demo", "1.3-1", own, scripts, Conflicts="sudo")
    built(folder, "demo", "1.4-1", own, scripts, Depends="demo-lib (>= 2)")
    for version in ("1-1", "2-1"):
        built(folder, "demo-lib", version, {"usr/share/demo-lib/version": version}, {})
    index(repo)
    return repo


def index(repo: Path, without: str = "none") -> None:
    """Write the archive's index anew."""
    stanzas = []
    for file in sorted(repo.glob("*.deb")):
        if without in file.name:
            continue
        fields = subprocess.run(["dpkg-deb", "--field", str(file)], check=True, capture_output=True, text=True).stdout
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        stanzas.append(f"{fields}Filename: ./{file.name}\nSize: {file.stat().st_size}\nSHA256: {sha256}\n")
    (repo / "Packages").write_text("\n".join(stanzas))
    (repo / "Packages.gz").write_bytes(gzip.compress((repo / "Packages").read_bytes()))


class Demo(Host):
    """The node, with an archive of its own."""

    repo: Path

    def send(self) -> None:
        """Have the archive on the node as it is here."""
        node = self.net.nodes[0].name
        self.shell("rm -rf /srv/demo; mkdir -p /srv")
        copy = ["podman", "cp", str(self.repo), f"{node}:/srv/demo"]
        subprocess.run(Podman()._words(*copy[1:]), check=True, capture_output=True)

    def stage(self, version: str, **arguments: Any) -> dict[str, Any]:
        """What release_stage returned for a demo of that version, of which only the name is known."""
        artifact = {"kind": "package", "url": "", "sha256": "", "package": f"demo={version}-1"}
        return self.ask("release_stage", **PLACE, version=version, artifacts=[artifact], binaries={}, **arguments)

    def installed(self) -> str:
        """Selection, state and version of the demo in dpkg's view, which must be whole."""
        assert self.shell("dpkg --audit") == ""
        return self.shell("dpkg-query -Wf '${db:Status-Abbrev}${Version}' demo")

    def own(self) -> str:
        """How the package's own service is."""
        return self.shell("systemctl is-active demo-own || true").strip()


@pytest.fixture(scope="module")
def made(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:  # noqa: ARG001  (is made in that home)
    """A node whose package manager knows the archive, and nothing else, with both good versions staged."""
    folder = tmp_path_factory.mktemp("packages")
    net = lifecycle.up(Request(f"t{secrets.token_hex(3)}", nodes=1))
    try:
        demo = Demo(net, folder)
        demo.repo = archive(folder)
        demo.send()
        demo.shell("echo 'deb [trusted=yes] file:/srv/demo ./' > /etc/apt/sources.list")
        demo.unit(UNIT)
        for version in ("1.0", "1.1"):
            answer = demo.stage(version)
            assert answer.get("packages") == {"demo-lib": "2-1", "demo": f"{version}-1"}, answer
        yield demo
    finally:
        lifecycle.down(net.name)


@pytest.fixture
def demo(made: Demo) -> Iterator[Demo]:
    """The node with the old version; what a test broke is repaired afterwards."""
    answer = made.switch("1.0")
    assert answer.get("active") == "active", answer
    yield made
    made.shell(
        "rm -f /var/tmp/slow /var/tmp/inside /usr/sbin/policy-rc.d; umount -q /usr/lib/demo || true; pkill -9 '[d]pkg' || true"
    )
    made.switch("1.0")
    made.shell("systemctl stop demo-own || true")


def test_there_and_back(demo: Demo) -> None:
    """What dpkg has installed, held, is what the link leads to; an unchanged node is left alone."""
    assert "hi 1.0-1" == demo.installed()
    first = demo.switch("1.1")
    assert (True, "1.0", "active") == (first["changed"], first["previous"], first["active"])
    assert ("hi 1.1-1", "1.1-1", "releases/1.1") == (demo.installed(), demo.shell("cat /usr/lib/demo/version"), demo.linked())
    again = demo.switch("1.1")
    assert (False, first["pid"]) == (again["changed"], again["pid"])
    assert demo.switch("1.0")["changed"]
    assert ("hi 1.0-1", "1.0-1") == (demo.installed(), demo.shell("cat /usr/lib/demo/version"))


@pytest.mark.slow
def test_what_the_manager_says(demo: Demo) -> None:
    """What is offered, installed and held is told, and what cannot be read is null with an error."""
    demo.shell("apt-mark unhold demo")
    said = demo.ask("node_info", **PLACE, packages=["demo=1.1", "nothing-like-it"])
    assert said["packages"] is None or said["packages"]["offered"]["nothing-like-it"] == []
    told = demo.ask("node_info", **PLACE, packages=["demo"])["packages"]
    offered = [(one["version"], one["upstream"]) for one in told["offered"]["demo"]]
    assert [(f"1.{minor}-1", f"1.{minor}") for minor in (4, 3, 2, 1, 0)] == offered
    assert ("apt", {"demo": "1.0-1"}, []) == (told["manager"], told["installed"], told["held"])
    assert hashlib.sha256((demo.repo / "demo_1.4-1_all.deb").read_bytes()).hexdigest() == told["offered"]["demo"][0]["sha256"]
    # Held again, and for that alone nothing is restarted.
    before, answer = demo.pid(), demo.switch("1.0")
    assert (True, before) == (answer["changed"], answer["pid"])
    assert ["demo"] == demo.ask("node_info", **PLACE, packages=["demo"])["packages"]["held"]
    demo.shell("mv /etc/apt/sources.list /var/tmp/; rm -rf /var/cache/nodewise")
    broken = demo.ask("node_info", **PLACE, packages=["demo"])
    demo.shell("mv /var/tmp/sources.list /etc/apt/; touch /etc/apt/sources.list")
    assert broken["packages"] is None or broken["packages"]["offered"] == {"demo": []}


@pytest.mark.slow
def test_nothing_is_started_or_stopped(demo: Demo) -> None:
    """A package's scripts start and stop its service when dpkg runs them, but neither when we do; the node's own policy stays."""
    demo.shell("dpkg -i --force-downgrade /srv/demo/demo_1.0-1_all.deb")
    assert "active" == demo.own()  # or this test could not fail
    was = demo.shell("systemctl show -P MainPID demo-own")
    demo.shell(f"printf '%s' {shlex.quote(POLICY)} > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d")
    policy = demo.shell("cat /usr/sbin/policy-rc.d; stat -c '%i %Y' /usr/sbin/policy-rc.d")
    assert demo.switch("1.1")["changed"]
    assert was == demo.shell("systemctl show -P MainPID demo-own")
    demo.shell("systemctl stop demo-own")
    assert demo.switch("1.0")["changed"]
    assert "inactive" == demo.own()
    assert policy == demo.shell("cat /usr/sbin/policy-rc.d; stat -c '%i %Y' /usr/sbin/policy-rc.d")
    assert "policy-rc.d\n" == demo.shell("ls /usr/sbin | grep policy")


@pytest.mark.slow
def test_killed_in_the_middle(demo: Demo) -> None:
    """Dpkg and its caller killed while a script runs: the same command again ends the work, and sweeps; so does going back."""
    for version in ("1.0", "1.1"):
        demo.shell("rm -f /var/tmp/inside; touch /var/tmp/slow /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d")
        demo.shell(f"systemd-run --quiet sh -c {shlex.quote(KILLER)}")
        broken = demo.switch("1.1")
        assert not broken.get("active"), broken
        assert "demo" in demo.shell("dpkg --audit")
        assert "policy-rc.d.nodewise-saved" in demo.shell("ls /usr/sbin")
        answer = demo.switch(version)
        assert answer.get("active") == "active", answer
        assert (f"hi {version}-1", "policy-rc.d\n") == (demo.installed(), demo.shell("ls /usr/sbin | grep policy"))


@pytest.mark.slow
def test_no_room(demo: Demo) -> None:
    """A disk that is full while packages are installed leaves the unit stopped; going back works, and so does the same again."""
    assert demo.stage("1.2").get("staged")
    demo.shell("mount -t tmpfs -o size=1m tmpfs /usr/lib/demo && echo 1.0-1 > /usr/lib/demo/version")
    answer = demo.switch("1.2")
    assert "dpkg could not install demo_1.2-1_all.deb" in answer["msg"]
    assert "No space left on device" in answer["msg"]
    assert "demo was left stopped, and /opt/nodewise/demo/current was not changed" in answer["msg"]
    assert len(answer["msg"].splitlines()) <= 2
    assert demo.switch("1.0")["active"] == "active"
    assert "hi 1.0-1" == demo.installed()
    demo.shell("umount /usr/lib/demo")
    assert demo.switch("1.2")["active"] == "active"
    assert "hi 1.2-1" == demo.installed()


@pytest.mark.slow
def test_refused_before_anything_stops(demo: Demo) -> None:
    """What would remove or change other packages, is not to be had, or finds the manager busy is refused; all goes on."""
    before = demo.pid()
    assert "would remove sudo" in demo.stage("1.3")["msg"]
    demo.shell("dpkg -i --force-downgrade /srv/demo/demo-lib_1-1_all.deb")
    said = demo.stage("1.4")["msg"]
    assert "needs another version of what is installed (demo-lib=2-1)" in said
    demo.shell("dpkg -i /srv/demo/demo-lib_2-1_all.deb")
    gone = demo.stage("9.9")
    assert "demo 9.9-1 is neither offered to this node nor in /var/cache/apt/archives/*.deb" in gone["msg"]
    optional = demo.stage("9.9", optional=True)
    assert (False, False) == (optional["changed"], optional["staged"])
    assert "neither offered" in optional["says"]
    lock = "import fcntl,time; f=open('/var/lib/dpkg/lock-frontend','w'); fcntl.lockf(f,2); time.sleep(60)"
    demo.shell(f"systemd-run --quiet --unit=busy python3 -c {lock!r}; sleep 0.5")
    busy = demo.switch("1.1", timeout_s=2)
    demo.shell("systemctl stop busy")
    assert "/var/lib/dpkg/lock-frontend is held by another package manager" in busy["msg"]
    assert (before, "hi 1.0-1", "releases/1.0") == (demo.pid(), demo.installed(), demo.linked())


@pytest.mark.slow
def test_what_no_longer_fits(demo: Demo) -> None:
    """A release whose packages fitted when they were staged is refused when they do not any more, before anything stops."""
    assert demo.stage("1.4")["staged"]
    demo.shell("dpkg -i --force-downgrade /srv/demo/demo-lib_1-1_all.deb")
    before = demo.pid()
    for refused in (demo.stage("1.4"), demo.switch("1.4")):
        assert "demo : Depends: demo-lib (>= 2) but 1-1 is to be installed: install that first" in refused["msg"]
    assert (before, "hi 1.0-1", "releases/1.0") == (demo.pid(), demo.installed(), demo.linked())
    demo.shell("dpkg -i /srv/demo/demo-lib_2-1_all.deb")
    assert not demo.stage("1.4")["changed"]
    assert demo.switch("1.4")["active"] == "active"
    assert "hi 1.4-1" == demo.installed()


@pytest.mark.slow
def test_archives_that_do_not_answer(demo: Demo) -> None:
    """What is staged is installed without any archive, and without an index."""
    demo.shell("mv /etc/apt/sources.list /srv/demo /var/cache/nodewise /var/tmp")
    try:
        assert demo.switch("1.1")["active"] == "active"
    finally:
        demo.shell("cd /var/tmp; mv sources.list /etc/apt; mv demo /srv; mv nodewise /var/cache; touch /etc/apt/sources.list")
    assert "hi 1.1-1" == demo.installed()


@pytest.mark.slow
def test_kept_files(demo: Demo) -> None:
    """A kept package that is damaged is not installed, and is staged anew although its version runs."""
    before = demo.pid()
    for version in ("1.0", "1.1"):
        demo.shell(f"echo x >> /opt/nodewise/demo/releases/{version}/files/demo_{version}-1_all.deb")
        assert f"{version} is damaged: files/demo_{version}-1_all.deb" in demo.switch(version)["msg"]
        assert demo.stage(version)["changed"]
    assert before == demo.pid()
    assert demo.switch("1.1")["changed"]


@pytest.mark.slow
def test_no_longer_offered(demo: Demo) -> None:
    """The version that runs, which nobody offers any more, is taken from the manager's own cache; a staged one as it is."""
    index(demo.repo, without="demo_1.0")
    demo.send()
    demo.shell("rm -rf /var/cache/nodewise")
    assert demo.stage("1.0")["says"] == ""
    demo.shell("rm -rf /opt/nodewise/demo/releases/1.0")
    assert "demo 1.0-1 is neither offered" in demo.stage("1.0")["msg"]
    demo.shell("cp /srv/demo/demo_1.0-1_all.deb /var/cache/apt/archives/")
    assert demo.stage("1.0")["changed"]
    demo.shell("rm /var/cache/apt/archives/*.deb")
    index(demo.repo)
    demo.send()


def wheel(version: str) -> dict[str, Any]:
    """An artifact that the controller has in its cache, and no index."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("hello/__init__.py", f"VERSION = {version!r}\n")
        archive.writestr(f"hello-{version}.data/purelib/more.py", "import hello\n")
    sha256, name = hashlib.sha256(packed.getvalue()).hexdigest(), f"hello-{version}-py3-none-any.whl"
    (pypi.folder() / "files" / sha256).mkdir(parents=True, exist_ok=True)
    (pypi.folder() / "files" / sha256 / name).write_bytes(packed.getvalue())
    return {"kind": "wheel", "url": f"wheel:{name}", "sha256": sha256, "package": f"hello={version}"}


@pytest.mark.slow
def test_wheels_are_shipped(made: Demo) -> None:
    """What the controller has is staged on a node that has no index; nothing of the way there stays; damage is seen."""
    place, artifact = "/opt/nodewise/hello", wheel("1.0")
    words: dict[str, Any] = {"root": place, "version": "1.0", "artifacts": [artifact], "binaries": {}}
    assert made.ask("release_stage", check=True, **words)["changed"]
    assert (True, True) == tuple(made.ask("release_stage", **words).get(key) for key in ("changed", "staged"))
    assert not made.ask("release_stage", **words)["changed"]
    files = f"{place}/releases/1.0/files"
    assert "1.0\n" == made.shell(f"cd /; PYTHONPATH={files} python3 -c 'import more; print(more.hello.VERSION)'")
    assert made.shell(f"ls {files}/hello/__pycache__").startswith("__init__.cpython-")
    assert "" == made.shell("find /home/nodewise/.ansible -name '*.whl'")
    made.shell(f"echo x >> {files}/more.py")
    assert "is damaged: files/more.py" in made.ask("release_stage", check=True, **words)["says"]
    made.shell(f"rm {files}/more.py")
    assert "files/more.py has sha256 unreadable" in made.ask("release_stage", **words)["says"]
    lost = {**wheel("2.0"), "sha256": "ab" * 32}
    assert "hello=2.0 is no longer in" in made.ask("release_stage", **{**words, "version": "2.0", "artifacts": [lost]})["msg"]
