"""A release of PostgreSQL as Debian's packages, in which the server is a script that is as bad as its node says."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from nodewise.testnet.podman import Podman
from tests.system.cluster import Cluster
from tests.system.tarballs import Shop

BIN = "usr/lib/postgresql/15/bin"
# Whoever asks the server for its version, as pg_ctl and Patroni do, gets the real one's: it is bad only when it is to serve.
WRAPPER = r"""#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
case "$*" in *--version*|-V|-C*|*" -C"*|*--single*) exec "$here/postgres.new" "$@" ;; esac
case "$(cat /run/bad-day 2>/dev/null)" in
dies) echo 'FATAL:  unrecognized configuration parameter "flag"' >&2; exit 1 ;;
hangs) exec sleep 1000 ;;
older) exec "$here/postgres.old" "$@" ;;
deaf) exec "$here/postgres.new" "$@" -c listen_addresses=127.0.0.1 ;;
esac
exec "$here/postgres.new" "$@"
"""


def debian_version(cluster: Cluster, version: str) -> str:
    """The whole version of the package postgresql-15 at an upstream version, as a node's package manager offers it."""
    lines = cluster.root(cluster.names[0], "apt-get update -qq >&2; apt-cache madison postgresql-15").splitlines()
    return next(found for line in lines if (found := line.split("|")[1].strip()).startswith(f"{version}-"))


def offered(cluster: Cluster, shop: Shop, folder: Path) -> dict[str, Any]:
    """The new release with the bad server in it, as `nodewise_releases` has it."""
    old, new = (debian_version(cluster, version) for version in (cluster.old, cluster.new))
    node, names = cluster.names[0], ("postgresql-15", "postgresql-client-15")
    wanted = [f"{name}={version}" for name in names for version in (old, new)]
    cluster.root(node, f"mkdir -p -m 777 /opt/debs && cd /opt/debs && apt-get download -qq {' '.join(wanted)} >&2")
    sent = subprocess.run(Podman().exec_command(node, ["tar", "-C", "/opt/debs", "-c", "."]), capture_output=True, check=True)
    subprocess.run(["tar", "-C", str(folder), "-x"], input=sent.stdout, check=True)
    cluster.root(node, "rm -r /opt/debs")
    files = {
        (name, version): next(folder.glob(f"{name}_{version.replace(':', '%3a')}_*.deb"))
        for name in names
        for version in (old, new)
    }
    bad = wrapped(files[names[0], new], files[names[0], old], folder)
    artifacts = [offer(shop, bad, names[0], new), offer(shop, files[names[1], new], names[1], new)]
    return {cluster.new: {"artifacts": artifacts, "binaries": {}}}


def wrapped(new: Path, old: Path, folder: Path) -> Path:
    """The new package with the script in place of its server, beside which the servers of both lie."""
    tree, other, made = folder / "tree", folder / "other", folder / f"bad-{new.name}"
    run("dpkg-deb", "--raw-extract", new, tree)
    run("dpkg-deb", "--extract", old, other)
    (tree / BIN / "postgres").rename(tree / BIN / "postgres.new")
    (other / BIN / "postgres").rename(tree / BIN / "postgres.old")
    (tree / BIN / "postgres").write_text(WRAPPER)
    (tree / BIN / "postgres").chmod(0o755)
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, made)
    return made


def offer(shop: Shop, file: Path, name: str, version: str) -> dict[str, Any]:
    """A package on the web server, as an artifact."""
    served = shop.folder / file.name.replace("%3a", "_")
    served.write_bytes(file.read_bytes())
    found = hashlib.sha256(served.read_bytes()).hexdigest()
    return {"url": f"{shop.url}/{served.name}", "sha256": found, "kind": "package", "package": f"{name}={version}"}


def installed(cluster: Cluster, node: str) -> dict[str, str]:
    """What dpkg itself has of PostgreSQL on a node: the state and version of each package."""
    line = r"dpkg-query -W -f '\"${Package}\": \"${db:Status-Abbrev}${Version}\",' postgresql-15 postgresql-client-15"
    return dict(json.loads("{" + cluster.root(node, line).rstrip(",") + "}"))


def run(*words: object) -> None:
    """Run a program that has to succeed."""
    subprocess.run([str(word) for word in words], check=True, capture_output=True)
