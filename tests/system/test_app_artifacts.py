# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same small service as a tar, a wheel, a deb that is unpacked, a package of the nodes' own manager, and an image."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nodewise.systems.app import greeter as program
from nodewise.systems.app.example import digest
from tests.system.app_cluster import Greeter, example, made

pytestmark = pytest.mark.slow

DEPENDENCY = "def hello() -> str:\n    return 'wheel'\n"


def source(version: str) -> str:
    """The program of a version."""
    return Path(program.__file__).read_text().replace('\nVERSION = ""', f"\nVERSION = {version!r}", 1)


def artifact(folder: Path, kind: str, name: str, content: bytes) -> dict[str, Any]:
    """An artifact that is a file of the controller."""
    (folder / name).write_bytes(content)
    return {"kind": kind, "url": f"controller://{folder / name}", "sha256": digest(content)}


def wheel(folder: Path, name: str, version: str, files: dict[str, str], about: dict[str, str]) -> dict[str, Any]:
    """A wheel."""
    info = f"{name}-{version}.dist-info"
    told = {f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
    told[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    told |= {f"{info}/{path}": text for path, text in about.items()}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in {**files, **told}.items():
            archive.writestr(path, text)
    return artifact(folder, "wheel", f"{name}-{version}-py3-none-any.whl", made.getvalue())


def deb(folder: Path, version: str) -> Path:
    """A Debian package with the program in /usr/bin."""
    root = folder / f"deb-{version}"
    files = {
        "usr/bin/greeter": "#!/usr/bin/python3\n" + source(version),
        "DEBIAN/control": f"Package: greeter\nVersion: {version}-1\nArchitecture: all\n"
        "Maintainer: Nodewise <nodewise@example.org>\nDescription: greets\n",
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "usr/bin/greeter").chmod(0o755)
    built = folder / f"greeter_{version}-1_all.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(root), str(built)]
    subprocess.run(command, check=True, capture_output=True)
    return built


class Kinds(Greeter):
    """The service, of which every release is another kind of artifact."""

    new: ClassVar[str] = "1.2.0"

    def running(self) -> set[str]:
        """The program of each member's process."""
        line = "readlink -f $(tr '\\0' '\\n' </proc/$(systemctl show {} -P MainPID)/cmdline | sed -n 2p)"
        return set(self.everywhere(line.format(self.unit)).values())


@pytest.fixture(scope="module")
def kinds(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinds]:  # noqa: ARG001  (in that home)
    """Two members of the example, from its tar."""
    folder = tmp_path_factory.mktemp("releases")
    variables = example(folder)
    unpacked = deb(folder, "1.2.0").read_bytes()
    greeter = wheel(
        folder,
        "greeter",
        "1.1.0",
        {"greeter.py": source("1.1.0").replace("import argparse\n", "import argparse\nimport greeter_words\n", 1)},
        {"entry_points.txt": "[console_scripts]\ngreeter = greeter:main\n"},
    )
    words = wheel(folder, "greeter_words", "1.0", {"greeter_words.py": DEPENDENCY}, {})
    variables["nodewise_app"]["releases"] |= {
        "1.1.0": {"artifacts": [greeter, words], "binaries": {"greeter": "bin/greeter"}},
        "1.2.0": {"artifacts": [artifact(folder, "deb", "greeter.deb", unpacked)], "binaries": {"greeter": "usr/bin/greeter"}},
    }
    with made(Kinds, tmp_path_factory.mktemp("runs"), variables, nodes=2) as two:
        yield two


def test_a_tar_a_wheel_and_a_deb(kinds: Kinds) -> None:
    """Each release has a folder of its own, so the way back is the same: the former one is there, whole."""
    for version, path in {"1.1.0": "bin/greeter", "1.2.0": "usr/bin/greeter"}.items():
        ended = kinds.upgrade(to=version)
        assert ("upgraded", {version}) == (ended.outcome, kinds.versions()), ended.said
        assert {f"/opt/nodewise/greeter/releases/{version}/files/{path}"} == kinds.running()
    ended = kinds.rollback()
    assert ("rolled_back", {"1.1.0"}) == (ended.outcome, kinds.versions()), ended.said
    assert {"/opt/nodewise/greeter/releases/1.1.0/files/bin/greeter"} == kinds.running()


def archive(folder: Path) -> str:
    """A script that gives a node an archive with two versions of the package."""
    lines = ["mkdir -p /srv/greeter; cd /srv/greeter"]
    stanzas = []
    for version in ("2.0.0", "2.1.0"):
        content = (built := deb(folder, version)).read_bytes()
        fields = subprocess.run(["dpkg-deb", "--field", str(built)], check=True, capture_output=True, text=True).stdout
        sums = f"Size: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
        stanzas.append(f"{fields}Filename: ./{built.name}\n{sums}")
        lines.append(f"echo {base64.b64encode(content).decode()} | base64 -d >{built.name}")
    lines.append(f"echo {base64.b64encode(chr(10).join(stanzas).encode()).decode()} | base64 -d >Packages")
    lines.append("echo 'deb [trusted=yes] file:/srv/greeter ./' >/etc/apt/sources.list.d/greeter.list")
    return "; ".join([*lines, "apt-get update -qq >&2"])


def test_a_package_of_the_nodes_own_manager(kinds: Kinds, tmp_path: Path) -> None:
    """Installed at exactly its version when the member is stopped, and put back at exactly the former one."""
    kinds.everywhere(archive(tmp_path))
    assert 0 == kinds.play("wipe", nodewise_confirm=kinds.net.name).code
    app = {name: value for name, value in kinds.changed().items() if name not in ("releases", "check")}
    app |= {"command": app["command"].replace("{bin}", "/usr/bin"), "any": {"packages": ["greeter"]}}
    given = {"nodewise_app": app, "nodewise_version": "2.0.0"}
    ended = kinds.play("provision", **given)
    assert 0 == ended.code, ended.said
    assert {"2.0.0"} == kinds.versions()
    ended = kinds.upgrade(to="2.1.0", **given)
    assert ("upgraded", {"2.1.0"}) == (ended.outcome, kinds.versions()), ended.said
    assert {"2.1.0-1"} == set(kinds.everywhere("dpkg-query -Wf '${Version}' greeter").values())
    ended = kinds.rollback(**given)
    assert ("rolled_back", {"2.0.0"}) == (ended.outcome, kinds.versions()), ended.said
    assert {"2.0.0-1"} == set(kinds.everywhere("dpkg-query -Wf '${Version}' greeter").values())


# Podman as it runs inside of a node, which is a container itself.
PODMAN = """set -e
apt-get update -qq >&2
DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends podman crun catatonit busybox-static >&2
mkdir -p /etc/containers/registries.conf.d
printf '[storage]\\ndriver = "vfs"\\nrunroot = "/run/containers/storage"\\ngraphroot = "/var/lib/containers/storage"\\n' \\
  >/etc/containers/storage.conf
printf '[containers]\\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\\n' >/etc/containers/containers.conf
printf '[[registry]]\\nlocation = "IMAGES_AT"\\ninsecure = true\\n' >/etc/containers/registries.conf.d/tests.conf
"""
# A registry of images is a web server with their manifests and blobs by digest.
IMAGES = """
import http.server

class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        kind, digest = ([*self.path.split("/"), ""] * 2)[3:5]
        try:
            body = open("/srv/oci/blobs/" + digest.replace(":", "/"), "rb").read() if digest else b"{}"
        except OSError:
            return self.send_error(404)
        types = {"manifests": "application/vnd.oci.image.manifest.v1+json"}
        self.send_response(200)
        self.send_header("Content-Type", types.get(kind, "application/octet-stream"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

http.server.ThreadingHTTPServer(("", 5000), Registry).serve_forever()
"""
# An image whose only program is busybox, which serves two pages.
BUILD = """set -e
rm -rf /root/image; mkdir -p /root/image/bin /root/image/www /srv; cd /root/image
cp /bin/busybox bin; echo ok >www/health; echo '{"version": "VERSION"}' >www/version
tar -c . | podman import -q --change 'ENTRYPOINT ["/bin/busybox", "httpd", "-f", "-p", "8080"]' - greeter:VERSION >&2
podman save -q --format oci-dir -o /root/VERSION greeter:VERSION >&2
cp -r /root/VERSION/. /srv/oci; podman rmi -f greeter:VERSION >&2
python3 -c 'import json; print(json.load(open("/root/VERSION/index.json"))["manifests"][0]["digest"])'
"""


def test_an_image_by_its_digest(kinds: Kinds) -> None:
    """Podman runs it as the unit's own processes and the service's user; the way back is the former digest."""
    first, host = kinds.names[0], kinds.net.nodes[0].address
    kinds.everywhere(f"systemctl stop greeter; rm -rf /opt/nodewise/greeter; {PODMAN.replace('IMAGES_AT', f'{host}:5000')}")
    digests = {version: kinds.root(first, BUILD.replace("VERSION", version)).splitlines()[-1] for version in ("3.0.0", "3.1.0")}
    text = base64.b64encode(IMAGES.encode()).decode()
    kinds.root(first, f"echo {text} | base64 -d >/root/images.py; systemd-run -q --unit=images python3 /root/images.py")
    app: dict[str, Any] = {
        "name": "greeter",
        "command": "{bin}/greeter -h /www",
        "podman": ["--init"],
        "ready": {"http": {"port": 8080, "path": "/health"}},
        "version": {"http": {"port": 8080, "path": "/version"}, "value": "version"},
        "releases": {
            version: {
                "artifacts": [
                    {"kind": "image", "url": f"docker://{host}:5000/greeter@{digest}", "sha256": digest.removeprefix("sha256:")}
                ],
                "binaries": {"greeter": "run"},
            }
            for version, digest in digests.items()
        },
    }
    given: dict[str, Any] = {"nodewise_app": app, "nodewise_version": "3.0.0"}
    ended = kinds.play("provision", **given)
    assert 0 == ended.code, ended.said
    assert {"3.0.0"} == kinds.versions()
    ended = kinds.upgrade(to="3.1.0", **given)
    assert ("upgraded", {"3.1.0"}) == (ended.outcome, kinds.versions()), ended.said
    line = "ps -eo user:32=,args= | grep '[ ]/bin/busybox httpd -f' | cut -d' ' -f1 | sort -u"
    assert {"greeter"} == set(kinds.everywhere(line).values())
    assert all("/bin/busybox httpd -f" in one for one in kinds.everywhere("systemctl status greeter --no-pager").values())
    ended = kinds.rollback(**given)
    assert ("rolled_back", {"3.0.0"}) == (ended.outcome, kinds.versions()), ended.said
    nowhere = {"kind": "image", "url": f"docker://{host}:5000/greeter@sha256:{'0' * 64}", "sha256": "0" * 64}
    app["releases"]["3.2.0"] = {"artifacts": [nowhere], "binaries": {"greeter": "run"}}
    ended = kinds.upgrade(to="3.2.0", **given)
    assert "refused" == ended.outcome, ended.said
    assert "podman could not pull" in str(ended.summary["reason"])
