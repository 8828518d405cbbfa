"""Releases as upstream makes them: tarballs on a web server, here with the programs of Debian's packages or with worse ones."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import os
import subprocess
import tarfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from nodewise.releases import sources
from nodewise.releases.rules import load_rules
from nodewise.testnet import state
from nodewise.testnet.home import checkout

TOP = "etcd-linux"  # the one folder in the tarball, as upstream's have it


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Shop:
    """A folder of tarballs and its address, as the nodes of a testnet reach it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url

    def offer(self, version: str, programs: dict[str, bytes], sha256: str = "") -> dict[str, Any]:
        """Make a tarball, and return what `nodewise_releases` says of it."""
        name = f"etcd-{version}-{len(list(self.folder.iterdir()))}.tar.gz"
        with tarfile.open(self.folder / name, "w:gz", compresslevel=1) as tar:
            for program, content in programs.items():
                info = tarfile.TarInfo(f"{TOP}/{program}")
                info.size, info.mode = len(content), 0o755
                tar.addfile(info, io.BytesIO(content))
        found = hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
        artifact = {"url": f"{self.url}/{name}", "sha256": sha256 or found, "kind": "tar"}
        return {version: {"artifacts": [artifact], "binaries": {program: f"{TOP}/{program}" for program in programs}}}


@contextmanager
def opened(net: state.Testnet, folder: Path) -> Iterator[Shop]:
    """A shop on this machine's address in a testnet's network."""
    address = str(IPv4Network(net.subnet)[1])
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer((address, 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield Shop(folder, f"http://{address}:{server.server_port}")
        server.shutdown()


@functools.cache
def programs(version: str, folder: Path) -> dict[str, bytes]:
    """The programs of Debian's packages of a version."""
    release = sources.resolve(load_rules(checkout() / "roles/etcd"), version, {}, os.uname().machine)
    for artifact in release.artifacts:
        with urllib.request.urlopen(artifact.url) as answer:  # noqa: S310 apt's own mirror
            package = answer.read()
        assert artifact.sha256 == hashlib.sha256(package).hexdigest()
        (folder / "package.deb").write_bytes(package)
        subprocess.run(["dpkg-deb", "-x", "package.deb", "."], cwd=folder, check=True)
    return {name: (folder / path).read_bytes() for name, path in release.binaries.items()}
