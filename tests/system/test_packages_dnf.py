"""The same promises by dnf and rpm, on a Debian node that has both: no distribution of theirs can be had here.

What is asked is package_dnf itself, since on that node Nodewise would choose apt. The packages are made on the node.
"""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodewise.testnet import lifecycle
from nodewise.testnet.podman import Podman
from nodewise.testnet.request import Request
from tests.system.host import ROOT, Host

pytestmark = pytest.mark.slow  # a node with dnf and rpm is made first

UTILS = "ansible_collections/nodewise/cluster/plugins"
DNF = "dnf rpm createrepo-c dnf-plugins-core"
REPO = "[demo]\nname=demo\nbaseurl=file:///srv/rpm\ngpgcheck=0\n"
SERVICE = "[Service]\nExecStart=/usr/bin/sleep 200000\n"
SPEC = """Name: {name}
Version: {version}
Release: 1
Summary: for a test
License: GPL
BuildArch: noarch
{more}
%description
for a test
%install
mkdir -p %{{buildroot}}/usr/lib/{name}
echo {version} > %{{buildroot}}/usr/lib/{name}/version
%post
touch /var/tmp/scriptlet
systemctl restart demo-own.service
%files
/usr/lib/{name}/version
"""
MADE = [
    ("demo", "1.0", "Requires: demo-lib"),
    ("demo", "1.1", "Requires: demo-lib"),
    ("demo", "1.3", "Conflicts: demo-other"),
    ("demo", "1.4", "Requires: demo-lib >= 3"),
    ("demo-lib", "1", ""),
    ("demo-lib", "3", ""),
    ("demo-other", "1", ""),
    ("demo-shell", "1", "Provides: /bin/sh"),  # an empty database of rpm knows no shell
]
ASK = """import json, sys; sys.path.insert(0, "/srv/py")
from ansible_collections.nodewise.cluster.plugins.module_utils.release.dnf import Dnf
from ansible_collections.nodewise.cluster.plugins.module_utils.release.manager import PackageError

method, arguments = json.load(sys.stdin)
try:
    print(json.dumps(getattr(Dnf(), method)(*arguments)))
except PackageError as error:
    print(json.dumps("refused: " + str(error)))
"""


class Dnf(Host):
    """The node, and its manager."""

    def ask_dnf(self, method: str, *arguments: Any) -> Any:
        """What a method of the manager returned, or the text of its refusal."""
        command = Podman().exec_command(self.net.nodes[0].name, ["python3", "-c", ASK])
        command.insert(command.index("exec") + 1, "-i")
        done = subprocess.run(command, input=json.dumps([method, arguments]), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def files(self, *names: str) -> list[str]:
        """Files of packages, as they lie in the archive."""
        return [f"/srv/rpm/noarch/{name}-1.noarch.rpm" for name in names]


@pytest.fixture(scope="module")
def dnf(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dnf]:  # noqa: ARG001  (is made in that home)
    """A node with dnf, an archive, and one package installed."""
    net = lifecycle.up(Request(f"t{secrets.token_hex(3)}", nodes=1))
    try:
        node = Dnf(net, tmp_path_factory.mktemp("dnf"))
        node.shell(f"apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends {DNF}", 300)
        node.shell(f"mkdir -p /srv/py/{UTILS} /etc/yum.repos.d /srv/rpm")
        copy = ["cp", str(ROOT / "plugins/module_utils"), f"{net.nodes[0].name}:/srv/py/{UTILS}/"]
        subprocess.run(Podman()._words(*copy), check=True, capture_output=True)
        written = {
            f"/srv/{name}-{version}.spec": SPEC.format(name=name, version=version, more=more) for name, version, more in MADE
        }
        written |= {"/etc/yum.repos.d/demo.repo": REPO, "/etc/systemd/system/demo-own.service": SERVICE}
        assert node.ask("node_files", files={path: {"content": text} for path, text in written.items()})["changed"]
        node.shell(
            "for spec in /srv/*.spec; do rpmbuild -bb --quiet --define '_rpmdir /srv/rpm' $spec; done; createrepo_c -q /srv/rpm"
        )
        node.shell("rpm -U --nodeps /srv/rpm/noarch/demo-other-1-1.noarch.rpm /srv/rpm/noarch/demo-shell-1-1.noarch.rpm")
        yield node
    finally:
        lifecycle.down(net.name)


def test_there_and_back(dnf: Dnf) -> None:
    """What a version needs is found and fetched; it is installed, locked at its version, and put back."""
    offered = dnf.ask_dnf("offered", ["demo=1.1", "nothing-like-it"])
    assert [("1.4-1", "1.4"), ("1.3-1", "1.3")] == [(one["version"], one["upstream"]) for one in offered["demo"][:2]]
    assert dnf.shell("sha256sum " + dnf.files("demo-1.4")[0]).split()[0] == offered["demo"][0]["sha256"]
    assert [] == offered["nothing-like-it"]
    dnf.shell("mkdir -p /srv/got")
    assert ["demo-lib=3-1"] == dnf.ask_dnf("needed", dnf.files("demo-1.0"))
    dnf.ask_dnf("download", ["demo=1.0-1", "demo-lib=3-1"], "/srv/got", 60)
    assert ["demo", "1.0-1", 4] == dnf.ask_dnf("about", "/srv/got/demo-1.0-1.noarch.rpm")
    dnf.ask_dnf("install", ["/srv/got/demo-1.0-1.noarch.rpm", "/srv/got/demo-lib-3-1.noarch.rpm"])
    for version in ("1.0", "1.1", "1.0"):
        assert [] == dnf.ask_dnf("needed", dnf.files(f"demo-{version}"))
        dnf.ask_dnf("install", dnf.files(f"demo-{version}"))
        dnf.ask_dnf("hold", ["demo"])
        assert {"demo": f"{version}-1"} == dnf.ask_dnf("installed", ["demo", "nothing-like-it"])
        assert ["demo"] == dnf.ask_dnf("held", ["demo", "demo-lib"])
        assert f"demo-0:{version}-1.*\n" == dnf.shell("grep -v '^#' /etc/dnf/plugins/versionlock.list | grep .")
        assert f"{version}\n" == dnf.shell("cat /usr/lib/demo/version")


def test_nothing_is_started(dnf: Dnf) -> None:
    """A scriptlet restarts its service when rpm runs it, but not when we do."""
    state = "systemctl is-active demo-own || true"
    dnf.shell("rpm -U --oldpackage --replacepkgs --nodeps " + dnf.files("demo-1.1")[0])
    assert "active\n" == dnf.shell(state)  # or this test could not fail
    dnf.shell("systemctl stop demo-own; rm /var/tmp/scriptlet")
    dnf.ask_dnf("install", dnf.files("demo-1.0"))
    assert "inactive\n" == dnf.shell(f"{state}; rm /var/tmp/scriptlet")


def test_refusals(dnf: Dnf) -> None:
    """What would remove or change other packages, or is not offered, is refused."""
    dnf.shell("rpm -U --oldpackage --nodeps --force " + " ".join(dnf.files("demo-1.0", "demo-lib-1")))
    assert "would remove demo-other" in dnf.ask_dnf("needed", dnf.files("demo-1.3"))
    assert "needs another version of what is installed (demo-lib=3-1)" in dnf.ask_dnf("needed", dnf.files("demo-1.4"))
    assert "not offered: demo=9-9" in dnf.ask_dnf("download", ["demo=9-9"], "/srv/got", 60)
    assert {"demo": "1.0-1", "demo-lib": "1-1"} == dnf.ask_dnf("installed", ["demo", "demo-lib"])
